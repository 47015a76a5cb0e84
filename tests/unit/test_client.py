"""The client as an application has it: what calls become, one at a time and summed up."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from support.lines import Sink

from statspout.client import StatsD, losses, tables


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment, and nothing said yet."""
    for name in ("STATSPOUT_CLIENT_STATSD", "STATSPOUT_CLIENT_DIALECT", "FLUX_FRIPP_STATSD", "FLUX_TASK_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(losses, "_said", set())


@pytest.fixture(params=[0, 60], ids=["immediate", "aggregated"])
def client(sink: Sink, request: pytest.FixtureRequest) -> Iterator[StatsD]:
    with StatsD(sink.address, period=request.param) as client:
        yield client


def at_once(sink: Sink, **settings: Any) -> StatsD:
    return StatsD(sink.address, period=0, **settings)


def summed(sink: Sink, **settings: Any) -> StatsD:
    return StatsD(sink.address, period=60, **settings)


Calls = Callable[[Any], object]
"""What is done with a client, right or wrong: nothing is said about its types."""

ONE_CALL: list[tuple[Calls, list[str]]] = [
    (lambda c: c.count("a"), ["a:1|c"]),
    (lambda c: c.count("a", -2), ["a:-2|c"]),
    (lambda c: c.count("a", 2.5), ["a:2.5|c"]),
    (lambda c: c.gauge_set("a", 5), ["a:5|g"]),
    (lambda c: c.gauge_set("a", -5), ["a:0|g", "a:-5|g"]),
    (lambda c: c.gauge_set("a", -0.0), ["a:0|g"]),
    (lambda c: c.gauge_inc("a"), ["a:+1|g"]),
    (lambda c: c.gauge_inc("a", 0), ["a:+0|g"]),
    (lambda c: c.gauge_inc("a", -2), ["a:-2|g"]),
    (lambda c: c.gauge_dec("a", 2), ["a:-2|g"]),
    (lambda c: c.gauge_dec("a", -2), ["a:+2|g"]),
    (lambda c: c.timing("a", 0.25), ["a:0.25|ms"]),
    (lambda c: c.timing("a", 1e-7), ["a:0.0000001|ms"]),
    (lambda c: c.histogram("a", 10**17), ["a:100000000000000000|h"]),
    (lambda c: c.distribution("a", 1e17), ["a:100000000000000000|d"]),
    (lambda c: c.set("a", 7), ["a:7|s"]),
    (lambda c: c.set("a", "é b:c|%"), ["a:é%20b%3Ac%7C%25|s"]),
    (lambda c: c.count("a b/c:d", tags={"k": "v"}), ["a_b_c_d:1|c|#k:v"]),
    (lambda c: c.count("a", tags={"z": "1", "k": "v"}), ["a:1|c|#k:v,z:1"]),
    (lambda c: c.count("a", True), ["a:1|c"]),
    (lambda c: c.gauge_set("a", Decimal("1.5")), ["a:1.5|g"]),
    (lambda c: c.gauge_set("a", Fraction(1, 4)), ["a:0.25|g"]),
]  # fmt: skip


@pytest.mark.parametrize(("call", "lines"), ONE_CALL)
def test_one_call_is_one_line_in_either_mode(client: StatsD, sink: Sink, call: Calls, lines: list[str]) -> None:
    call(client)
    assert (sink.sent_by(client), client.lost) == (lines, {})


SUMMED: list[tuple[Calls, list[str]]] = [
    (lambda c: [c.count("a", n) for n in (1, 2, 3)], ["a:6|c"]),
    (lambda c: [c.count("a", 0.1) for _ in range(10)], ["a:1|c"]),
    (lambda c: [c.count("a", n) for n in (1, -1)], []),
    (lambda c: [c.count("a", tags={"k": v}) for v in "xyx"], ["a:2|c|#k:x", "a:1|c|#k:y"]),
    (lambda c: [c.count("a", tags=t) for t in ({"x": "1", "y": "2"}, {"y": "2", "x": "1"})], ["a:2|c|#x:1,y:2"]),
    (lambda c: [c.count("a", tags={"k": v}) for v in (1, True, "1")], ["a:2|c|#k:1", "a:1|c|#k:True"]),
    (lambda c: [c.count("a", rate=0.1) for _ in range(50)], ["a:50|c"]),
    (lambda c: [c.gauge_inc("a", n) for n in (5, -2, 1)], ["a:+4|g"]),
    (lambda c: [c.gauge_inc("a", n) for n in (5, -5)], ["a:+0|g"]),
    (lambda c: [c.gauge_set("a", n) for n in (5, 3)], ["a:3|g"]),
    (lambda c: [c.gauge_inc("a", 7), c.gauge_set("a", 5), c.gauge_dec("a", 2)], ["a:3|g"]),
    (lambda c: [c.gauge_set("a", 1), c.gauge_dec("a", 2)], ["a:0|g", "a:-1|g"]),
    (lambda c: [c.timing("a", n) for n in (1, 2.5, 1)], ["a:1:2.5:1|ms"]),
    (lambda c: [c.set("a", v) for v in ("x", 1, "1", "x")], ["a:x|s", "a:1|s"]),
    (lambda c: [c.count("a"), c.gauge_set("a", 2), c.timing("a", 3)], ["a:1|c", "a:2|g", "a:3|ms"]),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "lines"), SUMMED)
