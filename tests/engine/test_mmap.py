"""Statistics files of programs in real containers: read by a daemon on the host, with the container on each number."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.engine import Engine

import statspout
from statspout.client.mmap import MmStatsReader, held

EXAMPLE = Path(__file__).parents[2] / "examples" / "webstats.py"

WEB = """
import time
from statspout.client.mmap import CounterField, DoubleField, MmStats
class WebStats(MmStats):
    status2xx = CounterField(label="status.2XX")
    load = DoubleField()
    began = DoubleField()
stats = WebStats(filename="web-{PID}-{TID}.mmstats", label_prefix="web.stats.")
stats.load = 0.5
stats.status2xx.incr(5)
stats.began = time.time()  # the last: whoever sees this sees all of this run
time.sleep(1000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stats").mkdir()
    return tmp_path / "stats"


@pytest.fixture
def daemon(engine: Engine, folder: Path) -> Iterator[Daemon]:
    with Daemon(
        f"--socket.path={engine.socket}", "--interval=1", "--repository=rest,prometheus,mmap",
        "--rest.address=127.0.0.1:0", "--prometheus.address=127.0.0.1:0", f"--mmap.directory={folder.parent}/published",
        f"--listen.mmap={folder}/*/*.mmstats", "--filter.include=web*",
    ) as daemon:  # fmt: skip
        daemon.wait_for_line("listen.mmap: ")
        yield daemon


def run(engine: Engine, image: str, folder: Path, name: str, user: str = "", script: Path | None = None) -> Any:
    """The program, or a script, in a container; its files are in a folder of its own."""
    own = folder / name
    own.mkdir(exist_ok=True)
    own.chmod(0o777)
    package = Path(statspout.__file__).parent
    volumes = {package: ("/client/statspout", "ro"), own: ("/stats", "rw")}
    if script is not None:
        volumes[script] = (f"/{script.name}", "ro")
    return engine.run(
        name, ["python3", "-B", *(["-c", WEB] if script is None else [f"/{script.name}"])], image=image, user=user,
        environment={"PYTHONPATH": "/client", "MMSTATS_PATH": "/stats"},
        volumes={str(path): {"bind": bind, "mode": mode} for path, (bind, mode) in volumes.items()},
    )  # fmt: skip


def reported(daemon: Daemon, container: str, metric: str) -> dict[str, Any]:
    """What REST has of this metric of this container; empty without."""
    metrics: list[dict[str, Any]] = daemon.get("/app-stats").json()
    return next((one for one in metrics if (one["container"], one["metric"]) == (container, metric)), {})


def counted(daemon: Daemon, container: str, after: float = 0.0) -> dict[str, Any]:
    """What REST has of the count, once it has a run of WEB that began ``after`` then."""
    daemon.eventually(lambda: reported(daemon, container, "web.stats.began").get("value", 0.0) > after)
    return reported(daemon, container, "web.stats.status.2XX")


@pytest.mark.parametrize("user", ["", "nobody"])
def test_the_numbers_of_a_program_in_a_container_have_its_container(
    user: str, engine: Engine, daemon: Daemon, folder: Path, python_image: str
) -> None:
    first = run(engine, python_image, folder, "web-a", user)
    second = run(engine, python_image, folder, "web-b", user)
    for container in (first, second):
        count = counted(daemon, container.name)
        assert (count["value"], count["kind"], count["id"], count["tags"]) == (
            5, "counter_total", container.id, {"command": "web"},
        )  # fmt: skip
        load = reported(daemon, container.name, "web.stats.load")
        assert (load["value"], load["tags"]) == (0.5, {"command": "web", "pid": "1"})  # both are 1 in their containers
    for container in (first, second):
        labels = rf'{{host="[^"]+",container="{container.name}",id="{container.id[:12]}",command="web"}}'
        assert re.search(rf"^web_stats_status_2XX_total{labels} 5$", page(daemon), re.MULTILINE)


LOAD = """
import os, time
from statspout.client.mmap import DoubleField, MmStats
class Web(MmStats):
    load = DoubleField()
stats = Web(filename="web-{PID}-{TID}.mmstats")
stats.load = float(os.environ["LOAD"])
time.sleep(1000)
"""
NESTED = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", LOAD]
"""The program on the host, in a pid namespace of its own: it is 1 there, as in a container."""


def test_the_container_is_the_writers_whatever_number_its_process_has_and_whoever_shares_its_folder(
    engine: Engine, daemon: Daemon, folder: Path, python_image: str
) -> None:
    shared = folder / "shared"
    shared.mkdir(mode=0o777)
    volumes = {
        str(Path(statspout.__file__).parent): {"bind": "/client/statspout", "mode": "ro"},
        str(shared): {"bind": "/stats", "mode": "rw"},
    }
    whose: dict[float, str | None] = {}

    def environment(name: str | None) -> dict[str, str]:
        whose[load := len(whose) + 1.0] = name
        return {"PYTHONPATH": "/client", "MMSTATS_PATH": "/stats", "LOAD": str(load)}

    def begin(name: str, command: list[str], **more: Any) -> Any:
        return engine.run(
            name, command, image=python_image, volumes=volumes, environment=environment(name), **more
        )  # fmt: skip

    program = ["python3", "-Bc", LOAD]
    first = begin("web-first", program)
    begin("web-second", program)  # both are 1, and have one folder
    begin("web-beside", program, pid_mode=f"container:{first.id}")
    begin("web-host", program, pid_mode="host")
    first.exec_run(program, environment=environment("web-first"), detach=True)
    here = {**environment(None), "MMSTATS_PATH": str(shared), "PATH": os.environ["PATH"]}
    with subprocess.Popen(NESTED, env=here) as process:
        try:
            daemon.eventually(lambda: loads(daemon).keys() == whose.keys(), 60)
            assert loads(daemon) == whose
        finally:
            process.kill()


def loads(daemon: Daemon) -> dict[float, str | None]:
    """The container of each load that there is."""
    return {one["value"]: one["container"] for one in daemon.get("/app-stats").json() if one["metric"] == "load"}


def test_the_example_of_the_docs_stands_next_to_its_containers_cpu(
    engine: Engine, daemon: Daemon, folder: Path, python_image: str
) -> None:
    container = run(engine, python_image, folder, "web", script=EXAMPLE)
    whose = f'host="[^"]+",container="web",id="{container.id[:12]}"'
    for name, more in (
        ("statspout_container_cpu_usage_ratio", ""),
        ("web_stats_status_2XX_total", ',command="webstats.py"'),
        ("web_stats_timers_page", ',command="webstats.py",pid="1",tid="[0-9]+"'),
    ):
        line = re.compile(rf"^{name}{{{whose}{more}}} [0-9.e-]+$", re.MULTILINE)
        daemon.eventually(lambda: line.search(page(daemon)))  # noqa: B023 - called at once


def page(daemon: Daemon) -> str:
    return daemon.get("/metrics", "prometheus.address").body.decode()


def test_a_container_that_was_killed_and_started_again_counts_on(
    engine: Engine, daemon: Daemon, folder: Path, python_image: str
) -> None:
    container = run(engine, python_image, folder, "web-c")
    assert counted(daemon, "web-c")["value"] == 5
    first = reported(daemon, "web-c", "web.stats.began")["value"]
    container.kill()
    daemon.eventually(lambda: not reported(daemon, "web-c", "web.stats.load"))
    (left,) = (folder / "web-c").iterdir()
    assert not held(left)
    container.start()
    assert counted(daemon, "web-c", first)["value"] == 10
    (path,) = (folder / "web-c").iterdir()  # the new process is 1 again, and has put its file in that place
    assert dict(MmStatsReader.from_file(path))["web.stats.status.2XX"] == 5


def test_each_container_is_published_and_gone_with_its_end(engine: Engine, daemon: Daemon, folder: Path) -> None:
    container = engine.run("web-d")
    published = folder.parent / "published"
    path = published / f"web-d-{container.id[:12]}.mmstats"
    daemon.eventually(lambda: path.exists() and "container.web-d.cpu_percent" in values(path))
    shown, served = values(path), daemon.stats()["web-d"]
    assert shown["container.web-d.id"] == container.id
    assert shown["container.web-d.mem_limit"] == served["mem_limit"]
    container.remove(force=True)
    daemon.eventually(lambda: not list(published.iterdir()))


def values(path: Path) -> dict[str, Any]:
    return dict(MmStatsReader.from_file(path))
