"""The settings of the Redis repository, the labels of what it keeps, and what it says when Redis is in trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from statspout import ConfigError, Container, ContainerSample, Metric
from statspout.client.redis.addresses import address_of
from statspout.client.redis.records import LABEL_SIZE
from statspout.logs import censored
from statspout.repositories.redis import Redis
from statspout.repositories.redis_errors import failure
from statspout.repositories.redis_numbers import DEFAULT, Numbers
from statspout.testing import sample

SECOND = 10**9


RIGHT = "redis://host:6379/0, rediss://host:6379 or unix:///path is right"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "localhost:6379"}, f"--redis.url: it is wrong: {RIGHT}"),
        ({"url": "http://host"}, f"--redis.url: it is wrong: {RIGHT}"),
        ({"url": "redis://host:port"}, f"--redis.url: it is wrong: {RIGHT}"),
        ({"url": "redis://host/first"}, f"--redis.url: it is wrong: the database is a number: {RIGHT}"),
        ({"url": "redis://host?colour=1"}, f"--redis.url: it is wrong: unexpected keyword argument 'colour': {RIGHT}"),
        (
            {"url": "redis://:one@host", "password": "another"},
            "--redis.password: there is one in --redis.url too: give one",
        ),
        ({"tls_ca": "/ca"}, "--redis.tls-ca: it has no effect without TLS: a URL with rediss:// is right"),
        ({"url": "rediss://h", "tls_ca": "/none"}, "--redis.tls-ca: '/none' cannot be read: No such file or directory"),
        ({"namespace": ""}, "--redis.namespace: it is empty: a name such as statspout is right"),
        ({"stream": ""}, "--redis.stream: it is empty: a name such as statspout is right"),
        (
            {"prefix": "a;b"},
            "--redis.prefix: 'a;b' is wrong: a name without white space and ;,=\\ such as statspout is right",
        ),
    ],
)
def test_a_setting_that_is_wrong_is_said_in_a_line(settings: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Redis(**settings)
    assert str(caught.value) == told


def test_an_authority_is_a_file_of_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("none")
    with pytest.raises(ConfigError, match="has no certificate in it: a PEM file is right"):
        Redis(url="rediss://host", tls_ca=str(tmp_path / "ca"))


@pytest.mark.parametrize(
    "settings",
    [{"url": "redis://me:very%20secret@h"}, {"url": "redis://h?password=very%20secret"}, {"password": "very secret"}],
)
def test_a_password_is_hidden_from_logs(settings: Any) -> None:
    Redis(**settings)
    assert "very" not in censored("it is 'very secret', or very%20secret")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://", "127.0.0.1:6379/0"),
        ("redis://localhost/0", "127.0.0.1:6379/0"),
        ("rediss://u:p@LOCALHOST:6379", "127.0.0.1:6379/0"),
        ("redis://redis/2", "redis:6379/2"),
        ("redis://redis?db=2", "redis:6379/2"),
        ("redis://[fe80::1]:7", "fe80::1:7/0"),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock/3"),
    ],
)
def test_an_address_is_one_place_however_it_is_written(url: str, place: str) -> None:
    assert address_of(url).place == place
    assert Redis(url=url).redis_statistics == (place, "STATSPOUT")
    assert Redis(url=url, mode="stream").redis_statistics == ("", "")


def reading(at: int, **fields: Any) -> ContainerSample:
    web = Container(id="id", name="web 1;x", started_at=1)
    return ContainerSample(time_ns=at * SECOND, host="a=b", container=web, **fields)


def test_a_label_is_a_name_and_tags_without_marks_in_them() -> None:
    (record,) = Numbers("p").of(reading(1, pids=3))
    assert record == (1.0, "p.pids;host=a_b,container=web_1_x", 3, None)


@pytest.mark.parametrize("every", [False, True])
def test_fields_are_the_usual_ones_or_all(every: bool) -> None:
    numbers = Numbers("", every=every)
    names = {record.label.partition(";")[0] for one in (1, 2) for record in numbers.of(sample(time_ns=one * SECOND))}
    assert (names == {name if "bytes" not in name else f"{name}.rate" for name in DEFAULT}) is not every
    assert ("restarts" in names) is every


def test_what_was_not_kept_is_told_again() -> None:
    numbers = Numbers("", rates=False)
    numbers.of(reading(1, rx_bytes=5))
    numbers.keep()
    for _ in range(2):
        assert [record.value for record in numbers.of(reading(2, rx_bytes=7))] == [2]
        numbers.undo()
    numbers.of(reading(2, rx_bytes=7))
    numbers.keep()
    assert [record.value for record in numbers.of(reading(3, rx_bytes=8))] == [1]
    numbers.clear(Container(id="id", name="web", started_at=1))
    assert numbers.of(reading(4, rx_bytes=9)) == []


def test_a_metric_without_a_name_or_with_too_long_a_one() -> None:
    common: dict[str, Any] = {"time_ns": 1, "host": "", "key": "k", "kind": "gauge", "value": 1}
    (record,) = Numbers().of(Metric(name="", **common))
    assert record.label == "_"
    with pytest.raises(ValueError, match="8192 are the most"):
        Numbers().of(Metric(name="x" * LABEL_SIZE + "y", **common))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (redis.TimeoutError("Timeout reading from socket"), "no answer from redis://h:1 within 2 s"),
        (redis.exceptions.MovedError("5 h:2"), "it is one node of a Redis Cluster"),
        (redis.ResponseError("CROSSSLOT Keys in request don't hash to the same slot"), "one node of a Redis Cluster"),
        (
            redis.AuthenticationError("Authentication required."),
            "--redis.password, or a password in the URL, is needed",
        ),
        (redis.ResponseError("MISCONF Redis is configured to save"), "it cannot write to its disk"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "it is still loading"),
        (redis.ConnectionError(""), "redis://h:1: ConnectionError"),
    ],
)
def test_trouble_is_told_with_what_to_do_about_it(error: Exception, told: str) -> None:
    line = str(failure(error, "redis://h:1", 2.0))
    assert told in line
    assert line.isprintable()
