"""Erasing what a visitor has sent: durable once promised, complete wherever it lies.

An *erasure* is a row in the spool's file, and done when nothing of it is left. Each round takes the visitor's events
out of the spool's groups, then out of ClickHouse. A segment that the writer may have read before cannot be called
back; so the round is repeated until every such segment is in ClickHouse or set aside, and only then is the row
deleted. A process that is killed anywhere begins the rounds again; each part of one may be done twice.

Only events up to the second of the erasure are taken: what the visitor sends later is a new visit, and is kept.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from clickhouse_connect.driver.client import Client

from collector.event import Event
from collector.rows import encode, events_of, group, may_have

if TYPE_CHECKING:
    from collector.spool import Spool

log = logging.getLogger(__name__)

_TABLE = """\
CREATE TABLE IF NOT EXISTS erasures (number INTEGER PRIMARY KEY AUTOINCREMENT, erasure BLOB NOT NULL);
"""


class Erasure(msgspec.Struct, frozen=True, array_like=True):
    """One visitor of one site on one day: everything up to Unix second `until`, and that second with it."""

    site: str
    day: datetime.date
    visitor: int
    until: int

    def __repr__(self) -> str:
        """Says nothing of the visitor."""
        return f"Erasure({self.site!r}, {self.day}, …)"

    def takes(self, event: Event) -> bool:
        """Whether the event is the visitor's."""
        return (
            event.visitor == self.visitor
            and event.ts <= self.until
            and event.day == self.day
            and event.site == self.site
        )


class Purge:
    """Events of a site that its owner deletes: up to Unix second `until` (None: all), of these days and this value."""

    def __init__(
        self,
        site: str,
        until: int | None,
        first: datetime.date | None = None,
        last: datetime.date | None = None,
        column: str = "",
        value: str = "",
    ) -> None:
        self.site = site
        self._until = until
        self._first = first or datetime.date.min
        self._last = last or datetime.date.max
        self._column = column
        self._pattern = re.compile(".*".join(map(re.escape, value.split("*"))), re.DOTALL)

    def takes(self, event: Event) -> bool:
        """Whether the event is one of these."""
        return (
            event.site == self.site
            and (self._until is None or event.ts <= self._until)
            and self._first <= event.day <= self._last
            and (not self._column or self._pattern.fullmatch(str(getattr(event, self._column))) is not None)
        )


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A group of the spool that lost rows: its segment, how many rows, how many bytes."""

    segment: int
    rows: int
    bytes: int


class SpoolErasures:
    """The erasures of one spool's file, beside its committer: SQLite lets one write at a time.

    Every method may raise `sqlite3.Error`; a lock that is held by the committer is waited for.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connected() as connection:
            connection.executescript(_TABLE)

    def promise(self, erasures: Iterable[Erasure]) -> None:
        """Have them on disk."""
        with self._connected() as connection:
            rows = [(msgspec.msgpack.encode(erasure),) for erasure in erasures]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO erasures (erasure) VALUES (?)", rows)
            connection.execute("COMMIT")

    def promised(self) -> dict[int, Erasure]:
        """What is not done yet, by number."""
        with self._connected() as connection:
            rows = connection.execute("SELECT number, erasure FROM erasures ORDER BY number").fetchall()
        return {number: msgspec.msgpack.decode(packed, type=Erasure) for number, packed in rows}

    def kept(self, numbers: Iterable[int]) -> None:
        """These are done. Nothing of them, nor of the events, is left in the write-ahead log."""
        with self._connected() as connection:
            connection.executemany("DELETE FROM erasures WHERE number = ?", [(number,) for number in numbers])
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def events_of(self, visitors: Iterable[int], skipped: frozenset[int] = frozenset()) -> list[Event]:
        """The events of these visitors in the groups, without those of the segments `skipped`."""
        wanted = set(visitors)
        with self._connected() as connection:
            return [
                event
                for _, segment, held in _groups_with(connection, {encode(visitor) for visitor in wanted})
                if segment not in skipped
                for event in events_of(held)
                if event.visitor in wanted
            ]

    def rewrite(self, erasures: Sequence[Erasure]) -> Iterator[Rewritten]:
        """Take the events out of every group; yields each group that lost some, once that is on disk."""
        needles = {encode(erasure.visitor) for erasure in erasures}
        yield from self._rewrite(needles, erasures)

    def purge(self, purge: Purge) -> Iterator[Rewritten]:
        """The same for what an owner deletes."""
        yield from self._rewrite({purge.site.encode()}, [purge])

    def _rewrite(self, needles: Iterable[bytes], meant: Sequence[Erasure | Purge]) -> Iterator[Rewritten]:
        with self._connected() as connection:
            for number, segment, _ in _groups_with(connection, needles):
                lost = _rewrite_group(connection, number, meant)
                if lost is not None:
                    yield Rewritten(segment, *lost)
        if not isinstance(meant[0], Erasure):
            self.kept(())

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            yield connection


