"""Any StatsD server: the reference one, Telegraf, a Datadog agent, statsd_exporter and others, each in its dialect."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from statspout import ConfigError, Container, ContainerSample, Metric, Rejected, Repository, Sample, option
from statspout.client.addresses import PORT, Address, parse
from statspout.client.dialects import DIALECTS, Dialect
from statspout.labels import labels_option
from statspout.repositories.statsd_lines import Line, Lines
from statspout.repositories.statsd_wire import Unsent, wire_to

_PREFIX = re.compile(r"(?:[A-Za-z0-9_-]|\{host\})+(?:\.(?:[A-Za-z0-9_-]|\{host\})+)*")


class Packet(NamedTuple):
    """Whole lines without a last newline.

    ``moves`` is how far the account of counters, and ``samples`` how many samples of the batch are done, when it and
    all before it were sent.
    """

    data: bytes
    moves: int
    samples: int


class Done(NamedTuple):
    """A sample that needs not come again: it was sent, or it was rejected for that reason."""

    sample: Sample
    rejected: str | None


class StatsD(Repository):
    """Send every number as a line of StatsD, over UDP, TCP or a unix socket.

    A server that takes UDP acknowledges nothing: what it loses is not known here. What the kernel refuses at once, and
    a port where nobody listens, is an error, and the batch comes again.
    """

    name = "statsd"
    accepts = (ContainerSample, Metric)
    # A line has no time: what waited on disk for hours would be taken for what is so now.
    spooled = False

    address: str = option(
        default="localhost:8125", help="Where the server is: `host:port`, `udp://`, `tcp://` or `unix:///path`."
    )
    dialect: Literal[
        "statspout",
        "etsy",
        "brubeck",
        "flux",
        "gostatsd",
        "statsd_exporter",
        "telegraf",
        "dogstatsd",
        "librato",
        "signalfx",
    ] = option(default="dogstatsd", help="How the server wants its lines; docs/statsd.md says who reads which.")
    prefix: str = option(
        default="statspout", help="What the names of containers' numbers begin with; `{host}` in it is the host's name."
    )
    counters: Literal["delta", "gauge"] = option(
        default="delta", help="Counters as their growth since the last sample, or as gauges that hold the total."
    )
    packet_size: int = option(
        default=1432, minimum=128, maximum=65507, help="The most bytes of a packet; 8192 is usual for unix sockets."
    )
    labels: tuple[str, ...] = labels_option()

    def __post_init__(self) -> None:
        self._dialect = self._checked()
        server = _parsed(self.address)
        self.statsd_server = str(server)
        self._wire = wire_to(server)
        totals = self.counters == "gauge"
        self._lines = Lines(self._dialect, self.prefix, self.labels, totals=totals)
        self._done: list[Done] = []
        """Those at the front of a batch that failed which need not come again, though they will."""

    def open(self) -> None:
        """Look up where the server is, and connect."""
        self._wire.open()

    def push(self, batch: Sequence[Sample]) -> None:
        """Send all lines of ``batch``. Rejected has the samples with a value, or a line, that cannot be sent."""
        start, rejected = self._again(batch)
        packets = self._packed(batch, start, rejected)
        try:
            self._wire.send([packet.data for packet in packets])
        except Unsent as error:
            sent = packets[error.sent - 1] if error.sent else Packet(b"", 0, start)
            self._done = [Done(sample, rejected.get(index)) for index, sample in enumerate(batch[: sent.samples])]
            self._lines.undo(sent.moves)
            self._lines.keep()
            raise
        self._lines.keep()
        if rejected:
            raise Rejected(next(iter(rejected.values())), rejected.keys(), "stored")

    def clear(self, container: Container) -> None:
        """Forget how far the counters of a container that is gone were told."""
        self._lines.clear(container)

    def close(self) -> None:
        """Close the socket."""
        self._wire.close()

    def _again(self, batch: Sequence[Sample]) -> tuple[int, dict[int, str]]:
        """How many samples at the front of ``batch`` are done since an earlier attempt, and for what reason some.

        What became of a batch is all or nothing to the framework. It comes in the same order; only the oldest may be
        missing, where they had to make room.
        """
        done = [one.sample for one in self._done]
        first = done.index(batch[0]) if batch[0] in done else len(done)
        pairs = zip(done[first:], batch, strict=False)
        count = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        again, self._done = self._done[first : first + count], self._done[first + count :]
        return count, {index: one.rejected for index, one in enumerate(again) if one.rejected is not None}

    def _packed(self, batch: Sequence[Sample], start: int, rejected: dict[int, str]) -> list[Packet]:
        """The lines from the sample at ``start`` on, in packets; adds to ``rejected`` what cannot be sent, and why."""
        packing = Packing(self.packet_size, start)
        for index in range(start, len(batch)):
            before = self._lines.moves
            try:
                packing.add(self._lines.of(batch[index]), index)
            except ValueError as error:
                self._lines.undo(before)
                rejected[index] = str(error)
        return packing.packets(len(batch), self._lines.moves)

    def _checked(self) -> Dialect:
        dialect = DIALECTS[self.dialect]
        if self.prefix and not _PREFIX.fullmatch(self.prefix):
            right = "names with dots between, such as statspout or servers.{host}, are right"
            raise ConfigError(f"--statsd.prefix: {self.prefix!r} is wrong: {right}")
        if self.labels and not dialect.tags:
            raise ConfigError(f"--statsd.labels: {dialect.name} has no tags: leave it out, or take another dialect")
        return dialect


def _parsed(text: str) -> Address:
    try:
        return parse(text, PORT)
    except ValueError as error:
        right = f"localhost:{PORT}, tcp://host:port or unix:///path is right"
        raise ConfigError(f"--statsd.address: {text!r} is wrong: {right}") from error


class Packing:
    """Puts lines into packets of ``size`` bytes at most; the first of them are of the sample at ``start``."""

    def __init__(self, size: int, start: int = 0) -> None:
        self._size = size
        self._packets: list[Packet] = []
        self._lines: list[bytes] = []
        self._length = -1
        self._moves = 0
        self._sample = start

    def add(self, lines: Sequence[Line], index: int) -> None:
        """Add the lines of the sample at ``index``; ValueError, and nothing is added, when one is too long."""
        longest = max((len(line.data) for line in lines), default=0)
        if longest > self._size:
            raise ValueError(f"a line of {longest} bytes is longer than a packet of {self._size}")
        for data, moves in lines:
            length = self._length + 1 + len(data)
            if length > self._size:
                self._end()
                length = len(data)
            self._lines.append(data)
            self._length = length
            # This sample is done with its last line only; those before it are.
            self._moves, self._sample = moves, index
        if lines:
            self._sample = index + 1

    def packets(self, samples: int, moves: int) -> list[Packet]:
        """All packets; with the last, ``samples`` samples and ``moves`` moves are done."""
        self._moves, self._sample = moves, samples
        if self._lines:
            self._end()
        return self._packets

    def _end(self) -> None:
        self._packets.append(Packet(b"\n".join(self._lines), self._moves, self._sample))
        self._lines, self._length = [], -1
