"""What delivery costs on the way to a destination, stage by stage, without any network.

::

    python bench/delivery.py [SAMPLES]

CPU is user+sys of the whole process, in microseconds per sample, the least of five rounds; batches of 1,000 samples of
100 containers. The ratio is to InfluxDB's encoder: queue and batching are to cost no more than that.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from measuring import least

from statspout import Choice, ContainerSample, Repository, Sample
from statspout.delivery.delivery import Delivery
from statspout.delivery.encoding import decode, encode
from statspout.delivery.queue import Batch, Queue
from statspout.delivery.spoolfile import Row, SpoolFile
from statspout.handling import Selection
from statspout.repositories.influxdb import InfluxDB
from statspout.repositories.mongodb_documents import encode_all, schema
from statspout.shapes import rest_object, to_json
from statspout.testing import samples

BATCH = 1000
CONTAINERS = 100


def made(count: int) -> list[ContainerSample]:
    """Samples of as many containers as said above, one after the other, each with a time of its own."""
    shapes = samples(CONTAINERS)
    return [
        msgspec.structs.replace(shapes[i % CONTAINERS], time_ns=shapes[0].time_ns + i * 1_000_000, rx_bytes=i * 1000)
        for i in range(count)
    ]


class Nowhere(Repository):
    """Takes everything, and does nothing with it."""

    name = "nowhere"
    flush_interval = 0.0

    def push(self, batch: Sequence[Sample]) -> None:
        """Take it."""


def put(given: Sequence[Sample]) -> Queue:
    queue = Queue(10**9)
    for one in given:
        queue.put([one])
    return queue


def put_and_take(given: Sequence[Sample]) -> None:
    queue = put(given)
    while queue:
        assert isinstance(queue.take(BATCH), Batch)
        queue.finish()


def delivered(given: Sequence[Sample]) -> None:
    """All of delivery: the loop, the thread, the books; the samples come in turns of one batch."""

    async def main() -> None:
        delivery = Delivery(Nowhere())
        delivery.start()
        for start in range(0, len(given), BATCH):
            for one in given[start : start + BATCH]:
                delivery.put([one])
            while delivery.books.queued:  # noqa: ASYNC110 - the books have no event
                await asyncio.sleep(0.001)
        await delivery.stop(5)

    asyncio.run(main())


def batches(
    given: Sequence[ContainerSample], work: Callable[[Sequence[ContainerSample]], object]
) -> Callable[[], None]:
    def run() -> None:
        for start in range(0, len(given), BATCH):
            work(given[start : start + BATCH])

    return run


def spooled(folder: Path) -> Callable[[Sequence[ContainerSample]], object]:
    file = SpoolFile(folder / "bench.spool", 2**40)
    file.open()
    return lambda batch: file.write([Row(0, len(batch), encode(batch))], [], [])


def stages(given: list[ContainerSample], folder: Path) -> dict[str, Callable[[], Any]]:
    influx, mongo = InfluxDB(), schema("own")
    narrow = Selection(Choice(include=("web-*",), fields=("cpu_*", "mem_usage")), "bench")
    encoded = [encode(given[start : start + BATCH]) for start in range(0, len(given), BATCH)]
    return {
        "queue": lambda: put(given),
        "queue and batch": lambda: put_and_take(given),
        "all of delivery, to nowhere": lambda: delivered(given),
        "choose containers and fields": batches(
            given, lambda batch: narrow.narrow([s for s in batch if narrow.takes(s)])
        ),
        "encode for influxdb": batches(given, influx._encoded),
        "encode for mongodb": batches(given, lambda batch: encode_all(batch, mongo)),
        "encode for webhook": batches(given, lambda batch: to_json([rest_object(one) for one in batch])),
        "encode for the spool": batches(given, encode),
        "write to the spool": batches(given, spooled(folder)),
        "read from the spool": lambda: [decode(data) for data in encoded],
    }


def main() -> None:
    """Measure and print."""
    given = made(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    with tempfile.TemporaryDirectory() as folder:
        costs = {name: least(work) / len(given) * 1e6 for name, work in stages(given, Path(folder)).items()}
    print(f"delivery, {len(given)} samples in batches of {BATCH}\n{'':34}{'us/sample':>10}{'ratio':>8}")
    for name, cost in costs.items():
        print(f"{name:<34}{cost:>10.2f}{cost / costs['encode for influxdb']:>8.2f}")


if __name__ == "__main__":
    main()