def test_the_calls_of_a_period_are_summed_up(sink: Sink, calls: Calls, lines: list[str]) -> None:
    with summed(sink) as client:
        calls(client)
        assert (sink.lines(), sink.sent_by(client), sink.sent_by(client)) == ([], lines, [])


@pytest.mark.parametrize(
    ("dialect", "lines"),
    [
        ("statspout", ["a:3|c|#k:v", "g:+3|g", "t:1:2|ms", "h:1|h", "d:1|d", "s:x|s"]),
        ("etsy", ["a;k=v:3|c", "g:+3|g", "t:1|ms", "t:2|ms", "h:1|ms", "d:1|ms", "s:x|s"]),
        ("brubeck", ["a.k.v:3|c", "g:+3|g", "t:1|ms", "t:2|ms", "h:1|h", "d:1|h"]),
        ("flux", ["a.k.v:3|C", "g:+3|g", "t:1|ms", "t:2|ms", "h:1|h", "d:1|h"]),
        ("gostatsd", ["a:3|c|#k:v", "g:3|g", "t:1|ms", "t:2|ms", "h:1|h", "d:1|h", "s:x|s"]),
        ("telegraf", ["a,k=v:3|c", "g:+3|g", "t:1|ms", "t:2|ms", "h:1|h", "d:1|d", "s:x|s"]),
        ("dogstatsd", ["a:3|c|#k:v", "g:3|g", "t:1:2|ms", "h:1|h", "d:1|d", "s:x|s"]),
        ("signalfx", ["a[k=v]:3|c", "g:+3|g", "t:1|ms", "t:2|ms", "h:1|h", "d:1|d"]),
    ],
)
def test_every_dialect_says_it_in_its_own_way(sink: Sink, dialect: str, lines: list[str]) -> None:
    with summed(sink, dialect=dialect) as client:
        client.count("a", 3, tags={"k": "v"})
        client.gauge_inc("g", 3)
        client.timing("t", 1)
        client.timing("t", 2)
        client.histogram("h", 1)
        client.distribution("d", 1)
        client.set("s", "x")
        unsupported = {} if "s:x|s" in lines else {"unsupported": 1}
        assert (sink.sent_by(client), client.lost) == (lines, unsupported)


@pytest.mark.parametrize("period", [0, 60])
@pytest.mark.parametrize("dialect", ["gostatsd", "dogstatsd"])
def test_where_gauges_take_no_changes_the_client_keeps_their_level(sink: Sink, dialect: str, period: float) -> None:
    with StatsD(sink.address, dialect=dialect, period=period) as client:
        told = []
        for method, value in (
            (client.gauge_inc, 2),
            (client.gauge_dec, 5),
            (client.gauge_set, 9),
            (client.gauge_inc, 1),
        ):
            method("g", value)
            told += sink.sent_by(client)
    assert told == ["g:2|g", "g:-3|g", "g:9|g", "g:10|g"]


@pytest.mark.parametrize("period", [0, 60])
def test_an_absolute_count_is_the_total_since_the_start(sink: Sink, period: float) -> None:
    with StatsD(sink.address, dialect="flux", period=period) as client:
        told = []
        for value in (2, 3, -1):
            client.count("a", value, rate=0.5)
            told += sink.sent_by(client)
        assert (told, client.lost) == (["a:2|C", "a:5|C"], {"bad_value": 1})


class Broken:
    """A value whose every use fails."""

    def __float__(self) -> float:
        raise RuntimeError("broken")

    __index__ = __str__ = __neg__ = __hash__ = __float__  # type: ignore[assignment]


