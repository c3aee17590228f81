"""The spool: a durable queue in which events are stored before their beacon is acknowledged.

Requests hand encoded events over in memory, those of one turn of the event loop together; one committer thread writes
what came meanwhile as one group, and one fsync serves many beacons. Groups belong to numbered segments. A segment is
sealed when it is large, or when it is old and ClickHouse waits for work, and never changes after; it is one insert,
named by a token, and deleted after success. After a crash a new segment starts, so a token never changes its meaning.

Deletions ride along with the next group, so that they cost no fsync of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.core.errors import SpoolFull, SpoolUnavailable
from collector.ingest.event import Event
from collector.spool.deduplication import ONCE_SECONDS, DeduplicationWindow, idempotency_key, unpack
from collector.spool.rewrite import DeletePredicate, Erasure, Rewritten, SpoolErasures
from collector.spool.serialization import SerializedEvents, encode, group, readable_events_of
from collector.spool.sqlite_store import SpoolFile

__all__ = ["ONCE_SECONDS", "Spool", "SpoolSegment", "SpoolStats"]

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 << 20
"""Seals a segment as its rows do, so that what an insert holds in memory is bounded."""

GROUP_BYTES = 2 << 20
WAITING_BYTES = 32 << 20
"""Beacons that wait for the disk take at most so much memory; more are refused."""

# Turns of the event loop from an event's being on disk to its beacon's answer on the socket, with some to spare.
_ANSWER_TURNS = 10

FAILURE_SECONDS = 60.0
"""For so long a group that was not written is a problem, unless a later one is."""

# How often a full disk is looked at again.
_UNWELL_SECONDS = 0.5
# SQLite's primary result codes for a disk that is full or fails: nothing can be written until it is mended.
_DISK_ERRORS = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


@dataclass(frozen=True, slots=True)
class SpoolSegment:
    """A sealed segment: what is inserted at once. `began` is the Unix time of its first event."""

    number: int
    token: str
    rows: int
    began: float


@dataclass(frozen=True, slots=True)
class Withheld:
    """Segments that wait until other collectors have said which of these beacons they have, by their keys."""

    segments: frozenset[int]
    keys: frozenset[int]


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """What the spool holds: events and bytes not yet in ClickHouse, the age of the oldest in seconds, how many
    segments ClickHouse has refused for good, and what is wrong with the disk, if anything."""

    rows: int
    bytes: int
    oldest_seconds: float
    refused: int
    problem: str | None = None


Stored = Callable[[SpoolUnavailable | None], None]
"""Called on the event loop that handed a beacon over: its events are on disk, or the disk did not take them."""


class _Waiting:
    """One beacon's encoded events, waiting for their group to be on disk."""

    __slots__ = ("done", "encoded", "once", "rows")

    def __init__(self, rows: int, encoded: bytes, once: int, done: Stored) -> None:
        self.rows = rows
        self.encoded = encoded
        self.once = once
        self.done = done


class SegmentStats:
    """Token, rows and bytes of one segment."""

    __slots__ = ("began", "bytes", "finished", "read", "refused", "rows", "token", "withheld")

    def __init__(
        self,
        token: str,
        began: float,
        rows: int = 0,
        bytes_: int = 0,
        *,
        refused: bool = False,
        withheld: bool = False,
    ) -> None:
        self.token = token
        self.began = began
        self.rows = rows
        self.bytes = bytes_
        self.refused = refused
        self.finished = False
        self.read = False
        self.withheld = withheld
        """Whether other collectors are to be asked for its beacons before it is inserted."""

    @property
    def waits(self) -> bool:
        """Whether it is still to be inserted."""
        return not (self.refused or self.finished)


