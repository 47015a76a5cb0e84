"""Batches of samples as JSON, sent to an HTTP server of the user's own."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Sequence
from http.client import HTTPException
from typing import TYPE_CHECKING, ClassVar

import statspout
from statspout import ContainerSample, Metric, Repository, RepositoryError, Sample, option
from statspout.repositories.webhook_settings import authorization, check_authority, headers_of, target_of
from statspout.shapes import sample_object, to_json
from statspout.statuses import error_of, shortened

if TYPE_CHECKING:
    import requests

_ANSWER = 65_536
"""Bytes of an answer that are read; the connection of a longer one is not used again."""

_IDLE = 5.0
"""Seconds for which a server is taken to leave a connection open on which nothing comes, if it does not say so."""

_EARLIER = 1.0
"""Seconds by which we give it up before the server does, lest a batch meets the end of its connection."""


class Webhook(Repository):
    """POST each batch to a URL as a JSON array of the objects that ``rest`` serves.

    An answer of 2xx says that all of it is stored. Redirects are not followed: most would make a GET of it.
    """

    name = "webhook"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample, Metric)
    needs = ("requests",)
    batch_size = 500

    url: str = option(help="Where each batch is sent: http:// or https://, with `user:password@` for basic auth.")
    token: str = option(default="", secret=True, help="A token, sent as `Authorization: Bearer TOKEN`.")
    headers: str = option(default="", secret=True, help="More headers, one `Name: value` a line.")
    gzip: bool = option(default=False, help="Compress the batches.")
    tls_ca: str | None = option(default=None, help="The file with the authority of the server's certificate, PEM.")
    timeout: float = option(
        default=10.0, minimum=0.1, maximum=3600, help="Seconds to connect, and to wait for the next byte."
    )

    def __post_init__(self) -> None:
        self._target = target_of(self.url)
        check_authority(self.tls_ca, self._target)
        self._headers = {"User-Agent": f"statspout/{statspout.__version__}", **headers_of(self.headers)}
        self._headers |= authorization(self._target, self.token, self._headers)
        self._headers |= {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if self.gzip else {})
        self._session: requests.Session | None = None
        self._usable_until = 0.0

    def open(self) -> None:
        """Begin without a connection; the first batch makes one."""
        import requests

        self._session = requests.Session()
        # Without an auth of ours, a .netrc would put its own in the place of the header.
        self._session.auth = _unchanged
        self._session.headers.update(self._headers)

    def push(self, batch: Sequence[Sample]) -> None:
        """Send ``batch`` in one request. What becomes of it is in the status of the answer alone."""
        body = to_json([sample_object(sample) for sample in batch])
        answer = self._answer(gzip.compress(body, 1, mtime=0) if self.gzip else body)
        text = _text_of(answer)
        self._usable_until = time.monotonic() + _idle_time(answer) - _EARLIER
        if not 200 <= answer.status_code < 300:
            # Not by a name: the error would hold this frame, and with it the connection, until a garbage collection.
            raise self._refusal(answer, text)

    def close(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _refusal(self, answer: requests.Response, text: str) -> RepositoryError:
        status, target = answer.status_code, answer.headers.get("Location")
        if 300 <= status < 400 and target:
            return RepositoryError(
                f"HTTP {status}: {self._target.where} points to {shortened(target)}: redirects are not followed: "
                "--webhook.url has to be where it ends"
            )
        return error_of(status, text, answer.headers.get("Retry-After")) or RepositoryError(f"HTTP {status}")

    def _answer(self, body: bytes) -> requests.Response:
        """The answer to ``body``, of which the headers are there. RepositoryError where none came."""
        import urllib3

        assert self._session is not None, "open comes before push"
        if time.monotonic() >= self._usable_until:
            self._session.close()  # only its connections: it makes new ones
        try:
            # An authority given with the request goes before REQUESTS_CA_BUNDLE; the session's own would not.
            return self._session.post(
                self._target.url,
                body,
                timeout=self.timeout,
                verify=self.tls_ca or True,
                allow_redirects=False,
                stream=True,
            )
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise RepositoryError(self._told(error)) from error

    def _told(self, error: Exception) -> str:
        import requests

        where, cause = self._target.where, _cause(error)
        if isinstance(error, requests.ConnectTimeout):
            return f"no connection to {where} within {self.timeout:g} s"
        if isinstance(error, requests.Timeout) or isinstance(cause, TimeoutError):
            return f"no answer from {where} within {self.timeout:g} s"
        reason = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or str(cause)
        return f"{_at(error, cause)}{where}: {shortened(reason) or type(cause).__name__}"


def _at(error: Exception, cause: BaseException) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "TLS with "
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy to "
    return "no HTTP from " if isinstance(cause, HTTPException) and not isinstance(cause, OSError) else ""


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _text_of(answer: requests.Response) -> str:
    """The answer's body, or as much of it as came; its connection is used again only when that is all."""
    body = b""
    try:
        for part in answer.iter_content(8192):
            body += part
            if len(body) > _ANSWER:
                answer.close()
                break
    except OSError:
        answer.close()
    return body[:_ANSWER].decode("utf-8", "replace")


def _idle_time(answer: requests.Response) -> float:
    """Seconds for which the server leaves this connection open without a request."""
    found = re.search(r"(?i)\btimeout=([0-9]{1,6})\b", answer.headers.get("Keep-Alive", ""))
    return float(found[1]) if found else _IDLE


def _cause(error: BaseException) -> BaseException:
    """What happened beneath the client's own errors about errors."""
    while type(error).__module__.partition(".")[0] in ("requests", "urllib3"):
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    return error
