"""Real Docker engines of the tests' own, beside whatever else the machine runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from support.ports import free_port as free_port

if TYPE_CHECKING:
    from support.certificates import Authority

_PREFIX = "statspout-engine-"
_BRIDGE_PREFIX = "spt"
_ENGINE_PROGRAMS = ("dockerd", "containerd", "containerd-shim", "docker-proxy")
_CGROUPS = Path("/sys/fs/cgroup")


class EngineStartError(Exception):
    """dockerd ended, or did not answer in time; the text ends with the tail of its log."""


def program(name: str) -> str | None:
    """Where a program is, the administrator's folders included: they are missing from many users' PATH."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin")


def why_no_dockerd() -> str | None:
    """Why this machine cannot start an engine for the tests, or None when it can."""
    missing = [name for name in ("dockerd", "containerd", "ip") if program(name) is None]
    if missing:
        return f"{', '.join(missing)} not found"
    return None if os.geteuid() == 0 else "not root"


class Dockerd:
    """One dockerd with its own data, containerd namespace, bridge and socket; `close()` leaves nothing of it behind.

    It survives `stop()`, `kill()` and `start()` in any order, keeps its addresses and its data meanwhile, and touches
    neither the machine's firewall nor its packet forwarding: containers reach each other and the host, not the world.
    With ``tls`` it listens on TCP too, and asks for a client certificate of that authority.
    """

    def __init__(
        self,
        *,
        data_root: Path | None = None,
        tcp: bool = False,
        tls: Authority | None = None,
        cgroup_parent: str = "/docker",
        args: Sequence[str] = (),
    ) -> None:
        self.work, self._bridge = _claim_names()
        self.data_root = data_root or self.work / "data"
        self.socket = self.work / "docker.sock"
        self.url = f"unix://{self.socket}"
        self.tcp_port = free_port() if tcp or tls else None
        self.tcp_url = f"tcp://127.0.0.1:{self.tcp_port}" if self.tcp_port else None
        self.log = self.work / "log"
        self._exec_root = self.work / "exec"
        self._pidfile = self.work / "pid"
        self._containerd_pidfile = self._exec_root / "containerd" / "containerd.pid"
        self._cgroup_parent = cgroup_parent
        self._tls = tls
        self._args = tuple(args)
        # Engines share a containerd that the machine runs: the namespace keeps them apart there, and marks our shims.
        self._namespace = "statspout-" + hashlib.sha256(str(self.data_root).encode()).hexdigest()[:12]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """True while the dockerd process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the dockerd that runs now."""
        if self._process is None or self._process.poll() is not None:
            raise ProcessLookupError("the engine does not run")
        return self._process.pid

    def start(self, timeout: float = 90.0) -> None:
        """Return when the engine answers; raise EngineStartError otherwise."""
        assert not self.running, "the engine runs already"
        self._make_bridge()
        for stale in (self.socket, self._pidfile, self._containerd_pidfile):
            stale.unlink(missing_ok=True)
        (self.work / "daemon.json").write_text("{}")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + timeout
        while not answers(self.socket):
            if not self.running or time.monotonic() > deadline:
                what = f"no answer in {timeout:.0f} s" if self.running else f"ended with {self._process.returncode}"
                self.kill()
                raise EngineStartError(f"dockerd: {what}; the end of its log:\n{self._log_tail()}")
            time.sleep(0.05)

    def stop(self, timeout: float = 40.0) -> None:
        """End dockerd as a service manager does: containers are stopped first, each within its own grace time."""
        if self._process is not None and self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End dockerd with SIGKILL; its containers live on without it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        # Its containerd dies with it, a moment later; an engine started meanwhile would take it for its own, and wait.
        with contextlib.suppress(OSError, ValueError):
            _wait_ended({int(self._containerd_pidfile.read_text())}, 5)

    def restart(self) -> None:
        """Stop, then start at the same addresses with the same data."""
        self.stop()
        self.start()

    def close(self, *, keep_data: bool = False) -> None:
        """End everything this engine started, and remove it; data outside the work dir stays when `keep_data`."""
        if keep_data:
            self.stop()
        self.kill()
        self.end_leftovers()
        for bridge in (self._bridge, *_network_bridges(self.data_root)):
            _remove_link(bridge)
        shutil.rmtree(self.work, ignore_errors=True)
        if not keep_data:
            shutil.rmtree(self.data_root, ignore_errors=True)

    def end_leftovers(self) -> None:
        """End what an engine on this data left running or mounted; nothing else of the machine is touched."""
        _end_processes(str(self.data_root), str(self.work), self._namespace)
        for place in (self.work, self.data_root):
            unmount_below(place)

    def _command(self) -> list[str]:
        setpriv, dockerd = program("setpriv"), program("dockerd") or "dockerd"
        # Should the tests be killed, the engine ends too.
        tied = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        tcp = ["--host", self.tcp_url, *self._tls_arguments()] if self.tcp_url else []
        return [
            *tied, dockerd,
            "--config-file", str(self.work / "daemon.json"),
            "--data-root", str(self.data_root),
            "--exec-root", str(self._exec_root),
            "--pidfile", str(self._pidfile),
            "--host", self.url,
            "--containerd-namespace", self._namespace,
            "--containerd-plugins-namespace", f"{self._namespace}-plugins",
            "--cgroup-parent", self._cgroup_parent,
            "--bridge", self._bridge,
            "--iptables=false", "--ip-masq=false", "--ip-forward=false",
            *tcp, *self._args,
        ]  # fmt: skip

    def _tls_arguments(self) -> list[str]:
        if self._tls is None:
            return ["--tls=false"]
        files = {"tlscacert": self._tls.ca, "tlscert": self._tls.cert("server"), "tlskey": self._tls.key("server")}
        return ["--tlsverify", *(f"--{flag}={path}" for flag, path in files.items())]

    def _make_bridge(self) -> None:
        if Path("/sys/class/net", self._bridge).exists():
            return
        _ip("link", "add", "name", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{_free_subnet()}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def _log_tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def sweep() -> None:
    """Remove what test runs that were killed left behind: their names carry the process id of a run that is gone."""
    for work in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        if owner_is_gone(work.name.removeprefix(_PREFIX)):
            _end_processes(str(work))
            unmount_below(work)
            for bridge in _network_bridges(work / "data"):
                _remove_link(bridge)
            shutil.rmtree(work, ignore_errors=True)
    for link in Path("/sys/class/net").glob(f"{_BRIDGE_PREFIX}*-*"):
        if owner_is_gone(link.name.removeprefix(_BRIDGE_PREFIX)):
            _remove_link(link.name)


def unmount_below(place: Path) -> None:
    """Unmount every file system at or under a folder, the innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(place)), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, stderr=subprocess.DEVNULL)


def _claim_names() -> tuple[Path, str]:
    """A work dir made for us alone, and a bridge name (15 characters at most) that goes with it."""
    for number in range(1000):
        suffix = f"{os.getpid()}-{number}"
        work = Path(tempfile.gettempdir(), _PREFIX + suffix)
        with contextlib.suppress(FileExistsError):
            work.mkdir(mode=0o755)
            return work, _BRIDGE_PREFIX + suffix
    raise RuntimeError(f"no free name under {tempfile.gettempdir()}")


def answers(path: Path) -> bool:
    """True when an engine answers at this socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(path))
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return connection.recv(64).split(b" ")[1:2] == [b"200"]
    return False


