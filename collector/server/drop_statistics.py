"""Statistics by day of events that were dropped, and of parts of events that were cut or left out.

What the counters have is added up in ClickHouse, so that it survives a restart.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.client import Client

from collector.core.metrics import Counters, DropCounts, TrimCounts, TrimmedKey
from collector.sites.model import Site
from collector.sites.registry import Sites

_COLUMNS = ("site", "day", "reason", "kind", "count")

_TRIM_COLUMNS = ("site", "day", "part", "count")

_TRIM_SUMS = """
SELECT part, sumIf(count, day = {today:Date}), sum(count)
FROM trims
WHERE site = {site:String} AND day > {today:Date} - 30 AND day <= {today:Date}
GROUP BY part"""

_SUMS = """
SELECT reason, kind, sumIf(count, day = {today:Date}), sum(count)
FROM dropped_events
WHERE site = {site:String} AND day > {today:Date} - 30 AND day <= {today:Date}
GROUP BY reason, kind"""


class Dropped(msgspec.Struct, frozen=True):
    """Dropped events of one site, by reason and kind of bot (empty for people)."""

    reason: str
    kind: str
    today: int
    month: int
    """In the last 30 days, today included."""


class Trimmed(msgspec.Struct, frozen=True):
    """Stored events of one site of which one field was truncated or omitted."""

    key: TrimmedKey
    """The part's key on the wire."""
    today: int
    month: int
    """In the last 30 days, today included."""


class DropStatistics:
    """Writes counts since the last write; a failed write is included in the next one.

    A drop is counted on the site-local day of the writing, which comes up to half a minute after it.
    """

    def __init__(self, client: Client, counters: Counters, sites: Sites, clock: Callable[[], float]) -> None:
        self._client = client
        self._counters = counters
        self._sites = sites
        self._clock = clock
        self._written = DropCounts()
        self._written_trims = TrimCounts()

    def write(self) -> None:
        """Add what is new to the table. Blocking."""
        counted = self._counters.dropped()
        new = counted - self._written
        if new:
            rows = [(site, self._today(site), reason, kind, count) for (site, reason, kind), count in new.items()]
            self._client.insert("dropped_events", rows, column_names=_COLUMNS)
            self._written = counted
        trimmed = self._counters.trimmed()
        new_trims = trimmed - self._written_trims
        if new_trims:
            parts = [(site, self._today(site), key, count) for (site, key), count in new_trims.items()]
            self._client.insert("trims", parts, column_names=_TRIM_COLUMNS)
            self._written_trims = trimmed

    async def dropped(self, domain: str) -> list[Dropped]:
        """Dropped events of a site today and in 30 days, most frequent first."""
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

    async def trimmed(self, domain: str) -> list[Trimmed]:
        """Parts of a site's events that were cut or left out today and in 30 days, most frequent first."""
        sums = await anyio.to_thread.run_sync(self._read_trims, domain)
        for (site, key), count in (self._counters.trimmed() - self._written_trims).items():
            if site == domain:
                today, month = sums.get(key, (0, 0))
                sums[key] = (today + count, month + count)
        return sorted((Trimmed(key, *counts) for key, counts in sums.items()), key=lambda each: (-each.month, each.key))

    def _read_trims(self, domain: str) -> dict[TrimmedKey, tuple[int, int]]:
        parameters = {"site": domain, "today": self._today(domain)}
        return {
            key: (day, month) for key, day, month in self._client.query(_TRIM_SUMS, parameters=parameters).result_rows
        }

    def _read(self, domain: str) -> list[tuple[str, str, int, int]]:
        parameters = {"site": domain, "today": self._today(domain)}
        return [tuple(row) for row in self._client.query(_SUMS, parameters=parameters).result_rows]

    def _today(self, domain: str) -> datetime.date:
        site = self._sites.get(domain) or Site(domain=domain)
        return self._sites.zone(site).date(self._clock())
