"""Log lines: one line each, no secret in them, and few of a kind."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest

from statspout import Repository, Sample, logs, option
from statspout.loglines import ABOUT, About, JsonLine, about, concerning
from statspout.options import described


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("statspout", "asyncio")]
    before = [(list(logger.handlers), logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


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


def test_secrets_that_were_rotated_out_are_hidden_for_long_but_do_not_pile_up() -> None:
    for number in range(logs.MOST_SECRETS + 100):
        logs.hide("of-every-reload")
        logs.hide(f"rotated-{number}")
    last = logs.MOST_SECRETS + 99
    assert logs.censored(f"of-every-reload rotated-{last} rotated-200") == "*** *** ***"
    assert logs.censored("rotated-50") == "rotated-50"
    assert len(logs._hidden) < 10 * logs.MOST_SECRETS


def test_trouble_of_one_kind_is_told_three_times_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    limited = logs.Limited(logging.getLogger("statspout.t"), clock=lambda: now[0])
    for i in range(100):
        limited.warning("timeout", "container %d", i)
    assert len(caplog.records) == 4
    now[0] = 61.0
    limited.warning("timeout", "again")
    assert [record.getMessage() for record in caplog.records][-2:] == ["timeout: 97 more were not logged", "again"]


def test_that_no_connection_can_be_taken_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info")
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = OSError(errno.EMFILE, "Too many open files")
        for _ in range(1000):
            logging.getLogger("asyncio").error("socket.accept() out of system resource %s", server, exc_info=error)
    logging.getLogger("asyncio").error("another", exc_info=error)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("WARNING ")[2][:27] for line in lines[:3]] == ["no connection can be taken:"] * 3
    assert ["another" in line for line in lines] == [False] * 4 + [True, False]


def test_one_kind_does_not_silence_another(caplog: pytest.LogCaptureFixture) -> None:
    limited = logs.Limited(logging.getLogger("statspout.t"))
    for i in range(10):
        limited.warning("timeout", "a %d", i)
    limited.warning("refused", "b")
    assert caplog.records[-1].getMessage() == "b"


def test_json_lines_are_objects_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("debug", "json")
    logs.hide("s3cr3t-token")
    try:
        raise RuntimeError("401 for s3cr3t-token")
    except RuntimeError:
        logging.getLogger("statspout.delivery").exception('a "quoted"\n\x1b[31mname\udc80 %s', "s3cr3t-token")
    logging.getLogger("asyncio").warning("slow")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["level"], first["logger"]) == ("error", "statspout.delivery")
    assert first["message"] == 'a "quoted"\n\x1b[31mname\udc80 ***'
    assert first["traceback"].endswith("RuntimeError: 401 for ***")
    assert (second["level"], second["logger"], second["message"]) == ("warning", "asyncio", "slow")


@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_says_which_lines_there_are(level: str, told: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(level)
    for method in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("statspout.x"), method)("line")
    assert len(capsys.readouterr().err.splitlines()) == told


def test_a_secret_is_hidden_however_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    secret = 'l1\'sec  x\n"back\\slash"\tä'
    logs.setup("info")
    logs.hide("l1'se")
    logs.hide(secret)
    log = logging.getLogger("statspout.x")
    for written in (secret, repr(secret), repr(secret.encode()), json.dumps(secret), " ".join(secret.split())):
        log.warning("push failed: %s", written)
        log.warning("push failed: %s", " ".join(written.split()))
    assert not re.search("l1|sec|slash", err := capsys.readouterr().err), err


def test_the_settings_that_are_told_have_no_secret_in_them() -> None:
    class Book(Repository):
        name = "book"
        token: str = option(secret=True, help="A token.")
        url: str = option(help="Where.")
        seconds: float = option(default=2.0, help="How long.")
        tags: tuple[str, ...] = option(default=(), help="Tags.")

        def push(self, batch: Sequence[Sample]) -> None: ...

    book = Book(token="hunter22", url="mongodb://me:hunter22@db:1/x", tags=("a", "b"))
    assert described(book, "book") == "book.token=*** book.url=mongodb://me:***@db:1/x book.seconds=2 book.tags=a,b"
    assert "seconds" not in described(book, "book", changed=True)


def test_a_setting_that_is_empty_by_default_is_told_when_it_is_not() -> None:
    class Shelf(Repository):
        name = "shelf"
        url: str | None = option(default=None, help="Where.")
        tags: tuple[str, ...] = option(default=(), help="Which.")
        user: str = option(default="me", help="Who.")

        def push(self, batch: Sequence[Sample]) -> None: ...

    assert described(Shelf(), "shelf") == "shelf.user=me"
    assert described(Shelf(url="x", user=""), "shelf") == "shelf.url=x shelf.user="


def test_lines_go_to_what_is_standard_error_when_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.setup("info")
    monkeypatch.setattr("sys.stderr", taken := io.StringIO())
    logging.getLogger("statspout").warning("above the table")
    assert taken.getvalue().endswith("WARNING above the table\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("htp://me:passw0rd@host/x", "htp://me:***@host/x"),
        ("'me:passw0rd@localhost:9/x' is wrong", "'me:***@localhost:9/x' is wrong"),
        ("http//me:passw0rd@host", "http//me:***@host"),
        ("to http://h/?token=abc&apikey=d#e", "to http://h/?token=***&apikey=***#e"),
        ("http://h/?a=b&X-Sig=q1 was it", "http://h/?a=b&X-Sig=*** was it"),
        ("image=nginx:1.25@sha256:abc", "image=nginx:1.25@sha256:abc"),
        ("12:30:05 me@host.example", "12:30:05 me@host.example"),
        ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
    ],
)
def test_what_looks_like_a_secret_in_a_url_is_not_shown(text: str, shown: str) -> None:
    assert logs.censored(text) == shown


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_library_speaks_as_we_do_where_nobody_else_has_seen_to_it(
    format_: Literal["text", "json"], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    logs.hide("s3cr3t-token")
    for _ in range(2):
        logs.setup("info", format_)
    logging.getLogger("theirs").warning("of %s", "s3cr3t-token")
    logging.getLogger("theirs").info("of no interest")
    err = capsys.readouterr().err
    assert (len(root.handlers), err.count("\n"), "of ***" in err) == (1, 1, True)
    monkeypatch.setattr(root, "handlers", own := [logging.NullHandler()])
    logs.setup("info", format_)
    assert root.handlers is own


def test_arguments_that_do_not_fit_are_a_line_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup("info")
    logging.getLogger("statspout.x").info("%d of", "x")
    assert capsys.readouterr().err.endswith("INFO %d of (its arguments do not fit: 1)\n")


def test_what_python_would_print_is_logged_as_long_as_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    before = warnings.showwarning, threading.excepthook, sys.unraisablehook
    with logs.hooked():
        warnings.showwarning("old", DeprecationWarning, "x.py", 7)
        for raises in (lambda: 1 / 0, sys.exit):
            thread = threading.Thread(target=raises, name="side")
            thread.start()
            thread.join()
    assert [record.getMessage() for record in caplog.records] == [
        "DeprecationWarning: old (x.py:7)",
        "the thread side ended: ZeroDivisionError('division by zero')",
    ]
    assert (warnings.showwarning, threading.excepthook, sys.unraisablehook) == before


def test_a_line_is_about_what_it_says_or_else_about_what_goes_on_around_it() -> None:
    logger = logging.getLogger("statspout.x")

    def keys(extra: dict[str, Any]) -> dict[str, str]:
        line = json.loads(JsonLine(str).format(logging.makeLogRecord({"msg": "x", **extra})))
        return {key: value for key, value in line.items() if key in ABOUT}

    def far(**what: str) -> dict[str, Any]:
        return dict(About(logger, repository="far").process("x", {"extra": about(**what)})[1]["extra"])

    assert keys({}) == {}
    assert keys(far(error="")) == {"repository": "far"}
    with concerning(engine="here"):
        assert keys(about(container="web")) == {"engine": "here", "container": "web"}
        assert keys(far()) == {"repository": "far"}, "whichever engine's sample was the last straw"
        with concerning(repository="near"):
            assert keys({}) == {"engine": "here", "repository": "near"}
