"""The file in which one repository's samples wait: SQLite with a write-ahead log, a row for some samples."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from statspout.delivery.ranges import Range

VERSION = 1
"""Of the table; rows have a version of their own."""

_APPLICATION = 0x53505554
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR_SHORT_READ}
_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, time INTEGER NOT NULL, samples INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX totals ON batches (id, time, samples);
COMMIT;
"""
_SPARE_PAGES = 256
"""Free pages beyond which the file is made smaller."""
_CLOCKS = 1_577_836_800
"""2020; a clock that says less was never set."""

_LOG_BYTES = 4 * 2**20
"""What the write-ahead log may take beside the file."""


class Damaged(Exception):
    """The file cannot be used, and never will be."""


class Gone(Damaged):
    """The file is not there any more, or another has taken its place."""


@dataclass(frozen=True, slots=True)
class Row:
    """Some samples, encoded; ``data`` is None when it cannot be read, and ``id`` 0 while it is not on disk."""

    id: int
    samples: int
    data: bytes | None


class SpoolFile:
    """Rows on disk. The methods block; they raise Damaged, or sqlite3.Error or OSError for what may pass.

    ``most_bytes`` bounds the file without its log of a few MiB. ``hold`` makes sure of the directory before the file is
    opened; it raises OSError.
    """

    def __init__(self, path: Path, most_bytes: int, hold: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._hold = hold
        self._most_bytes = most_bytes
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._epoch = time.time() - time.monotonic()
        self._next = 1

    def open(self) -> tuple[Range | None, int]:
        """Open or make the file; the range of its rows and how many samples are in them."""
        self.close()
        self._hold()
        with self._telling():
            self._db = self._connected()
            first, last, samples = self._db.execute("SELECT min(id), max(id), sum(samples) FROM batches").fetchone()
            if last is not None:
                _number(samples)
            self._inode = self.path.stat().st_ino
        self._next = max(self._next, (last or 0) + 1)
        return (None, 0) if last is None else ((first, last), samples)

    def _connected(self) -> sqlite3.Connection:
        self.path.touch(mode=0o600)
        db = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            application, version = (
                db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if (application, version) == (0, 0) and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                db.executescript(_SCHEMA)
            elif (application, version) != (_APPLICATION, VERSION):
                raise Damaged(_strange(application, version))
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def now(self) -> float:
        """Seconds since the epoch, by the clock of the start: that the clock is set makes nothing older."""
        return self._epoch + time.monotonic()

    def write(
        self, rows: Sequence[Row], freed: Iterable[int], waiting: Sequence[Range]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """In one transaction: forget the rows ``freed``, write ``rows``; a row with an id takes that row's place.

        Returns the ids of the new rows, and what of ``waiting``, the oldest first, had to go to make room: pairs of id
        and samples. Where that is not enough the last of the new rows are not written, and have no id.
        """
        new = [row for row in rows if not row.id]
        with self._telling(), self._transaction() as db:
            db.executemany("DELETE FROM batches WHERE id = ?", [(id_,) for id_ in freed])
            for row in rows:
                if row.id:
                    self._put(db, row.id, row)
            fit, dropped = self._make_room(db, new, waiting)
            ids = list(range(self._next, self._next + fit))
            for id_, row in zip(ids, new, strict=False):
                self._put(db, id_, row)
        self._next += len(ids)
        self._shrink()
        return ids, dropped

    def _put(self, db: sqlite3.Connection, id_: int, row: Row) -> None:
        assert row.data is not None, "what is written is known"
        values = (id_, int(self.now()), row.samples, zlib.crc32(row.data), row.data)
        db.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?)", values)

    def read(self, rows: Range, samples: int) -> list[Row]:
        """The first rows of a range, of so many samples or a little more."""
        found: list[Row] = []
        with self._telling():
            query = "SELECT id, samples, crc, data FROM batches WHERE id BETWEEN ? AND ? ORDER BY id"
            cursor = self._connection().execute(query, rows)
            for id_, count, crc, data in cursor:
                good = isinstance(data, bytes) and zlib.crc32(data) == crc
                found.append(Row(id_, count, data if good else None))
                samples -= _number(count)
                if samples <= 0:
                    break
            cursor.close()
        return found

    def expire(self, rows: Range, before: float) -> int:
        """Forget the rows of a range that were written before that time, by :meth:`now`; their samples.

        Those that were written when the machine did not know the year have no age.
        """
        with self._telling(), self._transaction() as db:
            where = "FROM batches WHERE id BETWEEN ? AND ? AND time >= ? AND time < ?"
            samples = db.execute(f"SELECT sum(samples) {where}", (*rows, _CLOCKS, int(before))).fetchone()[0]
            db.execute(f"DELETE {where}", (*rows, _CLOCKS, int(before)))
        self._shrink()
        return samples or 0

    @property
    def size(self) -> int:
        """Bytes of the file and its log."""
        found = 0
        for end in ("", "-wal"):
            with contextlib.suppress(OSError):
                found += Path(f"{self.path}{end}").stat().st_size
        return found

    @property
    def bytes(self) -> int:
        """What the rows take on disk."""
        pages, spare, size = (self._pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - spare) * size

    def quarantine(self) -> Path | None:
        """Put the file away under another name, which is returned; None when there is no file any more."""
        self.close()
        away = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        number = 1
        while away.exists():
            number += 1
            away = away.with_name(f"{away.name.partition('_')[0]}_{number}")
        found = self.path.exists()
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{end}").rename(f"{away}{end}")
        return away if found else None

    def _make_room(
        self, db: sqlite3.Connection, new: Sequence[Row], waiting: Sequence[Range]
    ) -> tuple[int, list[tuple[int, int]]]:
        """Drop rows of ``waiting`` until the rows ``new`` fit; how many of these do, and what is dropped."""
        room, fit = self._most_bytes - self.bytes, -1
        dropped: list[tuple[int, int]] = []
        oldest = _oldest(db, waiting)
        # First what is beyond the bound as it is.
        for size in (0, *(_room(len(row.data or b"")) for row in new)):
            room -= size
            before = len(dropped)
            while room < 0 and (found := next(oldest, None)):
                dropped.append(found[:2])
                room += found[2]
            if room < 0 and size:
                del dropped[before:]  # in vain
                break
            fit += 1
        db.executemany("DELETE FROM batches WHERE id = ?", [(id_,) for id_, _ in dropped])
        return fit, dropped

    def _shrink(self) -> None:
        """Give pages back that nothing needs any more. It is for later should it fail."""
        with contextlib.suppress(sqlite3.Error):
            if self._pragma("freelist_count") > _SPARE_PAGES:
                # Each step of it frees a page, and only a script is taken to its end.
                self._connection().executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")

    def _pragma(self, name: str) -> int:
        return int(self._connection().execute(f"PRAGMA {name}").fetchone()[0])

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.OperationalError("the file is not open")
        return self._db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._connection()
        if self.path.stat().st_ino != self._inode:
            raise Gone("another took its place")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Make Damaged of what will not pass."""
        try:
            yield
        except FileNotFoundError as error:
            raise Gone("it was removed") from error
        except UnicodeDecodeError as error:
            raise Damaged("what should be text is none") from error
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code in _DAMAGED or code & 0xFF in _DAMAGED or "no such table" in str(error):
                raise Damaged(str(error)) from error
            raise


def _oldest(db: sqlite3.Connection, waiting: Sequence[Range]) -> Iterator[tuple[int, int, int]]:
    """The rows of these ranges in order: id, samples, bytes."""
    for range_ in waiting:
        query = "SELECT id, samples, length(data) FROM batches WHERE id BETWEEN ? AND ? ORDER BY id"
        yield from db.execute(query, range_)


def _strange(application: int, version: int) -> str:
    if application == _APPLICATION:
        return f"it is of version {version}, and this program's is {VERSION}"
    return "it is no spool"


def _number(samples: object) -> int:
    """How many samples a row has; the schema says that it is a whole number, and damage may say anything."""
    if not isinstance(samples, int) or samples < 0:
        raise Damaged("how many samples a row of it has is no number")
    return samples


def _room(size: int) -> int:
    """Bytes that a row of ``size`` bytes takes, whole pages where it does not fit into one."""
    return size + 64 if size < 1000 else (size // 4096 + 2) * 4096
