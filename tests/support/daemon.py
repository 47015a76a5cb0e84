"""The program as its users run it: a process of the installed package, looked at from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from support.standstill import PATIENCE, running_time
from support.web import Answer, Client

T = TypeVar("T")

_MODULE = ("-m", "statspout")
_PROGRAM = (sys.executable, *_MODULE)
_LONGEST_END = 15.0
"""Seconds, ten of them for what is queued."""

_SHORT_END = 1.0


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run came to."""

    code: int
    out: str
    err: str


def run_program(*arguments: str, environ: Mapping[str, str] | None = None, timeout: float = PATIENCE) -> Finished:
    """Run ``python -m statspout`` to its end."""
    with tempfile.TemporaryDirectory(prefix="statspout-run-") as work:
        done = subprocess.run(
            [*_PROGRAM, *arguments],
            cwd=work, env=_environment(environ), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    return Finished(done.returncode, done.stdout, done.stderr)


class Daemon:
    """``python -m statspout`` with these arguments; `close()`, or the end of a ``with``, ends it and what it wrote.

    It runs in a directory of its own, so that the installed package is what runs. ``stdout`` is a file descriptor to
    use instead of the file that ``lines`` and ``samples`` read; ``program`` are Python's own arguments.
    """

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        stdout: int | None = None,
        program: Sequence[str] = _MODULE,
    ) -> None:
        self._work = Path(tempfile.mkdtemp(prefix="statspout-daemon-"))
        self._out, self._err = self._work / "stdout", self._work / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=self._work, env=_environment(environ), stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout, stderr=err,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # What it wrote

    @property
    def out(self) -> str:
        """All of its standard output so far."""
        return self._out.read_text(errors="replace")

    @property
    def log(self) -> str:
        """All of its standard error so far."""
        return self._err.read_text(errors="replace")

    def samples(self, name: str | None = None) -> list[dict[str, Any]]:
        """The objects of its complete lines with ``--stdout.format=json``; of one container, or of all."""
        found = [json.loads(line) for line in self.out.splitlines(keepends=True) if line.endswith("\n")]
        return [sample for sample in found if name in (None, sample["name"])]

    def wait_for_line(self, text: str, timeout: float = PATIENCE) -> str:
        """The first line of its log that has ``text`` in it."""
        return self.eventually(lambda: next((line for line in self.log.splitlines() if text in line), ""), timeout)

    # What it serves

    def get(self, path: str, setting: str = "rest.address") -> Answer:
        """Ask at the address that ``setting`` gave; with port 0, the log says which it has become."""
        line = self.wait_for_line(f" {setting}: http://")
        port = re.search(r"http://127\.0\.0\.1:(\d+)$", line)
        assert port is not None, line
        return Client(int(port[1])).ask(path)

    def stats(self) -> dict[str, dict[str, Any]]:
        """What GET /stats says, by container name."""
        answer = self.get("/stats")
        assert answer.status == 200, answer
        return {container["name"]: container for container in answer.json()}

    # Its life

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until it ends."""
        return self._process.poll() is None

    def eventually(self, look: Callable[[], T | None], timeout: float = PATIENCE) -> T:
        """What ``look`` returns, as soon as that is true in the sense of ``if``; within so many seconds that we ran."""
        deadline = running_time() + timeout
        while not (found := look()):
            if not self.running and not (found := look()):
                raise AssertionError(f"it ended with {self._process.returncode}; its log:\n{self.log}")
            if running_time() > deadline:
                raise AssertionError(f"not within {timeout:g} s, but {found!r}; its log:\n{self.log}")
            time.sleep(0.02)
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float = _LONGEST_END) -> int:
        """Wait for its end; the exit code, as Python's subprocess has it."""
        deadline = running_time() + timeout
        while self.running:
            if running_time() > deadline:
                raise AssertionError(f"it did not end within {timeout:g} s; its log:\n{self.log}")
            time.sleep(0.01)
        return self._process.wait()

    def terminate(self, timeout: float = _LONGEST_END) -> int:
        """Ask it to end with SIGTERM, and wait; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def close(self) -> None:
        """End it, whatever it does, and remove what it wrote. It has little time for that: `terminate` gives more."""
        if self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_SHORT_END)
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._work, ignore_errors=True)


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, without the settings that would reach the program by it, and ``more``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STATSPOUT_", "DOCKER_"))}
    return kept | dict(more or {})
