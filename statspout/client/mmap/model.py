"""The models: a class whose attributes are the statistics of an application, in a file for each thread.

::

    class WebStats(MmStats):
        requests = CounterField()
        page = TimerField(label="page.seconds")

    stats = WebStats(label_prefix="web.")       # once, in a module
    stats.requests.incr()
    with stats.page: ...
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, ClassVar

from statspout.client.mmap.errors import DuplicateFieldName
from statspout.client.mmap.fields import (
    Field,
    StaticDoubleField,
    StaticInt64Field,
    StaticTextField,
    StaticUInt64Field,
    StaticUIntField,
)  # fmt: skip
from statspout.client.mmap.layout import FOLDS, Column, label_bytes
from statspout.client.mmap.places import default_filename, default_path
from statspout.client.mmap.stores import Shared, Store, Thread

_OURS = ("_store", "_thread")
"""What a thread's own dictionary of a model has beside its fields."""


def _check(name: str, columns: list[Column]) -> None:
    """DuplicateFieldName, or ValueError, for labels that cannot be together in a file, or in any."""
    seen = {FOLDS}
    for column in columns:
        label_bytes(column.label)
        if column.label in seen:
            raise DuplicateFieldName(f"{name}: two fields with the label {column.label!r}")
        seen.add(column.label)


class BaseMmStats(threading.local):
    """A model without any fields of its own.

    * ``path``: the folder of the files; None is ``MMSTATS_PATH``, else that of temporary files.
    * ``filename``: a file's name in it; None is ``MMSTATS_FILES``, else ``{CMD}-{PID}-{TID}.mmstats``. In both,
      ``{CMD}``, ``{PID}`` and ``{TID}`` are filled in. Where that name is somebody's who is alive, a number stands
      before its ending.
    * ``label_prefix``: what stands before all labels; no dot is put between.
    * ``keep``: leave the files at the end of the program, for who reads them then; ``cleanstats`` removes them.

    ValueError for a template that cannot be filled in or a prefix that no label can have, OSError where there cannot be
    a file. What a program with files could still meet later, as a full disk when a thread begins, never raises: it is
    said once in the log of ``statspout.client``, and what is counted there is seen by nobody.

    One instance is for the whole program, and all threads: as of any ``threading.local``, each has its own values, in a
    file of its own; a subclass's ``__init__`` is called for each again. When a thread ends, its counters are added to a
    file of the process. After a fork a child begins anew, at zero, in its own file, from its first use on. At the end
    of the program the files go.
    """

    __slots__ = ("_shared",)  # which all threads have in common

    _fields: ClassVar[dict[str, Field]] = {}
    _shared: Shared

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        found: dict[str, Field] = {}
        for one in reversed(cls.__mro__):
            for name, value in vars(one).items():
                if isinstance(value, Field):
                    if hasattr(BaseMmStats, name) or name in _OURS:
                        raise ValueError(f"{cls.__name__}.{name}: every model has an attribute of that name")
                    found[name] = value
                else:
                    found.pop(name, None)
        cls._fields = found
        _check(cls.__name__, [field.described("") for field in found.values()])

    def __init__(
        self,
        path: str | None = None,
        filename: str | None = None,
        label_prefix: str | None = None,
        *,
        keep: bool = False,
    ) -> None:
        first = not hasattr(self, "_shared")
        if first:
            prefix = label_prefix or ""
            fields = list(type(self)._fields.values())
            for field in fields:
                label_bytes(field.described(prefix).label)
            self._shared = Shared(
                fields,
                default_path() if path is None else os.fspath(path),
                default_filename() if filename is None else filename,
                prefix,
                keep,
            )
        store = Store(self._shared)
        try:
            store.open(strict=first)
        except BaseException:
            if first:
                del self._shared
            raise
        self.__dict__.update(store.cells, _store=store, _thread=Thread(store, self))

    @property
    def filename(self) -> str:
        """The path of this thread's file; empty where there is none."""
        return self._of_thread().path

    @property
    def size(self) -> int:
        """Bytes of this thread's file."""
        return self._of_thread().size

    @property
    def label_prefix(self) -> str:
        """What stands before all labels."""
        return self._shared.prefix

    def flush(self, wait: bool = True) -> None:
        """Have this thread's file on disk: counting needs it not, and all readers of this machine see it without.

        Without ``wait`` there is nothing to do: the kernel writes it when it likes to.
        """
        if wait:
            self._of_thread().flush()

    def remove(self) -> None:
        """Remove this thread's file, for good: its fields are a KeyError from now on. Again, it does nothing.

        The last one to do so removes what is left of the threads that have ended, too.
        """
        self._of_thread().end()
        for name in self._shared.fields:
            self.__dict__.pop(name.name, None)

    def _of_thread(self) -> Store:
        store: Store = self.__dict__["_store"]
        return store


class _ThreadIdField(StaticInt64Field):
    """The thread; 0 in the file of the threads that have ended."""

    def column(self, prefix: str, *, ended: bool = False) -> Column:
        """As of any field."""
        return self.described(prefix) if ended else super().column(prefix)


class MmStats(BaseMmStats):
    """A model with what tells one process from another: ``sys.pid``, ``.tid``, ``.uid``, ``.gid``, ``.created``.

    And ``org.python.version``. The prefix stands before these labels, too. The arguments are those of the base class.
    """

    pid = StaticUIntField(label="sys.pid", value=os.getpid)
    tid = _ThreadIdField(label="sys.tid", value=threading.get_native_id)
    uid = StaticUInt64Field(label="sys.uid", value=os.getuid)
    gid = StaticUInt64Field(label="sys.gid", value=os.getgid)
    python_version = StaticTextField(label="org.python.version", value=lambda: sys.version.replace("\n", ""))
    created = StaticDoubleField(label="sys.created", value=time.time)
