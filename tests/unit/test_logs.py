"""Log lines: one line each, no secret in them, and few of a kind."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from statspout import logs


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    root = logging.getLogger("statspout")
    before = (list(root.handlers), root.propagate, root.level)
    yield
    root.handlers, root.propagate = before[0], before[1]
    root.setLevel(before[2])


def test_a_message_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info")
    logging.getLogger("statspout.x").info("container %s", "a\nb\rc")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("INFO container a\\nb\\rc\n")
    assert err.count("\n") == 1


def test_a_secret_is_hidden_even_in_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info")
    logs.hide("s3cr3t-token")
    try:
        raise RuntimeError("401 for token s3cr3t-token")
    except RuntimeError:
        logging.getLogger("statspout").exception("push failed with s3cr3t-token")
    assert "s3cr3t-token" not in (err := capsys.readouterr().err)
    assert err.count("***") >= 2


def test_trouble_of_one_kind_is_told_three_times_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    limited = logs.Limited(logging.getLogger("statspout.t"), clock=lambda: now[0])
    for i in range(100):
        limited.warning("timeout", "container %d", i)
    assert len(caplog.records) == 4
    now[0] = 61.0
    limited.warning("timeout", "again")
    assert [record.getMessage() for record in caplog.records][-2:] == ["timeout: 97 more were not logged", "again"]


def test_one_kind_does_not_silence_another(caplog: pytest.LogCaptureFixture) -> None:
    limited = logs.Limited(logging.getLogger("statspout.t"))
    for i in range(10):
        limited.warning("timeout", "a %d", i)
    limited.warning("refused", "b")
    assert caplog.records[-1].getMessage() == "b"
