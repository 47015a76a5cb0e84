"""The program's signals before its loop can have them, and after: from the first moment to the last."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, NoReturn

_ENDING = (signal.SIGTERM, signal.SIGINT)

_before: dict[signal.Signals, Any] = {}
"""What was to be done with each that is held; empty where none is."""

_came: list[int] = []
"""Those that came while they were held."""

_code = 0


def hold() -> None:
    """Keep those that come until it is known what is run. A signal that is ignored stays so, but for SIGHUP.

    Only whoever owns the process, in its main thread, can do that.
    """
    for number in (*_ENDING, signal.SIGHUP):
        before = signal.getsignal(number)
        if before is not None and (before != signal.SIG_IGN or number == signal.SIGHUP):
            _before[number] = before
            signal.signal(number, _keep)


def release() -> None:
    """Let all be as it was, and those that were kept come now: what is run has no use of its own for them."""
    for number, before in _before.items():
        signal.signal(number, before)
    _before.clear()
    while _came:
        signal.raise_signal(_came.pop(0))


def end_with(code: int) -> None:
    """From now on, or if one came already now, SIGTERM and SIGINT end the program at once, with this exit code.

    It is for when there is nothing to be delivered yet, or any more. SIGHUP is kept. Nothing changes unless they are
    held.
    """
    global _code
    _code = code
    for number in _before:
        signal.signal(number, _keep if number == signal.SIGHUP else _end)
    if set(_came) & set(_ENDING):
        _end()


def are_held() -> bool:
    """Whether :meth:`hold` was called, and not :meth:`release`."""
    return bool(_before)


def take_hang_up() -> bool:
    """Whether SIGHUP came while it was kept; once."""
    came = signal.SIGHUP in _came
    _came.clear()
    return came


def hang_up_was_ignored() -> bool:
    """Whether SIGHUP was to be ignored when the program began, as by nohup."""
    return _before.get(signal.SIGHUP, signal.getsignal(signal.SIGHUP)) == signal.SIG_IGN


def _keep(number: int, _: FrameType | None) -> None:
    _came.append(number)


def _end(*_: object) -> NoReturn:
    # Not by an exception: the foreign code that it may be in could catch it.
    os._exit(_code)
