"""Datagrams in batches: whole, in order, and the same by both ways."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from statspout.sources.apps.statsd.receive import AT_ONCE, Batches, one_by_one

Way = Callable[[socket.socket], Callable[[], list[bytes]]]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        to.bind(("127.0.0.1", 0))
        to.setblocking(False)
        sender.connect(to.getsockname())
        yield to, sender


@pytest.mark.parametrize("way", [Batches, one_by_one])
def test_what_was_sent_is_received_whole_and_in_order(way: Way, pair: tuple[socket.socket, socket.socket]) -> None:
    to, sender = pair
    receive = way(to)
    assert receive() == []
    sent = [b"a", b"", b"b" * 1432, b"\x00\n" * 30_000, b"last"]
    for packet in sent:
        sender.send(packet)
    assert receive() == sent
    assert receive() == []


@pytest.mark.parametrize("way", [Batches, one_by_one])
def test_no_more_is_taken_than_a_batch(way: Way, pair: tuple[socket.socket, socket.socket]) -> None:
    to, sender = pair
    receive = way(to)
    sent = [b"%d" % number for number in range(AT_ONCE + 3)]
    for packet in sent:
        sender.send(packet)
    assert [receive(), receive()] == [sent[:AT_ONCE], sent[AT_ONCE:]]


@pytest.mark.parametrize("way", [Batches, one_by_one])
def test_a_socket_that_is_not_well_is_an_error(way: Way) -> None:
    to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receive = way(to)
    to.close()
    with pytest.raises(OSError, match="ad file descriptor"):
        receive()
