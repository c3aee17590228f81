"""What questions cost at one, ten and a hundred million events: `python -m bench scale [MILLIONS …] [--minutes N]`.

Every figure of a size is measured in one run, in this order: unfiltered questions of the events, closing the days, the
same questions of their sums, filtered questions. Times are medians of wall clock; the processor's time of all threads
stands beside, as other work on the machine does not change it as much. At one million the same panels are asked of
Runlight too. What the time no longer allows is left out and said so: all of it stops after `--minutes` (12).
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import beside as runlight
from bench.town import DAYS, SITE, Town
from collector.clickhouse import ClickHouse
from collector.records import Records
from collector.rollup import Rollup
from collector.sites import Site, Sites
from dashboard.exceptions import QueryTooLarge
from dashboard.filters import All, Filter, is_
from dashboard.period import Period, parse_period
from dashboard.query import Query
from dashboard.store import Store

TOTALS = ("visitors", "visits", "pageviews", "bounce_rate", "visit_duration", "views_per_visit")
PANELS = (
    "visit:channel", "visit:source", "visit:referrer", "visit:utm_campaign", "event:page", "visit:entry_page",
    "visit:exit_page", "visit:country", "visit:browser", "visit:os", "visit:device", "visit:size", "event:goal",
)  # fmt: skip
PAGE_OF = ("visit:source", "event:page", "visit:country", "visit:browser", "event:name", "visit:consent")
"""The tabs that are open when a site's page is."""
ONE = is_("visit:country", "C1")
TWO = All((ONE, is_("visit:browser", "B1")))
THREE = All((ONE, is_("visit:browser", "B1"), is_("visit:source", "S1")))
PAGE = is_("event:page", "/p0")
FILTERS: dict[str, Filter] = {"one": ONE, "two": TWO, "three": THREE, "a page": PAGE}
DAY = datetime.timedelta(days=1)

# What raw scans of a hundred million events need, and no site owner may use.
BENCH_LIMITS: dict[str, Any] = {"max_execution_time": 120, "max_memory_usage": 9_000_000_000}


def dashboard(dates: Period, filters: Filter | None = None, panels: Sequence[str] = PANELS) -> list[Query]:
    """Every question of one page view: totals and those before, the chart, and panels."""
    return [
        Query(SITE, TOTALS, dates, (), filters),
        Query(SITE, TOTALS, dates.previous(), (), filters),
        Query(SITE, ("visitors",), dates, ("time",), filters, limit=1000),
        *(Query(SITE, ("visitors",), dates, (name,), filters, limit=10) for name in panels),
    ]


@dataclass(frozen=True)
class Took:
    """Median of wall clock and of the processor's time, in milliseconds."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:9,.0f} {self.processor:9,.0f}"


def measure(work: Callable[[], object], times: int) -> Took:
    """Do the work so many times, and once before to warm up; 0 is once and cold."""
    if times:
        work()
    walls, processors = [], []
    for _ in range(max(times, 1)):
        began, used = time.perf_counter(), time.process_time()
        work()
        walls.append(1000 * (time.perf_counter() - began))
        processors.append(1000 * (time.process_time() - used))
    return Took(statistics.median(walls), statistics.median(processors))


@dataclass
class Report:
    """One size's figures, printed as they come; `ends` is when, by the monotonic clock, no more is begun."""

    millions: float
    ends: float
    figures: dict[str, Took | float] = field(default_factory=dict)

    def line(self, title: str, figure: Took | float, unit: str = "") -> None:
        """Print and keep a figure."""
        self.figures[title] = figure
        print(f"{title:52} {figure if isinstance(figure, Took) else f'{figure:9,.2f}'} {unit}".rstrip(), flush=True)

    def asked(self, title: str, store: Store, queries: Sequence[Query], times: int) -> None:
        """Measure questions that are asked together."""
        if time.monotonic() > self.ends:
            print(f"{title:52} left out: no time is left")
            return
        try:
            self.line(title, measure(lambda: asyncio.run(store.run(queries)), times))
        except QueryTooLarge:
            print(f"{title:52} past the limits of time and memory")


