"""Whose a line is: by its own mark, by the inode of a cgroup, by the process that sent it."""

from __future__ import annotations

from pathlib import Path

import pytest

from statspout.sample import Container
from statspout.source import Target
from statspout.sources.apps.statsd.lines import Sender
from statspout.sources.apps.statsd.senders import Senders
from statspout.sources.cgroup.container import Roots
from statspout.sources.roster import Roster

ID = "4f1e0123456789abcdef0123456789abcdef0123456789abcdefaa55aa55aa55"
OTHER = "0" * 64
TREES = Path(__file__).parents[1] / "data" / "cgroup"
FOLDERS = {
    "v1-cgroupfs": f"memory/docker/{ID}",
    "v1-systemd": f"memory/system.slice/docker-{ID}.scope",
    "v2-cgroupfs": f"docker/{ID}",
    "v2-systemd": f"system.slice/docker-{ID}.scope",
}


def senders(tree: str = "v2-systemd", *, running: bool = True) -> tuple[Senders, Roster]:
    roots = Roots(str(TREES / tree / "proc"), str(TREES / tree / "cgroup"))
    roster = Roster(roots)
    if running:
        roster.found(Target(container=Container(id=ID, name="web"), pid=100))
    return Senders([roster], proc=roots.proc), roster


@pytest.mark.parametrize("mark", [ID, f"ci-{ID}", f"in-1,ci-{ID}", f"ci-{OTHER}", "name-of_one.2"])
def test_an_id_is_taken_as_it_is_said(mark: str) -> None:
    assert senders()[0].named(Sender(mark)) == mark.rpartition("ci-")[2]


@pytest.mark.parametrize("mark", ["", "in-1", "in-x/y", "a b", "ci-", "x" * 200])
def test_what_names_nobody_is_nobody(mark: str) -> None:
    assert senders()[0].named(Sender(mark)) == ""


@pytest.mark.parametrize(("tree", "folder"), FOLDERS.items())
def test_an_inode_is_that_of_the_containers_folder(tree: str, folder: str) -> None:
    found, roster = senders(tree)
    inode = (TREES / tree / "cgroup" / folder).stat().st_ino
    assert found.named(Sender(f"in-{inode}")) == ID
    roster.lost(Container(id=ID, name="web"))
    assert found.named(Sender(f"in-{inode}")) == ""


def test_who_is_found_later_is_known_by_its_inode_then() -> None:
    found, roster = senders(running=False)
    inode = (TREES / "v2-systemd/cgroup" / FOLDERS["v2-systemd"]).stat().st_ino
    assert found.named(Sender(f"in-{inode}")) == ""
    roster.found(Target(container=Container(id=ID, name="web"), pid=100))
    assert found.named(Sender(f"in-{inode}")) == ID


@pytest.mark.parametrize("tree", [*FOLDERS, "nested", "namespaced", "rootless"])
def test_a_process_is_its_containers(tree: str) -> None:
    found, _ = senders(tree)
    assert found.of_process(100).container_id == ID
    assert found.of_process(100) is found.of_process(100)


@pytest.mark.parametrize("pid", [0, 4_000_000])
def test_a_process_that_is_not_here_is_nobodys(pid: int) -> None:
    found, _ = senders()
    assert found.of_process(pid) is found.unknown


def test_a_process_in_no_container_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("0::/user.slice/user-1000.slice\n")
    found = Senders([Roster()], proc=str(tmp_path))
    assert found.of_process(7) is found.unknown


def test_who_has_ended_and_of_whom_nothing_is_known_is_forgotten() -> None:
    found, roster = senders()
    before = found.of_process(100)
    found.tidy()
    assert found.of_process(100) is before
    roster.lost(Container(id=ID, name="web"))
    found.tidy()
    assert found.of_process(100) is not before
