"""Removal of events from the queued groups of a spool, and the erasures that are pending.

Erasures are rows in the spool's own file: stored before they are acknowledged, deleted once complete.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.core.errors import SpoolUnavailable
from collector.core.wildcards import matches
from collector.ingest.event import Event
from collector.spool.deduplication import pack, unpack
from collector.spool.serialization import encode, group, may_have, may_have_visitors, readable_events_of

log = logging.getLogger(__name__)

MOST_PENDING: Final = 100_000
"""Erasures that wait for ClickHouse, such as those of hours in which it does not answer."""

_PROMISE = "INSERT INTO erasures (erasure) VALUES (?)"
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


class ErasePredicate:
    """Events of the visitors of erasures, however many these are."""

    def __init__(self, erasures: Iterable[Erasure]) -> None:
        self._until: dict[tuple[str, datetime.date, int], int] = {}
        for each in erasures:
            key = (each.site, each.day, each.visitor)
            self._until[key] = max(each.until, self._until.get(key, each.until))
        self.visitors = frozenset(visitor for _, _, visitor in self._until)

    def takes(self, event: Event) -> bool:
        """Whether the event is one of these."""
        until = self._until.get((event.site, event.day, event.visitor))
        return until is not None and event.ts <= until


class DeletePredicate:
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
        self._value = value

    def takes(self, event: Event) -> bool:
        """Whether the event is one of these."""
        return (
            event.site == self.site
            and (self._until is None or event.ts <= self._until)
            and self._first <= event.day <= self._last
            and (not self._column or matches(self._value, str(getattr(event, self._column))))
        )


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A group of the spool that lost rows: its segment, how many rows, how many bytes."""

    segment: int
    rows: int
    bytes: int


