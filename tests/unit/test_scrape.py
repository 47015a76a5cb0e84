"""Who scrapes gets the format and the encoding that it asks for."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Mapping
from contextlib import closing

import pytest
from support.web import Answer, served

from statspout.exposition import OPENMETRICS, TEXT, Format
from statspout.health import Health
from statspout.repositories.prometheus import Prometheus
from statspout.scrape import negotiate, wants_gzip
from statspout.telemetry import Heard, Telemetry
from statspout.testing import samples

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_5 = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;"
    "q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_2_5, TEXT),
        (BROWSER, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("image/png", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ('Application/OpenMetrics-Text; Version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=nan,*/*;q=0", TEXT),
        ("application/openmetrics-text;q=x", TEXT),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", TEXT),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.4", OPENMETRICS),
        ("application/openmetrics-text,text/plain", TEXT),
        ("application/openmetrics-text;q=0.2,*/*;q=0.1", OPENMETRICS),
        ("application/openmetrics-text;q=0.2,text/*;q=0.3", TEXT),
        (",;,q=1;;=,", TEXT),
    ],
)
def test_the_format_is_the_one_that_is_preferred_or_text(accept: str, chosen: Format) -> None:
    assert negotiate(accept) is chosen


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*;q=1, gzip;q=0", False),
        ("deflate, br", False),
        ("", False),
    ],
)
def test_gzip_is_for_those_who_take_it(accept: str, wanted: bool) -> None:
    assert wants_gzip(accept) == wanted


@pytest.mark.parametrize("made", ["prometheus", "health"])
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_2_42, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_both_pages_are_served_as_asked_for(made: str, accept: str, content_type: str) -> None:
    repository = Prometheus()
    repository.push(samples(20))
    routes = repository.routes() if made == "prometheus" else Health([Telemetry()], Heard(), [], 5.0).routes()
    with served(routes) as client:
        plain = ask(client.port, {"Accept": accept})
        packed = ask(client.port, {"Accept": accept, "Accept-Encoding": "gzip"})
    assert plain.headers["content-type"] == packed.headers["content-type"] == content_type
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert plain.body.endswith(b"# EOF\n") == content_type.startswith("application")
    assert len(packed.body) < len(plain.body) / 2
    if made == "prometheus":
        assert gzip.decompress(packed.body) == plain.body


def ask(port: int, headers: Mapping[str, str]) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/metrics", headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
