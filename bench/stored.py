"""Processor time that ClickHouse uses to insert, merge, close and read events, on one server or on shards."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.scale import ONE, PAGE_OF, dashboard
from bench.town import SITE, Town
from collector.ingest.event import COLUMNS, Event
from collector.ingest.visit_recall import VisitRecall
from collector.ingest.visits import VisitTracker
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.analytics.filters import Filter
from dashboard.analytics.period import Period, parse_period
from dashboard.analytics.service import StatsService
from dashboard.reports.realtime_figures import realtime_figures
from tests.real_server import RealServer

DAYS = 30
SEGMENT = 2_000
"""Events of an insert: what a busy collector has in a second."""
_TICKS = os.sysconf("SC_CLK_TCK")
_INSERTED = f"""
SELECT * REPLACE (toUnixTimestamp(ts) AS ts) FROM events
ORDER BY {", ".join(f"events.{name}" for name in ("ts", "visitor", "seq"))} LIMIT {{most:UInt32}}"""  # noqa: S608 # ours


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True)
class Meter:
    """Processor time of all ClickHouse servers together, without the `idle` seconds that they use in each second."""

    servers: Sequence[RealServer]
    idle: float = 0.0

    @property
    def used(self) -> float:
        """Seconds since they were started."""
        return sum(processor(server.process.pid) for server in self.servers if server.process)

    def seconds(self, work: Callable[[], object], times: int = 1) -> float:
        """Processor time for one call."""
        began, clock = self.used, time.monotonic()
        for _ in range(times):
            work()
        return max(0.0, self.used - began - self.idle * (time.monotonic() - clock)) / times


@dataclass(frozen=True)
class StoredEvents:
    """A town's events, and the processor time that the servers use for them: in milliseconds for a question, else in
    microseconds per event."""

    town: Town
    meter: Meter
    times: int
    """How often each question is asked."""

    def merge(self) -> float:
        """Merge all parts of a month into one, which they are already."""
        merging = self.meter.seconds(lambda: self.town.shards.command("OPTIMIZE TABLE events FINAL"))
        return merging * 1e6 / self.town.rows("events")

    def close(self) -> float:
        """Close all days that are over."""
        sites = Sites(DocumentTable(self.town.client, "sites", Site))
        asyncio.run(sites.change(Site(domain=SITE)))
        rollup = RollupJob(self.town.client, sites, lambda: self.town.now, shards=self.town.shards)
        closing = self.meter.seconds(rollup.close_due)
        self.town.shards.command("OPTIMIZE TABLE daily_rollup FINAL")
        return closing * 1e6 / self.town.rows("events")

    def bytes(self, table: str) -> float:
        """Bytes of a table on disk, per event."""
        return self.town.bytes(table) / self.town.rows("events")

    def recall(self) -> float:
        """Look for visits that go on."""
        recall = VisitRecall(self.town.client, VisitTracker(), lambda: self.town.now)
        return self.meter.seconds(recall.recall, self.times) * 1e3

    def closed_page(self, filters: Filter | None = None) -> float:
        """A site's page of the closed days."""
        yesterday = self._now.date() - datetime.timedelta(1)
        first = yesterday - datetime.timedelta(DAYS - 1)
        return self._page(parse_period("custom", "UTC", self._now, first, yesterday), filters)

    def filtered_page(self) -> float:
        """The same filtered by a country, so of events."""
        return self.closed_page(ONE)

    def open_page(self) -> float:
        """A site's page of today."""
        return self._page(parse_period("day", "UTC", self._now))

    def realtime(self) -> float:
        """The realtime page."""
        return self._asked(lambda store: realtime_figures(store, SITE))

    def opened(self) -> int:
        """Events of today."""
        statement = "SELECT count() FROM events WHERE day = {day:Date}"
        return int(self.town.client.query(statement, parameters={"day": self._now.date()}).result_rows[0][0])

    def clear(self) -> None:
        """Delete all events."""
        self.town.shards.command("TRUNCATE TABLE events")

    def insert(self) -> float:
        """Insert the first events again, as a collector does, while no part is merged; all others are deleted."""
        most = 10 * SEGMENT * self.times
        rows = self.town.client.query(_INSERTED, parameters={"most": most}).result_rows
        events = [Event(**dict(zip(COLUMNS, row, strict=True))) for row in rows]
        self.clear()
        self.town.shards.command("SYSTEM STOP MERGES events")
        inserter = ClickHouseInserter(self.town.client)

        def insert() -> None:
            for begin in range(0, len(events), SEGMENT):
                inserter.insert(events[begin : begin + SEGMENT], f"segment {begin}")

        inserting = self.meter.seconds(insert)
        self.town.shards.command("SYSTEM START MERGES events")
        return inserting * 1e6 / self.town.rows("events")

    @property
    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.town.now, datetime.UTC)

    def _page(self, period: Period, filters: Filter | None = None) -> float:
        queries = dashboard(period, filters, PAGE_OF)
        return self._asked(lambda store: store.run(queries))

    def _asked(self, question: Callable[[StatsService], Coroutine[Any, Any, object]]) -> float:
        where = self.town.database
        store = StatsService(
            lambda limits: where.client(readonly=True, settings=limits),
            clock=lambda: self.town.now,
            cluster=where.cluster,
        )

        def once() -> None:
            store.clear_cache()
            asyncio.run(question(store))  # type: ignore[arg-type]

        with contextlib.closing(store):
            once()
            return self.meter.seconds(once, self.times) * 1e3


@contextlib.contextmanager
def stored_events(
    servers: Sequence[RealServer], millions: float, now: float, *, cluster: str = "", times: int = 5
) -> Iterator[StoredEvents]:
    """So many million events and no others on a server, or on the shards of a cluster. Each question is asked `times`
    times; what the servers use by themselves is measured for as many seconds."""
    # A statement that makes or merges millions of events takes its time.
    where = ClickHouse.at(servers[0].dsn("tyst", options={"send_receive_timeout": 600}), cluster=cluster)
    with contextlib.closing(Town(millions, where, where.prepare(), now, DAYS)) as town:
        town.shards.command("TRUNCATE TABLE events")
        meter = Meter(servers)
        idle = meter.seconds(lambda: time.sleep(times)) / times
        town.fill()
        yield StoredEvents(town, replace(meter, idle=idle), times)
