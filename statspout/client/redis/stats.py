"""What an application records with: :class:`Stats`, :func:`push_stat`, and the readers of what was recorded."""

from __future__ import annotations

import os
import sys
import traceback as tracebacks
import weakref
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from time import time
from types import TracebackType
from typing import Any, Self

from statspout.client.losses import say_once
from statspout.client.redis import saving
from statspout.client.redis.keys import STATS
from statspout.client.redis.reading import Stat, StatsData, available_stats, contexts, fetch_many, fetch_stats
from statspout.client.redis.reading import stat_history as stat_history
from statspout.client.redis.records import Context, Plain, Record, context_of, hash_context, label_of, number
from statspout.client.redis.saving import lose, lost
from statspout.client.redis.settings import config
from statspout.client.redis.timers import TimerStat, timer

STAT_NAMES = set(STATS)

ABOUT = 16 * 2**20
"""Bytes of different contexts that wait in a ``Stats`` at most."""

_LABELS = 10_000

_all: weakref.WeakSet[Stats] = weakref.WeakSet()

__all__ = [
    "STAT_NAMES", "Stat", "Stats", "StatsData", "TimerStat", "available_stats", "contexts", "fetch_many",
    "fetch_stats", "hash_context", "lost", "push_stat", "push_stat_async", "stat_history", "timer",
]  # fmt: skip