class Unspeakable(Broken, Exception):
    """What it raises has no text either."""

    def __float__(self) -> float:
        raise Unspeakable

    __index__ = __str__ = __repr__ = __neg__ = __hash__ = __float__  # type: ignore[assignment]


BAD: list[Calls] = [
    lambda c: c.count("a", float("nan")),
    lambda c: c.gauge_set("a", float("-inf")),
    lambda c: c.gauge_dec("a", float("inf")),
    lambda c: c.timing("a", "5"),
    lambda c: c.gauge_dec("a", "5"),
    lambda c: c.gauge_set("a", None),
    lambda c: c.histogram("a", 1j),
    lambda c: c.distribution("a", Broken()),
    lambda c: c.set("a", Broken()),
    lambda c: c.set("a", ""),
    lambda c: c.count(""),
    lambda c: c.count("..."),
    lambda c: c.count(None),
    lambda c: c.count(["a"]),
    lambda c: c.count(b"a"),
    lambda c: c.count("a", rate=0),
    lambda c: c.count("a", rate=1.5),
    lambda c: c.timing("a", 1, rate=float("nan")),
    lambda c: c.count("a", rate="1"),
    lambda c: c.count("a", tags=["k:v"]),
    lambda c: c.count("a", tags={"k": Broken()}),
    lambda c: c.count("a", 10**5000),
    lambda c: c.count("a", -(10**309)),
    lambda c: c.count("a", Unspeakable()),
    lambda c: c.set("a", Unspeakable()),
    lambda c: c.timing("a", 1, tags={"k": Unspeakable()}),
]


@pytest.mark.parametrize("call", BAD)
def test_what_is_no_number_or_no_name_is_counted_never_sent_and_never_raised(
    client: StatsD, sink: Sink, call: Calls
) -> None:
    call(client)
    client.count("good")
    assert (sink.sent_by(client), client.lost) == (["good:1|c"], {"bad_value": 1})


def test_a_sum_that_no_number_can_be_costs_that_series_only(sink: Sink) -> None:
    with summed(sink) as client:
        client.count("a", 1e308)
        client.count("a", 1e308)
        client.count("b")
        assert (sink.sent_by(client), client.lost) == (["b:1|c"], {"bad_value": 2})


@pytest.mark.parametrize(("dialect", "lines"), [("dogstatsd", ["t:1:2|ms"]), ("etsy", ["t:1|ms", "t:2|ms"])])
def test_a_number_that_has_no_digits_costs_no_other_of_its_series(sink: Sink, dialect: str, lines: list[str]) -> None:
    with summed(sink, dialect=dialect) as client:
        for value in (1, 10**5000, 2):
            client.timing("t", value)
        assert ([line.partition("|c:")[0] for line in sink.sent_by(client)], client.lost) == (lines, {"bad_value": 1})


@pytest.mark.parametrize("call", ["count", "gauge_inc", "timing", "histogram"])
def test_a_number_that_cannot_be_sent_costs_none_of_its_series(sink: Sink, call: str) -> None:
    with summed(sink) as client:
        for value in (5, 10**5000, float("nan"), 6):
            getattr(client, call)("a", value)
        lines = sink.sent_by(client)
        assert client.lost == {"bad_value": 2}
    assert lines[0].partition("|")[0] in ("a:11", "a:+11", "a:5:6")


@pytest.mark.parametrize("change", ["set_address", "set_period", "set_prefix"])
@pytest.mark.parametrize("value", [b"x:1", 10**5000, Unspeakable(), ["a"]], ids=["bytes", "huge", "broken", "list"])
def test_a_change_to_what_can_never_be_changes_nothing(sink: Sink, change: str, value: Any) -> None:
    with at_once(sink) as client:
        getattr(client, change)(value)
        client.count("a")
    assert sink.lines() == ["a:1|c"]


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy])
def test_what_has_a_client_can_be_copied_and_its_end_is_not_that_of_the_client(
    client: StatsD, sink: Sink, made: Callable[[Any], Any]
) -> None:
    assert made({"stats": client}) == {"stats": client}
    made(client).count("a")
    gc.collect()
    client.count("b")
    assert sink.sent_by(client) == ["a:1|c", "b:1|c"]


def test_a_client_cannot_be_pickled_and_says_what_to_do(client: StatsD) -> None:
    with pytest.raises(TypeError, match="make one in the process that uses it"):
        pickle.dumps(client)


