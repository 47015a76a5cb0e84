"""``statspout listen``: what StatsD clients send, line by line, waited for and checked."""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from statspout.client.addresses import PORT, Address, Transport
from statspout.cmd.arguments import Parser, number
from statspout.errors import ConfigError
from statspout.logs import counted, printed
from statspout.repository import Repository
from statspout.sources.apps.statsd.receive import LARGEST, drops_of
from statspout.sources.apps.statsd.rules import RULES, problem
from statspout.web import sockets
from statspout.web.address import parse_address, reached

VARIABLES = ("STATSPOUT_CLIENT_STATSD", "FLUX_FRIPP_STATSD")
"""Where a client is told the server's address; the second knows UDP over IPv4 only."""

_BUFFER = 4 * 1024 * 1024
"""Bytes that may wait while what came is printed; the kernel may allow less."""

_GRACE = 5.0
"""Seconds for the command to end when it is told to."""

_TRANSPORTS: Mapping[str, Transport] = {"udp": "udp", "tcp": "tcp", "unix": "unix"}

_HELP = f"""\
Usage: statspout listen [OPTIONS] [-- COMMAND...]

Print each StatsD line that comes, and end: with 0 when what was waited for came,
every line was right and the command ended with 0, else with 1.

  -s, --search-for METRIC  wait for a line with METRIC in its name
  -w, --wait-for N         wait for N packets; over TCP, lines (1)
  -t, --timeout SECONDS    wait no longer; 0 waits for ever (10)
  -V, --validate           see whether a server would take each line, and say why not
      --dialect NAME       that server: {", ".join(RULES)} (statspout)
      --address ADDRESS    where to listen: host:port, udp://, tcp:// or unix:///path
                           (127.0.0.1:{PORT}; with a command, a free port of 127.0.0.1)

The command finds the address in {VARIABLES[0]} and, for UDP over IPv4,
in {VARIABLES[1]}.

  statspout listen --wait-for=3 --validate --dialect=etsy
  statspout listen --search-for=orders.placed -- python shop.py
"""


def listen(arguments: Sequence[str], classes: Sequence[type[Repository]] = ()) -> int:  # noqa: ARG001 - as all commands
    """Print what comes; the exit code is 0, or 1 when something is missing or malformed, or the command failed.

    A wrong flag is a ConfigError.
    """
    own, command = _split(arguments)
    options = _parser().parse_args(own)
    if options.help:
        print(_HELP, end="")
        return 0
    place = parsed_place(options.address or f"127.0.0.1:{0 if command else PORT}")
    wanted = Wanted(options.search_for, options.wait_for, options.dialect if options.validate else None)
    with _ended_by_signals() as heed, Listener(place, wanted) as listener:
        print(f"listening at {listener.place}", file=sys.stderr, flush=True)
        with _running(command, listener.place) as process:
            heed()
            return listener.listen(options.timeout or float("inf"), process)


class Wanted(NamedTuple):
    """What to wait for, and, with a dialect, by whose rules each line is checked."""

    metric: str | None = None
    packets: int = 1
    dialect: str | None = None


