"""What went wrong at MongoDB: what follows for the batch, and one line that says what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pymongo.errors import (
    ConnectionFailure,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from statspout import Rejected, RepositoryError

UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18
INDEX_IS_ANOTHER = (85, 86)
"""An index of these keys, or of this name, is there with other options."""

_DUPLICATE = 11000

_PASSING = frozenset({
    6, 7, 89, 202, 317, 384, 9001,  # the network between servers
    91, 189, 10058, 10107, 11600, 11602, 13435, 13436,  # a primary that goes, or is none
    63, 70, 150, 249, 13388,  # a router that does not know yet where the shard is
    24, 46, 50, 112, 262, 11601,  # locks, conflicts, time
    64, 79, 100, 133, 134,  # too few members
    8000, 14031, UNAUTHORIZED, _AUTHENTICATION_FAILED,  # quota, disk, rights
})  # fmt: skip
"""Codes of errors that are told of a document and are the server's own trouble: the document may come again."""

_UNSAFE = "not stored as safely as the write concern asks"

_TIMEOUTS = re.compile(r"\s*\(configured timeouts:[^)]*\)")
_TOPOLOGY = re.compile(r", Timeout: [0-9.]+s, Topology Description:.*", re.DOTALL)
_FULL_ERROR = re.compile(r", full error: .*", re.DOTALL)


class Place(NamedTuple):
    """Whom the lines are about: the collection, the user, if any, and the seconds that were waited."""

    database: str
    collection: str
    user: str
    timeout: float

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}"


def failure(error: PyMongoError, place: Place, doing: str) -> RepositoryError:
    """The error to raise instead: all of these are kept and tried again. ``doing`` is as in ``insert into``."""
    return RepositoryError(_line(error, place, doing))


def is_stranger(error: OperationFailure) -> bool:
    """Whether the server does not know who we are, and so refuses everything."""
    unknown = error.code == UNAUTHORIZED and "requires authentication" in str(error)
    return unknown or error.code == _AUTHENTICATION_FAILED


def _line(error: PyMongoError, place: Place, doing: str) -> str:
    text = plain(error)
    if isinstance(error, OperationFailure) and is_stranger(error):
        return _who(error, place)
    if isinstance(error, OperationFailure) and error.code == UNAUTHORIZED:
        who = place.user or "whoever we are"
        return f"{who} has no right to {doing} {place}: the role readWrite on {place.database} gives it"
    if isinstance(error, WriteConcernError):
        return f"{_UNSAFE}: {text}"
    if isinstance(error, NotPrimaryError):
        return f"the server is no primary any more: {text}"
    if isinstance(error, ServerSelectionTimeoutError):
        return f"nobody to write to within {place.timeout:g} s: {text}"
    if isinstance(error, NetworkTimeout):
        return f"no answer within {place.timeout:g} s: {text}"
    if isinstance(error, ConnectionFailure):
        return text
    return f"{doing} {place}: {text}"


def _who(error: OperationFailure, place: Place) -> str:
    if not place.user:
        return f"{plain(error)}: --mongodb.user, with a password, or a user in the URI is needed"
    return f"{plain(error)}: {place.user}, the password, or the database of that user, authSource in the URI, is wrong"


def plain(error: PyMongoError) -> str:
    """What the client says, without its account of the whole cluster."""
    text = str(error)
    for more in (_TIMEOUTS, _TOPOLOGY, _FULL_ERROR):
        text = more.sub("", text)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def check_bulk(details: Mapping[str, Any], place: Place) -> None:
    """Raise what the account of an unordered insert means; all of it may be stored, now or when it came before."""
    bad = [error for error in details.get("writeErrors", ()) if not _is_there(error)]
    for error in bad:
        if error.get("code") in _PASSING:
            raise RepositoryError(f"insert into {place}: {_told(error)}")
    for error in details.get("writeConcernErrors", ()):
        raise RepositoryError(f"{_UNSAFE}: {_told(error)}")
    if bad:
        raise Rejected(f"{place}: {_told(bad[0])}", {error["index"] for error in bad}, rest="stored")


def _is_there(error: Mapping[str, Any]) -> bool:
    """Whether the document is in the collection already; a unique index of the user's own is another matter."""
    if error.get("code") != _DUPLICATE:
        return False
    pattern = error.get("keyPattern")
    return list(pattern) == ["_id"] if pattern else "index: _id_" in error.get("errmsg", "")


def _told(error: Mapping[str, Any]) -> str:
    text = " ".join(str(error.get("errmsg", "")).split())
    return f"{text} (code {error.get('code')})"