def owner_is_gone(suffix: str) -> bool:
    """True when the test run is gone whose process id a name ends in."""
    pid = suffix.partition("-")[0]
    return pid.isdigit() and not Path("/proc", pid).exists()


def _ip(*args: str) -> str:
    done = subprocess.run([program("ip") or "ip", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineStartError(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def _network_bridges(data_root: Path) -> set[str]:
    """The bridges of the networks that an engine's users made: one that was killed did not remove them."""
    with contextlib.suppress(OSError):
        networks = (data_root / "network" / "files" / "local-kv.db").read_bytes()
        return {name.decode() for name in re.findall(rb"br-[0-9a-f]{12}", networks)}
    return set()


def _remove_link(name: str) -> None:
    with contextlib.suppress(EngineStartError, OSError):
        _ip("link", "delete", name)


def _free_subnet() -> str:
    """The first three numbers of a /24 that no interface or route of this machine names."""
    taken = _ip("-4", "-oneline", "addr") + _ip("-4", "route")
    start = os.getpid()
    return next(s for s in (f"10.213.{(start + i) % 256}" for i in range(256)) if f" {s}." not in f" {taken}")


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    argv: tuple[str, ...]


def _processes() -> Iterator[_Process]:
    """Every process that lives now; zombies are not alive."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if state not in "ZX":
                yield _Process(int(folder.name), int(parent), tuple(argv))


def _end_processes(*marks: str) -> None:
    """Kill the engine's programs that name one of the marks, and all that run below them."""
    everything = list(_processes())
    roots = [p for p in everything if _is_engine_program(p) and any(_names(p, mark) for mark in marks)]
    doomed = {p.pid for p in roots}
    while below := {p.pid for p in everything if p.parent in doomed} - doomed:
        doomed |= below
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _wait_ended(doomed, 10)
    for shim in roots:
        _remove_cgroups(shim.argv)


def _wait_ended(pids: set[int], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while pids & {p.pid for p in _processes()} and time.monotonic() < deadline:
        time.sleep(0.02)


def _is_engine_program(process: _Process) -> bool:
    return Path(process.argv[0]).name.startswith(_ENGINE_PROGRAMS)


def _names(process: _Process, mark: str) -> bool:
    """True when an argument is the mark, or a path below it: -1 is not the start of -10."""
    return any(arg == mark or f"{mark}/" in arg for arg in process.argv)


def _remove_cgroups(shim: tuple[str, ...]) -> None:
    """Remove the empty cgroups of the container a killed shim looked after: nobody else will."""
    if "-id" not in shim:
        return
    container = shim[shim.index("-id") + 1]
    for pattern in (f"*/{container}", f"*/*/{container}", f"*/*/*/{container}", f"*/docker-{container}.scope"):
        for cgroup in _CGROUPS.glob(pattern):
            with contextlib.suppress(OSError):
                cgroup.rmdir()
