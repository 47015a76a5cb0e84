"""What a scrape costs: our renderer beside prometheus-client's custom collector, on the same samples.

::

    python bench/exposition.py [CONTAINERS]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from measuring import least
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from statspout import ContainerSample
from statspout.catalogue import ENTRIES
from statspout.repositories.prometheus import Prometheus
from statspout.testing import samples


class Theirs(Collector):
    """The way prometheus-client's documentation shows for values that are read elsewhere."""

    def __init__(self, current: list[ContainerSample]) -> None:
        self.current = current

    def collect(self) -> Iterator[Metric]:
        """A family for each entry of the catalogue."""
        for entry in ENTRIES:
            make = CounterMetricFamily if entry.kind == "counter" else GaugeMetricFamily
            family = make(f"statspout_container_{entry.prometheus}", entry.help, labels=["host", "container", "id"])
            for sample in self.current:
                value = getattr(sample, entry.field)
                if value is not None:
                    labels = [sample.host, sample.container.name, sample.container.short_id]
                    family.add_metric(labels, value * entry.scale)
            yield family


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    current = samples(count)
    ours = Prometheus()
    ours.push(current)
    registry = CollectorRegistry()
    registry.register(Theirs(current))
    numbers = sum(getattr(sample, entry.field) is not None for sample in current for entry in ENTRIES)
    assert ours.exposition().count(b"\n") > numbers

    pushed = least(lambda: ours.push(current), 15) / count * 1e6
    rendered = least(ours.exposition, 15) / count * 1e6
    theirs = least(lambda: generate_latest(registry), 3) / count * 1e6
    per_ten = 10 * count / numbers
    print(f"{count} containers, {numbers / count:.0f} numbers each; CPU µs, the best round")
    print(f"{'':24}{'a container':>14}{'ten numbers':>14}")
    for name, cost in (("push", pushed), ("our scrape", rendered), ("prometheus-client's", theirs)):
        print(f"{name:24}{cost:14.2f}{cost * per_ten:14.2f}")
    print(f"{'ratio':24}{theirs / rendered:14.1f}")


if __name__ == "__main__":
    main()
