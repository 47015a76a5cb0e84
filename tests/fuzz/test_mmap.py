"""Statistics files in which anything is changed: read, or refused in one line, in little time and memory."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import SEED, Memory, inputs, mutated, tried
from support.mmstats import EVERY, PAGE, Laid, laid

from statspout.client.mmap import FormatError, MmStatsReader
from statspout.client.mmap.layout import FIELDS, ByteOrder

ORIGINALS = [
    laid(EVERY),
    laid(EVERY, ">"),
    laid(EVERY[:3], page=False),
    laid([Laid(b"x" * 5000, "Q", 0, (1, 2))]),
    b"\1",
]
TOKENS = [b"\0\0", b"\xff\xff", b"\1\0", b"\0\1", b"Q", b"255s", b"4294967295s", b"999999999999999999s", b"\xff", b"P"]
ORDERS: list[ByteOrder | None] = [None, "little", "big"]
folder = tempfile.TemporaryDirectory(prefix="statspout-fuzz-")


def read(data: bytes, order: ByteOrder | None) -> None:
    """Read it: what comes out was in it."""
    try:
        reader = MmStatsReader.from_bytes(data, order)
    except FormatError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 300
        return
    assert sum(len(label) for label, _ in reader) <= len(data)
    for label, value in reader:
        assert isinstance(value, int | float | str)
        assert not isinstance(value, str) or len(value) <= len(data) - len(label)


@inputs(2000)
@given(mutated(ORIGINALS, TOKENS) | st.binary(max_size=200).map(b"\1".__add__), st.sampled_from(ORDERS))
def test_a_file_is_read_or_refused_in_one_line(data: bytes, order: ByteOrder | None) -> None:
    tried("statistics files")
    read(data, order)


@inputs(300)
@given(mutated(ORIGINALS, TOKENS), st.integers(0, 2 * PAGE))
def test_a_file_on_disk_is_read_as_its_bytes_are(data: bytes, length: int) -> None:
    tried("statistics files on disk")
    path = Path(folder.name, "a\nb.mmstats")
    path.write_bytes(data[:length])
    try:
        found = repr(MmStatsReader.from_file(path).entries)
    except FormatError as error:
        with pytest.raises(type(error)):
            MmStatsReader.from_bytes(data[:length])
    else:
        assert found == repr(MmStatsReader.from_bytes(data[:length]).entries)


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_files_by_the_million_take_no_more_memory_than_they_are(count: int) -> None:
    some, memory = random.Random(SEED), Memory()
    for number in range(count):
        data = bytearray(some.choice(ORIGINALS)[: some.choice((200, 700, 6000))])
        for _ in range(some.randrange(1, 6)):
            token = some.choice(TOKENS) if some.random() < 0.5 else some.randbytes(some.randrange(1, 4))
            at = some.randrange(len(data))
            data[at : at + (len(token) if some.random() < 0.8 else some.randrange(9))] = token
        tried("statistics files, changed at random")
        read(bytes(data), some.choice(ORDERS))
        if number % (count // 10) == count // 10 - 1:
            memory.look()


def test_a_file_of_the_smallest_fields_and_nothing_else_takes_a_bounded_amount_of_memory() -> None:
    data = b"\1" + laid([Laid(b"a", "b", 0xFF, (1,))], page=False)[1:] * (FIELDS + 1000)
    tracemalloc.start()
    with pytest.raises(FormatError, match=f"more than {FIELDS} fields"):
        MmStatsReader.from_bytes(data)
    MmStatsReader.from_bytes(data[: 1 + 8 * FIELDS])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 64 * 2**20