def report(
    millions: float, directory: Path, ends: float = float("inf"), *, beside: bool = False, days: int = DAYS
) -> Report:
    """Make a town and measure it; `beside` Runlight, if it can be had."""
    now, found = time.time(), Report(millions, ends)
    where = ClickHouse(dsn=f"chdb://{directory / 'clickhouse'}", database=f"scale_{str(millions).replace('.', '_')}")
    town = Town(millions, where, where.prepare(), now, days)
    began = time.perf_counter()
    town.fill()
    print(f"\n== {millions} million events ({town.rows('events'):,}), made in {time.perf_counter() - began:.0f} s")
    print(f"{'milliseconds':52} {'wall':>9} {'processor':>9}")
    store = Store(lambda limits: where.client(readonly=True, settings=limits | BENCH_LIMITS))
    thirty, year = _periods(now, "30d"), _periods(now, "12mo")
    few, many = (3, 7) if millions <= 1 else (1, 5) if millions <= 10 else (0, 5)
    found.asked("30 days, all panels, by scanning events", store, dashboard(thirty), few)
    found.asked("12 months, all panels, by scanning events", store, dashboard(year), min(few, 1))
    _close(found, town, now)
    yesterday = datetime.datetime.fromtimestamp(now, datetime.UTC).date() - DAY
    closed = _periods(now, "custom", yesterday - 29 * DAY, yesterday)
    found.asked("30 closed days, all panels, from daily", store, dashboard(closed), many)
    found.asked("30 closed days, a site's page, from daily", store, dashboard(closed, None, PAGE_OF), many)
    found.asked("30 days with today, all panels, from daily", store, dashboard(thirty), many)
    found.asked("30 days with today, a site's page, from daily", store, dashboard(thirty, None, PAGE_OF), many)
    found.asked("12 months, all panels, from daily", store, dashboard(year), many)
    for title, filters in FILTERS.items():
        found.asked(f"30 days, all panels, filtered by {title}", store, dashboard(thirty, filters), few)
    if beside:
        _beside(found, town, store, directory)
    found.line("memory peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
    store.close()
    town.client.command("DROP DATABASE {d:Identifier} SYNC", parameters={"d": where.database})
    town.client.close()
    return found


def _periods(now: float, name: str, first: datetime.date | None = None, last: datetime.date | None = None) -> Period:
    return parse_period(name, "UTC", datetime.datetime.fromtimestamp(now, datetime.UTC), first, last)


def _close(found: Report, town: Town, now: float) -> None:
    """Close every day that is over."""
    sites = Sites(Records(town.client, "sites", Site))
    asyncio.run(sites.change(Site(domain=SITE)))
    began, used = time.perf_counter(), time.process_time()
    Rollup(town.client, sites, lambda: now).close_due()
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    found.line(
        "closing, per million events",
        Took(1000 * seconds / town.millions, 1000 * processor / town.millions),
    )
    town.client.command("OPTIMIZE TABLE daily FINAL")
    found.line("bytes per event in events", town.bytes("events") / town.rows("events"))
    found.line("bytes per event in daily", town.bytes("daily") / town.rows("events"))
    found.line("rows per event in daily", town.rows("daily") / town.rows("events"))


def _beside(found: Report, town: Town, store: Store, directory: Path) -> None:
    """The same panels of the same events by Runlight."""
    python = runlight.prepare()
    if python is None:
        print("Runlight could not be installed: nothing to stand beside")
        return
    for name, sql in (("sessions", runlight.EXPORT_SESSIONS), ("events", runlight.EXPORT_EVENTS)):
        with (directory / f"{name}.tsv").open("wb") as file:
            file.write(town.client.raw_query(sql, fmt="TabSeparated"))
    its = runlight.compare(python, directory, town.now, 3)
    [[ours]] = [
        row.metrics for row in asyncio.run(store.run([Query(SITE, ("visitors",), _periods(town.now, "30d"))]))[0].rows
    ]
    print(f"Runlight {runlight.VERSION}: {its['visitors']:,} visitors in 30 days, ours {ours:,}")
    found.line("Runlight, bytes per event", its["bytes"] / town.rows("events"))
    found.line("Runlight, building its rollups, seconds", its["rollups"])
    found.line("Runlight, 30 days, all panels, before rollups", Took(*its["before"]))
    for title in runlight.FILTERS:
        found.line(f"Runlight, 30 days, all panels, {title}", Took(*its[title]))


def main(arguments: Sequence[str]) -> int:
    """Sizes in millions; 1 and 10 when none are given."""
    parser = argparse.ArgumentParser(prog="python -m bench scale", description=__doc__)
    parser.add_argument("millions", nargs="*", type=float, default=[1, 10], help="sizes, such as 1 10 100")
    parser.add_argument("--minutes", type=float, default=12, help="begin nothing more after so long")
    parser.add_argument("--alone", action="store_true", help="without Runlight")
    given = parser.parse_args(arguments)
    ends = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory() as directory:
        for millions in given.millions:
            report(millions, Path(directory), ends, beside=millions == 1 and not given.alone)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
