"""The engines that the tests start keep what they promise; other tests blame statspout, not them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from support.dockerd import Dockerd, EngineStartError
from support.engine import Engine, OwnEngine
from support.images import debian_mirror

DEB822 = """# a comment
Types: deb
URIs: http://archive.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/some.gpg
"""


def test_an_engine_that_was_killed_starts_again_at_the_same_address(own_engine: OwnEngine) -> None:
    always = own_engine.run("always", restart_policy={"Name": "always"})
    own_engine.dockerd.kill()
    assert not own_engine.dockerd.running
    own_engine.dockerd.start()
    always.reload()
    assert always.name == "always"


def test_engines_run_side_by_side(engine: Engine, make_engine: Callable[..., OwnEngine]) -> None:
    other = make_engine(tcp=True)
    engine.run("same-name")
    other.run("same-name")
    assert docker.DockerClient(base_url=other.dockerd.tcp_url).ping()
    other.dockerd.kill()
    assert engine.client.ping()


def test_close_leaves_nothing_of_an_engine_that_was_killed(
    make_engine: Callable[..., OwnEngine],
) -> None:
    engine = make_engine()
    container = engine.run("orphan")
    container.reload()
    engine.dockerd.kill()
    engine.dockerd.close()
    assert not Path("/proc", str(container.attrs["State"]["Pid"]), "root", "bin").exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/docker/{container.id}"))
    assert not engine.dockerd.work.exists()
    assert str(engine.dockerd.work) not in Path("/proc/self/mountinfo").read_text()


def test_an_engine_that_does_not_start_says_why(make_engine: Callable[..., OwnEngine]) -> None:
    with pytest.raises(EngineStartError, match="unknown flag: --nonsense"):
        make_engine(args=["--nonsense"])


def test_a_container_ends_at_once_when_asked_to(engine: Engine) -> None:
    container = engine.run("sleeper")
    container.stop(timeout=30)
    container.reload()
    assert container.status == "exited"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list.d/debian.sources", DEB822),
        ("sources.list", "deb [arch=amd64] http://archive.example/debian bookworm main contrib\n"),
    ],
)
def test_the_archive_is_the_one_that_apt_uses(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert debian_mirror(tmp_path) == "http://archive.example/debian"


def test_close_is_harmless_before_start_and_twice() -> None:
    dockerd = Dockerd()
    dockerd.close()
    dockerd.close()
