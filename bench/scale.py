"""What questions cost at one, ten and a hundred million events: `python -m bench scale [MILLIONS …]`.

Every figure of a size is measured in one run, in this order: unfiltered questions of the events, closing the days, the
same questions of their sums, filtered questions. Times are medians of wall clock; the processor's time of all threads
stands beside, as other work on the machine does not change it as much. At one million the same panels are asked of
Runlight too. What the time no longer allows is left out and said so: all of it stops after `--minutes` (12).

Then funnels and journeys over 30 days that have all of the events, as multiples of one statement of top pages over the
same rows, which have bounds; `--paths` measures these alone.

The sums must answer as the events did, or the bench fails. `--keep DIR` leaves the events there, and the next run with
that directory measures the same ones again: a hundred million take 2 GB, and some minutes to make.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import beside as runlight
from bench.measuring import Measurements, Took
from bench.paths import DAYS as DAYS_OF_PATHS
from bench.paths import measure_paths
from bench.town import DAYS, SITE, Town
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.analytics.executor import CACHE_SECONDS
from dashboard.analytics.filters import And, Filter, is_
from dashboard.analytics.period import Period, parse_period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService

TOTALS = ("visitors", "visits", "pageviews", "bounce_rate", "visit_duration", "views_per_visit")
PANELS = (
    "visit:channel", "visit:source", "visit:referrer", "visit:utm_campaign", "event:page", "visit:entry_page",
    "visit:exit_page", "visit:country", "visit:browser", "visit:os", "visit:device", "visit:size", "event:goal",
)  # fmt: skip
PAGE_OF = ("visit:source", "event:page", "visit:country", "visit:browser", "event:name", "visit:consent")
"""The tabs that are open when a site's page is."""
ONE = is_("visit:country", "C1")
TWO = And((ONE, is_("visit:browser", "B1")))
THREE = And((ONE, is_("visit:browser", "B1"), is_("visit:source", "S1")))
PAGE = is_("event:page", "/p0")
FILTERS: dict[str, Filter] = {"one": ONE, "two": TWO, "three": THREE, "a page": PAGE}
DAY = datetime.timedelta(days=1)

# What raw scans of a hundred million events need, and no site owner may use. What memory does not hold goes to disk.
BENCH_LIMITS: dict[str, Any] = {
    "max_execution_time": 300,
    "max_memory_usage": 8_000_000_000,
    "max_bytes_before_external_group_by": 3_000_000_000,
}


def dashboard(dates: Period, filters: Filter | None = None, panels: Sequence[str] = PANELS) -> list[Query]:
    """Every question of one page view: totals and those before, the chart, and panels."""
    return [
        Query(SITE, TOTALS, dates, (), filters),
        Query(SITE, TOTALS, dates.previous(), (), filters),
        Query(SITE, ("visitors",), dates, ("time",), filters, limit=1000),
        *(Query(SITE, ("visitors",), dates, (name,), filters, limit=10) for name in panels),
    ]


