"""A whole daemon between applications and their Redis: from a Stats() to REST, InfluxDB and lines; and into Redis."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.daemon import Daemon, run_program
from support.influxdb import Influxd, free_port
from support.redis import RedisServer, settings
from support.web import Client

from statspout.client.redis import Stats, available_stats, fetch_stats
from statspout.sources.apps.redis.cursors import Cursor
from statspout.sources.apps.redis.place import About, PlaceFile
from statspout.testing import FakeEngine


@pytest.fixture(scope="module")
def influxd() -> Iterator[Influxd]:
    with Influxd() as server:
        yield server


def reported(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    """The lines of the application's metrics of this name."""
    return [one for line in daemon.out.splitlines() if (one := json.loads(line)).get("metric") == name]


def counted(daemon: Daemon, name: str, labels: str = "") -> float:
    page = daemon.get("/metrics", "health.address").body.decode()
    found = re.search(rf"^{name}{re.escape(labels)} (\S+)$", page, re.MULTILINE)
    assert found is not None, page
    return float(found[1])


def has_looked(daemon: Daemon) -> None:
    daemon.eventually(lambda: counted(daemon, "statspout_redis_up") == 1)


COMMON = ("--demo", "--interval=1", "--host.name=here", "--health.address=127.0.0.1:0", "--stdout.format=json")


def test_what_an_application_records_goes_to_every_repository_once(
    redis: Any, redis_server: RedisServer, influxd: Influxd
) -> None:
    with Stats() as stat:
        stat("old", 1)
    with Daemon(
        *COMMON, f"--listen.redis={redis_server.url}", "--repository=stdout,rest,influxdb,redis",
        "--rest.address=127.0.0.1:0", f"--influxdb.url={influxd.url}", "--influxdb.database=recorded",
        f"--redis.url={redis_server.url}",
    ) as daemon:  # fmt: skip
        has_looked(daemon)
        with pytest.raises(ZeroDivisionError):
            bake()
        daemon.eventually(lambda: len(reported(daemon, "slices")) >= 50)
        daemon.eventually(lambda: any(one["metric"] == "slices" for one in daemon.get("/app-stats").json()))
        daemon.eventually(lambda: len(slices(influxd)) >= 50)
        rows = slices(influxd)
        lines = reported(daemon, "slices")
        assert [line["value"] for line in lines] == list(range(50))
        assert {(line["kind"], line["host"], line["context"]) for line in lines} == {
            ("gauge", "here", "the cake is a lie")
        }
        assert {line["tags"]["kind"] for line in lines} == {"cherry_pie"}
        assert sorted(row["value"] for row in rows) == list(range(50)), "none hides another"
        assert {row["context"] for row in rows} == {"the cake is a lie"}
        (error,) = reported(daemon, "errors__EXC:ZeroDivisionError")
        assert "division by zero" in error["context"]
        label = "slices;host=here,kind=cherry_pie"
        daemon.eventually(lambda: fetch_stats(label, "STATSPOUT").count == 50)
        assert "old" not in daemon.out
        assert daemon.terminate() == 0


def bake() -> None:
    with Stats() as stat:
        for value in range(50):
            stat("slices", value, context="the cake is a lie", extra_labels={"kind": "cherry pie"})
        _ = 1 / 0


def slices(influxd: Influxd) -> list[dict[str, Any]]:
    """What is there; nothing before the database is made."""
    return [row for row in influxd.rows("recorded") if row["measurement"] == "slices"]


def test_containers_are_statistics_that_readers_of_aka_stats_find(redis: Any, redis_server: RedisServer) -> None:
    with Daemon(*COMMON, "--repository=redis", f"--redis.url={redis_server.url}") as daemon:
        daemon.eventually(lambda: any("rx_bytes.rate" in one for one in available_stats("*", "STATSPOUT")))
        label = next(available_stats("statspout.cpu_percent;host=*,container=*", "STATSPOUT"))
        daemon.eventually(lambda: (fetch_stats(label, "STATSPOUT").count or 0) >= 3)
        found = fetch_stats(label, "STATSPOUT")
        assert found.min is not None
        assert found.max is not None
        assert found.avg is not None
        assert 0 <= found.min <= found.avg <= found.max


def test_what_is_recorded_in_the_last_moment_is_told(redis: Any, redis_server: RedisServer) -> None:
    with Daemon(*COMMON, "--listen.redis-interval=3600", f"--listen.redis={redis_server.url}") as daemon:
        has_looked(daemon)
        with Stats() as stat:
            stat("last", 7)
        assert daemon.terminate() == 0
        assert [line["value"] for line in reported(daemon, "last")] == [7]


