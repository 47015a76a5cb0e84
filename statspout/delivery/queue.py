"""The bounded queue before one repository: samples, and the clears behind them, oldest first."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from statspout.sample import Container, Metric, Sample, Summary

_SAMPLE = 1080
_INTERFACE = 230
_METRIC = 440
_TAG = 120
_SUMMARY = 280
_PERCENTILE = 50
_CONTAINER = 600
_LABEL = 200
"""Bytes of memory, measured. A container is shared by all its samples, and counted with the word that it is gone."""


def weight(sample: Sample) -> int:
    """About how many bytes of memory a sample takes."""
    if isinstance(sample, Metric):
        return _METRIC + len(sample.key) + len(sample.name) + _TAG * len(sample.tags) + _weight_of_value(sample)
    return _SAMPLE if sample.networks is None else _SAMPLE + _INTERFACE * len(sample.networks)


def _weight_of_value(metric: Metric) -> int:
    """What a plain number has not: a summary, or a text, which may be long."""
    value = metric.value
    size = len(metric.context or "")
    if isinstance(value, Summary):
        return size + _SUMMARY + _PERCENTILE * len(value.percentiles)
    return size + len(value) if isinstance(value, str) else size


def weight_of(container: Container) -> int:
    """About how many bytes of memory a container takes."""
    return _CONTAINER + _LABEL * len(container.labels)


class Segment:
    """Consecutive samples: what is written to disk, and freed there, as one.

    ``samples`` are those that nobody is done with. ``born`` is when the first came, in monotonic seconds. ``row`` is
    its number on disk, 0 while it is only in memory.
    """

    __slots__ = ("born", "bytes", "row", "samples")

    def __init__(self, born: float, samples: Sequence[Sample] = (), row: int = 0) -> None:
        self.born = born
        self.samples = list(samples)
        self.bytes = sum(map(weight, self.samples))
        self.row = row

    def keep(self, samples: list[Sample]) -> None:
        """Of what it held, nobody is done with these."""
        self.samples = samples
        self.bytes = sum(map(weight, samples))


class Batch:
    """What a repository is given at once: whole segments, or the beginning of one."""

    __slots__ = ("samples", "segments")

    def __init__(self, segments: list[Segment], samples: list[Sample]) -> None:
        self.segments = segments
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def is_part(self) -> bool:
        """Whether it is the beginning of one segment, or all of it."""
        return len(self.segments) == 1


class Journal(Protocol):
    """Who is told what becomes of segments: the spool."""

    def began(self, segment: Segment) -> None:
        """A segment has its first sample."""

    def changed(self, segment: Segment) -> None:
        """Some samples of a segment are done with."""

    def ended(self, segment: Segment) -> None:
        """All samples of a segment are done with."""

    def keeps(self, segment: Segment) -> bool:
        """Take a segment over for which there is no room in memory; False when it is nowhere else."""


class Queue:
    """Samples in order, at most ``limit`` and about ``most_bytes`` of them.

    Where there is no room the oldest go: to the ``journal`` when that has them on disk, else they are lost. A
    :class:`Container` in the queue says that this container is gone. ``segment`` is the most samples of a segment.
    A batch that was taken belongs to the queue until it is given to :meth:`finish` or :meth:`give_back`.
    """

    def __init__(
        self, limit: int, most_bytes: int = 2**62, *, segment: int = 1000, journal: Journal | None = None
    ) -> None:
        self._limit, self._most_bytes, self._segment, self._journal = limit, most_bytes, segment, journal
        self._items: deque[Segment | Container] = deque()
        self._due: deque[Container] = deque()
        """Who is gone and has no samples in the queue any more, because there was no room: to be taken first."""
        self.tail: Segment | None = None
        """The segment that the next sample goes to."""
        self._clears = self._clear_bytes = 0
        self.samples = 0
        self.bytes = 0
        self.in_flight: Batch | None = None

    def __bool__(self) -> bool:
        return bool(self._items or self._due)

    @property
    def begins_with_clear(self) -> bool:
        """Whether word of a gone container is next."""
        return bool(self._due) or (bool(self._items) and isinstance(self._items[0], Container))

    def __len__(self) -> int:
        """Samples waiting or in flight."""
        return self.samples + (0 if self.in_flight is None else sum(len(s.samples) for s in self.in_flight.segments))

    def put(self, samples: Sequence[Sample]) -> int:
        """Append samples; returns how many of the oldest are lost."""
        start = 0
        while start < len(samples):
            tail = self.tail
            if tail is None or len(tail.samples) >= self._segment:
                tail = self._new_tail()
            part = samples[start : start + self._segment - len(tail.samples)]
            size = sum(map(weight, part))
            tail.samples += part
            tail.bytes += size
            self.samples += len(part)
            self.bytes += size
            start += len(part)
        return self._shrink() if self._too_much else 0

    def put_clear(self, container: Container) -> bool:
        """Append the word that this container is gone; False when there are as many of these as samples may be.

        They have no more than half of the memory, and samples make room for them.
        """
        size = weight_of(container)
        if self._clears >= self._limit or self._clear_bytes + size > self._most_bytes // 2:
            return False
        self._items.append(container)
        self._clears += 1
        self._clear_bytes += size
        self.seal()
        return True

    def load(self, segments: Sequence[Segment]) -> None:
        """Append segments that were read from disk."""
        self.seal()
        for segment in segments:
            self._items.append(segment)
            self._count(segment, 1)

    def resize(self, limit: int, most_bytes: int, segment: int) -> int:
        """Hold so much from now on; returns how many of the oldest samples are lost by it."""
        self._limit, self._most_bytes, self._segment = limit, most_bytes, segment
        return self._shrink()

    def seal(self) -> None:
        """The last segment is as it is: what comes is of another."""
        self.tail = None

    def take(self, most: int) -> Container | Batch:
        """The head: a container that is gone, or a batch of up to ``most`` samples. One batch at a time.

        Others' samples need not wait for the word that one is gone: they go with the batch before it.
        """
        assert self.in_flight is None, "the last batch is still out"
        head = self._due.popleft() if self._due else self._pop()
        if isinstance(head, Container):
            self._clears -= 1
            self._clear_bytes -= weight_of(head)
            return head
        if len(head.samples) > most:
            self.in_flight = Batch([head], head.samples[:most])
            return self.in_flight
        segments = [head, *self._following(most - len(head.samples))]
        self.in_flight = Batch(segments, [sample for segment in segments for sample in segment.samples])
        return self.in_flight

    def _following(self, most: int) -> list[Segment]:
        """Take whole segments of up to ``most`` samples from the head, past containers that are gone.

        A later run of one of these comes after the word that it is gone.
        """
        found: list[Segment] = []
        passed: list[Container] = []
        while self._items:
            item = self._items[0]
            if isinstance(item, Container):
                passed.append(item)
            elif len(item.samples) > most or (passed and _has_any(item, passed)):
                break
            else:
                most -= len(item.samples)
                found.append(item)
            self._pop()
        self._items.extendleft(reversed(passed))
        return found

    def finish(self) -> None:
        """All samples of the batch in flight are done with."""
        batch = self._land()
        for segment in batch.segments:
            self._return(segment, segment.samples[len(batch) :] if batch.is_part else [])

    def give_back(self, done: Collection[int] = ()) -> int:
        """Return the batch in flight to the head but for the samples at ``done``; returns how many are lost."""
        batch = self._land()
        end = len(batch)
        for segment in reversed(batch.segments):
            pushed = len(batch) if batch.is_part else len(segment.samples)
            start = end - pushed
            rest = [s for i, s in enumerate(segment.samples) if i >= pushed or start + i not in done]
            self._return(segment, rest)
            end = start
        return self._shrink()

    def lose_all(self) -> int:
        """Be empty; returns how many samples are lost, which those that are on disk are not."""
        lost = 0
        for segment in self.segments():
            if not segment.row:
                lost += len(segment.samples)
                segment.keep([])  # a journal that is about to write it finds nothing
        self._items.clear()
        self._due.clear()
        self.tail = self.in_flight = None
        self.samples = self.bytes = self._clears = self._clear_bytes = 0
        return lost

    def segments(self) -> Iterator[Segment]:
        """Every segment, the ones in flight first."""
        if self.in_flight is not None:
            yield from self.in_flight.segments
        yield from (item for item in self._items if isinstance(item, Segment))

    def only_in_memory(self, until: float) -> bool:
        """Whether a sample that came by then, in monotonic seconds, is neither done with nor on disk."""
        return any(segment.samples and not segment.row and segment.born <= until for segment in self.segments())

    def _land(self) -> Batch:
        batch, self.in_flight = self.in_flight, None
        assert batch is not None, "no batch is out"
        # What comes back may be about those who are gone.
        self._items.extendleft(reversed(self._due))
        self._due.clear()
        return batch

    def _return(self, segment: Segment, rest: list[Sample]) -> None:
        """Put what is left of a segment back at the head."""
        if len(rest) < len(segment.samples):
            segment.keep(rest)
            self._tell(segment)
        if rest:
            self._items.appendleft(segment)
            self._count(segment, 1)

    def _tell(self, segment: Segment) -> None:
        if self._journal is not None:
            (self._journal.changed if segment.samples else self._journal.ended)(segment)

    def _new_tail(self) -> Segment:
        self.tail = Segment(time.monotonic())
        self._items.append(self.tail)
        if self._journal is not None:
            self._journal.began(self.tail)
        return self.tail

    def _pop(self) -> Segment | Container:
        item = self._items.popleft()
        if isinstance(item, Segment):
            self._count(item, -1)
            if item is self.tail:
                self.seal()
        return item

    def _count(self, segment: Segment, sign: int) -> None:
        self.samples += sign * len(segment.samples)
        self.bytes += sign * segment.bytes

    @property
    def _too_much(self) -> bool:
        return self.samples > self._limit or (self.bytes + self._clear_bytes > self._most_bytes and self.samples > 1)

    def _shrink(self) -> int:
        """Let the oldest samples over the limits go; how many are lost. Word of a gone container stays."""
        lost = 0
        while self._too_much:
            item = self._items[0]
            if isinstance(item, Container):
                # Put aside, for with many of them the next sample is not to pass them all again.
                self._due.append(item)
                self._items.popleft()
            elif self._journal is not None and self._journal.keeps(item):
                self._pop()
            else:
                self._lose_first(item)
                lost += 1
        return lost

    def _lose_first(self, segment: Segment) -> None:
        size = weight(segment.samples.pop(0))
        segment.bytes -= size
        self.samples -= 1
        self.bytes -= size
        if not segment.samples:
            self._pop()
        self._tell(segment)


def _has_any(segment: Segment, containers: Sequence[Container]) -> bool:
    """Whether a sample in it is of one of these containers, or of one that has taken its name."""
    ids = {container.id for container in containers}
    names = {container.name for container in containers}
    found = (sample.container for sample in segment.samples if sample.container is not None)
    return any(container.id in ids or container.name in names for container in found)
