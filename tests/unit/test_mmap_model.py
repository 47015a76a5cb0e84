"""Models: what their files are called, what is in them, and what becomes of them among threads."""

from __future__ import annotations

import gc
import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.mmstats import Laid, laid

from statspout.client import losses
from statspout.client.mmap import (
    BaseMmStats,
    CounterField,
    DoubleField,
    DuplicateFieldName,
    InvalidMmStatsVersion,
    MmStats,
    MmStatsReader,
    StringField,
    TimerField,
    UIntField,
    default_filename,
    default_glob,
    default_path,
    held,
    read_all,
)  # fmt: skip
from statspout.client.mmap.reading import read_settled


class Web(MmStats):
    hits = CounterField(label="hits.total")
    level = UIntField()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MMSTATS_PATH", str(tmp_path))
    monkeypatch.delenv("MMSTATS_FILES", raising=False)
    monkeypatch.delenv("MMSTATS_GLOB", raising=False)
    monkeypatch.setattr(sys, "argv", ["/opt/bin/web", "x"])
    yield tmp_path
    gc.collect()  # what a test has not removed goes with its model


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def seen(path: str | Path) -> dict[str, Any]:
    return dict(MmStatsReader.from_file(path))


def total(label: str) -> int:
    """The sum over all files."""
    found = read_all()
    assert not found.errors
    return sum(int(value) for reader in found.readers.values() for name, value in reader if name == label)


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


# what is in a file


def test_a_model_tells_one_process_from_another() -> None:
    began = time.time()
    stats = Web(label_prefix="web.")
    found = seen(stats.filename)
    assert list(found) == [
        "web.sys.pid", "web.sys.tid", "web.sys.uid", "web.sys.gid", "web.org.python.version", "web.sys.created",
        "web.hits.total", "web.level",
    ]  # fmt: skip
    assert began <= found.pop("web.sys.created") <= time.time()
    assert found.pop("web.org.python.version") == sys.version.replace("\n", "")
    assert list(found.values()) == [os.getpid(), threading.get_native_id(), os.getuid(), os.getgid(), 0, 0]
    assert (stats.label_prefix, stats.pid, stats.size) == ("web.", os.getpid(), Path(stats.filename).stat().st_size)


def test_a_base_model_has_what_it_declares_and_a_subclass_what_its_bases_do() -> None:
    class Base(BaseMmStats):
        a = CounterField()
        b = CounterField()

    class More(Base):
        c = CounterField()
        a = DoubleField()  # type: ignore[assignment]
        b = None  # type: ignore[assignment]

    base, more = Base(), More()
    assert list(seen(base.filename)) == ["a", "b"]
    assert [(e.label, e.type) for e in MmStatsReader.from_file(more.filename).entries] == [("a", "d"), ("c", "Q")]


def test_labels_are_of_any_language_and_their_bytes_are_counted() -> None:
    model = type("Any", (BaseMmStats,), {"a": CounterField("größe.❤" * 100), "b": CounterField("次")})
    stats = model(label_prefix="é.")
    assert list(seen(stats.filename)) == ["é." + "größe.❤" * 100, "é.次"]


def test_two_fields_of_one_label_are_an_error() -> None:
    with pytest.raises(DuplicateFieldName, match="Twice: two fields with the label 'a'"):
        type("Twice", (BaseMmStats,), {"a": CounterField(), "b": CounterField("a")})
    with pytest.raises(DuplicateFieldName, match=r"sys\.pid"):
        type("Twice", (MmStats,), {"a": CounterField("sys.pid")})


@pytest.mark.parametrize("name", ["filename", "remove", "_shared", "_store"])
def test_a_field_that_would_hide_what_a_model_has_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"Hides.{name}: every model has an attribute of that name"):
        type("Hides", (BaseMmStats,), {name: CounterField()})


