"""Which rows of a spool wait only on disk: ranges of their numbers, the next to be read first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

Range = tuple[int, int]
"""The first and the last of consecutive rows."""


class Ranges:
    """Rows in the order in which they are read. Some of a range may not be there any more."""

    def __init__(self) -> None:
        self._ranges: deque[Range] = deque()

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __iter__(self) -> Iterator[Range]:
        return iter(list(self._ranges))

    @property
    def next(self) -> Range:
        """The range that is read next."""
        return self._ranges[0]

    def append(self, row: int) -> None:
        """This row is read last."""
        if self._ranges and self._ranges[-1][1] == row - 1:
            self._ranges[-1] = self._ranges[-1][0], row
        else:
            self._ranges.append((row, row))

    def put_first(self, rows: Range) -> None:
        """These rows are read first."""
        self._ranges.appendleft(rows)

    def drop_next(self) -> None:
        """Nothing is left of the next range."""
        self._ranges.popleft()

    def advance(self, row: int) -> None:
        """This row, the next that is there, waits no more."""
        first, last = self._ranges.popleft()
        while not first <= row <= last:
            first, last = self._ranges.popleft()  # nothing is left of those before, which need not be in order
        if row < last:
            self._ranges.appendleft((row + 1, last))

    def clear(self) -> None:
        """Nothing waits on disk."""
        self._ranges.clear()
