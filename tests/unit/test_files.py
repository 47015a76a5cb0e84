"""A file that a user names is read whole, or refused in one line; what is no file keeps nobody waiting without end."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.certificates import Authority

from statspout import ConfigError, files
from statspout.config import configure
from statspout.files import Unreadable, only_files, read
from statspout.mmash.settings import asked

MOST = 100


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What is no file, by what it is called."""
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        yield {
            "it is a pipe": str(tmp_path / "fifo"),
            "it is a socket": str(tmp_path / "socket"),
            "Is a directory": str(tmp_path),
            "it is a device": "/dev/zero",
        }


def writing(path: Path, *parts: bytes, pause: float = 0.0) -> threading.Thread:
    """Write the parts into a pipe, in a thread."""

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for part in parts:
                file.write(part)
                time.sleep(pause)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_a_pipe_is_read_to_its_end_however_late_it_comes(pipe: Path) -> None:
    threading.Timer(0.1, writing, (pipe, b"ab", b"cd"), {"pause": 0.05}).start()
    assert read(str(pipe), MOST, pipe=True) == b"abcd"


def test_what_a_shell_makes_of_a_command_is_read() -> None:
    code = "import sys; from statspout.files import read; print(read(sys.argv[1], 100, pipe=True))"
    for shell in (
        f'{sys.executable} -c "{code}" <(echo hello)',
        f'echo hello | {sys.executable} -c "{code}" /dev/stdin',
    ):
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "b'hello\\n'"


def test_a_pipe_in_which_nothing_comes_or_no_end_is_given_up(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    with pytest.raises(Unreadable, match=r"it is a pipe whose end did not come within 0\.2 s"):
        read(str(pipe), MOST, pipe=True)
    endless = writing(pipe, b"a", pause=1.0)
    with pytest.raises(Unreadable, match="whose end did not come"):
        read(str(pipe), MOST, pipe=True)
    endless.join()


def test_no_more_is_read_than_is_wanted(pipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    assert len(read(str(tmp_path / "file"), MOST)) == MOST
    writing(pipe, b"x" * 1000)
    assert len(read(str(pipe), MOST, pipe=True)) == MOST


def test_what_is_no_file_is_called_what_it_is(odd: dict[str, str]) -> None:
    for kind, path in odd.items():
        with pytest.raises(Unreadable, match=f"^{kind}: a file is right$"):
            read(path, MOST)
    with only_files(), pytest.raises(Unreadable, match="a pipe cannot be read again: a file, and no pipe, is right"):
        read(odd["it is a pipe"], MOST, pipe=True)
    assert read(os.devnull, MOST) == b""


# Every setting that names one


def of_flags(*flags: str, **environ: str) -> Callable[[], object]:
    return lambda: configure(flags, environ)


@pytest.mark.parametrize("kind", ["it is a pipe", "it is a socket", "Is a directory", "it is a device"])
def test_no_setting_waits_for_what_is_no_file(kind: str, odd: dict[str, str], tmp_path: Path) -> None:
    path = odd[kind]
    in_file = tmp_path / "statspout.toml"
    in_file.write_text(f"[web]\ntoken-file = '{path}'\n")
    tls = ("--repository=webhook", "--webhook.url=https://x", f"--webhook.tls-ca={path}")
    influx = ("--repository=influxdb", "--influxdb.url=https://x", f"--influxdb.tls-ca={path}")
    redis = ("--repository=redis", "--redis.url=rediss://x", f"--redis.tls-ca={path}")
    named: dict[str, Callable[[], object]] = {
        "--config: ": of_flags(f"--config={path}"),
        "STATSPOUT_CONFIG: ": of_flags(STATSPOUT_CONFIG=path),
        "--web.token-file: ": of_flags(f"--web.token-file={path}"),
        "STATSPOUT_WEB_PASSWORD_FILE: ": of_flags(STATSPOUT_WEB_PASSWORD_FILE=path),
        f"{in_file}: web.token-file: ": of_flags(f"--config={in_file}"),
        "--webhook.tls-ca: ": of_flags(*tls),
        "--influxdb.tls-ca: ": of_flags(*influx),
        "--redis.tls-ca: ": of_flags(*redis),
        "MMASH_SETTINGS: ": lambda: asked([], {"MMASH_SETTINGS": path}),
    }
    for where, look in named.items():
        with only_files(), pytest.raises(ConfigError) as raised:
            look()
        assert str(raised.value).startswith(where)
        assert path in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_certificate_is_a_file(odd: dict[str, str], tmp_path: Path) -> None:
    from statspout.sources.engine.tls import Tls
    from statspout.web.tls import ServedTls

    authority = Authority(tmp_path / "authority")
    cert, key = str(authority.cert("server")), str(authority.key("server"))
    served = ServedTls(cert, key)
    builds: tuple[Callable[[str], object], ...] = (
        lambda path: ServedTls(path, key),
        lambda path: ServedTls(cert, path),
        lambda path: Tls(True, ca=path).context(),
        lambda path: Tls(True, cert=cert, key=path).context(),
    )
    for path, build in itertools.product(odd.values(), builds):
        with pytest.raises(ConfigError, match=r"cannot be read: .*: a file is right"):
            build(path)
    Path(key).unlink()
    os.mkfifo(key)
    assert served.context(), "what is in its place meanwhile holds up no handshake"


def test_a_docker_context_that_is_no_file_is_none(tmp_path: Path) -> None:
    from statspout.sources.engine.contexts import contexts, current_context

    (tmp_path / "contexts" / "meta" / "x").mkdir(parents=True)
    os.mkfifo(tmp_path / "config.json")
    os.mkfifo(tmp_path / "contexts" / "meta" / "x" / "meta.json")
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert (current_context(environ), contexts(environ)) == ("", {})


def test_a_secret_is_not_as_large_as_a_disk(tmp_path: Path) -> None:
    with (tmp_path / "image").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ConfigError, match=r"--web.token-file: .*image is larger than 64 KiB: it is no secret"):
        configure([f"--web.token-file={tmp_path / 'image'}"], {})


def test_a_secret_and_a_configuration_may_come_by_pipes(pipe: Path, tmp_path: Path) -> None:
    writing(pipe, b"hunter22\n")
    second = tmp_path / "second"
    os.mkfifo(second)
    writing(second, f"[web]\ntoken-file = '{pipe}'\n".encode())
    assert configure([f"--config={second}"], {}).settings.web_token == "hunter22"