def _groups_with(connection: sqlite3.Connection, needles: Iterable[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Number, segment and bytes of each group that may have one of the needles: ids of visitors, names of sites."""
    needles = list(needles)
    for (number,) in connection.execute("SELECT number FROM groups ORDER BY number").fetchall():
        row = connection.execute("SELECT segment, events FROM groups WHERE number = ?", (number,)).fetchone()
        if row is not None and may_have(row[1], needles):
            yield number, row[0], row[1]


def _rewrite_group(
    connection: sqlite3.Connection, number: int, erasures: Sequence[Erasure | Purge]
) -> tuple[int, int] | None:
    """Rows and bytes that the group has lost; None when it has none of the visitor, or is gone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        row = connection.execute("SELECT events FROM groups WHERE number = ?", (number,)).fetchone()
        before = events_of(row[0]) if row is not None else []
        left = [event for event in before if not any(erasure.takes(event) for erasure in erasures)]
        if len(left) == len(before):
            connection.execute("ROLLBACK")
            return None
        packed = group(map(encode, left))
        connection.execute("UPDATE groups SET rows = ?, events = ? WHERE number = ?", (len(left), packed, number))
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return len(before) - len(left), len(row[0]) - len(packed)


_MARK = """
INSERT INTO erasing SELECT {batch:UInt64}, site, day, visitor, ts FROM events
WHERE site = {site:String} AND day = {day:Date} AND visitor = {visitor:UInt64} AND ts <= toDateTime({until:UInt32})"""
_MARKED = "SELECT toYYYYMM(day) AS month, count() FROM erasing WHERE batch = {batch:UInt64} GROUP BY month"
# The ids are in a table in memory, so that ClickHouse's own list of mutations never has them.
_DELETE = """
ALTER TABLE events DELETE IN PARTITION {month:UInt32} WHERE (site, day, visitor, ts) IN
(SELECT site, day, visitor, ts FROM erasing WHERE batch = {batch:UInt64})"""
_UNMARK = "ALTER TABLE erasing DELETE WHERE batch = {batch:UInt64}"
_NOT_LOGGED = {"mutations_sync": 1, "log_queries": 0}


def delete_stored(client: Client, erasures: Iterable[Erasure], batch: int) -> int:
    """Delete the events that ClickHouse has, and rewrite the parts that had them; returns how many there were.

    `batch` tells this call from any other that runs at the same time.
    """
    for erasure in erasures:
        client.command(
            _MARK, parameters={"batch": batch, **msgspec.structs.asdict(erasure)}, settings={"log_queries": 0}
        )
    marked = client.query(_MARKED, parameters={"batch": batch}).result_rows
    for month, _ in marked:
        client.command(_DELETE, parameters={"month": month, "batch": batch}, settings=_NOT_LOGGED)
    if marked:
        client.command(_UNMARK, parameters={"batch": batch}, settings=_NOT_LOGGED)
    return sum(count for _, count in marked)


class Eraser:
    """Keeps the promises of one process. Blocking; any thread may call, one round runs at a time.

    `spools` are those that the process empties, the first its own; `clock` gives nanoseconds.
    """

    def __init__(self, client: Client, spools: Callable[[], Sequence[Spool]], clock: Callable[[], int]) -> None:
        self._client = client
        self._spools = spools
        self._clock = clock
        self._turn = threading.Lock()
        self._read_before: dict[tuple[Path, int], frozenset[int]] = {}
        self.pending = any(spool.erasures.promised() for spool in spools())
        """Whether something promised is not done."""

    def promise(self, erasures: Sequence[Erasure]) -> None:
        """Have them on disk: from now on they will be kept. Raises `sqlite3.Error`."""
        self.pending = True
        self._spools()[0].erasures.promise(erasures)

    def keep(self) -> bool:
        """One round over everything promised. Returns whether nothing is left to do.

        Raises what the disk and ClickHouse raise; the promises stay.
        """
        with self._turn:
            left = [self._keep_of(spool) for spool in self._spools()]
            self.pending = any(left)
            return not self.pending

    def _keep_of(self, own: Spool) -> bool:
        """One round over what was promised in one spool's file; whether some of it has to wait for a segment."""
        promised = own.erasures.promised()
        if not promised:
            return False
        erasures = list(promised.values())
        for spool in self._spools():
            spool.erase(erasures)
            for number in promised:
                self._read_before.setdefault((spool.path, number), spool.under_way())
        over = [number for number in promised if not self._waits(number)]
        delete_stored(self._client, erasures, self._clock())
        own.erasures.kept(over)
        for key in [key for key in self._read_before if key[1] in over]:
            del self._read_before[key]
        if over:
            log.info("erasures were completed", extra={"count": len(over)})
        return len(over) < len(promised)

    def _waits(self, number: int) -> bool:
        """Whether a segment that was read before the erasure may still be on its way."""
        return any(
            self._read_before.get((spool.path, number), frozenset()) & spool.under_way() for spool in self._spools()
        )
