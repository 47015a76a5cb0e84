"""The client among threads and signal handlers: nothing is lost, nothing told twice, and nobody waits for himself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from support.lines import Levels, Sink, StreamSink, together

from statspout.client import StatsD

THREADS, CALLS = 4, 5000


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def levels_of(text: str) -> Levels:
    levels = Levels()
    levels.take(text)
    return levels


@pytest.mark.parametrize("period", [0, 0.001, 60])
def test_calls_of_many_threads_are_all_told_once(period: float) -> None:
    with StreamSink() as sink:
        client = StatsD(sink.address, period=period)
        texts: list[str] = []
        reader = threading.Thread(target=lambda: texts.append(sink.text()))
        reader.start()

        def work() -> None:
            for number in range(CALLS):
                client.count("c")
                client.gauge_inc("g", 2)
                client.count("of", tags={"n": str(number % 50)})
                if number % 100 == 0:  # of all threads it is fewer lines than are kept waiting
                    client.flush(60)

        together(*[work] * THREADS)
        client.close(10)
        reader.join(10)
    levels = levels_of(texts[0])
    assert client.lost == {}
    assert levels.counts == Counter(c=THREADS * CALLS, of=THREADS * CALLS)
    assert levels.gauges == {"g": THREADS * CALLS * 2}


@pytest.mark.parametrize("dialect", ["flux", "dogstatsd"])
def test_what_the_client_knows_is_right_whichever_threads_change_it(dialect: str) -> None:
    with Sink() as sink, StatsD(sink.address, period=0, dialect=dialect) as client:
        last: dict[str, str] = {}

        def read() -> None:
            for line in sink.lines():
                name, _, rest = line.partition(":")
                last[name] = rest

        def work() -> None:
            for _ in range(500):
                client.count("c")
                client.gauge_inc("g")
                read()

        together(*[work] * THREADS)
        read()
        client.count("c")
        client.gauge_inc("g")
        done = THREADS * 500 + 1
        told = {"flux": [f"c:{done}|C", "g:+1|g"], "dogstatsd": ["c:1|c", f"g:{done}|g"]}
        assert sink.lines() == told[dialect]
        assert client.lost == {}


def test_changing_everything_while_others_report_loses_nothing() -> None:
    with Sink() as one, Sink() as two, StatsD(one.address, period=0.001) as client:
        got: Counter[str] = Counter()
        over = threading.Event()

        reading = threading.Lock()

        def read() -> None:
            with reading:
                for sink in (one, two):
                    got.update(levels_of("\n".join(sink.packets())).counts)

        def change() -> None:
            for number in range(200):
                client.set_period((0.001, 0)[number % 2])
                client.set_prefix(("a", "b")[number % 2])
                client.set_address((one, two)[number % 2].address)
                read()
            over.set()

        calls = [0, 0]

        def work(place: int) -> None:
            while not over.is_set():
                client.count("c")
                calls[place] += 1
                if calls[place] % 10 == 0:
                    read()
                if place == 0:
                    client.flush()

        together(change, lambda: work(0), lambda: work(1))
        client.flush()
        read()
        assert (sum(got.values()), client.lost) == (sum(calls), {})


@pytest.mark.parametrize("period", [0, 60])
@pytest.mark.parametrize("dialect", ["statspout", "flux", "dogstatsd"])
def test_a_signal_handler_may_report_in_the_middle_of_a_report(period: float, dialect: str) -> None:
    handled = 0

    def handler(*_: object) -> None:
        nonlocal handled
        handled += 1
        client.count("c")
        client.gauge_inc("g")

    with Sink() as sink, StatsD(sink.address, period=period, dialect=dialect) as client:
        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
        levels, number = Levels(), 0
        try:
            while handled < 200:
                number += 1
                client.count("c")
                client.gauge_inc("g")
                if number % 50 == 0:
                    levels.take("\n".join(sink.packets()).replace("|C", "|g"))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        client.flush()
        levels.take("\n".join(sink.packets()).replace("|C", "|g"))
        assert levels.gauges["g"] == number + handled
        assert levels.gauges.get("c", levels.counts["c"]) == number + handled
        assert client.lost == {}


LOADED = """
from statspout.client import StatsD
client = StatsD(sys.argv[1], period=0)
before = set(sys.modules)
client.count("c"), client.gauge_set("g", 1.5), client.timing("t", 2), client.set("s", "x"), client.histogram("h", 3)
print(*sorted(set(sys.modules) - before))
"""


def test_a_report_loads_nothing_that_a_signal_could_find_half_loaded() -> None:
    with Sink() as sink:
        script = f"import sys; sys.path[:0] = {sys.path!r}\n{LOADED}"
        told = subprocess.run([sys.executable, "-c", script, sink.address], check=True, capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("\n", "")


def test_values_that_came_too_fast_for_their_period_are_still_told_at_its_end() -> None:
    with StreamSink() as sink, StatsD(sink.address, period=0.001) as client:

        def work() -> None:
            for _ in range(CALLS):
                client.timing("t", 7)

        writers = threading.Thread(target=together, args=[work] * THREADS)
        writers.start()
        told = 0
        # Nobody flushes or closes: each value comes by the clock, or the socket's patience ends.
        with sink.connection() as connection:
            while told < THREADS * CALLS:
                told += connection.recv(65536).count(b"7")
        writers.join()
        assert (told, client.lost) == (THREADS * CALLS, {})


def test_who_sends_for_another_thread_looks_whether_it_left_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink() as sink, StatsD(sink.address, period=0, dialect="flux") as client:
        fold = client._outbox._fold

        def and_meanwhile() -> None:
            fold()
            monkeypatch.undo()
            together(lambda: client.count("late"))

        monkeypatch.setattr(client._outbox, "_fold", and_meanwhile)
        client.flush()
        assert sink.lines() == ["late:1|C"]


def test_of_the_channels_that_threads_change_to_at_the_same_time_none_is_left_behind() -> None:
    with StreamSink() as stream, Sink() as sink, StatsD(sink.address) as client:
        before = set(threading.enumerate())

        def change() -> None:
            for number in range(20):
                client.set_address((sink, stream)[number % 2].address)
                client.count("c")

        together(*[change] * THREADS)
        client.close(10)
        for thread in set(threading.enumerate()) - before:
            thread.join(5)
            assert not thread.is_alive(), thread.name
