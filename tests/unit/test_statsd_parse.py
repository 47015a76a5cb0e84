"""What a StatsD line means, and which lines are bad: the differences between the servers that there are, as data."""

from __future__ import annotations

import pytest

from statspout.sources.apps.statsd.lines import KINDS, LONGEST_LINE, BadLine, Event, Line, Reading, Sender, ServiceCheck
from statspout.sources.apps.statsd.parse import LONGEST_SERIES, parse
from statspout.telemetry import BAD_LINES

C1 = Reading("c", 1)

READ: dict[bytes, object] = {
    # the common core
    b"a:1|c": Line("a", (C1,)),
    b"a:-1|c": Line("a", (Reading("c", -1),)),
    b"a:+1|c": Line("a", (C1,)),
    b"a.b-c_d:0.5|ms": Line("a.b-c_d", (Reading("ms", 0.5),)),
    b"a:1e3|h": Line("a", (Reading("h", 1000.0),)),
    b"a:.5|d": Line("a", (Reading("d", 0.5),)),
    b"a:7|C": Line("a", (Reading("C", 7),)),
    b"a:5|g": Line("a", (Reading("g", 5),)),
    b"a:+5|g": Line("a", (Reading("g", 5, relative=True),)),
    b"a:-5|g": Line("a", (Reading("g", -5, relative=True),)),
    b"a:-3|ms": Line("a", (Reading("ms", -3),)),
    b"a:bob|s": Line("a", (Reading("s", b"bob"),)),
    b"a:b:c|s": Line("a", (Reading("s", b"b:c"),)),
    b"a:123456789012345678|c": Line("a", (Reading("c", 123456789012345678),)),
    "größe:1|c".encode(): Line("größe", (C1,)),
    b"a b/c:1|c": Line("a b/c", (C1,)),
    # rates: those of gauges and sets mean nothing
    b"a:1|c|@0.5": Line("a", (Reading("c", 1, 0.5),)),
    b"a:1|c|@1e-1": Line("a", (Reading("c", 1, 0.1),)),
    b"a:1|g|@0.5": Line("a", (Reading("g", 1),)),
    b"a:x|s|@0.5": Line("a", (Reading("s", b"x"),)),
    b"a:9|C|@0.5": Line("a", (Reading("C", 9),)),
    # several values
    b"a:1|c:2|c": Line("a", (C1, Reading("c", 2))),
    b"a:1|c|@0.5:2|ms|#k:v": Line("a", (Reading("c", 1, 0.5), Reading("ms", 2)), (("k", "v"),)),
    b"a:1:2|ms|@0.1": Line("a", (Reading("ms", 1, 0.1), Reading("ms", 2, 0.1))),
    b"a:1:-2|g": Line("a", (Reading("g", 1), Reading("g", -2, relative=True))),
    # tags of every style
    b"a:1|c|#k:v,flag": Line("a", (C1,), (("flag", "true"), ("k", "v"))),
    b"a:1|c|#b:2,a:1": Line("a", (C1,), (("a", "1"), ("b", "2"))),
    b"a:1|c|#u:http://x": Line("a", (C1,), (("u", "http://x"),)),
    b"a:1|c|#k:v|@0.5": Line("a", (Reading("c", 1, 0.5),), (("k", "v"),)),
    b"a:1|c|#": Line("a", (C1,)),
    b"a:1|c|#k:,,j:1": Line("a", (C1,), (("j", "1"),)),
    b"a:1|c|#k:2,k:1,k:2": Line("a", (C1,), (("k", "2,1"),)),
    b"a,k=v,j=w:1|c": Line("a", (C1,), (("j", "w"), ("k", "v"))),
    b"a;k=v;j=w:1|c": Line("a", (C1,), (("j", "w"), ("k", "v"))),
    b"a#k=v,j=w:1|c": Line("a", (C1,), (("j", "w"), ("k", "v"))),
    b"a[k=v,j=w]:1|c": Line("a", (C1,), (("j", "w"), ("k", "v"))),
    b"a.[k=v]b:1|c": Line("a.b", (C1,), (("k", "v"),)),
    # DogStatsD's other fields, in datadogpy's order and in another
    b"a:1|c|@1|#k:v|c:ci-12|e:it-1|card:low": Line("a", (C1,), (("k", "v"),), Sender("ci-12", "it-1", "low")),
    b"a:1|g|T1700000000|#k:v": Line("a", (Reading("g", 1),), (("k", "v"),), time_s=1700000000),
    b"a:-1|g|T1700000000": Line("a", (Reading("g", -1),), time_s=1700000000),
    # around the line
    b"a:1|c\r": Line("a", (C1,)),
    b"  a:1|c ": Line("a", (C1,)),
    b"": None,
    b" \r": None,
    # events and service checks
    b"_e{2,5}:ab|c\\ndd": Event("ab", "c\ndd"),
    b"_e{2,1}:\xc3\xbc|x|d:7|h:me|k:g|p:low|s:src|t:error|#k:v|c:id": Event(
        "ü", "x", (("k", "v"),), Sender("id"), 7, "me", "g", "low", "src", "error"
    ),
    b"_e{3,3}:a|b|c|d": Event("a|b", "c|d"),
    b"_sc|up|0": ServiceCheck("up", 0),
    b"_sc|up|2|d:7|h:me|#k:v|m:it\\nfell m\\: down|c:id": ServiceCheck(
        "up", 2, (("k", "v"),), Sender("id"), 7, "me", "it\nfell m: down"
    ),
}

