"""How much was not kept, by day: the counters' drops, added up in ClickHouse so that they survive a restart."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.client import Client

from collector.counters import Counters, DropCounts
from collector.sites import Site, Sites

_COLUMNS = ("site", "day", "reason", "kind", "count")

_SUMS = """
SELECT reason, kind, sumIf(count, day = {today:Date}), sum(count)
FROM drops
WHERE site = {site:String} AND day > {today:Date} - 30 AND day <= {today:Date}
GROUP BY reason, kind"""


class Dropped(msgspec.Struct, frozen=True):
    """Events of one site that were not kept, for one reason and of one kind of bot (empty for people)."""

    reason: str
    kind: str
    today: int
    month: int
    """In the last 30 days, today included."""


class Tally:
    """Writes what has been counted since the last time; a count that could not be written is written the next time.

    A drop is counted on the site-local day of the writing, which comes up to half a minute after it.
    """

    def __init__(self, client: Client, counters: Counters, sites: Sites, clock: Callable[[], float]) -> None:
        self._client = client
        self._counters = counters
        self._sites = sites
        self._clock = clock
        self._written = DropCounts()

    def write(self) -> None:
        """Add what is new to the table. Blocking."""
        counted = self._counters.dropped()
        new = counted - self._written
        if new:
            rows = [(site, self._today(site), reason, kind, count) for (site, reason, kind), count in new.items()]
            self._client.insert("drops", rows, column_names=_COLUMNS)
            self._written = counted

    async def of(self, domain: str) -> list[Dropped]:
        """What was not kept of a site today and in 30 days, most frequent first."""
        new = self._counters.dropped() - self._written
        sums = {
            (reason, kind): (day, month)
            for reason, kind, day, month in await anyio.to_thread.run_sync(self._read, domain)
        }
        for (site, reason, kind), count in new.items():
            if site == domain:
                today, month = sums.get((reason, kind), (0, 0))
                sums[reason, kind] = (today + count, month + count)
        dropped = [Dropped(*key, *counts) for key, counts in sums.items()]
        return sorted(dropped, key=lambda drop: (-drop.month, drop.reason, drop.kind))

    def _read(self, domain: str) -> list[tuple[str, str, int, int]]:
        parameters = {"site": domain, "today": self._today(domain)}
        return [tuple(row) for row in self._client.query(_SUMS, parameters=parameters).result_rows]

    def _today(self, domain: str) -> datetime.date:
        site = self._sites.get(domain) or Site(domain=domain)
        return self._sites.zone(site).date(self._clock())
