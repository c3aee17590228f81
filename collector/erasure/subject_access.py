"""Visitors' rights to access, export and erase the events of their browser.

Nobody has an account: who asks is told by what a beacon would be told by, the address and the user agent of the
request itself, under the salts that are still there. So the answer is about this browser alone, and until the salt of
the day is destroyed, not a minute less; after that nobody can tell whose an event was.
"""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.csv import BYTE_ORDER_MARK, Cell, CsvWriter
from collector.core.errors import SpoolFull, SpoolUnavailable
from collector.enrichment.client_ip import network_of
from collector.erasure.marks import Mark, marked
from collector.erasure.schedule import ERASE_SECONDS, ErasureSchedule
from collector.erasure.visitor_erasure import Eraser
from collector.ingest.event import COLUMNS, Event
from collector.ingest.visits import IDLE_SECONDS, VisitTracker
from collector.privacy.salt_rotation import SaltRotation
from collector.privacy.visitor_id import DailySalts, visitor_id
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.rewrite import Erasure
from collector.spool.serialization import encode
from collector.spool.spool import Spool
from collector.storage.shards import NOT_LOGGED, Shards

Ids = tuple[tuple[datetime.date, int], ...]
"""A browser's id on each date whose salt is there; today's, by the site's clock, is the last.

Events may be of a date after it: the site was in another time zone, or the clock was ahead."""

MOST_EVENTS = 10_000
"""Events shown at once; more in a day are no person's."""

LOOKS = 4
"""Erasures that look for stored events at a time: one client may have thousands of networks (IPv6), and would take
every thread."""
LOOK_SECONDS = 3.0
"""Longest wait for that; then the erasure is promised without looking."""

MOST_DENIALS = 50_000
"""Visitors who said no remembered at once, each for half an hour."""

_COLUMNS = ", ".join("toUnixTimestamp(ts)" if name == "ts" else name for name in COLUMNS)
_STORED = f"""
SELECT {_COLUMNS} FROM events
WHERE (site, day, visitor) IN (SELECT site, day, visitor FROM pending_erasures WHERE batch = {{batch:UInt64}})
ORDER BY ts, seq LIMIT {{most:UInt32}} BY day, visitor"""  # noqa: S608 # names of our own columns


class Requester(msgspec.Struct, frozen=True):
    """The browser that makes a request, by address and user agent. Never stored."""

    address: str
    user_agent: str

    def __repr__(self) -> str:
        """Shows nothing of the visitor, also in a traceback."""
        return "Browser(…)"


class VisitorDataExport(msgspec.Struct, frozen=True):
    """Stored events of one browser on one site."""

    site: str
    linkable_until: int
    """Unix second at which the salt of today's date is destroyed: then it is nobody's."""
    visitors: Ids
    """The browser's id on each site-local date whose salt is still there."""
    events: tuple[Event, ...]
    """In order of time."""


class ErasureReport(msgspec.Struct, frozen=True):
    """Result of an erasure: how many events there were, and whether all copies are deleted already."""

    events: int
    complete: bool


