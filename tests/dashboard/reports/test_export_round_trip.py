"""Export and import of a site: every panel is as before, with goals, properties and revenue in two currencies."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.imports.export import export_daily
from collector.rollups.job import RollupJob
from collector.sites.goals import Goal
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from dashboard.analytics.goal_filters import goals_of
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from dashboard.reports.panels import PANELS
from tests.board import pageview
from tests.collector.imports.imported import DOMAIN, SAMPLES, Importing
from tests.length import long

NOON = 1_768_305_600  # 13 January 2026
FIRST, LAST = datetime.date(2026, 1, 10), datetime.date(2026, 1, 16)
GOALS = (Goal(name="Purchase", kind="event", match="Buy"), Goal(kind="event", match="signup"))
TOTALS = ("visitors", "visits", "pageviews", "events", "bounce_rate", "visit_duration", "views_per_visit")
OF_PAGES = ("visitors", "pageviews", "time_on_page", "scroll_depth", "bounce_rate")
DIMENSIONS = (*(tab.dimension for panel in PANELS for tab in panel.tabs if not tab.empty), "event:props:plan")


@pytest.fixture
def importing(database: Client, tmp_path: Path) -> Importing:
    """A site with goals."""
    return Importing(database, tmp_path, settings={"goals": GOALS})


@pytest.fixture
def stats(clickhouse: ClickHouse, importing: Importing) -> Iterator[StatsService]:
    """Queries of the site."""
    service = StatsService(
        lambda settings: clickhouse.client(readonly=True, settings=settings), goals=goals_of(importing.sites), workers=1
    )
    yield service
    service.close()


def seed(importing: Importing) -> None:
    """Two days of its own, and one that was imported."""
    importing.take(SAMPLES / "umami" / "website_event.csv")
    given = {"site": DOMAIN, "hostname": DOMAIN, "country": "SE", "browser": "Firefox", "os": "Linux", "size": "lg"}
    for day in (0, 1):
        at, events = NOON + 86_400 * day, []
        for number in range(1, 12):
            came = {"source": "Google", "channel": "Organic Search", "utm_campaign": "x"} if number % 2 else {}
            visit = {"visit": at + number, **given, **came}
            events.append(pageview(number, f"/page/{number % 3}", at + number, **visit))
            later = {"visits": 0, "bounces": 0, **visit}
            paid = {"name": "Buy", "props": {"plan": "pro" if number % 3 else ""}, "entry_page": f"/page/{number % 3}"}
            if number < 8:
                money = {"revenue": f"{number}.5", "currency": ("SEK", "EUR", "")[number % 3]}
                money = {} if not money["currency"] else money
                events.append(pageview(number, "/page/1", at + 60, seq=2, seconds=50, **later, **paid, **money))
            read = {"engaged": 4_000, "scroll": 80, "entry_page": "", "seq": 3}
            events.append(pageview(number, "/page/1", at + 70, name="engagement", **later, **read))
        ClickHouseInserter(importing.client).insert(events, f"seed {day}")
    RollupJob(importing.client, importing.sites, lambda: importing.now).close_due()


def asked() -> list[Query]:
    """Every panel, the strip and the chart."""
    period = Period("custom", "Europe/Stockholm", FIRST, LAST)
    revenue = ("total_revenue", "average_revenue")
    queries = [Query(DOMAIN, (*TOTALS, *revenue), period), Query(DOMAIN, (*TOTALS, *revenue), period, ("time:day",))]
    for dimension in DIMENSIONS:
        metrics: Sequence[str] = ("visitors", "events") if dimension.startswith("event:") else ("visitors", "visits")
        queries.append(Query(DOMAIN, (*metrics, *revenue), period, (dimension,), limit=100))
    queries.append(Query(DOMAIN, OF_PAGES, period, ("event:page",), limit=100))
    return queries


def answers(stats: StatsService) -> list[Result]:
    """What they are answered."""
    stats.clear_cache()
    return asyncio.run(stats.run(asked()))


@long
def test_every_panel_is_as_before(importing: Importing, stats: StatsService) -> None:
    """Row by row, with every metric; goals that are more than a name, and rates of exits, need events."""
    seed(importing)
    before = answers(stats)
    assert any(row.revenue and len(row.revenue) == 2 for row in before[0].rows)
    with export_daily(importing.client, importing.site, importing.directory) as exported:
        content = exported.read()
    for table in ("daily_rollup", "daily_status", "events"):
        importing.client.command(f"TRUNCATE TABLE {table} SYNC")
    assert answers(stats)[0].rows[0].metrics[0] == 0
    record = importing.take(("export.zip", content))
    assert set(record.report.left_out) == {"same_figures"}
    for query, first, second in zip(asked(), before, answers(stats), strict=True):
        assert second.rows == first.rows, query.dimensions
        assert not second.imported_left_out, query.dimensions
