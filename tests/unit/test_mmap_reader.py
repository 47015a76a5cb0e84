"""Reading a statistics file while somebody writes it, or spoils it: a value is whole, or there is an error."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.mmstats import EVERY, VALUES, Laid, laid

from statspout.client.mmap import FormatError, MmStatsReader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.mmstats").write_bytes(laid(EVERY))
    return tmp_path / "a.mmstats"


class Meanwhile:
    """Stands before ``os.pread``: before each one something happens to the file, as another process would do it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *happens: Callable[[], object]) -> None:
        self._happens = list(happens)
        self._pread = os.pread
        monkeypatch.setattr(os, "pread", self)

    def __call__(self, fd: int, size: int, offset: int) -> bytes:
        if self._happens:
            self._happens.pop(0)()
        return self._pread(fd, size, offset)


def nothing() -> None:
    return


def put(path: Path, at: int, data: bytes) -> Callable[[], object]:
    def write() -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return write


COUNTER = 13
"""Where the write buffer of the first of EVERY is; its values are behind it."""


def test_a_value_that_changed_since_it_was_copied_is_copied_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Meanwhile(monkeypatch, nothing, put(path, COUNTER, b"\0" + struct.pack("<QQ", 2**64 - 1, 8)))
    assert [tuple(s) for s in MmStatsReader.from_file(path)] == [("counter", 8), *VALUES[1:]]


def test_two_writes_since_the_first_look_do_not_pass_for_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The write buffer is what it was, and the value in it half of one and half of another.
    torn = put(path, COUNTER, b"\1" + b"\xff" * 4 + struct.pack("<IQ", 0, 6))
    whole = put(path, COUNTER, b"\1" + struct.pack("<QQ", 5, 6))
    Meanwhile(monkeypatch, nothing, torn, whole)
    assert next(iter(MmStatsReader.from_file(path))) == ("counter", 5)


def test_a_value_that_never_rests_is_read_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = [put(path, COUNTER, bytes([n % 2]) + struct.pack("<QQ", n, n)) for n in range(1, 200)]
    Meanwhile(monkeypatch, *writes)
    reader = MmStatsReader.from_file(path)
    assert 0 < int(next(iter(reader)).value) < 200
    assert [tuple(s) for s in reader][1:] == VALUES[1:]


@pytest.mark.parametrize("when", range(4))
def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    hot = [put(path, COUNTER + 1, bytes([n])) for n in range(4)]
    Meanwhile(monkeypatch, *hot[:when], lambda: os.truncate(path, COUNTER + 3), nothing)
    with pytest.raises(FormatError, match=r"cut off"):
        MmStatsReader.from_file(path)


def test_a_file_that_is_written_anew_is_read_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = laid([Laid(b"other", "b", 0xFF, (4,))])
    Meanwhile(monkeypatch, nothing, lambda: path.write_bytes(other))
    assert list(MmStatsReader.from_file(path)) == [("other", 4)]


def test_a_file_that_is_another_one_each_time_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [laid([Laid(b"%d" % n, "b", 0xFF, (n,))]) for n in range(10)]
    Meanwhile(monkeypatch, *(lambda data=data: path.write_bytes(data) for data in files))
    with pytest.raises(FormatError, match=r"its fields are other ones each time"):
        MmStatsReader.from_file(path)


def test_a_file_is_read_by_many_threads_at_once_while_it_is_cut_off_and_written(path: Path) -> None:
    whole, over, seen = laid(EVERY), threading.Event(), set()

    def read() -> None:
        while not over.is_set():
            try:
                seen.add(tuple(tuple(s) for s in MmStatsReader.from_file(path)))
            except FormatError:
                seen.add(())

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        path.write_bytes(whole)  # which cuts it off first
    over.set()
    for thread in threads:
        thread.join()
    assert seen <= {(), *(tuple(VALUES[:count]) for count in range(len(VALUES) + 1))}
    assert tuple(VALUES) in seen


def test_what_is_no_regular_file_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")  # as well it may lead to one that does something when it is opened
    opened: list[object] = []
    real = os.open

    def opening(path: Any, *how: Any, **more: Any) -> int:
        opened.append(path)
        return real(path, *how, **more)

    monkeypatch.setattr(os, "open", opening)
    for name in ("pipe", "device"):
        with pytest.raises(FormatError, match=f"{name}: not a regular file"):
            MmStatsReader.from_file(tmp_path / name)
    assert opened == []
