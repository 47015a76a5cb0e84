"""A real terminal: a shell in a tmux server of its own, what its screen shows, and keys for it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pytest
from support.servers import server

T = TypeVar("T")

PROMPT = "prompt>"


class Terminal:
    """``columns`` wide and ``lines`` high, with a shell at its prompt; the end of a ``with`` ends what runs in it."""

    def __init__(self, columns: int = 120, lines: int = 30) -> None:
        program = server("tmux")
        if program is None:
            pytest.skip("tmux is missing: scripts/setup-engine installs it")
        self._work = Path(tempfile.mkdtemp(prefix="statspout-terminal-"))
        self._tmux = (program, "-u", "-S", str(self._work / "tmux"), "-f", os.devnull)
        shell = ["env", "-i", f"PATH={os.environ['PATH']}", "LANG=C.UTF-8", "TERM=screen", f"PS1={PROMPT} "]
        if os.environ.get("PYTHONSAFEPATH"):
            shell.append(f"PYTHONSAFEPATH={os.environ['PYTHONSAFEPATH']}")
        shell += [shutil.which("bash") or "sh", "--norc", "--noprofile"]
        self._call("new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", str(self._work), shlex.join(shell))
        self.until(lambda: self.screen[0].startswith(PROMPT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._call("kill-server")
        shutil.rmtree(self._work, ignore_errors=True)

    def run(self, *arguments: str, before: str = "", after: str = "") -> None:
        """Type the command ``python -m statspout`` with these arguments, and what is to stand around it."""
        command = shlex.join([sys.executable, "-m", "statspout", *arguments])
        # A screen that is clear, so that what is looked for is not the command itself.
        self.type(f"clear; {before} {command} {after}")

    def type(self, text: str) -> None:
        """Type a line."""
        self._call("send-keys", "-l", text)
        self.press("Enter")

    def press(self, key: str) -> None:
        """Press a key by tmux's name of it."""
        self._call("send-keys", key)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program that runs in it."""
        shell = self._call("display", "-p", "#{pane_pid}").strip()
        program = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(program[-1]), number)

    def resize(self, columns: int, lines: int) -> None:
        """Make it another size."""
        self._call("resize-window", "-x", str(columns), "-y", str(lines))

    @property
    def screen(self) -> list[str]:
        """The lines that it shows, without spaces at their ends."""
        return self._call("capture-pane", "-p").split("\n")[:-1]

    @property
    def codes(self) -> str:
        """The same with the codes of what is bold or coloured."""
        return self._call("capture-pane", "-p", "-e")

    @property
    def as_found(self) -> bool:
        """Whether the cursor is visible, lines wrap, and the usual screen is shown."""
        return self._call("display", "-p", "#{cursor_flag} #{wrap_flag} #{alternate_on}").split() == ["1", "1", "0"]

    @property
    def ended(self) -> bool:
        """Whether the cursor waits behind the shell's prompt."""
        row = int(self._call("display", "-p", "#{cursor_y}"))
        return self.screen[row] == PROMPT

    def until(self, look: Callable[[], T | None], timeout: float = 60.0) -> T:
        """What ``look`` returns, as soon as that is true in the sense of ``if``; an error of a look too early is no."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if found := look():
                    return found
                reason = f"{found!r}"
            except (AssertionError, IndexError, ValueError) as error:
                reason = str(error)
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {reason}; the screen:\n" + "\n".join(self.screen))
            time.sleep(0.05)

    def _call(self, *arguments: str) -> str:
        return subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True, timeout=60).stdout
