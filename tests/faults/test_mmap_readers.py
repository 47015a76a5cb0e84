"""A writer at full speed and four readers at full speed: what is read was written, whole, and in its order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import mmstorm

PROGRAM = [sys.executable, mmstorm.__file__]


@pytest.mark.alone
def test_no_reader_ever_sees_a_torn_value_or_a_count_that_falls(tmp_path: Path) -> None:
    hold(tmp_path, 4)


@pytest.mark.alone
@pytest.mark.nightly
def test_no_reader_sees_one_in_a_minute_either(tmp_path: Path) -> None:
    hold(tmp_path, 60)


def hold(tmp_path: Path, seconds: int) -> None:
    with subprocess.Popen(
        [*PROGRAM, "write", str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        path = writer.stdout.readline().strip()
        command = [*PROGRAM, "read", path, str(seconds)]
        readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        told = [json.loads(reader.communicate()[0]) for reader in readers]
        writer.stdin.close()
        rounds = int(writer.stdout.read())
    assert [one["wrong"] for one in told] == [[]] * 4
    assert all(one["reads"] > 50 * seconds and one["different"] > 20 for one in told), told
    assert 0 < max(one["count"] for one in told) <= 100 * rounds
