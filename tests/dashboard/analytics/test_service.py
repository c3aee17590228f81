"""Queries against real events: what is counted, by what, and of which events."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.event import Event
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from dashboard.analytics.current_visitors import current_visitors
from dashboard.analytics.errors import QueryError, QueryTooLarge
from dashboard.analytics.filters import Compare, Filter, HasDone, Not, is_
from dashboard.analytics.period import Period, parse_moments, parse_period
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.parameters import Statement

SITE = "example.com"
MONDAY = datetime.date(2026, 3, 2)
NOON = int(datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.UTC).timestamp())
Values = tuple[int | float | None, ...]


@pytest.fixture
def store(clickhouse: ClickHouse, database: Client) -> Iterator[StatsService]:  # noqa: ARG001 - the schema must be there
    """A store over the test's own database, which tells every count exactly."""
    opened = StatsService(
        lambda settings: clickhouse.client(readonly=True, settings=settings),
        protection=lambda _: Protection(min_visitors=1),
        workers=2,
    )
    yield opened
    opened.close()


def event(visitor: int, page: str, at: int = 0, **columns: Any) -> Event:
    """A pageview `at` seconds after noon, the only one of its visit unless `columns` say otherwise."""
    given: dict[str, Any] = {
        "site": SITE, "day": MONDAY, "ts": NOON + at, "visitor": visitor, "visit": NOON if visitor else 0,
        "name": "pageview", "consent": "granted", "hostname": SITE, "page": page, "entry_page": page,
        "visits": 1 if visitor else 0, "bounces": 1 if visitor else 0, "expires": datetime.date(2100, 1, 1),
    }  # fmt: skip
    return Event(**(given | columns))


def later(visitor: int, page: str, at: int, **columns: Any) -> Event:
    """An event that goes on with a visit, and no longer ends a bounce."""
    return event(visitor, page, at, **({"visits": 0, "bounces": 0} | columns))


# Visitor 1 reads two pages and signs up, 2 bounces, 3 bounces on another page; one pageview came without consent.
GOOGLER: dict[str, Any] = {"entry_page": "/", "source": "Google", "country": "SE", "browser": "Firefox"}
STORY = (
    event(1, "/", **GOOGLER),
    later(1, "/pricing", 30, **GOOGLER, bounces=-1, seconds=30),
    later(1, "/pricing", 50, **GOOGLER, name="Signup", seconds=20, props={"plan": "pro"}),
    later(1, "/pricing", 70, **GOOGLER, name="engagement", engaged=8_000, scroll=60),
    later(1, "/pricing", 80, **GOOGLER, name="engagement", engaged=4_000, scroll=40),
    event(2, "/", country="NO", browser="Chrome"),
    event(3, "/pricing", country="SE", browser="Chrome", source="Bing"),
    event(0, "/", consent="none"),
)


def seed(database: Client, events: Sequence[Event]) -> None:
    """StatsService events as the writer does."""
    ClickHouseInserter(database).insert(events, "seed")


def dates(first: datetime.date, last: datetime.date) -> Period:
    """The dates from first to last, in UTC."""
    return parse_period("custom", "UTC", datetime.datetime.fromtimestamp(NOON, datetime.UTC), first, last)


def ask(store: StatsService, *metrics: str, **more: Any) -> Result:
    """One query over the Monday."""
    day = dates(MONDAY, MONDAY)
    given: dict[str, Any] = {"site": SITE, "metrics": metrics, "period": day} | more
    return asyncio.run(store.run([Query(**given)]))[0]


def table(result: Result) -> dict[tuple[str, ...], Values]:
    """Rows by their dimensions."""
    return {row.dimensions: row.metrics for row in result.rows}


ALL = ("visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration")


def test_the_whole_site_is_counted(database: Client, store: StatsService) -> None:
    """Visitors and visits are of consenting people; pageviews are everyone's; engagement is no event."""
    seed(database, STORY)
    assert ask(store, *ALL).rows[0].metrics == (3, 3, 5, 6, 1.33, 67, 17)


def test_a_site_without_events_counts_zero(store: StatsService) -> None:
    """An empty site has one row of zeros, and no rows by any dimension."""
    assert ask(store, *ALL).rows[0].metrics == (0, 0, 0, 0, 0, 0, 0)
    assert ask(store, "visitors", dimensions=("visit:source",)).rows == []


