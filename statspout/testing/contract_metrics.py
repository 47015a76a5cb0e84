"""The part of a repository's test suite that is about what applications report."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from statspout.errors import Rejected
from statspout.repository import Repository
from statspout.sample import Metric, MetricKind
from statspout.testing.contract_driver import AWKWARD, Driver, opened
from statspout.testing.samples import metric, metrics, sample

_TEXTS = (
    *AWKWARD, "", "#comment", "a.b-c/d:e|f@g", "1.5", "'; DROP TABLE x; --", "$where", "%s%n", "back\\", "é" * 500,
)  # fmt: skip
"""What may come over the wire for a name, a tag or a text."""

_OWN_NAMES = (
    "host", "container", "id", "name", "time", "value", "rate", "count", "text", "quantile", "le", "__name__", "_id",
)  # fmt: skip
"""Names that a destination may have a use of its own for."""

_NUMBERS = (0, -0.0, -2.5, -(2**63), 2**53 + 1, 2**63, 2**64 - 1, 10**30, 5e-324, 1e300)


class MetricsContract(ABC):
    """What a repository promises that has :class:`statspout.Metric` among its ``accepts``; others pass."""

    stores_once: ClassVar[bool] = False
    """Whether a batch that comes again is stored once; only looked at with :meth:`stored`."""

    visible_within: ClassVar[float] = 2.0
    """Seconds until :meth:`stored` sees what the destination acknowledged: some show a moment later what they hold."""

    rejects: ClassVar[frozenset[MetricKind]] = frozenset()
    """The kinds of metrics for which the destination has no place, where the repository accepts metrics."""

    @abstractmethod
    def make(self) -> Repository:
        """A new repository, not yet open, whose destination works."""

    def stored(self, repository: Repository) -> Sequence[object] | None:  # noqa: ARG002 - for subclasses
        """Everything that the destination of ``repository`` holds now, one item or more a sample; None if unseen."""
        return None

    def _arrives(
        self, repository: Repository, before: Sequence[object] | None, count: int, of: str
    ) -> Sequence[object] | None:
        """What is stored now, or soon: ``count`` items more than ``before``."""
        deadline = time.monotonic() + self.visible_within
        while True:
            after = self.stored(repository)
            if before is None or after is None or len(after) >= len(before) + count:
                return after
            assert time.monotonic() < deadline, f"of {count} {of} there are {len(after) - len(before)} items"
            time.sleep(0.05)

    def test_each_kind_of_metric_is_stored_or_rejected_as_announced(self) -> None:
        """A repository that accepts metrics has a place for counts, summaries and texts; or says that it has none."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            before = self.stored(driver.repository)
            for one in metrics():
                if one.kind in self.rejects:
                    _rejection(driver, one)
                    continue
                driver.push([one])
                before = self._arrives(driver.repository, before, 1, one.kind)

    def test_metrics_and_samples_come_in_one_batch(self) -> None:
        """They wait in one queue."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            before = self.stored(driver.repository)
            of_nobody = metric("c", "gauge", container=None)
            driver.push([sample("web"), metric("a"), sample("db"), metric("b", "timer"), of_nobody])
            self._arrives(driver.repository, before, 5, "samples and metrics")

    def test_a_batch_of_a_thousand_metrics_is_taken(self) -> None:
        """Applications report more than containers use."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            driver.push([metric(f"shop.{i % 100}", tags={"shard": str(i)}, time_ns=i + 1) for i in range(1000)])

    def test_a_metric_that_knows_little_is_taken(self) -> None:
        """Its sender, its interval, its unit may be unknown, and it may have no tags."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            for kind in self._kinds():
                value = metric(kind=kind).value
                driver.push(
                    [Metric(time_ns=1, host="", key=f"bare {kind}", name=f"bare.{kind}", kind=kind, value=value)]
                )

    def test_awkward_names_and_tags_of_metrics_are_taken_and_harm_no_neighbour(self) -> None:
        """An application calls its numbers as it likes, and whatever it says of them may be in their tags."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            before = self.stored(driver.repository)
            for number, text in enumerate(_TEXTS):
                sender = sample(text, image=text, labels={text: text}).container
                odd = metric(text, "gauge", host=text, container=sender, tags={text: text, "of": text}, context=text)
                driver.push([metric(f"before.{number}"), odd, metric(f"after.{number}")])
            self._arrives(driver.repository, before, 3 * len(_TEXTS), "metrics")

    def test_tags_that_are_called_as_the_records_own_are_taken(self) -> None:
        """Nobody has told the application which names there are already."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            for kind in self._kinds():
                driver.push([metric(f"shop.{kind}", kind, tags=dict.fromkeys(_OWN_NAMES, "x"))])

    def test_texts_of_every_kind_are_taken(self) -> None:
        """What an application writes is not what a database expects."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            for text in _TEXTS if "text" not in self.rejects else ():
                driver.push([metric("note", "text", value=text)])

    def test_large_small_and_negative_numbers_are_taken(self) -> None:
        """A gauge may be below zero. A count below it, or beyond 63 bits, may be rejected."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            for number, value in enumerate(_NUMBERS):
                driver.push([metric(f"number.{number}", "gauge", value=value)])
                with contextlib.suppress(*([Rejected] if value < 0 or value >= 2**63 else [])):
                    driver.push([metric(f"count.{number}", value=value)])

    def test_what_is_no_number_is_rejected_or_unknown(self) -> None:
        """Any other error would bring the same batch for ever."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            for value in (float("nan"), float("inf"), float("-inf")):
                with contextlib.suppress(Rejected):
                    driver.push([metric("broken", "gauge", value=value)])

    def test_metrics_that_come_again_are_stored_once_where_samples_are(self) -> None:
        """The same batch, when the outcome of a push was unknown."""
        with opened(self.make()) as driver:
            if not _takes_metrics(driver):
                return
            batch = [one for one in metrics() if one.kind not in self.rejects]
            driver.push(batch)
            before = self.stored(driver.repository)
            driver.push(batch)
            if self.stores_once and before is not None:
                after = self.stored(driver.repository)
                assert after is not None
                assert len(after) == len(before), "what came again is stored twice"

    def _kinds(self) -> list[MetricKind]:
        return [one.kind for one in metrics() if one.kind not in self.rejects]


def _takes_metrics(driver: Driver) -> bool:
    return Metric in driver.repository.accepts


def _rejection(driver: Driver, one: Metric) -> Rejected:
    try:
        driver.push([one])
    except Rejected as error:
        return error
    raise AssertionError(f"a {one.kind} was taken, though the contract says that there is no place for it")
