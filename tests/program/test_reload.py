"""SIGHUP: the configuration is read again; what it changes is changed, and all else is not disturbed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.certificates import Authority
from support.daemon import Daemon
from support.plugins import BOOK_AND_VAULT
from support.ports import free_port
from support.receiver import Receiver
from support.web import Client

from statspout.client.mmap import BaseMmStats, CounterField
from statspout.testing import FakeEngine

ZERO = "127.0.0.1:0"


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        for name in ("web", "db"):
            engine.add(name, cpu=0.5)
        yield engine


class Reloading(Daemon):
    """A daemon with a file of its settings, which can be written anew."""

    def __init__(self, file: Path, **settings: Any) -> None:
        self.file = file
        self.settings = {"interval": 1.0, "health.address": ZERO, **settings}
        self.write()
        super().__init__(f"--config={file}")

    def write(self, text: str | None = None, **changed: Any) -> None:
        """Write the file, with other settings, or with this text."""
        self.settings |= changed
        lines = [f"{key} = {_toml(value)}" for key, value in self.settings.items() if value is not None]
        # Whole at any moment, as who edits it while a daemon may read it would have it.
        aside = self.file.with_suffix(".new")
        aside.write_text(text if text is not None else "\n".join(lines))
        aside.replace(self.file)

    def reload(self, text: str | None = None, says: str = "reloaded: ", **changed: Any) -> str:
        """Write it, send SIGHUP, and wait for what is said of that; the line."""
        self.write(text, **changed)
        before = len(self.log)
        self.signal(signal.SIGHUP)
        return self.eventually(
            lambda: next(
                (line for line in self.log[before:].splitlines(keepends=True) if says in line and line[-1] == "\n"), ""
            )
        ).strip()

    def figures(self) -> dict[str, float]:
        """What the daemon says of itself, as ``name{label values}``."""
        page = self.get("/metrics", "health.address").body.decode()
        return {
            f"{sample.name}{{{','.join(sample.labels.values())}}}": sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }


def _toml(value: Any) -> str:
    return (
        f"[{', '.join(map(_toml, value))}]"
        if isinstance(value, list)
        else repr(value).lower()
        if isinstance(value, bool)
        else f'"{value}"'
        if isinstance(value, str)
        else str(value)
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "statspout.toml"


def names(daemon: Daemon) -> list[str]:
    return sorted(daemon.stats())


def has_cpu(daemon: Daemon, name: str) -> bool:
    return daemon.stats().get(name, {}).get("cpu_percent") is not None


def settings_of(engine: FakeEngine, **more: Any) -> dict[str, Any]:
    return {"socket.path": engine.socket_path, "repository": ["rest"], "rest.address": ZERO, **more}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("interval = ", "it is not TOML"),
        ('interval = "often"', "interval: 'often' is wrong: a number is right"),
        ("intervall = 1", "there is no such setting: did you mean interval?"),
        ('repository = ["nowhere"]', "nowhere"),
        ('repository = ["rest", "rest"]', "named twice"),
        ('repository = ["rest"]\n[rest]\naddress = "127.0.0.1:99999"', "rest.address"),
        ('engine = ["a"]', "a name and a URL"),
        (
            'repository = ["rest"]\n[listen]\nstatsd = ["udp://127.0.0.1:x"]',
            "listen.statsd",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_the_one_before_stays(
    engine: FakeEngine, config: Path, text: str, says: str
) -> None:
    with Reloading(config, **settings_of(engine)) as daemon:
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        line = daemon.reload(text, says="the one before it stays")
        assert says in line
        assert "Traceback" not in daemon.log
        since = daemon.figures()["statspout_samples_total{}"]
        daemon.eventually(lambda: daemon.figures()["statspout_samples_total{}"] > since)
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        assert daemon.terminate() == 0


def test_a_pipe_is_not_read_again(engine: FakeEngine, config: Path) -> None:
    """It would say nothing by now, which is no other configuration; or keep its reader for ever."""
    os.mkfifo(config)
    text = f"[socket]\npath = '{engine.socket_path}'\n[health]\naddress = '{ZERO}'\n"
    threading.Thread(target=config.write_text, args=(text,), daemon=True).start()
    with Daemon(f"--config={config}") as daemon:
        daemon.wait_for_line("2 containers to sample")
        daemon.signal(signal.SIGHUP)
        assert "--config: " in daemon.wait_for_line("cannot be read again: a file, and no pipe, is right")
        assert daemon.get("/healthz", "health.address").status == 200
        assert daemon.terminate() == 0


def test_an_address_that_another_program_has_changes_nothing(engine: FakeEngine, config: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Reloading(config, **settings_of(engine, **{"listen.statsd": [f"udp://{ZERO}"]})) as daemon,
    ):
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        port = taken.getsockname()[1]
        wanted: dict[str, Any] = {"rest.address": f"127.0.0.1:{port}", "listen.statsd": [f"tcp://127.0.0.1:{port}"]}
        for key, value in wanted.items():
            before = daemon.settings[key]
            assert f"{port} cannot be listened on" in daemon.reload(says="the one before it stays", **{key: value})
            daemon.settings[key] = before
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        statsd = daemon.wait_for_line("listen.statsd: udp://").rpartition("//")[2].partition(",")[0]
        host, _, port_text = statsd.partition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"still.heard:1|c", (host, int(port_text)))
        daemon.eventually(lambda: b"still.heard" in daemon.get("/app-stats").body)


def test_an_address_may_change_to_one_that_the_one_before_takes_in(engine: FakeEngine, config: Path) -> None:
    port = free_port()
    settings = {"rest.address": f":{port}", "listen.statsd": [f"udp://:{port}"]}
    with Reloading(config, **settings_of(engine, **settings)) as daemon:
        daemon.wait_for_line("2 containers to sample")
        changed: dict[str, Any] = {"rest.address": f"127.0.0.1:{port}", "listen.statsd": [f"udp://127.0.0.1:{port}"]}
        line = daemon.reload(**changed)
        assert "what is served is served anew, applications are listened to anew" in line
        daemon.eventually(lambda: len(Client(port).ask("/stats").json()) == 2)


def test_nothing_is_disturbed_when_nothing_is_other_than_before(engine: FakeEngine, config: Path) -> None:
    with Reloading(config, **settings_of(engine)) as daemon:
        daemon.eventually(lambda: has_cpu(daemon, "web"))
        assert daemon.reload().endswith("reloaded: nothing is other than before")
        assert has_cpu(daemon, "web")
        assert daemon.log.count("to sample") == 1


def test_what_is_served_is_served_through_a_reload_that_changes_it(engine: FakeEngine, config: Path) -> None:
    # Of an interval so long that nothing is too old to be shown, whatever the machine does meanwhile.
    with Reloading(config, **settings_of(engine, interval=60.0)) as daemon:
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        answers: list[int] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                answers.append(daemon.get("/metrics", "health.address").status)

        asking = threading.Thread(target=ask)
        asking.start()
        token = config.with_name("token")
        token.write_text("open sesame")
        daemon.reload(**{"rest.path": "/other"})
        assert len(daemon.get("/other").json()) == 2, "what was shown is shown on"
        assert {daemon.get("/stats").status, daemon.get("/other").status} == {404, 200}
        over.set()
        asking.join()
        assert set(answers) == {200}, "every request was answered"
        token.write_text("sesame")
        daemon.reload(**{"web.token-file": str(token)})
        assert daemon.get("/other").status == 401


def test_a_counter_of_an_application_goes_on_through_a_reload(engine: FakeEngine, config: Path) -> None:
    settings = {"repository": ["prometheus"], "prometheus.address": ZERO, "listen.statsd": [f"udp://{ZERO}"]}
    with Reloading(config, **settings_of(engine, **settings)) as daemon:
        place = daemon.wait_for_line("listen.statsd: udp://").rpartition("//")[2].partition(",")[0]

        def counted(times: int) -> bool:
            return (
                f" {times}\n" in daemon.get("/metrics", "prometheus.address").body.decode().partition("jobs_total{")[2]
            )

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((place.partition(":")[0], int(place.rpartition(":")[2])))
            client.send(b"jobs:5|c")
            daemon.eventually(lambda: counted(5))
            changed: dict[str, Any] = {"prometheus.labels": ["team"]}
            daemon.reload(**changed)
            assert counted(5)
            client.send(b"jobs:2|c")
            daemon.eventually(lambda: counted(7))


@pytest.mark.parametrize("path", ["", "statsd.sock"])
def test_a_gauge_is_known_through_a_reload_and_its_changes_are_of_what_it_is(
    engine: FakeEngine, config: Path, path: str
) -> None:
    address = f"unix://{config.with_name(path)}" if path else f"udp://{ZERO}"
    with Reloading(config, **settings_of(engine, **{"listen.statsd": [address]})) as daemon:
        for number, (line, value) in enumerate(((b"depth:5|g", 5), (b"depth:+1|g", 6), (b"depth:-2|g", 4))):
            _send(_place(daemon, number), line)
            daemon.eventually(partial(_depth_is, daemon, value))
            changed: dict[str, Any] = {"listen.statsd-max-series": 100 + number}
            assert "listened to anew" in daemon.reload(**changed)
            delivered = daemon.figures()["statspout_delivered_total{rest}"]
            daemon.eventually(partial(_delivered, daemon, delivered + 6))
            assert _depth_is(daemon, value)


def _place(daemon: Daemon, number: int) -> str:
    """Where it listens for StatsD after so many reloads."""

    def places() -> list[str]:
        return [line for line in daemon.log.splitlines() if " listen.statsd: " in line][number:]

    return daemon.eventually(places)[0].partition("://")[2].partition(",")[0]


def _send(place: str, line: bytes) -> None:
    host, _, port = place.rpartition(":")
    with socket.socket(socket.AF_INET if host else socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(line, (host, int(port)) if host else place)


def _depth_is(daemon: Daemon, value: float) -> bool:
    return [(one["metric"], one["value"]) for one in daemon.get("/app-stats").json()] == [("depth", value)]


def test_what_statistics_files_counted_goes_on_through_a_reload(engine: FakeEngine, config: Path) -> None:
    class Web(BaseMmStats):
        hits = CounterField()

    settings = {"listen.mmap": [f"{config.parent}/*.mmstats"], "listen.mmap-interval": 0.2}
    first, second = (Web(path=str(config.parent), filename=f"web-1-{thread}.mmstats") for thread in (1, 2))
    with Reloading(config, **settings_of(engine, **settings)) as daemon:

        def counted() -> list[int]:
            return [one["value"] for one in daemon.get("/app-stats").json()]

        first.hits.incr(2)
        second.hits.incr(5)
        daemon.eventually(lambda: counted() == [7])
        second.remove()
        daemon.eventually(lambda: daemon.figures()["statspout_mmap_files{}"] == 1)
        for interval in (0.3, 0.4):
            changed: dict[str, Any] = {"listen.mmap-interval": interval}
            assert "listened to anew" in daemon.reload(**changed)
            first.hits.incr()
            total = first.hits.value + 5
            assert daemon.eventually(lambda: found if (found := counted()) != [total - 1] else []) == [total]  # noqa: B023
    first.remove()


def test_tls_comes_and_goes_with_a_reload(engine: FakeEngine, config: Path) -> None:
    authority = Authority(config.parent / "authority")
    trusted = ssl.create_default_context(cafile=str(authority.ca))
    with Reloading(config, **settings_of(engine)) as daemon:
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        port = int(daemon.wait_for_line("rest.address: http://").rpartition(":")[2])
        files: dict[str, Any] = {
            "web.tls-cert": str(authority.cert("server")),
            "web.tls-key": str(authority.key("server")),
        }
        daemon.reload(**files)
        assert Client(port, trusted).ask("/stats").status == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            Client(port).ask("/stats")
        gone: dict[str, Any] = dict.fromkeys(files)
        daemon.reload(**gone)
        assert Client(port).ask("/stats").status == 200


def test_what_waits_for_a_dead_server_goes_to_the_one_that_a_reload_names(engine: FakeEngine, config: Path) -> None:
    with Receiver() as receiver:
        nowhere = f"http://127.0.0.1:{free_port()}"
        settings = {"socket.path": engine.socket_path, "repository": ["webhook"], "webhook.url": nowhere}
        with Reloading(config, **settings) as daemon:
            daemon.eventually(lambda: daemon.figures()["statspout_queue_samples{webhook}"] >= 6)
            assert "webhook is changed" in daemon.reload(**{"webhook.url": f"http://127.0.0.1:{receiver.server_port}"})
            daemon.eventually(lambda: sum(len(posted.json()) for posted in receiver.stored) >= 6)
            books = daemon.eventually(lambda: _balanced(daemon.figures(), "webhook"))
            assert daemon.terminate() == 0
        times = [(each["name"], each["@timestamp"]) for posted in receiver.stored for each in posted.json()]
        assert len(times) == len(set(times)), "each sample once"
        assert len(times) >= books["statspout_delivered_total{webhook}"] >= 6


def _balanced(books: dict[str, float], name: str) -> dict[str, float] | None:
    """The books, when they balance and nothing waits."""
    parts = [books[f"statspout_{part}_total{{{name}}}"] for part in ("filtered", "delivered")]
    dropped = sum(value for key, value in books.items() if key.startswith(f"statspout_dropped_total{{{name},"))
    collected = books[f"statspout_collected_total{{{name}}}"]
    return books if collected == sum(parts) + dropped and not books[f"statspout_queue_samples{{{name}}}"] else None


def test_repositories_and_filters_come_and_go(engine: FakeEngine, config: Path) -> None:
    with Reloading(config, **settings_of(engine)) as daemon, Receiver() as receiver:
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        url = f"http://127.0.0.1:{receiver.server_port}"
        line = daemon.reload(repository=["rest", "webhook"], ignore=["db"], **{"webhook.url": url})
        assert "webhook is new" in line
        assert "the engine is asked anew" in line
        daemon.eventually(lambda: receiver.stored)
        daemon.eventually(lambda: names(daemon) == ["web"])
        assert {each["name"] for posted in receiver.stored for each in posted.json()} == {"web"}
        assert "webhook is ended" in daemon.reload(repository=["rest"])
        daemon.eventually(lambda: "statspout_queue_samples{webhook}" not in daemon.figures())
        assert daemon.reload(ignore=None).endswith("reloaded: the engine is asked anew")
        daemon.eventually(lambda: names(daemon) == ["db", "web"])


def test_engines_come_and_go(engine: FakeEngine, config: Path) -> None:
    with FakeEngine() as other:
        other.add("far-web")
        both = [f"near=unix://{engine.socket_path}", f"far=unix://{other.socket_path}"]
        with Reloading(config, engine=both[:1], repository=["rest"], **{"rest.address": ZERO}) as daemon:
            daemon.eventually(lambda: names(daemon) == ["db", "web"])
            daemon.reload(engine=both)
            daemon.eventually(lambda: names(daemon) == ["db", "far-web", "web"])
            assert daemon.stats()["far-web"]["host"] == "far"
            asked = daemon.log.count("engine near (unix")
            daemon.reload(engine=both[1:])
            daemon.eventually(lambda: names(daemon) == ["far-web"])
            assert daemon.log.count("engine near (unix") == asked, "who stays is not asked anew"
            assert list(daemon.get("/readyz", "health.address").json()["engines"]) == ["far"]


def test_engines_that_change_places_keep_all_their_containers(engine: FakeEngine, config: Path) -> None:
    with FakeEngine() as other:
        other.add("far-web")
        here, there = f"unix://{engine.socket_path}", f"unix://{other.socket_path}"
        settings = {"repository": ["rest"], "rest.address": ZERO}
        with Reloading(config, engine=[f"near={here}", f"far={there}"], **settings) as daemon:
            daemon.eventually(lambda: names(daemon) == ["db", "far-web", "web"])
            for one, two in (("far", "near"), ("near", "far")):
                daemon.reload(engine=[f"{one}={here}", f"{two}={there}"])
                hosts = {"db": one, "far-web": two, "web": one}
                daemon.eventually(partial(_hosts_are, daemon, hosts))
                delivered = daemon.figures()["statspout_delivered_total{rest}"]
                daemon.eventually(partial(_delivered, daemon, delivered + 6))
            assert daemon.figures()["statspout_dropped_total{rest,gone}"] == 0


def _hosts_are(daemon: Daemon, hosts: dict[str, str]) -> bool:
    return {name: one["host"] for name, one in daemon.stats().items()} == hosts


def _delivered(daemon: Reloading, count: float) -> bool:
    return daemon.figures()["statspout_delivered_total{rest}"] >= count


def test_engines_in_another_order_are_the_same_ones(engine: FakeEngine, config: Path) -> None:
    with FakeEngine() as other:
        both = [f"near=unix://{engine.socket_path}", f"far=unix://{other.socket_path}"]
        with Reloading(config, engine=both, repository=["rest"], **{"rest.address": ZERO}) as daemon:
            daemon.eventually(lambda: daemon.log.count("to sample") == 2)
            assert daemon.reload(engine=both[::-1]).endswith("reloaded: nothing is other than before")
            assert daemon.reload(engine=both[:1]).endswith("reloaded: engine far is ended")
            assert daemon.reload(engine=both).endswith("reloaded: engine far is new")


PLUGIN = '''
import sys
from statspout import Repository

class Mine(Repository):
    """One of somebody's own."""
    name = "mine"

    def __post_init__(self):
        {begins}

    def push(self, batch):
        pass

    {more}
