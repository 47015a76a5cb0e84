"""A repository that takes what applications report, and does nothing with it: what is measured is the listener."""

from __future__ import annotations

from collections.abc import Sequence

from statspout import ContainerSample, Metric, Repository, Sample


class Unheard(Repository):
    """Takes everything, and prints only how many lines counters say there were."""

    name = "unheard"
    accepts = (ContainerSample, Metric)
    flush_interval = 0

    def push(self, batch: Sequence[Sample]) -> None:
        """Add up."""
        counted = sum(one.value for one in batch if isinstance(one, Metric) and isinstance(one.value, int | float))
        print(counted, flush=True)
