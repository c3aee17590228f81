"""Close the day: once a site-local day is over, its sums are built from its events, once and for all dimensions.

A build is one INSERT of all rows of a day under a version of its own; a record in `closed` then says that this version
counts. So a build may stop anywhere, be run again, or be run by two processes: what counts is always one whole build.
Rows that arrive later make their day count as open, answered from events, until it is built again.
"""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from collector.building import BUILD, BUILD_WITH_PROPERTIES
from collector.event import Event
from collector.sites import Sites

log = logging.getLogger(__name__)

# A visit may go on for half an hour after midnight.
GRACE_SECONDS = 1800
# How far back each pass looks for days that got more rows; the first looks at all of them.
RECENT_DAYS = 4
# Rows of a version that no longer counts stay this long, for queries that read the record just before.
SUPERSEDED_SECONDS = 600

# What a build of this release makes. Days of an earlier form are built again while they have all their events.
WITHOUT_PROPERTIES, WITH_PROPERTIES = 1, 2
# A day with more different properties has no sums by them: each costs a look at every event.
MOST_PROPERTIES = 60

_VERSIONS = 1_000_000

_DAY = datetime.timedelta(days=1)
_BEGINNING = datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Closing:
    """A day of a site that is to be built: how many events it has, and the newest version there is of it.

    `renewed` days are built only because an earlier release built less of them.
    """

    site: str
    day: datetime.date
    rows: int
    version: int = 0
    renewed: bool = False


