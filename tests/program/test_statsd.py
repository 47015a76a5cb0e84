"""The program as a StatsD server: what applications send over real sockets comes out as records."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import Daemon, run_program
from support.metrics import Heard
from support.standstill import stood_still


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Listens on UDP and TCP, and at a unix socket, beside a simulated engine; one second."""
    folder = tmp_path_factory.mktemp("heard")
    heard = Heard(
        folder, "--interval=1", "--host.name=here", "--health.address=127.0.0.1:0", "--listen.statsd-gauges=0",
        statsd=f"127.0.0.1:0,unix://{folder}/statsd.sock",
    )  # fmt: skip
    with heard.daemon:
        heard.daemon.wait_for_line("listen.statsd: unix://")
        yield heard


def test_every_type_comes_out_as_what_it_is(heard: Heard) -> None:
    before = stood_still()
    heard.udp(
        b"t.c:1|c\nt.c:1|c|@0.5\nt.g:5|g\nt.g:-7|g\nt.ms:10|ms\nt.ms:20|ms\nt.s:a|s\nt.s:b|s\nt.s:a|s\n"
        b"t.h:1:2:3|h|#k:v\nt.abs:5|C\nt.abs:9|C\n_e{1,2}:t|on\n_sc|t.sc|2|m:bad\n"
    )
    counter, gauge, timer = heard.first("t.c"), heard.first("t.g"), heard.first("t.ms")
    assert (counter["kind"], counter["value"], counter["host"]) == ("counter_delta", 3, "here")
    assert 0 < counter["interval_s"] < 2 + stood_still() - before  # the first one is as short as it happens to be
    assert (gauge["kind"], gauge["value"]) == ("gauge", -2)
    assert (timer["kind"], timer["unit"], timer["value"]["mean"], timer["value"]["count"]) == ("timer", "ms", 15, 2)
    assert timer["value"]["percentiles"] == {"50": 10, "90": 20, "95": 20, "99": 20}
    assert (heard.first("t.s")["kind"], heard.first("t.s")["value"]) == ("set", 2)
    assert (heard.first("t.h")["kind"], heard.first("t.h")["tags"]) == ("histogram", {"k": "v"})
    assert (heard.first("t.abs")["kind"], heard.first("t.abs")["value"]) == ("counter_delta", 4)
    assert (heard.first("t")["kind"], heard.first("t")["value"]) == ("text", "on")
    assert (heard.first("t.sc")["value"], heard.first("t.sc")["context"]) == (2, "bad")


def test_tcp_lines_may_come_in_pieces_and_the_last_one_without_its_end(heard: Heard) -> None:
    with socket.create_connection(heard.address("tcp")) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"tcp.a:1|c\ntcp", b".a:2|", b"c\r\n" + b"x" * 9000, b"x:1|c\ntcp.b:7|c"):
            connection.sendall(piece)
            time.sleep(0.01)
    assert heard.first("tcp.b")["value"] == 7
    assert sum(record["value"] for record in heard.of("tcp.a")) == 3
    assert 'statspout_statsd_bad_lines_total{kind="too_long"} 1' in metrics(heard)


def test_a_unix_socket_takes_datagrams(heard: Heard) -> None:
    path = heard.daemon.wait_for_line("listen.statsd: unix://").partition("unix://")[2].partition(",")[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"unix.a:3|c\nunix.a:4|c", path)
    assert heard.first("unix.a")["value"] == 7
    assert heard.first("unix.a")["container"] is None


def test_a_record_has_the_end_of_its_interval_and_what_is_not_touched_is_absent(heard: Heard) -> None:
    heard.udp(b"once.c:1|c\nonce.g:1|g")
    record = heard.first("once.c")
    heard.udp(b"later.c:1|c")
    later = heard.first("later.c")
    assert record["time_ns"] % 1_000_000_000 == later["time_ns"] % 1_000_000_000 == 0
    heard.udp(b"last.c:1|c")
    heard.first("last.c")
    assert (len(heard.of("once.c")), len(heard.of("once.g"))) == (1, 1)


def test_a_value_with_a_time_of_its_own_keeps_it(heard: Heard) -> None:
    heard.udp(b"old.c:1|c|T1700000000\nold.c:2|c|T1700000000\nold.g:5|g|T1700000001")
    assert (heard.first("old.c")["time_ns"], heard.first("old.c")["value"]) == (1_700_000_000_000_000_000, 3)
    assert heard.first("old.c")["interval_s"] is None
    assert heard.first("old.g")["time_ns"] == 1_700_000_001_000_000_000


def test_bad_lines_are_counted_by_kind_and_hurt_no_other(heard: Heard) -> None:
    heard.udp(b"bad.x:1|y\nbad.x:nan|c\n\xff:1|c\nbad.ok:1|c\nbad.ok:x|c\n")
    assert heard.first("bad.ok")["value"] == 1
    text = metrics(heard)
    for kind, count in {"type": 1, "value": 2, "encoding": 1}.items():
        assert f'statspout_statsd_bad_lines_total{{kind="{kind}"}} {count}\n' in text
    assert "statsd: a bad line (type): the type 'y' is wrong" in heard.daemon.log


