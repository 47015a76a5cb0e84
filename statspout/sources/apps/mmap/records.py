"""What a look found, as records: totals of counters, levels, and texts, each with whose it is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from statspout.sample import Container, Metric, MetricKind
from statspout.sources.apps.mmap.decode import Reported
from statspout.sources.apps.mmap.look import File, Seen
from statspout.sources.apps.mmap.totals import Counted, Series, Totals
from statspout.sources.apps.mmap.writers import FileId

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
        self._containers: dict[FileId, str] = {}
        self._taken: dict[FileId, int] = {}
        self._totals = Totals(most)

    def records(self, seen: Seen, time_ns: int, interval: float) -> list[Metric]:
        """The records of a look at ``time_ns``, one of which follows the other in so many seconds."""
        self._known = {}
        self.left_out["files"] += seen.beyond
        files = self._room(seen.files)
        self._place(files)
        found = {
            metric.key: metric
            for metric in itertools.chain(
                self._counters(files, time_ns, interval, settled=seen.settled), self._others(files, time_ns, interval)
            )
        }
        self.series = len(found)
        return list(found.values())

    def _room(self, files: list[File]) -> list[File]:
        """Those for which there is room; who has it keeps it, for else its counters would end and begin again."""
        sizes = {file.id: _size(file.reported) for file in files}
        self._taken = {id_: sizes[id_] for id_ in self._taken if id_ in sizes}
        room = self._most - sum(self._taken.values())
        for id_, size in sizes.items():
            if id_ not in self._taken and size <= room:
                self._taken[id_] = size
                room -= size
        self.left_out["series"] += sum(size for id_, size in sizes.items() if id_ not in self._taken)
        self.left_out["name"] += sum(file.reported.unnamed for file in files)
        return [file for file in files if file.id in self._taken]

    def _place(self, files: list[File]) -> None:
        """Have the container of each; what was once certain stays so when the process has ended."""
        known, self._containers = self._containers, {}
        for file in files:
            container = known.get(file.id, "")
            if not container and file.process is not None:
                container = self._container_of(file.process)
            self._containers[file.id] = container

    def _counters(self, files: list[File], time_ns: int, interval: float, *, settled: bool) -> Iterator[Metric]:
        counted = {file.id: self._counted(file) for file in files}
        totals = self._totals.update(counted.values(), settled=settled)
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
        return Counted(file.id, process, container, reported.command, reported.counters, reported.folds)

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
