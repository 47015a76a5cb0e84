"""Who is answered over HTTP: by a token, by a name and its password; and what a request may not be."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from support.web import Client, served

from statspout.cmd.main import main
from statspout.daemon import Daemon
from statspout.errors import ConfigError
from statspout.repositories.rest import Rest
from statspout.repositories.stdout import Stdout
from statspout.repository import Repository
from statspout.settings import Settings
from statspout.web import application, serving
from statspout.web.access import Access
from statspout.web.address import is_loopback

TOKEN = "5f1c-token"
BASIC = 'Basic realm="statspout", charset="UTF-8"'
BEARER = 'Bearer realm="statspout"'


async def answer(_: Request) -> Response:
    return PlainTextResponse("yes")


def routes() -> list[Route]:
    return [Route("/x", answer), Route("/healthz", answer)]


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Client]:
    """A server that takes a token, or a user with a password that has a colon and no ASCII in it."""
    with served(routes(), Access(TOKEN, "ann", "pä:ss"), open_paths=["/healthz"]) as client:
        yield client


@pytest.mark.parametrize("sent", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic("ann:pä:ss"), Access(TOKEN).header])
def test_who_has_the_secret_is_answered(guarded: Client, sent: str) -> None:
    assert guarded.ask("/x", headers={"Authorization": sent}).body == b"yes"


@pytest.mark.parametrize(
    "sent",
    [
        "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, f"Digest {TOKEN}",
        basic("ann:"), basic("ann:pä:sS"), basic("bob:pä:ss"), basic("pä:ss"), "Basic !!!", "Basic ä", "Bearer \xff",
        f"Bearer {TOKEN}{'x' * 20_000}", f"Bearer {base64.b64encode(b'ann:').decode()}",
    ],
)  # fmt: skip
def test_everybody_else_is_not_and_learns_nothing(guarded: Client, sent: str) -> None:
    refused = guarded.ask("/x", headers={"Authorization": sent.encode("latin-1").decode("latin-1")} if sent else {})
    assert (refused.status, refused.json()) == (401, {"error": "credentials are needed"})
    assert refused.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("access", "challenges"),
    [
        (Access(TOKEN), [BEARER]),
        (Access(None, "ann", "9-w0rd"), [BASIC]),
        (Access(TOKEN, "ann", "9-w0rd"), [BASIC, BEARER]),
    ],
)
def test_a_refusal_says_what_would_be_taken(access: Access, challenges: list[str]) -> None:
    with served(routes(), access) as client, socket.create_connection(("127.0.0.1", client.port), timeout=5) as raw:
        raw.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = b"".join(iter(lambda: raw.recv(65536), b"")).decode().partition("\r\n\r\n")[0]
    said = [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("www-authenticate: ")]
    assert said == challenges


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("POST", "/x"), ("HEAD", "/x"), ("GET", "/"), ("GET", "/healthz/x")]
)
def test_without_credentials_no_path_says_whether_it_is_there(guarded: Client, method: str, path: str) -> None:
    assert guarded.ask(path, method).status == 401


@pytest.mark.parametrize("path", ["/healthz", "/healthz/", "/%68ealthz"])
def test_what_is_for_everybody_needs_no_credentials(guarded: Client, path: str) -> None:
    assert guarded.ask(path).status == 200


@pytest.mark.parametrize("path", ["/healthz/../x", "//healthz", "/x?/healthz", "/healthz%2f..%2fx", "/x#/healthz"])
def test_no_spelling_of_it_leads_past_the_door(guarded: Client, path: str) -> None:
    assert guarded.ask(path).status == 401


def test_a_path_is_open_only_where_it_was_mounted_so() -> None:
    with served(routes(), Access(TOKEN)) as client:
        assert client.ask("/healthz").status == 401


def test_what_is_wrong_with_credentials_is_said_to_those_who_have_them(guarded: Client) -> None:
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.ask("/nothing", headers=known).status == 404
    refused = guarded.ask("/x", "DELETE", headers=known)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"token": "with space"}, "--web.token: the value is wrong: ASCII without white space is right"),
        ({"token": "tökén"}, "--web.token: the value is wrong: ASCII without white space is right"),
        ({"user": "a:b", "password": "x"}, "--web.user: 'a:b' is wrong: a name without a colon is right"),
        ({"user": "ann"}, "--web.user: --web.password-file has to come with it"),
        ({"password": "x"}, "--web.password: --web.user has to come with it"),
        ({"user": "ann", "password": "two\nlines"}, "--web.password: the value is wrong: one line of text is right"),
    ],
)
def test_what_cannot_be_sent_is_a_config_error(keywords: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Access(**keywords)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--web.token-file={}/missing"], "--web.token-file: {}/missing cannot be read: No such file or directory"),
        (["--web.token-file={}/empty"], "--web.token-file: {}/empty is empty: a file with the secret in it is right"),
        (["--web.token-file={}/two"], "--web.token-file: the value is wrong: ASCII without white space is right"),
        (["--web.user=ann"], "--web.user: --web.password-file has to come with it"),
        (["--web.password-file={}/empty"], "--web.password-file: {}/empty is empty: a file with the secret in it"),
        (["--web.token=x"], "--web.token: there is no such flag: did you mean --web.token-file?"),
    ],
)
@pytest.mark.parametrize("command", [[], ["check"], ["health", "--health.address=:1"]])
def test_a_wrong_file_ends_the_program_with_one_line(
    command: list[str], flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "two").write_text("two words")
    assert main([*command, *(flag.format(tmp_path) for flag in flags)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said.format(tmp_path) in err


def test_no_secret_is_shown_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text(f"{TOKEN}\n")
    flags = [f"--web.token-file={tmp_path / 'secret'}", "--web.user=ann", f"--web.password-file={tmp_path / 'secret'}"]
    encoded = base64.b64encode(f"ann:{TOKEN}".encode()).decode()
    for command, shown in (("check", "web.token=***"), ("config", "#token-file =")):
        assert main([command, "--demo", *flags, "--log.level=debug"]) == 0
        said = "".join(capsys.readouterr())
        assert shown in said
        assert TOKEN not in said
        assert encoded not in said
    assert TOKEN not in repr(Settings(web_token=TOKEN, web_user="ann", web_password=TOKEN))


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("node7", False)],
)  # fmt: skip
def test_a_loopback_is_known(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one


def started(repository: Repository, **settings: str) -> None:
    """Start a daemon, and end it at once."""
    stop = asyncio.Event()
    stop.set()
    asyncio.run(Daemon(Settings(demo=True, **settings), [repository]).run(stop))  # type: ignore[arg-type]  # all texts


@pytest.mark.parametrize(
    ("address", "settings", "said"),
    [
        ("127.0.0.1:0", {}, []),
        (":0", {}, ["whoever reaches these addresses is answered, unencrypted: docs/security.md"]),
        ("127.0.0.1:0", {"web_token": TOKEN}, []),
        (":0", {"web_token": TOKEN},
         ["what is served, and the credentials for it, pass the network unencrypted: docs/security.md"]),
    ],
)  # fmt: skip
def test_one_line_says_what_the_network_can_see(
    address: str, settings: dict[str, str], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    started(Rest(address=address), **settings)
    assert [line for line in caplog.messages if "docs/security.md" in line] == said


@pytest.mark.parametrize(("settings", "said"), [({}, 0), ({"web_token": TOKEN}, 1)])
def test_credentials_for_nothing_are_said_to_have_no_effect(
    settings: dict[str, str], said: int, caplog: pytest.LogCaptureFixture
) -> None:
    started(Stdout(), **settings)
    assert caplog.messages.count("--web.* has no effect: nothing is served") == said


def test_a_body_that_is_too_long_is_refused(guarded: Client) -> None:
    with served(routes()) as client:
        fits = client.ask("/x", body=bytes(application.MOST_BODY_BYTES))
        refused = client.ask("/x", headers={"Content-Length": str(application.MOST_BODY_BYTES + 1)})
    assert fits.status == 200
    assert (refused.status, refused.headers["connection"]) == (413, "close")
    assert list(refused.json()) == ["error"]


def test_what_is_no_http_gets_the_same_shape_of_error() -> None:
    with served(routes()) as client, socket.create_connection(("127.0.0.1", client.port), timeout=5) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        head, _, body = b"".join(iter(lambda: raw.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n")
    assert body == b'{"error":"this is no HTTP request"}'


def test_too_many_connections_that_are_all_busy_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 0)
    with served(routes()) as client:
        refused = client.ask("/x")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json() == {"error": "there are too many connections"}


def test_no_answer_tells_what_serves_it_or_is_taken_for_a_page() -> None:
    with served(routes()) as client:
        answers = [client.ask("/x"), client.ask("/nothing")]
    for each in answers:
        assert each.headers["x-content-type-options"] == "nosniff"
        assert "server" not in {name.lower() for name in each.headers}
