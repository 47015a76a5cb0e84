"""A server that speaks MongoDB's protocol, SecantusDB: no real mongod can be had where these tests run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from pymongo import MongoClient

_START = 60.0


class MongoServer:
    """SecantusDB on a free port, with a storage that outlives :meth:`kill`; ``flags`` are its own.

    ``close()``, or the end of a ``with``, ends it and removes what it stored.
    """

    def __init__(self, *flags: str) -> None:
        program = Path(sys.executable).parent / "secantusd-py"
        if not program.exists():
            pytest.skip("needs SecantusDB: pip install secantusdb")
        self._program = str(program)
        self._work = Path(tempfile.mkdtemp(prefix="statspout-mongodb-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._client: MongoClient[dict[str, Any]] | None = None
        self.port = 0
        self.start(*flags)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """Where it is."""
        return f"mongodb://{self.address}"

    @property
    def client(self) -> MongoClient[dict[str, Any]]:
        """A client of the tests' own, without credentials."""
        if self._client is None:
            self._client = MongoClient(self.uri, serverSelectionTimeoutMS=60_000)
        return self._client

    def start(self, *flags: str) -> None:
        """Start it, at the port that it had before if it had one; return when it listens."""
        log = self._work / "log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [self._program, f"--storage-path={self._work / 'data'}", f"--port={self.port}", *flags],
                cwd=self._work, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + _START
        while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))):
            assert self._process.poll() is None, f"it ended; its log:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"not within {_START:g} s; its log:\n{log.read_text()}"
            time.sleep(0.02)
        self.port = int(found[1])

    def fail(self, *commands: str, times: int = 1, **how: Any) -> None:
        """Let the next ``times`` of these commands fail; ``how`` is failCommand's data, as ``errorCode=10107``."""
        self.client.admin.command(
            "configureFailPoint", "failCommand", mode={"times": times}, data={"failCommands": list(commands), **how}
        )

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._drop_client()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in good order."""
        self._drop_client()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_START)

    def close(self) -> None:
        """End it and remove what it stored."""
        self.kill()
        shutil.rmtree(self._work, ignore_errors=True)

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
