"""Which samples a server did not take, as exactly as its answer tells.

Servers count points, and one sample may be several: it counts as rejected when any of its points was. What they say:

* ``unable to parse 'LINE': REASON`` (1.x, 2): the line itself. After ``partial write:`` the others are stored.
* ``partial write: REASON dropped=N`` (1.x, 2): N points, the others are stored. A field type conflict names the
  measurement and the field, points beyond the retention policy are the oldest.
* ``partial write of line protocol occurred`` with ``data`` (3): the numbers of the lines; the others are stored.
* ``error parsing line 2 (1-based): REASON`` (3 in a cluster or a cloud): up to 100 of them, and whether the others are
  stored is not told: they come again, which makes no second point.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from statspout import Rejected
from statspout.repositories.influxdb_api.lines import Batch, time_of
from statspout.statuses import shortened

_UNPARSED = "unable to parse '"
_DROPPED = re.compile(r"partial write: (?P<reason>.*) dropped=(?P<count>\d+)", re.DOTALL)
_CONFLICT = re.compile(r'field type conflict: input field "(?P<field>[^"]*)" on measurement "(?P<measurement>[^"]*)"')
_OF_A_LINE = 150
"""Characters of a line that an error tells."""

_NUMBERED = re.compile(r"\bline (\d+) \(1-based\)")


def rejected(message: str, answer: Mapping[str, object], batch: Batch) -> Rejected | None:
    """The error for what the server says it did not take; None when it says nothing of the kind."""
    rest: Literal["stored", "retry"] = "stored" if "partial write" in message else "retry"
    if _UNPARSED in message:
        found = dict(_unparsed(message, batch))
        return _named(next(iter(found.values()), message), found.keys(), rest)
    if dropped := _DROPPED.search(message):
        return _dropped(message, dropped["reason"], int(dropped["count"]), batch)
    if numbers := list(_numbers(answer.get("data"))):
        return _named(message, _owners(numbers, batch), rest)
    if numbers := [int(number) for number in _NUMBERED.findall(message)]:
        return _named(message, _owners(numbers, batch), "retry")
    return None


def _named(message: str, indices: Collection[int], rest: Literal["stored", "retry"]) -> Rejected:
    # Lines that are none of ours name nobody: the batch is halved until it is clear.
    return Rejected(shortened(message), indices, rest) if indices else Rejected(shortened(message))


def _unparsed(message: str, batch: Batch) -> Iterator[tuple[int, str]]:
    """The samples whose lines are quoted, and why, with no more of the line than tells it from others."""
    owners = batch.owners()
    for entry in message.split(_UNPARSED)[1:]:
        # A line, a quote, and the reason: of which any may have the same signs in it.
        for end in (found.start() for found in re.finditer("': ", entry)):
            if entry[:end] in owners:
                reason = entry[end + 3 :].partition("\n")[0]
                yield owners[entry[:end]], f"{_UNPARSED}{entry[: min(end, _OF_A_LINE)]}...': {reason}"


def _dropped(message: str, reason: str, count: int, batch: Batch) -> Rejected:
    if count == 0:
        return Rejected(shortened(message))
    indices = _in_conflict(reason, count, batch) or _oldest(reason, count, batch)
    if indices:
        return Rejected(shortened(message), indices, "stored")
    # Where it is open which, no sample counts as stored that may not be.
    return Rejected(shortened(message), count=min(count, sum(map(bool, batch.texts))))


def _in_conflict(reason: str, count: int, batch: Batch) -> set[int]:
    """Those that have the field, when they have as many points as were dropped."""
    if not (found := _CONFLICT.search(reason)):
        return set()
    start = re.compile(re.escape(found["measurement"].encode()) + b"[, ]")
    written = re.compile(rb"[ ,]" + re.escape(found["field"].encode()) + b"=")
    owners = [index for index, line in batch.lines() if start.match(line) and written.search(line)]
    return set(owners) if len(owners) == count else set()


def _oldest(reason: str, count: int, batch: Batch) -> set[int]:
    """The oldest, when their points are as many as were dropped for their age."""
    if "retention policy" not in reason or "Upper Bound" in reason:
        return set()
    lines = batch.lines()
    of_time = Counter(time_of(line) for _, line in lines)
    total, times = 0, set()
    for time in sorted(of_time):
        if total >= count:
            break
        total += of_time[time]
        times.add(time)
    return {index for index, line in lines if time_of(line) in times} if total == count else set()


def _numbers(data: object) -> Iterator[int]:
    """The line numbers in an answer of version 3, counted from 1."""
    for entry in data if isinstance(data, list) else [data]:
        number = entry.get("line_number") if isinstance(entry, dict) else None
        if isinstance(number, int):
            yield number


def _owners(numbers: list[int], batch: Batch) -> set[int]:
    lines = batch.lines()
    return {lines[number - 1][0] for number in numbers if 0 < number <= len(lines)}