class Spool:
    """Opened on a file; `start` begins the committer, `close` ends it.

    `max_bytes` bounds the encoded events held; `segment_rows` and `segment_seconds` seal a segment. `clock` gives
    Unix time. Where `withhold` says so, segments wait for `release`: those of an earlier process, and new ones until
    `stop_withholding`. Beacons are handed over on one event loop; `next_segment`, `read`, `acknowledge` and
    `quarantine` are called by one writer thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        segment_rows: int,
        segment_seconds: float,
        clock: Callable[[], float] = time.time,
        withhold: bool = False,
    ) -> None:
        self._max_bytes = max_bytes
        self._segment_rows = segment_rows
        self._segment_seconds = segment_seconds
        self._clock = clock
        self._withhold = withhold
        self._changed = threading.Condition()
        self._handed: list[_Waiting] = []
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._waiting_since = self._committing_since = 0.0
        self._finished: list[int] = []
        self._closing = False
        self._seal_now = False
        self._problem: str | None = None
        self._failure: tuple[str, float] | None = None
        """Why the last group was not written, and when, by a monotonic clock."""
        self._refusal: str | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: dict[int, list[Stored]] = {}
        self._file = SpoolFile(path)
        self.path = path
        self.erasures = SpoolErasures(path)
        self._tallies = {
            stored.number: SegmentStats(stored.token, stored.began, stored.rows, stored.bytes, refused=stored.refused)
            for stored in self._file.segments()
        }
        for tally in self._tallies.values():
            # An earlier process may have read it, and even have had it inserted.
            tally.read = True
            tally.withheld = withhold
        self._elsewhere: DeduplicationWindow | None = None
        self._dropped: frozenset[int] = frozenset()
        self._seen = DeduplicationWindow(self._file.seen(clock()), clock())
        self._bytes = sum(tally.bytes for tally in self._tallies.values())
        self._open: int | None = None
        self.commits = 0
        """Groups written since the start, each with one fsync."""

    def start(self) -> None:
        """Start the committer."""
        self._thread = threading.Thread(target=self._commit_groups, name="tyst-spool", daemon=True)
        self._thread.start()

    def enqueue(self, events: Sequence[Event], key: int, done: Stored) -> None:
        """Have `events` written, and `done` called when that is so. On an event loop. `key` is the beacon's `once_key`,
        or 0.

        Raises `SpoolFull` when the bound is reached, `SpoolUnavailable` when the disk does not take anything.
        """
        if self.full:
            raise self.too_full()
        problem = self._refusal or self._problem
        if problem is not None:
            raise SpoolUnavailable(problem)
        if self._waiting_bytes > WAITING_BYTES:
            raise SpoolUnavailable("the disk does not keep up")
        if key:
            self._pending.setdefault(key, [])
        if not self._handed:
            with self._changed:
                self._waiting_since = self._waiting_since or time.monotonic()
            asyncio.get_running_loop().call_soon(self._enqueue, asyncio.get_running_loop())
        rows = encode(events[0]) if len(events) == 1 else group(map(encode, events))
        self._handed.append(_Waiting(len(events), rows, key, done))

    async def append(self, events: Sequence[Event], once: bytes | None) -> None:
        """Have `events` on disk before this returns. Raises as `hand_over` does."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(error: SpoolUnavailable | None) -> None:
            if stored.done():
                return
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)

        self.enqueue(events, idempotency_key(once) if once is not None else 0, done)
        await stored

    def seen(self, key: int, done: Stored) -> bool:
        """Whether the beacon of this `once_key` was handed over before; `done` is called when it is stored, or at
        once."""
        followers = self._pending.get(key)
        if followers is not None:
            followers.append(done)
            return True
        if key in self._seen or (self._elsewhere is not None and key in self._elsewhere):
            done(None)
            return True
        return False

    def leave_to_others(self, keys: Iterable[int]) -> None:
        """Other collectors have beacons of these keys on disk: from now on take them for seen. On the event loop."""
        now = self._clock()
        if self._elsewhere is None:
            self._elsewhere = DeduplicationWindow(now=now)
        self._elsewhere.add(keys, now)

    def own(self, keys: Sequence[int]) -> frozenset[int] | None:
        """Those of the keys whose beacons are on disk here; None while one is on its way there. On the event loop."""
        if not self._pending.keys().isdisjoint(keys):
            return None
        return frozenset(key for key in keys if key in self._seen and key not in self._dropped)

    def withheld(self) -> Withheld:
        """What waits for `release`: the segments that get no more events, and the keys of the last ten minutes in
        them."""
        with self._changed:
            waiting = [number for number, tally in self._tallies.items() if tally.withheld]
            if self._withhold:
                waiting = [number for number in waiting if number != self._open]
        keys = (key for number in waiting for packed in self._file.held_keys(number) for key in unpack(packed) if key)
        return Withheld(frozenset(waiting), frozenset(keys))

    def release(self, segments: Collection[int], elsewhere: Collection[int]) -> None:
        """Insert these segments, without the beacons that another collector has."""
        if elsewhere:
            self._dropped |= frozenset(elsewhere)
            for lost in self.erasures.drop_beacons(elsewhere):
                self._note_lost(lost)
        with self._changed:
            for number in segments:
                if number in self._tallies:
                    self._tallies[number].withheld = False
            self._changed.notify_all()

    def stop_withholding(self) -> None:
        """Segments that begin from now on are inserted without asking; those that wait still wait for `release`."""
        with self._changed:
            self._withhold = False

    @property
    def full(self) -> bool:
        """Whether the bound is reached."""
        return self._bytes >= self._max_bytes

    def too_full(self) -> SpoolFull:
        """The error that says so."""
        return SpoolFull(self._bytes, self._max_bytes)

    def next_segment(self, timeout: float, after: int = 0) -> SpoolSegment | None:
        """The oldest sealed segment later than number `after`; waits up to `timeout` seconds for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._next_sealed(after) is not None, timeout)
            number = self._next_sealed(after)
            if number is None:
                return None
            tally = self._tallies[number]
            return SpoolSegment(number, tally.token, tally.rows, tally.began)

    def wait_answered(self, timeout: float = 2.0) -> None:
        """Wait until the event loop has written the answers to all beacons of sealed segments.

        Those of a killed process that are not answered are sent again, perhaps to another collector: they must not be
        in ClickHouse.
        """
        loop, answered = self._loop, threading.Event()

        def turn(left: int) -> None:
            if left and loop is not None:
                loop.call_soon(turn, left - 1)
            else:
                answered.set()

        # Without a loop, or with one that is gone, there is nobody to answer.
        with contextlib.suppress(RuntimeError):
            if loop is not None:
                loop.call_soon_threadsafe(turn, _ANSWER_TURNS)
                answered.wait(timeout)

    def read(self, segment: SpoolSegment) -> SerializedEvents:
        """The events of a segment in order of arrival; empty if all were erased. Raises `ValueError` where the file is
        damaged there."""
        with self._changed:
            self._tallies[segment.number].read = True
        try:
            found = list(self._file.groups(segment.number))
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            raise ValueError(str(error)) from None
        return SerializedEvents([held for _, held in found], sum(rows for rows, _ in found))

    def acknowledge(self, segment: SpoolSegment) -> None:
        """ClickHouse has the segment: let it go."""
        with self._changed:
            self._tallies[segment.number].finished = True
            self._finished.append(segment.number)
            self._changed.notify_all()

    def quarantine(self, segment: SpoolSegment, reason: str) -> None:
        """Set the segment aside: ClickHouse will not take it as it is. It stays on disk for the operator."""
        with self._changed:
            self._tallies[segment.number].refused = True
            # The next one may have grown old while this one was before it.
            self._seal_now = True
            self._changed.notify_all()
        try:
            self._file.quarantine(segment.number, reason)
        except sqlite3.Error as error:
            # Not marked on disk, it is tried and refused once more after a restart.
            log.warning("a quarantined segment could not be marked", extra={"reason": str(error)})

    def refuse(self, reason: str) -> None:
        """Take no event from now on."""
        self._refusal = reason

    def retry_refused(self) -> int:
        """Have every segment that was set aside tried again; returns how many."""
        self._file.requeue()
        with self._changed:
            refused = [tally for tally in self._tallies.values() if tally.refused]
            for tally in refused:
                tally.refused = False
            self._changed.notify_all()
        return len(refused)

    def stats(self) -> SpoolStats:
        """What is not yet in ClickHouse."""
        with self._changed:
            tallies = [tally for tally in self._tallies.values() if not tally.finished]
            waiting = [tally.began for tally in tallies if not tally.refused]
            return SpoolStats(
                rows=sum(tally.rows for tally in tallies),
                bytes=self._bytes,
                oldest_seconds=max(0.0, self._clock() - min(waiting)) if waiting else 0.0,
                refused=sum(tally.refused for tally in tallies),
                problem=self._problem or self._recent_failure(),
            )

    def _recent_failure(self) -> str | None:
        """Why groups are not written. Where no beacon comes any more nobody can tell whether the next one would be."""
        reason, at = self._failure or ("", -FAILURE_SECONDS)
        return reason if time.monotonic() < at + FAILURE_SECONDS else None

    def waiting(self) -> bool:
        """Whether something is still to be inserted, and has not been set aside."""
        with self._changed:
            return any(tally.waits for tally in self._tallies.values())

    def events(self, since: float = 0.0) -> Iterator[Event]:
        """Every spooled event, oldest first, without segments that ended before `since` (Unix time)."""
        numbers = sorted(self._tallies)
        for number, following in zip(numbers, [*numbers, None][1:], strict=True):
            later = self._tallies.get(following) if following is not None else None
            if later is not None and later.began < since:
                continue
            for _, held in self._file.groups(number):
                yield from readable_events_of(held) or ()

    def events_of(self, visitors: Collection[int]) -> list[Event]:
        """The events of these visitors that are not yet in ClickHouse."""
        with self._changed:
            finished = frozenset(number for number, tally in self._tallies.items() if tally.finished)
        return self.erasures.events_of(visitors, finished)

    def erase(self, erasures: Sequence[Erasure]) -> None:
        """Take events out of what is held. A segment that was read before still has them: see `under_way`."""
        for lost in self.erasures.rewrite(erasures):
            self._note_lost(lost)

    def purge(self, predicate: DeletePredicate, check: Callable[[], None] = lambda: None) -> None:
        """The same for what an owner deletes. `check` is called between groups, and may raise."""
        for lost in self.erasures.purge(predicate, check):
            self._note_lost(lost)

    def _note_lost(self, lost: Rewritten) -> None:
        with self._changed:
            tally = self._tallies.get(lost.segment)
            if tally is not None:
                tally.rows -= lost.rows
                tally.bytes -= lost.bytes
                self._bytes -= lost.bytes

    def in_flight(self) -> frozenset[int]:
        """Segments that were read for an insert whose end is not known yet."""
        with self._changed:
            return frozenset(number for number, tally in self._tallies.items() if tally.read and tally.waits)

    def unfinished(self) -> frozenset[int]:
        """Segments whose events are not known to be in ClickHouse, those that were set aside included."""
        with self._changed:
            return frozenset(number for number, tally in self._tallies.items() if not tally.finished)

    def uncommitted_seconds(self) -> float:
        """For how long the oldest beacon that was handed over has waited for the disk; 0 where none does."""
        with self._changed:
            since = self._committing_since or self._waiting_since
            return time.monotonic() - since if since else 0.0

    def seal(self) -> None:
        """Seal the open segment now, as before stopping."""
        with self._changed:
            self._seal_now = True
            self._changed.notify_all()

    def close(self) -> None:
        """Commit what waits, and end the committer."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._file.close()

    # --- the committer's side

    def _release(self, group: list[_Waiting], error: SpoolUnavailable | None) -> None:
        """Tell every beacon of the group, with one call into the event loop."""
        # The loop may be gone when the process is stopping.
        with contextlib.suppress(RuntimeError):
            if group and self._loop is not None:
                self._loop.call_soon_threadsafe(self._tell, group, error)

    def _tell(self, group: list[_Waiting], error: SpoolUnavailable | None) -> None:
        for waiting in group:
            for done in (waiting.done, *self._pending.pop(waiting.once, ())):
                try:
                    done(error)
                except Exception:  # one that cannot be answered must not keep the others from their answers
                    log.exception("a beacon that is stored could not be answered")

    def _enqueue(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the committer what one turn of the event loop has brought."""
        handed, self._handed = self._handed, []
        with self._changed:
            self._loop = loop
            problem = "shutting down" if self._closing else self._problem
            if problem is None:
                first = not self._waiting
                self._waiting += handed
                self._waiting_bytes += sum(len(waiting.encoded) for waiting in handed)
                if first:
                    self._changed.notify_all()
        if problem is not None:
            self._tell(handed, SpoolUnavailable(problem))

    def _commit_groups(self) -> None:
        if not self._file.reserve_disk_space():
            self._wait_for_disk("the disk is full")
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, self._until_sealed())
                group = self._next_group()
                # Of what is left a part may be later: it is waited for as long.
                self._committing_since = self._waiting_since if group else 0.0
                self._waiting_since = self._waiting_since if self._waiting else 0.0
                finished, self._finished = self._finished, []
                closing = self._closing and not group and not finished
            if group or finished:
                self._commit(group, finished)
            with self._changed:
                self._committing_since = 0.0
            self._seal_if_due()
            if closing:
                return

    def _next_group(self) -> list[_Waiting]:
        """What waits, up to the bytes of one group."""
        if self._waiting_bytes <= GROUP_BYTES:
            group, self._waiting, self._waiting_bytes = self._waiting, [], 0
            return group
        count = size = 0
        while size < GROUP_BYTES:
            size += len(self._waiting[count].encoded)
            count += 1
        group = self._waiting[:count]
        del self._waiting[:count]
        self._waiting_bytes -= size
        return group

    def _has_work(self) -> bool:
        return bool(self._waiting or self._finished or self._closing or (self._seal_now and self._open is not None))

    def _until_sealed(self) -> float | None:
        if self._open is None or self._next_sealed(0) is not None:
            return None
        began = self._tallies[self._open].began
        return max(0.0, min(self._segment_seconds, began + self._segment_seconds - self._clock()))

    def _commit(self, waited: list[_Waiting], finished: list[int]) -> None:
        """Write one group and delete finished segments in one transaction, then release who waits."""
        rows = sum(waiting.rows for waiting in waited)
        encoded = group(waiting.encoded for waiting in waited)
        keys = [waiting.once for waiting in waited if waiting.rows]
        now = self._clock()
        # Random, as a file that was copied or put back has the numbers of another one.
        token = secrets.token_hex(16)
        segment = token if self._open is None else self._open
        try:
            number = self._file.commit(segment, rows, encoded, keys, finished, now)
        except sqlite3.Error as error:
            self._not_committed(waited, finished, error)
            return
        self.commits += 1
        with self._changed:
            self._failure = None if rows else self._failure
            if rows and number is not None:
                tally = self._tallies.setdefault(number, SegmentStats(token, now, withheld=self._withhold))
                tally.rows += rows
                tally.bytes += len(encoded)
                self._bytes += len(encoded)
                self._open = number
            self._forget(finished)
        self._seen.add(filter(None, keys), now)
        self._release(waited, None)

    def _forget(self, finished: list[int]) -> None:
        for over in finished:
            self._bytes -= self._tallies.pop(over).bytes

    def _not_committed(self, group: list[_Waiting], finished: list[int], error: sqlite3.Error) -> None:
        """The disk did not take the group: who waits is told so; what is finished is deleted with the next one."""
        if self._recent_failure() is None:
            log.error("the spool is not writable", extra={"reason": str(error), "beacons": len(group)})
        with self._changed:
            self._failure = (str(error), time.monotonic())
            self._finished = finished + self._finished
        self._release(group, SpoolUnavailable(str(error)))
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_ERRORS:
            self._wait_for_disk(str(error))
            return
        with self._changed:
            # Without beacons there is no hurry: try again when the next one comes, or after a while.
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing, _UNWELL_SECONDS)
            if self._closing and not self._waiting:
                self._finished = []

    def _wait_for_disk(self, reason: str) -> None:
        """Refuse beacons until the disk has room for them again; meanwhile delete what ClickHouse has."""
        with self._changed:
            self._problem = reason
            group, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._release(group, SpoolUnavailable(reason))
        while not self._mended():
            with self._changed:
                self._changed.wait_for(lambda: self._closing, _UNWELL_SECONDS)
                if self._closing:
                    self._finished = []
                    break
        with self._changed:
            self._problem = self._failure = None
        if not self._closing:
            log.info("the spool is writable again")

    def _mended(self) -> bool:
        with self._changed:
            finished, self._finished = self._finished, []
        left = list(finished)
        try:
            self._file.delete_on_full_disk(left)
            return self._file.reserve_disk_space()
        except sqlite3.Error:
            return False
        finally:
            with self._changed:
                self._forget(finished[: len(finished) - len(left)])
                self._finished = left + self._finished

    def _seal_if_due(self) -> None:
        with self._changed:
            if self._open is None:
                self._seal_now = False
                return
            tally = self._tallies[self._open]
            now = self._clock()
            # A clock that stepped back must not keep a segment open for longer.
            aged = now >= tally.began + self._segment_seconds or now < tally.began
            large = tally.rows >= self._segment_rows or tally.bytes >= SEGMENT_BYTES
            # While ClickHouse has another one to take, an old segment may as well grow: inserts are few and large.
            due = large or (aged and self._next_sealed(0) is None)
            if due or self._seal_now or self._closing:
                self._open = None
                self._seal_now = False
                self._changed.notify_all()

    # --- reading

    def _next_sealed(self, after: int) -> int | None:
        # In order of number: they are added so, and a dict keeps its order.
        for number, tally in self._tallies.items():
            if number > after and number != self._open and tally.waits and not tally.withheld:
                return number
        return None
