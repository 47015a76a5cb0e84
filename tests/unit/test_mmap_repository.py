"""The repository mmap: a file for each container that runs, which shows what is so now, and nothing else."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from statspout import ConfigError, ContainerSample, RepositoryError
from statspout.catalogue import ENTRIES
from statspout.client.mmap import MmStatsReader, held
from statspout.repositories.mmap import Mmap
from statspout.testing import RepositoryContract, sample, samples


class TestMmap(RepositoryContract):
    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "published"

    def make(self) -> Mmap:
        return Mmap(directory=str(self.folder))

    def unreachable(self) -> Mmap:
        repository = Mmap(directory=str(self.folder / "there"))
        self.folder.write_text("no directory")
        return repository

    def stored(self, repository: object) -> Sequence[object]:
        return files(self.folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def repository(folder: Path) -> Iterator[Mmap]:
    made = Mmap(directory=str(folder))
    made.open()
    yield made
    made.close()


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def values(path: Path) -> dict[str, Any]:
    return dict(MmStatsReader.from_file(path))


def of(folder: Path, name: str = "web") -> dict[str, Any]:
    """What is published of the container, without what stands before the labels."""
    (path,) = folder.glob(f"{name}-*.mmstats")
    return {label.removeprefix(f"container.{name}."): value for label, value in values(path).items()}


def test_every_number_of_the_catalogue_is_under_its_name(repository: Mmap, folder: Path) -> None:
    one = sample()
    repository.push([one])
    shown = of(folder)
    assert {entry.field: shown[entry.field] for entry in ENTRIES} == {
        entry.field: getattr(one, entry.field) for entry in ENTRIES
    }
    assert (shown["name"], shown["state"], shown["host"], shown["id"]) == ("web", "running", "node-1", one.container.id)
    assert shown["time"] == one.time_ns / 1e9


def test_what_is_not_known_is_not_there(repository: Mmap, folder: Path) -> None:
    unknown = {"cpu_percent": None, "health": None, "mem_usage": math.nan, "rx_bytes": -1}
    repository.push([sample(**unknown)])
    assert not unknown.keys() & of(folder).keys()
    repository.push([sample()])
    assert unknown.keys() <= of(folder).keys()


def test_who_has_the_file_open_sees_the_next_sample(repository: Mmap, folder: Path) -> None:
    repository.push([sample(cpu_percent=1.0)])
    (path,) = files(folder)
    before = path.stat().st_ino
    for percent in (2.0, 3.0, 4.0):
        repository.push([sample(cpu_percent=percent)])
        assert of(folder)["cpu_percent"] == percent
    assert path.stat().st_ino == before


def test_an_older_sample_does_not_take_the_place_of_a_newer_one(repository: Mmap, folder: Path) -> None:
    one = sample()
    repository.push([one])
    repository.push([sample(time_ns=one.time_ns - 1, cpu_percent=1.0)])
    assert of(folder)["cpu_percent"] == one.cpu_percent
    again = sample(time_ns=one.time_ns - 1, cpu_percent=2.0, started_at=one.time_ns - 2)
    repository.push([again])  # another run of it
    assert of(folder)["cpu_percent"] == 2.0


def test_counts_are_counters_to_a_reader_and_levels_are_none(repository: Mmap, folder: Path) -> None:
    repository.push([sample(rx_bytes=2**64 - 1)])
    entries = {e.label.rpartition(".")[2]: e for e in MmStatsReader.from_file(files(folder)[0]).entries}
    assert entries["rx_bytes"][1:] == (2**64 - 1, "Q", True)
    assert entries["mem_usage"].type == "d"
    assert entries["cpu_seconds_total"][1:] == (12.5, "d", True)


def test_a_container_that_is_gone_has_no_file(repository: Mmap, folder: Path) -> None:
    one, other = samples(2)
    repository.push([one, other])
    repository.clear(one.container)
    assert [values(path)["container.web-1.name"] for path in files(folder)] == ["web-1"]


def test_the_end_of_an_earlier_run_leaves_the_file_of_the_next(repository: Mmap, folder: Path) -> None:
    old, new = sample(started_at=1), sample(started_at=2)
    repository.push([old])
    repository.push([new])
    repository.clear(old.container)
    assert files(folder)
    repository.clear(new.container)
    assert not files(folder)


def test_a_container_that_was_renamed_has_one_file_under_its_new_name(repository: Mmap, folder: Path) -> None:
    one = sample("old")
    repository.push([one])
    repository.push([sample("new", id=one.container.id)])
    assert of(folder, "new")["name"] == "new"
    assert len(files(folder)) == 1


def test_what_nothing_comes_for_is_gone_after_three_intervals(
    repository: Mmap, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("statspout.repositories.mmap.time.monotonic", lambda: now[0])
    repository.push([sample()])
    now[0] += 3 * repository.interval
    repository.idle()
    assert files(folder)
    now[0] += 0.1
    repository.idle()
    assert not files(folder)


def test_two_containers_of_one_name_have_a_file_each(repository: Mmap, folder: Path) -> None:
    repository.push([sample(id="a" * 64), sample(id="b" * 64), sample(id="b" * 12 + "c" * 52)])
    assert [path.name for path in files(folder)] == [
        "web-aaaaaaaaaaaa.mmstats", "web-bbbbbbbbbbbb.2.mmstats", "web-bbbbbbbbbbbb.mmstats",
    ]  # fmt: skip
    assert sorted(values(path)["container.web.id"][11:13] for path in files(folder)) == ["aa", "bb", "bc"]


@pytest.mark.parametrize(
    ("name", "file", "label"),
    [
        ("../../etc/passwd", "_.._etc_passwd", ".._.._etc_passwd"),
        (".hidden", "hidden", ".hidden"),
        ("a/b\0c\n\x1b[31m", "a_b_c___31m", "a_b_c___31m"),
        ("é-漢字", "_-__", "é-漢字"),
        ("", "_", "0a0b0c0d0e0f"),
        ("x" * 5000, "x" * 100, "x" * 100),
        ("*?[a]{b}", "___a__b_", "___a__b_"),
        ("\ud800", "_", "_"),
    ],
)
def test_no_name_of_a_container_leads_out_of_the_folder(
    repository: Mmap, folder: Path, name: str, file: str, label: str
) -> None:
    repository.push([sample(name, id="0a0b0c0d0e0f" * 5)])
    (path,) = files(folder)
    assert path.name == f"{file}-0a0b0c0d0e0f.mmstats"
    assert f"container.{label}.cpu_percent" in values(path)


def test_a_text_that_is_too_long_is_cut_between_two_characters(repository: Mmap, folder: Path) -> None:
    repository.push([sample(image="é" * 500)])
    assert of(folder)["image"] == "é" * 128


def test_the_files_are_locked_while_they_are_current_and_go_at_the_end(repository: Mmap, folder: Path) -> None:
    repository.push(samples(3))
    assert all(held(path) for path in files(folder))
    repository.close()
    assert not files(folder)


def test_where_each_container_is_sampled_once_the_files_stay(folder: Path) -> None:
    repository = Mmap(directory=str(folder))
    repository.interval = math.inf
    repository.open()
    repository.push([sample()])
    repository.close()
    assert of(folder)["name"] == "web"
    assert not held(files(folder)[0])


@pytest.mark.parametrize(("mode", "of_file", "of_folder"), [("644", 0o644, 0o755), ("0640", 0o640, 0o750)])
def test_who_may_read_the_files_may_look_for_them(folder: Path, mode: str, of_file: int, of_folder: int) -> None:
    before = os.umask(0o077)
    try:
        repository = Mmap(directory=str(folder), mode=mode)
        repository.open()
        repository.push([sample()])
    finally:
        os.umask(before)
    assert stat.S_IMODE(files(folder)[0].stat().st_mode) == of_file
    assert stat.S_IMODE(folder.stat().st_mode) == of_folder
    repository.close()


@pytest.mark.parametrize("mode", ["", "666", "400", "rw", "0o644", "6444", "622"])
def test_a_mode_by_which_others_could_write_or_we_could_not_is_a_wrong_setting(folder: Path, mode: str) -> None:
    with pytest.raises(ConfigError, match=r"--mmap\.mode: .* is wrong: 644, 640 or 600 is right"):
        Mmap(directory=str(folder), mode=mode)


@pytest.mark.parametrize(("path", "told"), [("", "is wrong"), ("a\0b", "is wrong"), ("file/x", "is a file")])
def test_a_folder_that_cannot_be_is_a_wrong_setting(tmp_path: Path, path: str, told: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"--mmap.directory: .*{told}.* is right"):
        Mmap(directory=path and str(tmp_path / path))


def left_by_one_who_was_killed(folder: Path) -> Path:
    """A file as it is left behind: whole, and nobody's. What a real SIGKILL leaves: tests/program."""
    dead = Mmap(directory=str(folder))
    dead.interval = math.inf
    dead.open()
    dead.push([sample("dead")])
    dead.close()
    (path,) = folder.glob("dead-*")
    return path


