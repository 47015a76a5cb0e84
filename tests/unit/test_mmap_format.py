"""Format version 1 of statistics files: what is laid out by hand is read exactly, or refused with a clear error."""

from __future__ import annotations

import os
import struct
import sys
import tracemalloc
from pathlib import Path

import pytest
from support.mmstats import EVERY, PAGE, VALUES, Laid, laid

from statspout.client.mmap import FormatError, InvalidMmStatsVersion, MmStatsReader
from statspout.client.mmap.layout import ByteOrder, Column, encode
from statspout.client.mmap.reader import LIMIT

MARKS: list[tuple[ByteOrder, str]] = [("little", "<"), ("big", ">")]


def values(data: bytes, byteorder: ByteOrder | None = None) -> list[tuple[str, object]]:
    return [(stat.label, stat.value) for stat in MmStatsReader.from_bytes(data, byteorder)]


@pytest.mark.parametrize(("order", "mark"), MARKS)
@pytest.mark.parametrize("page", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_every_type_is_read_in_either_byte_order(order: ByteOrder, mark: str, page: bool, told: bool) -> None:
    data = laid(EVERY, mark, page=page)
    assert values(data, order if told else None) == VALUES
    assert MmStatsReader.from_bytes(data).byteorder == order


def test_the_bytes_of_the_counter_in_the_table_are_read() -> None:
    # Version, label, type | write buffer | buffer 0 | buffer 1: before, after one write, in the midst of the second.
    head, one, torn = bytes.fromhex("01 0100 76 0100 51"), struct.pack("<Q", 1), b"\2\0\0\0\0\0\0\xee"
    assert values(head + b"\0" + bytes(16)) == [("v", 0)]
    assert values(head + b"\1" + one + bytes(8)) == [("v", 1)]
    assert values(head + b"\1" + one + torn) == [("v", 1)]
    assert values(head + b"\0" + torn + one) == [("v", 1)]


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512, 4095, 4096, 5000, 65535])
@pytest.mark.parametrize("mark", ["<", ">"])
def test_a_label_may_be_longer_than_a_page_and_of_any_multiple_of_256(size: int, mark: str) -> None:
    data = laid([Laid(b"x" * size, "i", 1, (-3, 0)), Laid(b"y", "H", 0xFF, (9,))], mark)
    assert values(data) == [("x" * size, -3), ("y", 9)]


@pytest.mark.parametrize(
    ("code", "packed", "value"),
    [
        ("l", struct.pack("l", -5), -5),
        ("L", struct.pack("L", 5), 5),
        ("n", struct.pack("n", -6), -6),
        ("N", struct.pack("N", 6), 6),
        ("e", struct.pack("e", 0.5), 0.5),
        ("c", b"z", "z"),
        ("s", b"a", "a"),
        ("0s", b"", ""),
        ("007s", b"abcdefg", "abcdefg"),
        ("6p", b"\3abcde", "abc"),
    ],
)
def test_any_code_of_one_value_is_read(code: str, packed: bytes, value: object) -> None:
    head = b"\1\1\0v" + struct.pack("<H", len(code)) + code.encode()
    assert values(head + b"\xff" + packed) == [("v", value)]
    assert values(head + b"\1" + packed + bytes(len(packed))) == [("v", value)]


@pytest.mark.parametrize(
    "code", ["", "x", "2I", "II", "<Q", " Q", "Q ", "-1s", "s5", "1e3s", "0x1", "y", "é", "9" * 19 + "s"]
)
def test_what_is_no_type_of_one_value_is_refused(code: str) -> None:
    data = b"\1\1\0v" + struct.pack("<H", len(code.encode())) + code.encode() + b"\xff" + bytes(4000)
    with pytest.raises(FormatError, match=r"'v' at byte 6: .* is no type of one value"):
        values(data, "little")


@pytest.mark.parametrize("data", [b"", b"\0", b"\2", b"\0" * PAGE, b"\2" + laid(EVERY)[1:], b"1.0"])
def test_another_version_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidMmStatsVersion, match="version"):
        values(data)


@pytest.mark.parametrize("buffer", [2, 3, 7, 127, 128, 254])
def test_a_write_buffer_that_there_is_not_is_refused(buffer: int) -> None:
    with pytest.raises(FormatError, match=f"'v' at byte 7: write buffer {buffer}: 0, 1 or 255 are right"):
        values(laid([Laid(b"v", "Q", buffer, (1, 2))]))


