"""statspout listen: what it prints, waits for and finds wrong, and what each server would say of a line."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support.influxdb import free_port
from support.statsd_lines import SERVERS, TAKEN

from statspout.client.addresses import Address
from statspout.client.dialects import DIALECTS, series, set_gauge
from statspout.cmd.listen import Listener, Wanted, environment, parsed_place
from statspout.cmd.main import main
from statspout.sources.apps.statsd.rules import RULES, problem

SEND = """
import os, socket, sys
host, _, port = os.environ["FLUX_FRIPP_STATSD"].rpartition(":")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for packet in sys.argv[1:]:
        sender.sendto(packet.encode(), (host, int(port)))
"""


def sends(*packets: str, then: str = "") -> list[str]:
    """A command that sends these packets to where its environment says, and ends."""
    return ["--", sys.executable, "-S", "-c", SEND + then, *packets]


# What servers take


@pytest.mark.parametrize(("line", "servers"), TAKEN.items())
def test_who_takes_a_line(line: bytes, servers: set[str]) -> None:
    assert {server for server in SERVERS if problem(line, server) is None} == servers


@pytest.mark.parametrize(
    ("line", "dialect", "told"),
    [
        (b"a:b|g", "etsy", "the value 'b' is wrong: a decimal number is right"),
        (b"a:1|h", "etsy", "the type 'h' is not taken for what it is: one of c, g, ms, s is right"),
        (b"a.:1|c", "brubeck", "the name 'a.' is wrong: letters, digits, _ and - with dots between are right"),
        (b"a:1|c|#k:v", "brubeck", "tags in the style of dogstatsd are not read: none is right"),
        (b"a,k=v:1|c", "etsy", "tags in the style of influx are not read: that of graphite or dogstatsd is right"),
        (b"a:1|c|#k:v|@0.5", "etsy", "there is a section behind the tags: tags at the end are right"),
        (b"a:1|c|@1e-1", "etsy", "the rate has an exponent: digits and a point are right"),
        (b"a:-1|ms", "telegraf", "the value '-1' of a timer is negative: 0 or more is right"),
        (b"a:1.5|c", "telegraf", "the value '1.5' of a counter would be cut to 1: a whole number is right"),
        (b"a:1:2|g", "statsd_exporter", "several values before the type 'g': a line for each is right"),
        (b"a:1|c:2|c", "dogstatsd", "several values with a type each: a line for each is right"),
        (b"a:x:y|s", "etsy", "a colon in the value of a set: none is right"),
        (b"a:1|c|e:x", "statsd_exporter", "the section 'e:x' is not taken"),
        (b"a:1|c\r", "gostatsd", "white space around the line, such as a carriage return: none is right"),
        (b"", "brubeck", "an empty line: none is right"),
        (b"_sc|a|0", "gostatsd", "service checks are not taken"),
        (b"_e{1,1}:a|b", "etsy", "events are not taken"),
    ],
)
def test_why_a_line_is_not_taken(line: bytes, dialect: str, told: str) -> None:
    assert problem(line, dialect) == told


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_what_our_client_writes_in_a_dialect_its_server_takes(dialect: Any) -> None:
    assert set(RULES) == set(DIALECTS)
    head, tail = series(dialect, "a b/c", {"env": "prod", "url": "a:b|c,d=e;f"})
    lines = [f"{head}:1|{letter}{tail}" for letter in dialect.types.values()]
    lines += set_gauge(dialect, head, tail, -1.5).split("\n")
    assert {line: problem(line.encode(), dialect.name) for line in lines} == dict.fromkeys(lines)


# The command


def test_a_command_is_run_and_what_it_sends_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["listen", "-w", "2", *sends("a:1|c\nb:2|g", "c:3|ms\n")])
    out, err = capsys.readouterr()
    assert (code, out) == (0, "a:1|c\nb:2|g\nc:3|ms\n")
    assert err.startswith("listening at udp://127.0.0.1:")


def test_a_packet_is_as_long_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    lines = "\n".join(f"flux.0.metric.number.{number}:{number}|C" for number in range(1000))
    assert main(["listen", "-V", *sends(lines)]) == 0
    assert capsys.readouterr().out == f"{lines}\n"


CASES: dict[str, tuple[list[str], int, str]] = {
    "what is searched for": (["-s", "placed", *sends("a:1|c", "orders.placed:1|c|#k:v")], 0, ""),
    "nothing": (["-t", "0.1", "--", "true"], 1, "0 packets of 1 came within 0.1 s"),
    "a command that fails": (sends("a:1|c", then="sys.exit(3)"), 1, "the command ended with 3"),
    "a command that is killed": (sends("a:1|c", then="os.kill(os.getpid(), 9)"), 1, "the command ended by signal 9"),
    "a command without end": (["-t", "0.1", "--", "sleep", "60"], 1, "0 packets of 1 came within 0.1 s"),
    "a malformed line": (["-V", *sends("a:b|g")], 1, "malformed: \"a:b|g\": the value 'b' is wrong: a decimal number"),
    "by the rules of a server": (["-V", "--dialect=etsy", *sends("a:1|C")], 1, "a:1|C\": the type 'C' is not taken"),
    "not validated": (sends("a:b|g"), 0, ""),
    "glued lines": (["-V", *sends("flux.3.a:5|Cflux.3.b:6|C")], 1, "malformed: "),
    "what ends in g or C": (["-V", *sends("no metric at all C")], 1, "has no colon: name:value|type is right (stats"),
}


@pytest.mark.parametrize(("arguments", "code", "told"), CASES.values(), ids=CASES)
def test_each_end_has_its_exit_code_and_its_reason(
    arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", *arguments]) == code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted(metric="placed"), "no placed came within 0.01 s"),
        (Wanted(packets=3), "1 packet of 3 came within 0.01 s"),
    ],
)
def test_what_does_not_come_in_time(wanted: Wanted, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(Address("udp", "127.0.0.1"), wanted) as listener:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"a:1|c|#k:placed", (listener.place.host, listener.place.port))
        assert listener.listen(0.01) == 1
    assert capsys.readouterr() == ("a:1|c|#k:placed\n", f"{told}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--wait-for=0"], "argument -w/--wait-for: '0' is wrong: a whole number of 1 or more is right"),
        (["-t", "soon"], "argument -t/--timeout: 'soon' is wrong: a number of 0 or more is right"),
        (["-s", ""], "argument -s/--search-for: it is empty: a part of a metric's name is right"),
        (["--dialect=graphite"], "argument --dialect: invalid choice: 'graphite'"),
        (["--address=nowhere"], "--address: 'nowhere' is wrong: host:port, udp://, tcp:// or unix:///path is right"),
        (["--address=unix://x"], "--address: 'unix://x' is wrong: host:port, udp://, tcp:// or unix:///path is right"),
        (
            ["--address=unix:///nowhere/x"],
            "--address: unix:///nowhere/x cannot be listened on: No such file or directory: another path is right",
        ),
        (
            ["--address=" + "a" * 64 + ":1"],
            f"--address: udp://{'a' * 64}:1 cannot be listened on: '{'a' * 64}' is no host name",
        ),
        (
            ["--address=192.0.2.1:1"],
            "--address: udp://192.0.2.1:1 cannot be listened on: cannot assign requested address: an address",
        ),
        (["--nonsense"], "unrecognized arguments: --nonsense: statspout listen --help says what is right"),
        (["program"], "unrecognized arguments: program: statspout listen --help says what is right"),
        (["--"], "there is no command behind --: a program and its arguments are right"),
        (["--", "/nowhere/program"], "'/nowhere/program' cannot be run: No such file or directory: a program is right"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"statspout: {told}" in [line[: len(f"statspout: {told}")] for line in err.splitlines()]


def test_the_help_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--search-for METRIC" in out
    assert all(name in out for name in RULES)


def test_help_among_the_commands_arguments_is_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", *sends("a:1|c"), "--help"]) == 0
    assert capsys.readouterr().out == "a:1|c\n--help\n"


def test_what_steers_a_terminal_or_is_no_text_is_shown_and_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(Address("udp", "127.0.0.1"), Wanted(dialect="statspout")) as listener:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"a\x1b[2J\xff:1|c", (listener.place.host, listener.place.port))
        assert listener.listen(5) == 1
    out, err = capsys.readouterr()
    assert out == "a\\x1b[2J\\xff:1|c\n"
    assert "\x1b" not in err


# Where it listens


def _tcp(place: Address) -> socket.socket:
    return socket.create_connection((place.host, place.port), 5)


def test_a_line_without_an_end_is_told_and_its_connection_closed(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = Wanted(packets=1, dialect="statspout")
    with Listener(Address("tcp", "127.0.0.1"), wanted) as listener, _tcp(listener.place) as endless:
        sender = threading.Thread(target=_flood, args=(endless, listener.place))
        sender.start()
        assert listener.listen(30) == 1
        sender.join(10)
    out, err = capsys.readouterr()
    assert out.endswith("\na:1|c\n")
    assert "there is no newline in 65536 bytes: the connection is closed" in err


def _flood(connection: socket.socket, place: Address) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(b"x" * 65_536)
    with _tcp(place) as other:
        other.sendall(b"a:1|c\n")


def test_without_room_for_a_connection_those_that_are_there_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Wanted(packets=2)
    with Listener(Address("tcp", "127.0.0.1"), wanted) as it, _tcp(it.place) as one, _tcp(it.place) as two:
        os.close(free := os.dup(one.fileno()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, before[1]))
        try:
            for sender, line in ((one, b"a:1|c\n"), (two, b"b:1|c\n")):
                sender.sendall(line)
                sender.shutdown(socket.SHUT_WR)
            assert it.listen(10) == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a:1|c", "b:1|c"]
    assert "no more connections until one ends: Too many open files" in err


def test_over_tcp_lines_count_and_the_last_needs_its_newline(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(Address("tcp", "127.0.0.1"), Wanted(packets=3, dialect="statspout")) as listener:
        with _tcp(listener.place) as one, _tcp(listener.place) as two:
            one.sendall(b"a:1|c\nb:")
            two.sendall(b"x:1|c\n")
            one.sendall(b"2|g\nleft:1|c")
        assert listener.listen(5) == 1
        while listener._turn(0):
            pass
    out, err = capsys.readouterr()
    assert sorted(out.splitlines())[:3] == ["a:1|c", "b:2|g", "left:1|c"]
    assert 'malformed: "left:1|c": there is no newline at its end (statspout)' in err


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "statsd.sock"


def test_a_unix_socket_is_gone_in_the_end(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(Address("unix", str(path)), Wanted()) as listener:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"a:1|c", str(path))
        assert listener.listen(5) == 0
    assert capsys.readouterr().out == "a:1|c\n"
    assert not path.exists()


def test_ipv6(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(parsed_place("[::1]:0"), Wanted()) as listener:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"a:1|c", (listener.place.host, listener.place.port))
        assert listener.listen(5) == 0
    assert capsys.readouterr().out == "a:1|c\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("127.0.0.1:9", {"STATSPOUT_CLIENT_STATSD": "127.0.0.1:9", "FLUX_FRIPP_STATSD": "127.0.0.1:9"}),
        (":9", {"STATSPOUT_CLIENT_STATSD": "127.0.0.1:9", "FLUX_FRIPP_STATSD": "127.0.0.1:9"}),
        ("[::]:9", {"STATSPOUT_CLIENT_STATSD": "[::1]:9"}),
        ("tcp://127.0.0.1:9", {"STATSPOUT_CLIENT_STATSD": "tcp://127.0.0.1:9"}),
        ("unix:///run/s", {"STATSPOUT_CLIENT_STATSD": "unix:///run/s"}),
    ],
)
def test_what_a_command_is_told_of_the_address(text: str, told: dict[str, str]) -> None:
    assert environment(parsed_place(text)) == told


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(Address("udp", "127.0.0.1", free_port()), Wanted()) as listener:
        assert main(["listen", f"--address={listener.place}"]) == 2
    assert (
        f"--address: {listener.place} cannot be listened on: address already in use: another port is right"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_while_the_command_is_started_ends_it_too(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            started.append(self)
            super().__init__(*arguments, **options)
            signal.raise_signal(number)

    monkeypatch.setattr("statspout.cmd.listen.subprocess.Popen", Interrupted)
    try:
        with contextlib.suppress(SystemExit):
            main(["listen", "--timeout=0", "--", "sleep", "60"])
        assert started[0].poll() == -signal.SIGTERM
    finally:
        started[0].kill()
        started[0].wait()


def test_what_the_kernel_had_no_room_for_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener(Address("udp", "127.0.0.1"), Wanted(metric="last")) as listener:
        listener._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(50):
                sender.sendto(b"a:1|c", (listener.place.host, listener.place.port))
        listener._turn(5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"last:1|c", (listener.place.host, listener.place.port))
        assert listener.listen(5) == 0
    out, err = capsys.readouterr()
    assert err == f"{51 - len(out.splitlines())} packets lost: they came faster than they are printed\n"
