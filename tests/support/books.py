"""The books of a daemon through outages and kills: what the engine gave is what the destinations have."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from prometheus_client.parser import text_string_to_metric_families
from support.daemon import Daemon
from support.influxdb import Influxd, VictoriaMetrics
from support.mongodb import MongoServer
from support.receiver import Receiver
from support.redis import RedisServer
from support.standstill import PATIENCE

from statspout.testing import FakeEngine

Key = tuple[str, int]
"""What tells a sample from all others: the first 12 characters of the container's id, and its time in ns."""


class Destination(Protocol):
    """A server that can be killed and started again, and tells what it holds."""

    name: str
    stores_once: bool
    """Whether what comes twice is there once."""

    def flags(self) -> list[str]:
        """The settings that lead to it."""

    def kill(self) -> None:
        """End it at once; what it stored stays."""

    def start(self) -> None:
        """Start it again."""

    def stored(self) -> list[Key]:
        """All that it holds."""

    def close(self) -> None:
        """End it for good."""


class InfluxBooks:
    """influxd 1.x."""

    name, stores_once = "influxdb:one", True

    def __init__(self) -> None:
        self.server = Influxd().start()

    def flags(self) -> list[str]:
        return [f"--influxdb.one.url={self.server.url}", "--influxdb.one.database=books"]

    def kill(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def stored(self) -> list[Key]:
        rows = self.server.query('SELECT "pids", "id" FROM "container"', "books")
        return [(row["id"], row["time"]) for row in rows]

    def close(self) -> None:
        self.server.close()


class VictoriaBooks:
    """VictoriaMetrics, whose times are in ms, by version 2's API; it keeps points that come twice, as it is here.

    It is ended in good order: what it has acknowledged is in its memory for some seconds, and lost when it is killed.
    """

    name, stores_once = "influxdb:victoria", False

    def __init__(self) -> None:
        self.server = VictoriaMetrics().start()

    def flags(self) -> list[str]:
        return [f"--influxdb.victoria.url={self.server.url}", "--influxdb.victoria.bucket=books"]

    def kill(self) -> None:
        self.server.end()

    def start(self) -> None:
        self.server.start()

    def stored(self) -> list[Key]:
        series = self.server.series('{__name__="container_pids"}')
        return [(one["metric"]["id"], at * 1_000_000) for one in series for at in one["timestamps"]]

    def close(self) -> None:
        self.server.close()


class MongoBooks:
    """A server that speaks MongoDB's protocol, and has on disk what it acknowledges, as MongoDB with a journal does."""

    name, stores_once = "mongodb", True
    durable = "--sync-on-commit"

    def __init__(self) -> None:
        self.server = MongoServer(self.durable)

    def flags(self) -> list[str]:
        return [f"--mongodb.uri={self.server.uri}", "--mongodb.database=books"]

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start(self.durable)

    def stored(self) -> list[Key]:
        documents = self.server.client["books"]["stats"].find({}, {"container.id": 1, "time_ns": 1})
        return [(one["container"]["id"][:12], one["time_ns"]) for one in documents]

    def close(self) -> None:
        self.server.close()


class WebhookBooks:
    """A server of our own that takes what is posted."""

    name, stores_once = "webhook", False

    def __init__(self) -> None:
        self.servers = [Receiver().__enter__()]

    def flags(self) -> list[str]:
        return [f"--webhook.url={self.servers[0].url}"]

    def kill(self) -> None:
        self.servers[-1].close()

    def start(self) -> None:
        self.servers.append(Receiver(port=self.servers[0].port).__enter__())

    def stored(self) -> list[Key]:
        records = [one for server in self.servers for posted in server.stored for one in posted.json()]
        return [(one["id"][:12], nanoseconds(one["@timestamp"])) for one in records]

    def close(self) -> None:
        self.servers[-1].close()


class RedisBooks:
    """Redis, which has on disk what it acknowledges, and all samples in a stream."""

    name, stores_once = "redis:all", True

    def __init__(self) -> None:
        self.server = RedisServer("--appendonly", "yes", "--appendfsync", "always").start()

    def flags(self) -> list[str]:
        return [f"--redis.all.url={self.server.url}", "--redis.all.mode=stream", "--redis.all.max-length=10000000"]

    def kill(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    def stored(self) -> list[Key]:
        with self.server.client() as client:
            records = [json.loads(entry[b"json"]) for _, entry in client.xrange("statspout")]
        return [(one["id"][:12], nanoseconds(one["@timestamp"])) for one in records]

    def close(self) -> None:
        self.server.close()


KINDS: dict[str, type[InfluxBooks | VictoriaBooks | MongoBooks | WebhookBooks | RedisBooks]] = {
    "influxdb:one": InfluxBooks,
    "influxdb:victoria": VictoriaBooks,
    "mongodb": MongoBooks,
    "webhook": WebhookBooks,
    "redis:all": RedisBooks,
}


def nanoseconds(timestamp: str) -> int:
    """``2017-02-14T12:00:01.123456789Z`` in ns since the epoch."""
    seconds, fraction = timestamp.rstrip("Z").split(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(fraction)


@dataclass(slots=True)
class Account:
    """What became of the samples that one destination was to get."""

    name: str
    given: set[Key]
    """What the engine's own log says it gave."""
    stored: list[Key]
    excused: set[Key]
    """Given so shortly before a kill that they may not have been on disk yet."""
    counters: Counter[str] = field(default_factory=Counter)
    """What the daemons said at the end of each run: collected, delivered, restored, spooled, dropped by reason."""

    @property
    def missing(self) -> set[Key]:
        """Given, not stored and not excused."""
        return self.given - set(self.stored) - self.excused

    @property
    def strange(self) -> set[Key]:
        """Stored, though nobody gave it."""
        return set(self.stored) - self.given

    @property
    def twice(self) -> int:
        """Stored once too often."""
        return len(self.stored) - len(set(self.stored))


class Books:
    """A daemon that samples a simulated engine into ``destinations``, with a spool; all of it can fail."""

    def __init__(self, destinations: Sequence[Destination], engine: FakeEngine, work: Path, interval: float) -> None:
        self.destinations, self.engine, self._work, self._interval = destinations, engine, work, interval
        self._kills: list[int] = []
        self._counters: dict[str, Counter[str]] = {one.name: Counter() for one in destinations}
        self._daemon = self._started()

    def _started(self) -> Daemon:
        return Daemon(
            f"--repository={','.join(one.name for one in self.destinations)}",
            *(flag for one in self.destinations for flag in one.flags()),
            f"--socket.path={self.engine.socket_path}",
            f"--interval={self._interval:g}",
            f"--spool.dir={self._work}",
            "--health.address=127.0.0.1:0",
        )

    def passes(self, rounds: int) -> None:
        """Return when the engine gave so many more samples of each container: intervals, where the machine keeps up."""
        wanted = len(self.engine.answers) + rounds * len(self.engine.containers)
        self._daemon.eventually(lambda: len(self.engine.answers) >= wanted, 10 * PATIENCE)

    def outage(self) -> None:
        """Kill every destination."""
        for one in self.destinations:
            one.kill()

    def recovery(self) -> None:
        """Start every destination."""
        for one in self.destinations:
            one.start()

    def kill(self) -> None:
        """Kill the daemon, and start another."""
        self._note()
        self._daemon.signal(signal.SIGKILL)
        self._daemon.wait()
        self._kills.append(time.time_ns())
        self._daemon.close()
        self._daemon = self._started()

    def drained(self, timeout: float) -> None:
        """Let the engine have no more containers, and return when every destination has all there is."""
        self.engine.down()
        self._daemon.eventually(lambda: not any(self.said("queue_samples").values()), timeout)

    def said(self, name: str) -> dict[str, float]:
        """One of the daemon's own metrics, by repository; those with a reason are summed."""
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(self._page()):
            for sample in family.samples:
                if sample.name == f"statspout_{name}":
                    found[sample.labels["repository"]] += int(sample.value)
        return dict(found)

    def accounts(self) -> Iterator[Account]:
        """End the daemon, and hold what each destination has against what the engine gave."""
        self._note()
        self._daemon.terminate()
        given = {(id_[:12], read) for id_, read in self.engine.answers}
        # On disk within a second; a slow machine takes another half to write it.
        excused = {key for key in given for kill in self._kills if kill - 1_500_000_000 < key[1] <= kill}
        for one in self.destinations:
            rounded = 1_000_000 if one.name == "influxdb:victoria" else 1
            at_its_grain = {(id_, at // rounded * rounded) for id_, at in given}
            spared = {(id_, at // rounded * rounded) for id_, at in excused}
            yield Account(one.name, at_its_grain, one.stored(), spared, self._counters[one.name])

    def close(self) -> None:
        """End the daemon."""
        self._daemon.close()

    def _page(self) -> str:
        return self._daemon.get("/metrics", "health.address").body.decode()

    def _note(self) -> None:
        for family in text_string_to_metric_families(self._page()):
            for sample in family.samples:
                name, repository = sample.name.removeprefix("statspout_"), sample.labels.get("repository", "")
                if repository in self._counters:
                    reason = sample.labels.get("reason")
                    self._counters[repository][f"{name} {reason}" if reason else name] += int(sample.value)


@contextmanager
def books(names: Sequence[str], containers: int, interval: float) -> Iterator[Books]:
    """Everything, started."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="statspout-books-")))
        destinations = [KINDS[name]() for name in names]
        for one in destinations:
            stack.callback(one.close)
        engine = stack.enter_context(FakeEngine(maxlen=10_000_000))
        for number in range(containers):
            engine.add(f"web-{number}", cpu=0.1)
        kept = Books(destinations, engine, work, interval)
        stack.callback(kept.close)
        yield kept
