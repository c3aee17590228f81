"""docs/metrics.md cell by cell: the model says by hand-counted examples what it says, and the store agrees with it."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.event import Event
from collector.sites.goals import Goal
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from tests.model import OTHER, Model, Question
from tests.questions import cells, query_of
from tests.towns import EVENTS, FIRST, SITE, ZONE, random_events

VISITS = ("visits", "views_per_visit", "bounce_rate", "visit_duration")
COUNTS = ("visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration")
DAY = datetime.date(2026, 5, 20)
MORNING = int(datetime.datetime(2026, 5, 20, 8, tzinfo=datetime.UTC).timestamp())


def question(*metrics: str, dimensions: Sequence[str] = (), filters: Sequence[Any] = (), **more: Any) -> Question:
    """A question about the one day of the examples."""
    given: dict[str, Any] = {"first": DAY, "last": DAY} | more
    return Question(SITE, metrics, dimensions=tuple(dimensions), filters=filters, **given)


def visit(visitor: int, *steps: tuple[str, str, int], at: int = MORNING, **columns: Any) -> list[Event]:
    """One visit of events, each with its name, page and seconds since the first."""
    return [
        Event(
            site=SITE, day=datetime.datetime.fromtimestamp(at + after, datetime.UTC).date(), ts=at + after,
            visitor=visitor, visit=at, name=name, page=page, consent="granted", entry_page=steps[0][1], seq=number + 1,
            visits=int(number == 0), bounces={0: 1, 1: -1}.get(number, 0),
            seconds=after - steps[number - 1][2] if number else 0, expires=datetime.date(2100, 1, 1), **columns,
        )
        for number, (name, page, after) in enumerate(steps)
    ]  # fmt: skip


def buyers(count: int = 6) -> list[Event]:
    """People who view `/`, view `/x`, and buy on `/x`."""
    steps = (("pageview", "/", 0), ("pageview", "/x", 10), ("Buy", "/x", 30))
    return [event for number in range(1, count + 1) for event in visit(number, *steps)]


PAGE_X = ["is", "event:page", ["/x"]]


def test_a_page_filter_takes_whole_visits() -> None:
    """Visits that contain the page count with all of their pageviews and seconds."""
    model = Model(buyers(), min_visitors=3)
    asked = question("visitors", *COUNTS[1:], filters=[PAGE_X])
    assert model.rows(asked) == {(): (6, 6, 6, 12, 2.0, 0, 30)}
    assert model.rows(replace(asked, filters=(), dimensions=("event:page",)))[("/x",)] == (6, 6, 6, 12, 2.0, 0, 30)


def test_a_page_goal_counts_the_pageviews_of_the_page() -> None:
    """Not the other events on it."""
    model = Model(buyers(), [Goal(name="Saw x", kind="page", match="/x")], min_visitors=3)
    asked = question("visitors", "events", "conversion_rate", dimensions=["event:goal"])
    assert model.rows(asked) == {("Saw x",): (6, 6, 100.0)}


def test_an_event_filter_keeps_the_metrics_of_visits() -> None:
    """By goal and by name; and of pageviews alone the events are the pageviews."""
    model = Model(buyers(), min_visitors=3)
    assert model.rows(question(*VISITS, filters=[["is", "event:goal", ["Buy"]]])) == {(): (6, 2.0, 0, 30)}
    assert model.rows(question("events", filters=[["is", "event:name", ["pageview"]]])) == {(): (12,)}


def test_returning_visitors_have_several_visits_on_one_day() -> None:
    """Also where the filter selects but one of these; withheld where they, or those who do not return, are few."""
    later, asked = MORNING + 3 * 3600, question("visitors", "returning_visitors", "returning_rate")
    again = [event for number in (1, 2, 3) for event in visit(number, ("pageview", "/again", 0), at=later)]
    model = Model([*buyers(), *again], min_visitors=3)
    assert model.rows(asked) == {(): (6, 3, 50.0)}
    assert model.rows(replace(asked, filters=[PAGE_X])) == {(): (6, 3, 50.0)}
    assert model.rows(replace(asked, filters=[["is", "event:page", ["/again"]]])) == {(): (3, 3, 100.0)}
    few = Model([*buyers(), *again[:2]], min_visitors=3)
    assert few.rows(asked) == {(): (6, None, None)}
    assert Model([*buyers(4), *again], min_visitors=3).rows(asked) == {(): (4, None, None)}
    assert Model(buyers(), min_visitors=3).rows(asked) == {(): (6, 0, 0.0)}


def test_a_small_filtered_view_is_hidden() -> None:
    """Its total, its rows and its buckets; the same without a filter is exact."""
    model = Model(buyers(2), min_visitors=3)
    hidden = question("visitors", filters=[PAGE_X])
    assert model.answer(hidden).hidden == {()}
    assert model.rows(hidden) == model.rows(replace(hidden, dimensions=("event:page",))) == {}
    assert (str(DAY),) in model.answer(replace(hidden, dimensions=("time:day",))).hidden
    assert model.rows(question("visitors", dimensions=["event:page"])) == {("/",): (2,), ("/x",): (2,)}


def test_small_rows_are_folded_into_one() -> None:
    """It counts distinct visitors; where it is small itself, the next smallest row joins it."""
    towns = {"SE": 5, "NO": 3, "DK": 1, "FI": 1}
    people = iter(range(1, 100))
    events = [
        event
        for country, count in towns.items()
        for _ in range(count)
        for event in visit(next(people), ("pageview", "/", 0), ("pageview", "/x", 9), country=country)
    ]
    asked = question("visitors", "pageviews", dimensions=["visit:country"], filters=[PAGE_X])
    found = Model(events, min_visitors=3).answer(asked)
    assert found.rows == {("SE",): (5, 5), (OTHER,): (5, 5)}
    assert found.other == {(OTHER,): frozenset({("NO",), ("DK",), ("FI",)})}


def test_a_person_in_several_small_rows_counts_once_in_their_sum() -> None:
    """Two people who each viewed two rare pages are two, and the next row joins them."""
    events = [*buyers(4), *visit(9, ("pageview", "/", 0), ("pageview", "/a", 1), ("pageview", "/b", 2))]
    events += visit(8, ("pageview", "/", 0), ("pageview", "/a", 1), ("pageview", "/b", 2))
    asked = question("visitors", dimensions=["event:page"], filters=[["is_not", "visit:country", ["SE"]]])
    assert Model(events, min_visitors=3).rows(asked) == {("/",): (6,), (OTHER,): (6,)}


def test_days_are_complete_in_themselves() -> None:
    """One who stays past midnight is a visitor and a visit of each day; each bounces, and lasts no time."""
    late = MORNING + 16 * 3600 - 300
    events = [*visit(1, ("pageview", "/", 0), at=late), *visit(2, ("pageview", "/x", 0), at=late + 600)]
    events += visit(3, ("pageview", "/", 0))
    found = Model(events).rows(question(*VISITS, dimensions=["time:day"], last=DAY + datetime.timedelta(days=1)))
    assert found == {("2026-05-20",): (2, 1.0, 100, 0), ("2026-05-21",): (1, 1.0, 100, 0)}


def test_hours_count_each_visit_once() -> None:
    """Visitors count in every hour that they are seen in, visits where they began, also under a filter."""
    events = visit(1, ("pageview", "/", 0), ("pageview", "/x", 1500), at=MORNING + 3000)
    by_hour = question("visitors", "visits", "pageviews", dimensions=["time:hour"])
    first, second = ("2026-05-20 08:00:00",), ("2026-05-20 09:00:00",)
    assert Model(events).rows(by_hour) == {first: (1, 1, 1), second: (1, 0, 1)}
    assert Model(events).rows(replace(by_hour, filters=[PAGE_X])) == {first: (0, 1, 0), second: (1, 0, 1)}


FILTERS: tuple[list[Any], ...] = (
    [],
    [["is", "visit:country", ["SE"]]],
    [["is_not", "visit:browser", ["Firefox"]]],
    [["is", "event:page", ["/a"]]],
    [["is", "event:goal", ["Signup"]]],
    [["is", "event:name", ["pageview"]]],
    [["is", "event:goal", ["Visit /b"]]],
    [["contains", "event:page", ["/b"]], ["is", "visit:source", ["Google"]]],
    [["has_done", ["is", "event:name", ["Signup"]]]],
)
DIMENSIONS: dict[tuple[str, ...], tuple[str, ...]] = {
    (): COUNTS,
    **{
        (name,): (*COUNTS, "percentage")
        for name in (
            "visit:country", "visit:entry_page", "visit:exit_page", "visit:device", "visit:consent", "event:name",
            "event:hostname", "event:props:plan", "time:day", "time:week", "time:month",
        )
    },
    ("visit:country", "visit:source"): COUNTS,
    ("event:page",): ("visitors", "visits", "pageviews", "events", "bounce_rate", "time_on_page", "scroll_depth"),
    ("time:day", "event:page"): ("visitors", "visits", "pageviews", "events", "bounce_rate"),
    ("event:goal",): (*COUNTS, "conversion_rate", "group_conversion_rate", "total_revenue", "average_revenue"),
}  # fmt: skip


@pytest.fixture
def store(clickhouse: ClickHouse, database: Client) -> Iterator[StatsService]:  # noqa: ARG001 - the schema must be there
    """A store over the fresh database that hides nothing."""
    opened = StatsService(
        lambda limits: clickhouse.client(readonly=True, settings=limits),
        protection=lambda _: Protection(min_visitors=1),
        workers=2,
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_the_store_agrees_with_the_model(database: Client, store: StatsService, filters: list[Any]) -> None:
    """Every dimension and its metrics, under each kind of filter."""
    events = random_events(3, 6, 9)
    ClickHouseInserter(database).insert(events, "town")
    model = Model(events)
    last = FIRST + datetime.timedelta(days=6)
    asked = [Question(SITE, names, FIRST, last, by, filters, zone=ZONE) for by, names in DIMENSIONS.items()]
    for each, result in zip(asked, asyncio.run(store.run([query_of(each) for each in asked])), strict=True):
        assert {row.dimensions: cells(each, row) for row in result.rows} == model.rows(each), each


def test_the_town_has_what_is_hard_to_count() -> None:
    """Visits with two events in one second, anonymous events, several currencies, engagement."""
    events = random_events(1, 9, 9)
    pairs = {(event.visitor, event.ts) for event in events if event.visitor}
    assert len(pairs) < sum(event.visitor != 0 for event in events)
    assert {event.currency for event in events} >= {"SEK", "EUR", ""}
    assert {event.name for event in events} == {"pageview", "engagement", *EVENTS}
    assert any(event.visitor == 0 for event in events)
