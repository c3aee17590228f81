"""The rollup job: builds a day's rollups once the day is over in the site's time zone.

A build is one INSERT of all rows of a day, or of several, each under a version that no other collector uses; a record
in `daily_status` then says that this version counts. So a build may stop anywhere, be run again, or be run by two
processes: what counts is always one whole build. Rows that arrive later reopen their day: it is answered from events
until it is built again.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from collector.ingest.event import Event
from collector.rollups.build import build_days, version_of, versions_at
from collector.rollups.daily_status import SCHEMAS, WITH_PROPERTIES, WITHOUT_PROPERTIES, ClosedDay, ClosedDays
from collector.rollups.late_events import FinalDays
from collector.sites.registry import Sites
from collector.spool.serialization import SerializedEvents
from collector.storage.client import plain_reason
from collector.storage.shards import Shards

log = logging.getLogger(__name__)

# Rows of the day's last minutes may still be on their way from the spool; of later ones the day is built again.
GRACE_SECONDS = 1800
# How far back each pass looks for days that got more rows that nobody noted; the first looks at all of them.
RECENT_DAYS = 4
# Rows of a version that no longer counts stay this long, for queries that read the record just before.
SUPERSEDED_SECONDS = 600

# Half a kilobyte of memory for each event that is built at a time; of fewer most of the work is planning.
MOST_EVENTS = 250_000
# Each may be of another month, and one INSERT may be into at most 100 partitions.
MOST_DAYS = 90

_DAY = datetime.timedelta(days=1)
_BEGINNING = datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class RollupSchedule:
    """A day of a site that is to be built: how many events it has, and the newest version there is of it.

    `renewed` days are built only because an earlier release built less of them.
    """

    site: str
    day: datetime.date
    rows: int
    version: int = 0
    renewed: bool = False


class TablesReplaced(OperationalError):
    """Others were put in the place of the tables during a build: its rows are gone with the former."""

    def __init__(self) -> None:
        super().__init__("a backup was restored while days were being rolled up")


class RollupJob:
    """Closes days, as many at a time as have `most_events` together. Blocking; `clock` gives Unix seconds. `client`
    writes; `builder` is this collector's number among those that share the database."""

    def __init__(
        self,
        client: Client,
        sites: Sites,
        clock: Callable[[], float],
        *,
        most_events: int = MOST_EVENTS,
        builder: Callable[[], int] = lambda: 0,
        shards: Shards | None = None,
    ) -> None:
        self._client = client
        self._shards = shards or Shards([client])
        self._records = ClosedDays(client)
        self.final_days = FinalDays(client, sites, clock)
        self._sites = sites
        self._clock = clock
        self._most_events = most_events
        self._builder = builder
        self._begun: dict[str, int] = {}
        """The newest versions of each site that were built here, whatever came of it."""
        self._looked_at_all = False
        self._sweep_at = math.inf
        self._tables: Sequence[Sequence[str]] = ()
        """The ids of the tables that the above is about."""
        self._building = threading.Lock()
        """Whoever takes a day back while it is being built comes after that."""

    def close_due(
        self, excluded: Collection[tuple[str, datetime.date]] = (), moving: Collection[str] = frozenset()
    ) -> int:
        """Build every day that is over and has not been built, or got more rows since, without the `excluded` sites'
        days, and those of sites whose figures are `moving` from one name to another. Returns how many.

        Raises what ClickHouse refuses of some days, once all others are built.
        """
        self._forget_replaced()
        due = [
            closing
            for closing in self.due()
            if (closing.site, closing.day) not in excluded and closing.site not in moving
        ]
        refused: DatabaseError | None = None
        for batch in self._batches(due):
            try:
                self.close(batch)
            except OperationalError:
                raise
            except DatabaseError as error:
                # Rows of one site must not keep the days of others open.
                log.warning("days cannot be closed", extra={"site": batch[0].site, "reason": plain_reason(error)})
                refused = error
        if refused is not None:
            raise refused
        if due:
            log.info("days rolled up", extra={"days": len(due), "rows": sum(closing.rows for closing in due)})
        # What was copied to the new name must not be taken for superseded, and older days have to be looked at again.
        if not moving:
            if not self._looked_at_all or self._clock() >= self._sweep_at:
                self._sweep()
            self._looked_at_all = True
        return len(due)

    def due(self) -> list[RollupSchedule]:
        """The days that are to be built now, of each site oldest first; then those that an earlier release built."""
        since = _BEGINNING
        if self._looked_at_all:
            recent = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date() - RECENT_DAYS * _DAY
            since = min(recent, self._records.first_reopened() or recent)
        recorded, counted = self._recorded(since), self._counted(since)
        found = []
        for site in counted.keys() | recorded.keys():
            days, records = counted.get(site, {}), recorded.get(site, {})
            # One that was taken back may have no event any more, nor any day before it.
            reopened = [day for day, record in records.items() if record.reopened and self._is_over(site, day)]
            for day in {*self._over(site, days), *reopened}:
                record = records.get(day)
                rows = days.get(day, 0)
                if record is None or record.reopened or rows > record.rows:
                    found.append(RollupSchedule(site, day, rows, record.version if record else 0))
                elif record.schema_version not in SCHEMAS and rows == record.rows:
                    found.append(RollupSchedule(site, day, rows, record.version, renewed=True))
        return sorted(found, key=lambda closing: (closing.renewed, closing.site, closing.day))

    def close(self, batch: Sequence[RollupSchedule]) -> None:
        """Build days of one site together. May be called again; the newest build counts. Nothing is built under a name
        that no site has any more: the next site of that name would have it."""
        with self._building:
            if self._sites.get(batch[0].site) is not None:
                self._close(batch)

    def finish_builds(self) -> None:
        """Wait for what is being built: it may have read events that are gone since."""
        with self._building:
            pass

    @contextlib.contextmanager
    def replacing_tables(self) -> Iterator[None]:
        """Nothing is built here while others are put in the place of the tables."""
        with self._building:
            yield

    def _close(self, batch: Sequence[RollupSchedule]) -> None:
        site, days = batch[0].site, [closing.day for closing in batch if closing.rows]
        after = max(closing.version for closing in batch)
        versions = versions_at(self._clock(), max(after, self._begun.get(site, 0)), self._builder())
        self._begun[site] = versions
        tables = self._ids_of_tables()
        without = self._build(site, days, versions) if days else frozenset()
        if self._ids_of_tables() != tables:
            raise TablesReplaced
        built = {}
        for closing in batch:
            schema = WITHOUT_PROPERTIES if closing.day in without else WITH_PROPERTIES
            built[closing.day] = ClosedDay(
                version_of(versions, closing.day), closing.rows, reopened=False, schema_version=schema
            )
        self._records.put(site, built)
        if after:
            self._sweep_at = self._clock() + SUPERSEDED_SECONDS + 1
        log.debug("days rolled up", extra={"site": site, "days": len(batch), "rows": sum(each.rows for each in batch)})

    def _forget_replaced(self) -> None:
        """Forget what was known of tables that others are in the place of, such as those of a backup: their last days
        may be open, however old they are."""
        tables = self._ids_of_tables()
        if tables != self._tables:
            self._tables, self._looked_at_all = tables, False

    def _ids_of_tables(self) -> Sequence[Sequence[str]]:
        ids: Sequence[Sequence[str]] = self._client.query(_TABLES).result_rows
        return ids

    def _batches(self, closings: Iterable[RollupSchedule]) -> Iterator[list[RollupSchedule]]:
        """Days of one site that are built together, in their order."""
        for _, days in itertools.groupby(closings, key=lambda closing: (closing.site, closing.renewed)):
            batch: list[RollupSchedule] = []
            for closing in days:
                rows = closing.rows + sum(each.rows for each in batch)
                if batch and (rows > self._most_events or len(batch) == MOST_DAYS):
                    yield batch
                    batch = []
                batch.append(closing)
            yield batch

    def _build(self, site: str, days: Sequence[datetime.date], versions: int) -> frozenset[datetime.date]:
        return frozenset().union(*(build_days(node, site, days, versions) for node in self._shards))

    def rebuild(self, site: str, first: datetime.date, last: datetime.date) -> Iterator[RollupSchedule]:
        """Rebuild the rolled-up days from `first` to `last`; yields each when it is finished."""
        days = self._counted(first).get(site, {})
        records = self._recorded(first).get(site, {})
        found = [
            RollupSchedule(site, day, days.get(day, 0), records[day].version if day in records else 0)
            for day in self._over(site, days)
            # A day whose events are past their retention keeps the sums that were built while it had them, and one
            # that was imported never had any here.
            if first <= day <= last and (day not in records or records[day].has_its_events(days.get(day, 0)))
        ]
        for batch in self._batches(found):
            self.close(batch)
            yield from batch

    def rebuild_days(self, site: str, days: Iterable[datetime.date]) -> None:
        """Rebuild these days from their remaining events, even if these are fewer than before."""
        wanted = sorted(days)
        if not wanted:
            return
        counted, recorded = self._counted(wanted[0]).get(site, {}), self._recorded(wanted[0]).get(site, {})
        known = (day for day in wanted if day in recorded)
        for batch in self._batches(
            RollupSchedule(site, day, counted.get(day, 0), recorded[day].version) for day in known
        ):
            self.close(batch)

    def on_insert(self, events: Sequence[Event]) -> None:
        """Events were stored: where some are of a closed day, take it back until it is built again."""
        late = {(site, day) for site, day in SerializedEvents.of(events).dates if self._is_over(site, day)}
        for site, day in late - self.final_days.among(late):
            self.reopen_day(site, day)

    def reopen_day(self, site: str, day: datetime.date) -> None:
        """The events of a closed day have changed: it counts as open until it is built again."""
        with self._building:
            record = self._records.get(site, day)
            if record is not None and not record.reopened:
                self._records.put(site, {day: replace(record, version=record.version + 1, reopened=True)})

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

    def _is_over(self, site: str, day: datetime.date) -> bool:
        known = self._sites.get(site)
        return known is not None and self._sites.zone(known).bounds(day)[1] + GRACE_SECONDS <= self._clock()

    def _counted(self, since: datetime.date) -> dict[str, dict[datetime.date, int]]:
        rows = self._client.query(_COUNT, parameters={"since": since}).result_rows
        found: dict[str, dict[datetime.date, int]] = {}
        for site, day, count in rows:
            found.setdefault(site, {})[day] = count
        return found

    def _recorded(self, since: datetime.date) -> dict[str, dict[datetime.date, ClosedDay]]:
        return self._records.since(since)

    def _sweep(self) -> None:
        """Delete builds that no longer count, once no query can still be reading them."""
        self._sweep_at = math.inf
        before = int((self._clock() - SUPERSEDED_SECONDS) * 1_000_000_000)
        stale = self._client.query(_SUPERSEDED, parameters={"before": before}).result_rows
        for site, day, version in stale:
            self._shards.mutate("daily_rollup", _DELETE, {"site": site, "day": day, "version": version})


_TABLES = """
SELECT name, toString(uuid) FROM system.tables
WHERE database = currentDatabase() AND name IN ('daily_rollup', 'daily_status') ORDER BY name"""
_COUNT = "SELECT site, day, count() FROM events WHERE day >= {since:Date} GROUP BY site, day"
_SUPERSEDED = """
SELECT built.site, built.day, closed.version
FROM (SELECT site, day, min(version) AS oldest FROM daily_rollup WHERE dimension = '' GROUP BY site, day) AS built
INNER JOIN (SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened) AS closed USING (site, day)
WHERE built.oldest < closed.version AND closed.version < {before:UInt64}"""
_DELETE = "DELETE FROM daily_rollup WHERE site = {site:String} AND day = {day:Date} AND version < {version:UInt64}"