class Stats:
    """Collects stats, and writes them where its block ends: ``with Stats() as stat: stat("label", 1.5)``.

    An exception that leaves the block is recorded, too, and goes on. It may be used from several threads and tasks. A
    child that is forked writes what it records itself, and nothing of its parent's.

    * ``prefix``: the namespace, if it is not the one of the settings.
    * ``log``, ``disable_warnings``: where it is said, if at all, that ``exception`` found none.
    * ``strict``: a value or label that cannot be, and a Redis that does not take what is written, are raised; unless an
      exception is on its way already. Without it they are counted, which :func:`lost` tells.
    """

    def __init__(
        self, prefix: str | None = None, log: Any = None, disable_warnings: bool = False, *, strict: bool = False
    ) -> None:
        self._namespace = prefix
        self._log = log
        self._quiet = disable_warnings
        self._strict = strict
        self._records: deque[Plain] = deque()
        self._labels: set[str] = set()
        self._abouts: dict[str | bytes, str | bytes] = {}
        self._weight = 0
        _all.add(self)

    def __call__(
        self, label: str, value: float, context: Context = None, extra_labels: Mapping[str, object] | None = None
    ) -> None:
        """Record a value. ``extra_labels`` are put behind the label: ``label;k=v,k2=v2``."""
        try:
            if type(value) is not float or value * 0.0 != 0:
                value = number(value)
            if extra_labels or label not in self._labels:
                label = self._checked(label, extra_labels)
            if context is not None:
                context = self._about(context)
        except Exception as error:  # what is foreign here may raise whatever it likes
            if self._strict:
                raise
            lose("bad_value", 1, error)
            return
        self._records.append((time(), label, value, context))
        if len(self._records) > config.buffer_size:
            self._overflowed()

    stat = __call__

    def error(self, *labels: str, context: Context = None) -> None:
        """Record an error of these kinds: one under ``errors__`` and each of them, and one under ``errors__all``."""
        for label in (*labels, "all"):
            self(f"errors__{label}", 1.0, context=context)

    def exception(
        self,
        exc_type: type[BaseException] | BaseException | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
        additional_labels: Iterable[str] | None = None,
        context: Context = None,
    ) -> None:
        """Record an exception: the one that is given, as an instance or a class, or the one that is being handled.

        The context is its traceback, unless another one is given.
        """
        kind: type[BaseException] | None
        error: BaseException | None
        if isinstance(exc_type, BaseException):
            kind, error = type(exc_type), exc_type
        elif exc_type is not None:
            kind, error = exc_type, exc_value
        else:
            kind, error, traceback = sys.exc_info()
        labels = list(additional_labels or ())
        if kind is None:
            self._warn("Got an empty call to exception.")
        else:
            labels.insert(0, f"EXC:{kind.__name__}")
            context = _told(kind, error, traceback) if context is None else context
        self.error(*labels, context=context)

    def save_stats(self) -> None:
        """Write what there is now. What certainly was not stored stays, for the next time."""
        self._save(keep=True)

    async def save_stats_async(self) -> None:
        """The same, for tasks."""
        await self._save_async(keep=True)

    def __del__(self) -> None:
        """What nobody has written is lost; it is said with the next loss, for a log is nothing to write to here."""
        if records := getattr(self, "_records", None):
            with suppress(Exception):  # at the end of the program what is called may be no more
                saving.losses.add("unsent", len(records))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._left(error)
        self._save(strict=self._strict and error is None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._left(error)
        await self._save_async(strict=self._strict and error is None)

    def _left(self, error: BaseException | None) -> None:
        """The block was left: what asks a program or a task to end is no error of it."""
        if isinstance(error, Exception):
            self.exception(error)

    def _save(self, *, strict: bool | None = None, keep: bool = False) -> None:
        strict = self._strict if strict is None else strict
        if records := self._taken():
            saving.save(records, self._namespace, strict=strict, back=self._put_back if keep or strict else None)

    async def _save_async(self, *, strict: bool | None = None, keep: bool = False) -> None:
        strict = self._strict if strict is None else strict
        if records := self._taken():
            back = self._put_back if keep or strict else None
            await saving.save_async(records, self._namespace, strict=strict, back=back)

    def _taken(self) -> list[Plain]:
        """What there is, taken away; of several threads each gets its own part."""
        self._abouts, self._weight = {}, 0
        records: list[Plain] = []
        try:
            while True:
                records.append(self._records.popleft())
        except IndexError:
            return records

    def _put_back(self, records: Sequence[Plain]) -> None:
        """They are not stored: who writes again writes them, too."""
        self._records.extendleft(reversed(records))
        self._overflowed()

    def _overflowed(self) -> None:
        """Let go of the oldest: each that is taken off is counted once, whoever else is at it."""
        gone = 0
        try:
            while len(self._records) > config.buffer_size:
                self._records.popleft()
                gone += 1
        except IndexError:  # another thread has written them
            pass
        if gone:
            lose("full", gone, f"{config.buffer_size} stats")

    def _checked(self, label: str, extra: Mapping[str, object] | None) -> str:
        full = label_of(label, extra)
        if len(self._labels) < _LABELS:
            self._labels.add(full)
        return full

    def _about(self, context: object) -> Context:
        """The context as it is kept: cut, and one object for all that are equal. None when too many wait already."""
        if not context:
            return None
        if not isinstance(context, (str, bytes)):
            context = bytes(context) if isinstance(context, (bytearray, memoryview)) else str(context)
        if len(context) > config.context_size:
            context = context_of(context, config.context_size)
        known = self._abouts.get(context)
        if known is None:
            if self._weight + len(context) > ABOUT:
                lose("full", 1, f"contexts of {ABOUT} bytes; the stat itself is kept")
                return None
            self._weight += len(context)
            known = self._abouts[context] = context
        return known

    def _warn(self, message: str) -> None:
        if self._quiet:
            return
        if self._log is not None:
            self._log.warning(message)
        else:
            say_once(message)

    def _in_child(self) -> None:
        """What is pending is the parent's to write."""
        self._records.clear()


def push_stat(
    label: str,
    value: float,
    prefix: str | None = None,
    context: Context = None,
    extra_labels: Mapping[str, object] | None = None,
    *,
    strict: bool = False,
) -> None:
    """Write one stat now. What cannot be written is counted, or raised with ``strict``."""
    if record := _record(label, value, context, extra_labels, strict):
        saving.save([record], prefix, strict=strict)


async def push_stat_async(
    label: str,
    value: float,
    prefix: str | None = None,
    context: Context = None,
    extra_labels: Mapping[str, object] | None = None,
    *,
    strict: bool = False,
) -> None:
    """The same, for tasks."""
    if record := _record(label, value, context, extra_labels, strict):
        await saving.save_async([record], prefix, strict=strict)


def _record(
    label: str, value: float, context: object, extra: Mapping[str, object] | None, strict: bool
) -> Record | None:
    try:
        about = context_of(context, config.context_size) or None
        return Record(time(), label_of(label, extra), number(value), about)
    except Exception as error:
        if strict:
            raise
        lose("bad_value", 1, error)
        return None


def _told(kind: type[BaseException], error: BaseException | None, tb: TracebackType | None) -> str:
    """The traceback as Python prints it; the kind alone where there is no more."""
    if error is None:
        return f"{kind.__name__}\n"
    return "".join(tracebacks.format_exception(kind, error, tb or error.__traceback__))


def _in_child() -> None:
    for stats in list(_all):
        stats._in_child()


os.register_at_fork(after_in_child=_in_child)
