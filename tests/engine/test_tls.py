"""A real dockerd that wants client certificates: by flags, by docker's variables, by a context; and what goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import Authority
from support.daemon import Daemon, run_program
from support.engine import OwnEngine, starting

SERVING = ("--repository=rest", "--rest.address=127.0.0.1:0", "--interval=1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), server="DNS:localhost")


@pytest.fixture(scope="module")
def engine(authority: Authority) -> Iterator[OwnEngine]:
    with starting(tls=authority) as engine:
        engine.run("web")
        yield engine
        engine.remove_started()


def flags(authority: Authority, who: str = "client") -> list[str]:
    return [
        f"--docker.tls-ca={authority.ca}",
        f"--docker.tls-cert={authority.cert(who)}",
        f"--docker.tls-key={authority.key(who)}",
    ]


def samples(*arguments: str, environ: dict[str, str] | None = None) -> tuple[list[str], str]:
    """Who is sampled by ``--once``, and the log."""
    done = run_program("--once", "--stdout.format=json", *arguments, environ=environ)
    assert done.code == 0, done.err
    return [json.loads(line)["name"] for line in done.out.splitlines()], done.err


def test_by_flags(engine: OwnEngine, authority: Authority) -> None:
    address = f"localhost:{engine.dockerd.tcp_port}"
    for way in ([f"--docker.host=tcp://{address}"], ["--mode=http", f"--http.address={address}"]):
        names, log = samples(*way, *flags(authority))
        assert names == ["web"]
        assert f"from engine https://{address} (" in log


def test_by_dockers_variables(engine: OwnEngine, authority: Authority, tmp_path: Path) -> None:
    authority.copy_to(tmp_path, "client")
    url = f"tcp://localhost:{engine.dockerd.tcp_port}"
    environ = {"DOCKER_HOST": url, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    # What other programs go by must not take the authority's place.
    names, log = samples(environ=environ | {"REQUESTS_CA_BUNDLE": "/nowhere", "CURL_CA_BUNDLE": "/nowhere"})
    assert names == ["web"]
    assert "(DOCKER_HOST)" in log


def test_by_a_context_that_the_docker_command_made(engine: OwnEngine, authority: Authority, tmp_path: Path) -> None:
    url = f"tcp://localhost:{engine.dockerd.tcp_port}"
    where = f"host={url},ca={authority.ca},cert={authority.cert('client')},key={authority.key('client')}"
    environ = {"DOCKER_CONFIG": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run(["docker", "context", "create", "far", "--docker", where], env=environ, check=True)
    assert samples("--docker.context=far", environ=environ)[0] == ["web"]
    subprocess.run(["docker", "context", "use", "far"], env=environ, check=True)
    names, log = samples(environ=environ)
    assert names == ["web"]
    assert "(the current docker context far)" in log


def test_samples_keep_coming_over_kept_connections(engine: OwnEngine, authority: Authority) -> None:
    with Daemon(f"--docker.host=https://localhost:{engine.dockerd.tcp_port}", *flags(authority), *SERVING) as daemon:
        first = daemon.eventually(lambda: daemon.stats().get("web"))
        daemon.eventually(lambda: daemon.stats()["web"]["cpu_seconds_total"] is not None)
        daemon.eventually(lambda: daemon.stats()["web"]["@timestamp"] > first["@timestamp"])
        engine.run("later")
        daemon.eventually(lambda: sorted(daemon.stats()) == ["later", "web"])
        engine.remove("later")
        daemon.eventually(lambda: sorted(daemon.stats()) == ["web"])
        assert not {"WARNING", "ERROR"} & set(daemon.log.split())


@pytest.mark.parametrize(
    ("host", "what", "said"),
    [
        ("127.0.0.1", "all", "its certificate is not to be trusted: IP address mismatch, certificate is not valid for"),
        ("localhost", "ca", "(as when the engine does not accept our certificate)"),
        ("localhost", "nothing", "its certificate is not to be trusted: "),
        ("localhost", "another authority", "its certificate is not to be trusted: "),
        ("localhost", "another client", "(as when the engine does not accept our certificate)"),
        ("localhost", "no tls", "400 Client sent an HTTP request to an HTTPS server."),
    ],
)
def test_what_is_wrong_with_a_certificate_is_one_line(
    engine: OwnEngine, authority: Authority, tmp_path: Path, host: str, what: str, said: str
) -> None:
    other = Authority(tmp_path / "other")
    given = {
        "all": flags(authority),
        "ca": [f"--docker.tls-ca={authority.ca}"],
        "nothing": ["--docker.tls"],
        "another authority": flags(other),
        "another client": [f"--docker.tls-ca={authority.ca}", *flags(other)[1:]],
        "no tls": [],
    }[what]
    done = run_program("check", f"--docker.host=tcp://{host}:{engine.dockerd.tcp_port}", *given)
    assert done.code == 1
    line = done.out.splitlines()[-1]
    assert re.match(rf"engine +https?://{host}:{engine.dockerd.tcp_port}", line)
    assert said in line
    assert done.err == ""


def test_unchecked_certificates_are_warned_of(engine: OwnEngine, authority: Authority) -> None:
    address = f"--docker.host=tcp://127.0.0.1:{engine.dockerd.tcp_port}"
    names, log = samples(address, *flags(authority), "--docker.tls-verify=false")
    assert names == ["web"]
    assert log.count("WARNING the engine's certificate is not checked: ") == 1


def test_certificates_of_the_environment_can_go_unchecked_too(
    engine: OwnEngine, authority: Authority, tmp_path: Path
) -> None:
    authority.copy_to(tmp_path, "client")
    environ = {"DOCKER_HOST": f"tcp://127.0.0.1:{engine.dockerd.tcp_port}", "DOCKER_CERT_PATH": str(tmp_path)}
    names, log = samples("--docker.tls-verify=false", environ=environ)
    assert names == ["web"]
    assert "is not checked" in log
