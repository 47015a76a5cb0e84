"""What a thread has of a model: a file and its cells. What becomes of both when a thread ends, or the process forks.

A thread that ends leaves what it counted to a file of the process, that of thread 0, and its own is removed. Meanwhile
``sys.folds`` in it is odd, so that who sums over the files of a process can tell that he would see it twice, or not.

A child of a fork begins anew, with a file of its own from its first use on: the one that it came with is its parent's.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from mmap import mmap

from statspout.client.losses import say_once
from statspout.client.mmap.cells import Cell, Counter
from statspout.client.mmap.fields import CounterField, Field
from statspout.client.mmap.files import create, unlink
from statspout.client.mmap.layout import FOLDS, encode
from statspout.client.mmap.places import place_of

_PATIENCE = 1.0
"""Seconds that the end of the program waits for another thread, which is making a file."""


class Shared:
    """What all threads have in common that use a model, and the file of those that have ended, once there is one."""

    def __init__(self, fields: Sequence[Field], path: str, filename: str, prefix: str, keep: bool) -> None:
        self.fields = fields
        self.path = path
        self.filename = filename
        self.prefix = prefix
        self.keep = keep
        self.folded: Store | None = None

    def fold(self, store: Store) -> None:
        """Leave what a thread counted to the process, and remove its file. With the lock."""
        store.making = True  # whoever has one of the counters waits, and begins at 0 then
        counted = {name: cell.take() for name, cell in store.cells.items() if isinstance(cell, Counter)}
        if store.path and any(counted.values()):
            to = self._ended()
            if to.path:
                to.folds.incr()
                for name, count in counted.items():
                    to.counter(name).incr(count)
                store.discard()
                to.folds.incr()
                return
            store.leave()  # there can be no file now: the one that there is stays as it is
        store.discard()

    def _ended(self) -> Store:
        """What the ended threads have in common, with its file if that can be. With the lock."""
        if self.folded is None:
            folds = CounterField(FOLDS)
            folds.name = FOLDS
            fields = [*(field for field in self.fields if field.folded), folds]
            self.folded = Store(self, fields, ended=True)
        self.folded.make()
        return self.folded


class Store:
    """The cells of a thread, and their file while there is one."""

    def __init__(self, shared: Shared, fields: Sequence[Field] | None = None, *, ended: bool = False) -> None:
        self.shared = shared
        self.fields = shared.fields if fields is None else fields
        self.ended = ended
        self.pid = os.getpid()
        self.path = ""
        self.size = 0
        self.removed = False
        self.memory: mmap | None = None
        self.cells: dict[str, Cell] = {field.name: field.cell(shared.prefix, self) for field in self.fields}
        self.making = False

    def counter(self, name: str) -> Counter:
        """A counter, by the name of its field."""
        cell = self.cells[name]
        assert isinstance(cell, Counter)
        return cell

    @property
    def folds(self) -> Counter:
        """How often a thread's counters were added to these, twice."""
        return self.counter(FOLDS)

    def open(self, *, strict: bool = False) -> bool:
        """Have a file, if there is none. Where none can be made, what is counted is seen by nobody, which is said once.

        OSError instead, where it is ``strict``; ValueError for a template, or a static field, that is wrong.
        """
        with _process.lock:
            made = self.make(strict=strict)
        _process.tell()
        return made

    def make(self, *, strict: bool = False) -> bool:
        """As :meth:`open`; with the lock, so that nothing is said yet."""
        if self.making:  # this is a signal handler, in the midst of it: others wait for the lock
            return False
        if self.memory is None and not self.removed:
            self.making = True
            try:
                self._make(strict)
            finally:
                self.making = False
        return True

    def _make(self, strict: bool) -> None:
        tid = 0 if self.ended else threading.get_native_id()
        content, places = encode([field.column(self.shared.prefix, ended=self.ended) for field in self.fields])
        self.path, self.memory = self._made(place_of(self.shared.path, self.shared.filename, tid), content, strict)
        self.size, self.pid = len(content), os.getpid()
        for cell, place in zip(self.cells.values(), places, strict=True):
            cell.bind(self.memory, place)
        _process.open.add(self)

    def _made(self, path: str, content: bytes, strict: bool) -> tuple[str, mmap]:
        try:
            if not _process.over:  # whoever goes on after the end of the program leaves nothing behind
                return create(path, content)
        except OSError as error:
            if strict:
                raise
            _process.unsaid.append(f"{path}: {error.strerror}; what is counted there is seen by nobody")
        memory = mmap(-1, len(content))
        memory[:] = content
        return "", memory

    def flush(self) -> None:
        """Have what was stored on disk."""
        memory = self.memory
        if memory is not None:
            memory.flush()

    def discard(self) -> None:
        """Remove the file; who still has one of the cells begins anew with his next use of it. With the lock."""
        if self.path:
            unlink(self.path)
        self.abandon()

    def leave(self) -> None:
        """Leave the file where it is, and locked, until the program ends. With the lock."""
        if self.memory is not None and not self.shared.keep:
            _process.left.append((self.path, self.memory))
        self.path = ""

    def abandon(self) -> None:
        """Begin anew without a file. Nothing is unmapped that is in use: it goes with who uses it."""
        for cell in self.cells.values():
            cell.unbind()
        self.memory, self.path, self.making = None, "", False
        _process.open.discard(self)

    def end(self) -> None:
        """Remove the file, for good, and that of the ended threads if this was the last of the others."""
        with _process.lock:
            self.remove()
            others = any(one.shared is self.shared and not one.ended for one in _process.open)
            if self.shared.folded is not None and not others:
                self.shared.folded.remove()

    def remove(self) -> None:
        """Remove the file, for good. With the lock."""
        if self.path and self.memory is not None:
            unlink(self.path)
        for cell in self.cells.values():
            cell.remove()
        self.memory, self.removed = None, True
        _process.open.discard(self)


