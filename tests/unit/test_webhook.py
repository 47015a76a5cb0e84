"""The webhook's settings, and what each status of an answer means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import responses
from requests.exceptions import ChunkedEncodingError, ConnectTimeout, ReadTimeout

import statspout
from statspout import ConfigError, Rejected, RepositoryError, RetryAfter, TooLarge
from statspout.config import configure
from statspout.logs import censored
from statspout.repositories.webhook import Webhook
from statspout.testing import sample, samples

URL = "https://hooks.example/in"
NOT_FOLLOWED = "redirects are not followed: --webhook.url has to be where it ends"


def push(url: str = URL, count: int = 1, **settings: Any) -> None:
    webhook = Webhook(url=url, **settings)
    webhook.open()
    try:
        webhook.push(samples(count))
    finally:
        webhook.close()


@responses.activate
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_stored(status: int) -> None:
    responses.post(URL, status=status, body="" if status == 204 else "whatever")
    push()
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("status", "headers", "kind", "told"),
    [
        (400, {}, Rejected, "HTTP 400: no"),
        (422, {}, Rejected, "HTTP 422: no"),
        (413, {}, TooLarge, "HTTP 413: no"),
        (401, {}, RepositoryError, "HTTP 401: no: the credentials are wrong, or lack the right to write"),
        (403, {}, RepositoryError, "HTTP 403: no: the credentials are wrong, or lack the right to write"),
        (404, {}, RepositoryError, "HTTP 404: no"),
        (405, {}, RepositoryError, "HTTP 405: no"),
        (408, {}, RepositoryError, "HTTP 408: no"),
        (429, {"Retry-After": "30"}, RetryAfter, "HTTP 429: no (30 s)"),
        (429, {}, RepositoryError, "HTTP 429: no"),
        (500, {}, RepositoryError, "HTTP 500: no"),
        (503, {"Retry-After": "5"}, RetryAfter, "HTTP 503: no (5 s)"),
        (503, {"Retry-After": "soon"}, RepositoryError, "HTTP 503: no"),
        (304, {}, RepositoryError, "HTTP 304"),
        (307, {"Location": "/v2"}, RepositoryError, f"HTTP 307: hooks.example points to /v2: {NOT_FOLLOWED}"),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, headers: dict[str, str], kind: type[Exception], told: str) -> None:
    responses.post(URL, status=status, body="no", headers=headers)
    with pytest.raises(RepositoryError) as caught:
        push()
    assert (type(caught.value), str(caught.value)) == (kind, told)
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectTimeout(), "no connection to hooks.example within 10 s"),
        (ReadTimeout(), "no answer from hooks.example within 10 s"),
        (ChunkedEncodingError("cut"), "hooks.example: cut"),
        (OSError("Could not find a suitable TLS CA certificate bundle"),
         "hooks.example: Could not find a suitable TLS CA certificate bundle"),
    ],
)  # fmt: skip
def test_an_error_of_the_client_is_one_line(error: Exception, told: str) -> None:
    responses.post(URL, body=error)
    with pytest.raises(RepositoryError) as caught:
        push()
    assert (type(caught.value), str(caught.value)) == (RepositoryError, told)


@responses.activate
def test_who_we_are_and_what_it_is_are_in_the_headers() -> None:
    responses.post(URL)
    push(headers="user-agent: mine\nX-A: b")
    push()
    first, second = (call.request.headers for call in responses.calls)
    assert (first["User-Agent"], first["X-A"]) == ("mine", "b")
    assert second["User-Agent"] == f"statspout/{statspout.__version__}"
    assert second["Content-Type"] == "application/json"
    assert "Content-Encoding" not in second


@responses.activate
@pytest.mark.parametrize("status", [401, 500])
def test_no_secret_comes_into_a_log_line(
    status: int, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "https://somebody:pass%2Fword-1@hooks.example/in?a=b&api_key=query-secret"
    secrets = ["pass/word-1", "pass%2Fword-1", "query-secret", "header-secret", "c29tZWJvZHk6cGFzcy93b3JkLTE="]
    webhook = Webhook(url=url, headers="X-Secret: Token header-secret")
    responses.post("https://hooks.example/in", status=status, body=f"I heard {' '.join(secrets)}")
    webhook.open()
    with pytest.raises(RepositoryError) as caught:
        webhook.push([sample()])
    for text in (repr(webhook), str(caught.value)):
        assert [secret for secret in secrets if secret in censored(text)] == []
    assert "/in?a=b&api_key=***" in repr(webhook)


@responses.activate
def test_a_token_from_a_file_is_sent_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-in-a-file\n")
    argv = ["--repository=webhook", f"--webhook.url={URL}", f"--webhook.token-file={tmp_path / 'token'}"]
    (webhook,) = configure(argv, {"STATSPOUT_WEBHOOK_HEADERS": "X-One: first-secret\nX-Two: 2"}).repositories
    responses.post(URL)
    webhook.open()
    webhook.push(samples(1))
    sent = responses.calls[0].request.headers
    assert (sent["Authorization"], sent["X-One"], sent["X-Two"]) == ("Bearer a-token-in-a-file", "first-secret", "2")
    assert "a-token-in-a-file" not in repr(webhook)
    assert censored("a-token-in-a-file first-secret") == "*** ***"


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example", "ftp://a/", "http://", "http:///path", "http://a:port/", "http://a:99999/", "http://a:0/",
        "https://u:hidden/word@a/", "http://a b/", "http://a/\nb", "http://[::1/", "http:\\\\a/",
        "https://u:hidden@:443/",
    ],
)  # fmt: skip
def test_a_wrong_url_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^--webhook\.url: .* is wrong: http://host:port/path or https://") as caught:
        Webhook(url=url)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_url_is_required() -> None:
    with pytest.raises(ConfigError, match=r"repository webhook needs --webhook\.url"):
        configure(["--repository=webhook"], {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("X-A", "line 1 is wrong: Name: value"),
        ("X-A: 1\nX B: 2", "line 2 is wrong"),
        ("X-A:", "line 1 is wrong"),
        (": 1", "line 1 is wrong"),
        ("X-A: hidd\x00en", "line 1 is wrong"),
        ("X-A: é", "line 1 is wrong"),
        ("X-A: 1\nx-a: 2", "x-a is there twice"),
        ("content-type: text/plain", "content-type follows from what is sent"),
    ],
)
def test_wrong_headers_are_told_without_their_values(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--webhook\.headers: {told}") as caught:
        Webhook(url=URL, headers=text)
    assert "hidd" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "https://u:p@a/", "token": "t"}, "exclude each other"),
        ({"url": "https://u@a/", "headers": "authorization: x"}, "exclude each other"),
        ({"token": "t", "headers": "Authorization: x"}, "exclude each other"),
        ({"token": "two words"}, r"--webhook\.token: the value is wrong"),
        ({"token": "é"}, r"--webhook\.token: the value is wrong"),
        ({"tls_ca": "/nowhere/ca.pem"}, r"--webhook\.tls-ca: '/nowhere/ca.pem' cannot be read: No such file"),
        ({"tls_ca": __file__}, r"--webhook\.tls-ca: .*test_webhook.py has no certificate in it"),
        ({"url": "http://a/", "tls_ca": __file__}, r"--webhook\.tls-ca: it has no effect on an http:// URL"),
        ({"timeout": 0.0}, r"--webhook\.timeout: 0 is too small"),
    ],
)
def test_settings_that_cannot_be_are_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        Webhook(**({"url": URL} | settings))
    assert "\n" not in str(caught.value)
