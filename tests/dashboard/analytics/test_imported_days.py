"""Imported days in queries: totals and breakdowns have them, what needs single events leaves them out and says so."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.sites.goals import Goal
from collector.storage.client import ClickHouse
from dashboard.analytics.filters import Compare, Filter, FunnelPath, is_
from dashboard.analytics.funnels_service import FunnelQuery, run_funnel
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from tests.collector.imports.imported import DOMAIN, SAMPLES, Importing

FIRST, LAST = datetime.date(2026, 1, 10), datetime.date(2026, 1, 16)


GOALS: list[Goal] = []


@pytest.fixture
def importing(database: Client, tmp_path: Path) -> Importing:
    """A site that imports files."""
    return Importing(database, tmp_path)


@pytest.fixture
def empty(clickhouse: ClickHouse) -> Iterator[StatsService]:
    """Queries of a site with these goals."""
    GOALS.clear()
    connect = lambda settings: clickhouse.client(readonly=True, settings=settings)  # noqa: E731 # what it is handed
    service = StatsService(connect, goals=lambda _: tuple(GOALS), workers=1)
    yield service
    service.close()


@pytest.fixture
def stats(empty: StatsService, importing: Importing) -> StatsService:
    """Queries of a site that has imported three days."""
    importing.take(SAMPLES / "plausible" / "example_com_20260115.zip")
    return empty


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


def test_goals_of_a_page_have_imported_days(stats: StatsService) -> None:
    """Its views and visitors are known; those of pages by a pattern are not."""
    GOALS.extend([Goal(kind="page", match="/", name="Home"), Goal(kind="event", match="Signup", name="Signed up")])
    pages = {
        row.dimensions[0]: row.metrics for row in ask(stats, "visitors", "events", dimensions=("event:page",)).rows
    }
    named = {
        row.dimensions[0]: row.metrics for row in ask(stats, "visitors", "events", dimensions=("event:name",)).rows
    }
    found = ask(stats, "visitors", "events", dimensions=("event:goal",))
    assert {row.dimensions[0]: row.metrics for row in found.rows} == {"Home": pages["/"], "Signed up": named["Signup"]}
    assert (len(found.imported), len(found.imported_left_out)) == (3, 0)
    GOALS.append(Goal(kind="page", match="/blog/*", name="Blog"))
    mixed = ask(stats, "visitors", dimensions=("event:goal",))
    assert (list(mixed.rows), len(mixed.imported_left_out)) == ([], 3)


def test_a_goal_of_a_page_with_other_events_leaves_their_days_out(empty: StatsService, importing: Importing) -> None:
    """Its visitors may have done only these."""
    importing.take(SAMPLES / "umami" / "website_event.csv")
    GOALS.append(Goal(kind="page", match="/docs", name="With events"))
    assert ask(empty, "visitors", dimensions=("event:goal",)).imported_left_out == {datetime.date(2026, 1, 13)}
    GOALS[:] = [Goal(kind="page", match="/", name="Home")]
    assert not ask(empty, "visitors", dimensions=("event:goal",)).imported_left_out


def test_rates_divide_by_the_days_that_they_are_of(empty: StatsService, importing: Importing) -> None:
    """The visitors of a day that the goals leave out are in no share and no conversion rate."""
    importing.take(SAMPLES / "umami" / "website_event.csv")
    GOALS.extend([Goal(kind="page", match="/", name="Home"), Goal(kind="page", match="/docs", name="With events")])
    days = {row.dimensions[0]: row.metrics[0] or 0 for row in ask(empty, "visitors", dimensions=("time:day",)).rows}
    found = ask(empty, "visitors", "conversion_rate", dimensions=("event:goal",))
    assert found.imported
    assert found.imported_left_out
    visitors = sum(days.get(str(day), 0) for day in found.imported)
    assert 0 < visitors < sum(days.values())
    assert found.rows
    for row in found.rows:
        assert row.metrics[1] == round(100 * (row.metrics[0] or 0) / visitors, 1)


def test_exit_rates_have_imported_days(stats: StatsService) -> None:
    """Exits in percent of the page's views."""
    found = ask(stats, "visits", "exit_rate", dimensions=("visit:exit_page",))
    views = {row.dimensions[0]: row.metrics[0] for row in ask(stats, "pageviews", dimensions=("event:page",)).rows}
    assert len(found.rows) > 1
    for row in found.rows:
        exits, rate = row.metrics
        assert isinstance(exits, int)
        assert rate == round(100 * exits / (views[row.dimensions[0]] or 0), 1)
    assert (len(found.imported), len(found.imported_left_out)) == (3, 0)


def test_exit_rates_leave_days_out_whose_exits_or_views_are_not_known(
    empty: StatsService, importing: Importing
) -> None:
    """Exports without exit pages, and logs whose page views are no one's."""
    importing.take(
        SAMPLES / "plausible" / "imported_visitors_20260112_20260114.csv",
        SAMPLES / "plausible" / "imported_pages_20260112_20260114.csv",
    )
    found = ask(empty, "visits", "exit_rate", dimensions=("visit:exit_page",))
    assert (list(found.rows), len(found.imported_left_out)) == ([], 3)
