"""Which way it is to a server."""

from __future__ import annotations

from statspout.client.addresses import Address
from statspout.client.channel import Channel
from statspout.client.datagrams import Datagrams
from statspout.client.losses import Losses
from statspout.client.streams import Stream


def open_channel(address: Address, losses: Losses) -> Channel:
    """The channel to a server. Nothing is looked up and nobody waited for in the caller's thread."""
    return Stream(address, losses) if address.transport == "tcp" else Datagrams(address, losses)