@pytest.mark.parametrize("label", ["", "a\0", "x" * 65536])
def test_a_label_that_no_file_can_have_is_an_error_at_once(label: str, folder: Path) -> None:
    with pytest.raises(ValueError, match="label"):
        type("Wrong", (BaseMmStats,), {"a": CounterField(label)})
    with pytest.raises(ValueError, match="label"):
        Web(label_prefix=f"{label}\0")
    assert names(folder) == []


# what it is called


def test_a_file_is_called_after_program_process_and_thread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid, tid = os.getpid(), threading.get_native_id()
    assert Web().filename == str(folder / f"web-{pid}-{tid}.mmstats")
    assert default_filename() == "{CMD}-{PID}-{TID}.mmstats"
    assert default_glob() == str(folder / "*.mmstats")
    monkeypatch.setenv("MMSTATS_FILES", "{TID}.{PID:09}.{CMD}")
    assert Web().filename == str(folder / f"{tid}.{pid:09}.web")
    (folder / str(pid)).mkdir()
    assert Web(path=f"{folder}/{{PID}}", filename="{CMD}.m").filename == str(folder / str(pid) / "web.m")
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert Web(filename="{CMD}").filename == str(folder / "-c")
    monkeypatch.setattr(sys, "argv", [])
    assert Web(filename="x{CMD}").filename == str(folder / "x")