@pytest.mark.parametrize(
    ("dimension", "rows"),
    [
        ("visit:source", [("Bing", 1, 1), ("Direct / None", 1, 2), ("Google", 1, 2)]),
        ("visit:country", [("SE", 2, 3), ("(not set)", 0, 1), ("NO", 1, 1)]),
        ("event:page", [("/", 2, 3), ("/pricing", 2, 2)]),
        ("visit:entry_page", [("/", 2, 3), ("/pricing", 1, 1), ("(not set)", 0, 1)]),
        ("visit:exit_page", [("/pricing", 2, 3), ("(not set)", 0, 1), ("/", 1, 1)]),
        ("event:goal", [("Signup", 1, 0)]),
        ("event:name", [("pageview", 3, 5), ("Signup", 1, 0)]),
        ("event:props:plan", [("(none)", 3, 5), ("pro", 1, 0)]),
        ("event:hostname", [(SITE, 3, 5)]),
        ("time:hour", [("2026-03-02 12:00:00", 3, 5)]),
        ("time:day", [("2026-03-02", 3, 5)]),
        ("time:week", [("2026-03-02", 3, 5)]),
        ("time:month", [("2026-03-01", 3, 5)]),
        ("time", [("2026-03-02 12:00:00", 3, 5)]),
    ],
)
def test_every_dimension_groups(
    database: Client, store: StatsService, dimension: str, rows: list[tuple[str, int, int]]
) -> None:
    """Visitors and pageviews by each dimension; empty values have a label."""
    seed(database, STORY)
    found = table(ask(store, "visitors", "pageviews", dimensions=(dimension,)))
    assert found == {(value,): (visitors, pageviews) for value, visitors, pageviews in rows}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (is_("visit:country", "SE"), (2, 2, 3, 4, 1.5, 50, 25)),
        (is_("visit:country", "SE", "NO"), (3, 3, 4, 5, 1.33, 67, 17)),
        (is_("visit:source", "Direct / None"), (1, 1, 2, 2, 1.0, 100, 0)),
        (Not(is_("visit:country", "SE")), (1, 1, 2, 2, 1.0, 100, 0)),
        # Events that are views of /pricing; of the visits with such an event, one entered there and bounced.
        (is_("event:page", "/pricing"), (2, 2, 2, 3, 1.5, 100, 25)),
        (is_("event:goal", "Signup"), (1, 1, 0, 1, 2.0, 0, 50)),
        (is_("event:goal", "Visit /pri*"), (2, 2, 2, 2, 1.5, 50, 25)),
        (is_("event:props:plan", "pro"), (1, 1, 0, 1, 2.0, 0, 50)),
        (is_("visit:exit_page", "/pricing"), (2, 2, 3, 4, 1.5, 50, 25)),
        (HasDone(is_("event:name", "Signup")), (1, 1, 2, 3, 2.0, 0, 50)),
        (Not(HasDone(is_("event:page", "/"))), (1, 1, 2, 2, 1.0, 100, 0)),
        (is_("event:name", "engagement"), (0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_filters_select_events_or_whole_visits(
    database: Client, store: StatsService, filters: Filter, expected: Values
) -> None:
    """A filter on events leaves those events, and visit metrics of the visits that contain one."""
    seed(database, STORY)
    assert ask(store, *ALL, filters=filters).rows[0].metrics == expected


def test_a_page_has_the_metrics_of_visits_that_contain_it(database: Client, store: StatsService) -> None:
    """Each as a whole; its bounce rate is of those that entered on it."""
    seed(database, STORY)
    found = table(ask(store, "visits", "bounce_rate", "visit_duration", dimensions=("event:page",)))
    assert found == {("/",): (2, 50, 25), ("/pricing",): (2, 100, 25)}


def test_by_goal_visit_metrics_are_of_visits_with_that_goal(database: Client, store: StatsService) -> None:
    """A visit with several different goals counts in each of them, as a whole."""
    seed(database, [*STORY, later(1, "/", 90, entry_page="/", name="Trial", seconds=40)])
    found = table(ask(store, "visits", "views_per_visit", "visit_duration", dimensions=("event:goal",)))
    assert found == {("Signup",): (1, 2.0, 90), ("Trial",): (1, 2.0, 90)}


def test_by_hour_a_visit_belongs_to_the_hour_it_began(database: Client, store: StatsService) -> None:
    """Its bounce ends an hour later, and still is its own."""
    began = NOON + 3590
    seed(database, [
        event(1, "/", 3590, visit=began),
        later(1, "/b", 3610, entry_page="/", visit=began, bounces=-1, seconds=20),
    ])  # fmt: skip
    found = table(ask(store, "pageviews", "bounce_rate", "visit_duration", dimensions=("time:hour",)))
    assert found == {("2026-03-02 12:00:00",): (1, 0, 20), ("2026-03-02 13:00:00",): (1, 0, 0)}


def test_reading_is_averaged_over_visits(database: Client, store: StatsService) -> None:
    """Time on page adds a visit's engagement up, scroll depth takes its deepest; then both are averaged."""
    seed(database, [*STORY, later(3, "/pricing", 9, name="engagement", engaged=2_000, scroll=100)])
    found = table(ask(store, "time_on_page", "scroll_depth", dimensions=("event:page",)))
    assert found == {("/pricing",): (7, 80), ("/",): (None, None)}


def test_rates_divide_by_their_wholes(database: Client, store: StatsService) -> None:
    """Percentage is of the query, conversion of everyone, group conversion of everyone in the group."""
    seed(database, STORY)
    share = table(ask(store, "percentage", dimensions=("visit:country",)))
    assert share == {("SE",): (66.7,), ("NO",): (33.3,), ("(not set)",): (0.0,)}
    signup = is_("event:goal", "Signup")
    rates = table(ask(store, "conversion_rate", "group_conversion_rate", dimensions=("visit:country",), filters=signup))
    assert rates == {("SE",): (33.3, 50.0)}


def test_visitors_of_days_add_up(database: Client, store: StatsService) -> None:
    """An id that by chance occurs on two days is two visitors."""
    seed(database, [event(1, "/"), event(1, "/", 86_400, day=MONDAY + datetime.timedelta(days=1))])
    period = dates(MONDAY, MONDAY + datetime.timedelta(1))
    assert ask(store, "visitors", period=period).rows[0].metrics == (2,)


def test_rows_are_ordered_and_paged(database: Client, store: StatsService) -> None:
    """By the first metric descending, then by name; or as asked; each page is where the one before ended."""
    seed(database, [event(visitor, f"/{visitor % 4}") for visitor in range(1, 11)])
    first = ask(store, "visitors", dimensions=("event:page",), limit=2, total_rows=True)
    assert [(row.dimensions[0], row.metrics[0]) for row in first.rows] == [("/1", 3), ("/2", 3)]
    assert first.total_rows == 4
    second = ask(store, "visitors", dimensions=("event:page",), limit=2, offset=2)
    assert [(row.dimensions[0], row.metrics[0]) for row in second.rows] == [("/0", 2), ("/3", 2)]
    order = (("visitors", "asc"), ("event:page", "desc"))
    turned = ask(store, "visitors", dimensions=("event:page",), order_by=order, limit=3)
    assert [row.dimensions[0] for row in turned.rows] == ["/3", "/0", "/2"]


def test_queries_asked_together_are_answered_as_if_alone(database: Client, store: StatsService) -> None:
    """Sharing a scan changes no answer."""
    seed(database, STORY)
    day = dates(MONDAY, MONDAY)
    asked = [
        Query(SITE, ALL, day),
        Query(SITE, ("visitors", "percentage"), day, ("visit:source",)),
        Query(SITE, ("visitors", "bounce_rate"), day, ("event:page",), limit=1),
        Query(SITE, ("pageviews",), day, ("event:page",)),
        Query(SITE, ALL, day, ("time:hour",)),
        Query(SITE, ("visitors",), day, ("visit:exit_page",)),
        Query(SITE, ("visitors",), day, ("visit:source", "visit:country"), order_by=(("visit:country", "asc"),)),
        Query(SITE, ALL, day, ("visit:country",), is_("event:page", "/pricing")),
    ]
    assert asyncio.run(store.run(asked)) == [asyncio.run(store.run([each]))[0] for each in asked]


def test_a_stretch_of_time_is_exact_to_the_second(database: Client, store: StatsService) -> None:
    """The last moment of a pair of moments is included, the next second is not."""
    seed(database, [event(1, "/", 0), event(2, "/", 60), event(3, "/", 61)])
    begins = datetime.datetime.fromtimestamp(NOON + 1, datetime.UTC)
    ends = datetime.datetime.fromtimestamp(NOON + 60, datetime.UTC)
    assert ask(store, "visitors", period=parse_moments(begins, ends, "UTC")).rows[0].metrics == (1,)


INJECTIONS = ("'", "\\", "');DROP TABLE events;--", "{p0:String}", "%s", "\0", "🎉", "\n", "a' OR 1=1 --", "\\'", "")


@pytest.mark.parametrize("text", INJECTIONS)
def test_values_are_data_and_nothing_else(database: Client, store: StatsService, text: str) -> None:
    """Whatever stands in a value finds exactly the events that have it."""
    name = text or "empty"
    seed(database, [event(1, "/" + text, source=name, props={name: text or "x"}), event(2, "/other", source="other")])
    for filters in (
        is_("event:page", "/" + text),
        is_("visit:source", name),
        is_("event:props:" + name, text or "x"),
    ):
        found = ask(store, "visitors", dimensions=("event:page",), filters=filters)
        assert [row.dimensions for row in found.rows] == [("/" + text,)]
    assert ask(store, "visitors", site=SITE + text + "x").rows[0].metrics == (0,)
    grouped = table(ask(store, "visitors", dimensions=("event:props:" + name,)))
    assert grouped == {(text or "x",): (1,), ("(none)",): (1,)}


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("metrics", {"metrics": ("clicks",)}),
        ("metrics", {"metrics": ()}),
        ("metrics", {"metrics": ("percentage",)}),
        ("metrics", {"metrics": ("conversion_rate",)}),
        ("metrics", {"metrics": ("time_on_page",)}),
        ("dimensions", {"dimensions": ("visit:shoe_size",)}),
        ("dimensions", {"dimensions": ("event:props:",)}),
        ("dimensions", {"dimensions": ("visit:source", "visit:source")}),
        ("order_by", {"order_by": (("pageviews", "desc"),)}),
        ("order_by", {"order_by": (("visitors", "sideways"),)}),
        ("metrics", {"metrics": ("returning_visitors",), "dimensions": ("visit:source",)}),
        ("filters", {"filters": is_("visit:shoe_size", "46")}),
        ("pagination", {"limit": 0}),
        ("pagination", {"offset": -1}),
    ],
)
def test_what_cannot_be_asked_names_its_field(store: StatsService, field: str, more: dict[str, Any]) -> None:
    """A query that cannot be answered says which field is wrong and what was expected."""
    with pytest.raises(QueryError) as caught:
        ask(store, **({"metrics": ("visitors",)} | more))
    assert caught.value.field == field


