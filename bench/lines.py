"""What line protocol costs: our encoder in each schema beside influxdb-client's Point, on the same samples, in one run.

::

    python bench/lines.py [CONTAINERS]

Floats have as many digits as measured ones. The middle columns are with one run of the encoder for each container, so
with what it remembers of them; the last is what `gzip` adds.
"""

from __future__ import annotations

import gzip
import random
import resource
import sys
from collections.abc import Callable, Sequence

import msgspec
from influxdb_client import Point, WritePrecision

from statspout import ContainerSample
from statspout.catalogue import ENTRIES
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


def point(sample: ContainerSample) -> str:
    """The point of our own schema, as influxdb-client's documentation shows it."""
    container = sample.container
    made = Point("container").tag("host", sample.host).tag("container", container.name).tag("id", container.short_id)
    made.tag("image", container.image)
    made.tag("compose_project", container.compose_project).tag("compose_service", container.compose_service)
    for entry in ENTRIES:
        made.field(entry.field, getattr(sample, entry.field))
    made.field("state", sample.state).field("health", sample.health).field("seen", 1)
    return made.time(sample.time_ns, WritePrecision.NS).to_line_protocol()


def point_of_four(sample: ContainerSample) -> list[str]:
    """The four points of the Go program."""
    values = {"cpu_usage": sample.cpu_percent, "mem_usage": sample.mem_percent}
    values |= {"tx_bytes": sample.tx_bytes, "rx_bytes": sample.rx_bytes}
    return [
        Point(name)
        .tag("container", sample.container.name)
        .field("value", value)
        .time(sample.time_ns, WritePrecision.NS)
        .to_line_protocol()
        for name, value in values.items()
    ]


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def per_sample(current: Sequence[ContainerSample], work: Callable[[], object], rounds: int = 15) -> float:
    """The least CPU microseconds a sample that ``work`` took."""
    took = []
    for _ in range(rounds):
        began = cpu_seconds()
        work()
        took.append(cpu_seconds() - began)
    return min(took) / len(current) * 1e6


def main() -> None:
    current = measured(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    print(f"{len(current)} containers; CPU µs a sample, the best round")
    print(f"{'':24}{'points':>8}{'bytes':>8}{'encode':>10}{'+ gzip':>10}")
    for name, make in SCHEMAS.items():
        encode = make().lines
        body = b"\n".join([encode(sample) for sample in current])
        spent = per_sample(current, lambda encode=encode: b"\n".join([encode(sample) for sample in current]))
        packed = per_sample(current, lambda body=body: gzip.compress(body, 1, mtime=0), 5)
        points, size = (body.count(b"\n") + 1) / len(current), len(body) / len(current)
        print(f"{name:24}{points:8.1f}{size:8.0f}{spent:10.2f}{packed:10.2f}")
    ours, theirs = SCHEMAS["own"]().lines, [point(sample) for sample in current]
    assert [_fields(line) for line in theirs] == [_fields(ours(sample).decode()) for sample in current]
    body = "\n".join(theirs).encode()
    for name, points, work in (
        ("Point, as own", 1.0, lambda: "\n".join([point(sample) for sample in current])),
        ("Point, as legacy", 4.0, lambda: "\n".join([line for sample in current for line in point_of_four(sample)])),
    ):
        packed = per_sample(current, lambda: gzip.compress(body), 5) if points == 1 else float("nan")
        print(
            f"{name:24}{points:8.1f}{len(body) / len(current):8.0f}{per_sample(current, work, 3):10.2f}{packed:10.2f}"
        )


def _fields(line: str) -> set[str]:
    """What the line says, whatever the order; a float may have several spellings."""
    start, fields, time = line.rsplit(" ", 2)
    return {start, time} | {_spelled(*field.split("=", 1)) for field in fields.split(",")}


def _spelled(name: str, value: str) -> str:
    number = value.replace(".", "").replace("e", "").replace("-", "").replace("+", "").isdigit()
    return f"{name}={float(value) if number else value}"


if __name__ == "__main__":
    main()
