"""The spool's SQLite file (WAL, synchronous=FULL): committed groups survive a power failure.

A *group* is what one commit wrote; groups belong to numbered segments. Beside it lies a *reserve*, a file of a few
megabytes that is given up when the disk is full: SQLite needs room to delete, and without it a full disk would
stay full when ClickHouse already has everything.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from collector.spool.deduplication import ONCE_SECONDS, pack

_TABLES = """\
CREATE TABLE IF NOT EXISTS spool (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS segments (number INTEGER PRIMARY KEY AUTOINCREMENT, began REAL NOT NULL, refused TEXT,
                                     token TEXT);
CREATE TABLE IF NOT EXISTS groups (number INTEGER PRIMARY KEY, segment INTEGER NOT NULL, rows INTEGER NOT NULL,
                                   events BLOB NOT NULL, seen INTEGER);
CREATE INDEX IF NOT EXISTS groups_of_segment ON groups (segment);
CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, once BLOB NOT NULL);
"""

# More than the write-ahead log grows to before SQLite starts it anew (1,000 pages), and a large commit.
RESERVE_BYTES = 8 << 20
# Deleted a piece at a time, a segment needs little room in the log.
_GROUPS_AT_ONCE = 16
_PAGES_AT_ONCE = 256
_PAGE = 4096  # bytes, SQLite's default
# A file that an outage left large is made small again at the next start.
_MUCH_FREE = 64 << 20


class StoredGroup(NamedTuple):
    """A segment as it lies in the file. `began` is Unix time; `bytes` are those of its encoded events."""

    number: int
    token: str
    began: float
    refused: bool
    rows: int
    bytes: int


class SpoolFile:
    """One spool's file, made when there is none.

    Every method may raise `sqlite3.Error`. One thread commits; reading and setting aside may be done by others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._committer = self._connect()
        # Has its effect before the first table is made: then freed pages can be given back to the disk.
        self._committer.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._committer.execute("PRAGMA journal_mode = WAL")
        self._committer.executescript(_TABLES)
        if not any(column[1] == "token" for column in self._committer.execute("PRAGMA table_info(segments)")):
            self._committer.execute("ALTER TABLE segments ADD COLUMN token TEXT")
        if not any(column[1] == "seen" for column in self._committer.execute("PRAGMA table_info(groups)")):
            self._committer.execute("ALTER TABLE groups ADD COLUMN seen INTEGER")
        self._reader = self._connect()
        # SQLite crashes where a connection is closed while another thread reads by it.
        self._reading = threading.Lock()
        self._reserve = DiskReserve(path.with_suffix(".reserve"))
        # The last `seen` row of each second, so that old ones are deleted without a search.
        self._seen_until: deque[tuple[int, int]] = deque()
        self._id = self._named()
        self._shrink()

    def segments(self) -> list[StoredGroup]:
        """Every segment, oldest first."""
        rows = self._reader.execute(
            "SELECT s.number, s.token, s.began, s.refused IS NOT NULL, sum(g.rows), sum(length(g.events)) "
            "FROM segments s JOIN groups g ON g.segment = s.number GROUP BY s.number ORDER BY s.number"
        )
        # Segments of earlier releases have the file's id and their number in place of a token of their own.
        return [
            StoredGroup(number, token or f"{self._id}-{number}", began, bool(refused), rows_, size)
            for number, token, began, refused, rows_, size in rows
        ]

    def seen(self, now: float) -> list[bytes]:
        """Packed keys of the beacons of the last ten minutes; older ones are deleted."""
        self._committer.execute("DELETE FROM seen WHERE at < ?", (now - ONCE_SECONDS,))
        (last,) = self._reader.execute("SELECT coalesce(max(number), 0) FROM seen").fetchone()
        self._seen_until.append((int(now), last))
        return [blob for (blob,) in self._reader.execute("SELECT once FROM seen")]

    def held_keys(self, segment: int) -> list[bytes]:
        """Packed keys of the groups of a segment, 0 for an event without one; of groups in which each event has a place
        among them."""
        found = self._read("SELECT once FROM groups JOIN seen ON seen.number = groups.seen WHERE segment = ?", segment)
        return [blob for (blob,) in found]

    def groups(self, segment: int) -> Iterator[tuple[int, bytes]]:
        """The groups of a segment, in the order in which they were written: how many rows, and these."""
        # One at a time: a segment may be large, and an open cursor would keep the log from starting anew.
        for (number,) in self._read("SELECT number FROM groups WHERE segment = ? ORDER BY number", segment):
            yield from self._read("SELECT rows, events FROM groups WHERE number = ?", number)

    def commit(
        self,
        segment: int | str,
        rows: int,
        events: bytes,
        keys: Sequence[int],
        finished: Sequence[int],
        now: float,
    ) -> int | None:
        """Write one group, delete finished segments, in one transaction; durable when this returns.

        `segment` is the number of the one that has the group, or the token of one that begins with it. `keys` are in
        the order of the events, 0 for one without. Returns the segment's number, or None where there is no group.
        """
        number = segment if isinstance(segment, int) else None
        write = self._committer.execute
        try:
            write("BEGIN IMMEDIATE")
            if rows:
                if number is None:
                    number = write("INSERT INTO segments (began, token) VALUES (?, ?)", (now, segment)).lastrowid
                seen = self._see(keys, int(now)) if any(keys) else None
                write(
                    "INSERT INTO groups (segment, rows, events, seen) VALUES (?, ?, ?, ?)",
                    (number, rows, events, seen if len(keys) == rows else None),
                )
            for over in finished:
                write("DELETE FROM groups WHERE segment = ?", (over,))
                write("DELETE FROM segments WHERE number = ?", (over,))
            write("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                write("ROLLBACK")
            raise
        return number

    def quarantine(self, segment: int, reason: str) -> None:
        """Mark a segment as refused."""
        with contextlib.closing(self._connect()) as connection:
            connection.execute("UPDATE segments SET refused = ? WHERE number = ?", (reason, segment))

    def requeue(self) -> None:
        """No segment is marked as refused any more."""
        with contextlib.closing(self._connect()) as connection:
            connection.execute("UPDATE segments SET refused = NULL WHERE refused IS NOT NULL")

    def reserve_disk_space(self) -> bool:
        """Whether there is room for writing and the reserve."""
        return self._reserve.hold()

    def delete_on_full_disk(self, finished: list[int]) -> None:
        """Delete `finished` (emptying the list as it goes) with the room of the reserve."""
        self._reserve.give_up()
        self._checkpoint()
        while finished:
            deleted = self._committer.execute(
                "DELETE FROM groups WHERE number IN (SELECT number FROM groups WHERE segment = ? LIMIT ?)",
                (finished[0], _GROUPS_AT_ONCE),
            ).rowcount
            self._checkpoint()
            if deleted < _GROUPS_AT_ONCE:
                self._committer.execute("DELETE FROM segments WHERE number = ?", (finished[0],))
                finished.pop(0)
        before, free = None, self._free_pages()
        while free > _PAGES_AT_ONCE and free != before:
            # As a script it is stepped to its end; executed, it frees one page.
            self._committer.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            self._checkpoint()
            before, free = free, self._free_pages()
        # The log itself gives back what it grew by.
        self._committer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Leave one file. Later reads raise `sqlite3.ProgrammingError`."""
        with contextlib.suppress(sqlite3.Error):
            self._committer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._committer.close()
        with self._reading:
            self._reader.close()

    def _read(self, statement: str, value: int) -> list[Any]:
        """All rows of a statement, by one thread at a time."""
        with self._reading:
            return self._reader.execute(statement, (value,)).fetchall()

    def _see(self, keys: Sequence[int], now: int) -> int:
        """Store the keys of a group, and return their row; forget those of the second that is ten minutes over."""
        row = self._committer.execute("INSERT INTO seen (at, once) VALUES (?, ?)", (now, pack(keys))).lastrowid or 0
        # Seconds that the clock was ahead for, and has stepped back from, would keep all that comes until it is there.
        while self._seen_until and self._seen_until[-1][0] >= now:
            self._seen_until.pop()
        self._seen_until.append((now, row))
        if now - self._seen_until[0][0] > ONCE_SECONDS:
            self._committer.execute("DELETE FROM seen WHERE number <= ?", (self._seen_until.popleft()[1],))
        return row

    def _free_pages(self) -> int:
        return int(self._committer.execute("PRAGMA freelist_count").fetchone()[0])

    def _checkpoint(self) -> None:
        self._committer.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _named(self) -> str:
        row = self._reader.execute("SELECT id FROM spool").fetchone()
        if row is None:
            row = (secrets.token_hex(8),)
            self._committer.execute("INSERT INTO spool (id) VALUES (?)", row)
        return str(row[0])

    def _shrink(self) -> None:
        (page,), (free,) = (
            self._reader.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "freelist_count")
        )
        if page * free > _MUCH_FREE:
            # When there is no room for the copy, the large file goes on serving.
            with contextlib.suppress(sqlite3.OperationalError):
                self._committer.execute("VACUUM")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA synchronous = FULL")
        # A deleted event is overwritten, not only unlinked.
        connection.execute("PRAGMA secure_delete = ON")
        return connection


class DiskReserve:
    """Room on the disk that is kept for later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = False
        self.hold()

    def hold(self) -> bool:
        """Reserve the disk space if it is free. Returns whether it is reserved."""
        if not self._held:
            # Also on a disk that fails or has become read-only, which may be well again later.
            with contextlib.suppress(OSError):
                self._reserve()
        return self._held

    def give_up(self) -> None:
        """Let the room be used."""
        self._held = False
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)

    def _reserve(self) -> None:
        opened = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(opened, 0, RESERVE_BYTES)
            self._held = True
        except OSError:
            os.ftruncate(opened, 0)
        finally:
            os.close(opened)
