"""A real sshd on a free port of this machine, with keys that live as long as it does."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from support.dockerd import free_port
from support.servers import server, server_environment

_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
LogLevel VERBOSE
{more}
"""

_CLIENT = """
Host engine-host
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/client
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known

Host stuck-host
    ProxyCommand sleep {seconds}
"""

# sshd wants a user and a folder that a machine without it does not have: only it sees them.
_IN_ITS_OWN_WORLD = """
{ cat /etc/passwd; echo sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin; } > "$0/passwd"
mount --bind "$0/passwd" /etc/passwd
mount -t tmpfs tmpfs /run
mkdir /run/sshd
exec "$1" -D -e -f "$0/config"
"""


class Sshd:
    """Lets in whoever has the key ``folder/client``; ``environ`` makes ``ssh engine-host`` lead here.

    ``ssh stuck-host`` leads nowhere: it starts a ``sleep`` of so many ``stuck_seconds`` and waits for it.
    """

    def __init__(self, folder: Path, more: str = "") -> None:
        if server("sshd") is None or server("ssh") is None:
            pytest.skip("needs sshd and ssh: run scripts/setup-engine and scripts/setup-servers on Debian")
        if os.geteuid() != 0:
            pytest.skip("needs root, to start an sshd: run the tests as root")
        self.folder = folder
        self.port = free_port()
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}")
        (folder / "config").write_text(_CONFIG.format(port=self.port, folder=folder, more=more))
        self.stuck_seconds = 100_000 + os.getpid()
        filled = _CLIENT.format(port=self.port, folder=folder, user=getpass.getuser(), seconds=self.stuck_seconds)
        (folder / "client-config").write_text(filled)
        self._program()

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which ``ssh`` uses our keys and knows ``engine-host``, and what a kill leaves is ours."""
        return {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(self.folder)}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", _IN_ITS_OWN_WORLD, self.folder, server("sshd") or "sshd"],
            env=server_environment(), stdin=subprocess.DEVNULL, stderr=(self.folder / "log").open("wb"),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._listens():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def clients(self) -> list[int]:
        """The process ids of the ssh clients that lead here."""
        return _processes(f"ssh -F {self.folder}")

    def stuck(self) -> list[int]:
        """The process ids of what ``ssh stuck-host`` started."""
        return _processes(f"sleep {self.stuck_seconds}")

    def _program(self) -> None:
        """An ``ssh`` that reads our configuration: HOME does not lead it there, for it asks the user database."""
        script = self.folder / "ssh"
        script.write_text(f'#!/bin/sh\nexec {server("ssh")} -F {self.folder}/client-config "$@"\n')
        script.chmod(0o755)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _processes(command: str) -> list[int]:
    done = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]
