"""A spool's file in which anything is overwritten: what comes out of it is what went in, and the rest is told."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import tempfile
import zlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import inputs, mutated, tried

from statspout import Sample
from statspout.delivery.encoding import decode, encode
from statspout.delivery.spoolfile import Damaged, Row, SpoolFile
from statspout.testing import samples

ROWS = [encode(samples(40)[at : at + 5]) for at in range(0, 40, 5)]
folder = tempfile.TemporaryDirectory(prefix="statspout-fuzz-")
numbers = itertools.count()


def made() -> bytes:
    """A file with all the rows, without its log."""
    file = SpoolFile(Path(folder.name, "original"), 2**30)
    file.open()
    file.write([Row(0, 5, data) for data in ROWS], (), ())
    file.close()
    return file.path.read_bytes()


ORIGINAL = made()
DAMAGE = st.lists(st.tuples(st.integers(0, len(ORIGINAL) - 1), st.binary(min_size=1, max_size=64)), max_size=8)


@inputs(250)
@given(DAMAGE, st.integers(0, len(ORIGINAL)) | st.just(len(ORIGINAL)), st.binary(max_size=200))
def test_what_is_read_from_a_damaged_file_is_what_was_written(
    damage: list[tuple[int, bytes]], length: int, log: bytes
) -> None:
    tried("spool files")
    data = bytearray(ORIGINAL)
    for at, put in damage:
        data[at : at + len(put)] = put
    path = Path(folder.name, f"{next(numbers)}.spool")
    path.write_bytes(data[:length])
    if log:
        Path(f"{path}-wal").write_bytes(log)
    file = SpoolFile(path, 2**30)
    with contextlib.suppress(Damaged, sqlite3.Error):
        rows, _ = file.open()
        if rows is not None:
            read = file.read((1, len(ROWS)), 10**9)
            assert all(row.data is None or row.data in ROWS for row in read)
        assert file.write([Row(0, 5, ROWS[0])], (), ())
    with contextlib.suppress(Damaged, sqlite3.Error, OSError):
        file.quarantine()
        assert file.open() == (None, 0)
        assert len(file.write([Row(0, 5, ROWS[0])], (), ())[0]) == 1
    file.close()
    for one in Path(folder.name).glob(f"{path.name}*"):
        one.unlink()


JSON_ROW = b"\x02" + b"[[],[],[]]"


@inputs(500)
@given(mutated([ROWS[0], JSON_ROW]) | st.binary(max_size=50))
def test_a_row_is_samples_or_an_error_that_says_so(data: bytes) -> None:
    tried("spool rows")
    try:
        found: list[Sample] = decode(data)
    except ValueError as error:
        assert str(error).startswith("no samples")
        return
    for sample in found:
        assert decode(encode([sample])) == [sample] or zlib.crc32(data) != zlib.crc32(ROWS[0])
