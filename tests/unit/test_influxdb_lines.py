"""Line protocol to the byte: texts, numbers, and the lines of each schema."""

from __future__ import annotations

import math
import random
import struct

import msgspec
import pytest
from support.swarm import LABELS

from statspout import Container, ContainerSample
from statspout.catalogue import ENTRIES
from statspout.repositories.influxdb import InfluxDB
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.repositories.influxdb_lines.schema import Kept
from statspout.repositories.influxdb_lines.telegraf import parsed_image
from statspout.repositories.influxdb_lines.text import LONGEST, key, measurement, series, string
from statspout.sample import Interface
from statspout.testing import sample

TIME = 1_487_073_601_123_456_789
BARE = ContainerSample(time_ns=1, host="", container=Container(id="f" * 64, name="bare"))


def lines(one: ContainerSample, schema: str = "own", labels: tuple[str, ...] = (), texts: bool = True) -> list[str]:
    return SCHEMAS[schema](labels, texts=texts).lines(one).decode().split("\n")


def fields(line: str) -> dict[str, str]:
    """The fields of a line without strings that have a comma or a space in them."""
    return dict(part.split("=", 1) for part in line.rsplit(" ", 2)[1].split(","))


# texts


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("a b", r"a\ b"),
        ("a,b", r"a\,b"),
        ("a=b", r"a\=b"),
        (" ", r"\ "),
        ("  a", r"\ \ a"),
        ('say "hi"', r'say\ "hi"'),
        ("#hash", "#hash"),
        ("é-Ж-漢字-🐳", "é-Ж-漢字-🐳"),
        ("\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH JOINER}"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("tab\tnul\0bell\a", r"tab\tnul\x00bell\x07"),
        ("\x7f\x85\x9f", r"\x7f\x85\x9f"),
        ("half\udc80", r"half\udc80"),
        ("\ud83d", r"\ud83d"),
        ("back\\slash", r"back\slash"),
        ("back\\nslash", r"back\nslash"),
        ("end\\", "end/"),
        ("end\\\\", "end//"),
        ("\\", "/"),
        ("\\\\server\\share", r"/\server\share"),
        ("a\\ b", r"a/\ b"),
        ("a\\,b", r"a/\,b"),
        ("a\\=b", r"a/\=b"),
        ("a\\\nb", r"a/\nb"),
        ("x" * (LONGEST + 1), "x" * LONGEST),
        ("x" * (LONGEST - 1) + "\\y", "x" * (LONGEST - 1) + "/"),
    ],
)
def test_a_text_is_written_so_that_every_parser_reads_it_alike(text: str, written: str) -> None:
    assert key(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [("m", "m"), ("a b,c=d", r"a\ b\,c=d"), ("m\\", "m/"), ("m\n", r"m\n")],
)
def test_a_measurement_keeps_its_equals_signs(text: str, written: str) -> None:
    assert measurement(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("running", '"running"'),
        ("", '""'),
        ("a b,c=d", '"a b,c=d"'),
        ('say "hi"', r'"say \"hi\""'),
        ("end\\", r'"end\\"'),
        ("two\nlines", r'"two\\nlines"'),
        ("half\udc80", r'"half\\udc80"'),
    ],
)
def test_a_string_is_quoted_and_stays_on_its_line(text: str, written: str) -> None:
    assert string(text) == written


def test_tags_are_in_order_without_empty_ones_and_without_two_of_one_name() -> None:
    assert series("m", {"b": "2", "a": "1", "none": "", "": "no name"}) == b"m,a=1,b=2"
    assert series("m", {"a\t": "first", "a\\t": "second"}) == rb"m,a\t=first"
    assert series("m", {}) == b"m"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_text_makes_another_line_or_another_field(schema: str) -> None:
    awkward = ["\n", "\\", "a\\", ",", "=", '"', "x=1i,y=2i 3\nm z=1i", "", " ", "\udc80", "\0", "#", "a\\ ", '\\"']
    plain = lines(sample(), schema, labels=("*",))
    for text in awkward:
        labels = {"com.docker.compose.project": text, "com.docker.compose.service": text, text: text}
        one = sample(text, image=text, host=text, labels=labels, state=text or None, health=text or None)
        found = SCHEMAS[schema](("*",)).lines(one)
        assert found.count(b"\n") + (not text and schema == "telegraf") == len(plain) - 1, text
        assert b"\0" not in found


