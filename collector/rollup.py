"""Close the day: once a site-local day is over, its sums are built from its events, once and for all dimensions.

A build is one INSERT of all rows of a day under a version of its own; a record in `closed` then says that this version
counts. So a build may stop anywhere, be run again, or be run by two processes: what counts is always one whole build.
Rows that arrive later make their day count as open, answered from events, until it is built again.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from collector.components import of_basis
from collector.event import Event
from collector.sites import Sites

log = logging.getLogger(__name__)

# A visit may go on for half an hour after midnight.
GRACE_SECONDS = 1800
# How far back each pass looks for days that got more rows; the first looks at all of them.
RECENT_DAYS = 4
# Rows of a version that no longer counts stay this long, for queries that read the record just before.
SUPERSEDED_SECONDS = 600

_VERSIONS = 1_000_000

_DAY = datetime.timedelta(days=1)
_BEGINNING = datetime.date(1970, 1, 1)

VISIT_DIMENSIONS = {
    "visit:source": "source",
    "visit:channel": "channel",
    "visit:referrer": "referrer",
    "visit:utm_source": "utm_source",
    "visit:utm_medium": "utm_medium",
    "visit:utm_campaign": "utm_campaign",
    "visit:utm_content": "utm_content",
    "visit:utm_term": "utm_term",
    "visit:click_id": "click_id",
    "visit:country": "country",
    "visit:browser": "browser",
    "visit:browser_version": "browser_version",
    "visit:os": "os",
    "visit:os_version": "os_version",
    "visit:device": "device",
    "visit:size": "size",
    "visit:entry_page": "entry_page",
    "visit:exit_page": "exit_page",
    "visit:consent": "consent",
}
EVENT_DIMENSIONS = {"event:page": "page", "event:hostname": "hostname", "event:name": "name"}

COLUMNS = (
    "visitors", "seen", "pageviews", "events", "entries", "bounces", "seconds", "views",
    "readings", "engaged", "scrolled",
)  # fmt: skip
"""Components that `daily` holds. Of whole days every visit lands on a page that is asked for: landings are entries."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A day of a site that is to be built: how many events it has, and the newest version there is of it."""

    site: str
    day: datetime.date
    rows: int
    version: int = 0


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
        """The days that are to be built now, oldest first."""
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
        return sorted(found, key=lambda closing: closing.day)

    def close(self, closing: Closing) -> None:
        """Build one day. May be called again; the newest build counts."""
        version = self._version(closing)
        if closing.rows:
            self._client.command(BUILD, parameters={"site": closing.site, "day": closing.day, "version": version})
        self._record(closing.site, closing.day, version, closing.rows, open_=False)
        self._closed.add((closing.site, closing.day))
        if closing.version:
            self._sweep_at = self._clock() + SUPERSEDED_SECONDS + 1
        log.debug("closed a day", extra={"site": closing.site, "day": str(closing.day), "rows": closing.rows})

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

    def note(self, events: Iterable[Event]) -> None:
        """Events were stored: where some are of a closed day, take it back until it is built again."""
        for site, day in {(event.site, event.day) for event in events} & self._closed:
            self.late(site, day)

    def late(self, site: str, day: datetime.date) -> None:
        """The events of a closed day have changed: it counts as open until it is built again."""
        record = self._recorded(day).get(site, {}).get(day)
        if record is not None and not record.open:
            self._record(site, day, record.version + 1, record.rows, open_=True)
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
        for site, day, version, count, open_ in rows:
            found.setdefault(site, {})[day] = _Record(version, count, bool(open_))
            if not open_:
                self._closed.add((site, day))
        return found

    def _record(self, site: str, day: datetime.date, version: int, rows: int, *, open_: bool) -> None:
        self._client.insert(
            "closed",
            [[site, day, version, rows, int(open_)]],
            column_names=["site", "day", "version", "rows", "open"],
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


_COUNT = "SELECT site, day, count() FROM events WHERE day >= {since:Date} GROUP BY site, day"
_RECORDS = "SELECT site, day, version, rows, open FROM closed FINAL WHERE day >= {since:Date}"
_SUPERSEDED = """
SELECT built.site, built.day, closed.version
FROM (SELECT site, day, min(version) AS oldest FROM daily WHERE dimension = '' GROUP BY site, day) AS built
INNER JOIN (SELECT site, day, version FROM closed FINAL WHERE NOT open) AS closed USING (site, day)
WHERE built.oldest < closed.version AND closed.version < {before:UInt64}"""
_DELETE = "DELETE FROM daily WHERE site = {site:String} AND day = {day:Date} AND version < {version:UInt64}"


def _selected(dimensions: dict[str, str], relation: str, where: str, taken: dict[str, str], *, total: bool) -> str:
    """Rows of `daily` for the given dimensions: name, value, and the components `taken`, all others zero."""
    names = list(dimensions)
    sets = [f"(g{number})" for number in range(len(names))]
    masks = [2 ** len(names) - 1 - 2 ** (len(names) - 1 - number) for number in range(len(names))]
    columns = [f"{column} AS g{number}" for number, column in enumerate(dimensions.values())]
    named = ", ".join(f"g{number}" for number in range(len(names)))
    values = ", ".join(f"toString(g{number})" for number in range(len(names)))
    # Of columns that are not grouped by the value is empty: joined, only the grouped one is left.
    sums = ", ".join(f"toInt64({taken.get(name, '0')}) AS n_{name}" for name in COLUMNS)
    return f"""
    SELECT transform(grouping({named}), {masks}, {names}, '') AS dimension, concat({values}, '') AS value, {sums},
        {", ".join(columns)}
    FROM {relation}
    WHERE site = {{site:String}} AND day = {{day:Date}} AND {where}
    GROUP BY GROUPING SETS ({", ".join([*sets, "()"] if total else sets)})"""


_EXITS = """(
        SELECT * FROM events LEFT ANY JOIN (
            SELECT day, visitor, visit, argMax(page, (ts, page)) AS exit_page FROM events
            WHERE site = {site:String} AND day = {day:Date} AND name = 'pageview' AND visitor != 0
            GROUP BY day, visitor, visit
        ) AS exits USING (day, visitor, visit)
        WHERE site = {site:String} AND day = {day:Date}
    )"""
_READINGS = """(
        SELECT site, day, page, visitor, visit, sum(engaged) AS engaged, max(scroll) AS scroll FROM events
        WHERE site = {site:String} AND day = {day:Date} AND name = 'engagement' AND visitor != 0
        GROUP BY site, day, page, visitor, visit
    )"""


def _build() -> str:
    sums = ", ".join(f"sum(n_{name})" for name in COLUMNS)
    entered = {name: sql for name, sql in of_basis("visit").items() if name != "landings"}
    entered["bounces"] = "sum(bounces)"
    visit = {name: sql for name, sql in of_basis("event").items() if name != "seen"} | entered
    taken = ", ".join(f"n_{name}" for name in COLUMNS)
    counted = "name != 'engagement'"
    branches = [
        _selected(VISIT_DIMENSIONS, _EXITS, counted, visit, total=True),
        _selected(EVENT_DIMENSIONS, "events", counted, of_basis("event"), total=False),
        _selected({"event:page": "page"}, _READINGS, "1", of_basis("reading"), total=False),
    ]
    return f"""
INSERT INTO daily (site, dimension, day, value, {", ".join(COLUMNS)}, version)
SELECT {{site:String}}, dimension, {{day:Date}}, value, {sums}, {{version:UInt64}}
FROM ({" UNION ALL ".join(f"SELECT dimension, value, {taken} FROM ({branch})" for branch in branches)})
GROUP BY dimension, value
HAVING sum(n_events) > 0"""


BUILD = _build()
"""Builds one day of one site: parameters `site`, `day`, `version`."""
