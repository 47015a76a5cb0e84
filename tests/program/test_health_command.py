"""``statspout health`` against a daemon, against nobody, and against somebody else."""

from __future__ import annotations

import itertools
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from support.certificates import Authority
from support.daemon import Daemon
from support.ports import free_port
from support.web import served

from statspout.cmd.main import main
from statspout.testing import FakeEngine


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """Where a daemon with one container serves its health, on every interface."""
    with FakeEngine() as engine:
        engine.add("web")
        arguments = [f"--socket.path={engine.socket_path}", "--interval=60", "--health.address=0.0.0.0:0"]
        with Daemon(*arguments, "--stdout.format=json") as daemon:
            daemon.eventually(lambda: daemon.samples("web"))
            found = re.search(r":(\d+)$", daemon.wait_for_line(" health.address: http://"))
            assert found is not None
            yield found[1]


@pytest.mark.parametrize("form", ["flag", "variable", "file"])
def test_it_is_well_when_samples_come(
    port: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = []
    if form == "flag":
        arguments = [f"--health.address=:{port}"]
    elif form == "variable":
        monkeypatch.setenv("STATSPOUT_HEALTH_ADDRESS", f"127.0.0.1:{port}")
    else:
        (tmp_path / "statspout.toml").write_text(f'[health]\naddress = "0.0.0.0:{port}"\n')
        arguments = [f"--config={tmp_path / 'statspout.toml'}"]
    assert main(["health", *arguments]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("ready, 1 container\n", "")


def test_it_says_why_none_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Daemon(f"--socket.path={tmp_path / 'nobody'}", "--health.address=127.0.0.1:0") as daemon:
        address = daemon.wait_for_line(" health.address: http://").rpartition("//")[2]
        assert main(["health", f"--health.address={address}"]) == 1
    expected = "not ready: the engine has not listed its containers yet, 0 containers\n"
    assert capsys.readouterr() == (expected, "")


def web_flags(folder: Path, who: Authority) -> list[str]:
    (folder / "token").write_text("5f1c-token")
    return [f"--web.tls-cert={who.cert('server')}", f"--web.tls-key={who.key('server')}",
            f"--web.token-file={folder / 'token'}"]  # fmt: skip


def test_it_asks_by_tls_and_with_the_token_of_the_same_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A name that is not the one that is asked for: the certificate itself is what is known.
    authority, other = Authority(tmp_path / "one", "DNS:node7.example"), Authority(tmp_path / "other")
    flags = web_flags(tmp_path, authority)
    with Daemon(f"--socket.path={tmp_path / 'nobody'}", "--health.address=127.0.0.1:0", *flags) as daemon:
        address = daemon.wait_for_line(" health.address: https://").rpartition("//")[2]
        asked = {
            "its settings": flags,
            "another certificate": web_flags(tmp_path, other),
            "no token": flags[:2],
            "no tls": flags[2:],
        }
        codes = {what: main(["health", f"--health.address={address}", *those]) for what, those in asked.items()}
    assert codes == dict.fromkeys(asked, 1)
    out, err = capsys.readouterr()
    assert out == "not ready: the engine has not listed its containers yet, 0 containers\n"
    said = [line.partition("/readyz: ")[2] for line in err.splitlines()]
    assert said == [
        "it has another certificate than that of --web.tls-cert",
        "it wants other credentials: those of the daemon's --web.* settings are right",
        said[2],
    ]


def test_while_a_certificate_is_renewed_it_waits_for_the_other_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statspout.cmd.health._RENEWAL", 60.0)
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copyfile(old.cert("server"), cert)
    shutil.copyfile(old.key("server"), key)
    flags = [f"--web.tls-cert={cert}", f"--web.tls-key={key}"]
    with Daemon(f"--socket.path={tmp_path / 'nobody'}", "--health.address=127.0.0.1:0", *flags) as daemon:
        address = daemon.wait_for_line(" health.address: https://").rpartition("//")[2]
        shutil.copyfile(new.cert("server"), cert)
        other_half = threading.Timer(0.3, shutil.copyfile, (new.key("server"), key))
        other_half.start()
        code = main(["health", f"--health.address={address}", *flags])
        other_half.join()
    expected = "not ready: the engine has not listed its containers yet, 0 containers\n"
    assert (code, *capsys.readouterr()) == (1, expected, "")


def test_it_says_that_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert main(["health", f"--health.address={address}"]) == 1
    assert capsys.readouterr() == ("", f"statspout: http://{address}/readyz: Connection refused\n")


ODD = '{"ready": 1, "reason": [], "containers": "x", "queued": {}, "dropped": null}'


@pytest.mark.parametrize("body", ["Welcome to nginx!", "[]", "{}", "[" * 100_000, ODD])
def test_it_knows_the_answer_of_somebody_else(body: str, capsys: pytest.CaptureFixture[str]) -> None:
    with served([Route("/readyz", lambda _: PlainTextResponse(body))]) as client:
        assert main(["health", f"--health.address=127.0.0.1:{client.port}"]) == 1
    assert capsys.readouterr().err.endswith("/readyz: the answer is not statspout's\n")


def answering(*parts: bytes) -> Iterator[int]:
    """A server of nothing but these bytes, the last of them over and over again."""

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as client:
            client.recv(2**16)
            for part in itertools.chain(parts, itertools.repeat(parts[-1], 100)):
                client.sendall(part)
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_an_answer_that_does_not_end_is_not_waited_for(
    begins: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("statspout.cmd.health._PATIENCE", 0.5)
    with contextmanager(answering)(begins, b"X: y\r\n") as port:
        assert main(["health", f"--health.address=127.0.0.1:{port}"]) == 1
    assert capsys.readouterr().err.endswith("/readyz: it did not answer within 0.5 s\n")


def test_whoever_answers_has_a_short_line_that_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    state = {"ready": False, "reason": "\x1b[31mred\x07\n" * 100, "containers": 1, "queued": {}, "dropped": {}}
    with served([Route("/readyz", lambda _: JSONResponse(state, 503))]) as client:
        assert main(["health", f"--health.address=127.0.0.1:{client.port}"]) == 1
    with contextmanager(answering)(b"\x00\x1b[31m\xff" * 1000 + b"\n") as port:
        assert main(["health", f"--health.address=127.0.0.1:{port}"]) == 1
    out, err = capsys.readouterr()
    for line in (out, err):
        assert line.removesuffix("\n").isprintable()
        assert 100 < len(line) < 600


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 1, "--health.address is not set: an address such as 127.0.0.1:8081"),
        (["--health.address=:0"], 1, "--health.address: :0: the daemon's log says which port that became"),
        (["--health.address=8081"], 2, "--health.address: '8081' is wrong: host:port such as"),
    ],
)
def test_an_address_that_cannot_be_asked_is_one_line(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATSPOUT_HEALTH_ADDRESS", raising=False)
    assert main(["health", *arguments]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
