"""The place in each label on disk: a file under ``--spool.dir``, by which a daemon goes on where the last one ended."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

_NAME = "listen.redis.place"
_APPLICATION = 0x73707250
_VERSION = 1
_SCHEMA = f"""
BEGIN;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), redis TEXT, namespace TEXT, looked TEXT);
CREATE TABLE labels (label TEXT PRIMARY KEY, place BLOB) WITHOUT ROWID;
COMMIT;
"""

Places: TypeAlias = "Mapping[str, bytes | None]"
"""By label; None where nothing is known of it any more."""


class About(NamedTuple):
    """Whose places: ``redis`` is the address, ``looked`` which labels were all looked at, empty when none were."""

    redis: str
    namespace: str
    looked: str

    def is_of(self, other: About) -> bool:
        """Whether both are of the same labels."""
        return self[:2] == other[:2]


class PlaceFile:
    """The file in ``directory``. All calls but the constructor may take as long as the disk does.

    They raise sqlite3.Error and OSError, and may come from any thread.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / _NAME
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._busy = threading.Lock()

    def load(self) -> tuple[About, dict[str, bytes]] | None:
        """What was saved last; None where nothing was. ``sqlite3.DatabaseError`` when the file is damaged."""
        with self._busy:
            if not self.path.exists():
                return None
            db = self._open()
            about = db.execute("SELECT redis, namespace, looked FROM about").fetchone()
            if about is None:
                return None
            return About(*map(str, about)), dict(db.execute("SELECT label, place FROM labels"))

    def save(self, about: About, places: Places, *, fresh: bool) -> None:
        """Write what has changed; with ``fresh``, nothing else holds.

        FileNotFoundError when what was saved before is not there any more: all of it has to be written, then.
        """
        with self._busy:
            if self._db is not None and not self._is_ours():
                self._let_go()
            if self._db is None and not (fresh or self.path.exists()):
                raise FileNotFoundError(self.path)
            with self._transaction(self._open()) as db:
                if fresh:
                    db.execute("DELETE FROM labels")
                db.execute("INSERT OR REPLACE INTO about VALUES (1, ?, ?, ?)", about)
                gone = [(label,) for label, place in places.items() if place is None]
                db.executemany("DELETE FROM labels WHERE label = ?", gone)
                known = [(label, place) for label, place in places.items() if place is not None]
                db.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?)", known)

    def put_aside(self) -> Path:
        """Give a file that cannot be read another name, which is returned."""
        with self._busy:
            self._let_go()
            away = self.path.with_name(f"{_NAME}.damaged")
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{end}").replace(f"{away}{end}")
            return away

    def close(self) -> None:
        """Let go of the file."""
        with self._busy:
            self._let_go()

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self.path.touch(mode=0o600)
            db = sqlite3.connect(self.path, timeout=3.0, isolation_level=None, check_same_thread=False)
            try:
                _prepare(db)
            except BaseException:
                db.close()
                raise
            self._db, self._inode = db, self.path.stat().st_ino
        return self._db

    def _is_ours(self) -> bool:
        """Whether the open file is the one of that name: it may have been removed meanwhile."""
        return self.path.exists() and self.path.stat().st_ino == self._inode

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    @contextlib.contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except BaseException:
            # Whatever is wrong with it, the next attempt is to begin with the file as it is then.
            self._let_go()
            raise


def _prepare(db: sqlite3.Connection) -> None:
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if (application, version) == (0, 0) and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        db.executescript(_SCHEMA)
    elif (application, version) != (_APPLICATION, _VERSION):
        raise sqlite3.DatabaseError("it is another program's, or another version's")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
