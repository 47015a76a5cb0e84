"""Which engine it is: a table of what was given and what follows; what is wrong is one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority

from statspout import ConfigError
from statspout.settings import Settings
from statspout.sources.engine.address import TcpAddress, reason_of
from statspout.sources.engine.endpoint import endpoint_of, endpoints_of

USUAL = "unix:///var/run/docker.sock"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the docker contexts ``far`` (ssh), ``plain`` (tcp), ``broken``; none of them is current."""
    folder = tmp_path / ".docker"
    context(folder, "far", "ssh://me@far")
    context(folder, "plain", "tcp://plain:2375")
    broken = folder / "contexts" / "meta" / "0"
    broken.mkdir()
    (broken / "meta.json").write_text("{")
    return tmp_path


def context(folder: Path, name: str, host: str, **more: Any) -> str:
    """Make a docker context as the docker command does; returns the id of its folders."""
    number = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / number
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False, **more}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    return number


CASES: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "nothing": ({}, {}, USUAL),
    "socket": ({"socket_path": "/x"}, {}, "unix:///x (socket.path)"),
    "mode socket": ({"mode": "socket"}, {"DOCKER_HOST": "tcp://a:1"}, f"{USUAL} (mode)"),
    "mode http": ({"mode": "http"}, {}, "http://localhost:2375 (mode)"),
    "http": ({"http_address": "a:1"}, {}, "http://a:1 (http.address)"),
    "mode decides": ({"mode": "http", "http_address": "a:1", "socket_path": "/x"}, {}, "http://a:1 (mode)"),
    "unix host": ({"docker_host": "unix:///x"}, {"DOCKER_HOST": "tcp://a:1"}, "unix:///x (docker.host)"),
    "tcp host": ({"docker_host": "tcp://a"}, {}, "http://a:2375 (docker.host)"),
    "tcp host, IPv6": ({"docker_host": "tcp://[::1]:1"}, {}, "http://[::1]:1 (docker.host)"),
    "http host": ({"docker_host": "http://a:1/"}, {}, "http://a:1 (docker.host)"),
    "https host": ({"docker_host": "https://a"}, {}, "https://a:2376 (docker.host)"),
    "tls": ({"docker_host": "tcp://a", "docker_tls": True}, {}, "https://a:2376 (docker.host)"),
    "tls and mode": ({"mode": "http", "http_address": "a:1", "docker_tls": True}, {}, "https://a:1 (mode)"),
    "a host that is not ASCII": ({"docker_host": "tcp://bücher:1"}, {}, "http://xn--bcher-kva:1 (docker.host)"),
    "ssh host": ({"docker_host": "ssh://me@a:22"}, {}, "ssh://me@a:22 (docker.host)"),
    "ssh host, IPv6": ({"docker_host": "ssh://me@[::1]:22"}, {}, "ssh://me@[::1]:22 (docker.host)"),
    "ssh host and socket": ({"docker_host": "ssh://a/run/x.sock"}, {}, "ssh://a/run/x.sock (docker.host)"),
    "variable": ({}, {"DOCKER_HOST": "tcp://a:1", "DOCKER_CONTEXT": "far"}, "http://a:1 (DOCKER_HOST)"),
    "empty variable": ({}, {"DOCKER_HOST": ""}, USUAL),
    "context": ({"docker_context": "far"}, {"DOCKER_HOST": "tcp://a:1"}, "ssh://me@far (--docker.context far)"),
    "context variable": ({}, {"DOCKER_CONTEXT": "plain"}, "http://plain:2375 (DOCKER_CONTEXT plain)"),
    "default context": ({}, {"DOCKER_CONTEXT": "default"}, f"{USUAL} (DOCKER_CONTEXT default)"),
}


@pytest.mark.parametrize(("given", "environ", "shown"), CASES.values(), ids=CASES)
def test_the_table_of_cases(home: Path, given: dict[str, Any], environ: dict[str, str], shown: str) -> None:
    assert str(endpoint_of(Settings(**given), {"HOME": str(home), **environ})) == shown


