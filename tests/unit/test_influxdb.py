"""InfluxDB: the settings, the requests, and what is told when no answer comes."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.certificates import Authority
from support.influxdb import APIS, FakeInflux, Reply, Request, failed, free_port, opened, rude_server, silent_server

from statspout import ConfigError, Rejected, Repository, RepositoryError
from statspout.logs import censored
from statspout.repositories.influxdb import InfluxDB
from statspout.repositories.influxdb_api.v1 import quoted
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.testing import RepositoryContract, sample, samples


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings for either API."""
    found: dict[str, Any] = APIS[request.param]
    return found


# settings


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"url": "db:1"}, "--influxdb.url: 'db:1' is wrong: http://localhost:8086 or the like is right"),
        ({"url": "ftp://x"}, "--influxdb.url"),
        ({"url": "http://x y:1"}, "--influxdb.url"),
        ({"url": f"http://{'x' * 64}.example"}, "--influxdb.url"),
        ({"url": "http://"}, "--influxdb.url"),
        ({"url": "http://x:99999"}, "--influxdb.url"),
        ({"url": "http://x:0"}, "--influxdb.url"),
        ({"url": "http://x?db=a"}, "--influxdb.url"),
        ({"url": "http://[::1"}, "--influxdb.url"),
        ({"address": "x"}, "--influxdb.address"),
        ({"url": "http://a", "address": "http://b"}, "--influxdb.url and --influxdb.address"),
        ({"token": "t" * 8}, "--influxdb.token-file: it needs --influxdb.bucket"),
        ({"org": "o"}, "--influxdb.org: it needs --influxdb.bucket"),
        ({"bucket": "b", "database": "d"}, "--influxdb.database and --influxdb.bucket"),
        ({"bucket": "b", "token": "t" * 8, "user": "u"}, "--influxdb.user and --influxdb.token-file"),
        ({"bucket": "b", "token": "two\nlines"}, "--influxdb.token-file: the value is wrong"),
        ({"bucket": "b", "token": "größe"}, "--influxdb.token-file: the value is wrong"),
        ({"password": "p" * 8}, "--influxdb.password-file: it is of no use without --influxdb.user"),
        ({"url": "http://a:b@c", "user": "d"}, "--influxdb.user: there is another one in the URL"),
        ({"url": "http://a:bbbb@c", "password": "dddd"}, "--influxdb.password-file: there is another one"),
        ({"database": ""}, "--influxdb.database: a name"),
        ({"labels": ("a=b",)}, "--influxdb.labels"),
        ({"timeout": 0}, "--influxdb.timeout"),
        ({"schema": "other"}, "--influxdb.schema"),
        ({"url": "https://x", "tls_ca": "/nowhere"}, "--influxdb.tls-ca: /nowhere cannot be used: no such file"),
        ({"url": "https://x", "tls_ca": __file__}, "there are no PEM certificates in it"),
        ({"tls_ca": "/nowhere"}, "--influxdb.tls-ca: it is of no use without https://"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line_that_names_it(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        InfluxDB(**settings)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_address_of_the_go_program_is_the_url() -> None:
    assert InfluxDB()._target.url == "http://localhost:8086"
    assert InfluxDB(address="http://db:8086")._target.url == "http://db:8086"
    assert "localhost" not in repr(InfluxDB(address="http://db:8086"))
    assert InfluxDB(address="http://db:8086/", url="http://db:8086")._target.url == "http://db:8086"
    with pytest.raises(ConfigError):
        InfluxDB(address="http://db:8086", url="".join(["http://localhost:", "8086"]))


def test_user_and_password_may_be_in_the_url_and_never_show_up() -> None:
    repository = InfluxDB(url="http://me:p%40ss%2Fword@db:8086/influx/")
    target = repository._target
    assert (target.url, target.basic) == ("http://db:8086/influx", "me:p@ss/word")
    for text in (repr(repository), repr(target), censored("http://me:p%40ss%2Fword@db, or p@ss/word")):
        assert "p@ss" not in text
        assert "p%40ss" not in text


def test_secrets_never_show_up() -> None:
    repository = InfluxDB(user="me", password="hush-hush-one")
    other = InfluxDB(bucket="b", token="hush-hush-two")
    for text in (repr(repository), repr(other), repr(repository._target), repr(other._target)):
        assert "hush" not in text
    assert "hush" not in censored("hush-hush-one hush-hush-two")


def test_names_in_influxql_are_quoted() -> None:
    assert quoted("stats") == '"stats"'
    assert quoted('a"b\\c\nd') == r'"a\"b\\c\nd"'


LOADED = """
import sys
from statspout.repositories.influxdb import InfluxDB
before = {"urllib3", "influxdb_client"} & set(sys.modules)
repository = InfluxDB(url=sys.argv[1])
repository.open()
from statspout.testing import sample
repository.push([sample()])
print(sorted(before), sorted({"urllib3", "influxdb_client"} & set(sys.modules)))
"""


def test_a_client_is_loaded_when_it_is_used_and_the_large_one_only_for_version_2() -> None:
    with FakeInflux() as fake:
        done = subprocess.run([sys.executable, "-c", LOADED, fake.url], capture_output=True, text=True, check=False)
    assert done.stdout == "[] ['urllib3']\n", done.stderr


@pytest.mark.parametrize("gzip", [True, False])
def test_a_batch_is_one_request_with_what_it_takes(api: dict[str, Any], gzip: bool) -> None:
    with FakeInflux() as fake:
        opened(fake.url + "/base", gzip=gzip, **api).push(samples(3))
    [request] = fake.requests
    assert (request.method, request.query["precision"]) == ("POST", "ns")
    assert request.body == b"\n".join(SCHEMAS["own"]().lines(one) for one in samples(3))
    assert (request.headers.get("Content-Encoding") == "gzip") == gzip
    if "bucket" in api:
        assert request.path == "/base/api/v2/write"
        assert (request.query["bucket"], request.query["org"]) == ("stats", "acme")
        assert request.headers["Authorization"] == "Token secret-word"
    else:
        assert (request.path, request.query["db"]) == ("/base/write", "stats")
        assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"me:secret-word").decode()


@pytest.mark.parametrize(
    "settings", [{"database": "d"}, {"bucket": "b"}, {"bucket": "b", "user": "ü", "password": "ß" * 4}]
)
def test_credentials_are_only_sent_where_there_are_any(settings: dict[str, Any]) -> None:
    with FakeInflux() as fake:
        opened(fake.url, **settings).push([sample()])
    header = fake.requests[0].headers.get("Authorization")
    assert header == ("Basic " + base64.b64encode("ü:ßßßß".encode()).decode() if "user" in settings else None)


def test_a_connection_serves_many_pushes_and_close_may_come_at_any_time(api: dict[str, Any]) -> None:
    with FakeInflux() as fake:
        repository = opened(fake.url, **api)
        for _ in range(3):
            repository.push([sample()])
        repository.close()
        repository.close()
        repository.open()
        repository.push([sample()])
        repository.close()
    assert len(fake.requests) == 4


def test_a_value_that_is_no_number_costs_its_own_sample_only(api: dict[str, Any]) -> None:
    batch = samples(4)
    batch[1] = msgspec.structs.replace(batch[1], mem_usage="many")
    batch[3] = msgspec.structs.replace(batch[3], cpu_percent="much")
    with FakeInflux() as fake:
        error = failed(fake.url, api, batch)
    assert isinstance(error, Rejected)
    assert error.indices == frozenset({1, 3})
    assert error.rest == "stored"
    assert fake.requests[0].body.count(b"\n") == 1


def test_nothing_is_sent_when_nothing_can_be(api: dict[str, Any]) -> None:
    with FakeInflux() as fake:
        error = failed(fake.url, api, [msgspec.structs.replace(sample(), mem_usage="many")])
    assert isinstance(error, Rejected)
    assert not fake.requests


# no answer at all


def test_nobody_there_is_told_in_one_line(api: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert str(failed(url, api)) == f"{url}: connection refused"


def test_an_unknown_name_is_told_in_one_line(api: dict[str, Any]) -> None:
    assert "http://nobody.invalid:8086: " in str(failed("http://nobody.invalid:8086", api))


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(api: dict[str, Any]) -> None:
    with silent_server() as url:
        assert str(failed(url, {**api, "timeout": 0.2})) == f"{url}: no answer within 0.2 s"


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\n"])
def test_a_server_that_hangs_up_or_speaks_otherwise_is_told(api: dict[str, Any], reply: bytes) -> None:
    with rude_server(reply) as url:
        assert str(failed(url, api)).startswith(f"{url}: the connection broke: ")


def test_a_connection_that_breaks_in_a_push_is_told_and_the_next_one_works(api: dict[str, Any]) -> None:
    def die(_: Request) -> Reply:
        raise ConnectionAbortedError

    with FakeInflux(die, Reply()) as fake:
        repository = opened(fake.url, **api)
        with pytest.raises(RepositoryError, match="the connection broke"):
            repository.push([sample()])
        repository.close()
        repository.open()
        repository.push([sample()])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def secure(authority: Authority) -> Iterator[FakeInflux]:
    with FakeInflux(tls=(authority.cert("server"), authority.key("server"))) as fake:
        yield fake


def test_tls_works_with_the_authority_that_signed(
    api: dict[str, Any], secure: FakeInflux, authority: Authority
) -> None:
    opened(secure.url, tls_ca=str(authority.ca), **api).push([sample()])
    assert len(secure.requests) == 1


def test_a_certificate_of_an_unknown_authority_is_not_taken(api: dict[str, Any], secure: FakeInflux) -> None:
    assert "--influxdb.tls-ca names the file of the authority" in str(failed(secure.url, api))
    assert not secure.requests


def test_a_certificate_of_another_host_is_not_taken(api: dict[str, Any], tmp_path: Path) -> None:
    other = Authority(tmp_path, server="DNS:elsewhere")
    with FakeInflux(tls=(other.cert("server"), other.key("server"))) as fake:
        assert "TLS: " in str(failed(fake.url, {**api, "tls_ca": str(other.ca)}))


def test_https_where_only_http_is_spoken_is_told(api: dict[str, Any]) -> None:
    with FakeInflux() as fake:
        told = str(failed(fake.url.replace("http:", "https:"), api))
    assert "http:// instead of https://" in told


def test_a_victoriametrics_gets_no_texts_for_it_would_make_zeros_of_them(api: dict[str, Any]) -> None:
    with FakeInflux(ping=Reply(headers={"X-Server-Hostname": "vm"})) as fake:
        opened(fake.url, **api).push([sample()])
    assert b'"' not in fake.requests[0].body


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_an_answer_to_a_sign_of_life_may_be_any(api: dict[str, Any], status: int) -> None:
    with FakeInflux(ping=Reply(status, b"whatever")) as fake:
        opened(fake.url, **api).push([sample()])
    assert b'state="running"' in fake.requests[0].body


class TestContract1(RepositoryContract):
    """Against a server that takes everything."""

    settings = APIS["1.x"]

    @pytest.fixture(autouse=True)
    def fake(self) -> Iterator[None]:
        with FakeInflux() as self.server:
            yield

    def make(self) -> Repository:
        return InfluxDB(url=self.server.url, **self.settings)  # type: ignore[arg-type]  # all of these are texts


class TestContract2(TestContract1):
    settings = APIS["2"]