class Listener:
    """Takes packets at a place, prints their lines, and knows when there were enough.

    It listens from the beginning; ``place`` has the port that it became. The end of a ``with`` closes it.
    """

    def __init__(self, place: Address, wanted: Wanted) -> None:
        self._wanted = wanted
        self._packets = 0
        self._seen = wanted.metric is None
        self._malformed = 0
        self._command: int | None = None
        self._selector = selectors.DefaultSelector()
        self._server = _bound(place)
        self.place = place
        if place.transport != "unix":
            self.place = Address(place.transport, *self._server.getsockname()[:2])
        take = self._accept if place.transport == "tcp" else self._datagram
        self._selector.register(self._server, selectors.EVENT_READ, take)

    def listen(self, timeout: float, process: subprocess.Popen[bytes] | None = None) -> int:
        """Print until there is enough and the process has ended, ``timeout`` seconds at most; returns the exit code."""
        deadline = time.monotonic() + timeout
        if process is None:
            self._command = 0
        else:
            ended = os.pidfd_open(process.pid)
            self._selector.register(ended, selectors.EVENT_READ, lambda: self._end(process, ended, deadline))
        while not self._done() and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        if lost := self._lost():
            self._say(f"{counted(lost, 'packet')} lost: they came faster than they are printed")
        if not self._done():
            self._say(f"{self._missing()} within {timeout:g} s")
        return int(not self._done() or self._command != 0 or self._malformed > 0)

    def _lost(self) -> int:
        """How many datagrams the kernel had no room for; only of UDP does it say so."""
        if self.place.transport != "udp":
            return 0
        return drops_of(self._server) or 0

    def _turn(self, patience: float) -> bool:
        """Take what there is, or what comes within that many seconds; False when nothing did."""
        events = self._selector.select(None if patience == float("inf") else patience)
        for key, _ in events:
            key.data()
        return bool(events)

    def _done(self) -> bool:
        if self._command is None:
            return False
        return self._command != 0 or (self._seen and self._packets >= self._wanted.packets)

    def _missing(self) -> str:
        if not self._seen:
            return f"no {self._wanted.metric} came"
        if self._packets < self._wanted.packets:
            return f"{counted(self._packets, 'packet')} of {self._wanted.packets} came"
        return "the command did not end"

    def _end(self, process: subprocess.Popen[bytes], ended: int, deadline: float) -> None:
        """The process is over: what it sent is in the sockets now, and is read before anything is decided.

        Others may send as well, without an end: there is one at the deadline.
        """
        self._selector.unregister(ended)
        os.close(ended)
        code = process.wait()
        while self._turn(0) and time.monotonic() < deadline:
            pass
        self._command = code
        if code:
            self._say(f"the command ended with {code}" if code > 0 else f"the command ended by signal {-code}")

    def _datagram(self) -> None:
        """Take one: who sends without a pause would have more of them read for ever."""
        with contextlib.suppress(BlockingIOError):
            packet = self._server.recv(LARGEST)
            self._packets += 1
            for line in packet.removesuffix(b"\n").split(b"\n"):
                self._take(line)

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as error:
            self._say(f"no more connections until one ends: {error.strerror}")
            self._selector.unregister(self._server)
            return
        connection.setblocking(False)
        rest = bytearray()
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._stream(connection, rest))

    def _stream(self, connection: socket.socket, rest: bytearray) -> None:
        """Take the whole lines of what came; each counts as a packet."""
        try:
            came = connection.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        rest += came
        *lines, left = bytes(rest).split(b"\n")
        rest[:] = left
        endless = len(left) > LARGEST
        if not came or endless:
            self._selector.unregister(connection)
            connection.close()
            if self._server not in self._selector.get_map():
                self._selector.register(self._server, selectors.EVENT_READ, self._accept)
        for line in lines:
            self._packets += 1
            self._take(line)
        if endless:
            self._take(left, f"there is no newline in {LARGEST} bytes: the connection is closed")
        elif left and not came:
            self._take(left, "there is no newline at its end")

    def _take(self, line: bytes, wrong: str | None = None) -> None:
        shown = printed(line.decode(errors="backslashreplace"))
        print(shown, flush=True)
        name = line.partition(b":")[0] if not line.startswith(b"_") else line
        self._seen = self._seen or (self._wanted.metric or "").encode() in name
        if self._wanted.dialect is None:
            return
        reason = wrong or problem(line, self._wanted.dialect)
        if reason is not None:
            self._malformed += 1
            self._say(f'malformed: "{shown}": {printed(reason)} ({self._wanted.dialect})')

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
            else:
                os.close(key.fd)
        self._server.close()
        self._selector.close()
        if self.place.transport == "unix":
            Path(self.place.host).unlink(missing_ok=True)


