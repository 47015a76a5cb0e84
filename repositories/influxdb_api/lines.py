"""What is sent at once: the lines of samples, and which line belongs to which sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """``texts`` are the points of each sample, one line each; empty for a sample that could not be written as lines."""

    texts: Sequence[bytes]

    @property
    def body(self) -> bytes:
        """All lines."""
        return b"\n".join(filter(None, self.texts))

    def lines(self) -> list[tuple[int, bytes]]:
        """Each line with the position of its sample, in the order in which they are sent."""
        return [(index, line) for index, text in enumerate(self.texts) if text for line in text.split(b"\n")]

    def owners(self) -> Mapping[str, int]:
        """The position of the sample by the text of a line."""
        return {line.decode(): index for index, line in self.lines()}

    @property
    def single(self) -> bool:
        """Whether each sample is one point."""
        return not any(b"\n" in text for text in self.texts)


def time_of(line: bytes) -> int:
    """The time of the point, in ns since the epoch."""
    return int(line.rpartition(b" ")[2])
