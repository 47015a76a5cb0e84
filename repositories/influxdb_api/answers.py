"""What a server answered to a write, and what follows from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from statspout import Rejected, RepositoryError
from statspout.repositories.influxdb_api.lines import Batch
from statspout.repositories.influxdb_api.rejections import rejected
from statspout.statuses import error_of, shortened

_REQUEST = re.compile(
    r"orgID or org|organization|precision|gzip|database is required|(database|db|bucket|rp) name"
    r"|content.(encoding|type)|query param",
    re.IGNORECASE,
)
"""Complaints of a 400 about the request, that is about a setting; all others are about the data."""

_MISSING = re.compile(r"(database|bucket)\b.* not found|(database|bucket) not found", re.IGNORECASE)
_NO_ROOM = "Adding a new database would exceed limit"
"""Version 3 says it of each line; it is about none of them."""

_PAGE = re.compile(r"<(!doctype|html|head|body|title)\b", re.IGNORECASE)


class Missing(RepositoryError):
    """The database or the bucket does not exist."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. ``message`` is what an InfluxDB says in it; empty when it does not speak as one."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Mapping[str, object]:
        """The object that the body is; empty when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def message(self) -> str:
        """1.x has ``error``, 2 ``message``, 3 ``error`` and what is wrong with the first line in ``data``."""
        found = self.json
        told = found.get("message", found.get("error"))
        data = found.get("data")
        first = data[0] if isinstance(data, list) and data else data
        reason = first.get("error_message") if isinstance(first, dict) else None
        return ": ".join(part for part in (told, reason) if isinstance(part, str))

    @property
    def words(self) -> str:
        """What it says, in one line for people."""
        if self.message:
            return shortened(self.message)
        if _PAGE.search(self.body[:1000]):
            return "a page for browsers, as another server or a proxy has: that is not InfluxDB"
        return shortened(self.body)

    @property
    def text(self) -> str:
        """One line for people, the status before it."""
        return f"HTTP {self.status}: {self.words}".rstrip(": ")


def error_of_write(answer: Answer, batch: Batch) -> RepositoryError | None:
    """The error to raise for the answer to a write of ``batch``; None when all of it is stored.

    Only what an InfluxDB says about the data rejects a sample. A page of some other server, a redirect and whatever a
    setting can mend cost time, not data.
    """
    if answer.status == 204 or (200 <= answer.status < 300 and not answer.body.strip()):
        return None
    message = answer.message
    if _NO_ROOM in message:
        return RepositoryError(answer.text)
    if message and (found := rejected(message, answer.json, batch)):
        return found
    if answer.status < 300:
        return RepositoryError(f"{answer.text}: InfluxDB would have answered 204: is this its address?")
    if answer.status < 400:
        where = shortened(answer.headers.get("Location", "nowhere"))
        return RepositoryError(f"HTTP {answer.status}: a redirect to {where}, where only --influxdb.url could lead")
    if answer.status == 404:
        return Missing(answer.text) if _MISSING.search(message) else RepositoryError(answer.text)
    if answer.status in (400, 422):
        return RepositoryError(answer.text) if not message or _REQUEST.search(message) else Rejected(answer.text)
    return error_of(answer.status, answer.words, answer.headers.get("Retry-After"))