def test_a_bad_regular_expression_is_the_readers_error(database: Client, store: StatsService) -> None:
    """ClickHouse alone knows RE2's syntax; what it refuses is named as a filter."""
    seed(database, STORY)
    with pytest.raises(QueryError, match="RE2"):
        ask(store, "visitors", filters=Compare("matches", "event:page", ("(",)))


def test_current_visitors_were_here_within_five_minutes(database: Client, store: StatsService) -> None:
    """Counted by the clock of the database; without consent nobody is counted."""
    now = int(database.query("SELECT toUnixTimestamp(now())").result_rows[0][0])
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    seed(database, [
        event(1, "/", ts=now - 10, day=today), event(1, "/", ts=now - 5, day=today),
        event(2, "/", ts=now - 200, day=today),
        event(3, "/", ts=now - 400, day=today - datetime.timedelta(days=1)), event(0, "/", ts=now, day=today),
    ])  # fmt: skip
    assert asyncio.run(current_visitors(store, SITE)) == 2


def test_the_store_cannot_write_and_has_limits(clickhouse: ClickHouse, database: Client) -> None:  # noqa: ARG001
    """A query past its time is refused as too large, and its client takes no write."""
    slow = StatsService(
        lambda settings: clickhouse.client(readonly=True, settings=settings | {"max_execution_time": 0.2})
    )
    endless = Statement("SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1")
    with pytest.raises(QueryTooLarge):
        asyncio.run(slow._executor.rows(endless))
    with pytest.raises(Exception, match="readonly"):
        slow._executor._clients.get().command("DROP TABLE events")
    slow.close()


