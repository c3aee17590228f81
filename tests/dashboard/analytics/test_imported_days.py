"""Imported days in queries: totals and breakdowns have them, what needs single events leaves them out and says so."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.analytics.filters import Compare, Filter, FunnelPath, is_
from dashboard.analytics.funnels_service import FunnelQuery, run_funnel
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from tests.collector.imports.imported import DOMAIN, SAMPLES, Importing

FIRST, LAST = datetime.date(2026, 1, 10), datetime.date(2026, 1, 16)


@pytest.fixture
def stats(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[StatsService]:
    """Queries of a site that has imported three days."""
    Importing(database, tmp_path).take(SAMPLES / "plausible" / "example_com_20260115.zip")
    service = StatsService(lambda settings: clickhouse.client(readonly=True, settings=settings), workers=1)
    yield service
    service.close()


def ask(stats: StatsService, *metrics: str, dimensions: tuple[str, ...] = (), filters: Filter | None = None) -> Result:
    """The answer of the week."""
    period = Period("custom", "Europe/Stockholm", FIRST, LAST)
    query = Query(DOMAIN, metrics, period, dimensions=dimensions, filters=filters)
    (found,) = asyncio.run(stats.run([query]))
    return found


def test_totals_have_imported_days(stats: StatsService) -> None:
    """As closed days do; `all` begins with the first of them."""
    found = ask(stats, "visitors", "visits", "pageviews", "bounce_rate")
    assert found.rows[0].metrics[:3] == (6, 7, 11)
    assert (len(found.imported), len(found.imported_left_out)) == (3, 0)
    assert asyncio.run(stats.first_day(DOMAIN)) == datetime.date(2026, 1, 12)


@pytest.mark.parametrize(
    ("dimension", "value", "visitors"),
    [("event:page", "/", 3), ("visit:source", "Google", 1), ("visit:channel", "Direct", 4), ("visit:country", "SE", 1)],
)
def test_panels_have_imported_days(stats: StatsService, dimension: str, value: str, visitors: int) -> None:
    """Each by its own sums."""
    found = ask(stats, "visitors", dimensions=(dimension,))
    assert {row.dimensions[0]: row.metrics[0] for row in found.rows}[value] == visitors
    assert not found.imported_left_out


def test_a_filter_leaves_imported_days_out_and_says_so(stats: StatsService) -> None:
    """Sums cannot be filtered; nor have they two dimensions."""
    filtered = ask(stats, "visitors", filters=Compare("is", "visit:country", ("SE",)))
    assert (len(filtered.imported), len(filtered.imported_left_out)) == (0, 3)
    crossed = ask(stats, "visitors", dimensions=("event:page", "visit:source"))
    assert (len(crossed.imported), len(crossed.imported_left_out)) == (0, 3)


def test_a_funnel_leaves_imported_days_out_and_says_so(stats: StatsService) -> None:
    """It needs the single events."""
    path = FunnelPath((is_("event:page", "/"), is_("event:page", "/x")))
    asked = FunnelQuery(DOMAIN, path, Period("custom", "Europe/Stockholm", FIRST, LAST))
    found = asyncio.run(run_funnel(stats, asked))
    assert (found.all, found.imported_days_left_out) == (0, 3)


def test_days_that_are_left_out_are_told_as_ranges() -> None:
    """Days that follow each other are one."""
    days = frozenset(datetime.date(2026, 1, day) for day in (12, 13, 14, 20))
    found = Result((), (), imported_left_out=days).left_out_ranges()
    assert [(first.day, last.day) for first, last in found] == [(12, 14), (20, 20)]
