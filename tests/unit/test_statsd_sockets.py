"""The sockets of the StatsD listener, where something goes wrong that no sender can make."""

from __future__ import annotations

import asyncio
import socket

import pytest

from statspout.sources.apps.statsd.addresses import parse_addresses
from statspout.sources.apps.statsd.aggregate import Aggregator, Origin
from statspout.sources.apps.statsd.datagrams import Datagrams
from statspout.sources.apps.statsd.senders import Senders
from statspout.sources.apps.statsd.sockets import Listener
from statspout.sources.roster import Roster
from statspout.telemetry import Heard


class Faulty(Aggregator):
    """Fails over a packet that says so."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(heard)
        self.fed = asyncio.Event()

    def feed(self, packet: bytes, origin: Origin, now_ns: int) -> None:
        self.fed.set()
        if b"fault" in packet:
            raise KeyError("fault")
        super().feed(packet, origin, now_ns)


def test_a_fault_of_ours_costs_a_batch_and_leaves_no_socket_deaf(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()

    async def run() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        faulty = Faulty(heard)
        datagrams = Datagrams(sock, faulty, Senders([Roster()]), heard)
        datagrams.begin()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for packet in (b"fault", b"fault", b"a:1|c"):
                sender.sendto(packet, sock.getsockname())
                await faulty.fed.wait()
                faulty.fed.clear()
        datagrams.finish()

    asyncio.run(asyncio.wait_for(run(), 20))
    assert (heard.packets, heard.lines) == (3, 1)
    assert [record.exc_info is not None for record in caplog.records] == [True, False]


def test_who_listens_again_says_each_address_once() -> None:
    async def run() -> list[str]:
        heard = Heard()
        listener = Listener(parse_addresses(["udp://127.0.0.1:0"]), Aggregator(heard), Senders([Roster()]), heard, 4096)
        for _ in range(2):
            await listener.open()
            listener.close()
        return listener.bound

    assert len(asyncio.run(run())) == 1