def test_the_marks_of_a_simulated_container_name_it(heard: Heard) -> None:
    sample = heard.daemon.eventually(lambda: [r for r in heard.records() if r["kind"] == "sample"])[0]
    heard.udp(f"mine:1|c|c:ci-{sample['container']['id']}\nnobodys:1|c|c:{'0' * 64}".encode())
    assert heard.first("mine")["container"] == sample["container"]
    assert heard.first("mine")["host"] == sample["host"]
    assert heard.first("nobodys")["container"] is None


def metrics(heard: Heard) -> str:
    return heard.daemon.get("/metrics", "health.address").body.decode()


def test_what_came_before_the_end_is_told_at_the_end(tmp_path: Path) -> None:
    heard = Heard(tmp_path, "--interval=600", statsd=f"127.0.0.1:0,unix://{tmp_path}/s.sock")
    with heard.daemon:
        heard.udp(b"end.c:1|c", b"end.c:2|c")
        with socket.create_connection(heard.address("tcp")) as connection:
            connection.sendall(b"end.c:4|c\n")
            heard.daemon.eventually(lambda: established(connection))
            assert heard.daemon.terminate() == 0
        assert [record["value"] for record in heard.of("end.c")] == [7]
        assert 0 < heard.of("end.c")[0]["interval_s"] < 600
        assert not (tmp_path / "s.sock").exists()


def established(connection: socket.socket) -> bool:
    """Whether all that was sent has been received at the other end."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


def test_a_port_that_is_taken_ends_the_start_with_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = run_program("--demo", f"--listen.statsd=127.0.0.1:{port}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"--listen.statsd: 127.0.0.1:{port} cannot be listened on: address already in use" in done.err


def test_a_live_unix_socket_is_not_taken_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        done = run_program("--demo", f"--listen.statsd=unix://{path}")
        assert (done.code, "address already in use" in done.err.lower()) == (2, True)
    with Heard(tmp_path, statsd=f"unix://{path}").daemon as daemon:
        daemon.wait_for_line(f"listen.statsd: unix://{path}")


@pytest.mark.parametrize(
    ("setting", "right"),
    [
        ("--listen.statsd=8125", ":8125, udp://host:8125"),
        ("--listen.statsd=http://:1", ":8125, udp://host:8125"),
        ("--listen.statsd=unix://relative", ":8125, udp://host:8125"),
        ("--listen.statsd=:1,udp://:1", "once is right"),
        ("--listen.statsd-percentiles=101", "99.9"),
        ("--listen.statsd-gauges=soon", "forever"),
        ("--listen.statsd-buffer=big", "512MiB"),
        ("--listen.statsd-max-series=0", "1 or more"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_remedy(setting: str, right: str) -> None:
    done = run_program("--demo", "--listen.statsd=:0", setting)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert setting.partition("=")[0] in done.err
    assert right in done.err


def test_check_says_where_it_would_listen() -> None:
    done = run_program("check", "--demo", "--listen.statsd=:8125,unix:///run/s.sock")
    assert "listen        StatsD at :8125, unix:///run/s.sock, added up every 5 s" in done.out


FEW_FILES = ("-c", "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (160, 160)); import statspout.__main__")


def test_connections_never_take_the_files_that_others_need() -> None:
    told = ("--repository=stdout", "--demo", "--health.address=127.0.0.1:0", "--listen.statsd=tcp://127.0.0.1:0")
    with Daemon(*told, program=FEW_FILES) as daemon, contextlib.ExitStack() as opened:
        host, _, port = (
            daemon.wait_for_line("listen.statsd: tcp://").rpartition("tcp://")[2].partition(",")[0].rpartition(":")
        )
        for _ in range(200):
            opened.enter_context(socket.create_connection((host, int(port))))
        daemon.wait_for_line("statsd: a connection is refused: there are 20, the most")
        text = "statspout_statsd_refused_connections_total 180\n"
        daemon.eventually(lambda: text in daemon.get("/metrics", "health.address").body.decode())


def test_a_datagram_that_is_cut_is_a_line_that_is_counted(tmp_path: Path) -> None:
    path = f"{tmp_path}/s.sock"
    heard = Heard(tmp_path, "--interval=1", "--health.address=127.0.0.1:0", statsd=f"unix://{path}")
    with heard.daemon, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        heard.daemon.wait_for_line("listen.statsd: unix://")
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        sender.sendto(b"cut.a:1|c\n" * 6554, path)
        assert heard.first("cut.a")["value"] == 6553
        text = metrics(heard)
    assert "statspout_statsd_lines_total 6554\n" in text
    assert 'statspout_statsd_bad_lines_total{kind="too_long"} 1\n' in text
