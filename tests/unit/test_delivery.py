"""Nothing is lost in silence: whatever a repository does, its books balance."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from support.standstill import PATIENCE, running_time

from statspout import (
    Closed,
    Container,
    ContainerSample,
    Handling,
    Metric,
    Rejected,
    Repository,
    RepositoryError,
    RetryAfter,
    Sample,
    TooLarge,
)
from statspout.delivery.backoff import Backoff
from statspout.delivery.delivery import Delivery
from statspout.delivery.live import Live
from statspout.delivery.queue import Batch, Queue
from statspout.router import Router
from statspout.testing import sample, samples


class Recorder(Repository):
    """Remembers what is done to it; ``script`` holds what the next pushes raise (None: nothing)."""

    name = "recorder"
    flush_interval = 0.0

    def __post_init__(self) -> None:
        self.calls: list[str] = []
        self.stored: list[Sample] = []
        self.cleared: list[str] = []
        self.script: list[Exception | None] = []
        self.poison: set[int] = set()

    def open(self) -> None:
        self.calls.append("open")

    def push(self, batch: Sequence[Sample]) -> None:
        self.calls.append("push")
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        if any(one.time_ns in self.poison for one in batch):
            raise Rejected("poison")
        self.stored.extend(batch)

    def clear(self, container: Container) -> None:
        self.cleared.append(f"{container.name} after {len(self.stored)}")

    def close(self) -> None:
        self.calls.append("close")


class AsyncRecorder(Repository):
    """The same on the loop."""

    name = "asyncrecorder"
    flush_interval = 0.0

    def __post_init__(self) -> None:
        self.stored: list[Sample] = []

    async def push(self, batch: Sequence[Sample]) -> None:
        await asyncio.sleep(0)
        self.stored.extend(batch)


def quick() -> Backoff:
    return Backoff(first=0.001, cap=0.01)


def deliver(
    repository: Repository, work: Callable[[Delivery], Awaitable[Any] | None], patience: float = PATIENCE, **kw: Any
) -> Delivery:
    """Run a delivery around ``work``, drain it, and hold its books to their promise."""

    repository.handling = Handling(**kw)

    async def main() -> Delivery:
        delivery = Delivery(repository, backoff=quick())
        delivery.start()
        waiting = work(delivery)
        if waiting is not None:
            await waiting
        await delivery.stop(patience)
        return delivery

    delivery = asyncio.run(main())
    assert delivery.books.balanced
    assert delivery.books.queued == 0
    return delivery


def put(count: int) -> Callable[[Delivery], None]:
    def work(delivery: Delivery) -> None:
        for one in samples(count):
            delivery.put([one])

    return work


class Slow(Recorder):
    """Would rather wait for more."""

    name = "slow"
    flush_interval = 30.0


def test_what_a_sweep_gave_does_not_wait_for_more() -> None:
    async def work(delivery: Delivery) -> None:
        for size in (3, 2):
            Router([delivery]).push_all(samples(size)[-1:], last=False)
            Router([delivery]).push_all(samples(size)[:-1])
            async with asyncio.timeout(PATIENCE):
                while delivery.books.queued:  # noqa: ASYNC110 - the books have no event
                    await asyncio.sleep(0.005)
            delivery._pushed -= 30

    repository = Slow()
    deliver(repository, work)
    assert times(repository.stored) == [times(samples(3))[i] for i in (2, 0, 1, 1, 0)]
    assert repository.calls == ["open", "push", "push", "close"]


def test_sweeps_that_follow_each_other_soon_do_wait() -> None:
    async def work(delivery: Delivery) -> None:
        for _ in range(5):
            Router([delivery]).push_all(samples(2))
            await asyncio.sleep(0.01)

    repository = Slow()
    deliver(repository, work)
    assert repository.calls == ["open", "push", "push", "close"], "the first is not late; the last is the end's"


def test_a_sweep_of_which_nothing_is_wanted_hastens_nothing() -> None:
    async def work(delivery: Delivery) -> None:
        Router([delivery]).push_all([sample("db")])
        Router([delivery]).push(sample("web"))
        await asyncio.sleep(0.05)
        assert delivery.books.queued == 1

    deliver(Slow(), work, include=("web",))


@pytest.mark.parametrize(("failures", "patience", "stored"), [(2, 30.0, 5), (1000, 0.2, 0)])
def test_what_was_pushed_is_waited_for_until_it_is_stored_and_not_for_ever(
    failures: int, patience: float, stored: int
) -> None:
    async def main() -> None:
        recorder = Recorder()
        recorder.script = [RepositoryError("away")] * failures
        router = Router([Delivery(recorder, backoff=quick())])
        router.routes[0].start()
        router.push_all(samples(5))
        await router.kept(patience)
        assert len(recorder.stored) == stored
        await router.routes[0].stop(0)

    asyncio.run(main())


def times(stored: Sequence[Sample]) -> list[int]:
    return [one.time_ns for one in stored]


def test_everything_arrives_in_order_and_in_batches() -> None:
    repository = Recorder()
    books = deliver(repository, put(2500)).books
    assert times(repository.stored) == times(samples(2500))
    assert (books.collected, books.delivered) == (2500, 2500)
    assert repository.calls == ["open", "push", "push", "push", "close"]


def test_an_async_repository_is_served_alike() -> None:
    repository = AsyncRecorder()
    deliver(repository, put(10))
    assert len(repository.stored) == 10


def test_a_failed_push_comes_again_after_close_and_open() -> None:
    repository = Recorder()
    repository.script = [OSError("down"), None]
    books = deliver(repository, put(3)).books
    assert repository.calls == ["open", "push", "close", "open", "push", "close"]
    assert times(repository.stored) == times(samples(3))
    assert (books.delivered, books.failures) == (3, 1)


class AsyncFailing(AsyncRecorder):
    """Raises what its script says, on the loop."""

    name = "asyncfailing"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.script: list[BaseException] = []

    async def push(self, batch: Sequence[Sample]) -> None:
        if self.script:
            raise self.script.pop(0)
        await super().push(batch)


@pytest.mark.parametrize("make", [Recorder, AsyncFailing])
@pytest.mark.parametrize(
    "error",
    [RuntimeError("bug"), SystemExit(3), KeyError("x"), RetryAfter(0.01), StopIteration(), asyncio.CancelledError()],
)
def test_whatever_a_plugin_raises_the_batch_is_kept(make: Any, error: Any) -> None:
    repository = make()
    repository.script = [error]
    assert deliver(repository, put(3)).books.delivered == 3
    assert times(repository.stored) == times(samples(3))


def test_a_coroutine_in_disguise_runs_and_a_generator_is_an_error() -> None:
    class Disguised(Recorder):
        name = "disguised"

        def push(self, batch: Sequence[Sample]) -> Any:
            return self.later(batch)

        async def later(self, batch: Sequence[Sample]) -> None:
            self.stored.extend(batch)

    class Generator(Recorder):
        name = "generator"

        def push(self, batch: Sequence[Sample]) -> Any:
            yield batch

    disguised = Disguised()
    deliver(disguised, put(3))
    assert len(disguised.stored) == 3
    books = deliver(Generator(), put(3), patience=0.1).books
    assert (books.delivered, books.dropped) == (0, {"shutdown": 3})


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_repository_does_to_its_batch_is_nobody_elses_loss(fails: bool) -> None:
    class Greedy(Recorder):
        name = "greedy"
        first = True

        def push(self, batch: Sequence[Sample]) -> None:
            assert isinstance(batch, list)
            self.stored += [batch.pop() for _ in range(2 if fails and self.first else len(batch))]
            if fails and self.first:
                self.first = False
                raise OSError("after two")

    books = deliver(Greedy(), put(10)).books
    assert books.delivered == 10


def test_a_failure_while_nothing_waits_says_nothing_of_samples(caplog: pytest.LogCaptureFixture) -> None:
    class Away(AsyncRecorder):
        name = "away"

        async def open(self) -> None:
            raise OSError("nobody there")

    deliver(Away(), lambda _: asyncio.sleep(0.05), patience=0.1)
    assert caplog.messages[0] == "away: open failed: nobody there"


def test_what_is_lost_at_the_end_is_told_with_the_call_that_was_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    class Far(AsyncRecorder):
        name = "far"

        async def open(self) -> None:
            await asyncio.sleep(10)

    deliver(Far(), put(3), patience=0.1)
    assert "far: 3 samples lost: not delivered before the end: open had not returned" in caplog.messages


def test_a_push_that_swallows_its_cancellation_cannot_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(AsyncRecorder):
        name = "stubborn"

        async def push(self, batch: Sequence[Sample]) -> None:
            for _ in range(10):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.1)

    async def main() -> None:
        delivery = Delivery(Stubborn())
        delivery.start()
        delivery.put([sample()])
        await asyncio.sleep(0.05)
        began = running_time()
        await delivery.stop(0.1)
        assert running_time() - began < 0.6
        assert delivery.books.dropped == {"shutdown": 1}
        await asyncio.sleep(1)
        assert delivery.books.balanced

    monkeypatch.setattr("statspout.delivery.delivery.CLOSE_PATIENCE", 0.2)
    asyncio.run(main())


def test_a_back_off_ends_with_one_more_attempt_when_the_end_comes() -> None:
    async def main() -> None:
        repository = Recorder()
        repository.script = [OSError("down")]
        delivery = Delivery(repository, backoff=Backoff(first=60, draw=lambda low, high: high))
        delivery.start()
        delivery.put([sample()])
        await asyncio.sleep(0.1)
        await delivery.stop(PATIENCE)
        assert delivery.books.delivered == 1

    asyncio.run(main())


def test_a_rejection_that_names_nobody_is_retried_with_back_off() -> None:
    repository = Recorder()
    repository.script = [Rejected("who knows", indices=[])] * 3
    assert deliver(repository, put(3)).books.delivered == 3
    assert repository.calls.count("open") == 4


def test_batches_grow_again_after_a_bisection_that_found_nobody() -> None:
    repository = Recorder()
    repository.script = [Rejected("a passing thing")] * 3
    deliver(repository, put(64))
    assert len(repository.stored) == 64
    assert repository.calls.count("push") < 12


def test_retry_after_is_respected() -> None:
    class Noting(Recorder):
        name = "noting"

        def push(self, batch: Sequence[Sample]) -> None:
            moments.append(time.monotonic())
            super().push(batch)

    async def work(delivery: Delivery) -> None:
        delivery.put([sample()])
        async with asyncio.timeout(PATIENCE):
            while len(moments) < 2:  # noqa: ASYNC110 - it happens in a thread
                await asyncio.sleep(0.005)

    moments: list[float] = []
    repository = Noting()
    repository.script = [RetryAfter(0.25)]
    deliver(repository, work)
    assert moments[1] - moments[0] >= 0.25


@pytest.mark.parametrize("error", [Rejected, TooLarge])
def test_a_destination_that_rejects_everything_is_a_wrong_place_and_loses_little(
    error: type[Rejected], caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(Recorder):
        name = "wrong"

        def push(self, batch: Sequence[Sample]) -> None:
            self.calls.append("push")
            if self.poison:
                raise error("HTTP 400")
            self.stored.extend(batch)

    async def work(delivery: Delivery) -> None:
        put(500)(delivery)
        async with asyncio.timeout(PATIENCE):
            while delivery.books.failures < 150:  # noqa: ASYNC110 - it happens in a thread
                await asyncio.sleep(0.01)
        repository.poison = set()

    repository = Wrong()
    repository.poison = {1}
    books = deliver(repository, work).books
    assert 10 <= books.dropped["rejected"] < 120
    assert books.delivered == 500 - books.dropped["rejected"]
    assert "every sample is rejected: HTTP 400: is that the right place?; " in caplog.text


def test_a_bisection_does_not_wait_for_more_samples() -> None:
    class Patient(Recorder):
        name = "patientrecorder"
        flush_interval = 0.3

    async def work(delivery: Delivery) -> None:
        put(64)(delivery)
        async with asyncio.timeout(2):
            while not delivery.books.dropped:  # noqa: ASYNC110 - it happens in a thread
                await asyncio.sleep(0.01)

    repository = Patient()
    repository.poison = {samples(64)[40].time_ns}
    assert deliver(repository, work).books.delivered == 63


@pytest.mark.parametrize("poison", [{0}, {7}, {3, 4}, {0, 99}, set(range(10))])
def test_poison_is_found_by_bisection_and_only_it_is_dropped(poison: set[int]) -> None:
    batch = samples(100)
    repository = Recorder()
    repository.poison = {batch[i].time_ns for i in poison}
    books = deliver(repository, put(100)).books
    assert books.dropped == {"rejected": len(poison)}
    assert times(repository.stored) == [one.time_ns for i, one in enumerate(batch) if i not in poison]


@pytest.mark.parametrize(("rest", "again"), [("stored", []), ("retry", [0, 2])])
def test_named_poison_is_dropped_and_the_rest_is_as_the_repository_says(rest: Any, again: list[int]) -> None:
    repository = Recorder()
    repository.script = [Rejected("type", indices=[1], rest=rest)]
    books = deliver(repository, put(3)).books
    assert (books.dropped, books.delivered) == ({"rejected": 1}, 2)
    assert times(repository.stored) == [samples(3)[i].time_ns for i in again]


def test_a_full_queue_drops_the_oldest_and_counts_them() -> None:
    async def work(delivery: Delivery) -> None:
        for one in samples(100):
            delivery.put([one])
        assert delivery.books.balanced
        assert delivery.books.queued == 10

    repository = Recorder()
    books = deliver(repository, work, queue_samples=10).books
    assert books.dropped == {"overflow": 90}
    assert times(repository.stored) == times(samples(100)[90:])


def test_a_closed_destination_retires_its_repository() -> None:
    async def work(delivery: Delivery) -> None:
        put(3)(delivery)
        await asyncio.wait_for(delivery.finished.wait(), 1)
        put(2)(delivery)

    repository = Recorder()
    repository.script = [Closed("pipe closed")]
    assert deliver(repository, work).books.dropped == {"closed": 5}


def test_clear_comes_behind_the_containers_last_sample_and_before_those_of_its_next_run() -> None:
    def work(delivery: Delivery) -> None:
        for one in [sample()] * 5:
            delivery.put([one])
        delivery.clear(sample().container)
        for one in [sample(started_at=2)] * 5:
            delivery.put([one])

    repository = Recorder()
    deliver(repository, work)
    assert repository.cleared == ["web after 5"]
    assert len(repository.stored) == 10


def test_what_a_repository_does_not_take_is_counted_as_filtered() -> None:
    metric = Metric(time_ns=1, host="h", key="k", name="n", kind="gauge", value=1)
    books = deliver(Recorder(), lambda delivery: delivery.put([metric])).books
    assert (books.collected, books.filtered) == (1, 1)


def test_a_hanging_repository_delays_nobody_and_cannot_keep_the_program() -> None:
    release = threading.Event()

    class Hanging(Recorder):
        name = "hanging"

        def push(self, batch: Sequence[Sample]) -> None:
            release.wait(PATIENCE)

    async def main() -> None:
        hanging, good = Delivery(Hanging()), Delivery(other)
        router = Router([hanging, good])
        for route in router.routes:
            route.start()
        router.push(sample())
        async with asyncio.timeout(PATIENCE):
            while not other.stored:  # noqa: ASYNC110 - it happens in a thread
                await asyncio.sleep(0.005)
        await asyncio.gather(*(route.stop(0.2) for route in router.routes))
        assert hanging.books.dropped == {"shutdown": 1}
        assert hanging.books.balanced

    other = Recorder()
    asyncio.run(main())
    release.set()


def test_samples_of_a_run_that_is_over_are_discarded_and_counted() -> None:
    async def main() -> None:
        repository = Recorder()
        router = Router([Delivery(repository)])
        router.clear(sample().container)
        router.push(sample())
        books = router.routes[0].books
        assert (books.collected, books.dropped) == (1, {"gone": 1})
        router.begin(sample().container)
        router.push(sample())
        assert books.queued == 1
        assert books.balanced

    asyncio.run(main())


def test_a_failing_live_repository_loses_its_sample_and_nothing_else() -> None:
    class Failing(Recorder):
        name = "failing"

        def push(self, batch: Sequence[Sample]) -> None:
            raise ValueError("bug")

    live = Live(Failing())  # type: ignore[arg-type]  # routes are not needed here
    live.put([sample()])
    assert live.books.dropped == {"error": 1}
    assert live.books.balanced


def test_the_queue_keeps_word_of_gone_containers_when_it_overflows() -> None:
    queue = Queue(limit=2)
    first, *rest = samples(4)
    queue.put([first])
    queue.put_clear(first.container)
    assert sum(queue.put([one]) for one in rest) == 2
    assert queue.take(9) == first.container
    batch = queue.take(9)
    assert isinstance(batch, Batch)
    assert batch.samples == rest[1:]


def test_word_of_gone_containers_holds_up_no_samples() -> None:
    """It does not wait for a full batch, and what is put around it is one batch."""

    class Patient(Recorder):
        name = "patient"
        flush_interval = 0.2

    async def work(delivery: Delivery) -> None:
        for one in many:
            delivery.put([one])
            delivery.clear(one.container)
        await delivery._idle.wait()
        assert repository.calls == ["open", "push"]
        assert repository.cleared == [f"{one.container.name} after 50" for one in many]

    many = samples(50)
    repository = Patient()
    deliver(repository, work)


def test_backoff_doubles_up_to_its_cap_and_begins_anew() -> None:
    backoff = Backoff(first=1, cap=8, draw=lambda low, high: high)
    assert [backoff.failed() for _ in range(5)] == [1, 2, 4, 8, 8]
    backoff.succeeded()
    assert backoff.failed() == 1


def test_batches_wait_for_more_no_longer_than_the_flush_interval() -> None:
    class Patient(Recorder):
        name = "patient"
        flush_interval = 0.1

    async def work(delivery: Delivery) -> None:
        began = time.monotonic()
        for one in samples(4):
            delivery.put([one])
        async with asyncio.timeout(PATIENCE):
            while not repository.stored:  # noqa: ASYNC110 - it happens in a thread
                await asyncio.sleep(0.005)
        assert time.monotonic() - began >= 0.1
        assert repository.calls == ["open", "push"]

    repository = Patient()
    deliver(repository, work)


def test_the_record_crosses_unchanged() -> None:
    repository = Recorder()
    deliver(repository, put(1))
    (got,) = repository.stored
    assert isinstance(got, ContainerSample)
    assert got == samples(1)[0]


class Waiting(Recorder):
    """Wants to hear of quiet times; ``trouble`` is raised by the first of them, and by every close."""

    name = "waiting"
    idle_interval = 0.01
    trouble: Exception | None = None

    def idle(self) -> None:
        self.calls.append("idle")
        if self.trouble is not None and self.calls.count("idle") == 1:
            raise self.trouble

    def close(self) -> None:
        super().close()
        if self.trouble is not None:
            raise self.trouble


async def quiet(repository: Waiting, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while repository.calls.count("idle") < count:  # noqa: ASYNC110 - it is called in another thread
            await asyncio.sleep(0.005)


def test_a_repository_hears_of_quiet_times_again_and_again() -> None:
    repository = Waiting()

    async def work(delivery: Delivery) -> None:
        await quiet(repository, 2)
        delivery.put([sample()])
        await quiet(repository, 4)

    assert deliver(repository, work).books.failures == 0
    assert repository.calls.count("open") == repository.calls.count("push") == repository.calls.count("close") == 1


def test_who_fails_in_a_quiet_time_is_closed_and_opened_and_goes_on() -> None:
    repository = Waiting()
    repository.trouble = OSError("down")

    async def work(delivery: Delivery) -> None:
        await quiet(repository, 2)
        delivery.put([sample()])

    assert deliver(repository, work).books.failures == 2
    assert repository.calls[:4] == ["open", "idle", "close", "open"]
    assert len(repository.stored) == 1


def test_who_wants_nothing_more_in_a_quiet_time_is_retired() -> None:
    repository = Waiting()
    repository.trouble = Closed("gone")
    deliver(repository, lambda delivery: asyncio.wait_for(delivery.finished.wait(), 5))
    assert "push" not in repository.calls


@pytest.mark.parametrize("trouble", [None, OSError("full")])
def test_a_last_close_that_fails_is_told(trouble: Exception | None, caplog: pytest.LogCaptureFixture) -> None:
    repository = Waiting()
    repository.idle_interval = 0
    repository.trouble = trouble
    delivery = deliver(repository, put(1))
    assert delivery.close_failed == bool(trouble)
    assert ("waiting: close failed: OSError: full" in caplog.text) == bool(trouble)
