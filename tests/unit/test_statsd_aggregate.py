"""What lines come to at the end of an interval, and what is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from statspout.sample import Container, Metric, Summary
from statspout.sources.apps.statsd.aggregate import Aggregator, Origin
from statspout.sources.apps.statsd.lines import LONGEST_LINE
from statspout.sources.apps.statsd.summary import Percentile
from statspout.telemetry import Heard


class Server:
    """An aggregator, whose intervals are 10 s of a clock that stands still between them."""

    def __init__(self, **options: Any) -> None:
        self.heard = Heard()
        self.running: dict[str, Container] = {}
        self.aggregator = Aggregator(
            self.heard,
            percentiles=[Percentile("50"), Percentile("99.9")],
            named=lambda sender: sender.container,
            look_up=lambda container_id: self.running.get(container_id),
            **options,
        )
        self.origin = Origin()
        self.now = 0.0

    def feed(self, *packets: bytes, origin: Origin | None = None) -> None:
        for packet in packets:
            self.aggregator.feed(packet, origin or self.origin, 7)

    def flush(self, seconds: float = 10.0) -> list[Metric]:
        self.now += seconds
        slices = self.aggregator.flush(round(self.now * 1e9), self.now, seconds, "here")
        return [metric for metrics in slices for metric in metrics]

    def values(self, *packets: bytes) -> dict[str, Any]:
        """What these packets come to, by name."""
        self.feed(*packets)
        return {metric.name: metric.value for metric in self.flush()}


# Each is a packet, and what its lines come to whether they are read one by one, or together.
COMES_TO: list[tuple[bytes, dict[str, Any]]] = [
    (b"a:1|c\na:2|c\na:1|c|@0.1", {"a": 13}),
    (b"a:-1|c\na:+2|c\na:0.5|c", {"a": 1.5}),
    (b"a:1:2:3|c", {"a": 6}),
    (b"a:1|c:2|c", {"a": 3}),
    (b"a:0|c", {"a": 0}),
    (b"a:5|g\na:3|g", {"a": 3}),
    (b"a:0|g\na:-5|g", {"a": -5}),
    (b"a:-5|g", {"a": -5}),
    (b"a:5|g\na:+3|g\na:-1|g\na:0.5|g\na:+1|g", {"a": 1.5}),
    (b"a:1:+2:+3|g", {"a": 6}),
    (b"a:5|g\na:+1|g|@0.5\na:+1|g", {"a": 7}),
    (b"a:x|s\na:y|s\na:x|s", {"a": 2}),
    (b"a:x:1|s\na:" + b"y" * 99 + b"|s\na:" + b"y" * 99 + b"|s", {"a": 2}),
    (b"a:5|C\na:7|C\na:7|C\na:3|C", {"a": 5}),
    (b"a:5|C", {}),
    (b"a:x|c\na:1_0|c\na:|c", {}),
    (b"a:1|c\na:x|c\na:1:x|c\na: 2|c\na:" + b"9" * 5000 + b"|c", {"a": 1}),
    (b"a:1|g\na:x|g\na:nan|g\na:1_0|g", {"a": 1}),
    (b"a:1|C\na:-5|C\na:3|C", {"a": 2}),
    (b"a:1e308|c\na:1e308|c", {}),
    (b"a:1e308|g\na:+1e308|g", {"a": 1e308}),
    (b"a:1e308|ms\na:1e308|ms", {}),
    (b"a:9223372036854775|c\na:999999999999999999|c|#", {"a": 1009223372036854774}),
]


@pytest.mark.parametrize(("packet", "values"), COMES_TO)
@pytest.mark.parametrize("known", [False, True])
def test_lines_come_to(packet: bytes, values: dict[str, Any], known: bool) -> None:
    server = Server(keep=0.0)
    if known:
        # What is known goes the short way: the series are remembered, and then have nothing of their own.
        types = {b"s": b"z", b"g": b"0"}
        for line in packet.split(b"\n"):
            kind = line.rpartition(b"|")[2] if b"@" not in line else line.split(b"|")[1]
            server.feed(b"a:" + types.get(kind, b"0") + b"|" + kind)
        server.flush()
        if b"|C" in packet:
            server = Server(keep=0.0)  # A baseline of 0 would be another one.
    assert server.values(packet) == values


def test_a_timer_is_weighted_by_its_rate() -> None:
    value = Server().values(b"a:10|ms\na:20|ms|@0.25\na:40|ms")["a"]
    assert isinstance(value, Summary)
    assert (value.count, value.sum, value.min, value.max) == (6, 130, 10, 40)
    assert value.mean == pytest.approx(130 / 6)
    assert value.percentiles == {"50": 20, "99.9": 40}


def test_what_differs_in_name_type_tags_or_container_is_another_series_with_another_key() -> None:
    server = Server()
    server.feed(b"a:1|c\na:1|C\na:3|C\na:1|g\na:1|ms\na:1|h\na:1|s\na:1|c|#k:v\na:1|c|c:x\nb:1|c\n_e{1,1}:a|b\n_sc|a|1")
    keys = [metric.key for metric in server.flush()]
    assert len(keys) == len(set(keys)) == 11


def test_the_order_of_tags_and_their_style_do_not_make_a_series() -> None:
    server = Server()
    server.feed(b"a:1|c|#x:1,y:2\na:1|c|#y:2,x:1\na,x=1,y=2:1|c\na;y=2;x=1:1|c\na:1|d\na:1|h")
    assert sorted((m.kind, str(m.tags)) for m in server.flush()) == [
        ("counter_delta", "{'x': '1', 'y': '2'}"), ("histogram", "{}")
    ]  # fmt: skip


def test_a_counter_that_was_not_touched_is_absent_and_a_gauge_is_repeated_while_it_is_kept() -> None:
    server = Server(keep=15.0)
    server.feed(b"c:1|c\ng:5|g\nt:1|ms\ns:x|s\nC:1|C\nC:4|C")
    assert len(server.flush()) == 5
    assert [(m.name, m.value) for m in server.flush()] == [("g", 5)]
    assert server.flush() == []
    # It is not told any more, and not forgotten: a change of it is one of what it was.
    assert server.values(b"g:+1|g\nC:6|C") == {"g": 6, "C": 2}
    assert server.heard.series == 2


def test_a_gauge_ends_with_its_container_and_a_value_that_came_before_does_not() -> None:
    server, container = Server(), Container(id="x", name="web", started_at=1)
    server.running["x"] = container
    server.feed(b"g:5|g|c:x")
    assert server.flush()[0].container == container
    server.feed(b"c:1|c|c:x")
    del server.running["x"]
    assert [(m.name, m.container) for m in server.flush()] == [("c", container)]
    assert server.flush() == []


def test_a_gauge_does_not_outlive_a_restart() -> None:
    server = Server()
    server.running["x"] = Container(id="x", name="web", started_at=1)
    assert server.values(b"g:5|g|c:x") == {"g": 5}
    server.running["x"] = Container(id="x", name="web", started_at=2)
    assert server.flush() == []


def test_a_container_that_becomes_known_later_is_named_then() -> None:
    server = Server()
    server.feed(b"g:5|g", origin=Origin("x"))
    assert [m.container for m in server.flush()] == [None]
    server.running["x"] = Container(id="x", name="web")
    assert [m.container and m.container.name for m in server.flush()] == ["web"]


def test_values_with_a_time_are_records_of_that_time() -> None:
    server = Server()
    server.feed(b"c:1|c|T5\nc:2|c|T5|@0.5\nc:1|c|T6\ng:1|g|T5\ng:-2|g|T5\nc:9|c")
    found = [(m.name, m.time_ns // 10**9, m.value, m.interval_s) for m in server.flush()]
    assert found == [("c", 10, 9, 10.0), ("c", 5, 5, None), ("c", 6, 1, None), ("g", 5, -2, None)]


def test_what_comes_to_more_than_a_number_can_be_at_a_time_of_its_own_is_absent_and_counted() -> None:
    server = Server()
    server.feed(b"a:1e308|c|T5\na:1e308|c|T5\na:1|c|T6", *(b"b:999999999999999999|c|T5" for _ in range(12)))
    a, b = server.flush()
    assert (a.name, a.value, a.time_ns, server.heard.left_out) == ("a", 1, 6 * 10**9, {"range": 1})
    assert repr(b.value) == repr(12e18)


def test_an_event_is_a_text_and_a_check_a_gauge_with_its_message() -> None:
    server = Server()
    server.feed(b"_e{2,4}:up|a\\nb|t:error|h:web|#k:v\n_sc|db|1|d:9|m:slow")
    event, check = server.flush()
    assert (event.kind, event.name, event.value, event.time_ns) == ("text", "up", "a\nb", 7)
    assert event.own_tags() == {"host": "here", "exported_host": "web", "alert_type": "error", "k": "v"}
    assert (check.kind, check.name, check.value, check.context, check.time_ns) == ("gauge", "db", 1, "slow", 9 * 10**9)


def test_values_of_more_series_than_there_may_be_are_counted_and_drive_nobody_out() -> None:
    server = Server(most=3)
    server.feed(b"a:1|c\nb:1|c\nc:1|c\nd:1|c\nd:1|c\na:1|c")
    assert {m.name: m.value for m in server.flush()} == {"a": 2, "b": 1, "c": 1}
    assert server.heard.left_out == {"series": 2}
    assert server.values(b"e:1|c\nf:1|c\na:1|c") == {"a": 1}
    assert server.heard.left_out == {"series": 4}
    assert server.values(b"e:1|c\nf:1|c\na:1|c") == {"e": 1, "f": 1, "a": 1}


def test_a_sleeping_gauge_makes_room_and_one_that_is_told_does_not() -> None:
    server = Server(most=2, keep=15.0)
    server.values(b"a:1|g")
    assert server.values(b"b:1|g\nc:1|g") == {"a": 1, "b": 1}
    server.values(b"b:1|g")
    assert server.values(b"b:1|g\nc:1|g") == {"b": 1, "c": 1}


def test_garbage_is_counted_and_leaves_nothing_behind() -> None:
    server = Server()
    server.feed(b"a:1|c\n\nx\ny:1|z\nz:q|c\n\r\n")
    assert (server.heard.lines, dict(server.heard.bad)) == (4, {"name": 1, "type": 1, "value": 1})
    assert [name for names in server.origin.cache.values() for name in names] == [b"a"]
    server.flush()
    server.flush()
    assert (server.origin.cache, server.heard.series) == ({}, 0)


def test_rates_and_orders_without_end_are_not_remembered() -> None:
    server = Server()
    server.feed(*(b"a:1|c|@0.%d" % number for number in range(10, 99)))
    assert len(server.origin.cache) < 20
    assert server.flush()[0].value == pytest.approx(sum(100 / number for number in range(10, 99)))


def test_a_line_that_is_too_long_is_bad_wherever_it_is() -> None:
    server = Server()
    server.feed(b"a:1|c\nb:" + b"1:" * LONGEST_LINE + b"1|c\na:1|c")
    assert {m.name: m.value for m in server.flush()} == {"a": 2}
    assert (server.heard.lines, server.heard.bad["too_long"]) == (3, 1)


def test_a_set_with_too_many_values_is_absent_and_counted() -> None:
    server = Server(memory=130 * 50)
    server.feed(*(b"s:%d|s" % number for number in range(60)), b"t:1|s")
    assert {m.name: m.value for m in server.flush()} == {"t": 1}
    assert server.heard.left_out == {"room": 1}
    assert server.values(b"s:1|s") == {"s": 1}


def test_a_named_container_that_is_not_known_yet_is_looked_for_again() -> None:
    known: list[str] = []
    heard = Heard()
    aggregator = Aggregator(heard, named=lambda sender: known[0] if known and sender.container else "")
    origin = Origin()
    aggregator.feed(b"a:1|c|c:in-5", origin, 0)
    known.append("x")
    aggregator.feed(b"a:1|c|c:in-5", origin, 0)
    keys = [m.key for metrics in aggregator.flush(0, 0.0, 1.0, "") for m in metrics]
    assert keys == ["statsd/-/c/a", "statsd/x/c/a"]


def test_lines_that_are_fed_while_it_flushes_count_once() -> None:
    server = Server()
    server.feed(*(b"a%d:1|c" % number for number in range(250)))
    told = []
    for metrics in server.aggregator.flush(0, 0.0, 1.0, ""):
        told += metrics
        server.feed(*(b"a%d:1|c" % number for number in range(250)))
    told += server.flush()
    total = sum(metric.value for metric in told if isinstance(metric.value, int))
    assert total == server.heard.lines


def test_series_that_make_room_in_the_middle_of_a_flush_go_once() -> None:
    server = Server(most=250)
    told: list[Metric] = []
    for turn in range(6):
        server.feed(*(b"a%d.%d:1|c" % (turn, number) for number in range(0, 250, turn % 3 + 1)))
        for at, metrics in enumerate(server.aggregator.flush(0, 0.0, 1.0, "")):
            told += metrics
            server.feed(*(b"b%d.%d.%d:1|c" % (turn, at, number) for number in range(90)))
    told += server.flush()
    assert sum(metric.value for metric in told if isinstance(metric.value, int)) == len(told)
    assert len(told) + server.heard.left_out["series"] == server.heard.lines
    server.flush()
    assert server.heard.series == 0


def test_events_without_end_are_counted_and_not_kept() -> None:
    server = Server(memory=5000)
    server.feed(*(b"_e{1,1000}:a|" + b"x" * 1000 for _ in range(5)))
    assert len(server.flush()) == 2
    assert server.heard.left_out == {"events": 3}
    assert server.values(b"_e{1,1}:a|x") == {"a": "x"}


def test_what_is_written_in_many_ways_is_remembered_for_a_few_of_them() -> None:
    server = Server(most=5)
    server.feed(*(b"%d:1|c|e:%d" % (way % 5, way) for way in range(500)))
    assert sum(len(names) for names in server.origin.cache.values()) == 4 * 5
    assert sum(metric.value for metric in server.flush() if isinstance(metric.value, int)) == 500


def test_what_is_written_at_length_is_not_remembered() -> None:
    server = Server()
    server.feed(*(b"a:1|c|e:" + b"x" * 5000 for _ in range(3)))
    assert (server.origin.cache, server.flush()[0].value) == ({}, 3)


def test_a_series_that_makes_room_in_the_middle_of_a_flush_costs_no_other_one() -> None:
    server = Server(most=300, keep=0.0)
    server.feed(*(b"n%d:1|g" % number for number in range(300)))
    assert [len(server.flush()) for _ in range(2)] == [300, 0]
    server.feed(*(b"n%d:1|g" % number for number in range(100)), b"one:1|c")
    slices = server.aggregator.flush(0, 30.0, 10.0, "here")
    first = next(slices)
    # The next slice has those that make room now; one of them begins anew at once.
    server.feed(b"two:1|c", b"n101:1|g")
    names = {metric.name for metrics in [first, *slices] for metric in metrics}
    assert names | {metric.name for metric in server.flush()} == {*(f"n{n}" for n in range(100)), "one", "two", "n101"}
    assert not server.heard.left_out


def test_what_has_a_time_of_its_own_and_adds_up_to_no_number_is_left_out_and_counted() -> None:
    server = Server()
    assert server.values(b"a:1e308|c|T1700000000\na:1e308|c|T1700000000\nb:5|g|T1700000000") == {"b": 5}
    assert server.heard.left_out == {"range": 1}


def test_what_is_said_of_one_second_in_two_intervals_is_two_records() -> None:
    server = Server()
    times = []
    for value in (b"1", b"2", b"3"):
        server.feed(b"a:" + value + b"|c|T1700000000")
        times += [(metric.value, metric.time_ns - 1_700_000_000_000_000_000) for metric in server.flush()]
    assert times == [(1, 0), (2, 1), (3, 2)]


def test_of_how_many_seconds_it_is_known_that_they_were_told_of_is_bounded() -> None:
    server = Server(most=2)
    for second in (1, 2, 3, 1):
        server.feed(b"a:1|c|T%d" % second)
        assert [metric.time_ns for metric in server.flush()] == [second * 1_000_000_000]
    assert len(server.aggregator._told_of) == 2