class SpoolErasures:
    """The erasures of one spool's file, beside its committer: SQLite lets one write at a time.

    Every method that reads or writes the file may raise `sqlite3.Error`; a lock that is held by the committer is waited
    for. At most `most` erasures are pending: each is in memory as well.
    """

    def __init__(self, path: Path, *, most: int = MOST_PENDING) -> None:
        self._path = path
        self._most = most
        self._promising = threading.Lock()
        """SQLite lets whoever waits for its lock try now and then: of many, beacons would come last."""
        with self._connected() as connection:
            connection.executescript(_TABLE)
            rows = connection.execute("SELECT number, erasure FROM erasures ORDER BY number").fetchall()
        self._pending = {number: msgspec.msgpack.decode(packed, type=Erasure) for number, packed in rows}

    def enqueue(self, erasures: Sequence[Erasure]) -> None:
        """Have them on disk. Raises `SpoolUnavailable` where too many are pending."""
        with self._promising, self._connected() as connection:
            if len(self._pending) + len(erasures) > self._most:
                raise SpoolUnavailable(f"{len(self._pending):,} erasures wait for ClickHouse")
            with _writing(connection):
                numbers = [
                    connection.execute(_PROMISE, (msgspec.msgpack.encode(erasure),)).lastrowid for erasure in erasures
                ]
            self._pending |= {number: each for number, each in zip(numbers, erasures, strict=True) if number}

    def pending(self) -> dict[int, Erasure]:
        """What is not done yet, by number."""
        with self._promising:
            return self._pending.copy()

    def mark_done(self, numbers: Collection[int]) -> None:
        """These are done. Nothing of them, nor of the events, is left in the write-ahead log."""
        with self._promising, self._connected() as connection:
            with _writing(connection):
                connection.executemany("DELETE FROM erasures WHERE number = ?", [(number,) for number in numbers])
            for number in numbers:
                self._pending.pop(number, None)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def clean_log(self) -> None:
        """Leave nothing of deleted events in the write-ahead log: another collector may have erased them."""
        with self._connected() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def events_of(self, visitors: Iterable[int], skipped: frozenset[int] = frozenset()) -> list[Event]:
        """The events of these visitors in the groups, without those of the segments `skipped`."""
        wanted = set(visitors)
        with self._connected() as connection:
            return [
                event
                for _, segment, held in _groups_with(connection, lambda held: may_have_visitors(held, wanted))
                if segment not in skipped
                for event in readable_events_of(held) or ()
                if event.visitor in wanted
            ]

    def rewrite(self, erasures: Sequence[Erasure]) -> Iterator[Rewritten]:
        """Take the events out of every group; yields each group that lost some, once that is on disk."""
        predicate = ErasePredicate(erasures)
        yield from self._rewrite(lambda held: may_have_visitors(held, predicate.visitors), predicate)

    def purge(self, predicate: DeletePredicate, check: Callable[[], None] = lambda: None) -> Iterator[Rewritten]:
        """The same for what an owner deletes. `check` is called before each group, and may raise."""
        name = predicate.site.encode()
        yield from self._rewrite(lambda held: may_have(held, [name]), predicate, check)
        self.mark_done(())

    def drop_beacons(self, keys: Collection[int]) -> Iterator[Rewritten]:
        """The same for the events of beacons that another collector has."""
        with self._connected() as connection:
            for number, segment in connection.execute("SELECT number, segment FROM groups").fetchall():
                with _writing(connection):
                    lost = _drop_beacons(connection, number, keys)
                if lost is not None:
                    yield Rewritten(segment, *lost)

    def _rewrite(
        self,
        may_have_some: Callable[[bytes], bool],
        predicate: ErasePredicate | DeletePredicate,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[Rewritten]:
        with self._connected() as connection:
            for number, segment, _ in _groups_with(connection, may_have_some):
                check()
                lost = _rewrite_group(connection, number, predicate)
                if lost is not None:
                    yield Rewritten(segment, *lost)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            yield connection


def _groups_with(
    connection: sqlite3.Connection, may_have_some: Callable[[bytes], bool]
) -> Iterator[tuple[int, int, bytes]]:
    """Number, segment and bytes of each group that may have some of the events that are looked for."""
    for (number,) in connection.execute("SELECT number FROM groups ORDER BY number").fetchall():
        row = connection.execute("SELECT segment, events FROM groups WHERE number = ?", (number,)).fetchone()
        if row is not None and may_have_some(row[1]):
            yield number, row[0], row[1]


def _rewrite_group(
    connection: sqlite3.Connection, number: int, predicate: ErasePredicate | DeletePredicate
) -> tuple[int, int] | None:
    """Rows and bytes that the group has lost; None when it has none of these events, or is gone."""
    with _writing(connection):
        row = connection.execute("SELECT rows, events FROM groups WHERE number = ?", (number,)).fetchone()
        before = readable_events_of(row[1]) if row is not None else []
        if before is None:
            # It names them, and nobody can tell which of it is theirs.
            log.error("damaged events were deleted together with those that were to be", extra={"rows": row[0]})
            return _replace_group(connection, number, row, [])
        left = [event for event in before if not predicate.takes(event)]
        return _replace_group(connection, number, row, left) if len(left) < len(before) else None


def _drop_beacons(connection: sqlite3.Connection, number: int, keys: Collection[int]) -> tuple[int, int] | None:
    """The same, of beacons by their keys."""
    row = connection.execute(_WITH_KEYS, (number,)).fetchone()
    if row is None or all(key not in keys for key in unpack(row[2])):
        return None
    before = readable_events_of(row[1])
    if before is None:
        return None
    left = [event for event, key in zip(before, unpack(row[2]), strict=True) if key not in keys]
    # This collector does not have them any more, also as far as the next process can tell.
    connection.execute(_FORGET_KEYS, (pack(key for key in unpack(row[2]) if key not in keys), number))
    return _replace_group(connection, number, row, left)


def _replace_group(
    connection: sqlite3.Connection, number: int, before: Sequence[Any], left: Sequence[Event]
) -> tuple[int, int]:
    """Leave these events in a group, which had so many rows with those bytes, without their keys; returns the rows and
    bytes that it has lost."""
    packed = group(map(encode, left))
    connection.execute(
        "UPDATE groups SET rows = ?, events = ?, seen = NULL WHERE number = ?", (len(left), packed, number)
    )
    return before[0] - len(left), len(before[1]) - len(packed)


@contextlib.contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


_FORGET_KEYS = "UPDATE seen SET once = ? WHERE number = (SELECT seen FROM groups WHERE number = ?)"
_WITH_KEYS = "SELECT rows, events, once FROM groups JOIN seen ON seen.number = groups.seen WHERE groups.number = ?"