BAD: dict[bytes, str] = {
    b"a": "name", b"a|c": "name", b":1|c": "name", b"a|b:1|c": "name", b"a\tb:1|c": "name", b"[k=v]:1|c": "name",
    b"\xff:1|c": "encoding", b"a:1|c|#\xff": "encoding", b"_e{1,1}:\xff|x": "encoding",
    b"a:1": "type", b"a:1|": "type", b"a:1|x": "type", b"a:1|cc": "type", b"a:1|m": "type", b"a:1|c:2": "type",
    b"a:1|c:2|": "type", b"a:1|@0.5": "type",
    b"a:|c": "value", b"a:x|c": "value", b"a:1_0|c": "value", b"a: 1|c": "value", b"a:nan|g": "value",
    b"a:inf|ms": "value", b"a:Infinity|ms": "value", b"a:0x1|c": "value", b"a:1e999|g": "value", b"a:--1|g": "value",
    b"a:1,5|ms": "value", "a:٣|c".encode(): "value", b"a:" + b"9" * 5000 + b"|c": "value", b"a:|s": "value",
    b"a:1::2|ms": "value", b"a:1:x|ms": "value", b"a:1|c:x|c": "value", b"a:-1|C": "value", b"a:1e308|c|@0.1": "value",
    b"a:1|c|@0": "rate", b"a:1|c|@2": "rate", b"a:1|c|@-1": "rate", b"a:1|c|@x": "rate", b"a:1|c|@": "rate",
    b"a:1|c|@nan": "rate", b"a:1|c|@1e-320": "rate", b"a:1|g|@2": "rate",
    b"a:1|c|#:v": "tags", b"a:1|c|#k\x01:v": "tags", b"a[k=v:1|c": "tags", b"a,=v:1|c": "tags",
    b"a,k=v:1|c|#j:w": "mixed_tags", b"a;k=v:1|c|#j:w": "mixed_tags", b"a,k=v;j=w:1|c": "mixed_tags",
    b"a#k=v[j=w]:1|c": "mixed_tags",
    b"a:1|c|T": "timestamp", b"a:1|c|T0": "timestamp", b"a:1|c|T-1": "timestamp", b"a:1|c|T1.5": "timestamp",
    b"a:1|ms|T7": "timestamp", b"a:x|s|T7": "timestamp", b"a:1|c|T9999999999": "timestamp",
    b"a:1|c|": "section", b"a:1|c|x": "section", b"a:1|c|@1|@1": "section", b"a:1|c|#a|#b": "section",
    b"_e{1,1}:a": "event", b"_e{2,1}:a|b": "event", b"_e{1,9}:a|b": "event", b"_e{0,1}:|b": "event",
    b"_e{1,1}:a|bx": "event", b"_e{1,1}:a|b|t:loud": "event", b"_e{1,1}:a|b|d:x": "event", b"_e{a,b}:a|b": "event",
    b"_sc|a": "service_check", b"_sc|a|4": "service_check", b"_sc||1": "service_check",
    b"_sc|a|1|x:y": "service_check",
    b"a:" + b"1:" * 5000 + b"1|ms": "too_long", b"a" * (LONGEST_SERIES + 1) + b":1|c": "too_long",
    b"a:" + b"1" * LONGEST_LINE: "too_long",
}  # fmt: skip


@pytest.mark.parametrize(("line", "meaning"), READ.items())
def test_a_line_means_what_any_server_takes_it_for(line: bytes, meaning: object) -> None:
    assert parse(line) == meaning


@pytest.mark.parametrize(("line", "kind"), BAD.items())
def test_a_line_that_would_be_a_guess_is_bad_and_says_of_what_kind(line: bytes, kind: str) -> None:
    with pytest.raises(BadLine) as caught:
        parse(line)
    assert caught.value.kind == kind
    assert len(str(caught.value)) < 400


def test_every_kind_of_bad_line_is_met() -> None:
    assert set(BAD.values()) == set(KINDS)


def test_an_integer_stays_one_as_long_as_it_fits_where_it_is_stored() -> None:
    for text, kind in ((b"1", int), (b"-12", int), (b"9" * 18, int), (b"9" * 19, float), (b"1.0", float)):
        line = parse(b"a:" + text + b"|c")
        assert isinstance(line, Line)
        assert type(line.readings[0].value) is kind


def test_every_kind_is_counted_by_the_daemon() -> None:
    assert (*KINDS, "cut") == BAD_LINES