def test_files_are_among_the_temporary_ones_unless_it_is_said_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSTATS_GLOB", "/a/*.m")
    assert default_glob() == "/a/*.m"
    monkeypatch.delenv("MMSTATS_PATH")
    monkeypatch.setattr("tempfile.tempdir", "/var/[odd]")
    assert default_path() == "/var/[odd]"
    monkeypatch.delenv("MMSTATS_GLOB")
    assert default_glob() == "/var/[[]odd]/*.mmstats"


@pytest.mark.parametrize("name", [".", "..", "/", "a/", "../.."])
def test_a_filename_that_is_a_folder_is_an_error(name: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder: a file's name is right"):
        Web(filename=name)
    assert names(folder) == []


def test_where_there_can_be_no_file_the_error_names_it(folder: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        Web(filename="none/web.mmstats")
    assert raised.value.filename == f"{folder}/none/web.mmstats"


@pytest.mark.parametrize("template", ["{NAME}", "{PID", "{0}", "{PID.x}", "{PID:s}"])
def test_a_template_that_cannot_be_filled_in_is_an_error(template: str) -> None:
    with pytest.raises(ValueError, match=r"\{CMD\}, \{PID\} and \{TID\} are right"):
        Web(filename=template)


def test_a_folder_that_there_is_not_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        Web(path=str(folder / "none"))


def test_two_models_of_one_process_do_not_share_a_file(folder: Path) -> None:
    first, second, third = Web(filename="a.mmstats"), Web(filename="a.mmstats"), Web(filename="a.mmstats")
    first.hits.incr(1)
    second.hits.incr(2)
    third.hits.incr(3)
    found = {name: seen(folder / name)["hits.total"] for name in names(folder)}
    assert found == {"a.mmstats": 1, "a.2.mmstats": 2, "a.3.mmstats": 3}


def test_a_file_that_nobody_writes_any_more_makes_room_for_one_of_its_name(folder: Path) -> None:
    left = Web(filename="a.mmstats", keep=True)
    path = Path(left.filename)
    content = path.read_bytes()
    left.remove()
    path.write_bytes(content)
    assert not held(path)
    with path.open("rb") as reader:
        stats = Web(filename="a.mmstats")
        stats.hits.incr(7)
        assert reader.read() == content  # whoever has it open reads on what he has opened
    assert names(folder) == ["a.mmstats"]
    assert held(path)


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"\2"])
def test_a_file_that_has_no_statistics_is_never_replaced(folder: Path, content: bytes) -> None:
    (folder / "a.mmstats").write_bytes(content)
    (folder / "a.2.mmstats").symlink_to(folder / "elsewhere")
    assert Path(Web(filename="a.mmstats").filename).name == "a.3.mmstats"
    assert (folder / "a.mmstats").read_bytes() == content
    assert not (folder / "elsewhere").exists()


def test_a_file_appears_complete(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, before = os.link, []

    def look(source: str, target: str) -> None:
        before.append((names(folder), seen(source)["level"], stat.S_IMODE(Path(source).stat().st_mode)))
        link(source, target)

    monkeypatch.setattr(os, "link", look)
    mask = os.umask(0o027)
    try:
        stats = Web(filename="a.mmstats")
    finally:
        os.umask(mask)
    ((hidden, level, mode),) = before
    assert (len(hidden), hidden[0][:11], hidden[0][-4:], level, mode) == (1, ".a.mmstats.", ".new", 0, 0o640)
    assert names(folder) == [Path(stats.filename).name]


def test_a_file_system_without_links_has_files_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted", source)

    monkeypatch.setattr(os, "link", refuse)
    first, second = Web(filename="a.mmstats"), Web(filename="a.mmstats")
    second.hits.incr()
    assert names(folder) == ["a.2.mmstats", "a.mmstats"]
    assert seen(folder / "a.2.mmstats")["hits.total"] == 1
    assert first.hits.value == 0


# what becomes of it


def test_remove_takes_the_file_and_every_use_after_it_is_an_error(folder: Path) -> None:
    class All(MmStats):
        c = CounterField()
        t = TimerField()
        s = StringField()
        u = UIntField()

    stats = All()
    counter, timing = stats.c, stats.t
    timing.start()
    stats.flush()
    stats.flush(wait=False)
    stats.remove()
    stats.remove()
    assert names(folder) == []
    for use in (
        lambda: stats.c, lambda: stats.t, lambda: stats.s, lambda: stats.pid, lambda: setattr(stats, "u", 5),
        counter.incr, timing.stop,
    ):  # fmt: skip
        with pytest.raises(KeyError, match="these statistics were removed"):
            use()


def test_a_model_that_is_gone_leaves_no_file(folder: Path) -> None:
    stats = Web()

    def work(stats: Web = stats) -> None:
        stats.hits.incr(5)

    in_thread(work)
    assert len(names(folder)) == 2
    del stats, work
    gc.collect()
    assert names(folder) == []


def test_every_thread_has_its_own_file_with_its_own_id() -> None:
    stats, found = Web(), {}
    barrier = threading.Barrier(3)

    def work(number: int) -> None:
        stats.hits.incr(number)
        stats.level = number
        barrier.wait()
        found[number] = (stats.filename, seen(stats.filename), threading.get_native_id())
        barrier.wait()

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path for path, _, _ in found.values()} | {stats.filename}) == 4
    for number, (_, values, tid) in found.items():
        assert (values["hits.total"], values["level"], values["sys.tid"]) == (number, number, tid)
    assert (stats.hits.value, stats.level) == (0, 0)


def test_what_ended_threads_counted_stays_in_one_file_of_the_process(folder: Path) -> None:
    stats = Web(label_prefix="w.")
    for number in range(1, 11):
        in_thread(lambda number=number: stats.hits.incr(number))  # type: ignore[misc]
        assert total("w.hits.total") == sum(range(number + 1))
    ended = folder / f"web-{os.getpid()}-0.mmstats"
    assert names(folder) == sorted([ended.name, Path(stats.filename).name])
    values = seen(ended)
    assert (values["w.sys.pid"], values["w.sys.tid"], values["w.sys.folds"]) == (os.getpid(), 0, 20)
    assert "w.level" not in values


def test_a_thread_that_counted_nothing_leaves_nothing(folder: Path) -> None:
    stats = Web()
    in_thread(lambda: setattr(stats, "level", 5))
    assert names(folder) == [Path(stats.filename).name]


def test_removing_spares_the_files_of_threads_that_live(folder: Path) -> None:
    stats, step = Web(), threading.Barrier(2)
    in_thread(lambda: stats.hits.incr(1))

    def work() -> None:
        stats.hits.incr(2)
        step.wait()
        step.wait()
        stats.hits.incr(4)

    thread = threading.Thread(target=work)
    thread.start()
    step.wait()
    stats.remove()
    assert total("hits.total") == 3
    step.wait()
    thread.join()
    assert total("hits.total") == 7
    in_thread(stats.remove)
    assert names(folder) == []


def test_a_counter_of_a_thread_that_has_ended_counts_on_for_who_has_it() -> None:
    stats, kept = Web(), []

    def work() -> None:
        stats.hits.incr(3)
        kept.append(stats.hits)

    in_thread(work)
    kept[0].incr(4)
    assert total("hits.total") == 7


def test_a_counter_of_a_thread_that_ends_loses_nothing_of_what_others_count_meanwhile(folder: Path) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    stats, over, done = Web(), threading.Event(), []
    shared = [stats.hits]

    def count() -> None:
        counted = 0
        while not over.is_set():
            shared[-1].incr()
            counted += 1
        done.append(counted)

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            in_thread(lambda: shared.append(stats.hits))
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert total("hits.total") == sum(done)
    shared.clear()
    gc.collect()
    assert total("hits.total") == sum(done)


def test_a_counter_that_threads_share_loses_nothing() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    stats = Web()
    incr = stats.hits.incr
    try:
        threads = [threading.Thread(target=lambda: [incr() for _ in range(20_000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert stats.hits.value == total("hits.total") == 80_000


def test_a_storm_of_threads_loses_no_count_and_no_reader_sees_one_twice(folder: Path) -> None:
    stats, over, sums = Web(), threading.Event(), []

    def read() -> None:
        while not over.is_set():
            found = read_all()
            if found.settled:
                each = [value for reader in found.readers.values() for name, value in reader if name == "hits.total"]
                sums.append(sum(map(int, each)))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(60):
        threads = [threading.Thread(target=lambda: stats.hits.incr()) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    over.set()
    reader.join()
    assert total("hits.total") == 300
    assert sums
    assert sums == sorted(sums)
    assert len(names(folder)) == 2


def test_a_subclass_may_do_more_for_each_thread() -> None:
    class Named(Web):
        def __init__(self, name: str) -> None:
            super().__init__(label_prefix=f"{name}.")
            self.level = 9

    stats, levels = Named("n"), []
    in_thread(lambda: levels.append((stats.level, stats.label_prefix)))
    assert levels == [(9, "n.")]
    assert stats.level == 9


# when there can be no file


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.setattr(losses, "_said", set())
    caplog.set_level(logging.WARNING, "statspout.client")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_thread_that_can_have_no_file_counts_for_nobody_and_says_so_once(
    folder: Path, said: Callable[[], list[str]]
) -> None:
    stats, kept = Web(), []
    folder.rename(folder.with_name("away"))

    def work() -> None:
        stats.hits.incr(5)
        stats.level = 7
        kept.append((stats.hits.value, stats.level, stats.filename))

    in_thread(work)
    folder.with_name("away").rename(folder)
    assert kept == [(5, 7, "")]
    (line,) = said()
    assert line.endswith(".mmstats: No such file or directory; what is counted there is seen by nobody")
    in_thread(work)
    assert total("hits.total") == 5


def test_where_nothing_can_be_folded_the_file_of_the_thread_stays(
    folder: Path, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stats, link = Web(), os.link

    def refuse(source: str, target: str) -> None:
        if "-0." in target:
            raise OSError(28, "No space left on device", source)
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    for _ in range(2):
        in_thread(lambda: stats.hits.incr(5))
    assert total("hits.total") == 10
    assert "No space left on device" in said()[0]
    assert all(held(path) for path in folder.iterdir())


# reading all


def test_files_that_cannot_be_read_are_told_apart_from_those_that_can(folder: Path) -> None:
    stats = Web()
    (folder / "bad.mmstats").write_bytes(b"")
    (folder / "folder.mmstats").mkdir()
    (folder / "loop.mmstats").symlink_to(folder / "loop.mmstats")
    found = read_all()
    assert list(found.readers) == [stats.filename]
    assert {Path(path).name: type(error) for path, error in found.errors.items()} == {
        "bad.mmstats": InvalidMmStatsVersion,
        "loop.mmstats": OSError,
    }
    assert found.settled
    assert read_all(str(folder / "*.none")).readers == {}


class Folder:
    """Files in memory: of processes at rest, and of one whose threads end while others' files are read."""

    def __init__(self, every: int, ended: str = "busy", thread: str = "t") -> None:
        self.every, self.file_of_ended, self.thread = every, ended, thread
        self.rest = [f"rest{number}" for number in range(50)]
        self.read_of_others = self.folds = self.ended = self.threads = 0
        self.counts = {f"{thread}0": 1}

    def find(self) -> list[str]:
        return sorted([self.file_of_ended, *self.counts, *self.rest])

    def read(self, path: str) -> MmStatsReader:
        if path in self.rest:
            self.read_of_others += 1
            if self.read_of_others % self.every == 0:
                self.ended += self.counts.popitem()[1]
                self.folds += 2
                self.threads += 1
                self.counts[f"{self.thread}{self.threads}"] = 1
        elif path not in self.counts and path != self.file_of_ended:
            raise FileNotFoundError
        fields = [Laid(b"sys.pid", "I", 255, (2 if path in self.rest else 1,))]
        hits = self.counts.get(path, 0)
        if path == self.file_of_ended:
            fields, hits = [*fields, Laid(b"sys.folds", "Q", 1, (self.folds, 0))], self.ended
        return MmStatsReader.from_bytes(laid([*fields, Laid(b"hits", "Q", 1, (hits, 0))]))


@pytest.mark.parametrize(("ended", "thread"), [("a", "b"), ("a", "z"), ("z", "a"), ("z", "y"), ("b", "a")])
@pytest.mark.parametrize("every", [1, 7, 25, 49, 51, 60, 1000])
def test_where_threads_end_all_the_time_only_the_files_of_their_process_are_read_again(
    every: int, ended: str, thread: str
) -> None:
    files = Folder(every, ended, thread)
    found = read_settled(files.find, files.read, passes=10, is_held=lambda path: True)
    assert found.settled
    assert files.read_of_others <= 100
    assert sum(int(dict(reader)["hits"]) for reader in found.readers.values()) == files.ended + 1


def test_a_process_at_rest_of_which_a_file_goes_meanwhile_is_read_again() -> None:
    files, looks = Folder(every=1000), [0]

    def find() -> list[str]:
        looks[0] += 1
        if looks[0] == 3:
            files.rest.pop()
        return files.find()

    def read(path: str) -> MmStatsReader:
        if looks[0] < 3 and path == "busy":
            files.folds += 2  # so that there is a third look
        return files.read(path)

    found = read_settled(find, read, passes=10, is_held=lambda path: True)
    assert found.settled
    assert sorted(found.readers) == files.find()
    assert files.read_of_others == 50 + 49


def test_a_fold_that_was_never_finished_is_told(folder: Path) -> None:
    stats = Web()
    in_thread(lambda: stats.hits.incr(5))
    ended = folder / f"web-{os.getpid()}-0.mmstats"
    assert read_all().settled
    data = bytearray(ended.read_bytes())
    place = data.index(b"sys.folds") + len(b"sys.folds") + 3
    data[place : place + 17] = b"\1" + (3).to_bytes(8, sys.byteorder) * 2
    ended.write_bytes(data)
    found = read_all()
    assert not found.settled
    assert list(found.readers) == sorted([str(ended), stats.filename])