def test_what_was_left_is_removed_at_the_start(folder: Path) -> None:
    left = left_by_one_who_was_killed(folder)
    aside = folder / ".dead-x.mmstats.0a1b2c3d.new"
    aside.write_bytes(left.read_bytes())
    repository = Mmap(directory=str(folder))
    repository.open()
    assert not files(folder)
    repository.close()


def test_nothing_else_is_removed_at_the_start(folder: Path, repository: Mmap) -> None:
    repository.push([sample("alive")])
    alive = files(folder)[0]
    left = alive.read_bytes()
    for name, content in {
        "app-1-1.mmstats": b"\1\1\0a\1\0Q\xff12345678".ljust(4096, b"\0"),
        "cut.mmstats": left[:100],
        "empty.mmstats": b"",
        "other.txt": left,
    }.items():
        (folder / name).write_bytes(content)
    (folder / "link.mmstats").symlink_to(folder / "other.txt")
    (folder / "folder.mmstats").mkdir()
    os.mkfifo(folder / "pipe.mmstats")
    before = files(folder)
    other = Mmap(directory=str(folder), instance="other")
    other.open()
    assert files(folder) == before
    other.close()


def test_a_file_that_somebody_removed_is_there_with_the_next_sample(repository: Mmap, folder: Path) -> None:
    repository.push([sample()])
    files(folder)[0].unlink()
    repository.push([sample()])
    assert of(folder)["name"] == "web"