def test_all_that_there_is_comes_where_it_is_asked_for(redis: Any, redis_server: RedisServer) -> None:
    with Stats() as stat:
        for value in range(3):
            stat("errors__all", value)
            stat("other", value)
    with Daemon(
        *COMMON, f"--listen.redis={redis_server.url}", "--listen.redis-from=oldest", "--listen.redis-match=errors__*"
    ) as daemon:
        daemon.eventually(lambda: len(reported(daemon, "errors__all")) >= 3)
        assert [line["value"] for line in reported(daemon, "errors__all")] == [0, 1, 2]
        assert reported(daemon, "other") == []


def test_a_redis_that_goes_and_comes_again_is_said_once_and_read_on(tmp_path: Path) -> None:
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server, settings(server.url), Daemon(
        *COMMON, f"--listen.redis={server.url}"
    ) as daemon:  # fmt: skip
        has_looked(daemon)
        with Stats() as stat:
            stat("x", 1)
        daemon.eventually(lambda: len(reported(daemon, "x")) == 1)
        server.stop()
        daemon.eventually(lambda: counted(daemon, "statspout_redis_failures_total") >= 3)
        server.start()
        with Stats(strict=True) as stat:
            stat("x", 2)
        daemon.eventually(lambda: len(reported(daemon, "x")) == 2)
        assert [line["value"] for line in reported(daemon, "x")] == [1, 2]
        assert len([line for line in daemon.log.splitlines() if "it is tried again" in line]) == 1
        assert "answers" in daemon.log
        assert "Traceback" not in daemon.log
        assert counted(daemon, "statspout_redis_missed_total") == 0


