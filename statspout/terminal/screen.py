"""A block of lines that stands at the end of a terminal and is redrawn in place; what others write goes above it."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TextIO

_USUAL = os.terminal_size((80, 24))
"""What a terminal is taken for that does not say how large it is."""

_UNKNOWN = os.terminal_size((0, 0))

_BEGIN, _END = "\x1b[?2026h\x1b[?25l", "\x1b[?2026l"
"""Between them the terminal shows nothing half done, where it knows these codes; the cursor is hidden from then on."""

_ONE_LINE_EACH, _WRAPPED = "\x1b[?7l", "\x1b[?7h"
_SHOW_CURSOR = "\x1b[?25h"
_ALL_ANEW = "\x1b[H\x1b[2J"
_ERASE_LINE, _ERASE_BELOW = "\x1b[2K", "\x1b[J"
_SAVE, _BACK = "\x1b7", "\x1b8"


def is_interactive(out: Any) -> bool:
    """Whether ``out`` is a terminal on which lines can be redrawn."""
    return bool(getattr(out, "isatty", bool)()) and os.environ.get("TERM") not in (None, "", "dumb")


class Screen:
    """The terminal behind ``descriptor``; ``write`` writes all of its bytes to it.

    From the first :meth:`show` to :meth:`close` the cursor is hidden, and what is written to standard error, when that
    is the same terminal, appears above the lines. It may be written from any thread.
    """

    def __init__(self, write: Callable[[bytes], None], descriptor: int) -> None:
        self._write = write
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._shown: list[str] = []
        self._size: os.terminal_size | None = None
        self._above: _Above | None = None

    def size(self) -> os.terminal_size:
        """How large the terminal is now."""
        try:
            size = os.get_terminal_size(self._descriptor)
        except OSError:
            return _USUAL
        return size if size.columns and size.lines else _USUAL

    def show(self, lines: Sequence[str], size: os.terminal_size) -> None:
        """Draw ``lines``, made for ``size``, in the place of those that stand there; nothing when they are the same."""
        with self._lock:
            if list(lines) == self._shown and size == self._size:
                return
            self._take_stderr()
            # A terminal that was resized has moved the old lines somewhere.
            start = self._start() if self._size in (None, size) else _ALL_ANEW
            # Until all of it is written, nobody knows what stands there.
            self._size, self._shown = _UNKNOWN, list(lines)
            self._send(_BEGIN + start + self._frame())
            self._size = size

    def above(self, text: str) -> None:
        """Write ``text``, whole lines, and the block below it."""
        with self._lock:
            if self._size is None:
                self._send(text)
            else:
                self._send(_BEGIN + self._start() + _ERASE_BELOW + text.replace("\n", "\r\n") + self._frame())

    def close(self) -> None:
        """Leave the lines where they are, with the cursor below them, and standard error to whom it belongs."""
        with self._lock:
            begun = self._give_stderr_back()
            if self._size is not None:
                # Drawn once more: the keys that were pressed may stand in it.
                down = f"\x1b[{len(self._shown)}B" + _ERASE_BELOW
                self._send(_BEGIN + self._start() + self._frame() + down + _SHOW_CURSOR + begun)
            self._shown, self._size = [], None

    def _start(self) -> str:
        return _BACK if self._shown else "\r"

    def _frame(self) -> str:
        """The block, from where the cursor is; it is left there, so that keys do not scroll the block away."""
        # A line that a terminal takes for longer than we do must not become two.
        lines = "".join(f"{_ERASE_LINE}{line}\r\n" for line in self._shown)
        up = f"\x1b[{len(self._shown)}A"
        return _ONE_LINE_EACH + lines + _ERASE_BELOW + _WRAPPED + up + _SAVE + _END

    def _send(self, text: str) -> None:
        self._write(text.encode("utf-8", "backslashreplace"))

    def _take_stderr(self) -> None:
        if self._above is None and _same_file(sys.stderr, self._descriptor):
            self._above = _Above(self, sys.stderr)
            sys.stderr = self._above

    def _give_stderr_back(self) -> str:
        above, self._above = self._above, None
        if above is None:
            return ""
        if sys.stderr is above:
            sys.stderr = above.stream
        return above.begun


class _Above(io.TextIOBase):
    """Standard error while a screen is on its terminal: each line that is whole is written above the block."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        self.stream = stream
        self.begun = ""
        """The beginning of a line that is not whole yet."""
        self._screen = screen

    def write(self, text: str) -> int:
        whole, newline, self.begun = (self.begun + text).rpartition("\n")
        if newline:
            self._screen.above(whole + newline)
        return len(text)

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()


def _same_file(stream: Any, descriptor: int) -> bool:
    try:
        return os.path.sameopenfile(stream.fileno(), descriptor)
    except (AttributeError, OSError, ValueError):
        # There is no standard error, or it is no file.
        return False