class Thread:
    """Goes when the thread goes that has it, or the model: what is left of the thread is folded then."""

    __slots__ = ("model", "process", "store")

    def __init__(self, store: Store, model: object) -> None:
        self.process = _process  # this module may be no more when it goes
        self.store = store
        self.model = weakref.ref(model)

    def __del__(self) -> None:
        # In a child it goes for all threads that are not there; and at the end of the program nothing is to be left.
        if not self.process.over and self.store.pid == os.getpid():
            self.process.ended(self.store, model_lives=self.model() is not None)


class _Process:
    """All stores of this process that have a file, and the lock for whatever becomes of them."""

    def __init__(self) -> None:
        self.open: set[Store] = set()
        self.left: list[tuple[str, mmap]] = []
        self.unsaid: deque[str] = deque()
        self.over = False
        self.fresh()

    def fresh(self) -> None:
        """No lock of another process is held."""
        # Whatever is done with it may be where the last user of a model, or a thread, goes.
        self.lock = threading.RLock()

    def ended(self, store: Store, *, model_lives: bool) -> None:
        """A thread has ended, or the model with all of its threads: then its files go, for nobody can count there."""
        with self.lock:
            if store.memory is None:
                return
            if model_lives:
                store.shared.fold(store)
            else:
                store.remove()
                if store.shared.folded is not None:
                    store.shared.folded.remove()
        self.tell()

    def tell(self) -> None:
        """Say what was not said yet: not with the lock, as who handles the log may be anybody."""
        while self.unsaid:
            with suppress(IndexError):  # another thread was faster
                say_once(self.unsaid.popleft())

    def in_child(self) -> None:
        """After a fork: each has its own, from its first use on."""
        self.fresh()
        self.left.clear()
        for store in list(self.open):
            store.abandon()
        _with_multiprocessing()

    def at_exit(self) -> None:
        """Remove the files, but for those that are to be kept; a thread that still counts does no harm."""
        self.over = True
        locked = self.lock.acquire(timeout=_PATIENCE)  # whoever is making one is to be done with it
        for path in [store.path for store in list(self.open) if not store.shared.keep] + [
            path for path, _ in self.left
        ]:
            unlink(path)
        if locked:
            self.lock.release()


_process = _Process()


def _with_multiprocessing() -> None:
    """Remove the files at the end of a child of ``multiprocessing``, which skips what atexit has."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_process, _finalized)
        _finalized(None)


def _finalized(_: object) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _process.at_exit, exitpriority=-100)


atexit.register(_process.at_exit)
os.register_at_fork(after_in_child=_process.in_child)
_with_multiprocessing()