def test_a_reload_goes_on_where_it_was(redis: Any, redis_server: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "statspout.toml"
    file.write_text(f'listen.redis = "{redis_server.url}"\nlisten.redis-interval = 3600\n')
    with Daemon(*COMMON, f"--config={file}") as daemon:
        has_looked(daemon)
        with Stats() as stat:
            stat("x", 1)
        file.write_text(f'listen.redis = "{redis_server.url}"\nlisten.redis-interval = 0.2\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_line("reloaded: ")
        with Stats() as stat:
            stat("x", 2)
        daemon.eventually(lambda: len(reported(daemon, "x")) == 2)
        assert [line["value"] for line in reported(daemon, "x")] == [1, 2]


@pytest.fixture
def influxdb(influxd: Influxd, tmp_path: Path) -> tuple[str, ...]:
    """Where a daemon that outlasts itself writes to; each test has a database of its own."""
    return (
        f"--influxdb.url={influxd.url}", f"--influxdb.database={tmp_path.name}",
        f"--spool.dir={tmp_path / 'spool'}", "--listen.redis-interval=0.2", *COMMON,
    )  # fmt: skip


def rows_of(influxd: Influxd, database: str) -> list[float]:
    return sorted(row["value"] for row in influxd.rows(database) if row["measurement"] == "x")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_recorded_while_the_daemon_is_down_arrives_once(
    redis: Any,
    redis_server: RedisServer,
    influxd: Influxd,
    influxdb: tuple[str, ...],
    tmp_path: Path,
    end: signal.Signals,
) -> None:
    record(-1)
    for start in range(3):
        with Daemon(*influxdb, f"--listen.redis={redis_server.url}", "--repository=influxdb") as daemon:
            has_looked(daemon)
            record(10 * start + 1)
            daemon.eventually(lambda: 10 * start + 1 in rows_of(influxd, tmp_path.name))  # noqa: B023 - called at once
            daemon.eventually(lambda: is_kept(redis, tmp_path))
            daemon.signal(end)
            daemon.wait()
        record(10 * start + 2)
    with Daemon(*influxdb, f"--listen.redis={redis_server.url}", "--repository=influxdb,stdout") as daemon:
        daemon.eventually(lambda: len(rows_of(influxd, tmp_path.name)) >= 6)
        daemon.eventually(lambda: len(reported(daemon, "x")) == 1)
        assert daemon.terminate() == 0
        assert [line["value"] for line in reported(daemon, "x")] == [22], "nothing that was told comes again"
    assert rows_of(influxd, tmp_path.name) == [1, 2, 11, 12, 21, 22]


def record(value: float) -> None:
    with Stats(strict=True) as stat:
        stat("x", value)


def kept_in(work: Path) -> tuple[About, dict[str, bytes]] | None:
    """What the daemon's file has; a copy is read, for a reader may be in the daemon's way."""
    copy = work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in (work / "spool").glob("listen.redis.place*"):
        with suppress(OSError):
            shutil.copy(path, copy)
    file = PlaceFile(copy)
    try:
        return file.load()
    except sqlite3.Error:  # copied in the middle of a write
        return None
    finally:
        file.close()


def is_kept(redis: Any, work: Path) -> bool:
    """Whether the daemon's file has all that is in the history by now."""
    found = kept_in(work)
    place = None if found is None else found[1].get("x")
    return place is not None and Cursor.from_place(place).count == int(redis.get("AKA-STATS::COUNT::x"))


def test_killed_again_and_again_under_load_a_daemon_loses_no_record(
    redis: Any, redis_server: RedisServer, influxd: Influxd, influxdb: tuple[str, ...], tmp_path: Path
) -> None:
    recorded, stop = list[int](), threading.Event()

    def record_on() -> None:
        while not stop.is_set():
            values = range(len(recorded), len(recorded) + 5)
            with Stats(strict=True) as stat:
                for value in values:
                    stat("x", value)
            recorded.extend(values)
            time.sleep(0.05)

    with settings(redis_server.url, history_size=100_000, timeout=30.0):
        writer = threading.Thread(target=record_on)
        for seconds in (0.3, 1.1, 1.9, 0.7):
            with Daemon(*influxdb, f"--listen.redis={redis_server.url}", "--repository=influxdb") as daemon:
                has_looked(daemon)
                daemon.eventually(lambda: kept_in(tmp_path), 20)
                if not writer.is_alive():
                    writer.start()
                time.sleep(seconds)
                daemon.signal(signal.SIGKILL)
                daemon.wait()
        stop.set()
        writer.join()
        with Daemon(*influxdb, f"--listen.redis={redis_server.url}", "--repository=influxdb") as daemon:
            daemon.eventually(lambda: len(rows_of(influxd, tmp_path.name)) >= len(recorded), 20)
            assert counted(daemon, "statspout_redis_missed_total") == 0
            assert daemon.terminate() == 0
    assert rows_of(influxd, tmp_path.name) == recorded, "a repeated point is the point that it was"


def test_without_a_directory_it_is_said_what_is_not_read(redis: Any, redis_server: RedisServer) -> None:
    with Daemon(*COMMON, f"--listen.redis={redis_server.url}") as daemon:
        daemon.wait_for_line("listen.redis: without --spool.dir, what is recorded while this does not run is not read")


def test_a_reload_and_a_restart_behind_it_go_on_where_it_was(
    redis: Any, redis_server: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "statspout.toml"
    line = f'listen.redis = "{redis_server.url}"\nlisten.redis-interval = '
    common = (*COMMON, f"--config={file}", f"--spool.dir={tmp_path / 'spool'}")
    file.write_text(f"{line}0.2\n")
    with Daemon(*common) as daemon:
        has_looked(daemon)
        record(1)
        daemon.eventually(lambda: len(reported(daemon, "x")) == 1)
        file.write_text(f"{line}0.3\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_line("reloaded: ")
        record(2)
        daemon.eventually(lambda: len(reported(daemon, "x")) == 2)
        assert daemon.terminate() == 0
        assert "--spool.dir has no effect" not in daemon.log
    record(3)
    with Daemon(*common) as daemon:
        daemon.eventually(lambda: reported(daemon, "x"))
        assert daemon.terminate() == 0
        assert [line["value"] for line in reported(daemon, "x")] == [3]


def test_a_label_that_is_new_since_the_daemon_ended_is_told_from_its_beginning(
    redis: Any, redis_server: RedisServer, tmp_path: Path
) -> None:
    spool = f"--spool.dir={tmp_path / 'spool'}"
    common = (*COMMON, f"--listen.redis={redis_server.url}", "--listen.redis-interval=0.2", spool)
    record(1)
    with Daemon(*common) as daemon:
        has_looked(daemon)
        assert daemon.terminate() == 0
    with Stats(strict=True) as stat:
        stat("new", 2)
    with Daemon(*common, "--listen.redis-match=n*") as daemon:
        has_looked(daemon)
        assert daemon.terminate() == 0
        assert not reported(daemon, "new"), "other labels have their first look"
    with Stats(strict=True) as stat:
        stat("newer", 3)
    with Daemon(*common, "--listen.redis-match=n*") as daemon:
        daemon.eventually(lambda: len(reported(daemon, "newer")) == 1)
        assert daemon.terminate() == 0
        assert not reported(daemon, "x")
        assert not reported(daemon, "new")


def test_over_tls_and_with_a_password_in_both_directions(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "authority"), free_port()
    (tmp_path / "password").write_text("pa55-word")
    with RedisServer(
        "--save", "", "--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority.ca),
        "--tls-cert-file", str(authority.cert("server")), "--tls-key-file", str(authority.key("server")),
    ) as server, server.client() as client:  # fmt: skip
        client.execute_command("ACL", "SETUSER", "me", "on", ">pa55-word", "~*", "+@all")
        with settings(server.url), Daemon(
            *COMMON, f"--listen.redis=rediss://me@127.0.0.1:{port}", f"--redis.url=rediss://me@127.0.0.1:{port}",
            f"--listen.redis-password-file={tmp_path}/password", f"--redis.password-file={tmp_path}/password",
            f"--listen.redis-tls-ca={authority.ca}", f"--redis.tls-ca={authority.ca}", "--repository=stdout,redis",
        ) as daemon:  # fmt: skip
            has_looked(daemon)
            with Stats() as stat:
                stat("x", 1)
            daemon.eventually(lambda: fetch_stats("x;host=here", "STATSPOUT").count == 1)
            with Stats() as stat:
                stat("x", 2)
            assert daemon.terminate() == 0
            assert [line["value"] for line in reported(daemon, "x")] == [1, 2]
            assert "pa55" not in daemon.log


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--repository=redis", "--redis.namespace=AKA-STATS"),
            "repository redis writes to AKA-STATS in that Redis, which would be read here again, for ever: another",
        ),
        (("--listen.redis-namespace=",), "--listen.redis-namespace: it is empty: leave it out, or name one"),
        (("--listen.redis=http://x",), "--listen.redis: it is wrong: redis://host:6379/0, rediss://"),
        (("--listen.redis-tls-ca=/x",), "--listen.redis-tls-ca: it has no effect without TLS"),
    ],
)
def test_a_setting_that_cannot_be_is_said_in_a_line(arguments: tuple[str, ...], told: str) -> None:
    ended = run_program("--demo", *arguments, environ={"STATSPOUT_LISTEN_REDIS": "redis://localhost"})
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1


def test_check_and_the_log_say_where_it_reads_without_the_password() -> None:
    url = "redis://me:pa55-word@localhost:1/2"
    with FakeEngine() as engine:
        environ = {"STATSPOUT_LISTEN_REDIS": url}
        ended = run_program("check", f"--socket.path={engine.socket_path}", environ=environ)
        assert "Redis: what is recorded in AKA-STATS at redis://localhost:1/2, every 5 s" in ended.out
        with Daemon(f"--socket.path={engine.socket_path}", "--interval=1", environ=environ) as daemon:
            daemon.wait_for_line("listen.redis: what is recorded in AKA-STATS at redis://localhost:1/2, every 1 s")
            daemon.wait_for_line("it is tried again every 1 s")
            assert "pa55" not in daemon.log + ended.out + ended.err


def test_what_is_recorded_is_served_by_the_daemon_to_who_has_its_token(
    redis: Any, redis_server: RedisServer, tmp_path: Path
) -> None:
    with Stats() as stat:
        stat("oven/heat", 220)
    (tmp_path / "token").write_text("open-sesame")
    with Daemon(
        *COMMON, f"--listen.redis={redis_server.url}", "--repository=stdout", "--listen.redis-address=127.0.0.1:0",
        f"--web.token-file={tmp_path / 'token'}",
    ) as daemon:  # fmt: skip
        line = daemon.wait_for_line(" listen.redis-address: http://127.0.0.1:")
        client, path = Client(int(line.rpartition(":")[2])), "/api/v1/stats/oven/heat"
        assert client.ask(path).status == 401
        answer = client.ask(path, headers={"Authorization": "Bearer open-sesame"})
        assert (answer.status, answer.json()["avg"]) == (200, 220.0)
        assert client.ask("/api/v1/stats/none", headers={"Authorization": "Bearer open-sesame"}).status == 404


def test_a_reload_serves_what_is_recorded_or_serves_it_no_more(
    redis: Any, redis_server: RedisServer, tmp_path: Path
) -> None:
    file, port = tmp_path / "statspout.toml", free_port()
    source, address = f'listen.redis = "{redis_server.url}"\n', f'listen.redis-address = "127.0.0.1:{port}"\n'
    file.write_text(source)
    with Daemon(*COMMON, f"--config={file}") as daemon:
        has_looked(daemon)
        file.write_text(source + address)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_line(" listen.redis-address: http://127.0.0.1:")
        assert Client(port).ask("/api/v1/available-stats").status == 200
        file.write_text(source)
        daemon.signal(signal.SIGHUP)
        daemon.eventually(lambda: not listens(port))


def listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
