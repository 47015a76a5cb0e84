"""What a look found, as records: totals of counters, levels, and texts, each with whose it is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator
from typing import NamedTuple

from statspout.sample import Container, Metric, MetricKind
from statspout.sources.apps.mmap.decode import Reported
from statspout.sources.apps.mmap.look import File, Seen
from statspout.sources.apps.mmap.totals import Counted, Series, Totals

LEFT_OUT = ("series", "files", "name", "twice")
"""Why something that was found is not passed on: series beyond the most that are taken, all of files beyond theirs,
labels that are too long for a name, levels of which a process has two."""


class Whose(NamedTuple):
    """A container, and the host of what it is or is not known of."""

    container: Container | None
    host: str


class Accounts:
    """Makes records of one look after another.

    ``container_of`` gives the id of the container that a process of this machine is in, an empty text for none;
    ``whose`` what is known of a container of that id. ``most`` is of series.
    """

    def __init__(self, container_of: Callable[[int], str], whose: Callable[[str], Whose], most: int) -> None:
        self.left_out: Counter[str] = Counter()
        self.series = 0
        """Passed on at the last look."""
        self._container_of = container_of
        self._whose = whose
        self._most = most
        self._known: dict[str, Whose] = {}
        self._containers: dict[Hashable, str] = {}
        self._taken: dict[Hashable, int] = {}
        self._totals = Totals(most)

    def follow(self, before: Accounts, is_level: Callable[[str], bool]) -> None:
        """Go on with what is known to another, which is used no more. ``is_level`` tells what is no counter now."""
        self._containers = before._containers
        self._taken = {}
        room = self._most
        for id_, size in before._taken.items():
            if size <= room:
                self._taken[id_] = size
                room -= size
        self._totals.follow(before._totals, is_level)

    def records(self, seen: Seen, time_ns: int, interval: float) -> list[Metric]:
        """The records of a look at ``time_ns``, one of which follows the other in so many seconds."""
        self._known = {}
        self.left_out["files"] += seen.beyond
        files = self._room(seen)
        there = seen.there | {file.id for file in seen.files if file.id not in self._taken}
        self._place(files, there)
        found = {
            metric.key: metric
            for metric in itertools.chain(
                self._counters(files, there, time_ns, interval, settled=seen.settled),
                self._others(files, time_ns, interval),
            )
        }
        self.series = len(found)
        return list(found.values())

    def _room(self, seen: Seen) -> list[File]:
        """Those for which there is room; who has it keeps it, for else its counters would end and begin again."""
        files = seen.files
        sizes = {file.id: _size(file.reported) for file in files}
        kept = {id_: sizes.get(id_, size) for id_, size in self._taken.items()}
        self._taken = {id_: size for id_, size in kept.items() if id_ in sizes or id_ in seen.there}
        room = self._most - sum(self._taken.values())
        for id_, size in sizes.items():
            if id_ not in self._taken and size <= room:
                self._taken[id_] = size
                room -= size
        self.left_out["series"] += sum(size for id_, size in sizes.items() if id_ not in self._taken)
        self.left_out["name"] += sum(file.reported.unnamed for file in files)
        return [file for file in files if file.id in self._taken]

    def _place(self, files: list[File], there: Collection[Hashable]) -> None:
        """Have the container of each; what was once certain stays so when the process has ended."""
        known = self._containers
        self._containers = {id_: known[id_] for id_ in there if id_ in known}
        for file in files:
            container = known.get(file.id, "")
            if not container and file.process is not None:
                container = self._container_of(file.process)
            self._containers[file.id] = container

    def _counters(
        self, files: list[File], there: Collection[Hashable], time_ns: int, interval: float, *, settled: bool
    ) -> Iterator[Metric]:
        counted = {file.id: self._counted(file) for file in files}
        totals = self._totals.update(counted.values(), settled=settled, there=there)
        current: set[Series] = set()
        for file in files:
            if file.alive:
                one = counted[file.id]
                current.update(one.series(name) for name in one.counters)
        for container, command, name in sorted(current):
            tags = {"command": command} if command else {}
            total = totals[container, command, name]
            yield self._metric(container, "counter_total", name, total, tags, time_ns, interval)

    def _counted(self, file: File) -> Counted:
        reported, container = file.reported, self._containers[file.id]
        # As the file has it: what it is here is not known any more once the process has ended.
        process: Hashable = (container, reported.command, reported.pid)
        folds = reported.folds
        if folds is not None and not file.alive:
            folds += folds % 2  # whoever was killed while counters were moved does not go on with it
        unique = reported.created is not None  # else a later file with its inode has the same id
        return Counted(file.id, process, container, reported.command, reported.counters, folds, unique)

    def _others(self, files: list[File], time_ns: int, interval: float) -> Iterator[Metric]:
        """Levels and texts of who is alive: of others they are not what is so now."""
        keys: set[str] = set()
        for file in files:
            if not file.alive:
                continue
            container, tags = self._containers[file.id], _tags(file.reported)
            gauges, texts = file.reported.gauges, file.reported.texts
            metrics = itertools.chain(
                (self._metric(container, "gauge", *each, tags, time_ns, interval) for each in gauges.items()),
                (self._metric(container, "text", *each, tags, time_ns, interval) for each in texts.items()),
            )
            for metric in metrics:
                self.left_out["twice"] += metric.key in keys
                keys.add(metric.key)
                yield metric

    def _metric(
        self,
        container: str,
        kind: MetricKind,
        name: str,
        value: float | str,
        tags: dict[str, str],
        time_ns: int,
        interval: float,
    ) -> Metric:
        whose = self._known.get(container)
        if whose is None:
            whose = self._known[container] = self._whose(container)
        return Metric(
            time_ns=time_ns,
            host=whose.host,
            container=whose.container,
            key="|".join([f"mmap/{container or '-'}/{kind}/{name}", *(f"{tag}:{text}" for tag, text in tags.items())]),
            name=name,
            kind=kind,
            value=value,
            tags=tags,
            interval_s=interval,
        )


def _size(reported: Reported) -> int:
    return len(reported.counters) + len(reported.gauges) + len(reported.texts)


def _tags(reported: Reported) -> dict[str, str]:
    """What tells a process's levels from another's: the thread, too, but for the first one, which has its number."""
    tags = {"command": reported.command} if reported.command else {}
    if reported.pid is not None:
        tags["pid"] = str(reported.pid)
    if reported.tid not in (None, reported.pid):
        tags["tid"] = str(reported.tid)
    return tags