# numbers


def test_a_type_is_the_fields_not_the_values() -> None:
    whole = fields(lines(sample(cpu_percent=20, mem_usage=7, state=None, health=None))[0])
    broken = fields(lines(sample(cpu_percent=20.5, mem_usage=7, state=None, health=None))[0])
    assert (whole["cpu_percent"], whole["mem_usage"]) == ("20", "7i")
    assert (broken["cpu_percent"], broken["mem_usage"]) == ("20.5", "7i")
    assert set(whole) == set(broken)
    assert {name for name, value in whole.items() if not value.endswith("i")} == {
        "cpu_percent", "cpu_seconds_total", "throttled_seconds_total", "mem_percent", "uptime_seconds",
    }  # fmt: skip


def test_floats_come_back_as_they_were() -> None:
    chance = random.Random(1)
    values = [struct.unpack("d", chance.randbytes(8))[0] for _ in range(2000)]
    for value in [*filter(math.isfinite, values), 0.0, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 0.1]:
        assert float(fields(lines(sample(cpu_percent=value))[0])["cpu_percent"]) == value


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_is_left_out(schema: str, value: float) -> None:
    text = "\n".join(lines(sample(cpu_percent=value), schema))
    assert text == "\n".join(lines(sample(cpu_percent=None), schema))
    assert "nan" not in text
    assert "inf" not in text


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(("value", "there"), [(2**63 - 1, True), (2**63, False), (2**64 - 1, False), (2**70, False)])
def test_an_integer_that_does_not_fit_is_left_out_and_its_neighbours_are_not(
    schema: str, value: int, there: bool
) -> None:
    text = "\n".join(lines(sample(tx_bytes=value, rx_bytes=2**62), schema))
    assert (str(value) in text) == there
    assert f"={2**62}i" in text


def test_what_is_unknown_is_left_out_and_zero_is_not() -> None:
    found = fields(lines(sample(pids=None, restarts=0))[0])
    assert "pids" not in found
    assert found["restarts"] == "0i"


@pytest.mark.parametrize("kind", ["floats", "integers"])
def test_it_does_not_matter_which_of_the_numbers_are_known(kind: str) -> None:
    for entry in ENTRIES:
        if entry.derive is None:
            one = msgspec.structs.replace(BARE, **{entry.field: 7})
            assert fields(lines(one)[0]).keys() == {entry.field, "seen"}


# schemas


def test_own_is_one_line_with_everything() -> None:
    expected = (
        "container,compose_project=shop,compose_service=web,container=web,host=node-1,id=4b5e57f6eb2f,image=nginx:1.27 "
        'seen=1i,state="running",health="healthy",cpu_percent=20.0,cpu_seconds_total=12.5,throttled_seconds_total=0.25,'
        "mem_percent=9.765625,uptime_seconds=3600.0,online_cpus=4i,cpu_periods_total=40i,throttled_periods_total=3i,"
        "mem_usage=104857600i,mem_usage_raw=125829120i,mem_cache=20971520i,mem_rss=83886080i,mem_limit=1073741824i,"
        "rx_bytes=1010i,rx_packets=10i,rx_errors=1i,rx_dropped=0i,tx_bytes=2020i,tx_packets=20i,tx_errors=0i,"
        "tx_dropped=2i,blkio_read_bytes=4096i,blkio_write_bytes=8192i,blkio_read_ops=1i,blkio_write_ops=2i,pids=7i,"
        f"pids_limit=512i,restarts=0i {TIME}"
    )
    assert lines(sample()) == [expected]


