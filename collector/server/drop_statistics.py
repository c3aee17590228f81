"""Statistics by day of events that were dropped, and of parts of events that were cut or left out.

What the counters have is added up in ClickHouse, so that it survives a restart.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Sequence
from typing import Any

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

    A drop is counted on the site-local day of the writing, which comes up to half a minute after it. Counters go by a
    site's own id, and rows by the name that it has when they are written: of a site that is no more nothing is.
    """

    def __init__(self, client: Client, counters: Counters, sites: Sites, clock: Callable[[], float]) -> None:
        self._client = client
        self._counters = counters
        self._sites = sites
        self._clock = clock
        self._written = DropCounts()
        self._written_trims = TrimCounts()
        self._writing = threading.Lock()

    def write(self) -> None:
        """Add what is new to the table. Blocking."""
        with self._writing:
            counted, trimmed = self._counters.dropped(), self._counters.trimmed()
            rows = [
                (*place, reason, kind, count)
                for (id_, reason, kind), count in (counted - self._written).items()
                for place in self._places(id_)
            ]
            if rows:
                self._client.insert("dropped_events", rows, column_names=_COLUMNS)
            self._written = counted
            parts = [
                (*place, key, count)
                for (id_, key), count in (trimmed - self._written_trims).items()
                for place in self._places(id_)
            ]
            if parts:
                self._client.insert("trims", parts, column_names=_TRIM_COLUMNS)
            self._written_trims = trimmed

    def wait_for_write(self, _site_id: str) -> None:
        """A site is no more: wait for what is being written, which is then deleted with all other rows of its name.
        Blocking."""
        with self._writing:
            return

    async def dropped(self, site: Site) -> list[Dropped]:
        """Dropped events of a site today and in 30 days, most frequent first."""
        new = self._counters.dropped() - self._written
        sums = {
            (reason, kind): (day, month)
            for reason, kind, day, month in await anyio.to_thread.run_sync(self._read, _SUMS, site)
        }
        for (id_, reason, kind), count in new.items():
            if id_ == site.id:
                today, month = sums.get((reason, kind), (0, 0))
                sums[reason, kind] = (today + count, month + count)
        dropped = [Dropped(*key, *counts) for key, counts in sums.items()]
        return sorted(dropped, key=lambda drop: (-drop.month, drop.reason, drop.kind))

    async def trimmed(self, site: Site) -> list[Trimmed]:
        """Parts of a site's events that were cut or left out today and in 30 days, most frequent first."""
        rows = await anyio.to_thread.run_sync(self._read, _TRIM_SUMS, site)
        sums: dict[TrimmedKey, tuple[int, int]] = {key: (day, month) for key, day, month in rows}
        for (id_, key), count in (self._counters.trimmed() - self._written_trims).items():
            if id_ == site.id:
                today, month = sums.get(key, (0, 0))
                sums[key] = (today + count, month + count)
        return sorted((Trimmed(key, *counts) for key, counts in sums.items()), key=lambda each: (-each.month, each.key))

    def _read(self, query: str, site: Site) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = self._client.query(
            query, parameters={"site": site.domain, "today": self._today(site)}
        ).result_rows
        return rows

    def _places(self, site_id: str) -> list[tuple[str, datetime.date]]:
        """The name of a site and its date; of unknown sites, which have no id, one without a name; of a site that is no
        more none."""
        site = self._sites.by_id(site_id) if site_id else Site(domain="")
        return [] if site is None else [(site.domain, self._today(site))]

    def _today(self, site: Site) -> datetime.date:
        return self._sites.zone(site).date(self._clock())
