"""Statistics files as a source: what is in them, whose it is, and what of it is still so."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from support.mmstats import EVERY, Laid, laid

from statspout.client.mmap import BaseMmStats, BoolField, CounterField, DoubleField, MmStats, StringField, UInt64Field
from statspout.errors import ConfigError
from statspout.exposition import Family
from statspout.notes import without_effect
from statspout.options import settings_of
from statspout.repositories.mmap import Mmap
from statspout.sample import Container, Metric, Sample
from statspout.settings import Settings
from statspout.source import Target
from statspout.sources.applications import Surroundings, application_sources
from statspout.sources.apps.mmap import look as looking
from statspout.sources.apps.mmap.decode import named
from statspout.sources.apps.mmap.source import MmapSource
from statspout.sources.roster import Roster
from statspout.telemetry import Heard
from statspout.testing import sample

CONTAINER = Container(id="c" * 64, name="web", started_at=1)


class WebStats(MmStats):
    ok = CounterField(label="status.2XX")
    load = DoubleField()
    up = BoolField()
    mode = StringField()


class Taken:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.ends = 0
        self.twice = asyncio.Event()

    def push(self, sample: Sample) -> None:
        self.samples.append(sample)

    def push_all(self, samples: Sequence[Sample], *, last: bool = True) -> None:
        self.samples += samples
        self.ends += last
        if self.ends == 2:
            self.twice.set()

    async def kept(self, patience: float) -> None: ...
    def begin(self, container: Container) -> None: ...
    def clear(self, container: Container) -> None: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def web(folder: Path) -> Iterator[WebStats]:
    stats = WebStats(path=str(folder), filename="web-{PID}-{TID}.mmstats", label_prefix="web.stats.")
    yield stats
    stats.remove()


def source(folder: Path, *rosters: Roster, **settings: Any) -> MmapSource:
    wanted = Settings(listen_mmap=(f"{folder}/*.mmstats",), **settings)
    return MmapSource(Surroundings(wanted, list(rosters), lambda: "here", Heard()))


def look(one: MmapSource) -> dict[str, Metric]:
    """What a look finds, by name."""
    return {metric.name: metric for metric in one._look()}


def found(folder: Path, **settings: Any) -> dict[str, Any]:
    return {name: metric.value for name, metric in look(source(folder, **settings)).items()}


def write(folder: Path, name: str, *fields: Laid, pid: int | None = None) -> Path:
    """A file as another program has it: without a lock, and maybe with a process id."""
    about = [] if pid is None else [Laid(b"sys.pid", "I", 0xFF, (pid,))]
    path = folder / name
    path.write_bytes(laid([*about, *fields]))
    return path


HITS = Laid(b"hits", "Q", 1, (5, 0))
LEVEL = Laid(b"level", "d", 1, (2.5, 0.0))


def test_each_value_is_told_by_its_kind_with_command_and_process(folder: Path, web: WebStats) -> None:
    web.ok.incr(3)
    web.load, web.up, web.mode = 0.5, True, "busy"
    told = look(source(folder, interval=7))
    assert {name: (metric.kind, metric.value) for name, metric in told.items()} == {
        "web.stats.status.2XX": ("counter_total", 3),
        "web.stats.load": ("gauge", 0.5),
        "web.stats.up": ("gauge", 1),
        "web.stats.mode": ("text", "busy"),
    }
    assert told["web.stats.status.2XX"].tags == {"command": "web"}
    assert told["web.stats.load"].tags == {"command": "web", "pid": str(os.getpid())}
    assert {(metric.host, metric.container, metric.interval_s) for metric in told.values()} == {("here", None, 7.0)}


def test_another_threads_levels_have_its_number_and_its_counts_are_of_the_program(folder: Path, web: WebStats) -> None:
    web.ok.incr(1)
    told: list[list[Metric]] = []

    def work() -> None:
        web.ok.incr(2)
        told.append(source(folder)._look())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [m.value for m in told[0] if m.kind == "counter_total"] == [3]
    assert [m.tags.get("tid") for m in told[0] if m.name.endswith("load")].count(None) == 1
    assert found(folder)["web.stats.status.2XX"] == 3  # the thread has ended


def test_every_type_is_told_and_what_is_no_number_is_absent(folder: Path) -> None:
    path = write(folder, "all.mmstats", *EVERY)
    one = source(folder)
    assert not look(one)  # nobody is known to write it
    path.write_bytes(laid([*EVERY, HITS]))
    told = look(one)
    assert told.keys() == {
        "counter", "initial", "wrapped", "long", "uint", "int", "ushort", "short", "ubyte", "byte", "double", "float",
        "bool", "text", "whole", "cut", "two texts", "L\u00e4nge \u2764", "hits",
    }  # fmt: skip
    assert told["counter"].value == 2**64 - 1
    assert (told["bool"].kind, told["bool"].value) == ("gauge", 1)


def test_whether_a_number_of_64_bits_is_a_level_is_the_users_to_say(folder: Path) -> None:
    class Queue(BaseMmStats):
        waiting = UInt64Field()
        done = CounterField()

    queue = Queue(path=str(folder))
    queue.waiting = 7
    kinds = {name: metric.kind for name, metric in look(source(folder, listen_mmap_gauges=("wait*",))).items()}
    assert kinds == {"waiting": "gauge", "done": "counter_total"}
    queue.remove()


def test_what_a_repository_of_ours_publishes_is_no_applications(folder: Path) -> None:
    repository = Mmap(directory=str(folder))
    repository.open()
    repository.push([sample()])
    one = source(folder)
    assert not look(one)
    repository.close()


def test_labels_and_texts_may_have_any_characters(folder: Path) -> None:
    odd = Laid(b"a\x1b[31m\nb\x80|c", "d", 1, (1.0, 0.0))
    long = Laid(b"x" * 501, "d", 1, (1.0, 0.0))
    path = write(folder, "odd.mmstats", odd)
    one = source(folder)
    look(one)
    path.write_bytes(laid([odd, long, Laid(b"text", "9s", 0xFF, (b"\x1b[31m",))]))
    assert {name: metric.value for name, metric in look(one).items()} == {"a [31m b|c": 1.0, "text": "\x1b[31m"}
    assert one._accounts.left_out["name"] == 1


@pytest.mark.parametrize(
    ("name", "pid", "tid", "expected"),
    [
        ("web-12-13.mmstats", 12, 13, ("web", 12, 13)),
        ("web-12-0.mmstats", 12, 0, ("web", 12, 0)),
        ("web-12-13.2.mmstats", 12, 13, ("web", 12, 13)),
        ("web-12-13.mmstats", None, None, ("web", 12, 13)),
        ("web-1-1-1.mmstats", 1, 1, ("web-1", 1, 1)),
        ("web-2.mmstats", 1, 1, ("web-2", 1, 1)),
        ("web-12-13.mmstats", 12, None, ("web", 12, 13)),
        ("web-12-13.mmstats", 13, 12, ("web", 13, 12)),
        ("web.py-13-12", 12, 13, ("web.py", 12, 13)),
        ("-c-12-13.mmstats", 12, 13, ("-c", 12, 13)),
        ("mmstats-12-13", 12, 13, ("mmstats", 12, 13)),
        ("12.mmstats", 12, None, ("", 12, None)),
        ("a\x1b[2J-12-13.mmstats", 12, 13, ("a [2J", 12, 13)),
        ("web.mmstats", None, None, ("web", None, None)),
    ],
)
def test_the_command_is_what_the_files_name_has_beside_process_and_thread(
    name: str, pid: int | None, tid: int | None, expected: tuple[str, int | None, int | None]
) -> None:
    assert named(f"/run/stats-1-1/{name}", pid, tid) == expected


# whose it is


def proc_of(tmp_path: Path, path: Path, pid: int, *, locked: bool, container: str = CONTAINER.id, own: int = 9) -> Path:
    """A /proc in which ``pid``, ``own`` in its container, has the file locked or only mapped."""
    found, proc = path.stat(), tmp_path / "proc"
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    (proc / str(pid)).mkdir(parents=True)
    lock = f"2: FLOCK  ADVISORY  WRITE {pid} {device}:{found.st_ino} 0 EOF\n"
    (proc / "locks").write_text("1: POSIX  ADVISORY  READ 5 00:1a:7 128 128\n" + (lock if locked else ""))
    row = f"7f0000000000-7f0000001000 rw-s 00000000 {device} {found.st_ino}     {path}\n"
    (proc / str(pid) / "maps").write_text("7e00-7f00 r-xp 00000000 00:00 0\n" + ("" if locked else row))
    (proc / str(pid) / "cgroup").write_text(f"5:memory:/docker/{container}\n")
    (proc / str(pid) / "status").write_text(f"Name:\tpython3\nPid:\t{pid}\nNSpid:\t{pid}\t{own}\nThreads:\t1\n")
    return proc


def roster(host: str = "node7") -> Roster:
    made = Roster()
    made.host = host
    made.found(Target(container=CONTAINER, pid=77))
    return made


@pytest.mark.parametrize(("locked", "pid_here"), [(True, 4711), (False, 9)])
def test_the_container_is_that_of_the_process_that_the_kernel_says_has_the_file(
    folder: Path, tmp_path: Path, locked: bool, pid_here: int
) -> None:
    path = write(folder, "web-9-9.mmstats", HITS, LEVEL, pid=9)
    proc = proc_of(tmp_path, path, pid_here, locked=locked)
    told = look(source(folder, roster(), proc_root=str(proc)))
    assert [(m.container, m.host) for m in told.values()] == [(CONTAINER, "node7")] * 2
    assert told["level"].tags == {"command": "web", "pid": "9"}


def test_who_has_the_file_mapped_only_to_read_it_is_no_writer(folder: Path, tmp_path: Path) -> None:
    proc = proc_of(tmp_path, write(folder, "web-9-9.mmstats", HITS, LEVEL, pid=9), 9, locked=False)
    maps = proc / "9" / "maps"
    maps.write_text(maps.read_text().replace("rw-s", "r--s"))
    assert not look(source(folder, roster(), proc_root=str(proc)))


def test_a_lock_whose_process_has_another_number_to_itself_is_no_proof_but_somebody_writes(
    folder: Path, tmp_path: Path
) -> None:
    path = write(folder, "web-9-9.mmstats", HITS, LEVEL, pid=9)
    proc = proc_of(tmp_path, path, 4711, locked=True, own=10)  # whoever took the lock has ended, and this one is new
    assert [m.container for m in look(source(folder, roster(), proc_root=str(proc))).values()] == [None, None]


def test_a_process_id_in_a_file_is_no_proof_of_whose_it_is(folder: Path, tmp_path: Path) -> None:
    path = write(folder, "web-9-9.mmstats", HITS, LEVEL, pid=9)
    proc = proc_of(tmp_path, path, 4711, locked=False)
    (proc / "4711").rename(proc / "9")
    (proc / "9" / "maps").write_text("")  # the process 9 of this machine has not mapped it
    one = source(folder, roster(), proc_root=str(proc))
    assert not look(one)
    write(folder, path.name, HITS, LEVEL._replace(values=(3.5, 0.0)), pid=9)  # but somebody writes it
    assert [(m.container, m.value) for m in look(one).values()] == [(None, 5), (None, 3.5)]


def test_a_container_that_is_not_sampled_is_not_told_of_but_its_numbers_are(folder: Path, tmp_path: Path) -> None:
    path = write(folder, "web-9-9.mmstats", HITS, pid=9)
    proc = proc_of(tmp_path, path, 9, locked=True, container="d" * 64)
    assert [(m.container, m.host) for m in look(source(folder, roster(), proc_root=str(proc))).values()] == [
        (None, "here")
    ]


def test_what_was_read_of_a_container_that_ends_during_the_look_is_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, "web-9-9.mmstats", HITS, pid=9)
    here = roster()
    one = source(folder, here, proc_root=str(proc_of(tmp_path, path, 9, locked=True)))
    read = one._looker.look

    def and_it_ends() -> looking.Seen:
        seen = read()
        here.lost(CONTAINER)
        return seen

    monkeypatch.setattr(one._looker, "look", and_it_ends)
    assert [(m.container, m.host) for m in look(one).values()] == [(CONTAINER, "node7")]
    monkeypatch.undo()
    assert [(m.container, m.host) for m in look(one).values()] == [(None, "here")]


def test_containers_of_one_name_and_process_id_have_series_of_their_own(folder: Path, tmp_path: Path) -> None:
    first = write(folder, "web-1-1.mmstats", HITS, pid=1)
    (tmp_path / "other").mkdir()
    second = write(tmp_path / "other", "web-1-1.mmstats", HITS, pid=1)
    proc = proc_of(tmp_path, first, 50, locked=True, own=1)
    locks = (proc / "locks").read_text()
    (proc / "51").mkdir()
    (proc / "51" / "cgroup").write_text(f"0::/system.slice/docker-{'d' * 64}.scope\n")
    (proc / "51" / "status").write_text("NSpid:\t51\t1\n")
    more = locks.splitlines()[1].replace(" 50 ", " 51 ").replace(str(first.stat().st_ino), str(second.stat().st_ino))
    (proc / "locks").write_text(f"{locks}{more}\n")
    wanted = Settings(listen_mmap=(f"{folder}/*", f"{tmp_path}/other/*"), proc_root=str(proc))
    metrics = MmapSource(Surroundings(wanted, [roster()], lambda: "here", Heard()))._look()
    assert [(m.container, m.value) for m in metrics] == [(CONTAINER, 5), (None, 5)]
    assert len({m.key for m in metrics}) == 2


def test_the_kernel_says_of_this_process_that_it_writes_its_file(folder: Path, web: WebStats) -> None:
    one = source(folder)
    (file,) = one._looker.look().files
    assert (file.process, file.alive) == (os.getpid(), True)


# what is still so


@pytest.mark.parametrize(
    ("began", "state", "alive"), [(-1000, "S", True), (30, "S", True), (90, "S", False), (-1000, "Z", False)]
)
def test_a_process_whose_maps_we_may_not_see_is_taken_for_the_writer_only_if_it_is_old_enough_and_has_not_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began: int, state: str, alive: bool
) -> None:
    booted, ran = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), 10_000
    created = Laid(b"sys.created", "d", 0xFF, (booted + ran - began,))
    path = write(folder, "web-9-9.mmstats", LEVEL, created, pid=9)
    proc = proc_of(tmp_path, path, 9, locked=False)
    ticks = ran * os.sysconf("SC_CLK_TCK")
    (proc / "9" / "stat").write_text(f"9 (a ) b) {state} {' '.join(['0'] * 18)} {ticks} 0 0\n")
    monkeypatch.setattr("statspout.sources.apps.mmap.writers.mapped_by", _forbidden)
    told = look(source(folder, roster(), proc_root=str(proc)))
    assert [m.container for m in told.values()] == ([None] if alive else [])


def _forbidden(pid: int, proc: str, *, written: bool) -> frozenset[tuple[int, int]]:
    raise PermissionError(13, "Permission denied", f"{proc}/{pid}/maps")


def test_a_file_in_which_nothing_changes_is_not_written_whatever_is_in_it(folder: Path) -> None:
    write(folder, "web.mmstats", HITS, LEVEL, Laid(b"none", "d", 0xFF, (float("nan"),)))
    one = source(folder)
    assert [look(one) for _ in range(3)] == [{}, {}, {}]


def test_who_was_killed_while_counts_were_moved_holds_nobody_up(folder: Path) -> None:
    moved = Laid(b"sys.folds", "Q", 1, (3, 0))
    write(folder, f"web-{os.getpid()}-0.mmstats", HITS, moved, pid=os.getpid())  # in its container, as the next one
    one = source(folder)
    assert one._looker.look().settled

    class Web(MmStats):
        hits = CounterField()

    stats = Web(path=str(folder), filename="web-{PID}-{TID}.mmstats")
    stats.hits.incr(2)
    assert look(one)["hits"].value == 7
    stats.hits.incr(2)
    assert look(one)["hits"].value == 9
    stats.remove()


def test_a_file_that_has_the_inode_of_one_that_is_gone_is_another(folder: Path) -> None:
    class Web(MmStats):
        hits = CounterField()

    one, totals, inodes = source(folder), [], []
    for _ in range(3):
        stats = Web(path=str(folder), filename="web.mmstats")
        stats.hits.incr(2)
        totals.append(look(one)["hits"].value)
        inodes.append(Path(stats.filename).stat().st_ino)
        stats.remove()
    assert totals == [2, 4, 6], inodes


@pytest.mark.parametrize("created", [[], [Laid(b"sys.created", "d", 0xFF, (1e9,))]])
def test_a_file_that_cannot_be_read_for_a_time_is_not_counted_twice(folder: Path, created: list[Laid]) -> None:
    with BaseMmStatsOf(folder) as other:
        other.hits.incr(1)
        path = write(folder, "web.mmstats", HITS, *created)
        one = source(folder)
        assert look(one)["hits"].value == 6
        whole = path.read_bytes()
        path.write_bytes(whole[:12])
        assert look(one)["hits"].value == 6
        path.write_bytes(whole)
        assert look(one)["hits"].value == 6


class BaseMmStatsOf(BaseMmStats):
    """Hits of a program of the same name, which goes on."""

    hits = CounterField()

    def __init__(self, folder: Path) -> None:
        super().__init__(path=str(folder), filename="web.2.mmstats")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


# other settings


def followed(folder: Path, before: MmapSource, **settings: Any) -> MmapSource:
    one = source(folder, **settings)
    one.follow(before)
    return one


def test_totals_go_on_with_other_settings(folder: Path, web: WebStats) -> None:
    web.ok.incr(5)
    gone = WebStats(path=str(folder), filename="web-{PID}-{TID}.mmstats", label_prefix="web.stats.")
    gone.ok.incr(2)
    one = source(folder)
    name = "web.stats.status.2XX"
    assert look(one)[name].value == 7
    gone.remove()
    two = followed(folder, one, listen_mmap_interval=2.5)
    web.ok.incr()
    assert (look(two)[name].value, look(two)[name].interval_s) == (8, 2.5)
    three = followed(folder, followed(folder, two), listen_mmap_max_series=100)  # of which one never looked
    assert look(three)[name].value == 8


def test_a_pattern_that_is_left_out_for_a_time_counts_nothing_twice(folder: Path, web: WebStats) -> None:
    other = folder / "other"
    other.mkdir()
    more = WebStats(path=str(other), filename="web-{PID}-{TID}.mmstats", label_prefix="web.stats.")
    web.ok.incr(5)
    more.ok.incr(100)
    one: MmapSource | None = None
    totals = []
    for patterns in ((f"{folder}/*", f"{other}/*"), (f"{folder}/*",), (f"{folder}/*", f"{other}/*")):
        settings = Settings(listen_mmap=patterns)
        next_one = MmapSource(Surroundings(settings, [], lambda: "here", Heard()))
        if one is not None:
            next_one.follow(one)
        one = next_one
        web.ok.incr()
        more.ok.incr()
        totals.append(look(one)["web.stats.status.2XX"].value)
    assert totals == [107, 108, 111]
    more.remove()


def test_what_is_told_of_the_looks_goes_on_with_other_settings(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "bad.mmstats").write_text("nothing of that kind")
    one = source(folder)
    look(one)
    two = followed(folder, one, listen_mmap_interval=2.5)
    assert families(two) == families(one)
    look(two)
    assert families(two)["statspout_mmap_bad_files_total"] == 2
    assert caplog.text.count("bad.mmstats") == 1


def test_a_look_that_does_not_end_is_not_waited_for_by_who_follows(
    folder: Path, web: WebStats, caplog: pytest.LogCaptureFixture
) -> None:
    one = source(folder)
    with one._looking:
        assert look(followed(folder, one, listen_mmap_interval=0.1))
    assert caplog.messages == ["listen.mmap: the look before does not end: totals begin anew"]


# what is not taken


def bad_files(folder: Path) -> None:
    (folder / "text.mmstats").write_text("hello")
    (folder / "empty.mmstats").touch()
    (folder / "cut.mmstats").write_bytes(laid([HITS])[:9])
    (folder / "large.mmstats").write_bytes(laid([HITS]))
    os.truncate(folder / "large.mmstats", looking.LARGEST + 1)
    (folder / "folder.mmstats").mkdir()
    (folder / "link.mmstats").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.mmstats")


def test_a_bad_file_is_a_line_once_and_counted_and_costs_no_other(
    folder: Path, web: WebStats, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad_files(folder)
    monkeypatch.setattr("statspout.logs.BURST", 100)
    one = source(folder)
    assert look(one).keys() == look(one).keys() != set()
    told = sorted(record.getMessage() for record in caplog.records)
    cut = "type of 'hits' at byte 9"
    assert told == [
        f"listen.mmap: {folder}/cut.mmstats: cut off behind 0 fields: the {cut} takes 2 bytes, 0 are left",
        f"listen.mmap: {folder}/empty.mmstats: empty: no version",
        f"listen.mmap: {folder}/large.mmstats: 1048577 bytes: 1048576 are the most that are read here",
        f"listen.mmap: {folder}/link.mmstats: not a regular file",
        f"listen.mmap: {folder}/pipe.mmstats: not a regular file",
        f"listen.mmap: {folder}/text.mmstats: version 104, not 1",
    ]  # fmt: skip
    assert families(one)["statspout_mmap_bad_files_total"] == 12


def families(one: MmapSource) -> dict[str, float]:
    return {
        family.name + "".join(labels.values()): value
        for family in one.families()
        if isinstance(family, Family)
        for labels, value in family.samples
        if value is not None
    }


def test_of_too_many_series_those_stay_that_were_there_before(folder: Path) -> None:
    class Three(BaseMmStats):
        a, b, c = CounterField(), CounterField(), CounterField()

    one = source(folder, listen_mmap_max_series=4)
    later = Three(path=str(folder), filename="later.mmstats")
    assert len(look(one)) == 3
    earlier = Three(path=str(folder), filename="earlier.mmstats")
    assert {m.tags["command"] for m in one._look()} == {"later"}
    assert families(one)["statspout_mmap_left_out_totalseries"] == 3
    later.remove()
    assert {m.tags["command"] for m in one._look()} == {"earlier"}
    earlier.remove()


@pytest.mark.parametrize(("limit", "value"), [("MOST_FILES", 1), ("MOST_FIELDS", 11), ("MOST_BYTES", 5000)])
def test_of_too_many_files_those_stay_that_were_there_before(
    folder: Path, web: WebStats, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(looking, limit, value)
    one = source(folder)
    look(one)
    other = WebStats(path=str(folder), filename="a.mmstats")
    assert {m.tags["command"] for m in one._look()} == {"web"}
    assert families(one)["statspout_mmap_left_out_totalfiles"] == 1
    other.remove()


def test_of_two_levels_of_one_process_and_label_the_last_is_told(folder: Path) -> None:
    models = [WebStats(path=str(folder), filename="web-{PID}-{TID}.mmstats") for _ in range(2)]
    for number, model in enumerate(models):
        model.load = number
        model.ok.incr()
    one = source(folder)
    told = one._look()
    assert len(told) == len({m.key for m in told})
    assert {m.name: m.value for m in told} == {"load": 0, "up": 0, "status.2XX": 2}  # ...2.mmstats comes before
    assert families(one)["statspout_mmap_left_out_totaltwice"] == 2
    for model in models:
        model.remove()


# running


def test_it_looks_every_interval_without_keeping_the_loop(folder: Path, web: WebStats) -> None:
    one, sink = source(folder, listen_mmap_interval=0.1), Taken()
    slow = threading.Event()
    real = one._look

    def waiting() -> list[Metric]:
        slow.wait(10)
        return real()

    async def run() -> None:
        one._look = waiting  # type: ignore[method-assign]  # a file system that takes its time
        running = asyncio.create_task(one.run(sink))
        await asyncio.sleep(0.35)
        assert not sink.samples
        slow.set()
        await sink.twice.wait()
        running.cancel()

    asyncio.run(asyncio.wait_for(run(), 20))
    assert {metric.name for metric in sink.samples if isinstance(metric, Metric)} >= {"web.stats.load"}
    assert families(one)["statspout_mmap_looks_skipped_total"] >= 1


def test_a_look_that_fails_is_the_daemons_to_tell_and_the_next_one_works(folder: Path, web: WebStats) -> None:
    one, sink = source(folder, listen_mmap_interval=0.1), Taken()
    real, one._looker.look = one._looker.look, lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(one.run(sink), 20))
    one._looker.look = real  # type: ignore[method-assign]
    assert one._look()


def test_the_setting_asks_for_it(folder: Path) -> None:
    settings = Settings(listen_mmap=(f"{folder}/*", "/run/*/x"), listen_mmap_interval=2.5)
    (one,) = application_sources(Surroundings(settings, [], lambda: "", Heard()), [])
    assert one.summary() == f"statistics files {folder}/*, /run/*/x, every 2.5 s"
    assert one.told() == [f"listen.mmap: {folder}/*, every 2.5 s", "listen.mmap: /run/*/x, every 2.5 s"]


@pytest.mark.parametrize("pattern", ["/run/stats/", "a\0b"])
def test_a_pattern_that_matches_no_file_is_a_wrong_setting(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"--listen\.mmap: .* is wrong: a pattern such as"):
        MmapSource(Surroundings(Settings(listen_mmap=(pattern,)), [], lambda: "", Heard()))


def test_its_other_settings_have_no_effect_alone() -> None:
    given = {"listen.mmap-interval": 1.0, "listen.statsd-interval": 1.0, "listen.statsd": (":1",)}
    assert without_effect(given, {}, settings_of(Settings)) == [
        "--listen.mmap-interval has no effect without --listen.mmap"
    ]