@pytest.mark.parametrize("mark", ["<", ">"])
def test_a_file_that_is_cut_off_at_any_byte_is_read_where_a_field_ends_and_else_refused(mark: str) -> None:
    data = laid(EVERY, mark, page=False)
    ends = {len(laid(EVERY[:count], mark, page=False)): count for count in range(len(EVERY) + 1)}
    for length in range(1, len(data) + 1):
        if length in ends:
            assert values(data[:length]) == VALUES[: ends[length]]
        else:
            with pytest.raises(FormatError, match=r"cut off behind|empty"):
                values(data[:length])


@pytest.mark.parametrize("code", ["999999999999999999s", "4294967295s", "65535s"])
def test_lengths_that_no_file_has_cost_no_memory(code: str) -> None:
    data = (
        laid([Laid(b"a", "Q", 0, (1, 2))], page=False) + b"\1\0v" + struct.pack("<H", len(code)) + code.encode() + b"\0"
    )
    tracemalloc.start()
    with pytest.raises(FormatError, match="cut off behind 1 fields: the value of 'v'"):
        values(data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 200_000


def test_labels_that_are_no_text_are_read_without_what_is_none() -> None:
    assert values(laid([Laid(b"a\xffb\xe2\x9d", "b", 0xFF, (1,))])) == [("ab", 1)]


def test_fields_of_the_same_label_are_all_read_in_the_order_of_the_file() -> None:
    assert values(laid([Laid(b"a", "b", 0xFF, (n,)) for n in (3, 1, 2)])) == [("a", 3), ("a", 1), ("a", 2)]


def test_a_file_is_read_by_its_path_and_an_error_names_it(tmp_path: Path) -> None:
    path = tmp_path / "x.mmstats"
    path.write_bytes(laid(EVERY))
    reader = MmStatsReader.from_file(path)
    assert [tuple(stat) for stat in reader] == VALUES
    assert reader.version == 1
    assert {(e.label, e.type, e.buffered) for e in reader.entries} >= {("counter", "Q", True), ("text", "9s", False)}
    path.write_bytes(laid(EVERY)[:100])
    with pytest.raises(FormatError, match=f"{path}: cut off behind 3 fields"):
        MmStatsReader.from_mmap(str(path))
    path.write_bytes(b"")
    with pytest.raises(InvalidMmStatsVersion, match=f"{path}: empty: no version"):
        MmStatsReader.from_file(path)


def test_what_is_no_regular_file_is_refused_and_waited_for_by_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(FormatError, match="not a regular file"):
            MmStatsReader.from_file(path)
    with pytest.raises(FileNotFoundError):
        MmStatsReader.from_file(tmp_path / "none")


def test_a_file_without_end_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(FormatError, match=f"{2**40} bytes: {LIMIT} are the most that are read"):
        MmStatsReader.from_file(tmp_path / "endless")


def test_what_is_written_is_what_the_table_says() -> None:
    native = "<" if sys.byteorder == "little" else ">"
    columns = [
        Column("v", "Q", True),
        Column("t", "5s", False, b"hi"),
        Column("w" * 256, "i", True, struct.pack("i", -3)),
    ]
    by_hand = [Laid(b"v", "Q", 0, (0, 0)), Laid(b"t", "5s", 0xFF, (b"hi",)), Laid(b"w" * 256, "i", 0, (0, -3))]
    data, places = encode(columns)
    assert data == laid(by_hand, native)
    assert [data[place] for place in places] == [0, 0xFF, 0]


@pytest.mark.parametrize(("size", "pages"), [(0, 1), (PAGE - 23, 1), (PAGE - 22, 2), (2 * PAGE - 23, 2), (20000, 5)])
def test_a_file_is_as_many_pages_as_its_fields_take(size: int, pages: int) -> None:
    columns = [Column("x" * size, "Q", True)] if size else []
    assert len(encode(columns)[0]) == pages * PAGE


@pytest.mark.parametrize("label", ["", "a\0b", "x" * 65536, "\ud800"])
def test_a_label_that_no_file_can_have_is_an_error(label: str) -> None:
    with pytest.raises(ValueError):
        encode([Column(label, "Q", True)])
