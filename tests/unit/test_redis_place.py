"""The place in each label outlasts the daemon: what the file holds, when it is written, and what its loss costs."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from statspout.sample import Container, Sample
from statspout.sources.apps.redis.keeper import Keeper
from statspout.sources.apps.redis.place import About, PlaceFile

HERE = About("127.0.0.1:6379/0", "AKA-STATS", "*")
FILE = "listen.redis.place"


class Slow:
    """A sink that has on disk what it was given when it is told to."""

    def __init__(self) -> None:
        self.safe = asyncio.Event()

    async def kept(self, patience: float) -> None:
        await self.safe.wait()

    def push(self, sample: Sample) -> None: ...
    def push_all(self, samples: Sequence[Sample], *, last: bool = True) -> None: ...
    def begin(self, container: Container) -> None: ...
    def clear(self, container: Container) -> None: ...


def kept(keeper: Keeper, about: About = HERE) -> Coroutine[Any, Any, None]:
    """Save what is noted."""

    async def work() -> None:
        sink = Slow()
        sink.safe.set()
        await keeper.save(sink)

    return work()


def keeper(directory: Path, places: Callable[[], dict[str, bytes | None]] = dict) -> Keeper:
    return Keeper(directory, places)


async def noted(directory: Path, places: dict[str, bytes | None], about: About = HERE) -> None:
    one = keeper(directory, lambda: places)
    one.note(about, places)
    await kept(one)


def remove(directory: Path) -> None:
    for path in directory.glob(f"{FILE}*"):
        path.unlink()


def test_what_was_noted_is_there_for_the_next_one(tmp_path: Path) -> None:
    async def main() -> None:
        one = keeper(tmp_path, lambda: {"x": b"1", "y": b"1"})
        one.note(HERE, {"x": b"1", "y": b"1"})
        await kept(one)
        one.note(HERE, {"x": b"2", "y": None, "z": b"3"})
        await kept(one)
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"2", "z": b"3"})
        assert await keeper(tmp_path).load(HERE._replace(looked="a*")) == (False, {"x": b"2", "z": b"3"})

    asyncio.run(main())


def test_nothing_counts_as_told_before_it_is_safe(tmp_path: Path) -> None:
    async def main() -> None:
        one, sink = keeper(tmp_path, lambda: {"x": b"1"}), Slow()
        one.gave()
        one.note(HERE, {"x": b"1"})
        saving = asyncio.create_task(one.save(sink))
        await asyncio.sleep(0.1)
        assert not (tmp_path / FILE).exists()
        sink.safe.set()
        await saving
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"1"})

    asyncio.run(main())


@pytest.mark.parametrize("removed", [False, True])
def test_where_all_places_are_written_what_was_told_meanwhile_is_waited_for_too(tmp_path: Path, removed: bool) -> None:
    async def main() -> None:
        one, sink = keeper(tmp_path, lambda: {"x": b"2"}), Slow()
        if removed:
            await noted(tmp_path, {"x": b"1"})
            await one.load(HERE)
            remove(tmp_path)
        one.gave()
        one.note(HERE, {"x": b"1"})
        saving = asyncio.create_task(one.save(sink))
        await asyncio.sleep(0)
        one.gave()
        sink.safe.set()
        sink.safe = asyncio.Event()
        await asyncio.sleep(0.1)
        assert not (tmp_path / FILE).exists(), "the second record is not safe"
        sink.safe.set()
        await saving
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"2"})

    asyncio.run(main())


def test_what_was_not_safe_when_it_was_broken_off_is_saved_by_the_next_one(tmp_path: Path) -> None:
    async def main() -> None:
        one = keeper(tmp_path, lambda: {"x": b"1"})
        one.gave()
        one.note(HERE, {"x": b"1"})
        saving = asyncio.create_task(one.save(Slow()))
        await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait({saving})
        sink = Slow()
        sink.safe.set()
        await one.end(sink)
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"1"})

    asyncio.run(main())


def test_where_nothing_was_told_nothing_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        one = keeper(tmp_path, lambda: {"x": b"1"})
        one.note(HERE, {"x": b"1"})
        await one.save(Slow())
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"1"})

    asyncio.run(main())


@pytest.mark.parametrize("other", [HERE._replace(redis="elsewhere:6379/0"), HERE._replace(namespace="SHOP")])
def test_another_redis_or_namespace_begins_anew_and_says_so(
    tmp_path: Path, other: About, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        await noted(tmp_path, {"x": b"1"})
        two = keeper(tmp_path, lambda: {"y": b"2"})
        assert await two.load(other) == (False, {})
        two.note(other._replace(looked=""), {})  # it has not been reached
        await kept(two)
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"1"}), "a wrong address costs nothing"
        two.note(other, {"y": b"2"})
        await kept(two)
        assert await keeper(tmp_path).load(other) == (True, {"y": b"2"})

    asyncio.run(main())
    assert "is of AKA-STATS at 127.0.0.1:6379/0: here it begins anew" in caplog.text


@pytest.mark.parametrize("content", [b"no database, " * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_put_aside_and_said_in_a_line(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)

    async def main() -> None:
        one = keeper(tmp_path, lambda: {"x": b"1"})
        assert await one.load(HERE) == (False, {})
        one.note(HERE, {"x": b"1"})
        await kept(one)
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"1"})

    asyncio.run(main())
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == content
    (line,) = caplog.messages
    assert "here it begins anew" in line


def test_a_file_of_another_version_is_not_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version = 9")
        db.execute("CREATE TABLE labels (x)")
    assert asyncio.run(keeper(tmp_path).load(HERE)) == (False, {})


def test_a_file_that_is_removed_is_written_anew_with_all_that_is_known(tmp_path: Path) -> None:
    async def main() -> None:
        one = keeper(tmp_path, lambda: {"x": b"1", "y": b"2"})
        one.note(HERE, {"x": b"1"})
        await kept(one)
        remove(tmp_path)
        one.note(HERE, {"y": b"2"})
        await kept(one)
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"1", "y": b"2"})

    asyncio.run(main())


def test_a_disk_that_cannot_be_written_is_said_once_and_what_was_noted_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    directory = tmp_path / "gone"

    async def main() -> None:
        one = keeper(directory, lambda: {"x": b"2"})
        for place in (b"1", b"2"):
            one.note(HERE, {"x": place})
            await kept(one)
        directory.mkdir()
        one.note(HERE, {})
        await kept(one)
        assert await keeper(directory).load(HERE) == (True, {"x": b"2"})

    asyncio.run(main())
    assert [line.partition(f"{FILE} ")[2] for line in caplog.messages] == [
        "cannot be written: No such file or directory: after the next start, what is read from now on comes again",
        "is written again",
    ]


def test_a_disk_that_hangs_is_waited_for_by_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, calls = threading.Event(), 0
    save = PlaceFile.save

    def hang(*arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        hanging.wait()
        save(*arguments, **named)

    monkeypatch.setattr("statspout.sources.apps.redis.keeper._PATIENCE", 0.05)
    monkeypatch.setattr(PlaceFile, "save", hang)

    async def main() -> None:
        one = keeper(tmp_path, lambda: {"x": b"1"})
        for _ in range(3):
            one.note(HERE, {"x": b"1"})
            await kept(one)
        assert calls == 1
        monkeypatch.undo()
        hanging.set()
        one.note(HERE, {"x": b"3"})
        one.all_places = lambda: {"x": b"3"}
        await kept(one)
        assert await keeper(tmp_path).load(HERE) == (True, {"x": b"3"})

    asyncio.run(main())