ENGINES = {
    "near=unix:///x,far=ssh://me@a": ["unix:///x (near)", "ssh://me@a (far)"],
    "a=tcp://a,b=tcp://b:1": ["http://a:2375 (a)", "http://b:1 (b)"],
    "node-1.example.org=https://a": ["https://a:2376 (node-1.example.org)"],
    "c=context://plain,d=context://far": ["http://plain:2375 (c)", "ssh://me@far (d)"],
}


@pytest.mark.parametrize(("given", "shown"), ENGINES.items())
def test_several_engines_each_have_a_name_and_a_place(home: Path, given: str, shown: list[str]) -> None:
    found = endpoints_of(Settings(engine=tuple(given.split(","))), {"HOME": str(home), "DOCKER_HOST": "tcp://x"})
    assert [str(endpoint) for endpoint in found] == shown


def test_tls_is_for_those_of_several_engines_that_are_reached_over_tcp(home: Path) -> None:
    settings = Settings(engine=("a=tcp://a", "b=unix:///x", "c=context://plain"), docker_tls=True)
    found = [str(endpoint.address) for endpoint in endpoints_of(settings, {"HOME": str(home)})]
    assert found == ["https://a:2376", "unix:///x", "http://plain:2375"]


WRONG_ENGINES: dict[str, tuple[dict[str, Any], str]] = {
    "unix:///x": ({}, "--engine: 'unix:///x' is wrong: a name and a URL"),
    "=unix:///x": ({}, "--engine: '=unix:///x' is wrong"),
    "a b=unix:///x": ({}, "--engine: 'a b=unix:///x' is wrong"),
    "a=": ({}, "--engine: a: '' is wrong: unix:///path"),
    "a=nowhere": ({}, "--engine: a: 'nowhere' is wrong"),
    "a=context://none": ({}, "--engine: a: there is no docker context 'none'"),
    "a=unix:///x,a=unix:///y": ({}, "--engine: there are two engines called a"),
    "a=unix:///x,b=unix:///x": ({}, "--engine: a and b are one engine, unix:///x: once is right"),
    "a=tcp://h:1,b=http://h:1": ({}, "--engine: a and b are one engine, http://h:1"),
    "a=unix:///x": ({"docker_tls": True}, "--docker.tls: no engine of --engine is reached over TCP"),
    "a=unix:///y": ({"socket_path": "/x"}, "--socket.path: --engine says where the engines are"),
    "a=unix:///z": ({"mode": "http", "http_address": "a:1"}, "--mode: --engine says where the engines are"),
}


