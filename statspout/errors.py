"""What can go wrong, and what follows from it.

::

    StatspoutError
      ConfigError        a setting is wrong: said once at the start, the program ends with exit code 2
      SourceError        a source failed: logged, counted, tried again
        EngineDown       nobody answers at the engine's address: said once, tried again with back-off
        Timeout          no complete answer within the deadline
        Refused          the engine answered with an error status
        BadAnswer        the engine's answer is not what its API promises
        Unreadable       the kernel's own files of a container cannot be read
      RepositoryError    a push failed: the whole batch is kept and retried
        Rejected         some samples will never be accepted: those are dropped and counted
          TooLarge       the batch is: it comes again in halves, and no later one is larger
        RetryAfter       retry, but not before so many seconds
        Closed           the destination wants nothing more, ever: the repository is retired

Any other exception from a repository counts as a RepositoryError: its traceback is logged once, then it is counted.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Literal


class StatspoutError(Exception):
    """The root of every error that statspout raises on purpose."""


class ConfigError(StatspoutError):
    """A setting is wrong. The text is one line: which setting, what was wrong, what would be right."""


class SourceError(StatspoutError):
    """A source of samples failed. ``kind`` is the label under which it is counted."""

    kind = "source"


class EngineDown(SourceError):
    """Nobody answers at the engine's address."""

    kind = "down"


class Timeout(SourceError):
    """The engine did not answer, headers and body, within the deadline."""

    kind = "timeout"


class Refused(SourceError):
    """The engine answered with an error status, such as 404 or 500."""

    kind = "refused"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}".rstrip())
        self.status = status

    @property
    def gone(self) -> bool:
        """Whether what was asked for does not exist, or not any more."""
        return self.status in (404, 409)


class BadAnswer(SourceError):
    """The engine's answer is cut short, is not JSON, or has the wrong types."""

    kind = "bad_answer"


class Unreadable(SourceError):
    """The kernel's own files of a container cannot be read: they are not there, or not for us."""

    kind = "unreadable"


class RepositoryError(StatspoutError):
    """A push failed. The batch is kept and retried with back-off."""


class Rejected(RepositoryError):
    """The destination will never accept some samples of this batch.

    ``indices`` are their positions in the batch; None says that it is unknown which, and the batch is bisected.
    ``rest`` says what became of the others: ``"retry"`` (nothing of them was stored) or ``"stored"``. A destination
    that stored the others and says only how many it did not take gives that ``count`` instead of ``indices``.
    """

    def __init__(
        self,
        reason: str,
        indices: Collection[int] | None = None,
        rest: Literal["retry", "stored"] = "retry",
        *,
        count: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.indices = None if indices is None else frozenset(indices)
        self.rest = "stored" if count is not None else rest
        self.count = count


class TooLarge(Rejected):
    """The batch is too large for the destination: it comes again in halves, and later ones are no larger than fits."""

    def __init__(self, reason: str = "the batch is too large") -> None:
        super().__init__(reason)


class RetryAfter(RepositoryError):
    """The destination asks for a pause of ``seconds`` before the batch comes again."""

    def __init__(self, seconds: float, reason: str = "asked to wait") -> None:
        super().__init__(f"{reason} ({seconds:.0f} s)")
        self.seconds = seconds


class Closed(RepositoryError):
    """The destination wants nothing more, ever, such as a closed pipe. The repository is retired."""


def told(error: BaseException) -> str:
    """One line that says what went wrong, and where when that is in a file of the plugin's author."""
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}{_where(error)}"


def _where(error: BaseException) -> str:
    """The innermost line that is neither ours nor the standard library's."""
    ours = (str(Path(__file__).parent), str(Path(dataclasses.__file__).parent), "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    return f" (line {frames[-1].lineno} of {Path(frames[-1].filename).name})" if frames else ""
