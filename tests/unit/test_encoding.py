"""What is written to the spool is read back as it was, and by later versions too."""

from __future__ import annotations

import json
from types import MappingProxyType

import msgspec
import pytest

from statspout import Container, ContainerSample, Interface, Metric, Sample, Summary
from statspout.delivery.encoding import decode, encode
from statspout.testing import sample, samples
from statspout.testing.contract_driver import AWKWARD


def of_one(count: int) -> list[ContainerSample]:
    container = sample().container
    return [msgspec.structs.replace(one, container=container) for one in samples(count)]


ALONE = Container(id="x" * 64, name="alone")
SUMMARY = Summary(count=2, sum=3.0, min=1.0, max=2.0, mean=1.5, stdev=0.5, percentiles={"95": 2.0})

CASES: dict[str, list[Sample]] = {
    "nothing": [],
    "many of many containers": [*samples(50), *(sample("db", time_ns=i) for i in range(50))],
    "nothing known": [ContainerSample(time_ns=1, host="", container=ALONE)],
    "interfaces": [sample(networks={"eth0": Interface(rx_bytes=2**64 - 1), "eth1": Interface()})],
    "no interfaces": [sample(networks={})],
    "huge": [sample(mem_usage=2**64 - 1, rx_bytes=2**63)],
    "larger than 64 bits": [sample(mem_usage=2**70)],
    "awkward": [sample(text, image=text, host=text, labels={text: text}) for text in AWKWARD],
    "half a pair": [sample("\ud83d", labels={"\udc33": "\ud83d"})],
    "odd numbers": [sample(cpu_percent=1e308, mem_percent=5e-324, cpu_seconds_total=-0.0)],
    "labels that nobody can change": [sample(labels=MappingProxyType({"a": "b"}))],
    "half a pair in them": [sample(labels=MappingProxyType({"a": "\ud83d"}))],
    "metrics": [
        Metric(time_ns=1, host="h", key="k", name="n", kind="gauge", value=value, tags={"a": "b"}, container=whom)
        for value in (1, 1.5, "text", SUMMARY)
        for whom in (None, ALONE)
    ],
    "both": [samples(1)[0], Metric(time_ns=1, host="h", key="k", name="n", kind="set", value=1), samples(2)[1]],
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_read_back(case: str) -> None:
    assert decode(encode(CASES[case])) == CASES[case]


def test_integers_stay_integers_and_floats_floats() -> None:
    (got,) = decode(encode([sample(cpu_percent=2.0, mem_usage=2)]))
    assert isinstance(got, ContainerSample)
    assert [type(got.cpu_percent), type(got.mem_usage)] == [float, int]


def test_containers_are_written_once_and_shared_once_read() -> None:
    many = of_one(100)
    first, *rest = decode(encode(many))
    assert all(one.container is first.container for one in rest)
    assert encode(many).count(many[0].container.id.encode()) == 1


def test_a_sample_takes_little() -> None:
    many = of_one(1000)
    assert len(encode(many)) / len(many) < 250


def test_fields_of_another_version_are_passed_over_and_missing_ones_are_unknown() -> None:
    containers, fields, records = msgspec.msgpack.decode(encode(samples(1))[1:])
    containers[0]["colour"] = "blue"
    fields = [*("temperature" if name == "mem_usage" else name for name in fields)]
    got = decode(b"\x01" + msgspec.msgpack.encode((containers, fields, records)))
    assert got == [msgspec.structs.replace(samples(1)[0], mem_usage=None)]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\x03abc", encode(samples(3))[:-5], b"\x01" + msgspec.msgpack.encode(7), b"\x02{}",
     b"\x02" + json.dumps([[], ["time_ns"], [[5, 1]]]).encode(), b"\x01" + b"\xff" * 50,
     b"\x01" + b"\x91" * 100_000, b"\x02" + b"[" * 100_000],
)  # fmt: skip
def test_anything_else_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(ValueError, match="no samples"):
        decode(data)