'''


@pytest.mark.parametrize(
    ("begins", "more", "says"),
    [
        ("sys.exit('no')", "", "the one before it stays: repository mine: SystemExit: no (line 10 of mine.py)"),
        ("raise OSError('no')", "", "the one before it stays: repository mine: OSError: no (line 10 of mine.py)"),
        ("pass", "interval = property(lambda self: 1)", "the reload failed by a fault of its own"),
        ("pass", "1 +", "it does not import: SyntaxError: invalid syntax (line 15)"),
    ],
)
def test_a_plugin_that_is_broken_by_now_does_not_end_the_program(
    engine: FakeEngine, config: Path, begins: str, more: str, says: str
) -> None:
    plugin = config.with_name("mine.py")
    plugin.write_text(PLUGIN.format(begins="pass", more=""))
    with Reloading(config, **settings_of(engine, repository=["rest", "mine"], plugin=[f"{plugin}:Mine"])) as daemon:
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        plugin.write_text(PLUGIN.format(begins=begins, more=more))
        daemon.reload(says=says)
        since = daemon.figures()["statspout_delivered_total{mine}"]
        daemon.eventually(lambda: daemon.figures()["statspout_delivered_total{mine}"] > since)
        plugin.write_text(PLUGIN.format(begins="pass", more=""))
        assert "mine is changed" in daemon.reload()


def test_what_only_a_start_reads_is_said_to_wait_for_it(engine: FakeEngine, config: Path) -> None:
    with Reloading(config, **settings_of(engine)) as daemon:
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        daemon.reload(says="--spool.dir: it is read at the start", **{"spool.dir": str(config.parent / "spool")})
        daemon.wait_for_line("nothing is other than before")
        daemon.reload(**{"log.format": "json"})
        daemon.eventually(lambda: daemon.log.splitlines()[-1])
        daemon.reload(says='"message": "reloaded: nothing', **{"spool.dir": None})


def test_a_repository_that_a_reload_ends_delivers_what_it_has_though_the_program_ends_too(config: Path) -> None:
    plugin, book = config.with_name("book.py"), config.with_name("book")
    plugin.write_text(BOOK_AND_VAULT)
    settings: dict[str, Any] = {
        "repository": ["rest", "book"],
        "book.seconds": 0.5,
        "plugin": [f"{plugin}:Book"],
        "book.path": str(book),
        "interval": 60.0,
    }
    with FakeEngine() as engine:
        for number in range(8):
            engine.add(f"web-{number}")
        with Reloading(config, **settings_of(engine, **settings)) as daemon:
            daemon.eventually(lambda: daemon.figures()["statspout_collected_total{book}"] == 8)
            daemon.reload(says="book is ended", repository=["rest"], **{"book.path": None, "book.seconds": None})
            assert daemon.terminate() == 0
            assert [line.split()[0] for line in book.read_text().splitlines()] == ["begun", "stored"] * 8
            assert "lost" not in daemon.log


def test_many_signals_in_a_row_and_one_to_end_it(engine: FakeEngine, config: Path) -> None:
    with Reloading(config, **settings_of(engine)) as daemon:
        daemon.eventually(lambda: names(daemon) == ["db", "web"])
        for number in range(20):
            daemon.write(**{"rest.path": f"/stats{number}"})
            daemon.signal(signal.SIGHUP)
            time.sleep(0.01)
        daemon.eventually(lambda: daemon.get("/stats19").status == 200)
        daemon.signal(signal.SIGHUP)
        assert daemon.terminate() == 0