class SubjectAccess:
    """Answers requests of visitors about their data. `clock` gives Unix seconds."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        sites: Sites,
        salts: DailySalts,
        rotation: SaltRotation,
        visits: VisitTracker,
        spool: Spool,
        shards: Shards,
        eraser: Eraser,
        schedule: ErasureSchedule,
    ) -> None:
        self._clock = clock
        self._sites = sites
        self._salts = salts
        self._rotation = rotation
        self._visits = visits
        self._spool = spool
        self._shards = shards
        self._eraser = eraser
        self._schedule = schedule
        self._denials: OrderedDict[int, int] = OrderedDict()
        # Of its own: where ClickHouse hangs, those that ask it may have every other thread.
        self._promising = anyio.CapacityLimiter(1)
        self._looking = anyio.CapacityLimiter(LOOKS)

    def now(self) -> float:
        """The collector's clock, Unix seconds."""
        return self._clock()

    async def held(self, site: Site, requester: Requester) -> VisitorDataExport:
        """The stored events of this browser. Raises `ClickHouseError`."""
        ids = self._ids(site, requester)
        events = await anyio.to_thread.run_sync(self._read, site, ids)
        today, days = ids[-1][0], {event.day for event in events}
        told = tuple(sorted((date, visitor) for date, visitor in ids if date <= today or date in days))
        return VisitorDataExport(site.domain, self._rotation.linkable_until(told[-1][0]), told, tuple(events))

    async def erase(self, site: Site, requester: Requester, *, seconds: float = ERASE_SECONDS) -> ErasureReport:
        """Erase what is held about this browser: promised on disk when this returns, complete if that was possible
        within `seconds`. Raises `SpoolUnavailable` when the disk does not take the promise."""
        ids = self._ids(site, requester)
        await self._settle()
        found: list[Event] | None = None
        with anyio.move_on_after(LOOK_SECONDS):
            found = await anyio.to_thread.run_sync(self._found, site, ids, limiter=self._looking)
        erasures = self._forget([(site, ids)], found or ())
        if found == [] and self._eraser.sees_everything:
            return ErasureReport(0, complete=True)
        await self._promise(erasures)
        return ErasureReport(len(found or ()), await self._schedule.run(seconds))

    async def withdraw(self, sites: Sequence[Site], requester: Requester) -> None:
        """Erase what is held on these sites about a browser that says no: promised on disk when this returns, and
        carried out in the background. Raises as `erase`.

        The page of any site may say so in its visitor's place, and must not learn what the visitor did on another. So
        nobody looks what there is, and the answer is the same and comes as soon whether there is anything or not.
        """
        ids = [(site, self._ids(site, requester)) for site in sites]
        await self._settle()
        await self._promise(self._forget(ids))
        self._schedule.run_soon()
        for _, each in ids:
            visitor = each[-1][1]
            self._denials[visitor] = int(self._clock())
            self._denials.move_to_end(visitor)
            if len(self._denials) > MOST_DENIALS:
                self._denials.popitem(last=False)

    async def _settle(self) -> None:
        """Wait until what was taken in before can be found: nobody waits for an empty group, but it comes after it."""
        with contextlib.suppress(SpoolFull, SpoolUnavailable):
            await self._spool.append((), None)

    def _forget(self, meant: Sequence[tuple[Site, Ids]], found: Sequence[Event] = ()) -> list[Erasure]:
        """Close the visits, and return the erasures: up to now, or the last event, also of those `found`, where the
        clock was set back or another collector's is ahead."""
        now = max([int(self._clock()), *(event.ts for event in found)])
        erasures = []
        for site, ids in meant:
            for day, visitor in ids:
                erasures.append(Erasure(site.domain, day, visitor, max(now, self._visits.last_event(visitor))))
                self._visits.discard(visitor)
        return erasures

    async def _promise(self, erasures: Sequence[Erasure]) -> None:
        try:
            await anyio.to_thread.run_sync(self._eraser.enqueue, erasures, limiter=self._promising)
        except sqlite3.Error as error:
            raise SpoolUnavailable(str(error)) from None

    def note_stored(self, visitor: int) -> None:
        """Something of this visitor is stored: a no has something to erase again, also where no visit goes on."""
        if self._denials:
            self._denials.pop(visitor, None)

    def may_hold(self, site: Site, requester: Requester) -> bool:
        """Whether something may be held about a browser that says no: not when it said so within half an hour, and
        has not been counted with consent since, which would be a visit that goes on."""
        now, visits = int(self._clock()), self._visits
        ids = self._ids(site, requester)
        said = self._denials.get(ids[-1][1])
        return said is None or now - said >= IDLE_SECONDS or any(visits.current(id_, now) is not None for _, id_ in ids)

    def _ids(self, site: Site, requester: Requester) -> Ids:
        """Those of all dates whose salt is there, today's last: where sites have several time zones a salt is kept
        until the day is over for all of them."""
        today = self._sites.zone(site).date(self._clock())
        first, last = self._rotation.first_linkable(), self._rotation.last_linkable()
        network = network_of(requester.address)
        dates = [first + datetime.timedelta(days=number) for number in range((last - first).days + 1)]
        dates.sort(key=lambda date: date == today)
        return tuple(
            (date, visitor_id(salt, site.hash_name, network, requester.user_agent))
            for date in dates
            for salt in self._salts.every(date)
        )

    def _read(self, site: Site, ids: Ids) -> list[Event]:
        # The spool first: what moves on meanwhile is then seen twice and counted once, and never missed.
        # While a site is being renamed, what it had may be under the former name yet.
        wanted, names = {visitor for _, visitor in ids}, [site.domain, *site.aliases]
        waiting = [
            _as_stored(msgspec.structs.replace(event, site=site.domain))
            for event in self._spool.events_of(wanted)
            if event.site in names
        ]
        meant = [Mark(name, day, visitor, 0) for day, visitor in ids for name in names]
        rows = [row for node in self._shards for row in _stored_rows(node, meant)]
        stored = [Event(**{**dict(zip(COLUMNS, row, strict=True)), "site": site.domain}) for row in rows]
        return _merged(stored, waiting)

    def _found(self, site: Site, ids: Ids) -> list[Event] | None:
        """The events that there are; None when the database or the spool does not answer and nobody can tell."""
        try:
            return self._read(site, ids)
        except (ClickHouseError, OSError, sqlite3.Error):
            return None


