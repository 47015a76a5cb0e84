"""HTTPS: certificates, their renewal on disk, and clients that never finish a handshake."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from support.certificates import Authority
from support.standstill import PATIENCE, running_time, undisturbed
from support.web import Client, is_cut_off, running, served

from statspout.cmd.main import main
from statspout.errors import ConfigError
from statspout.settings import Settings
from statspout.web import serving
from statspout.web.server import WebServer
from statspout.web.tls import ServedTls, tls_of


async def answer(_: Request) -> Response:
    return PlainTextResponse("yes")


async def big(_: Request) -> Response:
    return Response(bytes(20_000_000))


ROUTES = [Route("/x", answer), Route("/big", big)]


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    return Authority(tmp_path_factory.mktemp("one")), Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def authority(authorities: tuple[Authority, Authority]) -> Authority:
    return authorities[0]


def tls(authority: Authority) -> ServedTls:
    return ServedTls(str(authority.cert("server")), str(authority.key("server")))


def trusting(authority: Authority, port: int) -> Client:
    return Client(port, ssl.create_default_context(cafile=str(authority.ca)))


@pytest.fixture(scope="module")
def port(authority: Authority) -> Iterator[int]:
    """Where HTTPS is served."""
    with served(ROUTES, tls=tls(authority)) as client:
        yield client.port


def test_it_is_answered_by_tls_only(authority: Authority, port: int) -> None:
    assert trusting(authority, port).ask("/x").body == b"yes"
    with pytest.raises(ConnectionError):
        Client(port).ask("/x")
    assert trusting(authority, port).ask("/big").body == bytes(20_000_000)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_that_are_good_are_spoken(authority: Authority, port: int, version: ssl.TLSVersion) -> None:
    client = trusting(authority, port)
    assert client.context is not None
    client.context.minimum_version = client.context.maximum_version = version
    assert client.ask("/x").status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_version_is_not(authority: Authority, port: int) -> None:
    client = trusting(authority, port)
    assert client.context is not None
    client.context.set_ciphers("ALL:@SECLEVEL=0")
    client.context.minimum_version = client.context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):
        client.ask("/x")


def test_a_connection_can_be_used_again(authority: Authority, port: int) -> None:
    connection = trusting(authority, port)._connection()
    bodies = []
    for _ in range(3):
        connection.request("GET", "/x")
        bodies.append(connection.getresponse().read())
    connection.close()
    assert bodies == [b"yes"] * 3


class Renewable:
    """A certificate and a key in a folder, to be put in the place of each other."""

    def __init__(self, folder: Path, first: Authority) -> None:
        self.cert, self.key = folder / "served.pem", folder / "served.key"
        self.put_cert(first)
        self.put_key(first)

    def put_cert(self, authority: Authority) -> None:
        self._put(authority.cert("server"), self.cert)

    def put_key(self, authority: Authority) -> None:
        self._put(authority.key("server"), self.key)

    def _put(self, source: Path, target: Path) -> None:
        shutil.copyfile(source, f"{target}.new")
        os.replace(f"{target}.new", target)  # noqa: PTH105 - as those who renew certificates do it


def test_a_renewed_certificate_is_served_without_a_restart(
    authorities: tuple[Authority, Authority], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "statspout.web.tls")
    one, other = authorities
    files = Renewable(tmp_path, one)
    with served(ROUTES, tls=ServedTls(str(files.cert), str(files.key))) as client:
        assert trusting(one, client.port).ask("/x").status == 200
        files.put_cert(other)  # half of a renewal: the key is not its own
        assert trusting(one, client.port).ask("/x").status == 200
        files.put_key(other)
        assert trusting(other, client.port).ask("/x").status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            trusting(one, client.port).ask("/x")
        files.cert.unlink()
        assert trusting(other, client.port).ask("/x").status == 200
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == [
        "the certificate before it is served on", "--web.tls-cert", "the certificate before it is served on"
    ]  # fmt: skip


def test_a_client_that_says_no_name_gets_the_renewed_one_too(
    authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    one, other = authorities
    files = Renewable(tmp_path, one)
    with served(ROUTES, tls=ServedTls(str(files.cert), str(files.key))) as client:
        files.put_cert(other)
        files.put_key(other)
        context = ssl.create_default_context(cafile=str(other.ca))
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) as raw,
            context.wrap_socket(raw) as secure,
        ):
            assert secure.getpeercert(binary_form=True) == ServedTls(str(files.cert), str(files.key)).leaf


def broken(folder: Path, authority: Authority, other: Authority) -> dict[str, tuple[Path, Path]]:
    """Pairs of no use, by name."""
    (folder / "nonsense").write_text("nonsense")
    locked = folder / "locked.key"
    Authority._openssl(
        authority, "ec", "-in", str(authority.key("server")), "-aes256", "-passout", "pass:word", "-out", str(locked)
    )
    cert, key = authority.cert("server"), authority.key("server")
    return {
        "no cert": (folder / "missing", key),
        "no key": (cert, folder / "missing"),
        "nonsense": (folder / "nonsense", key),
        "nonsense for a key": (cert, folder / "nonsense"),
        "another's key": (cert, other.key("server")),
        "a key with a password": (cert, locked),
    }


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no cert", "--web.tls-cert: {cert} cannot be read: No such file or directory"),
        ("no key", "--web.tls-key: {key} cannot be read: No such file or directory"),
        ("nonsense", "--web.tls-cert: {cert} with the key {key} cannot be used: "),
        ("nonsense for a key", "--web.tls-cert: {cert} with the key {key} cannot be used: "),
        ("another's key", "cannot be used: key values mismatch: a certificate and its own key, both PEM, are right"),
        ("a key with a password", "--web.tls-cert: {cert} with the key {key} cannot be used: "),
    ],
)
def test_files_of_no_use_end_the_program_with_one_line(
    kind: str, said: str, authorities: tuple[Authority, Authority], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = broken(tmp_path, *authorities)[kind]
    assert main(["--demo", "--repository=rest", f"--web.tls-cert={cert}", f"--web.tls-key={key}"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said.format(cert=cert, key=key) in err


@pytest.mark.parametrize(("given", "missing"), [("cert", "key"), ("key", "cert")])
def test_a_certificate_and_its_key_come_together(given: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"--web\.tls-{given}: --web\.tls-{missing} has to come with it"):
        tls_of(Settings(**{f"web_tls_{given}": "x.pem"}))  # type: ignore[arg-type]  # texts, both of them


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01", b"GET /x HTTP/1.1\r\n\r\n"])
def test_a_handshake_that_does_not_end_is_cut_off(
    first: bytes, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.1)
    with (
        served(ROUTES, tls=tls(authority)) as client,
        socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) as raw,
    ):
        raw.sendall(first)
        assert is_cut_off(raw)
        monkeypatch.setattr(serving, "PATIENCE", PATIENCE)
        assert trusting(authority, client.port).ask("/x").status == 200
    assert not caplog.records


@undisturbed(0.02)
def test_handshakes_that_fail_are_counted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    server = WebServer(tls=tls(authority))
    server.mount("127.0.0.1:0", ROUTES, "a.address", "a")
    with running(server) as (client,):
        for context in (ssl.create_default_context(), None):
            with pytest.raises(OSError):
                Client(client.port, context).ask("/x")
        monkeypatch.setattr(serving, "PATIENCE", 0.1)
        assert trusting(authority, client.port).ask("/x").status == 200
    assert dict(server.refused) == {"handshake": 2}


def hello() -> bytes:
    """How a client begins TLS that says the name localhost."""
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


def test_a_name_of_any_bytes_is_nothing_that_python_complains_of(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with (
        served(ROUTES, tls=tls(authority)) as client,
        socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) as raw,
    ):
        raw.sendall(hello().replace(b"localhost", b"loc\xadlhost"))
        assert raw.recv(1)
        assert trusting(authority, client.port).ask("/x").status == 200
    assert not complaints


def test_a_connection_that_broke_leaves_nothing_for_the_collector_of_garbage(authority: Authority) -> None:
    def connections() -> int:
        return sum(isinstance(found, serving._Connection) for found in gc.get_objects())

    trust = ssl.create_default_context(cafile=str(authority.ca))
    with served(ROUTES, tls=tls(authority)) as client:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                with (
                    socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) as plain,
                    trust.wrap_socket(plain, server_hostname="localhost") as raw,
                ):
                    raw.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            # Less than the five seconds for which an idle connection is kept.
            deadline = running_time() + 3
            while connections() and running_time() < deadline:
                time.sleep(0.05)
            assert not connections()
        finally:
            gc.enable()


def test_handshakes_that_do_not_end_keep_nobody_out(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(serving, "PATIENCE", 2 * PATIENCE)
    with served(ROUTES, tls=tls(authority)) as client:
        idle = [socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) for _ in range(9)]
        assert trusting(authority, client.port).ask("/x").status == 200
        assert is_cut_off(idle[0])
        for connection in idle:
            connection.close()


def received(connection: ssl.SSLSocket, pause: float = 0.0) -> int:
    """The bytes that come until it ends, properly or not, read with a ``pause`` in seconds before each piece."""
    count = 0
    try:
        while got := len(connection.recv(1 << 20)):
            count += got
            time.sleep(pause)
    except OSError:
        pass
    return count


@contextmanager
def asking(authority: Authority, port: int, path: str) -> Iterator[ssl.SSLSocket]:
    """A connection by which this is asked for, and of which nothing is read yet."""
    trust = ssl.create_default_context(cafile=str(authority.ca))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield connection


@undisturbed(0.02)
def test_who_does_not_read_what_tls_has_for_them_is_cut_off(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.05)
    with served(ROUTES, tls=tls(authority)) as client, asking(authority, client.port, "/big") as deaf:
        # Nothing is read until another was served for longer than there is patience.
        for _ in range(2):
            assert trusting(authority, client.port).ask("/big").status == 200
        assert received(deaf) < 20_000_000


@undisturbed(0.1)
def test_who_reads_slowly_but_reads_gets_all_of_it(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than the kernel's windows stand still, and shorter than it takes to read all but what those hold.
    monkeypatch.setattr(serving, "PATIENCE", 0.4)
    with served(ROUTES, tls=tls(authority)) as client, asking(authority, client.port, "/big") as slow:
        assert received(slow, pause=0.0004) > 20_000_000


def test_it_stops_while_handshakes_are_under_way(authority: Authority) -> None:
    with served(ROUTES, tls=tls(authority)) as client:
        idle = socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE)
        assert trusting(authority, client.port).ask("/x").status == 200
    assert is_cut_off(idle)
    idle.close()