def test_a_file_that_somebody_put_in_the_place_of_ours_is_not_ours_to_remove(repository: Mmap, folder: Path) -> None:
    repository.push([sample()])
    path = files(folder)[0]
    path.unlink()
    path.write_text("mine")
    repository.close()
    assert path.read_text() == "mine"


def test_what_cannot_be_written_is_an_error_of_one_line_and_costs_no_other(repository: Mmap, folder: Path) -> None:
    first = sample("first")
    repository.push([first])
    path = folder / f"web-{sample().container.short_id}.mmstats"
    for number in ("", *(f".{n}" for n in range(2, 10_000))):
        path.with_name(path.stem + number + ".mmstats").symlink_to("nowhere")
    with pytest.raises(RepositoryError, match=r"web-\w+\.mmstats: too many files of this name"):
        repository.push([sample(), sample("second")])
    assert of(folder, "second")["name"] == "second"


def test_a_new_one_takes_all_over_from_one_that_hangs(folder: Path) -> None:
    old, new = Mmap(directory=str(folder)), Mmap(directory=str(folder))
    old.open()
    old.push(samples(2))
    new.open()
    assert not files(folder)
    new.push([sample()])
    old.push([sample("late")])
    old.close()
    assert [path.name.partition("-")[0] for path in files(folder)] == ["web"]
    new.close()


def test_only_samples_of_containers_are_taken() -> None:
    assert Mmap.accepts == (ContainerSample,)
