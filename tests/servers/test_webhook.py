"""The webhook, posting to a real HTTP server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.daemon import Daemon, run_program
from support.ports import free_port
from support.receiver import Receiver, Reply
from support.standstill import PATIENCE, running_time

from statspout import Rejected, Repository, RepositoryError, RetryAfter, Sample, TooLarge
from statspout.repositories.webhook import Webhook
from statspout.shapes import rest_object, sample_object
from statspout.testing import RepositoryContract, metrics, sample, samples

CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nso f"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def opened(receiver: Receiver, **settings: Any) -> Webhook:
    given: dict[str, Any] = {"url": receiver.url, "timeout": PATIENCE} | settings
    webhook = Webhook(**given)
    webhook.open()
    return webhook


class TestWebhook(RepositoryContract):
    @pytest.fixture(autouse=True)
    def _receiver(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def make(self) -> Repository:
        return Webhook(url=self.receiver.url)

    def stored(self, repository: Repository) -> Sequence[object]:
        return [one for posted in self.receiver.stored for one in posted.json()]


class TestWebhookCompressed(TestWebhook):
    def make(self) -> Repository:
        return Webhook(url=self.receiver.url, gzip=True)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_batch_is_one_array_of_the_objects_that_rest_serves(receiver: Receiver, compressed: bool) -> None:
    batch = [*samples(3), sample("huge", rx_bytes=2**64 - 1), sample("half\udc80")]
    opened(receiver, gzip=compressed).push(batch)
    (posted,) = receiver.posted
    assert posted.json() == json.loads(json.dumps([rest_object(one) for one in batch]))
    assert (posted.path, posted.headers["content-type"]) == ("/samples", "application/json")
    assert posted.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert posted.json()[3]["rx_bytes"] == 2**64 - 1


def test_what_applications_report_is_in_the_same_array(receiver: Receiver) -> None:
    batch: list[Sample] = [sample(), *metrics()]
    opened(receiver).push(batch)
    (posted,) = receiver.posted
    assert posted.json() == json.loads(json.dumps([sample_object(one) for one in batch]))
    assert [one.get("kind") for one in posted.json()] == [None, *(one.kind for one in metrics())]


def test_connections_are_used_again(receiver: Receiver) -> None:
    receiver.replies.extend([Reply(200, body=b"thank you"), Reply(503, body=b"busy"), Reply(201, body=b"{}" * 9000)])
    webhook = opened(receiver)
    webhook.push(samples(1))
    with pytest.raises(RepositoryError):
        webhook.push(samples(1))
    for _ in range(3):
        webhook.push(samples(1))
    webhook.close()
    assert [posted.connection for posted in receiver.posted] == [1, 1, 1, 1, 1]
    receiver.wait_closed(1)


def test_a_long_answer_costs_its_connection_and_no_more_than_that(receiver: Receiver) -> None:
    receiver.replies.append(Reply(200, body=b"x" * 10_000_000))
    webhook = opened(receiver)
    webhook.push(samples(1))
    webhook.push(samples(1))
    assert [posted.connection for posted in receiver.posted] == [1, 2]


def test_a_connection_that_the_server_closed_meanwhile_costs_nothing() -> None:
    with Receiver(idle=0.05) as receiver:
        webhook = opened(receiver)
        for count in (1, 2, 3):
            webhook.push(samples(1))
            receiver.wait_closed(count)
    assert [posted.connection for posted in receiver.posted] == [1, 2, 3]


@pytest.mark.parametrize(
    ("said", "connection"), [("timeout=1", 2), ("timeout=1, max=100", 2), ("max=5", 1), ("timeout=60", 1)]
)
def test_a_connection_is_given_up_before_the_server_would_close_it(
    receiver: Receiver, said: str, connection: int
) -> None:
    receiver.replies.append(Reply(200, {"Keep-Alive": said}))
    webhook = opened(receiver)
    webhook.push(samples(1))
    webhook.push(samples(1))
    assert receiver.posted[1].connection == connection


def test_a_silent_server_is_told_after_the_timeout(receiver: Receiver) -> None:
    receiver.replies.append(Reply(delay=PATIENCE))
    webhook, began = opened(receiver, timeout=0.2), running_time()
    with pytest.raises(RepositoryError, match=rf"^no answer from {receiver.address} within 0.2 s$"):
        webhook.push(samples(1))
    assert running_time() - began < 2
    webhook.timeout = PATIENCE
    webhook.push(samples(1))


def test_a_server_that_reads_nothing_is_told_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        webhook = Webhook(url=f"http://{address}/", timeout=0.2)
        webhook.open()
        with pytest.raises(RepositoryError, match=rf"^no answer from {address} within 0.2 s$"):
            webhook.push(samples(20_000))


def test_nobody_there_is_one_line() -> None:
    address = f"127.0.0.1:{free_port()}"
    webhook = Webhook(url=f"http://me:hidden-word@{address}/?token=hidden-token")
    webhook.open()
    with pytest.raises(RepositoryError, match=rf"^{address}: Connection refused$"):
        webhook.push(samples(1))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "Remote end closed connection without response"),
        (b"SSH-2.0-nobody\r\n", "no HTTP from 127.0.0.1"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 abc OK"),
        (b"\x00\xff\x00" * 100_000, "got more than 65536 bytes when reading status line"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, "got more than 100 headers"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\nno tod", "HTTP 503"),
        (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP 503"),
        (b"HTTP/1.1 503 Busy\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", "HTTP 503"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: many\r\n\r\nno", "HTTP 503: no"),
    ],
)
def test_a_cut_or_senseless_answer_stores_nothing(receiver: Receiver, raw: bytes, told: str) -> None:
    receiver.replies.append(Reply(raw=raw))
    webhook = opened(receiver)
    with pytest.raises(RepositoryError) as caught:
        webhook.push(samples(1))
    assert told in str(caught.value)
    assert not isinstance(caught.value, Rejected)
    webhook.close()
    webhook.open()
    webhook.push(samples(1))


@pytest.mark.parametrize(
    "raw",
    [
        CUT,
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nfine",
        b"HTTP/1.1 299 ?\r\nTransfer-Encoding: chunked\r\n\r\nzz",
    ],
)
def test_what_was_stored_by_the_status_is_not_sent_again_for_the_rest_of_the_answer(
    receiver: Receiver, raw: bytes
) -> None:
    receiver.replies.append(Reply(raw=raw))
    webhook = opened(receiver)
    webhook.push(samples(1))
    receiver.wait_closed(1)
    webhook.push(samples(1))
    assert len(receiver.posted) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_where_it_points_is_told(receiver: Receiver, status: int) -> None:
    receiver.replies.append(Reply(status, {"Location": f"{receiver.url}/v2"}))
    with pytest.raises(
        RepositoryError, match=rf"HTTP {status}: {receiver.address} points to {receiver.url}/v2: "
    ) as caught:
        opened(receiver).push(samples(1))
    assert not isinstance(caught.value, Rejected)
    assert len(receiver.posted) == 1


@pytest.mark.parametrize(("status", "kind"), [(413, TooLarge), (422, Rejected), (429, RetryAfter)])
def test_a_refusal_is_of_its_kind_and_tells_what_the_server_said(
    receiver: Receiver, status: int, kind: type[RepositoryError]
) -> None:
    receiver.replies.append(Reply(status, {"Retry-After": "7"}, b'{"error": "not\n today"}'))
    with pytest.raises(kind, match=rf'HTTP {status}: {{"error": "not today"}}') as caught:
        opened(receiver).push(samples(1))
    assert type(caught.value) is kind


def test_headers_and_credentials_arrive(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    opened(receiver, token="t-o-k-e-n", headers="X-Scope: a: b\n\nX-More: 1\n").push(samples(1))
    opened(receiver, url=receiver.url.replace("//", "//m%C3%A9:p%40ss@")).push(samples(1))
    opened(receiver).push(samples(1))
    first, second, third = (posted.headers for posted in receiver.posted)
    assert (first["authorization"], first["x-scope"], first["x-more"]) == ("Bearer t-o-k-e-n", "a: b", "1")
    assert second["authorization"] == "Basic bcOpOnBAc3M="
    assert "authorization" not in third


def test_tls_with_an_authority_of_our_own(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.ca))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other.ca))
    with Receiver(authority=authority) as receiver:
        webhook = opened(receiver, tls_ca=str(authority.ca))
        webhook.push(samples(2))
        webhook.push(samples(2))
    assert [(len(posted.json()), posted.connection) for posted in receiver.posted] == [(2, 1), (2, 1)]


@pytest.mark.parametrize("settings", [{}, {"tls_ca": "other"}])
def test_a_certificate_of_another_authority_gets_nothing(
    authority: Authority, settings: dict[str, str], tmp_path: Path
) -> None:
    if settings:
        settings = {"tls_ca": str(Authority(tmp_path / "other").ca)}
    with Receiver(authority=authority) as receiver:
        with pytest.raises(RepositoryError, match=rf"^TLS with {receiver.address}: .*certificate") as caught:
            opened(receiver, **settings).push(samples(1))
        assert receiver.posted == []
    assert "\n" not in str(caught.value)


def test_a_certificate_for_another_name_gets_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path, server="DNS:elsewhere.example")
    with Receiver(authority=authority) as receiver:
        with pytest.raises(RepositoryError, match=r"IP address mismatch.*'127\.0\.0\.1'"):
            opened(receiver, tls_ca=str(authority.ca)).push(samples(1))
        assert receiver.posted == []


def test_plain_http_where_tls_was_meant_is_told(receiver: Receiver) -> None:
    with pytest.raises(RepositoryError, match=f"^TLS with {receiver.address}: "):
        opened(receiver, url=receiver.url.replace("http:", "https:")).push(samples(1))


def test_the_environments_authorities_count_without_one_of_our_own(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca))
    with Receiver(authority=authority) as receiver:
        opened(receiver).push(samples(1))
    assert len(receiver.posted) == 1


def test_the_environments_proxy_is_used_and_told_when_it_is_not_there(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://{receiver.address}")
    monkeypatch.delenv("no_proxy", raising=False)
    opened(receiver, url="http://hooks.example/in").push(samples(1))
    assert [posted.path for posted in receiver.posted] == ["http://hooks.example/in"]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RepositoryError, match=r"^the proxy to hooks\.example: Connection refused$"):
        opened(receiver, url="http://hooks.example/in").push(samples(1))


def test_a_server_that_reads_no_more_than_the_headers_of_a_large_batch_is_understood() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        webhook = Webhook(url=f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=PATIENCE)
        webhook.open()
        threading.Thread(target=_refuse_at_once, args=(server,), daemon=True).start()
        with pytest.raises(TooLarge, match="HTTP 413: big"):
            webhook.push(samples(500))


def _refuse_at_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while b"\r\n\r\n" not in connection.recv(65536, socket.MSG_PEEK):
            pass
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def test_the_program_posts_what_it_collects(receiver: Receiver) -> None:
    done = run_program("--demo", "--once", "--repository=webhook", f"--webhook.url={receiver.url}", "--webhook.gzip")
    assert done.code == 0, done.err
    names = {one["name"] for posted in receiver.posted for one in posted.json()}
    assert {"shop-api-1", "shop-db-1", "shop-worker-1"} <= names


def test_one_sample_that_is_refused_costs_no_other_and_a_busy_server_costs_none(receiver: Receiver) -> None:
    receiver.refuse = lambda batch: any(one["name"] == "shop-db-1" for one in batch)
    receiver.replies.extend([Reply(503), Reply(413)])
    settings = ("--repository=webhook", f"--webhook.url={receiver.url}", "--interval=1")
    with Daemon("--demo", *settings) as daemon:
        daemon.wait_for_line("webhook: 1 sample rejected: HTTP 400: not this")
        daemon.eventually(lambda: {"shop-api-1", "shop-worker-1"} <= receiver.stored_names())
        assert "webhook: push failed: HTTP 503; " in daemon.log
    assert "shop-db-1" not in receiver.stored_names()


def test_the_password_in_the_url_is_in_no_line_of_the_log(receiver: Receiver) -> None:
    url = receiver.url.replace("//", "//somebody:pass-word@") + "?key=secret-key"
    receiver.replies.append(Reply(401, body=b"somebody:pass-word may not, secret-key"))
    with Daemon(
        "--demo", "--repository=webhook", "--interval=1", "--log.level=debug", f"--webhook.url={url}"
    ) as daemon:
        daemon.wait_for_line("webhook: works again")
        assert "webhook.url=http://somebody:***@127.0.0.1:" in daemon.log
        assert "HTTP 401: somebody:*** may not, ***" in daemon.log
        assert "pass-word" not in daemon.log
        assert "secret-key" not in daemon.log