def _stored_rows(client: Client, meant: Sequence[Mark]) -> Sequence[Sequence[Any]]:
    batch = time.time_ns()
    with marked(client, batch, meant):
        asked = {"batch": batch, "most": MOST_EVENTS}
        return client.query(_STORED, parameters=asked, settings=NOT_LOGGED).result_rows


def _merged(stored: Sequence[Event], waiting: Sequence[Event]) -> list[Event]:
    """Both in order of time; an event that is in both is one."""
    ahead = Counter(map(encode, stored))
    events = list(stored)
    for event in waiting:
        key = encode(event)
        if ahead[key]:
            ahead[key] -= 1
        else:
            events.append(event)
    return sorted(events, key=lambda event: (event.ts, event.seq))


def _as_stored(event: Event) -> Event:
    """As ClickHouse will give it back, so that it reads the same wherever it lies."""
    return msgspec.structs.replace(event, revenue=event.revenue.quantize(Decimal("0.001")))


def as_json(export: VisitorDataExport) -> bytes:
    """The exported events as JSON: times as ISO 8601 in UTC, keys are the columns of `events`."""
    return msgspec.json.encode(
        {
            "site": export.site,
            "linkable_until": _time(export.linkable_until),
            "visitors": [{"day": day.isoformat(), "visitor": str(visitor)} for day, visitor in export.visitors],
            "events": [_shown(event) for event in export.events],
        }
    )


def as_count(export: VisitorDataExport) -> bytes:
    """The number of stored events only, as JSON."""
    return msgspec.json.encode(
        {"site": export.site, "linkable_until": _time(export.linkable_until), "count": len(export.events)}
    )


def as_csv(export: VisitorDataExport, writer: CsvWriter) -> str:
    """The events as a table."""
    rows: list[Sequence[Cell]] = [COLUMNS]
    for event in export.events:
        props = msgspec.json.encode(event.props).decode()
        rows.append(list(map(_cell, {**_shown(event), "props": props}.values())))
    return BYTE_ORDER_MARK + writer.lines(rows)


def _shown(event: Event) -> dict[str, object]:
    fields = msgspec.to_builtins(msgspec.structs.asdict(event))
    return {**fields, "ts": _time(event.ts), "visitor": str(event.visitor)}


def _cell(value: object) -> Cell:
    return value if isinstance(value, int | float) else str(value)


def _time(at: int) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()