def parsed_place(text: str) -> Address:
    """Where ``--address`` says to listen; port 0 is a free one."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "udp", text
    transport = _TRANSPORTS.get(scheme)
    if transport is None:
        raise _wrong(text)
    if transport == "unix":
        if not rest.startswith("/") or "\0" in rest:
            raise _wrong(text)
        return Address(transport, rest)
    try:
        return Address(transport, *parse_address(rest, "address"))
    except ConfigError:
        raise _wrong(text) from None


def _wrong(text: str) -> ConfigError:
    return ConfigError(f"--address: {text!r} is wrong: host:port, udp://, tcp:// or unix:///path is right")


def _bound(place: Address) -> socket.socket:
    kind = socket.SOCK_STREAM if place.transport == "tcp" else socket.SOCK_DGRAM
    family, to = socket.AF_UNIX, place.host
    made: socket.socket | None = None
    try:
        if place.transport == "unix":
            made = socket.socket(family, kind)
            made.bind(to)
        else:
            found = _resolved(place, kind)
            # IPv4 first: it is what clients use that are told a port only.
            first = min(found, key=lambda entry: entry[0] != socket.AF_INET)
            made = socket.socket(first[0], kind)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            made.bind(first[4])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if kind == socket.SOCK_STREAM:
            made.listen()
    except OSError as error:
        if made is not None:
            made.close()
        told = (
            f"{error.strerror or error}: another path is right" if place.transport == "unix" else sockets.remedy(error)
        )
        raise ConfigError(f"--address: {place} cannot be listened on: {told}") from error
    made.setblocking(False)
    return made


def _resolved(place: Address, kind: socket.SocketKind) -> list[tuple[Any, ...]]:
    try:
        return list(socket.getaddrinfo(place.host or None, place.port, type=kind, flags=socket.AI_PASSIVE))
    except UnicodeError:
        raise OSError(f"{place.host!r} is no host name") from None


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[Callable[[], None]]:
    """SIGTERM and SIGHUP end it as Ctrl-C does: neither the command nor the unix socket stays behind.

    All of them are only noted until the function that this gives is called: what is half begun could not be ended. One
    that is to be ignored, as by nohup, stays so.
    """
    begun, noted = False, list[int]()

    def end(number: int, _: object) -> None:
        if not begun:
            noted.append(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)

    def heed() -> None:
        nonlocal begun
        begun = True
        for each in noted:
            end(each, None)

    here = threading.current_thread() is threading.main_thread()
    heeded = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {each: signal.signal(each, end) for each in heeded if here}
    try:
        yield heed
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def _running(command: Sequence[str], place: Address) -> Iterator[subprocess.Popen[bytes] | None]:
    """The command with the variables that say where to send; at the end it is ended, if it still runs."""
    if not command:
        yield None
        return
    try:
        process = subprocess.Popen(command, env={**os.environ, **environment(place)})  # noqa: S603 - it is the user's own
    except OSError as error:
        raise ConfigError(f"{command[0]!r} cannot be run: {error.strerror or error}: a program is right") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(place: Address) -> Mapping[str, str]:
    """The variables that tell a client of ``place``."""
    at = place if place.transport == "unix" else place._replace(host=reached(place.host))
    told = {VARIABLES[0]: str(at).removeprefix("udp://")}
    if at.transport == "udp" and ":" not in at.host:
        told[VARIABLES[1]] = f"{at.host}:{at.port}"
    return told


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own arguments, and the command behind ``--``."""
    if "--" not in arguments:
        return list(arguments), []
    at = list(arguments).index("--")
    command = list(arguments[at + 1 :])
    if not command:
        raise ConfigError("there is no command behind --: a program and its arguments are right")
    return list(arguments[:at]), command


def _parser() -> Parser:
    parser = Parser("statspout listen")
    parser.add_argument("-s", "--search-for", type=_text)
    parser.add_argument("-w", "--wait-for", type=number(int, 1), default=1)
    parser.add_argument("-t", "--timeout", type=number(float, 0), default=10.0)
    parser.add_argument("-V", "--validate", action="store_true")
    parser.add_argument("--dialect", choices=list(RULES), default="statspout")
    parser.add_argument("--address")
    return parser


def _text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: a part of a metric's name is right")
    return text
