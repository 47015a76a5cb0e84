"""An engine behind ssh: one ``ssh`` process forwards its socket, and every connection shares it.

The docker command starts a process for each connection over there (``docker system dial-stdio``). Asking many
containers at once takes many connections: as many processes on both machines; and it needs docker over there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from statspout.logs import Limited
from statspout.sources.engine.address import Address

P = TypeVar("P", bound=asyncio.BaseProtocol)

log = logging.getLogger("statspout.engine")

REMOTE_SOCKET = "/var/run/docker.sock"

_LOOK = 0.02
"""Seconds between two looks for the forwarded socket, while ssh connects."""

_LONGEST_LOGIN = 30.0
"""Seconds after which an ssh that is neither up nor ended is given up."""

_GRACE = 0.5
"""Seconds for ssh to end by itself."""

_OPTIONS = (
    "BatchMode=yes",  # nobody is there to type a password
    "ConnectTimeout=10",
    "ExitOnForwardFailure=yes",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=2",
    "StreamLocalBindUnlink=yes",
    "ControlMaster=no",  # a shared connection of the user's would take the forwarding and end our process
    "ControlPath=none",
    "LogLevel=ERROR",
)

# A process that is killed cannot end its children: the kernel does (1 is PR_SET_PDEATHSIG, 15 is SIGTERM), unless the
# parent has gone before that was asked for.
_TIED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class SshAddress(Address):
    """An engine whose socket ``remote`` is on ``destination``: ``host`` or ``user@host``, as for the ssh command.

    Keys, known hosts and jumps are those of the user's own ssh configuration.
    """

    elsewhere = True
    slowest_connect = 30.0  # each attempt is a process here and a login there
    when_cut = " (as when there is no engine at that socket over there, or ssh may not forward it)"

    def __init__(self, destination: str, port: int | None = None, remote: str = REMOTE_SOCKET) -> None:
        self._destination, self._port, self._remote = destination, port, remote
        self._tunnel: _Tunnel | None = None
        self._limited = Limited(log)

    def __str__(self) -> str:
        port = f":{self._port}" if self._port else ""
        user, at, host = self._destination.rpartition("@")
        shown = f"{user}{at}[{host}]" if ":" in host else self._destination
        return f"ssh://{shown}{port}{'' if self._remote == REMOTE_SOCKET else self._remote}"

    async def connect(self, factory: Callable[[], P]) -> P:
        """Open one connection through the tunnel, which is opened, or opened again, first; or raise OSError."""
        tunnel = await self._open()
        for line in tunnel.said():
            self._limited.warning("ssh", "%s: %s", self, line)
        _, connection = await asyncio.get_running_loop().create_unix_connection(factory, str(tunnel.socket))
        return connection

    def close(self) -> None:
        """End the tunnel."""
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    async def _open(self) -> _Tunnel:
        """A tunnel that is up. Whoever has no more time to wait leaves it to the others, and to the next."""
        if self._tunnel is not None and self._tunnel.up and self._tunnel.ended:
            self.close()
        if self._tunnel is None:
            self._tunnel = _Tunnel(self._command)
        tunnel = self._tunnel
        while not tunnel.up:
            if tunnel.ended or tunnel.age > _LONGEST_LOGIN:
                reason = tunnel.last_words
                if self._tunnel is tunnel:
                    self.close()
                raise OSError(f"ssh: {reason.removeprefix('ssh: ')}")
            await asyncio.sleep(_LOOK)
        return tunnel

    def _command(self, local: Path) -> list[str]:
        port = ["-p", str(self._port)] if self._port else []
        options = [part for option in _OPTIONS for part in ("-o", option)]
        forward = ["-L", f"{local}:{self._remote}"]
        return ["ssh", "-N", "-T", "-a", "-x", *options, *port, *forward, "--", self._destination]


class _Tunnel:
    """One ssh process and the folder with its socket, which nobody else can enter."""

    def __init__(self, command: Callable[[Path], Sequence[str]]) -> None:
        if shutil.which("ssh") is None:
            raise OSError("there is no ssh program here: install an OpenSSH client")
        self._began = time.monotonic()
        self._folder = Path(tempfile.mkdtemp(prefix="statspout-ssh-"))
        self.socket = self._folder / "engine.sock"
        with (self._folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - no shell, and the destination cannot be an option
                [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command(self.socket)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self._read = 0

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    @property
    def up(self) -> bool:
        """Whether the socket is there, as it is once ssh has logged in."""
        return self.socket.exists()

    @property
    def ended(self) -> bool:
        """Whether ssh has given up, or was ended."""
        return self._process.poll() is not None

    def said(self) -> list[str]:
        """What ssh has complained of since the last call, in lines."""
        with (self._folder / "stderr").open("rb") as errors:
            errors.seek(self._read)
            text = errors.read(65536)
        self._read += len(text)
        return [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]

    @cached_property
    def last_words(self) -> str:
        """Why it is not up, by its own words."""
        code = self._process.returncode
        without = f"no login within {_LONGEST_LOGIN:g} s" if code is None else f"it ended with {code}"
        return (self.said() or [without])[-1]

    def close(self) -> None:
        """End it and remove its folder."""
        # All of its session: what it started to get there, such as a ProxyCommand, ends with it.
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        shutil.rmtree(self._folder, ignore_errors=True)
