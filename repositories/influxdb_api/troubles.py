"""Why no answer came, in one line."""

from __future__ import annotations

from collections.abc import Iterator


def told(error: BaseException, timeout: float) -> str:
    """What ``error``, raised by urllib3 or influxdb-client, means. ``timeout`` is in seconds."""
    from urllib3 import exceptions as urllib3

    text = _one_line(error)
    if isinstance(error, urllib3.NewConnectionError):
        return _reason(error)
    if isinstance(error, urllib3.ConnectTimeoutError):
        return f"no connection within {timeout:g} s"
    if isinstance(error, urllib3.TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, urllib3.SSLError) or text.startswith("SSLError"):
        return f"TLS: {_tls(text)}"
    if isinstance(error, UnicodeDecodeError):
        return "its answer is no text: that is not InfluxDB"
    if isinstance(error, urllib3.ProtocolError):
        return f"the connection broke: {_reason(error)}"
    return text


def told_os(error: BaseException) -> str:
    """What the operating system says, in its words alone."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def _one_line(error: BaseException) -> str:
    """ApiException has a ``reason`` of its own, several lines."""
    reason = getattr(error, "reason", None)
    return " ".join(str(reason if isinstance(reason, str) else error).split()) or type(error).__name__


def _reason(error: BaseException) -> str:
    """What the operating system said, where it was that."""
    causes = list(_causes(error))
    said = [told_os(cause) for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return said[0] if said else _one_line(causes[-1])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from: as its cause, or as an argument of it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        inner = next((argument for argument in cause.args if isinstance(argument, BaseException)), None)
        cause = cause.__cause__ or inner


def _tls(text: str) -> str:
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return "the server does not speak it there: http:// instead of https://, or another port"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("CERTIFICATE_VERIFY_FAILED] ")[2].partition(" (_ssl")[0]
        return f"{reason}: --influxdb.tls-ca names the file of the authority that signed its certificate"
    return text
