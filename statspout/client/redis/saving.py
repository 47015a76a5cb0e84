"""Records on their way to Redis: sent, or counted as lost. Nothing is raised unless it was asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic

from statspout.client.losses import Kind, Losses
from statspout.client.redis.records import Plain
from statspout.client.redis.redis import Cancelled, Gate, async_redis, sync_redis
from statspout.client.redis.script import Call, calls, is_answer, write, write_async
from statspout.client.redis.settings import config

losses = Losses("redis")


def lost() -> dict[str, int]:
    """How many stats of this process were lost, by kind: :data:`statspout.client.losses.MEANINGS` says what they are.

    ``away``, ``rejected``, ``full`` and ``bad_value`` are stored nowhere; ``unanswered`` may be.
    """
    return losses.counts()


def lose(kind: Kind, records: int, why: object) -> None:
    """Count them, and say the first of a kind in the log."""
    losses.add(kind, records, why)
    losses.tell()


def save(records: Sequence[Plain], namespace: str | None = None, *, strict: bool = False, keep: bool = False) -> bool:
    """Send them, in as few round trips as it takes.

    With ``strict`` what was wrong is raised, whether Redis was away before or not. With ``keep`` False comes back for
    records that certainly are not stored, and are not counted as lost: they may be sent again.
    """
    gate = sync_redis.gate
    if gate.shut() and not strict:
        return _away(records, keep, gate)
    began, todo = monotonic(), _calls(records, namespace)
    try:
        with sync_redis.kept() as (_, writer):
            answers = write(writer, todo)
    except Exception as error:  # noqa: BLE001 - of the client, whichever it is; the application is not to fail over it
        return _failed(error, began, records, strict, keep, gate)
    return _answered(answers, todo, strict, gate, began)


async def save_async(
    records: Sequence[Plain], namespace: str | None = None, *, strict: bool = False, keep: bool = False
) -> bool:
    """The same, for tasks."""
    asked = Cancelled()
    try:
        return await _save_async(records, namespace, strict, keep)
    finally:
        asked.check()


async def _save_async(records: Sequence[Plain], namespace: str | None, strict: bool, keep: bool) -> bool:
    gate = async_redis.gate
    if gate.shut() and not strict:
        return _away(records, keep, gate)
    began, todo = monotonic(), _calls(records, namespace)
    try:
        async with async_redis.kept() as (_, writer):
            answers = await write_async(writer, todo)
    except Exception as error:  # noqa: BLE001 - as above
        return _failed(error, began, records, strict, keep, gate)
    except BaseException as error:  # the task was cancelled: that is the application's, and goes on
        lose("unanswered", len(records), error)
        raise
    return _answered(answers, todo, strict, gate, began)


def _calls(records: Sequence[Plain], namespace: str | None) -> list[Call]:
    return list(calls(records, config.space(namespace), config.history_size, context=config.context_size))


def _away(records: Sequence[Plain], keep: bool, gate: Gate) -> bool:
    if not keep:
        lose("away", len(records), gate.why)
    return not keep


def _failed(error: Exception, began: float, records: Sequence[Plain], strict: bool, keep: bool, gate: Gate) -> bool:
    """Redis was not to be reached, or broke off: of the records, any may be stored then."""
    gate.failed(began, error)
    if strict:
        raise error
    if not_sent(error):
        return _away(records, keep, gate)
    lose("unanswered", len(records), error)
    return True


def _answered(
    answers: Sequence[Exception | None], todo: Sequence[Call], strict: bool, gate: Gate, began: float
) -> bool:
    """Redis took them, or said of some that it would not, or of the last ones nothing."""
    gate.worked()
    bad = [(error, call.records) for error, call in zip(answers, todo, strict=True) if error is not None]
    for error, count in bad:
        if is_answer(error):
            lose("rejected", count, error)
        else:
            gate.failed(began, error)
            lose("unanswered", count, error)
    if bad and strict:
        raise bad[0][0]
    return True


def not_sent(error: BaseException | None) -> bool:
    """Whether it failed before Redis did anything: no library, a wrong address, nobody there, or nobody let in."""
    while error is not None:
        if isinstance(error, _UNSENT) or type(error).__name__ in _REFUSED:
            return True
        error = error.__cause__ or error.__context__
    return False


_UNSENT = (
    ImportError, TypeError, ValueError, AttributeError, ConnectionRefusedError, FileNotFoundError, PermissionError,
)  # fmt: skip
# By their names: of redis-py and its forks, and of a module that is loaded with them.
_REFUSED = {
    "AuthenticationError", "AuthenticationWrongNumberOfArgsError", "BusyLoadingError", "MaxConnectionsError",
    "gaierror",
}  # fmt: skip

os.register_at_fork(after_in_child=losses.fresh)
