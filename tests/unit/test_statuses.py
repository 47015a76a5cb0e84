"""What an HTTP destination's status means: stored, for later, or never."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from statspout import Rejected, RepositoryError, RetryAfter, TooLarge
from statspout.statuses import error_of


@pytest.mark.parametrize("status", [200, 201, 204])
def test_two_hundred_and_so_on_is_stored(status: int) -> None:
    assert error_of(status, "never mind") is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Rejected), (422, Rejected), (413, TooLarge), (401, RepositoryError), (403, RepositoryError),
     (301, RepositoryError), (404, RepositoryError), (429, RepositoryError), (500, RepositoryError)],
)  # fmt: skip
def test_each_status_has_its_consequence(status: int, kind: type[Exception]) -> None:
    assert type(error_of(status, "no")) is kind
    assert str(error_of(status, "no")).startswith(f"HTTP {status}: no")


@pytest.mark.parametrize("status", [429, 503, 502])
def test_a_pause_in_seconds_is_kept(status: int) -> None:
    error = error_of(status, "busy", "7")
    assert isinstance(error, RetryAfter)
    assert error.seconds == 7


def test_a_pause_until_a_date_is_kept() -> None:
    error = error_of(503, "", formatdate(time.time() + 60, usegmt=True))
    assert isinstance(error, RetryAfter)
    assert 50 < error.seconds <= 60


def test_a_date_that_has_passed_is_no_pause() -> None:
    error = error_of(503, "", formatdate(0, usegmt=True))
    assert isinstance(error, RetryAfter)
    assert error.seconds == 0


@pytest.mark.parametrize("value", ["soon", "", "-5", "²", "Wed, 99 Nov 2026 00:00:00 GMT"])
def test_a_pause_that_says_nothing_is_none(value: str) -> None:
    assert type(error_of(503, "", value)) is RepositoryError


def test_a_long_answer_is_cut_and_on_one_line() -> None:
    text = str(error_of(500, "<html>\n" + "x" * 10_000))
    assert "\n" not in text
    assert len(text) < 400