def test_a_flush_may_wait_without_an_end(client: StatsD, sink: Sink) -> None:
    client.count("a")
    assert client.flush(float("inf"))
    client.close(float("inf"))
    assert sink.lines() == ["a:1|c"]


def test_every_kind_of_loss_is_said_once(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    with at_once(sink) as client:
        for _ in range(3):
            client.count("a", float("nan"))
    assert client.lost == {"bad_value": 3}
    why = "ValueError: nan is not a number that can be sent"
    assert [record.message for record in caplog.records] == [
        f"StatsD: lost from now on, counted as bad_value: {losses.MEANINGS['bad_value']}: {why}"
    ]


def test_packets_are_whole_lines_up_to_the_size(sink: Sink) -> None:
    with summed(sink, packet_size=100) as client:
        for number in range(50):
            client.gauge_set(f"name-{number}", -1)
        client.flush()
        packets = sink.packets()
    assert max(map(len, packets)) <= 100
    assert "\n".join(packets).splitlines() == [f"name-{n}:{v}|g" for n in range(50) for v in (0, -1)]
    # What sets a negative level is one packet: what is between would be seen by others.
    assert all(packet.count(":0|") == packet.count(":-1|") for packet in packets)


def test_values_of_one_line_are_split_where_the_packet_is_full(sink: Sink) -> None:
    with summed(sink, packet_size=64) as client:
        for number in range(100, 150):
            client.timing("t", number, tags={"k": "é"})
        lines = sink.sent_by(client)
    assert max(len(line.encode()) for line in lines) <= 64
    assert ":".join(line.removeprefix("t:").removesuffix("|ms|#k:é") for line in lines) == ":".join(
        map(str, range(100, 150))
    )


def test_a_line_that_fits_into_no_packet_is_counted(sink: Sink, client: StatsD) -> None:
    client.count("a" * 1428)
    client.count("b" * 1430)
    assert ([len(line) for line in sink.sent_by(client)], client.lost) == ([1432], {"too_long": 1})


@pytest.mark.parametrize("call", ["timing", "set", "count", "gauge_inc"])
def test_no_series_keeps_more_than_its_limit_and_nothing_is_lost(sink: Sink, call: str) -> None:
    with summed(sink) as client:
        told = []
        for number in range(5000):
            getattr(client, call)("a", number)
            told += sink.lines()
            assert all(len(series.values) <= 1000 for series in client._tables._all.values())
        told += sink.sent_by(client)
    values = [float(value) for line in told for value in line.partition(":")[2].partition("|")[0].split(":")]
    assert sum(values) == sum(range(5000))
    assert len(values) == (5000 if call in ("timing", "set") else 1)


def test_more_series_than_are_kept_apart_are_counted(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SERIES", 10)
    with summed(sink) as client:
        for number in range(12):
            client.count(f"n{number}")
        assert client.lost == {"too_many_series": 2}
        assert client.enabled("n9")
        assert not client.enabled("n10")
        assert len(sink.sent_by(client)) == 10
        client.count("n11")  # those that are idle make room
        assert (sink.sent_by(client), client.lost) == (["n11:1|c"], {"too_many_series": 2})


def test_a_level_that_only_the_client_knows_never_makes_room(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SERIES", 3)
    with at_once(sink, dialect="dogstatsd") as client:
        client.gauge_set("g", 5)
        for number in range(20):
            client.count(f"n{number}")
        client.gauge_inc("g")
        assert (sink.lines()[-1], client.lost) == ("g:6|g", {})


def test_a_rate_sends_that_part_and_says_so(sink: Sink) -> None:
    with at_once(sink) as client:
        sent: Counter[str] = Counter()
        for _ in range(2000):
            client.count("a", rate=0.25)
            client.timing("t", 3, rate=0.5, tags={"k": "v"})
            sent.update(sink.lines())
    assert sent.keys() == {"a:1|c|@0.25", "t:3|ms|@0.5|#k:v"}
    # Within eight standard deviations.
    assert sent["a:1|c|@0.25"] == pytest.approx(500, abs=155)
    assert sent["t:3|ms|@0.5|#k:v"] == pytest.approx(1000, abs=180)


def test_timings_at_a_rate_are_sampled_where_they_are_summed_up_too(sink: Sink) -> None:
    with summed(sink) as client:
        for _ in range(900):
            client.timing("t", 3, rate=0.5)
        lines = sink.sent_by(client)
    assert all(line.endswith("|ms|@0.5") for line in lines)
    assert 300 < sum(line.count(":") for line in lines) < 600  # 450, give or take ten standard deviations


def test_tags_of_the_client_are_on_everything_and_a_call_goes_before_them(sink: Sink) -> None:
    with at_once(sink, tags={"env": "prod", "a": "1"}) as client:
        client.count("x")
        client.count("x", tags={"env": "test"})
    assert sink.lines() == ["x:1|c|#a:1,env:prod", "x:1|c|#a:1,env:test"]


# prefixes


@pytest.mark.parametrize(
    ("settings", "environ", "line"),
    [
        ({}, {}, "x:1|c"),
        ({"rank": 3}, {}, "flux.3.x:1|c"),
        ({}, {"FLUX_TASK_RANK": "7"}, "flux.7.x:1|c"),
        ({"rank": 0}, {"FLUX_TASK_RANK": "7"}, "flux.0.x:1|c"),
        ({"prefix": "flux.{rank}.content-cache", "rank": 3}, {}, "flux.3.content-cache.x:1|c"),
        ({"prefix": "{APP}.{role}", "role": "web one"}, {"APP": "shop"}, "shop.web_one.x:1|c"),
        ({"prefix": "app."}, {}, "app.x:1|c"),
        ({"prefix": "", "rank": 3}, {}, "x:1|c"),
        ({"prefix": "{nowhere}", "rank": 3}, {}, "flux.3.x:1|c"),
        ({"prefix": "flux.{{rank}}.x", "rank": 3}, {}, "flux.3.x.x:1|c"),
        ({"prefix": "x" * 128}, {}, "x:1|c"),
        ({"prefix": "y" * 33, "packet_size": 64}, {}, "x:1|c"),
    ],
)
def test_a_prefix_is_filled_in_and_put_before_every_name(
    sink: Sink, settings: dict[str, Any], environ: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with at_once(sink, **settings) as client:
        client.count("x")
    assert sink.lines() == [line]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("x" * 128, "prefix xxxxxxxxxxxxxxxxxxxx...: 128 characters, 127 are the most; the prefix stays 'old'"),
        (
            "a.{who}",
            "prefix 'a.{who}': there is no value and no environment variable for {who}; the prefix stays 'old'",
        ),
    ],
)
def test_a_prefix_that_cannot_be_is_ignored_and_said_once(
    sink: Sink, template: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with at_once(sink, prefix="old") as client:
        client.set_prefix(template)
        client.set_prefix(template)
        client.count("x")
        client.set_prefix("new.{who}", who="me")
        client.count("x")
    assert sink.lines() == ["old.x:1|c", "new.me.x:1|c"]
    assert [record.message for record in caplog.records] == [said]


def test_what_was_reported_before_a_new_prefix_keeps_its_name(sink: Sink) -> None:
    with summed(sink) as client:
        client.count("x")
        client.set_prefix("new")
        client.count("x", 2)
        assert sink.sent_by(client) == ["x:1|c", "new.x:2|c"]


# on, off, when


def test_nothing_is_sent_and_nothing_kept_without_an_address() -> None:
    client = StatsD()
    for call, _ in ONE_CALL:
        call(client)
    for call in BAD:
        call(client)
    with client.timer("t"):
        pass
    assert (client.enabled(), client.enabled("a"), client.lost, client._tables._all) == (False, False, {}, {})
    assert client.flush()
    client.close()


def test_a_metric_is_enabled_once_it_is_collected(client: StatsD) -> None:
    assert client.enabled()
    assert not client.enabled("a")
    client.count("a", tags={"k": "v"})
    client.count("b", float("nan"))
    assert client.enabled("a")
    assert not client.enabled("c")
    client.close()
    assert not client.enabled("a")


def test_the_address_can_be_changed_and_taken_away(client: StatsD, sink: Sink) -> None:
    with Sink() as other:
        client.count("first")
        client.set_address(other.address)
        client.count("second")
        client.set_address(None)
        client.count("nobody")
        assert not client.enabled()
        client.set_address(sink.address)
        client.count("third")
        assert (sink.sent_by(client), other.lines()) == (["first:1|c", "third:1|c"], ["second:1|c"])
    assert client.lost == {}


def test_levels_are_unknown_after_the_client_was_off(sink: Sink) -> None:
    with at_once(sink, dialect="dogstatsd") as client:
        client.gauge_set("g", 5)
        client.set_address(None)
        client.gauge_set("g", 9)
        client.set_address(sink.address)
        client.gauge_inc("g", 1)
    assert sink.lines() == ["g:5|g", "g:1|g"]


def test_an_address_that_cannot_be_is_ignored_while_it_runs(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    with at_once(sink) as client:
        client.set_address("nonsense")
        client.count("x")
    assert sink.lines() == ["x:1|c"]
    assert "parse error: missing colon" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"address": "nonsense"}, "missing colon delimiter in 'nonsense': host:port is right"),
        ({"dialect": "morse"}, "no such dialect 'morse': there are statspout, etsy, "),
        ({"packet_size": 20}, "packet size 20: 64 to 65507 bytes are right"),
        ({"period": float("nan")}, "nan is not a number that can be sent"),
    ],
)
def test_a_mistake_in_the_code_is_said_where_it_is_made(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace("(", r"\(")):
        StatsD(**{"address": "127.0.0.1:1", **settings})