@pytest.mark.parametrize(("given", "more", "message"), [(a, *b) for a, b in WRONG_ENGINES.items()])
def test_what_is_wrong_with_several_engines_is_one_line(
    home: Path, given: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        endpoints_of(Settings(engine=tuple(given.split(",")), **more), {"HOME": str(home)})
    assert str(error.value).startswith(message)


def test_a_context_that_is_not_checked_is_encrypted_all_the_same(home: Path) -> None:
    context(home / ".docker", "skips", "tcp://a:2376", SkipTLSVerify=True)
    address = endpoint_of(Settings(docker_context="skips"), {"HOME": str(home)}).address
    assert isinstance(address, TcpAddress)
    assert (str(address), address.unchecked) == ("https://a:2376", True)


def test_where_there_are_no_contexts_the_default_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no docker context 'lab': there is only default"):
        endpoint_of(Settings(docker_context="lab"), {"HOME": str(tmp_path)})


def test_a_context_that_is_no_object_is_none(home: Path) -> None:
    number = context(home / ".docker", "odd", "x")
    meta = home / ".docker" / "contexts" / "meta" / number / "meta.json"
    meta.write_text('{"Name": "odd", "Endpoints": {"docker": "unix:///x"}}')
    with pytest.raises(ConfigError, match="there is no docker context 'odd': there are default, far, plain"):
        endpoint_of(Settings(docker_context="odd"), {"HOME": str(home)})


def test_the_current_context_is_followed_as_the_docker_command_does(home: Path) -> None:
    (home / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    environ = {"HOME": str(home)}
    assert str(endpoint_of(Settings(), environ)) == "ssh://me@far (the current docker context far)"
    assert str(endpoint_of(Settings(socket_path="/x"), environ)) == "unix:///x (socket.path)"
    (home / ".docker" / "config.json").write_text("{")
    assert str(endpoint_of(Settings(), environ)) == USUAL
    elsewhere = {"HOME": "/nowhere", "DOCKER_CONFIG": str(home / ".docker"), "DOCKER_CONTEXT": "plain"}
    assert str(endpoint_of(Settings(), elsewhere)) == "http://plain:2375 (DOCKER_CONTEXT plain)"


def test_the_certificates_of_a_context_or_of_the_environment_are_used(home: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    for name in ("tls", "half"):
        folder = home / ".docker" / "contexts" / "tls" / context(home / ".docker", name, "tcp://a:2376") / "docker"
        folder.mkdir(parents=True)
        authority.copy_to(folder, "client" if name == "tls" else None)
    environ = {"HOME": str(home)}
    for name in ("tls", "half"):
        shown = str(endpoint_of(Settings(docker_context=name), environ))
        assert shown == f"https://a:2376 (--docker.context {name})"
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    authority.copy_to(certificates, "client")
    environ = {"HOME": "/nowhere", "DOCKER_HOST": "tcp://a", "DOCKER_CERT_PATH": str(certificates)}
    assert str(endpoint_of(Settings(), environ)) == "https://a:2376 (DOCKER_HOST)"


WRONG: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "two ways": (
        {"docker_host": "tcp://a", "mode": "http"},
        {},
        "--docker.host, --mode: they are 2 ways to an engine: give one",
    ),
    "two addresses": (
        {"socket_path": "/x", "http_address": "a:1"},
        {},
        "--socket.path, --http.address: they are 2 ways to an engine: give one",
    ),
    "no URL": (
        {"docker_host": "a:1"},
        {},
        "--docker.host: 'a:1' is wrong: unix:///path, tcp://host:port, https://host",
    ),
    "no scheme": ({"docker_host": "ftp://a"}, {}, "--docker.host: 'ftp://a' is wrong: unix:///path, tcp://host:port"),
    "no host": ({"docker_host": "tcp://"}, {}, "--docker.host: 'tcp://' is wrong"),
    "no port": ({"docker_host": "tcp://a:70000"}, {}, "--docker.host: 'tcp://a:70000' is wrong"),
    "no path": ({"docker_host": "unix://"}, {}, "--docker.host: 'unix://' is wrong: unix:///path, tcp://host:port"),
    "a path with tcp": (
        {"docker_host": "tcp://a/x"},
        {},
        "--docker.host: 'tcp://a/x' is wrong: tcp://host:port, without",
    ),
    "an option for ssh": ({"docker_host": "ssh://-oProxyCommand=x"}, {}, "a user or host that begins with - is none"),
    "no host name": ({"docker_host": "tcp://a..b:2375"}, {}, "--docker.host: 'tcp://a..b:2375' is wrong: unix:///path"),
    "a long host name": ({}, {"DOCKER_HOST": f"tcp://{'a' * 70}:1"}, "is wrong: unix:///path, tcp://host:port"),
    "no host name with http": (
        {"http_address": "a..b:80"},
        {},
        "--http.address: 'a..b:80' is wrong: host:port such as",
    ),
    "a URL for http": (
        {"http_address": "https://a:1"},
        {},
        "--http.address: 'https://a:1' is wrong: host:port such as",
    ),
    "a user for http": ({"http_address": "http://u:secret@a:1"}, {}, "--http.address: 'http://u:***@a:1' is wrong"),
    "an option as user": ({"docker_host": "ssh://-oA=x@a"}, {}, "a user or host that begins with - is none"),
    "a password": ({"docker_host": "ssh://me:secret@a"}, {}, "--docker.host: a password in it is of no use: ssh keys"),
    "a password with tcp": (
        {"docker_host": "tcp://me:secret@a"},
        {},
        "'tcp://me:***@a' is wrong: tcp://host:port, without",
    ),
    "a password and no port": ({"docker_host": "ssh://me:secret@a:0"}, {}, "'ssh://me:***@a:0' is wrong"),
    "port 0": ({"docker_host": "tcp://a:0"}, {}, "'tcp://a:0' is wrong: unix:///path, tcp://host:port"),
    "a colon for ssh": ({"docker_host": "ssh://a/run/x:y"}, {}, "ssh forwards no socket with a colon in its path"),
    "variable without a path": ({}, {"DOCKER_HOST": "unix://"}, "DOCKER_HOST: 'unix://' is wrong: unix:///path"),
    "variable": ({}, {"DOCKER_HOST": "nonsense"}, "DOCKER_HOST: 'nonsense' is wrong: unix:///path"),
    "tls of a socket": (
        {"docker_tls": True},
        {},
        "--docker.tls: unix:///var/run/docker.sock (the usual socket) has no TLS",
    ),
    "unknown context": ({"docker_context": "fra"}, {}, "no docker context 'fra': there are default, far, plain"),
    "unknown context variable": (
        {},
        {"DOCKER_CONTEXT": "x"},
        "DOCKER_CONTEXT: there is no docker context 'x': there are",
    ),
    "no file name": (
        {"docker_host": "https://a", "docker_tls_ca": "a\0b"},
        {},
        "--docker.tls-ca: a\\x00b cannot be read: embedded null byte",
    ),
    "missing authority": (
        {"docker_host": "tcp://a", "docker_tls_ca": "/nope"},
        {},
        "--docker.tls-ca: /nope cannot be read: No such file",
    ),
    "no authority": (
        {"docker_host": "tcp://a", "docker_tls_ca": "{pem}/empty"},
        {},
        "empty has no certificate in it: a PEM",
    ),
    "no key": (
        {"docker_host": "tcp://a", "docker_tls_cert": "{pem}/client-cert.pem"},
        {},
        "--docker.tls-cert: --docker.tls-key has to come with it",
    ),
    "another's key": (
        {
            "docker_host": "https://a",
            "docker_tls_cert": "{pem}/client-cert.pem",
            "docker_tls_key": "{pem}/server-key.pem",
        },
        {},
        "cannot be used: key values mismatch: a certificate and its own key, both PEM, are right",
    ),
    "missing files": (
        {},
        {"DOCKER_HOST": "tcp://a", "DOCKER_CERT_PATH": "/nope"},
        "DOCKER_CERT_PATH: /nope/ca.pem cannot be read: No such file",
    ),
}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    authority = Authority(tmp_path_factory.mktemp("pem"))
    (authority.folder / "empty").touch()
    (authority.folder / "docker").mkdir()
    authority.copy_to(authority.folder / "docker", "client")
    return authority.folder


@pytest.mark.parametrize(("given", "environ", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line(
    home: Path, pem: Path, given: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    given = {key: value.replace("{pem}", str(pem)) if isinstance(value, str) else value for key, value in given.items()}
    with pytest.raises(ConfigError) as caught:
        endpoint_of(Settings(**given), {"HOME": str(home), **environ})
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        ({"docker_host": "https://a"}, {}),
        ({"docker_host": "tcp://a", "docker_tls": True}, {}),
        ({"mode": "http", "docker_tls": True}, {}),
        ({}, {"DOCKER_HOST": "tcp://a", "DOCKER_CERT_PATH": "{pem}/docker"}),
        ({"docker_context": "secure"}, {}),
    ],
)
def test_whether_certificates_are_checked_is_the_users_choice_by_whatever_way(
    home: Path, pem: Path, given: dict[str, Any], environ: dict[str, str]
) -> None:
    folder = home / ".docker" / "contexts" / "tls" / context(home / ".docker", "secure", "tcp://a:2376") / "docker"
    folder.mkdir(parents=True)
    (folder / "ca.pem").write_bytes((pem / "ca.pem").read_bytes())
    environ = {"HOME": str(home)} | {name: value.replace("{pem}", str(pem)) for name, value in environ.items()}
    for verify in (True, False):
        address = endpoint_of(Settings(**given, docker_tls_verify=verify), environ).address
        assert isinstance(address, TcpAddress)
        assert address.unchecked == (not verify)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(111, "whatever"), "Connection refused"),
        (OSError("ssh: Permission denied"), "ssh: Permission denied"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_reason_is_a_few_words(error: OSError, said: str) -> None:
    assert reason_of(error) == said
