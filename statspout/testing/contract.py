"""The test suite of a repository, for its author to subclass."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from statspout.catalogue import ENTRIES
from statspout.errors import Closed, Rejected
from statspout.handling import Choice, Selection
from statspout.options import settings_of
from statspout.registry import check_class
from statspout.repository import LiveRepository, Repository, renewed
from statspout.sample import Container, ContainerSample, Sample
from statspout.testing.contract_driver import AWKWARD, Driver, driven, opened
from statspout.testing.contract_metrics import MetricsContract
from statspout.testing.samples import sample, samples

_PATIENCE = 5.0
"""Seconds for threads to end after a close."""

_SECRET = "a-secret-that-nobody-may-read"  # noqa: S105 - what must not show up


class RepositoryContract(MetricsContract):
    """Subclass it in a test file and write :meth:`make`; pytest does the rest.

    ::

        class TestGraphite(RepositoryContract):
            def make(self) -> Graphite:
                return Graphite(port=self.port)

    It is for repositories of plain functions, of coroutines, and live ones; plain functions run in a thread, as they
    will. Where :meth:`stored`, :meth:`unreachable` and :meth:`restart` are written too, the tests look at what arrived,
    and at what happens without a destination.
    """

    def unreachable(self) -> Repository | None:
        """A new repository whose destination is not there; None where there is no such thing."""
        return None

    def restart(self) -> bool:
        """End the destination and start it again, with what it had; False where that cannot be done."""
        return False

    def test_the_class_passes_the_checks_at_load(self) -> None:
        """Its name, methods and settings are such that the program takes it."""
        check_class(type(self.make()), "the contract")

    def test_every_setting_has_a_help_text(self) -> None:
        """A person who asks for help is told something."""
        for setting in settings_of(type(self.make())):
            assert setting.help.strip(), f"{setting.name} has no help"

    def test_the_repr_shows_no_secret(self) -> None:
        """Secrets stay out of logs."""
        repository = self.make()
        for setting in settings_of(type(repository)):
            if setting.secret:
                setattr(repository, setting.field, _SECRET)
        assert _SECRET not in repr(repository), "the repr shows a secret"

    def test_open_push_clear_and_close_work_in_their_order(self) -> None:
        """The life of a repository."""
        one = sample()
        with opened(self.make()) as driver:
            driver.push([one])
            driver.idle()
            driver.clear(one.container)

    def test_what_was_pushed_is_stored(self) -> None:
        """When push returns, every sample has arrived."""
        with opened(self.make()) as driver:
            before = self.stored(driver.repository)
            driver.push(samples(3))
            self._arrives(driver.repository, before, 3, "samples")

    def test_a_batch_of_one_and_of_a_thousand_are_taken(self) -> None:
        """Batches come in every size."""
        with opened(self.make()) as driver:
            driver.push(samples(1))
            driver.push(samples(1000))

    def test_unknown_values_are_taken(self) -> None:
        """A sample may know nothing but whom it is about and when."""
        bare = ContainerSample(time_ns=1, host="", container=Container(id="0" * 64, name="bare"))
        with opened(self.make()) as driver:
            driver.push([bare])

    def test_awkward_names_and_labels_are_taken(self) -> None:
        """Quotes, newlines and other alphabets do not stop a batch."""
        labels = dict(zip(AWKWARD, reversed(AWKWARD), strict=True))
        with opened(self.make()) as driver:
            driver.push(
                [sample(text, image=text, labels=labels, host=text, network_shared_with=text) for text in AWKWARD]
            )

    def test_huge_counters_are_taken(self) -> None:
        """Counters have 64 bits without a sign."""
        counters = [entry.field for entry in ENTRIES if entry.unit in ("bytes", "packets", "errors")]
        with opened(self.make()) as driver:
            driver.push([sample("huge", **dict.fromkeys(counters, huge)) for huge in (2**53 + 1, 2**63, 2**64 - 1)])

    def test_to_clear_an_unknown_container_is_harmless(self) -> None:
        """A container may go before anything of it came."""
        with opened(self.make()) as driver:
            driver.clear(sample("never-seen").container)

    def test_to_close_without_open_and_twice_is_harmless(self) -> None:
        """Close comes after an open that failed, and again at the end."""
        with driven(self.make()) as driver:
            driver.close()
            driver.open()
            driver.close()
            driver.close()

    def test_it_works_again_after_close_and_open(self) -> None:
        """That is what follows a failed push."""
        with opened(self.make()) as driver:
            driver.push([sample()])
            driver.close()
            driver.open()
            driver.push([sample()])

    def test_a_batch_that_comes_again_is_taken(self) -> None:
        """When the outcome of a push was unknown, the same samples come once more."""
        with opened(self.make()) as driver:
            driver.push(samples(5))
            before = self.stored(driver.repository)
            driver.push(samples(5))
            if self.stores_once and before is not None:
                after = self.stored(driver.repository)
                assert after is not None
                assert len(after) == len(before), "what came again is stored twice"

    def test_samples_with_only_some_fields_are_taken(self) -> None:
        """A user may ask for a few of them."""
        with opened(self.make()) as driver:
            for field in ("mem_usage", "cpu_percent", "uptime_seconds", "state"):
                driver.push(Selection(Choice(fields=(field,)), "contract").narrow(samples(2)))

    def test_a_new_instance_takes_over_while_an_old_one_hangs(self) -> None:
        """The framework makes one from the same settings when a call does not return; the old one is still there."""
        repository = self.make()
        with opened(repository) as old:
            old.push(samples(1))
            if isinstance(repository, LiveRepository):
                return  # nothing that is called on the loop can be left to itself
            with opened(renewed(repository)) as new:
                before = self.stored(new.repository)
                new.push([sample("another")])
                self._arrives(new.repository, before, 1, "that the new one got")

    def test_close_releases_everything(self) -> None:
        """A repository is opened and closed as often as its destination fails."""
        repository = self.make()
        with driven(repository) as driver:
            for _ in range(2):
                driver.open()
                driver.push([sample()])
                driver.close()
            before = _held()
            for _ in range(5):
                driver.open()
                driver.push([sample()])
                driver.close()
            _eventually(lambda: _held() <= before, lambda: f"{before} descriptors and threads became {_held()}")

    def test_without_a_destination_it_fails_and_says_so(self) -> None:
        """To return from push is to say that all is stored: an error is right, on one line, without a secret."""
        repository = self.unreachable()
        if repository is None:
            return
        with driven(repository) as driver:
            error = _failure(driver)
            assert not isinstance(error, Rejected | Closed), f"the samples would be lost: {error!r}"
            assert str(error).strip(), f"{type(error).__name__} says nothing"
            for setting in settings_of(type(repository)):
                value = getattr(repository, setting.field)
                assert not (setting.secret and value and str(value) in str(error)), "the error shows a secret"
            driver.close()

    def test_it_works_again_when_the_destination_does(self) -> None:
        """Whatever was open then: close, open and push again."""
        with opened(self.make()) as driver:
            driver.push(samples(2))
            if not self.restart():
                return
            try:
                driver.push(samples(4)[2:])
            except Exception:  # noqa: BLE001 - any error is a good answer; what counts is what comes next
                driver.close()
                driver.open()
                driver.push(samples(4)[2:])
            self._arrives(driver.repository, (), 4, "samples")

    def test_push_neither_changes_nor_keeps_the_batch(self) -> None:
        """The batch is the framework's: it may come again, and it is memory."""
        batch = _Batch(samples(3))
        kept = weakref.ref(batch)
        with opened(self.make()) as driver:
            driver.push(batch)
            assert batch == samples(3), "push changed the batch"
            del batch
            gc.collect()
            assert kept() is None, "push keeps the batch"

    def test_a_live_repository_has_routes_and_forgets_who_is_gone(self) -> None:
        """What is served is current."""
        one = sample()
        with opened(self.make()) as driver:
            if not isinstance(driver.repository, LiveRepository):
                return
            assert driver.repository.routes(), "there are no routes"
            driver.push([one])
            driver.clear(one.container)
            assert not self.stored(driver.repository), "a container that is gone is still served"


class _Batch(list[Sample]):
    """A list that can be watched going away."""


def _failure(driver: Driver) -> Exception:
    try:
        driver.open()
        driver.push(samples(2))
    except Exception as error:  # noqa: BLE001 - what it is, is looked at
        return error
    raise AssertionError("push returned, as if all were stored")


def _held() -> int:
    """Descriptors and threads of this process."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) + threading.active_count()


def _eventually(look: Callable[[], bool], told: Callable[[], str]) -> None:
    """Some threads take a moment to end."""
    deadline = time.monotonic() + _PATIENCE
    while not look():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)
