"""What went wrong at Redis: one line that says what to do about it. All of these are kept and tried again."""

from __future__ import annotations

import re

import redis

from statspout import RepositoryError

_FULL_CALL = re.compile(r"(?:,? |^)(?:script: [0-9a-f]{40}|on @user_script:\S*|from @user_script:\S*)\.?")

_REMEDIES = (
    ("WRONGPASS", "the user or the password is wrong"),
    ("NOAUTH", "--redis.password, or a password in the URL, is needed"),
    ("NOPERM", "that user may not do what is needed: docs/redis-stats.md says what that is"),
    ("READONLY", "it is a replica: --redis.url has to be where the primary is"),
    ("OOM", "it has as much as its maxmemory allows"),
    ("MISCONF", "it cannot write to its disk, and takes nothing until it can"),
    ("MOVED", "it is one node of a Redis Cluster, of which a single Redis is needed here"),
    ("CROSSSLOT", "it is one node of a Redis Cluster, of which a single Redis is needed here"),
    ("CLUSTERDOWN", "it is one node of a Redis Cluster, of which a single Redis is needed here"),
    ("LOADING", "it is still loading what it has on disk"),
    ("BUSY", "it is busy with a script of somebody's"),
    ("WRONGTYPE", "the key --redis.stream is there already and is no stream: another name is right"),
)
"""By what Redis' answers begin with, or what its client makes of them."""

_KINDS = {
    "NoPermissionError": "NOPERM",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "MovedError": "MOVED",
    "AskError": "MOVED",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "BusyLoadingError": "LOADING",
}
"""What the client takes off an answer, by the class that it makes of it."""


def failure(error: Exception, where: str, timeout: float) -> RepositoryError:
    """The error to raise instead."""
    return RepositoryError(_line(error, where, timeout))


def _line(error: Exception, where: str, timeout: float) -> str:
    text = _plain(error)
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return f"no answer from {where} within {timeout:g} s"
    for code, remedy in _REMEDIES:
        if _KINDS.get(type(error).__name__) == code or re.search(rf"\b{code}\b", text):
            return f"{where}: {text}: {remedy}"
    if "Authentication required" in text:
        return f"{where}: {text}: {dict(_REMEDIES)['NOAUTH']}"
    if "invalid username-password pair" in text:
        return f"{where}: {text}: {dict(_REMEDIES)['WRONGPASS']}"
    return f"{where}: {text}"


def _plain(error: Exception) -> str:
    """What the client says, in one line and without the number of our script."""
    text = _FULL_CALL.sub("", " ".join(str(error).split()))
    return text.rstrip(".") or type(error).__name__
