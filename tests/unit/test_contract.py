"""The contract, over our repositories and the README's example; and that it finds what breaks it."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.standstill import PATIENCE

import statspout.testing
from statspout import Container, LiveRepository, Metric, Rejected, Repository, Sample, option
from statspout.registry import load_plugin
from statspout.repositories.prometheus import Prometheus
from statspout.repositories.rest import Rest
from statspout.repositories.stdout import Stdout
from statspout.sample import MetricKind
from statspout.testing import RepositoryContract, metric, metrics, sample, samples

EXAMPLE = Path(__file__).parents[2] / "examples" / "graphite.py"
GRAPHITE: Any = load_plugin(f"{EXAMPLE}:Graphite")


class TestStdout(RepositoryContract):
    def make(self) -> Repository:
        return Stdout(stream=io.BytesIO())

    def stored(self, repository: Repository) -> Sequence[object]:
        assert isinstance(repository, Stdout)
        lines: list[bytes] = repository.stream.getvalue().splitlines()
        return lines


class TestStdoutJson(TestStdout):
    def make(self) -> Repository:
        return Stdout(format="json", stream=io.BytesIO())


class TestStdoutTable(RepositoryContract):
    def make(self) -> Repository:
        return Stdout(format="table", stream=io.BytesIO())

    def stored(self, repository: Repository) -> Sequence[object]:
        # A close writes what has not been written.
        repository.close()
        assert isinstance(repository, Stdout)
        lines: list[bytes] = repository.stream.getvalue().splitlines()
        return lines


class TestRest(RepositoryContract):
    def make(self) -> Repository:
        return Rest()

    def stored(self, repository: Repository) -> Sequence[object]:
        assert isinstance(repository, Rest)
        return [*repository.latest.samples(), *repository.reported.series()]


class TestPrometheus(RepositoryContract):
    rejects: ClassVar[frozenset[MetricKind]] = frozenset({"text"})

    def make(self) -> Repository:
        return Prometheus()

    def stored(self, repository: Repository) -> Sequence[object]:
        assert isinstance(repository, Prometheus)
        families = text_string_to_metric_families(repository.exposition().decode())
        return [one for family in families for one in family.samples]


class Carbon(socketserver.ThreadingTCPServer):
    """Receives lines in a thread of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        self.lines: list[str] = []
        super().__init__(("127.0.0.1", 0), Receiver)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def wait(self, count: int) -> list[str]:
        deadline = time.monotonic() + PATIENCE
        while len(self.lines) < count and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.lines


class Receiver(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Carbon)
        self.server.lines.extend(line.decode() for line in self.rfile)


@pytest.fixture(scope="module")
def carbon() -> Iterator[Carbon]:
    with Carbon() as server:
        yield server
        server.shutdown()


class TestGraphite(RepositoryContract):
    @pytest.fixture(autouse=True)
    def _carbon(self, carbon: Carbon) -> None:
        self.port = carbon.server_address[1]

    def make(self) -> Repository:
        graphite: Repository = GRAPHITE(host="127.0.0.1", port=self.port)
        return graphite

    def unreachable(self) -> Repository:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            graphite: Repository = GRAPHITE(host="127.0.0.1", port=free.getsockname()[1])
        return graphite


def test_the_example_writes_one_line_a_number() -> None:
    one = sample("shop/web 1.é\n", host="node.example", network_shared_with="db")
    with Carbon() as carbon:
        graphite = GRAPHITE(host="127.0.0.1", port=carbon.server_address[1])
        graphite.open()
        graphite.push([one])
        graphite.close()
        lines = carbon.wait(len(list(one.points())))
        carbon.shutdown()
    assert "node_example.shop_web_1___.cpu_percent 20.0 1487073601\n" in lines
    assert "node_example.shop_web_1___.mem_usage 104857600 1487073601\n" in lines
    assert len(lines) == len(list(one.points()))


def test_the_example_is_short() -> None:
    code = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(code) <= 27