SLOW = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
RUNNING = (
    "SELECT count() FROM system.processes WHERE query LIKE '%numbers(1000000000000)%' AND query NOT LIKE '%processes%'"
)


def running(database: Client) -> int:
    """How many slow statements the engine is at."""
    return int(database.query(RUNNING).result_rows[0][0])


def test_a_question_that_nobody_waits_for_is_ended(
    database: Client, store: StatsService, caplog: pytest.LogCaptureFixture
) -> None:
    """When its reader goes away the engine stops at once, long before its time limit, and nothing is logged."""

    async def leave() -> None:
        asking = asyncio.create_task(store._executor.rows(Statement(SLOW)))
        await until(lambda: running(database) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: running(database) == 0)
        store.close()
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(leave())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


LONG = "SELECT number, text FROM long WHERE number < {many:UInt64} ORDER BY number"


def test_what_a_stopped_statement_leaves_is_in_no_other_result(clickhouse: ClickHouse, database: Client) -> None:
    """At whichever moment it is stopped: the next on the same connection gets its own rows, and all of them."""
    database.command("CREATE TABLE long (number UInt64, text String) ENGINE = MergeTree ORDER BY number")
    database.command("INSERT INTO long SELECT number, toString(number) FROM numbers(150000)")
    store = StatsService(lambda settings: clickhouse.client(readonly=True, settings=settings), workers=1)

    async def leave_and_ask() -> None:
        for turn in range(12):
            asking = asyncio.create_task(store._executor.rows(Statement(LONG, {"many": 120_000 + turn})))
            await asyncio.sleep(turn / 400)
            asking.cancel()
            await asyncio.wait([asking])
            rows = await store._executor.rows(Statement(LONG, {"many": turn + 1}))
            assert rows == [(number, str(number)) for number in range(turn + 1)]

    asyncio.run(leave_and_ask())
    store.close()


async def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until it holds. Fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
