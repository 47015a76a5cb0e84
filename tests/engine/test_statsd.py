"""Whose a line is: real containers that send over the network and through a socket that they were given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine import Engine
from support.metrics import Heard

SENDER = """
import socket, sys, time
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.sendto(sys.argv[1].encode(), "/run/statsd/s.sock")
time.sleep(5)
"""
"""Stays for a while: of who has ended already, the kernel cannot say any more whose it was."""


@pytest.fixture(scope="module")
def heard(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    folder = tmp_path_factory.mktemp("heard")
    folder.chmod(0o755)
    sock = f"unix://{folder}/run/s.sock"
    (folder / "run").mkdir()
    heard = Heard(
        folder, f"--socket.path={shared_engine.socket}", "--interval=1", statsd=f":0,{sock}", demo=False,
    )  # fmt: skip
    with heard.daemon:
        heard.daemon.wait_for_line("listen.statsd: unix://")
        yield heard


@pytest.mark.parametrize("user", ["", "nobody"])
def test_who_sends_through_the_socket_is_known_by_its_process(
    user: str, engine: Engine, heard: Heard, python_image: str
) -> None:
    path = Path(heard.daemon.wait_for_line("listen.statsd: unix://").partition("unix://")[2].partition(",")[0])
    name = f"through{user}"
    container = engine.run(
        name, ["python3", "-c", SENDER, f"{name}.hits:3|c\n{name}.g:1|g"], image=python_image, user=user,
        volumes={str(path.parent): {"bind": "/run/statsd", "mode": "rw"}},
    )  # fmt: skip
    record = heard.first(f"{name}.hits")
    assert (record["value"], record["container"]["name"], record["container"]["id"]) == (3, name, container.id)
    heard.daemon.eventually(lambda: len(heard.of(f"{name}.g")) >= 2)


@pytest.mark.parametrize("mark", ["$ID", "ci-$ID", "in-$INODE"])
def test_who_names_its_container_over_the_network_is_known(mark: str, engine: Engine, heard: Heard) -> None:
    name = re.sub(r"\W", "", mark).lower()
    container = engine.run(name, network_mode="host")
    heard.daemon.eventually(lambda: [r for r in heard.records() if (r.get("container") or {}).get("name") == name])
    port = heard.address("tcp")[1]
    script = f"""
        ID={container.id}
        INODE=$(stat -c %i /sys/fs/cgroup/memory 2>/dev/null || stat -c %i /sys/fs/cgroup)
        echo "{name}.hits:2|c|c:{mark}" | nc -w1 127.0.0.1 {port}
    """
    container.exec_run(["sh", "-c", script])
    record = heard.first(f"{name}.hits")
    assert (record["value"], (record["container"] or {}).get("name")) == (2, name)


def test_a_gauge_ends_with_the_container_that_set_it(engine: Engine, heard: Heard) -> None:
    container = engine.run("mortal")
    heard.daemon.eventually(lambda: [r for r in heard.records() if (r.get("container") or {}).get("name") == "mortal"])
    heard.udp(f"mortal.g:1|g|c:{container.id}".encode())
    heard.daemon.eventually(lambda: len(heard.of("mortal.g")) >= 2)
    container.remove(force=True)
    heard.udp(b"mark.one:1|c")
    heard.first("mark.one")
    count = len(heard.of("mortal.g"))
    heard.udp(b"mark.two:1|c")
    heard.first("mark.two")
    assert len(heard.of("mortal.g")) == count


def test_ten_lines_from_a_container_that_says_nothing_of_itself_are_ten(engine: Engine, heard: Heard) -> None:
    """Through the bridge to every interface: what is not marked is nobody's."""
    port = heard.address("tcp")[1]
    bridge = engine.client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    gateway = bridge.get("Gateway") or bridge["Subnet"].rsplit(".", 1)[0] + ".1"
    container = engine.run("plain")
    container.exec_run(
        ["sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9 10; do echo plain:1'|c'; done | nc -w1 {gateway} {port}"]
    )
    record = heard.first("plain")
    assert (sum(r["value"] for r in heard.of("plain")), record["container"]) == (10, None)