def test_a_period_ends_by_itself_and_no_thread_wakes_without_need(sink: Sink) -> None:
    with StatsD(sink.address, period=0.01) as client:
        assert client._outbox._thread is None
        client.count("a")
        client.count("a")
        assert sink.next() in ("a:2|c", "a:1|c\na:1|c")
        while client._outbox._active or client._outbox._folding.locked():
            time.sleep(0.001)
        client.count("b")
        assert sink.next() == "b:1|c"
        thread = client._outbox._thread
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


def test_no_thread_runs_where_every_call_is_sent_at_once(sink: Sink) -> None:
    before = threading.active_count()
    with at_once(sink) as client:
        for call, _ in ONE_CALL:
            call(client)
        assert threading.active_count() == before


def test_a_period_of_nothing_sends_what_is_pending_and_then_at_once(sink: Sink) -> None:
    with summed(sink) as client:
        client.count("a")
        client.set_period(0)
        client.count("b")
        assert sink.lines() == ["a:1|c", "b:1|c"]
        client.set_period(60)
        client.count("c")
        assert sink.lines() == []
        client.set_period(float("nan"))
        assert client._outbox.period == 60
        assert sink.sent_by(client) == ["c:1|c"]


def test_a_client_that_nobody_has_any_more_has_sent_all_and_left_no_thread(sink: Sink) -> None:
    client = summed(sink)
    client.count("a")
    thread = client._outbox._thread
    del client
    assert sink.lines() == ["a:1|c"]
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()