class Good(Repository):
    """A repository of coroutines that takes everything; the bad ones below differ in one thing."""

    name = "good"
    token: str = option(default="", secret=True, help="The token.")
    accepts: ClassVar[tuple[type, ...]] = (*Repository.accepts, Metric)

    async def open(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def push(self, batch: Sequence[Sample]) -> None:
        assert self.loop is asyncio.get_running_loop()

    async def clear(self, container: Container) -> None:
        pass

    async def close(self) -> None:
        pass


class Keeps(Good):
    name = "keeps"

    async def push(self, batch: Sequence[Sample]) -> None:
        self.kept = batch


class Changes(Good):
    name = "changes"

    async def push(self, batch: Any) -> None:
        batch.pop()


class Tells(Good):
    name = "tells"

    def __repr__(self) -> str:
        return f"Tells({self.token})"


class Fragile(Good):
    name = "fragile"

    async def close(self) -> None:
        del self.loop


class Nameless(Good):
    name = "Name Less"


class Helpless(Good):
    name = "helpless"
    depth: int = option(default=1, help=" ")


class Ghosts(LiveRepository):
    name = "ghosts"

    def push(self, batch: Sequence[Sample]) -> None:
        self.last = batch[-1]

    def routes(self) -> Sequence[Any]:
        return ["route"]


class Ascii(Good):
    name = "ascii"

    async def push(self, batch: Sequence[Sample]) -> None:
        for one in batch:
            one.host.encode("ascii")


class Returns(Good):
    name = "returns"

    async def push(self, batch: Sequence[Sample]) -> Any:
        return len(batch)


class Deaf(Good):
    """Says that all is stored when nobody is there; so does the good one, of which nobody asks it."""

    name = "deaf"


class Gives(Good):
    """Gives up its samples where it should keep them."""

    name = "gives"

    async def push(self, batch: Sequence[Sample]) -> None:
        raise Rejected("not there")


class Blabs(Good):
    name = "blabs"
    token: str = option(default="s3cret", secret=True, help="The token.")

    async def push(self, batch: Sequence[Sample]) -> None:
        raise OSError(f"token {self.token} does not work")


class Leaks(Good):
    name = "leaks"

    async def open(self) -> None:
        await super().open()
        LEAKED.append(socket.socket())


class Doubles(Good):
    """Stores whatever comes."""

    name = "doubles"

    async def push(self, batch: Sequence[Sample]) -> None:
        KEPT.extend(batch)


class Jealous(Good):
    """Only one of them can be open."""

    name = "jealous"
    opened: ClassVar[list[Good]] = []

    async def open(self) -> None:
        if any(other is not self for other in self.opened):
            raise OSError("there is another")
        await super().open()
        self.opened.append(self)

    async def close(self) -> None:
        self.opened.clear()


class Whole(Good):
    """Needs every field."""

    name = "whole"

    async def push(self, batch: Sequence[Any]) -> None:
        assert all(one.mem_usage + one.cpu_percent for one in batch)


class OfMetrics(Good):
    """Does one thing with each metric; those below cannot do it with all of them."""

    name = "ofmetrics"

    async def push(self, batch: Sequence[Sample]) -> None:
        for one in batch:
            if isinstance(one, Metric):
                self.take(one)

    def take(self, one: Any) -> None: ...


class Numbers(OfMetrics):
    name = "numbers"

    def take(self, one: Any) -> None:
        float(one.value)


class Plain(OfMetrics):
    name = "plain"

    def take(self, one: Any) -> None:
        one.name.encode("ascii")


class Bits(OfMetrics):
    name = "bits"

    def take(self, one: Any) -> None:
        struct.pack("<q", one.value if isinstance(one.value, int) else 0)


class Finite(OfMetrics):
    name = "finite"

    def take(self, one: Any) -> None:
        json.dumps(one.value if isinstance(one.value, float) else 0, allow_nan=False)


class Merges(OfMetrics):
    name = "merges"

    def take(self, one: Any) -> None:
        dict(host=one.host, **one.tags)


class Certain(OfMetrics):
    name = "certain"

    def take(self, one: Any) -> None:
        assert one.container.name is not None


class Lines(OfMetrics):
    name = "lines"

    def take(self, one: Any) -> None:
        assert "\n" not in str(one.value)


class Few(OfMetrics):
    name = "few"

    async def push(self, batch: Sequence[Sample]) -> None:
        assert len(batch) < 100 or not isinstance(batch[0], Metric)


class Forgets(Doubles):
    """Stores containers only."""

    name = "forgets"

    async def push(self, batch: Sequence[Sample]) -> None:
        KEPT.extend(one for one in batch if not isinstance(one, Metric))


class Announces(Good):
    """Takes the texts for which it says that it has no place."""

    name = "announces"


LEAKED: list[socket.socket] = []
KEPT: list[Sample] = []


def failures(cls: type[Repository]) -> set[str]:
    """The names of the contract's tests that ``cls`` does not pass."""

    class Contract(RepositoryContract):
        def make(self) -> Repository:
            return cls()

        def stored(self, repository: Repository) -> Sequence[object] | None:
            if isinstance(repository, Doubles):
                return list(KEPT)
            return [repository.last] if isinstance(repository, Ghosts) and hasattr(repository, "last") else None

        stores_once = True
        visible_within = 0.1
        rejects = frozenset({"text"}) if cls is Announces else frozenset()

        def unreachable(self) -> Repository | None:
            return cls() if cls in (Deaf, Gives, Blabs) else None

    failed = set()
    for name in dir(Contract):
        if name.startswith("test_"):
            try:
                getattr(Contract(), name)()
            except Exception:
                failed.add(name)
    return failed


def test_a_repository_of_coroutines_that_keeps_the_contract_passes() -> None:
    assert failures(Good) == set()


@pytest.mark.parametrize(
    ("cls", "test"),
    [
        (Keeps, "test_push_neither_changes_nor_keeps_the_batch"),
        (Changes, "test_push_neither_changes_nor_keeps_the_batch"),
        (Tells, "test_the_repr_shows_no_secret"),
        (Fragile, "test_to_close_without_open_and_twice_is_harmless"),
        (Nameless, "test_the_class_passes_the_checks_at_load"),
        (Helpless, "test_every_setting_has_a_help_text"),
        (Ghosts, "test_a_live_repository_has_routes_and_forgets_who_is_gone"),
        (Ascii, "test_awkward_names_and_labels_are_taken"),
        (Deaf, "test_without_a_destination_it_fails_and_says_so"),
        (Gives, "test_without_a_destination_it_fails_and_says_so"),
        (Blabs, "test_without_a_destination_it_fails_and_says_so"),
        (Leaks, "test_close_releases_everything"),
        (Doubles, "test_a_batch_that_comes_again_is_taken"),
        (Jealous, "test_a_new_instance_takes_over_while_an_old_one_hangs"),
        (Whole, "test_samples_with_only_some_fields_are_taken"),
        (Returns, "test_open_push_clear_and_close_work_in_their_order"),
        (Numbers, "test_each_kind_of_metric_is_stored_or_rejected_as_announced"),
        (Forgets, "test_each_kind_of_metric_is_stored_or_rejected_as_announced"),
        (Announces, "test_each_kind_of_metric_is_stored_or_rejected_as_announced"),
        (Forgets, "test_metrics_and_samples_come_in_one_batch"),
        (Few, "test_a_batch_of_a_thousand_metrics_is_taken"),
        (Certain, "test_a_metric_that_knows_little_is_taken"),
        (Plain, "test_awkward_names_and_tags_of_metrics_are_taken_and_harm_no_neighbour"),
        (Forgets, "test_awkward_names_and_tags_of_metrics_are_taken_and_harm_no_neighbour"),
        (Merges, "test_tags_that_are_called_as_the_records_own_are_taken"),
        (Lines, "test_texts_of_every_kind_are_taken"),
        (Bits, "test_large_small_and_negative_numbers_are_taken"),
        (Finite, "test_what_is_no_number_is_rejected_or_unknown"),
        (Doubles, "test_metrics_that_come_again_are_stored_once_where_samples_are"),
    ],
)
def test_a_broken_repository_fails_the_test_that_says_so(
    cls: type[Repository], test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.testing.contract._PATIENCE", 0.1)
    assert test in failures(cls)


def test_the_contract_itself_is_not_collected() -> None:
    assert not RepositoryContract.__name__.startswith("Test")


def test_samples_are_deterministic_distinct_and_overridable() -> None:
    assert samples(3) == samples(3)
    assert len({one.container.id for one in samples(100)}) == 100
    changed = sample("db", image="postgres", started_at=None, labels={}, pids=None, id="x")
    assert (changed.container, changed.pids) == (Container(id="x", name="db", image="postgres"), None)


def test_metrics_are_deterministic_distinct_and_overridable() -> None:
    assert metrics() == metrics()
    assert {one.kind for one in metrics()} == set(get_args(MetricKind))
    others = (metric(), metric("b"), metric(kind="gauge"), metric(tags={}), metric(container=None))
    assert len({one.key for one in others}) == len(others)
    assert metric(value=3, key="k").key == "k"


def test_the_testing_module_gives_all_it_names() -> None:
    for name in statspout.testing.__all__:
        assert callable(getattr(statspout.testing, name))
