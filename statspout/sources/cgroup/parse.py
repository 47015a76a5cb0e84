"""The kernel's small files as numbers. Pure: bytes go in; None is what is absent, is no number, or was cut short.

A file that was cut has no newline at its end, or none after the number that is wanted: half of a number is a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from statspout.sample import Interface


def number(data: bytes) -> int | None:
    """A file that is one number; ``max``, where there is no limit, is none."""
    if data[-1:] != b"\n":
        return None
    try:
        return int(data)
    except ValueError:
        return None


def value(data: bytes, name: bytes) -> int | None:
    """The number behind ``name``, which ends with a space, and begins with a newline where it could be part of another.

    Finding it costs less than to split a file of forty lines of which three matter.
    """
    at = data.find(name)
    if at < 0:
        return None
    at += len(name)
    end = data.find(b"\n", at)
    try:
        return int(data[at:end]) if end > at else None
    except ValueError:
        return None


class Memory(NamedTuple):
    """The parts of memory.stat that matter, in bytes: inactive file cache, file cache, anonymous memory."""

    inactive: int | None = None
    cache: int | None = None
    anonymous: int | None = None


def memory_v1(data: bytes) -> Memory:
    """memory.stat of cgroup v1: the totals, which have what is below the container's cgroup in them."""
    return Memory(value(data, b"\ntotal_inactive_file "), value(data, b"\ntotal_cache "), value(data, b"\ntotal_rss "))


def memory_v2(data: bytes) -> Memory:
    """memory.stat of cgroup v2; ``anon`` is its first line."""
    anonymous = value(data, b"anon ") if data.startswith(b"anon ") else value(data, b"\nanon ")
    return Memory(value(data, b"\ninactive_file "), value(data, b"\nfile "), anonymous)


class Throttling(NamedTuple):
    """What the CPU limit did: scheduler periods, those of them that were throttled, and for how many seconds."""

    periods: int | None = None
    throttled: int | None = None
    seconds: float | None = None


def throttling_v1(data: bytes) -> Throttling:
    """cpu.stat of cgroup v1, which counts nanoseconds."""
    return _throttling(data, b"throttled_time ", 1e9)


def throttling_v2(data: bytes) -> Throttling:
    """cpu.stat of cgroup v2, which counts microseconds, and has no such lines while the controller is off."""
    return _throttling(data, b"throttled_usec ", 1e6)


def _throttling(data: bytes, name: bytes, unit: float) -> Throttling:
    held = value(data, name)
    return Throttling(value(data, b"nr_periods "), value(data, b"nr_throttled "), None if held is None else held / unit)


Pair = tuple[int | None, int | None]
"""What was read and what was written: bytes, or operations."""

_UNKNOWN: Pair = (None, None)


def blkio(data: bytes) -> Pair:
    """A file of the blkio controller, ``8:0 Read 4096`` and so on, summed over the devices.

    A kernel that counts nothing of it says so by having no device: unknown, whatever was written.
    """
    if b"\nTotal " not in data or data[-1:] != b"\n":  # its last line, and its only one where there is no device
        return _UNKNOWN
    read = written = 0
    for line in data.split(b"\n"):
        _, _, rest = line.partition(b" ")
        operation, _, amount = rest.partition(b" ")
        if operation == b"Read":
            read += int(amount)
        elif operation == b"Write":
            written += int(amount)
    return read, written


def io_stat(data: bytes) -> tuple[Pair, Pair]:
    """io.stat of cgroup v2, ``8:0 rbytes=4096 wbytes=0 rios=1 wios=0 ...``: bytes and operations over all devices."""
    if data[-1:] != b"\n" or b"=" not in data:
        return _UNKNOWN, _UNKNOWN
    totals = dict.fromkeys((b"rbytes", b"wbytes", b"rios", b"wios"), 0)
    for part in data.split():
        name, _, amount = part.partition(b"=")
        if name in totals:
            totals[name] += int(amount)
    read_bytes, written_bytes, reads, writes = totals.values()
    return (read_bytes, written_bytes), (reads, writes)


def interfaces(data: bytes, wanted: Callable[[str], bool]) -> dict[str, Interface] | None:
    """The counters of the interfaces in net/dev whose names are ``wanted``; None where one may be missing."""
    if data[-1:] != b"\n":
        return None
    found = {}
    for line in data.split(b"\n")[2:-1]:
        name, _, counters = line.partition(b":")
        shown = name.strip().decode(errors="replace")
        if wanted(shown):
            c = counters.split()
            found[shown] = Interface(
                int(c[0]), int(c[1]), int(c[2]), int(c[3]), int(c[8]), int(c[9]), int(c[10]), int(c[11])
            )
    return found