def test_own_names_the_stack_and_the_service_of_swarm_and_leaves_the_task_to_the_name() -> None:
    assert ",swarm_service=shop_web,swarm_stack=shop " in lines(sample(labels=LABELS))[0]
    assert "swarm_task" not in lines(sample(labels=LABELS))[0]


def test_own_has_every_number_of_the_catalogue() -> None:
    assert fields(lines(sample())[0]).keys() == {*(e.field for e in ENTRIES), "state", "health", "seen"}


def test_own_has_a_line_for_each_of_several_interfaces() -> None:
    two = {"eth0": Interface(rx_bytes=1, tx_bytes=2), "eth1": Interface(), "eth 2": Interface(rx_bytes=3)}
    tags = "compose_project=shop,compose_service=web,container=web,host=node-1,id=4b5e57f6eb2f,image=nginx:1.27"
    assert lines(sample(networks=two))[1:] == [
        f"container_network,{tags},interface=eth0 rx_bytes=1i,tx_bytes=2i {TIME}",
        f"container_network,{tags},interface=eth\\ 2 rx_bytes=3i {TIME}",
    ]
    assert len(lines(sample(networks={"eth0": Interface(rx_bytes=1)}))) == 1


def test_who_shares_a_network_has_none_of_its_counters() -> None:
    two = {"eth0": Interface(rx_bytes=1), "eth1": Interface(rx_bytes=2)}
    for schema, expected in (("own", 1), ("legacy", 2), ("telegraf", 5)):
        found = lines(sample(networks=two, network_shared_with="db"), schema)
        assert len(found) == expected
        assert "rx_bytes" not in "\n".join(found)
    assert 'network_shared_with="db"' in lines(sample(network_shared_with="db"))[0]


def test_legacy_is_what_the_go_program_wrote() -> None:
    assert lines(sample(labels={}), "legacy") == [
        f"cpu_usage,container=web value=20.0 {TIME}",
        f"mem_usage,container=web value=9.765625 {TIME}",
        f"tx_bytes,container=web value=2020i {TIME}",
        f"rx_bytes,container=web value=1010i {TIME}",
    ]


TELEGRAF = """
docker_container_cpu,{tags},cpu=cpu-total,{host} {id},usage_percent=20.0,throttling_periods=40i,\
throttling_throttled_periods=3i,usage_total=12500000000i,throttling_throttled_time=250000000i {time}
docker_container_mem,{tags},{host} {id},usage_percent=9.765625,usage=104857600i,limit=1073741824i,\
total_cache=20971520i,total_rss=83886080i {time}
docker_container_net,{tags},{host},network=total {id},rx_bytes=1010i,rx_packets=10i,rx_errors=1i,rx_dropped=0i,\
tx_bytes=2020i,tx_packets=20i,tx_errors=0i,tx_dropped=2i {time}
docker_container_blkio,{tags},device=total,{host} {id},io_service_bytes_recursive_read=4096i,\
io_service_bytes_recursive_write=8192i,io_serviced_recursive_read=1i,io_serviced_recursive_write=2i {time}
docker_container_status,{tags},{host} {id},restart_count=0i,started_at=1487070001123456789i,\
uptime_ns=3600000000000i {time}
docker_container_health,{tags},{host} health_status="healthy" {time}
"""


def test_telegraf_has_its_measurements_tags_and_fields() -> None:
    expected = TELEGRAF.format(
        tags="container_image=nginx,container_name=web,container_status=running,container_version=1.27",
        host="engine_host=node-1",
        id=f'container_id="{sample().container.id}"',
        time=TIME,
    )
    assert lines(sample(), "telegraf") == expected.strip().split("\n")


