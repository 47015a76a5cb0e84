"""Nothing is remembered of a container that is gone, wherever it was known: in a day thousands may come and go."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.watch import watching

from statspout import Choice, Container, Repository
from statspout.delivery.delivery import Delivery
from statspout.delivery.live import Live
from statspout.options import settings_of
from statspout.registry import load_plugin
from statspout.repositories.mongodb import MongoDB
from statspout.repositories.mongodb_documents import schema
from statspout.repositories.prometheus import Prometheus
from statspout.repositories.rest import Rest
from statspout.router import Router
from statspout.source import Target
from statspout.sources.discovery import Discovery
from statspout.sources.engine.address import UnixAddress
from statspout.sources.engine.client import EngineClient
from statspout.sources.filters import Filters
from statspout.telemetry import Telemetry
from statspout.testing import FakeEngine, sample

ONE = sample("web", labels={"team": "red"})


class Told:
    """Knows what discovery said last."""

    def __init__(self) -> None:
        self.live: dict[str, Target] = {}

    def found(self, target: Target) -> None:
        self.live[target.container.id] = target

    def lost(self, container: Container) -> None:
        del self.live[container.id]


@contextmanager
def no_collector_of_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("ignored", [False, True])
def test_discovery_forgets_whose_end_an_event_tells_without_a_list(ignored: bool) -> None:
    telemetry, client, told = Telemetry(), EngineClient(UnixAddress("/nowhere.sock")), Told()
    discovery = Discovery(client, told, telemetry, Filters(["web"] if ignored else []))

    def sizes() -> list[int]:
        return [len(kept) for kept in (discovery._names, discovery._known, discovery._told, telemetry.reasons)]

    discovery._set(Target(container=ONE.container))
    assert sizes() == [1, 1, not ignored, ignored]
    discovery._died(ONE.container.id, 0)
    assert sizes() == [0, 0, 0, 0]
    assert not told.live


def test_a_poller_that_ends_leaves_no_garbage_to_collect() -> None:
    async def main() -> None:
        with FakeEngine() as engine:
            engine.add("web")
            async with watching(engine) as watch:
                await watch.until(lambda: "web" in watch.names)
                [poller] = [weakref.ref(task) for task in asyncio.all_tasks() if "_poll_on" in repr(task)]
                engine.remove("web")
                await watch.until(lambda: not watch.names)
                await watch.until(lambda: poller() is None)

    with no_collector_of_garbage():
        asyncio.run(main())


@pytest.mark.parametrize("way", [Delivery, Live])
def test_who_was_chosen_and_is_gone_is_forgotten(way: type[Delivery] | type[Live]) -> None:
    made = way(Rest(handling=Choice(exclude=("db",))))
    made.put([ONE])
    assert list(made._selection._kept) == [ONE.container.id]
    made.clear(ONE.container)
    assert not made._selection._kept


def test_prometheus_forgets_the_labels_of_who_is_gone() -> None:
    repository = Prometheus(labels=("team",))
    repository.push([ONE])
    assert b"team" in repository.exposition()
    repository.clear(ONE.container)
    assert not repository._tags._kept


def test_mongodb_forgets_who_is_gone() -> None:
    repository = MongoDB()
    repository._schema = own = schema("own")
    own.document(ONE)
    kept = own.document.__self__._kept  # type: ignore[attr-defined]  # the method's own object
    assert list(kept) == [ONE.container.id]
    repository.clear(ONE.container)
    assert not kept


def test_of_the_runs_that_are_over_the_router_remembers_the_last_1_000() -> None:
    class Sunk(Repository):
        name = "sunk"

        def push(self, batch: object) -> None: ...

    router = Router([Delivery(Sunk())])
    for number in range(3000):
        router.clear(Container(id=str(number), name="job", started_at=number))
    assert [key[0] for key in router._gone] == [str(number) for number in range(2000, 3000)]


def test_the_class_of_a_plugin_that_was_read_again_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from statspout import Repository, option\n"
        "class Mine(Repository):\n"
        "    'Mine.'\n"
        "    name = 'mine'\n"
        "    path: str = option(default='x', help='Where.')\n"
        "    def push(self, batch): ...\n"
    )
    before = load_plugin(f"{file}:Mine")
    assert [setting.name for setting in settings_of(before, "mine")] == ["mine.path"]
    gone = weakref.ref(before)
    del before
    assert load_plugin(f"{file}:Mine") is not gone()
    gc.collect()
    assert gone() is None


def test_nobody_waits_any_more_for_the_events_of_an_engine_that_is_not_watched_any_more() -> None:
    async def run() -> set[asyncio.Task[None]]:
        ours = asyncio.all_tasks()
        with FakeEngine() as engine:
            client = EngineClient(UnixAddress(engine.socket_path))
            engine.fault_path("/events", "hang")
            watching = asyncio.create_task(Discovery(client, Told(), Telemetry()).run())
            await asyncio.sleep(0.3)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.sleep(0)
            return asyncio.all_tasks() - ours

    assert asyncio.run(run()) == set()
