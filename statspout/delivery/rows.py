"""Samples as rows of the spool's file, and back: what is done in the spool's thread."""

from __future__ import annotations

from collections.abc import Sequence

from statspout.delivery.encoding import decode, encode
from statspout.delivery.ranges import Range
from statspout.delivery.spoolfile import Row, SpoolFile
from statspout.sample import Sample


def store(
    file: SpoolFile, written: Sequence[tuple[int, list[Sample]]], freed: Sequence[int], waiting: Sequence[Range]
) -> tuple[list[int], list[tuple[int, int]], dict[int, Exception]]:
    """Write samples, each with the id of its row or 0, beside what :meth:`SpoolFile.write` does, whose answer this is.

    By place also those that cannot be written, as samples of a plugin's source may be: the others are.
    """
    rows: list[Row] = []
    odd: dict[int, Exception] = {}
    for place, (id_, samples) in enumerate(written):
        try:
            rows.append(Row(id_, len(samples), encode(samples)))
        except Exception as error:
            if id_ or isinstance(error, MemoryError):
                raise  # it was written once, or may be the next time
            odd[place] = error
    return *file.write(rows, freed, waiting), odd


def read(file: SpoolFile, range_: Range, most: int) -> list[tuple[Row, list[Sample] | None]]:
    """The first rows of a range, about ``most`` samples, each with what is in it; None: that cannot be read."""
    return [(row, _decoded(row)) for row in file.read(range_, most)]


def _decoded(row: Row) -> list[Sample] | None:
    if row.data is None:
        return None
    try:
        samples = decode(row.data)
    except ValueError:
        return None
    return samples if len(samples) == row.samples else None
