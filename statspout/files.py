"""The files that a user names: read whole, and never waited for without end."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

PATIENCE = 30.0
"""Seconds for what comes by a pipe, as from a command that decrypts it and asks somebody for a word."""

_patient: ContextVar[bool] = ContextVar("patient", default=True)

_KINDS = {
    stat.S_IFDIR: "Is a directory",  # as the system would say it
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


class Unreadable(Exception):
    """Why a file is not read, as a few words behind a colon."""


def read(path: str, most: int, *, pipe: bool = False) -> bytes:
    """What the file holds, up to ``most`` bytes of it; or Unreadable.

    ``pipe``: it may be one, such as ``/dev/stdin`` or what a shell makes of ``<(...)``; all of it has to come within
    :data:`PATIENCE`.
    """
    descriptor = _opened(path, pipe=pipe and _patient.get())
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return _from_pipe(descriptor, most)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    finally:
        os.close(descriptor)


def check(path: str) -> None:
    """Unreadable unless it is a file that can be opened: for whoever hands its path to a library, which would wait."""
    os.close(_opened(path, pipe=False))


@contextmanager
def only_files() -> Iterator[None]:
    """Within, no pipe is read: what came by one does not come again, and there is something else to do than to wait."""
    before = _patient.set(False)
    try:
        yield
    finally:
        _patient.reset(before)


def _opened(path: str, *, pipe: bool) -> int:
    try:
        # To open a device can be to do something, so it is looked at first; it may be another one by then.
        _check_kind(Path(path).stat(), pipe)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            _check_kind(os.fstat(descriptor), pipe)
        except BaseException:
            os.close(descriptor)
            raise
    except (OSError, ValueError) as error:
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from error
    return descriptor


def _check_kind(found: os.stat_result, pipe: bool) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFREG or (kind == stat.S_IFIFO and pipe) or _is_null(found):
        return
    if kind == stat.S_IFIFO and not _patient.get():
        raise Unreadable("a pipe cannot be read again: a file, and no pipe, is right")
    raise Unreadable(f"{_KINDS.get(kind, 'it is no file')}: a file is right")


def _is_null(found: os.stat_result) -> bool:
    """Whether it is the device that is empty, by which people say that there is nothing."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == Path(os.devnull).stat().st_rdev


def _from_pipe(descriptor: int, most: int) -> bytes:
    """All that comes before its other end is closed. Until somebody opens that, there is nothing to be told."""
    deadline = time.monotonic() + PATIENCE
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    found = bytearray()
    while len(found) < most:
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Unreadable(f"it is a pipe whose end did not come within {PATIENCE:g} s")
        part = os.read(descriptor, min(most - len(found), 2**16))
        if not part:
            break
        found += part
    return bytes(found)
