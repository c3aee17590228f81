"""What questions cost at one, ten and a hundred million events: `python -m bench.scale [MILLIONS …]`.

The events are made inside ClickHouse: 90 days up to now, skewed as real ones are (few pages and sources get most
views, visitors return within a day, campaigns are a tenth). Every figure is measured in one run, in this order: raw
questions, closing the days, the same questions from their sums. Times are medians of wall clock; the processor's time
of all threads stands beside, as other work on the machine does not change it.
"""

from __future__ import annotations

import asyncio
import datetime
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from collector.clickhouse import ClickHouse
from collector.records import Records
from collector.rollup import Rollup
from collector.sites import Site, Sites
from dashboard.filters import All, Filter, is_
from dashboard.period import Period, parse_period
from dashboard.query import Query
from dashboard.store import Store

SITE = "scale.example"
DAYS = 90
EVENTS_PER_VISIT = 2.85
TOTALS = ("visitors", "visits", "pageviews", "bounce_rate", "visit_duration", "views_per_visit")
PANELS = (
    "visit:channel", "visit:source", "visit:referrer", "visit:utm_campaign", "event:page", "visit:entry_page",
    "visit:exit_page", "visit:country", "visit:browser", "visit:os", "visit:device", "visit:size", "event:goal",
)  # fmt: skip
ONE = is_("visit:country", "C1")
TWO = All((ONE, is_("visit:browser", "B1")))
THREE = All((ONE, is_("visit:browser", "B1"), is_("visit:source", "S1")))
PAGE = is_("event:page", "/p0")

MAKE = """
INSERT INTO events (site, day, ts, visitor, visit, name, consent, hostname, page, entry_page, referrer, source, channel,
    utm_source, utm_medium, utm_campaign, country, browser, browser_version, os, os_version, device, size,
    visits, bounces, seconds, expires)
SELECT {site:String}, day, toDateTime(start + step * gap, 'UTC'), visitor, start,
    if(step > 0 AND cityHash64(n, step, 9) % 50 = 0, concat('Goal ', toString(n % 7)), 'pageview'), 'granted',
    'scale.example', if(step = 0, entry, concat('/p', toString(zipf(cityHash64(n, step), 3000)))), entry,
    if(source = '', '', concat(lower(source), '.example/', toString(zipf(cityHash64(n, 11), 20)))), source,
    if(source = '', 'Direct', if(n % 3 = 0, 'Organic Search', 'Referral')),
    if(n % 10 = 0, concat('u', toString(n % 5)), ''), if(n % 10 = 0, 'mail', ''),
    if(n % 10 = 0, concat('campaign ', toString(zipf(cityHash64(n, 12), 40))), ''),
    concat('C', toString(zipf(cityHash64(visitor, 1), 120))), concat('B', toString(zipf(cityHash64(visitor, 2), 12))),
    toString(100 + zipf(cityHash64(visitor, 3), 30)), concat('O', toString(zipf(cityHash64(visitor, 4), 8))),
    toString(10 + zipf(cityHash64(visitor, 5), 6)),
    ['desktop', 'mobile', 'tablet'][1 + zipf(cityHash64(visitor, 6), 3)],
    ['xl', 'lg', 'md', 'sm', 'xs'][1 + zipf(cityHash64(visitor, 7), 5)],
    step = 0, if(step = 0, 1, if(step = 1, -1, 0)), if(step = 0, 0, gap), toDate('2100-01-01')
FROM (
    WITH (h, k) -> toUInt32(floor(pow(k, (h % 1000003) / 1000003.) - 1)) AS zipf
    SELECT number AS n, {first:Date} + intDiv(n * {days:UInt32}, {visits:UInt64}) AS day,
        cityHash64(day, cityHash64(n, 20) % toUInt64({visits:UInt64} / {days:UInt32} * 0.8)) AS visitor,
        toUnixTimestamp(toDateTime(day, 'UTC')) + (cityHash64(n, 21) % 72000 + cityHash64(n, 22) % 14000) AS start,
        5 + cityHash64(n, 23) % 200 AS gap, concat('/p', toString(zipf(cityHash64(n, 24), 3000))) AS entry,
        if(n % 3 = 1, '', concat('S', toString(zipf(cityHash64(n, 25), 400)))) AS source,
        arrayJoin(range(if(cityHash64(n, 26) % 100 < 45, 1, 2 + cityHash64(n, 27) % 6))) AS step
    FROM numbers({begin:UInt64}, {count:UInt64})
)"""
# The lambda is no function of its own in SQL: put in by text.
ZIPF = "toUInt32(floor(pow({k}, ({h} % 1000003) / 1000003.) - 1))"


def _with_zipf(sql: str) -> str:
    """Replace `zipf(hash, k)` by its expression."""
    while (at := sql.find("zipf(cityHash64(")) >= 0:
        end = sql.index(")", at + len("zipf(cityHash64(")) + 1
        hashed = sql[at + len("zipf(") : end]
        close = sql.index(")", end)
        sql = sql[:at] + ZIPF.format(h=hashed, k=sql[end:close].strip(", ")) + sql[close + 1 :]
    return sql.replace("WITH (h, k) -> toUInt32(floor(pow(k, (h % 1000003) / 1000003.) - 1)) AS zipf\n", "")