def test_a_log_handler_that_reports_itself_is_no_circle(sink: Sink) -> None:
    client = summed(sink)

    class Reporting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            client.count("log", float("nan"))
            client.count("log")

    handler = Reporting()
    logging.getLogger("statspout.client").addHandler(handler)
    try:
        client.count("a", float("nan"))
        assert (sink.sent_by(client), client.lost) == (["log:1|c"], {"bad_value": 2})
    finally:
        client.close()
        logging.getLogger("statspout.client").removeHandler(handler)


# timers


def timings(lines: list[str]) -> list[float]:
    return [float(line.removeprefix("t:").removesuffix("|ms")) for line in lines]


def test_a_timer_reports_what_is_in_a_with_also_when_that_fails(sink: Sink) -> None:
    with at_once(sink) as client:
        with client.timer("t") as timer:
            assert timer.ms is None
        with pytest.raises(KeyError), client.timer("t"):
            raise KeyError
    first, second = timings(sink.lines())
    assert first == timer.ms
    assert second > 0


def test_a_timer_before_a_function_keeps_what_it_is_and_what_it_does(sink: Sink) -> None:
    with at_once(sink) as client:

        @client.timer("t")
        def half(value: int) -> float:
            """Half of it."""
            return 1 / value

        assert (half(2), half.__name__, half.__doc__) == (0.5, "half", "Half of it.")
        with pytest.raises(ZeroDivisionError):
            half(0)
        assert len(timings(sink.lines())) == 2


def test_a_timer_of_a_coroutine_times_its_waiting_and_the_loop_goes_on(sink: Sink) -> None:
    client = at_once(sink)

    async def run() -> None:
        both = asyncio.Barrier(2)

        @client.timer("t")
        async def meet() -> str:
            await both.wait()  # two at a time, with one timer
            return "met"

        assert {*await asyncio.gather(meet(), meet())} == {"met"}
        async with client.timer("t"):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert len(timings(sink.lines())) == 3