class Rollup:
    """Closes days. Blocking; `clock` gives Unix seconds. `client` writes."""

    def __init__(self, client: Client, sites: Sites, clock: Callable[[], float]) -> None:
        self._client = client
        self._sites = sites
        self._clock = clock
        self._looked_at_all = False
        self._sweep_at = math.inf
        self._closed: set[tuple[str, datetime.date]] = set()

    def close_due(self) -> int:
        """Build every day that is over and has not been built, or got more rows since. Returns how many."""
        due = self.due()
        for closing in due:
            self.close(closing)
        if due:
            log.info("closed days", extra={"days": len(due), "rows": sum(closing.rows for closing in due)})
        if not self._looked_at_all or self._clock() >= self._sweep_at:
            self._sweep()
        self._looked_at_all = True
        return len(due)

    def due(self) -> list[Closing]:
        """The days that are to be built now, oldest first; then those that an earlier release built."""
        since = _BEGINNING
        if self._looked_at_all:
            since = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date() - RECENT_DAYS * _DAY
        recorded = self._recorded(since)
        found = []
        for site, days in self._counted(since).items():
            for day in self._over(site, days):
                record = recorded.get(site, {}).get(day)
                rows = days.get(day, 0)
                if record is None or record.open or rows > record.rows:
                    found.append(Closing(site, day, rows, record.version if record else 0))
                elif not record.form and rows == record.rows:
                    found.append(Closing(site, day, rows, record.version, renewed=True))
        return sorted(found, key=lambda closing: (closing.renewed, closing.day))

    def close(self, closing: Closing) -> None:
        """Build one day. May be called again; the newest build counts."""
        version = self._version(closing)
        form = self._build(closing, version) if closing.rows else WITH_PROPERTIES
        self._record(closing.site, closing.day, _Record(version, closing.rows, open=False, form=form))
        self._closed.add((closing.site, closing.day))
        if closing.version:
            self._sweep_at = self._clock() + SUPERSEDED_SECONDS + 1
        log.debug("closed a day", extra={"site": closing.site, "day": str(closing.day), "rows": closing.rows})

    def _build(self, closing: Closing, version: int) -> int:
        """Insert the sums; returns their form."""
        day = {"site": closing.site, "day": closing.day}
        [[found]] = self._client.query(_PROPERTIES, parameters=day).result_rows
        # Nobody can ask for one without a name.
        names = sorted(name for name in found if name)
        if not 0 < len(names) <= MOST_PROPERTIES:
            self._client.command(BUILD, parameters=day | {"version": version})
            return WITHOUT_PROPERTIES if names else WITH_PROPERTIES
        self._client.command(BUILD_WITH_PROPERTIES, parameters=day | {"version": version, "properties": names})
        return WITH_PROPERTIES

    def _version(self, closing: Closing) -> int:
        """Newer than any of that day, and none that another day has: its last digits are the date."""
        place = _VERSIONS * max(closing.version // _VERSIONS + 1, int(self._clock() * 1_000_000_000) // _VERSIONS)
        return place + closing.day.toordinal() % _VERSIONS

    def rebuild(self, site: str, first: datetime.date, last: datetime.date) -> Iterator[Closing]:
        """Build the closed days from `first` to `last` anew; yields each when it is done."""
        days = self._counted(first).get(site, {})
        records = self._recorded(first).get(site, {})
        for day in self._over(site, days):
            # A day whose events are past their retention keeps the sums that were built while it had them.
            if first <= day <= last and (day not in records or days.get(day, 0) >= records[day].rows):
                closing = Closing(site, day, days.get(day, 0), records[day].version if day in records else 0)
                self.close(closing)
                yield closing

    def renew(self, site: str, days: Iterable[datetime.date]) -> None:
        """Build these days anew from the events that are left of them, also when these are fewer than before."""
        for day in sorted(days):
            record = self._recorded(day).get(site, {}).get(day)
            if record is not None:
                self.close(Closing(site, day, self._counted(day).get(site, {}).get(day, 0), record.version))

    def forget(self, site: str) -> None:
        """The site has no closed day any more."""
        self._closed = {pair for pair in self._closed if pair[0] != site}

    def note(self, events: Iterable[Event]) -> None:
        """Events were stored: where some are of a closed day, take it back until it is built again."""
        for site, day in {(event.site, event.day) for event in events} & self._closed:
            self.late(site, day)

    def late(self, site: str, day: datetime.date) -> None:
        """The events of a closed day have changed: it counts as open until it is built again."""
        record = self._recorded(day).get(site, {}).get(day)
        if record is not None and not record.open:
            self._record(site, day, _Record(record.version + 1, record.rows, open=True, form=record.form))
        self._closed.discard((site, day))

    def _over(self, site: str, days: dict[datetime.date, int]) -> Iterator[datetime.date]:
        """Every date from the first with events to the last that is over; those without events too."""
        known = self._sites.get(site)
        if known is None or not days:
            return
        zone, now = self._sites.zone(known), self._clock()
        day, last = min(days), max(*days, zone.date(now))
        while day <= last and zone.bounds(day)[1] + GRACE_SECONDS <= now:
            yield day
            day += _DAY

    def _counted(self, since: datetime.date) -> dict[str, dict[datetime.date, int]]:
        rows = self._client.query(_COUNT, parameters={"since": since}).result_rows
        found: dict[str, dict[datetime.date, int]] = {}
        for site, day, count in rows:
            found.setdefault(site, {})[day] = count
        return found

    def _recorded(self, since: datetime.date) -> dict[str, dict[datetime.date, _Record]]:
        rows = self._client.query(_RECORDS, parameters={"since": since}).result_rows
        found: dict[str, dict[datetime.date, _Record]] = {}
        for site, day, version, count, open_, form in rows:
            found.setdefault(site, {})[day] = _Record(version, count, bool(open_), form)
            if not open_:
                self._closed.add((site, day))
        return found

    def _record(self, site: str, day: datetime.date, record: _Record) -> None:
        self._client.insert(
            "closed",
            [[site, day, record.version, record.rows, int(record.open), record.form]],
            column_names=["site", "day", "version", "rows", "open", "form"],
        )

    def _sweep(self) -> None:
        """Delete builds that no longer count, once no query can still be reading them."""
        self._sweep_at = math.inf
        before = int((self._clock() - SUPERSEDED_SECONDS) * 1_000_000_000)
        stale = self._client.query(_SUPERSEDED, parameters={"before": before}).result_rows
        for site, day, version in stale:
            self._client.command(_DELETE, parameters={"site": site, "day": day, "version": version})


@dataclass(frozen=True, slots=True)
class _Record:
    version: int
    rows: int
    open: bool
    form: int


_PROPERTIES = """
SELECT groupUniqArrayArray(mapKeys(props)) FROM events
WHERE site = {site:String} AND day = {day:Date} AND name != 'engagement'"""
_COUNT = "SELECT site, day, count() FROM events WHERE day >= {since:Date} GROUP BY site, day"
_RECORDS = "SELECT site, day, version, rows, open, form FROM closed FINAL WHERE day >= {since:Date}"
_SUPERSEDED = """
SELECT built.site, built.day, closed.version
FROM (SELECT site, day, min(version) AS oldest FROM daily WHERE dimension = '' GROUP BY site, day) AS built
INNER JOIN (SELECT site, day, version FROM closed FINAL WHERE NOT open) AS closed USING (site, day)
WHERE built.oldest < closed.version AND closed.version < {before:UInt64}"""
_DELETE = "DELETE FROM daily WHERE site = {site:String} AND day = {day:Date} AND version < {version:UInt64}"
