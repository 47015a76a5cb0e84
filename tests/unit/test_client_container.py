"""An application knows which container it runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from statspout.client.container import container_id

ID = "4f1c" * 16


@pytest.mark.parametrize(
    "paths",
    [
        f"12:pids:/docker/{ID}\n11:cpu:/docker/{ID}\n0::/system.slice\n",
        f"0::/system.slice/docker-{ID}.scope\n",
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope\n",
        f"4:memory:/kubepods/burstable/pod1/{ID}\n",
        f"0::/docker/{ID}/init.scope\n",
        f"1:pids:/docker/{ID}/docker/{'5a' * 32}\n",
    ],
)
def test_its_id_is_in_the_path_of_its_cgroup(tmp_path: Path, paths: str) -> None:
    (tmp_path / "cgroup").write_text(paths)
    assert container_id(str(tmp_path)) == ID


def test_in_a_namespace_of_its_own_the_inode_of_its_cgroup_tells(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "ns").mkdir()
    (tmp_path / "ns" / "cgroup").touch()
    assert container_id(str(tmp_path), str(tmp_path / "ns")) == f"in-{(tmp_path / 'ns').stat().st_ino}"


@pytest.mark.parametrize("path", ["0::/\n", "0::/user.slice/session-1.scope\n", f"0::/a{ID}\n", ""])
def test_outside_of_a_container_there_is_nothing(tmp_path: Path, path: str) -> None:
    (tmp_path / "cgroup").write_text(path)
    (tmp_path / "ns").mkdir()
    (tmp_path / "ns" / "cgroup").symlink_to("/proc/self/ns/cgroup")
    assert container_id(str(tmp_path)) == ""


def test_without_the_kernels_files_there_is_nothing(tmp_path: Path) -> None:
    assert container_id(str(tmp_path / "none")) == ""
