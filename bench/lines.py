"""What line protocol costs: our encoder in each schema beside influxdb-client's Point, on the same samples, in one run.

::

    python bench/lines.py [CONTAINERS]

Floats have as many digits as measured ones. Ours is with what the encoder remembers of a container after its first
sample; the last columns are what gzip adds, at our level and at the one that influxdb-client has.
"""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from influxdb_client.client.write.point import Point
from influxdb_client.domain.write_precision import WritePrecision
from measuring import least

from statspout import ContainerSample
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.testing import samples


def measured(count: int) -> list[ContainerSample]:
    """Samples of as many containers, whose values are as long as real ones; some know less than others."""
    chance = random.Random(1)
    return [
        msgspec.structs.replace(
            sample,
            cpu_percent=chance.random() * 100,
            cpu_seconds_total=chance.randrange(10**15) / 1e9,
            throttled_seconds_total=chance.randrange(10**12) / 1e9,
            mem_percent=chance.random() * 100,
            mem_usage=chance.randrange(2**32),
            rx_bytes=chance.randrange(2**44),
            tx_bytes=chance.randrange(2**44),
            pids_limit=chance.choice((None, 512)),
            health=chance.choice((None, "healthy")),
        )
        for sample in samples(count)
    ]


Parsed = tuple[str, dict[str, str], dict[str, Any], int]


def parsed(line: str) -> Parsed:
    """Measurement, tags, fields and time of a line without escapes in it."""
    series, fields, time = line.split(" ")
    name, *tags = series.split(",")
    pairs = (field.split("=") for field in fields.split(","))
    return name, dict(tag.split("=") for tag in tags), {name: _value(value) for name, value in pairs}, int(time)


def _value(text: str) -> Any:
    if text.startswith('"'):
        return text.strip('"')
    return int(text[:-1]) if text.endswith("i") else float(text)


def point(one: Parsed) -> str:
    """The same by influxdb-client's Point, which is given everything but the work of a schema."""
    name, tags, fields, time = one
    made: Any = Point(name)  # type: ignore[no-untyped-call]  # it has none
    made.time(time, WritePrecision.NS)
    for tag, value in tags.items():
        made.tag(tag, value)
    for field, value in fields.items():
        made.field(field, value)
    return str(made.to_line_protocol())


def per_sample(current: Sequence[ContainerSample], work: Callable[[], object], rounds: int = 15) -> float:
    """The least CPU microseconds a sample that ``work`` took."""
    return least(work, rounds) / len(current) * 1e6


def _joined(lines: Callable[[ContainerSample], bytes], current: Sequence[ContainerSample]) -> bytes:
    return b"\n".join(map(lines, current))


def _their_lines(points: Sequence[Parsed]) -> bytes:
    return "\n".join(map(point, points)).encode()


def main() -> None:
    current = measured(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print(f"{len(current)} containers; CPU µs a sample, the best round")
    print(f"{'schema':10}{'points':>8}{'bytes':>8}{'ours':>8}{'Point':>8}{'ratio':>8}{'gzip 1':>8}{'gzip 9':>8}")
    for name, make in SCHEMAS.items():
        lines = make().lines
        body = b"\n".join(map(lines, current))
        points = [parsed(line) for line in body.decode().split("\n")]
        assert [parsed(line) for line in map(point, points)] == points
        ours = per_sample(current, partial(_joined, lines, current))
        theirs = per_sample(current, partial(_their_lines, points), 5)
        packed = [per_sample(current, partial(gzip.compress, body, level, mtime=0), 5) for level in (1, 9)]
        counts = f"{len(points) / len(current):8.1f}{len(body) / len(current):8.0f}"
        print(f"{name:10}{counts}{ours:8.2f}{theirs:8.1f}{theirs / ours:8.1f}{packed[0]:8.2f}{packed[1]:8.2f}")


if __name__ == "__main__":
    main()