def report(
    millions: float,
    directory: Path,
    ends: float = float("inf"),
    *,
    beside: bool = False,
    days: int = DAYS,
    keep: bool = False,
) -> Measurements:
    """Make a town, or take the one that was kept, and measure it; `beside` Runlight, if it can be had."""
    town = town_of(millions, directory, days, keep=keep)
    found = Measurements(millions, ends)
    print(f"{'milliseconds':52} {'wall':>9} {'processor':>9}")
    store = StatsService(lambda limits: town.database.client(readonly=True, settings=limits | BENCH_LIMITS))
    _unfiltered(found, town, store)
    thirty, few = _periods(town.now, "30d"), _times(millions)[0]
    for title, filters in FILTERS.items():
        found.asked(f"30 days, all panels, filtered by {title}", store, dashboard(thirty, filters), few)
    if beside:
        _beside(found, town, store, directory)
    found.line("memory peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
    store.close()
    _closed(town, keep=keep)
    if time.monotonic() > ends:
        print("funnels and journeys: left out: no time is left")
    elif millions <= 10:
        report_paths(found, directory, keep=keep)
    return found


def report_paths(found: Measurements, directory: Path, *, keep: bool) -> None:
    """Measure funnels and journeys over 30 days that have all of so many million events."""
    town = town_of(found.millions, directory, DAYS_OF_PATHS, keep=keep)
    store = StatsService(lambda limits: town.database.client(readonly=True, settings=limits | BENCH_LIMITS))
    measure_paths(found, town, store, _periods(town.now, "30d"), _times(found.millions)[0])
    found.line("memory peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
    store.close()
    _closed(town, keep=keep)


def _closed(town: Town, *, keep: bool) -> None:
    if not keep:
        town.client.command("DROP DATABASE {d:Identifier} SYNC", parameters={"d": town.database.database})
    town.close()


def town_of(millions: float, directory: Path, days: int, *, keep: bool) -> Town:
    """A town without sums: the one in `directory`, or a new one. A file says when a town that is kept was made."""
    name = f"scale_{millions:g}_{days}".replace(".", "_")
    where, made = ClickHouse(dsn=f"chdb://{directory / 'clickhouse'}", database=name), directory / f"{name}.made"
    kept = keep and made.is_file()
    town = Town(millions, where, where.prepare(), float(made.read_text()) if kept else time.time(), days)
    began = time.perf_counter()
    for table in ("daily_rollup", "daily_status") if kept else ("events",):
        town.client.command("TRUNCATE TABLE {t:Identifier}", parameters={"t": table})
    if not kept:
        town.fill()
    if keep:
        made.write_text(str(town.now))
    how = "kept" if kept else f"made in {time.perf_counter() - began:.0f} s"
    print(f"\n== {millions:g} million events ({town.rows('events'):,}) of {days} days, {how}", flush=True)
    return town


def _times(millions: float) -> tuple[int, int]:
    """How often questions of events are asked, and those of sums."""
    return (3, 7) if millions <= 1 else (1, 5) if millions <= 10 else (0, 5)


def _unfiltered(found: Measurements, town: Town, store: StatsService) -> None:
    """The same questions of events, then of sums; closing the days lies between."""
    few, many = _times(town.millions)
    thirty, year = _periods(town.now, "30d"), _periods(town.now, "12mo")
    yesterday = datetime.datetime.fromtimestamp(town.now, datetime.UTC).date() - DAY
    closed = _periods(town.now, "custom", yesterday - 29 * DAY, yesterday)
    one = _periods(town.now, "custom", yesterday, yesterday)
    compared = [Query(SITE, TOTALS, year), *dashboard(one)]
    found.asked("30 days, all panels, by scanning events", store, dashboard(thirty), few)
    if town.millions <= 10:
        found.asked("12 months, all panels, by scanning events", store, dashboard(year), min(few, 1))
    scanned = found.asked("12 months' totals, a day's panels, by scanning", store, compared, 0)
    _close(found, town)
    summed = found.asked("12 months' totals, a day's panels, from daily", store, compared, 0)
    found.same("answers of events and of sums", scanned, summed)
    found.asked("30 closed days, all panels, from daily", store, dashboard(closed), many)
    found.asked("30 closed days, a site's page, from daily", store, dashboard(closed, None, PAGE_OF), many)
    shared = StatsService(
        lambda limits: town.database.client(readonly=True, settings=limits | BENCH_LIMITS), cache_seconds=CACHE_SECONDS
    )
    found.asked("the same, read again after new events", shared, dashboard(closed, None, PAGE_OF), many, anew=True)
    shared.close()
    found.asked("30 days with today, all panels, from daily", store, dashboard(thirty), many)
    found.asked("30 days with today, a site's page, from daily", store, dashboard(thirty, None, PAGE_OF), many)
    found.asked("12 months, all panels, from daily", store, dashboard(year), many)


def _periods(now: float, name: str, first: datetime.date | None = None, last: datetime.date | None = None) -> Period:
    return parse_period(name, "UTC", datetime.datetime.fromtimestamp(now, datetime.UTC), first, last)


def _close(found: Measurements, town: Town) -> None:
    """Close every day that is over."""
    sites = Sites(DocumentTable(town.client, "sites", Site))
    asyncio.run(sites.change(Site(domain=SITE)))
    began, used = time.perf_counter(), time.process_time()
    RollupJob(town.client, sites, lambda: town.now).close_due()
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    found.line(
        "closing, per million events",
        Took(1000 * seconds / town.millions, 1000 * processor / town.millions),
    )
    town.client.command("OPTIMIZE TABLE daily_rollup FINAL")
    found.line("bytes per event in events", town.bytes("events") / town.rows("events"))
    found.line("bytes per event in daily", town.bytes("daily_rollup") / town.rows("events"))
    found.line("rows per event in daily", town.rows("daily_rollup") / town.rows("events"))


def _beside(found: Measurements, town: Town, store: StatsService, directory: Path) -> None:
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
    parser.add_argument("--paths", action="store_true", help="funnels and journeys alone")
    parser.add_argument("--alone", action="store_true", help="without Runlight")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the events in DIR, or use those that are there")
    given = parser.parse_args(arguments)
    ends = time.monotonic() + 60 * given.minutes
    right = True
    with tempfile.TemporaryDirectory() as passing:
        directory = given.keep.resolve() if given.keep else Path(passing)
        for millions in given.millions:
            keep, beside = given.keep is not None, millions == 1 and not given.alone
            if given.paths:
                found = Measurements(millions, ends)
                report_paths(found, directory, keep=keep)
            else:
                found = report(millions, directory, ends, beside=beside, keep=keep)
            right &= found.right
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
