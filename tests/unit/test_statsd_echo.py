"""Nobody is its own StatsD server: refused where that is certain, and only there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from statspout import Choice, ConfigError, Handling
from statspout.daemon import Daemon
from statspout.repositories.statsd import StatsD
from statspout.settings import Settings


def own_address() -> str:
    """An address of this machine that is not the loopback's, or else that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def starts(listen: str, address: str, handling: Choice | None = None, *, once: bool = False) -> bool:
    settings = Settings(socket_path="/nowhere", once=once, listen_statsd=tuple(listen.split()))
    try:
        Daemon(settings, [StatsD(address=address, instance="far", handling=handling)])
    except ConfigError as error:
        return "--listen.statsd: repository statsd:far would send to " not in str(error)
    return True


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (":8125", "localhost:8125"),
        (":8125", "localhost"),
        ("127.0.0.1:8125", "localhost:8125"),
        ("localhost:8125", "127.0.0.1:8125"),
        ("localhost:8125", "[::1]:8125"),
        ("0.0.0.0:8125", "127.9.9.9:8125"),
        ("tcp://:8125", "tcp://localhost:8125"),
        ("udp://:7000 udp://:8125", "localhost:8125"),
        ("stats.example:8125", "stats.example:8125"),
        (":8125", f"{own_address()}:8125"),
        ("unix:///tmp/statspout-x.sock", "unix:///tmp/../tmp/statspout-x.sock"),
    ],
)
def test_what_would_come_back_is_refused(listen: str, address: str) -> None:
    assert not starts(listen, address)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (":8125", "localhost:8126"),
        (":8125", "graphite:8125"),
        (":8125", "192.0.2.1:8125"),
        ("tcp://:8125", "localhost:8125"),
        ("udp://:8125", "tcp://localhost:8125"),
        ("[::]:8125", "127.0.0.1:8125"),
        ("0.0.0.0:8125", "[::1]:8125"),
        ("127.0.0.1:8125", "127.0.0.2:8125"),
        (":0", "localhost:8125"),
        ("unix:///tmp/a.sock", "unix:///tmp/b.sock"),
    ],
)
def test_what_may_be_another_is_not(listen: str, address: str) -> None:
    assert starts(listen, address)


def test_a_link_to_the_socket_is_the_socket(tmp_path: Path) -> None:
    (tmp_path / "link.sock").symlink_to(tmp_path / "real.sock")
    assert not starts(f"unix://{tmp_path}/real.sock", f"unix://{tmp_path}/link.sock")


def test_who_does_not_get_what_applications_say_does_not_go_round() -> None:
    assert starts(":8125", "localhost:8125", Handling(include=("web",)))
    assert not starts(":8125", "localhost:8125", Handling(batch_size=5))
    assert starts(":8125", "localhost:8125", once=True), "nothing is listened for"