@pytest.mark.parametrize(
    ("image", "parsed"),
    [
        ("nginx", ("nginx", "unknown")),
        ("nginx:1.27", ("nginx", "1.27")),
        ("library/nginx:1.27", ("library/nginx", "1.27")),
        ("localhost/nginx:1", ("localhost/nginx", "1")),
        ("registry:5000/nginx", ("registry:5000/nginx", "unknown")),
        ("registry.example/shop/web:2", ("registry.example/shop/web", "2")),
        ("sha256:abc", ("sha256", "abc")),
        ("", ("", "")),
    ],
)
def test_an_image_has_a_name_and_a_version_as_telegraf_reads_it(image: str, parsed: tuple[str, str]) -> None:
    assert parsed_image(image) == parsed


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ("own", "container,container=bare,id=ffffffffffff seen=1i 1"),
        ("legacy", "seen,container=bare value=1i 1"),
        ("telegraf", f'docker_container_status,container_name=bare container_id="{"f" * 64}" 1'),
    ],
)
def test_a_sample_that_knows_nothing_is_not_lost(schema: str, line: str) -> None:
    assert lines(BARE, schema) == [line]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_without_texts_there_are_only_numbers(schema: str) -> None:
    text = "\n".join(lines(sample(network_shared_with="db"), schema, texts=False))
    assert '"' not in text
    assert lines(BARE, schema, texts=False)[0].endswith("=1i 1")


@pytest.mark.parametrize(
    ("schema", "tags"),
    [("own", ("a_b=1", "id_2=3", "team=red")), ("legacy", ("a_b=1", "team=red")), ("telegraf", ("a.b=1", "team=red"))],
)
def test_allowed_labels_are_tags_of_every_point(schema: str, tags: tuple[str, ...]) -> None:
    one = sample(labels={"a.b": "1", "team": "red", "id": "3", "private": "x"})
    for line in lines(one, schema, labels=("a.b", "team", "id")):
        assert set(tags) <= set(line.split(" ")[0].split(","))
        assert "private" not in line


@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_label_takes_the_place_of_a_tag_of_a_field_or_of_the_time(schema: str) -> None:
    names = {part.split("=")[0] for line in lines(sample(), schema) for part in line.split(" ")[0].split(",")[1:]}
    names |= {name for line in lines(sample(), schema) for name in fields(line)} | {"time", "_field", "db"}
    plain = lines(sample(labels={}), schema)
    found = lines(sample(labels=dict.fromkeys(names, "theirs")), schema, labels=("*",))
    for before, after in zip(plain, found, strict=True):
        tags = [part.split("=")[0] for part in after.split(" ")[0].split(",")[1:]]
        assert set(tags).isdisjoint({"time", "_field", "db"} | set(fields(after)))
        assert set(before.split(" ")[0].split(",")) <= set(after.split(" ")[0].split(","))
        assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_is_remembered_of_a_container_follows_its_changes(schema: str) -> None:
    encoder = SCHEMAS[schema](("team",))
    for changes in (
        {}, {"labels": {"team": "red"}}, {"labels": {"team": "blue"}}, {"name": "renamed"}, {"host": "node-2"},
        {"state": "paused", "health": None}, {"image": "nginx:2"}, {"started_at": 5}, {},
    ):  # fmt: skip
        one = sample(**{"name": "web", "id": "a" * 64, **changes})  # type: ignore[arg-type]  # of several types
        assert encoder.lines(one) == SCHEMAS[schema](("team",)).lines(one)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_who_is_gone_is_forgotten(schema: str) -> None:
    repository = InfluxDB(schema=schema, labels=("team",))  # type: ignore[arg-type]  # one of its choices
    one = sample(labels={"team": "red"})
    repository._schema.lines(one)
    [kept] = [value for value in vars(repository._schema).values() if isinstance(value, Kept)]
    assert list(kept._kept) == [one.container.id]
    assert list(repository._schema._labels._kept) == [one.container.id]
    repository.clear(one.container)
    assert not kept._kept
    assert not repository._schema._labels._kept
