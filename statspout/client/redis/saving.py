"""Records on their way to Redis: sent, or counted as lost. Nothing is raised unless it was asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeAlias

from statspout.client.losses import Kind, Losses
from statspout.client.redis.records import Plain
from statspout.client.redis.redis import Cancelled, Gate, async_redis, sync_redis
from statspout.client.redis.script import Call, calls, is_answer, write, write_async
from statspout.client.redis.settings import config

Back: TypeAlias = "Callable[[Sequence[Plain]], None]"

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


def save(
    records: Sequence[Plain], namespace: str | None = None, *, strict: bool = False, back: Back | None = None
) -> None:
    """Send them, in as few round trips as it takes.

    With ``strict`` what was wrong is raised, whether Redis was away before or not. ``back`` is handed records that
    certainly are not stored, and are not counted as lost: they may be sent again.
    """
    gate = sync_redis.gate
    if gate.shut() and not strict:
        _away(records, back, gate.why)
        return
    before, began, todo = sys.exception(), monotonic(), _calls(records, namespace)
    try:
        with sync_redis.kept() as (_, writer):
            answers = write(writer, todo)
    except Exception as error:  # noqa: BLE001 - of the client, whichever it is; the application is not to fail over it
        gate.failed(began, error)
        _failed(records, error, _not_sent(error, before), strict, back)
    else:
        _answered(answers, todo, strict, gate, began)


async def save_async(
    records: Sequence[Plain], namespace: str | None = None, *, strict: bool = False, back: Back | None = None
) -> None:
    """The same, for tasks."""
    asked = Cancelled()
    try:
        await _save_async(records, namespace, strict, back)
    finally:
        asked.check()


async def _save_async(records: Sequence[Plain], namespace: str | None, strict: bool, back: Back | None) -> None:
    gate = async_redis.gate
    if gate.shut() and not strict:
        _away(records, back, gate.why)
        return
    before, began, todo = sys.exception(), monotonic(), _calls(records, namespace)
    try:
        async with async_redis.kept() as (_, writer):
            answers = await write_async(writer, todo)
    except Exception as error:  # noqa: BLE001 - as above
        gate.failed(began, error)
        _failed(records, error, _not_sent(error, before), strict, back)
    except BaseException as error:  # the task was cancelled: that is the application's, and goes on
        lose("unanswered", len(records), error)
        raise
    else:
        _answered(answers, todo, strict, gate, began)


def _calls(records: Sequence[Plain], namespace: str | None) -> list[Call]:
    return list(calls(records, config.space(namespace), config.history_size, context=config.context_size))


def _away(records: Sequence[Plain], back: Back | None, why: Exception | None) -> None:
    if back is None:
        lose("away", len(records), why)
    else:
        back(records)


def _failed(records: Sequence[Plain], error: Exception, unsent: bool, strict: bool, back: Back | None) -> None:
    """Redis was not to be reached, or broke off: of the records, any may be stored then."""
    if unsent and (back is not None or not strict):
        _away(records, back, error)
    if strict:
        raise error
    if not unsent:
        lose("unanswered", len(records), error)


def _answered(
    answers: Sequence[Exception | None], todo: Sequence[Call], strict: bool, gate: Gate, began: float
) -> None:
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


def _not_sent(error: BaseException | None, before: BaseException | None) -> bool:
    """Whether it failed before Redis did anything: no library, a wrong address, nobody there, or nobody let in.

    ``before`` is what the application was handling, which is behind all that is raised meanwhile, and says nothing.
    """
    while error is not None and error is not before:
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
