"""What operators start from: the compose file and the systemd unit, as their own tools read them, and the image's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from statspout import __version__
from statspout.cmd.main import main

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "statspout.service"
MOST_EXPOSED = 20
"""In tenths: docs/deploying.md names it, and what is behind what is left."""


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt-get install {package}")
    return found


def composed(**environ: str) -> subprocess.CompletedProcess[str]:
    command = [tool("docker-compose", "docker-compose"), "-f", str(ROOT / "compose.yaml"), "config"]
    kept = {name: value for name, value in os.environ.items() if name != "DOCKER_GID"}
    return subprocess.run(command, env=kept | environ, capture_output=True, text=True, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the program that is installed here."""
    text = UNIT.read_text()
    assert "ExecStart=/opt/statspout/bin/statspout\n" in text
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/statspout/bin/", f"{Path(sys.executable).parent}/"))
    return path


def test_compose_takes_its_file() -> None:
    done = composed(DOCKER_GID="998")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^  (\w+):$", done.stdout.partition("\nvolumes:")[0], re.MULTILINE) == [
        "prometheus",
        "statspout",
        "victoriametrics",
    ]


def test_compose_says_how_to_get_the_group_that_is_missing() -> None:
    done = composed()
    assert done.returncode != 0
    assert "it is the number of the group of the engine's socket" in done.stderr


def test_systemd_takes_the_unit_without_a_word(unit: Path) -> None:
    done = systemd("verify", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_no_more_exposed_than_documented(unit: Path) -> None:
    done = systemd("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    assert done.returncode == 0, done.stdout
    assert f"below {MOST_EXPOSED / 10}" in (ROOT / "docs" / "deploying.md").read_text()


def test_a_unit_without_its_walls_is_more_exposed(unit: Path) -> None:
    unit.write_text("".join(line for line in UNIT.open() if not line.startswith(("Protect", "Restrict", "NoNew"))))
    assert systemd("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit)).returncode != 0


def systemd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [tool("systemd-analyze", "systemd"), "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("place", ["image", "unit", "compose", "stack"])
def test_the_settings_of_each_exist(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, environ = SETTINGS[place]()
    assert any(name.startswith("STATSPOUT_") for name in environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    main(["check", "--demo", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    assert "engine  " in out
    assert "note  " not in out


def of_image() -> tuple[list[str], dict[str, str]]:
    pairs = re.findall(r"\b(STATSPOUT_\w+)=(\S+)", (ROOT / "Dockerfile").read_text().partition("\nENTRYPOINT")[0])
    return ["--repository=rest,prometheus"], {name: value for name, value in pairs if value != "..."}


def of_unit() -> tuple[list[str], dict[str, str]]:
    return [], dict(re.findall(r"\b(STATSPOUT_\w+)=(\S+)", UNIT.read_text()))


def of_yaml(path: Path) -> tuple[list[str], dict[str, str]]:
    text = path.read_text()
    command = re.search(r"^    command: (\[.*--repository.*\])$", text, re.MULTILINE)
    assert command is not None
    found = dict(re.findall(r"^      (STATSPOUT_\w+): (\S+)$", text, re.MULTILINE))
    # There is no such folder here.
    arguments: list[Any] = json.loads(command[1])
    return [a for a in arguments if "=/" not in a], {name: value.strip('"') for name, value in found.items()}


SETTINGS: dict[str, Callable[[], tuple[list[str], dict[str, str]]]] = {
    "image": of_image,
    "unit": of_unit,
    "compose": lambda: of_yaml(ROOT / "compose.yaml"),
    "stack": lambda: of_yaml(ROOT / "deploy" / "stack.yaml"),
}


def test_the_images_label_is_the_version() -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in (ROOT / "Dockerfile").read_text()
