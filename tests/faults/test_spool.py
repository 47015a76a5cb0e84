"""What a destination could not take is on disk within a second, and leaves it only when it is stored or counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.standstill import PATIENCE, running_time, undisturbed

from statspout import Closed, ConfigError, Handling, Rejected, Repository, Sample
from statspout.delivery.backoff import Backoff
from statspout.delivery.delivery import Delivery
from statspout.delivery.encoding import decode
from statspout.delivery.spooldir import SpoolDirectory
from statspout.delivery.spoolfile import Damaged, Row, SpoolFile
from statspout.testing import sample, samples

DAY = 86_400.0


class Store(Repository):
    """A destination that is down until it is ``up``; poison it rejects."""

    name = "store"
    flush_interval = 0.02

    def __post_init__(self) -> None:
        self.up = False
        self.stored: list[Sample] = []
        self.batches: list[int] = []
        self.poison: set[int] = set()

    def push(self, batch: Sequence[Sample]) -> None:
        if not self.up:
            raise OSError("down")
        if any(one.time_ns in self.poison for one in batch):
            raise Rejected("poison")
        self.batches.append(len(batch))
        self.stored.extend(batch)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "statspout")
    monkeypatch.setattr("statspout.delivery.spool.ON_DISK_BY", 0.06)
    monkeypatch.setattr("statspout.delivery.spool._RIPE", 0.0)


def run(
    directory: Path,
    work: Callable[[Delivery, Store], Awaitable[Any]],
    *,
    most: int = 2**30,
    age: float = DAY,
    **handling: Any,
) -> tuple[Delivery, Store]:
    """Run a delivery with a spool around ``work``, and hold its books to their promise."""
    store = Store(handling=Handling(**handling))

    async def main() -> Delivery:
        with SpoolDirectory(str(directory), most, age) as spools:
            delivery = Delivery(store, spool=spools.spool("store"), backoff=Backoff(first=0.005, cap=0.02))
            delivery.start()
            await work(delivery, store)
            await delivery.stop(PATIENCE if store.up else 0.1)
        return delivery

    delivery = asyncio.run(main())
    assert delivery.books.balanced, delivery.books
    return delivery, store


def put(delivery: Delivery, wanted: Sequence[Sample]) -> None:
    for one in wanted:
        delivery.put([one])


async def until(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110 - it happens in threads
            await asyncio.sleep(0.005)


def on_disk(directory: Path) -> list[Sample]:
    """What the file holds now, as another process sees it."""
    try:
        db = sqlite3.connect(f"file:{directory}/store.spool?mode=ro", uri=True)
        rows = db.execute("SELECT data FROM batches ORDER BY id").fetchall()
        db.close()
    except sqlite3.OperationalError:
        return []  # there is no file yet
    return [one for (data,) in rows for one in decode(data)]


def left_behind(directory: Path, wanted: Sequence[Sample], each: int = 0) -> None:
    """A run whose destination was down all the time; with ``each``, so many samples a row."""

    async def work(delivery: Delivery, _: Store) -> None:
        for i in range(0, len(wanted), each or len(wanted)):
            put(delivery, wanted[i : i + (each or len(wanted))])
            await until(lambda: len(on_disk(directory)) == delivery.books.collected)

    run(directory, work)


async def drain(_: Delivery, store: Store) -> None:
    store.up = True


def newest_on_disk(directory: Path, newest: Sample) -> bool:
    return newest in on_disk(directory)


def times(found: Sequence[Sample]) -> list[int]:
    return [one.time_ns for one in found]


def test_what_is_not_stored_is_on_disk_and_leaves_it_when_it_is(tmp_path: Path) -> None:
    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, samples(30))
        await until(lambda: on_disk(tmp_path) == samples(30))
        store.up = True
        await until(lambda: not on_disk(tmp_path))

    delivery, store = run(tmp_path, work)
    assert (store.stored, delivery.books.delivered) == (samples(30), 30)


def test_a_batch_in_flight_is_on_disk_too(tmp_path: Path) -> None:
    stored = threading.Event()

    async def work(delivery: Delivery, store: Store) -> None:
        store.up = True
        store.push = lambda batch: stored.wait(PATIENCE)  # type: ignore[method-assign, assignment]
        put(delivery, samples(3))
        await until(lambda: len(on_disk(tmp_path)) == 3)
        stored.set()

    delivery, _ = run(tmp_path, work)
    assert (delivery.books.delivered, on_disk(tmp_path)) == (3, [])


@undisturbed(0.1)
def test_a_destination_that_works_leaves_the_disk_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.delivery.spool.ON_DISK_BY", 0.6)
    monkeypatch.setattr("statspout.delivery.spool._RIPE", 0.5)

    async def work(delivery: Delivery, store: Store) -> None:
        store.up = True
        for one in samples(100):
            delivery.put([one])
            await asyncio.sleep(0.015)

    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    _, store = run(folder, work)
    assert len(store.stored) == 100
    with sqlite3.connect(folder / "store.spool") as db:
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,), "a row has been there"
        assert db.execute("PRAGMA page_count").fetchone()[0] <= 4


def test_the_next_start_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    left_behind(tmp_path, samples(50), each=10)
    delivery, store = run(tmp_path, drain)
    assert (delivery.books.restored, delivery.books.delivered) == (50, 50)
    assert store.stored == samples(50)
    assert on_disk(tmp_path) == []


def test_what_was_stored_does_not_come_again(tmp_path: Path) -> None:
    async def half(delivery: Delivery, store: Store) -> None:
        put(delivery, samples(40))
        await until(lambda: len(on_disk(tmp_path)) == 40)
        # Both halves of the row are pushed, one is stored.
        store.poison, store.up = {one.time_ns for one in samples(40)[20:]}, True
        store.push = lambda batch: half_up(store, batch)  # type: ignore[method-assign]
        await until(lambda: len(store.stored) >= 10)
        store.up = False

    def half_up(store: Store, batch: Sequence[Sample]) -> None:
        if not store.up or batch[0].time_ns in store.poison:
            raise OSError("down again")
        store.stored.extend(batch)

    first, before = run(tmp_path, half, batch_size=10)
    second, after = run(tmp_path, drain)
    assert before.stored + after.stored == samples(40)
    assert first.books.queued == second.books.restored == len(after.stored) > 0


@pytest.mark.parametrize("writing", [False, True])
def test_what_is_dropped_because_its_destination_is_closed_is_not_on_disk_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: bool
) -> None:
    write = SpoolFile.write

    def slow(file: SpoolFile, *rows: Any) -> Any:
        time.sleep(0.2)
        return write(file, *rows)

    def close(batch: Sequence[Sample]) -> None:
        time.sleep(0.15 if writing else 0)
        raise Closed("the pipe is gone")

    async def work(delivery: Delivery, store: Store) -> None:
        monkeypatch.setattr(SpoolFile, "write", slow)
        store.push = close  # type: ignore[method-assign]
        put(delivery, samples(5))
        await delivery.finished.wait()
        await asyncio.sleep(0.5)

    delivery, _ = run(tmp_path, work)
    assert (delivery.books.dropped, on_disk(tmp_path)) == ({"closed": 5}, [])


def test_a_row_that_is_stored_piece_by_piece_is_written_anew_once_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, samples(200))
    write, written = SpoolFile.write, []

    def noted(file: SpoolFile, rows: Sequence[Row], *rest: Any) -> Any:
        written.append([row.id for row in rows])
        return write(file, rows, *rest)

    async def work(_: Delivery, store: Store) -> None:
        monkeypatch.setattr(SpoolFile, "write", noted)
        store.push = lambda batch: time.sleep(0.002)  # type: ignore[method-assign]
        store.up = True

    run(tmp_path, work, batch_size=1)
    assert [1] in written
    assert max(map(len, written)) == 1


def test_more_than_memory_holds_waits_on_disk_and_arrives(tmp_path: Path) -> None:
    async def work(delivery: Delivery, store: Store) -> None:
        for i in range(0, 500, 20):
            put(delivery, samples(500)[i : i + 20])
            await until(lambda: len(on_disk(tmp_path)) == delivery.books.collected)
        assert len(delivery._queue) <= 40
        store.up = True

    delivery, store = run(tmp_path, work, queue_samples=40, batch_size=30)
    assert sorted(times(store.stored)) == times(samples(500))
    assert not delivery.books.dropped


def test_what_is_new_does_not_wait_for_what_is_old(tmp_path: Path) -> None:
    left_behind(tmp_path, samples(300), each=20)

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, [sample("new")])
        store.up = True
        await until(lambda: len(store.stored) == 301)

    _, store = run(tmp_path, work, batch_size=20)
    assert store.stored.index(sample("new")) < 60
    assert [one for one in store.stored if one != sample("new")] == samples(300)


def test_poison_on_disk_is_found_and_counted(tmp_path: Path) -> None:
    left_behind(tmp_path, samples(100), each=25)

    async def work(delivery: Delivery, store: Store) -> None:
        store.poison, store.up = {samples(100)[60].time_ns}, True

    delivery, _ = run(tmp_path, work)
    assert (delivery.books.delivered, delivery.books.dropped) == (99, {"rejected": 1})
    assert on_disk(tmp_path) == []


def test_the_file_is_small_again_after_draining(tmp_path: Path) -> None:
    many = [sample(f"web-{i}", labels={f"label-{j}": os.urandom(40).hex() for j in range(20)}) for i in range(2000)]
    left_behind(tmp_path, many)
    large = (tmp_path / "store.spool").stat().st_size
    run(tmp_path, drain)
    assert (large > 2**21, (tmp_path / "store.spool").stat().st_size < 2**17) == (True, True)


def test_beyond_its_size_the_oldest_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.delivery.spool.Backoff", lambda **_: Backoff(first=0.02, cap=0.02))

    async def work(delivery: Delivery, store: Store) -> None:
        many = samples(1000)
        for i in range(0, 1000, 50):
            put(delivery, many[i : i + 50])
            await until(partial(newest_on_disk, tmp_path, many[i + 49]))
        assert (tmp_path / "store.spool").stat().st_size < 500_000
        store.up = True

    # What is in memory, and what was read back of it, has its place there, too; the rest is room for what is new.
    delivery, store = run(tmp_path, work, most=256 * 1024, queue_samples=100)
    lost = delivery.books.dropped["overflow"]
    assert 0 < lost < 900
    assert (len(store.stored), delivery.books.delivered) == (1000 - lost, 1000 - lost)
    assert set(times(store.stored)) >= set(times(samples(1000)[-100:]))
    assert "the spool is full: the oldest are dropped" in caplog.text


def test_a_spool_smaller_than_memory_holds_what_fits_and_forgets_what_was_stored(tmp_path: Path) -> None:
    def first_only(store: Store, batch: Sequence[Sample]) -> None:
        if not store.up or store.stored:
            raise OSError("down")
        store.stored.extend(batch)

    async def work(delivery: Delivery, store: Store) -> None:
        store.push = partial(first_only, store)  # type: ignore[method-assign]
        put(delivery, samples(400))
        await until(lambda: delivery.spool and delivery.spool.failures)
        assert 0 < len(on_disk(tmp_path)) < 200
        store.up = True
        await until(lambda: store.stored)
        store.up = False

    first, _ = run(tmp_path, work, most=50_000, batch_size=50)
    second, after = run(tmp_path, drain)
    assert times(after.stored) == times(samples(400))[50 : 50 + second.books.restored]
    assert first.books.dropped == {"shutdown": 350 - second.books.restored}


def test_what_does_not_fit_into_the_spool_costs_nothing_that_does(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "store.spool", 60_000)
    file.open()
    ids, _ = file.write([Row(0, 1, b"x" * 10_000), Row(0, 2, b"x" * 10_000)], [], [])
    assert file.write([Row(0, 1, b"x" * 90_000)], [], [(ids[0], ids[1])]) == ([], [])
    assert file.write([Row(0, 1, b"x" * 30_000), Row(0, 1, b"x" * 90_000)], [], [(ids[0], ids[1])]) == ([3], [(1, 1)])
    assert [row.id for row in file.read((1, 9), 99)] == [2, 3]
    file.close()


def test_a_row_that_was_stored_in_part_and_has_to_go_is_counted_once(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "store.spool", 60_000)
    file.open()
    file.write([Row(0, 50, b"x" * 20_000)], [], [])
    assert file.write([Row(1, 30, b"x" * 12_000), Row(0, 50, b"x" * 30_000)], [], [(1, 1)]) == ([2], [(1, 30)])
    assert [row.id for row in file.read((1, 9), 99)] == [2]
    file.close()


def test_what_is_too_old_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind(tmp_path, samples(100), each=10)
    monkeypatch.setattr("statspout.delivery.spool._EXPIRY", 0.01)

    async def work(delivery: Delivery, store: Store) -> None:
        await until(lambda: delivery.spool and delivery.spool.queue)
        with sqlite3.connect(tmp_path / "store.spool") as db:
            db.execute("UPDATE batches SET time = time - 100")
        db.close()
        await until(lambda: delivery.books.dropped)
        store.up = True

    delivery, store = run(tmp_path, work, age=50, batch_size=10)
    assert (delivery.books.dropped, store.stored) == ({"expired": 90}, samples(100)[:10]), "ten were on their way"


def test_a_clock_that_is_set_makes_nothing_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind(tmp_path, samples(100), each=10)
    with sqlite3.connect(tmp_path / "store.spool") as db:
        db.execute("UPDATE batches SET time = 1000 WHERE id < 5")  # written before the machine knew the year
    db.close()
    monkeypatch.setattr("statspout.delivery.spool._EXPIRY", 0.01)
    real = time.time

    async def work(delivery: Delivery, store: Store) -> None:
        monkeypatch.setattr("time.time", lambda: real() + 30 * DAY)
        await asyncio.sleep(0.3)
        store.up = True

    delivery, store = run(tmp_path, work, batch_size=10)
    assert (delivery.books.dropped, store.stored) == ({}, samples(100))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5000)


def overwritten(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def newer(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def stranger(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()


def half_gone(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)


def no_text(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE batches", b"CREATE \xff\xff\xffLE batches"))


def no_count(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE batches SET samples = 'many' WHERE id = 2")
    db.commit()
    db.close()


@pytest.mark.parametrize("damage", [truncated, overwritten, newer, stranger, half_gone, no_text, no_count])
def test_a_damaged_file_is_put_away_and_all_goes_on(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    left_behind(tmp_path, samples(400), each=100)
    damage(tmp_path / "store.spool")
    caplog.clear()

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, samples(3))
        await until(lambda: len(on_disk(tmp_path)) == 3)
        store.up = True

    _, store = run(tmp_path, work)
    assert store.stored[-3:] == samples(3)
    assert [path.name[:19] for path in tmp_path.glob("*damaged*")] == ["store.spool.damaged"]
    assert caplog.text.count("cannot be used") == 1


def test_a_file_that_vanishes_costs_what_was_only_there(tmp_path: Path) -> None:
    left_behind(tmp_path, samples(100), each=10)
    fresh = [sample(f"new-{i}") for i in range(6)]

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, fresh[:3])
        await until(lambda: delivery.spool and delivery.spool.queue and len(on_disk(tmp_path)) == 103)
        (tmp_path / "store.spool").unlink()
        put(delivery, fresh[3:])
        await until(lambda: delivery.books.dropped)
        await until(lambda: on_disk(tmp_path)[-6:] == fresh)
        store.up = True

    delivery, store = run(tmp_path, work, batch_size=10)
    assert delivery.books.dropped == {"damaged": 90}, "ten were in memory"
    assert (len(store.stored), on_disk(tmp_path)) == (16, [])


def test_a_directory_that_vanishes_is_made_again_and_locked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "spool"

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, samples(3))
        await until(lambda: len(on_disk(folder)) == 3)
        shutil.rmtree(folder)
        put(delivery, samples(5)[3:])
        await until(lambda: on_disk(folder) == samples(5))
        with pytest.raises(ConfigError, match="is in use by process"):
            SpoolDirectory(str(folder), 2**30, DAY).__enter__()
        store.up = True

    assert run(folder, work)[1].stored == samples(5)
    assert caplog.text.count("is gone: it was removed; a new one is made") == 1


def test_who_has_lost_its_directory_to_another_program_leaves_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.delivery.spool.Backoff", lambda **_: Backoff(first=0.02, cap=0.02))
    folder = tmp_path / "spool"

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, samples(3))
        await until(lambda: len(on_disk(folder)) == 3)
        shutil.rmtree(folder)
        with SpoolDirectory(str(folder), 2**30, DAY):
            (folder / "store.spool").write_text("another's")
            put(delivery, samples(5)[3:])
            await until(lambda: delivery.spool and delivery.spool.failures > 3)
            assert (folder / "store.spool").read_text() == "another's"
        store.up = True

    assert run(folder, work)[1].stored == samples(5)


def test_a_file_that_is_damaged_meanwhile_does_not_cost_what_comes(tmp_path: Path) -> None:
    left_behind(tmp_path, samples(2000), each=500)
    fresh = [sample(f"new-{i}") for i in range(6)]

    async def work(delivery: Delivery, store: Store) -> None:
        overwritten(tmp_path / "store.spool")
        put(delivery, fresh)
        store.up = True
        await until(lambda: len(store.stored) + delivery.books.dropped.total() == 2006)

    _, store = run(tmp_path, work, batch_size=100)
    assert set(times(fresh)) <= set(times(store.stored))


def test_a_row_that_cannot_be_read_costs_that_row(tmp_path: Path) -> None:
    left_behind(tmp_path, samples(30), each=10)
    with sqlite3.connect(tmp_path / "store.spool") as db:
        db.execute("UPDATE batches SET data = zeroblob(length(data)) WHERE id = 2")
    db.close()
    delivery, store = run(tmp_path, drain)
    assert (delivery.books.dropped, store.stored) == ({"damaged": 10}, samples(30)[:10] + samples(30)[20:])
    assert on_disk(tmp_path) == []


def remounted(disk: Path) -> None:
    assert os.system(f"mount -o remount,size=16m {disk}") == 0


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size={getattr(request, 'param', '512k')} none {disk}"):
        pytest.skip("needs root, to mount a small disk")
    yield disk
    os.system(f"umount -l {disk}")


def test_a_full_disk_is_told_once_and_costs_nothing_but_safety(
    small_disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.delivery.spool.Backoff", lambda **_: Backoff(first=0.02, cap=0.02))

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, samples(10))
        await until(lambda: len(on_disk(small_disk)) == 10)
        (small_disk / "filler").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096))
        put(delivery, samples(5000))
        assert delivery.spool is not None
        await until(lambda: delivery.spool and delivery.spool.failures > 3)
        (small_disk / "filler").unlink()
        put(delivery, samples(7))
        remounted(small_disk)
        await until(lambda: len(on_disk(small_disk)) == 5017)
        store.up = True

    delivery, store = run(small_disk, work)
    assert (len(store.stored), delivery.books.dropped) == (5017, {})
    assert caplog.text.count("cannot be written") == 1
    assert "the spool works again" in caplog.text


@pytest.mark.parametrize("small_disk", ["4k", "8k", "12k", "16k", "20k", "24k"], indirect=True)
def test_a_file_that_could_not_be_made_whole_is_made_later_and_not_damaged(small_disk: Path) -> None:
    file = SpoolFile(small_disk / "store.spool", 2**30)
    with contextlib.suppress(sqlite3.Error, OSError):
        file.open()
    remounted(small_disk)
    assert file.open() == (None, 0)
    file.close()


def test_a_disk_that_is_full_at_the_start_is_no_reason_not_to_run(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096))

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, samples(5))
        store.up = True

    assert run(small_disk, work)[1].stored == samples(5)


def test_what_waits_in_a_file_that_cannot_be_opened_yet_is_delivered_and_counted_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.delivery.spool.Backoff", lambda **_: Backoff(first=0.02, cap=0.02))
    left_behind(tmp_path, samples(30))
    other = sqlite3.connect(tmp_path / "store.spool", isolation_level=None)
    other.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;")

    async def work(delivery: Delivery, store: Store) -> None:
        store.up = True
        assert delivery.books.restored == 0
        other.close()
        await until(lambda: len(store.stored) == 30)

    assert run(tmp_path, work)[0].books.restored == 30


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_disk_that_hangs_holds_up_what_waits_there_and_not_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr("statspout.delivery.spool._READ_PATIENCE", 0.02)
    left_behind(tmp_path, samples(100), each=20)
    works, method = threading.Event(), getattr(SpoolFile, call)

    def hangs(file: SpoolFile, *arguments: Any) -> Any:
        works.wait(PATIENCE)
        return method(file, *arguments)

    async def work(delivery: Delivery, store: Store) -> None:
        monkeypatch.setattr(SpoolFile, call, hangs)
        put(delivery, [sample("first")])
        await asyncio.sleep(0.3)
        store.up = True
        for number in range(5):
            put(delivery, [sample(f"new-{number}")])
            await until(lambda: sample(f"new-{number}") in store.stored)  # noqa: B023 - it is awaited here
        works.set()
        await until(lambda: len(store.stored) == 106)

    run(tmp_path, work, batch_size=20)


def test_a_disk_and_a_close_that_hang_are_waited_for_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.delivery.delivery.CLOSE_PATIENCE", 1.0)
    monkeypatch.setattr(SpoolFile, "write", lambda *_: time.sleep(5))

    async def work(delivery: Delivery, store: Store) -> None:
        store.close = lambda: time.sleep(5)  # type: ignore[method-assign]
        store.up = True
        await asyncio.sleep(0.05)
        store.up = False
        put(delivery, samples(1))
        began = running_time()
        await delivery.stop(1.0)
        assert running_time() - began < 2.9

    run(tmp_path, work)


def test_the_last_write_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures, write = [Damaged("it is gone"), sqlite3.OperationalError("database is locked")], SpoolFile.write

    def fails_at_first(file: SpoolFile, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return write(file, *arguments)

    async def work(delivery: Delivery, _: Store) -> None:
        monkeypatch.setattr("statspout.delivery.spool.ON_DISK_BY", 60)
        monkeypatch.setattr(SpoolFile, "write", fails_at_first)
        put(delivery, samples(3))

    run(tmp_path, work)
    assert on_disk(tmp_path) == samples(3)


def test_the_directory_is_one_programs(tmp_path: Path) -> None:
    first = SpoolDirectory(str(tmp_path / "a" / "b"), 2**30, DAY)
    with first:
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
        with pytest.raises(ConfigError, match=rf"^--spool.dir: .* is in use by process {os.getpid()}: "):
            SpoolDirectory(str(first.path), 2**30, DAY).__enter__()
    with first:
        pass


@pytest.mark.parametrize(
    ("path", "reason"), [("file", "is a file"), ("file/x", "is a file"), ("n\0l", "cannot be made")]
)
def test_a_directory_that_cannot_be_is_a_wrong_setting(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=rf"^--spool.dir: .* {reason}"):
        SpoolDirectory(f"{tmp_path}/{path}", 2**30, DAY).check()


def test_files_that_wait_for_nobody_are_told_of_and_expire(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left_behind(tmp_path, samples(5))
    for name, age in (("influxdb.a.spool", 2), ("old.spool", 100), ("old.spool-wal", 100), ("x.spool.damaged-1", 100)):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    SpoolDirectory(str(tmp_path), 2**30, 50).look_for_others(["store"])
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "store.spool", "influxdb.a.spool"}
    told = [record.message.replace(str(tmp_path), "") for record in caplog.records if "spool:" in record.message]
    assert told == [
        "spool: /influxdb.a.spool waits for nobody: its repository is not configured; it is removed in 0 h",
        "spool: /old.spool, 100 bytes, is removed: its repository is not configured, and it is too old",
        "spool: /x.spool.damaged-1, 100 bytes, is removed: it was damaged, and it is too old",
    ]


def test_what_cannot_be_removed_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "old.spool").mkdir()
    os.utime(tmp_path / "old.spool", (1, 1))
    (tmp_path / "link.spool").symlink_to("nowhere")
    SpoolDirectory(str(tmp_path), 2**30, 50).look_for_others(["store"])
    assert "old.spool cannot be looked at, or removed: Is a directory" in caplog.text


def test_what_cannot_be_written_is_told_once_and_holds_up_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [sample(labels={"what": object()})]

    async def work(delivery: Delivery, store: Store) -> None:
        put(delivery, odd)
        await until(lambda: delivery.spool and delivery.spool.failures)
        put(delivery, samples(3))
        await until(lambda: on_disk(tmp_path) == samples(3))
        store.up = True

    assert run(tmp_path, work)[1].stored == odd + samples(3)
    assert caplog.text.count("cannot be written: a object cannot be written") == 1


def test_nobody_else_may_read_what_is_there(tmp_path: Path) -> None:
    left_behind(tmp_path, samples(1))
    assert (tmp_path / "store.spool").stat().st_mode & 0o777 == 0o600