@dataclass
class Town:
    """One made-up site with so many million events."""

    millions: int
    database: ClickHouse
    client: Client
    now: float

    def fill(self) -> None:
        """Make the events, a million visits at a time."""
        visits = int(self.millions * 1_000_000 / EVENTS_PER_VISIT)
        first = datetime.datetime.fromtimestamp(self.now, datetime.UTC).date() - datetime.timedelta(DAYS - 1)
        make = _with_zipf(MAKE)
        for begin in range(0, visits, 1_000_000):
            given = {"site": SITE, "first": first, "days": DAYS, "visits": visits, "begin": begin}
            self.client.command(make, parameters=given | {"count": min(1_000_000, visits - begin)})
        self.client.command("OPTIMIZE TABLE events FINAL")

    def bytes(self, table: str) -> int:
        """Bytes on disk of a table's data."""
        sql = (
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = {d:String} AND table = {t:String}"
        )
        return int(self.client.query(sql, parameters={"d": self.database.database, "t": table}).result_rows[0][0])

    def rows(self, table: str) -> int:
        """Rows of a table."""
        sql = "SELECT count() FROM {t:Identifier}"
        return int(self.client.query(sql, parameters={"t": table}).result_rows[0][0])


def period(name: str, now: float) -> Period:
    """A period as of now."""
    return parse_period(name, "UTC", datetime.datetime.fromtimestamp(now, datetime.UTC))


def dashboard(dates: Period, filters: Filter | None = None) -> list[Query]:
    """Every question of one page view: totals, chart, and all panels; each with its comparison for the totals."""
    return [
        Query(SITE, TOTALS, dates, (), filters),
        Query(SITE, TOTALS, dates.previous(), (), filters),
        Query(SITE, ("visitors",), dates, ("time",), filters, limit=1000),
        *(Query(SITE, ("visitors",), dates, (name,), filters, limit=10) for name in PANELS),
    ]


@dataclass(frozen=True)
class Took:
    """Median of wall clock and of the processor's time, in milliseconds."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:9,.0f} {self.processor:9,.0f}"


def measure(work: Callable[[], object], times: int) -> Took:
    """Do the work once to warm up, then so many times."""
    work()
    walls, processors = [], []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        work()
        walls.append(1000 * (time.perf_counter() - began))
        processors.append(1000 * (time.process_time() - used))
    return Took(statistics.median(walls), statistics.median(processors))


def report(millions: int, directory: Path) -> None:
    """Make the town and print its table."""
    now = time.time()
    where = ClickHouse(dsn=f"chdb://{directory / 'clickhouse'}", database=f"scale_{millions}")
    town = Town(millions, where, where.prepare(), now)
    began = time.perf_counter()
    town.fill()
    print(f"\n== {millions} million events ({town.rows('events'):,}), made in {time.perf_counter() - began:.0f} s")
    print(f"{town.bytes('events') / town.rows('events'):.1f} bytes per event in events")
    store = Store(lambda limits: where.client(readonly=True, settings=limits | {"max_execution_time": 300}))

    def asked(queries: Sequence[Query]) -> Callable[[], object]:
        return lambda: asyncio.run(store.run(queries))

    times = 3 if millions < 10 else 1
    print(f"{'milliseconds':44} {'wall':>9} {'processor':>9}")
    raw = measure(asked(dashboard(period("30d", now))), times)
    print(f"{'30 days, all panels, by scanning events':44} {raw}")
    for title, filters in (("one", ONE), ("two", TWO), ("three", THREE), ("a page", PAGE)):
        took = measure(asked(dashboard(period("30d", now), filters)), times)
        print(f"{'30 days, all panels, filtered by ' + title:44} {took}")
    sites = Sites(Records(town.client, "sites", Site))
    asyncio.run(sites.change(Site(domain=SITE)))
    began, used = time.perf_counter(), time.process_time()
    days = Rollup(town.client, sites, lambda: now).close_due()
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    print(f"closing {days} days: {seconds:.1f} s, processor {processor:.1f} s")
    print(f"closing, per million events: {seconds / millions:.2f} s, processor {processor / millions:.2f} s")
    town.client.command("OPTIMIZE TABLE daily FINAL")
    print(f"{town.bytes('daily') / town.rows('events'):.2f} bytes per event in daily ({town.rows('daily'):,} rows)")
    yesterday = datetime.datetime.fromtimestamp(now, datetime.UTC).date() - datetime.timedelta(1)
    closed = parse_period(
        "custom", "UTC", datetime.datetime.now(datetime.UTC), yesterday - datetime.timedelta(29), yesterday
    )
    for title, dates in (
        ("30 closed days", closed),
        ("30 days with today", period("30d", now)),
        ("12 months", period("12mo", now)),
    ):
        took = measure(asked(dashboard(dates)), 7)
        print(f"{title + ', all panels, from daily':44} {took}")
    for title, filters in (("one", ONE), ("a page", PAGE)):
        took = measure(asked(dashboard(period("30d", now), filters)), times)
        print(f"{'30 days, filtered by ' + title + ', days closed':44} {took}")
    print(f"memory peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    store.close()
    town.client.command("DROP DATABASE {d:Identifier} SYNC", parameters={"d": where.database})


def main(arguments: Sequence[str]) -> int:
    """Sizes in millions; 1 and 10 when none are given."""
    with tempfile.TemporaryDirectory() as directory:
        for millions in [int(each) for each in arguments] or [1, 10]:
            report(millions, Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
