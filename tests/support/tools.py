"""The installed commands for statistics files, and programs that write such files for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.daemon import Finished
from support.standstill import PATIENCE

from statspout.client.mmap import held

WEB = """
import os, sys, threading, time
from statspout.client.mmap import *
class WebStats(MmStats):
    requests = CounterField(label="requests")
    took = AverageField(label="took")
    up = BoolField(label="up")
    note = StringField(label="note")
stats = WebStats(label_prefix="web.stats.")
"""
"""What a program begins with that counts as most do."""

_WAIT = "\nprint('ready', flush=True)\nsys.stdin.read()\n"


def tool(name: str) -> str:
    """Where the installed command is."""
    return str(Path(sys.executable).with_name(name))


def run_tool(
    name: str, *arguments: object, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Finished:
    """Run the command to its end."""
    done = subprocess.run(
        [tool(name), *map(str, arguments)], env=environment(environ), cwd=cwd, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    return Finished(done.returncode, done.stdout, done.stderr)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without what tells a tool where to look, and ``more``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STATSPOUT_", "MM"))}
    return kept | dict(more or {})


def until_free(folder: Path, pid: int | None = None) -> None:
    """Wait until nobody holds a file there, or none that has this process id in its name.

    The memory of who was killed is let go when nobody looks into it any more, as ``cleanstats`` and others do.
    """
    until = time.monotonic() + PATIENCE
    while any(held(path) for path in folder.iterdir() if pid is None or f"-{pid}-" in path.name):
        assert time.monotonic() < until
        time.sleep(0.01)


class Writer:
    """A program that has statistics in a folder: it runs ``code``, and then waits for the end of a ``with``."""

    def __init__(self, folder: Path, code: str, begin: str = WEB, user: int | None = None) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-c", begin + code + _WAIT], env=environment({"MMSTATS_PATH": str(folder)}), cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=user,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.said: Sequence[str] = []
        while (line := self._process.stdout.readline().strip()) != "ready":
            assert line, f"it ended with {self._process.wait()}"
            self.said = [*self.said, line]

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it so that it can do nothing about its files; return when they are nobody's."""
        self._process.kill()
        self._process.wait()
        until_free(self._folder, self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
