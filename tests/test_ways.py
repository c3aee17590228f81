"""Which way questions are answered, told by the statements that the database is asked."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from clickhouse_connect.driver.client import Client

from collector.clickhouse import ClickHouse
from dashboard.filters import Done, Filter, is_
from dashboard.query import Query
from tests.listened import Heard, listened
from tests.test_rollup import DAY, Town
from tests.test_rollup import town as town  # the fixture
from tests.test_store import ALL, MONDAY, SITE, STORY, dates, event, seed

FILTERS: list[Filter | None] = [
    None,
    is_("visit:country", "SE"),
    is_("event:page", "/pricing"),
    is_("event:goal", "Signup"),
    is_("event:props:plan", "pro"),
    is_("visit:exit_page", "/pricing"),
    Done(is_("event:name", "Signup")),
]
PANELS = ("visit:source", "event:page", "visit:exit_page", "visit:country", "event:goal", "time:day")


def page(filters: Filter | None) -> list[Query]:
    """What a site's page asks: totals of a period and of the one before, and panels."""
    period = dates(MONDAY, MONDAY + DAY)
    return [
        Query(SITE, ALL, period, (), filters),
        Query(SITE, ALL, period.previous(), (), filters),
        *(Query(SITE, ("visitors", "visits", "pageviews"), period, (each,), filters) for each in PANELS),
    ]


@pytest.mark.parametrize("filters", FILTERS)
def test_a_page_about_few_events_is_one_reading(
    clickhouse: ClickHouse, database: Client, filters: Filter | None
) -> None:
    """Of both periods, of what the filter selects and of the wholes around it; nothing is counted by the database."""
    seed(database, [*STORY, event(4, "/", -86_400, day=MONDAY - DAY)])
    heard = Heard()
    with contextlib.closing(listened(clickhouse, heard)) as store:
        asyncio.run(store.run(page(filters)))
    assert (len(heard.reading), heard.counting) == (1, [])


def test_closed_days_are_read_once_and_open_ones_with_the_rest(
    clickhouse: ClickHouse, database: Client, town: Town
) -> None:
    """The second page about the same dates asks for no sums, whatever it is filtered by."""
    seed(database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    heard = Heard()
    with contextlib.closing(listened(clickhouse, heard)) as store:
        asyncio.run(store.run(page(is_("visit:country", "SE"))))
        first = len(heard.reading)
        asyncio.run(store.run(page(is_("visit:country", "NO"))))
    of_sums = ["FROM daily" in sql for sql in heard.reading]
    assert (first, of_sums.count(True), len(of_sums), heard.counting) == (2, 1, 2, [])


def test_many_events_are_counted_by_the_database(clickhouse: ClickHouse, database: Client) -> None:
    """Rows that were found to be too many are not read again."""
    seed(database, STORY)
    heard = Heard()
    total, _before, *panels = page(is_("event:page", "/pricing"))
    with contextlib.closing(listened(clickhouse, heard, most_few=1)) as store:
        asyncio.run(store.run([total, *panels]))
        tried, counted = len(heard.reading), len(heard.counting)
        asyncio.run(store.run([total, *panels]))
    assert counted > 0
    assert (len(heard.reading), len(heard.counting)) == (tried, 2 * counted)
