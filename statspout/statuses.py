"""What the status of an HTTP destination's answer means for the batch that was sent to it."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from statspout.errors import Rejected, RepositoryError, RetryAfter, TooLarge

_SHOWN = 300
"""Characters of an answer that an error tells."""


def error_of(status: int, answer: str = "", retry_after: str | None = None) -> RepositoryError | None:
    """The error to raise, None for 2xx.

    413 is too large, 400 and 422 reject the batch, and all else is for later: what a wrong credential or a path that
    is not there costs is time, not data. ``retry_after`` is that header's value: seconds, or a date.
    """
    if 200 <= status < 300:
        return None
    text = f"HTTP {status}: {shortened(answer)}".rstrip(": ")
    if status == 413:
        return TooLarge(text)
    if status in (400, 422):
        return Rejected(text)
    if status in (401, 403):
        return RepositoryError(f"{text}: the credentials are wrong, or lack the right to write")
    pause = _pause(retry_after)
    return RepositoryError(text) if pause is None else RetryAfter(pause, text)


def shortened(answer: str) -> str:
    """An answer on one line, cut where it is longer than anybody reads."""
    line = " ".join(answer.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _pause(value: str | None) -> float | None:
    """Seconds to wait, None where the header is missing or says nothing."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
