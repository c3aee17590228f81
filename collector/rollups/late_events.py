"""Late events of days whose sums cannot be built anew, as retention has deleted the other events: they are not stored.

A collector that was away for longer than a site's retention has such events in its spool. Built from them alone, the
day would lose all that was counted before.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterable, Sequence

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import InsertRetryable
from collector.ingest.event import Event
from collector.rollups.daily_status import ClosedDays
from collector.sites.registry import Sites
from collector.spool.serialization import SerializedEvents
from collector.spool.writer import Inserter
from collector.storage.client import plain_reason

log = logging.getLogger(__name__)

SiteDay = tuple[str, datetime.date]

_COUNT = "SELECT count() FROM events WHERE site = {site:String} AND day = {day:Date}"


class FinalDays:
    """Days that are rolled up and have not all of their events any more. Blocking; `clock` gives Unix seconds."""

    def __init__(self, client: Client, sites: Sites, clock: Callable[[], float]) -> None:
        self._client = client
        self._records = ClosedDays(client)
        self._sites = sites
        self._clock = clock

    def among(self, days: Iterable[SiteDay]) -> frozenset[SiteDay]:
        """Those of the sites' days that are final. The database is asked about days past their retention only."""
        return frozenset(each for each in days if self._is_expired(*each) and self._is_final(*each))

    def _is_expired(self, domain: str, day: datetime.date) -> bool:
        site = self._sites.get(domain)
        return site is not None and (self._sites.zone(site).date(self._clock()) - day).days >= site.retention_days

    def _is_final(self, site: str, day: datetime.date) -> bool:
        record = self._records.get(site, day)
        if record is None or record.reopened:
            return False
        rows = self._client.query(_COUNT, parameters={"site": site, "day": day}).result_rows[0][0]
        return not record.has_its_events(rows)


class LateEventsInserter:
    """An inserter before another, without events of final days."""

    def __init__(self, inserter: Inserter, final: FinalDays) -> None:
        self._inserter = inserter
        self._final = final

    def insert(self, events: Sequence[Event], token: str) -> None:
        """Store `events` durably, once per `token`. Raises `InsertRetryable` or `InsertRefused`."""
        try:
            final = self._final.among(SerializedEvents.of(events).dates)
        except (ClickHouseError, OSError) as error:
            raise InsertRetryable(plain_reason(error)) from None
        kept = [event for event in events if (event.site, event.day) not in final] if final else events
        if final:
            log.warning("events past their retention came too late to count", extra={"rows": len(events) - len(kept)})
        if kept:
            self._inserter.insert(kept, token)
