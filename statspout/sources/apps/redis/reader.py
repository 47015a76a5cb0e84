"""A look at a namespace: what to ask Redis for, and what to make of its answers.

Nothing here sends anything: :meth:`Reader.look` hands out commands and is handed their answers, by whoever has a
connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from statspout.client.redis.keys import PROCESS, Keyspace
from statspout.client.redis.reading import PAGE, Pages, contexts_of, mget, pages, scan
from statspout.errors import SourceError
from statspout.logs import Limited
from statspout.sources.apps.redis.cursors import NOTHING, Answer, Cursor, News

Commands: TypeAlias = "list[tuple[Any, ...]]"
Steps: TypeAlias = "Generator[Commands, list[Any], None]"

_ENTRIES = 10_000
"""Entries that are read at once, of all labels together."""

_CONTEXTS = 50
"""Contexts likewise: each may be some 64 KiB."""

_ATTEMPTS = 100
"""Readings of a label in one look; what comes faster than that waits for the next."""

_FORGOTTEN = 3600.0
"""Seconds after which a label is forgotten that is not in the index."""

_TRANSACTION = 6

log = logging.getLogger("statspout.redis")


class Entry(NamedTuple):
    """One record as the history has it, its context, and how many directly before it have the same time."""

    label: str
    text: bytes
    context: bytes | None
    alike: int = 0


@dataclass(slots=True)
class Counts:
    """What is told of all that was read."""

    records: int = 0
    missed: int = 0
    bad: int = 0
    failures: int = 0
    labels: int = 0
    left_out: int = 0
    up: bool = False


class _Behind(NamedTuple):
    label: str
    cursor: Cursor
    total: int
    skip: bool


class Reader:
    """The records of the labels of ``space`` that match a glob of Redis, each once.

    ``oldest``: at the first look, too, all that there is; else what there is counts as told. Of more than ``most``
    labels, those beyond are left out. ``take`` is given the records.
    """

    def __init__(
        self,
        space: Keyspace,
        matcher: str,
        take: Callable[[Sequence[Entry]], None],
        *,
        oldest: bool = False,
        most: int = 100_000,
    ) -> None:
        self.counts = Counts()
        self._space, self._matcher, self._take = space, matcher, take
        self.most, self._all = most, oldest
        self._cursors: dict[str, Cursor] = {}
        self._begun = False
        self._changed: set[str] = set()
        self._limited = Limited(log)

    def follow(self, before: Reader) -> None:
        """Go on where ``before`` is, if that is the same place; labels that are new to it have their first look."""
        self.counts = before.counts
        if before._space == self._space:
            alike = (before._matcher, before.most) == (self._matcher, self.most)
            self._cursors, self._begun = before._cursors, before._begun and alike
            self._changed |= before._changed

    def go_on(self, places: Mapping[str, bytes], now: float, *, begun: bool) -> int:
        """Go on at these places; with ``begun`` all labels were looked at. How many of them are none."""
        bad = 0
        for label, place in places.items():
            try:
                self._cursors[label] = Cursor.from_place(place)
            except ValueError:
                bad += 1
            else:
                self._cursors[label].seen = now
        self._begun = begun
        return bad

    @property
    def begun(self) -> bool:
        """Whether all labels were looked at."""
        return self._begun

    def changes(self) -> dict[str, bytes | None]:
        """The places that are others than when this was asked last; None for a label that is known no more."""
        changed, self._changed = self._changed, set()
        return {label: self._cursors[label].place if label in self._cursors else None for label in changed}

    def places(self) -> dict[str, bytes | None]:
        """All places."""
        return {label: cursor.place for label, cursor in self._cursors.items()}

    def look(self, now: float) -> Steps:
        """Commands to send together, again and again, for each of which an answer is sent back, an error or not.

        ``now`` is in monotonic seconds. SourceError when what is there is our own.
        """
        unique, at, left_out = Pages(), 0, 0
        while True:
            ours, found = map(_checked, (yield [("EXISTS", self._space.writer(PROCESS)), self._scan(at)]))
            if ours:
                raise SourceError(
                    f"a repository of this program writes to {self._space.namespace} there: another namespace is right"
                )
            at, members = found
            for page in pages(unique.fresh(members)):
                left_out += yield from self._page(page, now)
            if not at:
                break
        self._begun = True
        for label in [label for label, one in self._cursors.items() if now - one.seen >= _FORGOTTEN]:
            self._forget(label)
        self.counts.labels, self.counts.left_out = len(self._cursors), left_out

    def _scan(self, at: int) -> tuple[Any, ...]:
        return scan(self._space, at, self._matcher)

    def _page(self, labels: Sequence[str], now: float) -> Generator[Commands, list[Any], int]:
        """Read what is new of these; returns how many are left out."""
        keys = [self._space.key(kind, label) for label in labels for kind in ("COUNT", "LAST_TIME")]
        (values,) = map(_checked, (yield [mget(keys)]))
        behind, left_out, room = [], 0, self.most - len(self._cursors)
        for label, count, last_time in zip(labels, values[::2], values[1::2], strict=True):
            number, cursor = _whole(count), self._cursors.get(label)
            if number is None:
                self._forget(label)
            elif cursor is None and room <= 0:
                left_out += 1
            else:
                room -= cursor is None
                skip = cursor is None and not (self._begun or self._all)
                cursor = cursor or Cursor()
                cursor.seen = now
                if cursor.is_behind(number, last_time):
                    behind.append(_Behind(label, cursor, number, skip))
        for _ in range(_ATTEMPTS):
            if not behind:
                break
            rest: list[_Behind] = []
            for some in _grouped(behind):
                rest += yield from self._read(some)
            behind = rest
        return left_out

    def _read(self, some: Sequence[_Behind]) -> Generator[Commands, list[Any], list[_Behind]]:
        """Read a slice of each; returns those of which there is more."""
        starts = [(0, 0) if one.skip else one.cursor.wanted(one.total) for one in some]
        commands = [command for one, span in zip(some, starts, strict=True) for command in self._slice(one.label, span)]
        answers = (yield commands)[_TRANSACTION - 1 :: _TRANSACTION]
        found: list[tuple[_Behind, Answer, News]] = []
        again: list[_Behind] = []
        for one, (start, _), told in zip(some, starts, map(_checked, answers), strict=True):
            answer = self._answer(one, start, told)
            if answer is None:
                continue
            self._keep(one)
            if one.skip:
                one.cursor.skip(answer)
                continue
            news = one.cursor.news(answer)
            self.counts.missed += news.missed if news else 0
            found.append((one, answer, news or NOTHING))
            if news is None or one.cursor.count + len(news.entries) < answer.total:
                again.append(one._replace(total=answer.total))
        contexts = yield from self._contexts(entry for _, _, news in found for entry in news.entries)
        self._tell(found, contexts)
        return again

    def _slice(self, label: str, span: tuple[int, int]) -> Commands:
        """One look at a label, at one moment."""
        count, last, history = (self._space.key(kind, label) for kind in ("COUNT", "LAST_TIME", "HISTORY"))
        read = [("GET", count), ("GET", last), ("LLEN", history), ("LRANGE", history, *span)]
        return [("MULTI",), *read, ("EXEC",)]

    def _answer(self, one: _Behind, start: int, told: Sequence[Any]) -> Answer | None:
        """The answer; None for a label that has expired, or has a key of another kind."""
        wrong = next((part for part in told if isinstance(part, Exception)), None)
        count = _whole(told[0])
        if wrong is not None:
            self.counts.bad += 1
            self._limited.warning("kind", "listen.redis: %s cannot be read: %s", one.label, wrong)
            one.cursor.leave_out(one.total, None if isinstance(told[1], Exception) else told[1])
            self._keep(one)
            return None
        if count is None:
            self._forget(one.label)
            return None
        return Answer(count, told[1], told[2], start, told[3])

    def _contexts(self, entries: Iterable[bytes]) -> Generator[Commands, list[Any], dict[str, bytes]]:
        """The contexts that they name, as far as they are still there."""
        names, found = sorted({name for entry in entries if (name := context_of(entry))}), {}
        for at in range(0, len(names), _CONTEXTS):
            some = names[at : at + _CONTEXTS]
            (values,) = map(_checked, (yield [mget(map(self._space.context, some))]))
            found.update(contexts_of(some, values))
        return found

    def _tell(self, found: Sequence[tuple[_Behind, Answer, News]], contexts: dict[str, bytes]) -> None:
        """Hand the records over; from then on they are told."""
        records: list[Entry] = []
        for one, answer, news in found:
            fresh = one.cursor.told(answer, news)
            records += (Entry(one.label, text, contexts.get(context_of(text)), alike) for text, alike in fresh)
        if records:
            self._take(records)

    def _keep(self, one: _Behind) -> None:
        self._cursors[one.label] = one.cursor
        self._changed.add(one.label)

    def _forget(self, label: str) -> None:
        if self._cursors.pop(label, None) is not None:
            self._changed.add(label)


def context_of(entry: bytes) -> str:
    """The id of an entry's context, empty for none."""
    return entry.partition(b";")[2].partition(b";")[2].decode(errors="replace")


def _grouped(behind: Sequence[_Behind]) -> Iterator[list[_Behind]]:
    """As many as are read at once."""
    group: list[_Behind] = []
    size = 0
    for one in behind:
        start, end = one.cursor.wanted(one.total)
        if group and (size + end - start > _ENTRIES or len(group) >= PAGE):
            yield group
            group, size = [], 0
        group.append(one)
        size += 1 if one.skip else end - start
    if group:
        yield group


def _checked(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _whole(text: Any) -> int | None:
    """A count, None for none."""
    try:
        return None if text is None or isinstance(text, Exception) else max(0, int(text))
    except ValueError:
        return None
