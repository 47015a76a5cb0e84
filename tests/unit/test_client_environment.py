"""Where the environment says the server is, and what a mistake in it comes to."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.lines import Sink

from statspout.client import StatsD, losses
from statspout.client.addresses import Address
from statspout.client.environment import constant_tags, place

OURS, FLUX = "STATSPOUT_CLIENT_STATSD", "FLUX_FRIPP_STATSD"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "_said", set())


@pytest.mark.parametrize(
    ("environ", "address", "dialect"),
    [
        ({}, None, "statspout"),
        ({OURS: "h:1"}, Address("udp", "h", 1), "statspout"),
        ({FLUX: "h:2"}, Address("udp", "h", 2), "etsy"),
        ({OURS: "h:1", FLUX: "h:2", "DD_AGENT_HOST": "h3"}, Address("udp", "h", 1), "statspout"),
        ({OURS: "", FLUX: "h:2"}, None, "statspout"),
        ({"DD_AGENT_HOST": "agent"}, Address("udp", "agent", 8125), "dogstatsd"),
        ({"DD_AGENT_HOST": "fd00::1"}, Address("udp", "fd00::1", 8125), "dogstatsd"),
        ({"DD_AGENT_HOST": "agent", "DD_DOGSTATSD_PORT": "9"}, Address("udp", "agent", 9), "dogstatsd"),
        ({"DD_DOGSTATSD_PORT": "9"}, Address("udp", "localhost", 9), "dogstatsd"),
        ({"DD_DOGSTATSD_URL": "unix:///s", "DD_AGENT_HOST": "a"}, Address("unix", "/s"), "dogstatsd"),
        ({"DD_DOGSTATSD_URL": "udp://a"}, Address("udp", "a", 8125), "dogstatsd"),
        ({"DD_AGENT_HOST": "a", "DD_DOGSTATSD_DISABLE": "True"}, None, "statspout"),
        ({"DD_AGENT_HOST": "a", "DD_DOGSTATSD_DISABLE": "false"}, Address("udp", "a", 8125), "dogstatsd"),
        ({OURS: "h:1", "DD_DOGSTATSD_DISABLE": "1"}, Address("udp", "h", 1), "statspout"),
    ],
)
def test_the_environment_says_where_the_server_is(
    environ: dict[str, str], address: Address | None, dialect: str
) -> None:
    assert place(environ) == (address, dialect)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({FLUX: "localhost"}, f"{FLUX} parse error: missing colon delimiter in 'localhost': host:port is right"),
        ({FLUX: ""}, f"{FLUX} parse error: missing colon delimiter in '': host:port is right"),
        ({OURS: "h:x"}, f"{OURS} parse error: port 'x' in 'h:x': a number from 1 to 65535 is right"),
        ({"DD_DOGSTATSD_PORT": "x"}, "DD_DOGSTATSD_PORT parse error: port 'x' in 'localhost:x': a number from"),
        ({"DD_DOGSTATSD_URL": "http://a"}, "DD_DOGSTATSD_URL parse error: no such transport 'http'"),
        ({OURS: "h:1", "STATSPOUT_CLIENT_DIALECT": "x"}, "STATSPOUT_CLIENT_DIALECT: no such dialect 'x': there are "),
    ],
)
def test_a_mistake_in_the_environment_is_said_once_and_nothing_is_sent(
    environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    clients = [StatsD(), StatsD()]
    clients[0].count("a")
    assert [client.enabled() for client in clients] == [False, False]
    assert len(caplog.records) == 1
    assert caplog.records[0].message.startswith(said)
    assert caplog.records[0].message.endswith("nothing is sent")


def test_a_client_without_arguments_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink() as sink:
        monkeypatch.setenv(OURS, sink.address)
        monkeypatch.setenv("STATSPOUT_CLIENT_DIALECT", "telegraf")
        with StatsD(period=0) as client, StatsD(period=0, dialect="etsy") as other:
            client.count("a", tags={"k": "v"})
            other.count("a", tags={"k": "v"})
            assert sink.lines() == ["a,k=v:1|c", "a;k=v:1|c"]


def test_what_dogstatsd_puts_on_everything_is_on_everything_in_its_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"DD_ENTITY_ID": "pod", "DD_ENV": "prod", "DD_SERVICE": "shop", "DD_VERSION": ""}
    assert constant_tags(environ) == {"dd.internal.entity_id": "pod", "env": "prod", "service": "shop"}
    with Sink() as sink:
        for name, value in {**environ, "DD_DOGSTATSD_URL": f"udp://{sink.address}"}.items():
            monkeypatch.setenv(name, value)
        with StatsD(period=0, tags={"service": "mine"}) as client, StatsD(sink.address, period=0) as plain:
            client.count("a")
            plain.count("a")
            assert sink.lines() == ["a:1|c|#dd.internal.entity_id:pod,env:prod,service:mine", "a:1|c"]


LOADED = "import sys; before = set(sys.modules); {}; print(*sorted(set(sys.modules) - before))"


def loaded_by(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {LOADED.format(statement)}"],
        capture_output=True, text=True, check=True, env={},
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_client_loads_little_and_nothing_of_statspout_but_itself() -> None:
    heavy = {"asyncio", "logging", "socket", "random", "inspect", "decimal", "json", "msgspec", "ssl", "selectors"}
    bare = loaded_by("import statspout.client")
    assert not bare & (heavy | {"threading", "queue"} | {"statspout.client.statsd"})
    off = loaded_by("from statspout.client import StatsD; c = StatsD(); c.count('a'); c.timing('t', 2.5)")
    assert not off & heavy
    assert {name for name in off if name.startswith("statspout.")} <= {"statspout.client"} | {
        name for name in off if name.startswith("statspout.client.")
    }
    on = loaded_by("from statspout.client import StatsD; c = StatsD('127.0.0.1:9'); c.count('a'); c.flush()")
    assert not on & (heavy - {"socket", "selectors"})
