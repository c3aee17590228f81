"""Small counts: exact or hidden, in every table; rounded under `strict`; in steps for guests."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from collector.ingest.event import Event
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.analytics.aggregation import resolve
from dashboard.analytics.executor import QueryExecutor
from dashboard.analytics.filters import And, Compare, Filter, FunnelPath, Not, is_
from dashboard.analytics.funnels_service import FunnelQuery, run_funnel
from dashboard.analytics.journeys import Journey
from dashboard.analytics.journeys_query import run_journey
from dashboard.analytics.metrics import component_names
from dashboard.analytics.period import parse_moments, parse_period
from dashboard.analytics.query import OTHER, Query, Result, Row
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.parameters import Statement
from dashboard.analytics.sql.statement import build_series
from dashboard.reports.comparison import same_length
from dashboard.reports.realtime_figures import realtime_figures
from tests.dashboard.analytics.test_service import MONDAY, NOON, SITE, dates, event, later, seed
from tests.length import by_length

M = 3
COUNTS = ("visitors", "visits", "pageviews", "events")
NOTHING: dict[str, Any] = {"name": "Buy", "page": "/x", "entry_page": "/"}


def opened(clickhouse: ClickHouse, protection: Protection | None = None, now: float = NOON + 40_000) -> StatsService:
    """A service with the default protection unless another is given, on the Monday."""
    return StatsService(
        lambda limits: clickhouse.client(readonly=True, settings=limits),
        protection=lambda _: protection or Protection(),
        workers=2,
        clock=lambda: now,
    )


@pytest.fixture(params=["member", "guest"])
def stats(request: pytest.FixtureRequest, clickhouse: ClickHouse, database: Client) -> Iterator[StatsService]:  # noqa: ARG001
    """The service as members and as guests read it, the day after the Monday."""
    service = opened(clickhouse, now=NOON + 86_400)
    yield service.as_guest() if request.param == "guest" else service
    service.close()


def ask(stats: StatsService, *metrics: str, **more: Any) -> Result:
    """One query over the Monday."""
    asked: dict[str, Any] = {"site": SITE, "metrics": metrics, "period": dates(MONDAY, MONDAY), "limit": 1_000} | more
    return asyncio.run(stats.run([Query(**asked)]))[0]


def table(result: Result) -> dict[tuple[str, ...], tuple[int | float | None, ...]]:
    """Rows by their values."""
    return {row.dimensions: row.metrics for row in result.rows}


def test_a_filtered_view_of_whole_visits_is_exact(database: Client, stats: StatsService) -> None:
    """Six people view two pages and buy: by page, event and goal every metric is that of their whole visits."""
    people = range(1, 7)
    seed(database, [
        *(event(n, "/") for n in people), *(later(n, "/x", 10, entry_page="/", bounces=-1, seconds=10) for n in people),
        *(later(n, "/x", 30, entry_page="/", name="Buy", seconds=20) for n in people),
    ])  # fmt: skip
    metrics = (*COUNTS, "views_per_visit", "bounce_rate", "visit_duration")
    for filters, counted in (
        (is_("event:page", "/x"), (6, 6, 6, 12)),
        (is_("event:name", "pageview"), (6, 6, 12, 12)),
        (is_("event:goal", "Buy"), (6, 6, 0, 6)),
        (is_("event:goal", "Visit /x"), (6, 6, 6, 6)),
    ):
        assert ask(stats, *metrics, filters=filters).rows[0].metrics == (*counted, 2.0, 0, 30), filters


def test_no_visitor_id_leaves_the_database(clickhouse: ClickHouse, database: Client) -> None:
    """By hours visitors are told apart by numbers, the same in all hours of a statement, and in no other one."""
    seed(database, [each for n in range(1, 9) for each in (event(n, "/"), later(n, "/x", 3_700))])
    service = opened(clickhouse)
    query = Query(SITE, ("visitors",), dates(MONDAY, MONDAY), ("time:hour",))
    known = asyncio.run(service.prepared(query))
    service.close()
    own = resolve(known.query, ()).own()
    (statement,) = build_series(replace(own, components=own.components | {"people"}), known.state, None)
    column = [*component_names(own.components | {"people"})].index("people") + 1
    people = [
        [{*row[column]} for row in database.query(statement.sql, dict(statement.parameters)).result_rows]
        for _ in range(2)
    ]
    for first, second in people:
        assert len(first) == len(second) == M
    assert not set.union(*people[0]) & set.union(*people[1])


def test_a_conversion_rate_tells_of_nobody_who_did_not_convert(database: Client, stats: StatsService) -> None:
    """Of five Swedes four buy, which would be 80 percent; of seven Danes and eight Norwegians four each; of Finns all.
    In one table the Swede would be what is left of all, so that the Danes are not told either."""
    homes = {"SE": (1, 5, 4), "DK": (11, 7, 4), "FI": (21, 3, 3), "NO": (31, 8, 4)}
    seed(database, [
        event(n, "/", name=name, country=home)
        for home, (first, number, buyers) in homes.items()
        for n in range(first, first + number)
        for name in ("pageview", "Buy")[: 1 + (n < first + buyers)]
    ])  # fmt: skip
    asked: dict[str, Any] = {"dimensions": ("event:goal",)}
    for home, told in {"SE": (None, None), "DK": (4, 57.1), "FI": (3, 100)}.items():
        by_goal = ask(stats, "visitors", "conversion_rate", filters=is_("visit:country", home), **asked)
        assert table(by_goal)["Buy",] == told
    # Else five, which all rows divide by, less four.
    for rate in ("conversion_rate", "group_conversion_rate", "percentage"):
        (row,) = ask(stats, "events", rate, "visitors", filters=is_("visit:country", "SE"), **asked).rows
        assert row.metrics == (None, None, None)
        assert row.withheld == frozenset({"events", rate, "visitors"})
    bought: dict[str, Any] = {"filters": is_("event:goal", "Buy")}
    by_country = ask(stats, "visitors", "group_conversion_rate", dimensions=("visit:country",), **bought)
    assert table(by_country) == {("SE",): (4, None), ("DK",): (4, None), ("FI",): (3, 100), ("NO",): (4, 50)}
    assert [row.dimensions[0] for row in by_country.rows if row.withheld] == ["DK", "SE"]


def test_conversion_rates_of_days_leave_nobody_who_did_not_convert(database: Client, stats: StatsService) -> None:
    """Four of five on the first day, four of seven on the second, four of eight on the third, beside all twelve."""
    seed(database, _of_days(*(
        [event(n, "/", name=name) for n in range(1, number + 1) for name in ("pageview", "Buy")[: 1 + (n < 5)]]
        for number in (5, 7, 8)
    )))  # fmt: skip
    asked: dict[str, Any] = {
        "filters": is_("event:goal", "Buy"),
        "period": dates(MONDAY - datetime.timedelta(2), MONDAY),
    }
    assert ask(stats, "conversion_rate", **asked).rows[0].metrics == (60,)
    days = ask(stats, "visitors", "group_conversion_rate", dimensions=("time:day",), **asked).rows
    assert [row.metrics for row in days] == [(4, None), (4, None), (4, 50)]


@pytest.mark.parametrize(("number", "rate"), [(8, 50), (9, None), (11, 36.4)])
def test_rows_of_one_rate_leave_nobody_who_did_not_convert(
    database: Client, stats: StatsService, number: int, rate: float | None
) -> None:
    """All rows divide by the visitors of the view, and are all who converted: by device four each, of nine."""
    devices = ["tv"] * 4 + ["mobile"] * 4 + ["desktop"] * (number - 8)
    seed(database, [
        event(n, "/", name=name, device=device)
        for n, device in enumerate(devices, 1)
        for name in ("pageview", "Buy")[: 1 + (device != "desktop")]
    ])  # fmt: skip
    bought: dict[str, Any] = {"filters": is_("event:goal", "Buy"), "dimensions": ("visit:device",)}
    found = table(ask(stats, "visitors", "conversion_rate", **bought))
    assert found == {("mobile",): (4, rate), ("tv",): (4, rate)}


def test_a_goal_that_nobody_reached_has_its_rates(database: Client, stats: StatsService) -> None:
    """Of a view with visitors none percent, of one without there are none."""
    seed(database, [event(n, "/", country="SE") for n in range(1, 6)])
    for home, rate in {"SE": 0, "FI": None}.items():
        filters = And((is_("visit:country", home), is_("event:goal", "Buy")))
        for name in ("conversion_rate", "group_conversion_rate"):
            assert ask(stats, "visitors", name, filters=filters).rows[0].metrics == (0, rate)
            assert ask(stats, "visitors", name, filters=filters, dimensions=("visit:browser",)).rows == []


def test_a_small_view_says_that_it_is_hidden(database: Client, stats: StatsService) -> None:
    """Its total, its rows and its buckets; nobody at all is no group, and a group of the minimum is exact."""
    seed(database, [event(n, "/", country="SE" if n < 3 else "NO") for n in range(1, 6)])
    small, exact, nobody = (is_("visit:country", code) for code in ("SE", "NO", "DK"))
    total = ask(stats, *COUNTS, "bounce_rate", filters=small)
    assert total.rows == [Row((), (None,) * 5, hidden=True)]
    assert (total.hidden, total.min_visitors) == (True, 3)
    by_page = ask(stats, "visitors", filters=small, dimensions=("event:page",), total_rows=True)
    assert (by_page.rows, by_page.hidden, by_page.total_rows) == ([], True, 0)
    for interval in ("time:day", "time:hour"):
        by_time = ask(stats, "visitors", filters=small, dimensions=(interval,), total_rows=True)
        assert (by_time.rows, by_time.hidden, by_time.total_rows) == ([], True, 0)
    assert ask(stats, "visitors", filters=exact).rows == [Row((), (3,))]
    assert ask(stats, "visitors", filters=nobody).rows == [Row((), (0,))]


def test_a_rate_of_few_visits_is_hidden(database: Client, stats: StatsService) -> None:
    """Of five who saw a page one entered there and left at once, and two read it: their bounce and their reading time
    are nobody's to know. Neither does an order by them tell; unfiltered and from the minimum on they are told."""
    seed(database, [
        *(event(n, "/", country="SE") for n in range(1, 8)),
        *(later(n, "/x", 10, entry_page="/", country="SE", bounces=-1, seconds=10) for n in range(1, 5)),
        event(9, "/x", 20, country="SE"),
        *(later(n, "/x", 60, name="engagement", country="SE", engaged=7_000, scroll=40) for n in (1, 2)),
        *(later(n, "/", 9, name="engagement", country="SE", engaged=3_000, scroll=20) for n in (1, 2, 3)),
    ])  # fmt: skip
    rates = ("bounce_rate", "time_on_page", "scroll_depth")
    asked: dict[str, Any] = {"dimensions": ("event:page",), "order_by": (("bounce_rate", "desc"),)}
    found = ask(stats, "visitors", *rates, filters=is_("visit:country", "SE"), **asked)
    assert [row.dimensions for row in found.rows] == [("/",), ("/x",)]
    assert table(found) == {("/",): (7, 43, 3, 20), ("/x",): (5, None, None, None)}
    assert [row.withheld for row in found.rows] == [frozenset(), frozenset(rates)]
    page = ask(stats, "visitors", "views_per_visit", *rates, filters=is_("event:page", "/x")).rows[0]
    assert (page.metrics, page.withheld) == ((5, 1.8, None, None, None), frozenset(rates))
    assert table(ask(stats, "visitors", *rates, **asked))[("/x",)] == (5, 100, 7, 40)


def test_a_value_called_other_is_no_fold(database: Client, stats: StatsService) -> None:
    """As exports of other products call theirs: it has a row of its own, and can be filtered by."""
    names = ["(other)"] * 5 + ["spring"] * 4 + ["a", "b", "c"]
    seed(database, [event(n, "/", country="SE", utm_campaign=name) for n, name in enumerate(names, 1)])
    by_campaign: dict[str, Any] = {"dimensions": ("visit:utm_campaign",)}
    found = ask(stats, "visitors", filters=is_("visit:country", "SE"), **by_campaign)
    assert [(row.dimensions[0], row.folded, *row.metrics) for row in found.rows] == [
        ("(other)", False, 5), ("spring", False, 4), (OTHER, True, 3),
    ]  # fmt: skip
    only = ask(stats, "visitors", filters=is_("visit:utm_campaign", "(other)"), **by_campaign)
    assert table(only) == {("(other)",): (5,)}


def test_other_counts_everybody_once(database: Client, stats: StatsService) -> None:
    """One person with three rare pages is one visitor and one visit of the fold; without a filter all is exact."""
    rare = ("/a", "/b", "/c")
    seed(database, [
        *(event(n, "/", country="SE") for n in range(1, 11)),
        *(later(n, page, 5, country="SE", entry_page="/") for n, page in zip((1, 2, 3), rare, strict=True)),
        *(later(1, page, 9, country="SE", entry_page="/") for page in rare[1:]),
    ])  # fmt: skip
    filtered = ask(stats, *COUNTS, filters=is_("visit:country", "SE"), dimensions=("event:page",), total_rows=True)
    assert table(filtered) == {("/",): (10, 10, 10, 10), (OTHER,): (3, 3, 5, 5)}
    assert filtered.total_rows == 2
    plain = table(ask(stats, "visitors", dimensions=("event:page",)))
    assert plain == {("/",): (10,), ("/a",): (1,), ("/b",): (2,), ("/c",): (2,)}


def test_one_person_is_not_seen_behind_a_country(database: Client, stats: StatsService) -> None:
    """By page their view would say how much they read."""
    seed(database, [event(1, "/", country="JP"), later(1, "/a", 2, country="JP"), later(1, "/b", 3, country="JP")])
    for dimensions in (
        (),
        ("event:page",),
        ("visit:browser",),
        ("event:goal",),
        ("time:hour",),
        ("time:day", "event:page"),
    ):
        found = ask(stats, *COUNTS, filters=is_("visit:country", "JP"), dimensions=dimensions)
        assert all(value is None for row in found.rows for value in row.metrics)


def test_the_next_smallest_joins_a_fold_that_is_too_small(database: Client, stats: StatsService) -> None:
    """Else whole minus rows would be the one who is hidden; of equals the first by value."""
    codes = ["SE"] * 5 + ["NO"] * 4 + ["FI"] * 4 + ["DK"]
    seed(database, [event(n, "/", country=code) for n, code in enumerate(codes, 1)])
    found = ask(stats, "visitors", filters=is_("event:page", "/"), dimensions=("visit:country",))
    assert [(row.dimensions[0], *row.metrics) for row in found.rows] == [("SE", 5), ("NO", 4), (OTHER, 5)]


def test_anonymous_events_do_not_make_a_fold_large_enough(database: Client, stats: StatsService) -> None:
    """However many, they would hide no visitor: the smallest row that has visitors joins the fold."""
    anonymous = [event(0, "/", n, visit=0, country="") for n in range(3)]
    seed(database, [*anonymous, event(1, "/", country="NO"), *(event(n, "/", country="SE") for n in range(2, 5))])
    found = ask(stats, "visitors", "events", filters=is_("event:page", "/"), dimensions=("visit:country",))
    assert table(found) == {("(not set)",): (0, 3), (OTHER,): (4, 4)}


PEOPLE = st.lists(
    st.tuples(
        st.sampled_from(["SE", "NO"]),
        st.lists(st.sampled_from(["/", "/a", "/b", "/c", "/d"]), min_size=1, max_size=4),
        st.integers(0, 2),
    ),
    max_size=14,
)
FILTERS: tuple[Filter, ...] = (
    is_("visit:country", "SE"),
    Not(is_("visit:country", "SE")),
    Compare("contains", "event:page", ("/",)),
    is_("event:page", "/a", "/b"),
    And((is_("visit:country", "SE"), is_("event:name", "pageview"))),
)


def town(people: Sequence[tuple[str, list[str], int]]) -> list[Event]:
    """People with several pages each, in some of three hours."""
    return [
        (later if number else event)(
            who, page, 3600 * hour + number, country=country, entry_page=pages[0], visit=NOON + 3600 * hour
        )
        for who, (country, pages, hour) in enumerate(people, 1)
        for number, page in enumerate(pages)
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PEOPLE)
def test_no_table_tells_a_small_group(
    database: Client, stats: StatsService, people: list[tuple[str, list[str], int]]
) -> None:
    """By itself or by subtraction within it: every row, and everybody who is in no row that is shown, is nobody or a
    group of the minimum; and what is shown is true."""
    database.command("TRUNCATE TABLE events")
    events = town(people)
    ClickHouseInserter(database).insert(events, str(next(_batches)))
    for filters in FILTERS:
        selected = [each for each in events if _holds(filters, each)]
        whole = {each.visitor for each in selected}
        total = ask(stats, "visitors", filters=filters).rows[0]
        assert total.hidden == (0 < len(whole) < M)
        assert total.hidden or total.metrics == (len(whole),)
        by_page = ask(stats, "visitors", "pageviews", filters=filters, dimensions=("event:page",))
        shown = {row.dimensions[0] for row in by_page.rows}
        _check(by_page.rows, selected, lambda each, shown=shown: each.page if each.page in shown else OTHER)
        by_hour = ask(stats, "visitors", "pageviews", filters=filters, dimensions=("time:hour",))
        hours = [row for row in by_hour.rows if not row.hidden]
        _check(hours, selected, lambda each: f"2026-03-02 {12 + (each.ts - NOON) // 3600}:00:00")
        hidden = {row.dimensions[0] for row in by_hour.rows if row.hidden}
        rest = {each.visitor for each in selected if f"2026-03-02 {12 + (each.ts - NOON) // 3600}:00:00" in hidden}
        assert not 0 < len(rest) < M or len(whole) < M


def _holds(tree: Filter, each: Event) -> bool:
    match tree:
        case Compare("is", "visit:country", values):
            return each.country in values
        case Compare("is", "event:page", values):
            return each.page in values
        case Not(part):
            return not _holds(part, each)
        case And(parts):
            return all(_holds(part, each) for part in parts)
    return True


def _check(rows: Sequence[Row], selected: Sequence[Event], value: Any) -> None:
    """Rows are exact, of the minimum size, and leave nobody out but where nothing is shown at all."""
    for row in rows:
        mine = [each for each in selected if value(each) == row.dimensions[0]]
        assert row.metrics == (len({each.visitor for each in mine}), len(mine))
        assert len({each.visitor for each in mine}) >= M


_batches = itertools.count()


def test_what_cuts_like_a_filter_is_protected_like_one(database: Client, stats: StatsService) -> None:
    """Two dimensions, hours by a dimension, a stretch of time by a dimension; hours alone are exact."""
    seed(database, [event(n, "/", n, country="SE", browser="Firefox" if n % 9 else "Rare") for n in range(1, 12)])
    two = ask(stats, "visitors", dimensions=("visit:country", "visit:browser"))
    assert table(two) == {(OTHER, OTHER): (11,)}
    hours = ask(stats, "visitors", dimensions=("time:hour", "visit:browser"))
    assert table(hours) == {("2026-03-02 12:00:00", OTHER): (11,)}
    assert ask(stats, "visitors", dimensions=("time:hour",)).rows[0].metrics == (11,)
    first = datetime.datetime.fromtimestamp(NOON, datetime.UTC)
    stretch = parse_moments(first, first + datetime.timedelta(seconds=2), "UTC")
    assert ask(stats, "visitors", period=stretch, dimensions=("visit:country",)).hidden
    assert ask(stats, "visitors", period=stretch).rows[0].metrics == (2,)


def test_revenue_in_a_currency_of_few_is_not_told(database: Client, stats: StatsService) -> None:
    """Under a filter a second currency that one person paid in is left out; the other is exact."""
    paid = [("SEK", 10)] * 4 + [("EUR", 7)]
    seed(database, [
        event(n, "/", name="Buy", currency=currency, revenue=amount, country="SE")
        for n, (currency, amount) in enumerate(paid, 1)
    ])  # fmt: skip
    (row,) = ask(stats, "visitors", "total_revenue", filters=is_("event:goal", "Buy")).rows
    assert (row.currency, row.metrics) == ("SEK", (5, 40))


@pytest.mark.parametrize(
    ("paying", "told"), [(0, {"SE": 50}), (1, {}), (2, {}), (3, {"SE": 50, "NO": 33}), (4, {"SE": 50, "NO": 44})]
)
def test_revenue_of_few_is_not_left_when_rows_are_taken_from_their_total(
    database: Client, stats: StatsService, paying: int, told: dict[str, int]
) -> None:
    """Where so few of a row's four visitors paid that its revenue is not told, that of the other row is not either."""
    seed(database, [
        *(event(n, "/", name="Buy", country="SE", currency="SEK", revenue=10) for n in range(1, 6)),
        *(event(n, "/", name="Buy", country="NO", currency="SEK", revenue=11) for n in range(11, 11 + paying)),
        *(event(n, "/", name="Buy", country="NO") for n in range(11 + paying, 15)),
    ])  # fmt: skip
    goal = is_("event:goal", "Buy")
    rows = ask(stats, "visitors", "total_revenue", filters=goal, dimensions=("visit:country",)).rows
    assert {row.dimensions[0]: row.metrics[0] for row in rows} == {"SE": 5, "NO": 4}
    assert {row.dimensions[0]: row.metrics[1] for row in rows if row.metrics[1] is not None} == told
    days = ask(stats, "visitors", "total_revenue", filters=goal, dimensions=("time:day",)).rows
    assert [row.metrics for row in days] == [(9, 50 + 11 * paying)]


def _reads(visitor: int, begins: int, reads: int) -> list[Event]:
    """A visit that begins on the first page and reads another, both in seconds after noon."""
    began = event(visitor, "/", begins, visit=NOON + begins)
    return [began, later(visitor, "/x", reads, entry_page="/", visit=NOON + begins, bounces=-1, seconds=reads - begins)]


def test_an_hour_in_which_one_visit_began_is_hidden(database: Client, stats: StatsService) -> None:
    """What the filter selects came later: in its own hour the visit would stand alone, with its duration, and be what
    is left when all other hours are taken from the total."""
    hour = 3_600
    seed(database, [
        *_reads(1, 0, hour + 60), *(each for n in range(2, 7) for each in _reads(n, hour, hour + 60)),
        *(each for n in range(7, 11) for each in _reads(n, 2 * hour, 2 * hour + 60)),
    ])  # fmt: skip
    asked: dict[str, Any] = {"filters": is_("event:page", "/x"), "dimensions": ("time:hour",)}
    rows = ask(stats, "visits", "visit_duration", **asked).rows
    assert [(row.dimensions[0][11:13], row.metrics) for row in rows] == [
        ("12", (None, None)), ("13", (5, 60)), ("14", (None, None)),
    ]  # fmt: skip
    assert [row.metrics for row in ask(stats, "visitors", **asked).rows] == [(6,), (4,)]


def _of_days(*days: Sequence[Event]) -> list[Event]:
    """The events of the Monday on as many days, of which it is the last."""
    return [
        structs.replace(each, day=MONDAY - datetime.timedelta(back), ts=each.ts - 86_400 * back)
        for back, events in enumerate(reversed(days))
        for each in events
    ]


def test_anonymous_days_hide_nobody(database: Client, stats: StatsService) -> None:
    """One visitor on one day is not what is left when a day with anonymous events alone is hidden as well."""
    alone, bare = [event(1, "/", device="tv")], [event(0, "/", device="tv", consent="none")] * 3
    seed(database, _of_days(alone, bare, [event(n, "/", device="tv") for n in range(1, 6)]))
    asked: dict[str, Any] = {
        "filters": is_("visit:device", "tv"),
        "period": dates(MONDAY - datetime.timedelta(2), MONDAY),
    }
    assert ask(stats, "visitors", **asked).rows[0].metrics == (6,)
    days = ask(stats, "visitors", dimensions=("time:day",), **asked).rows
    assert [row.metrics for row in days] == [(None,), (0,), (None,)]


def test_a_day_of_one_is_not_left_of_rows_by_day_and_value(database: Client, stats: StatsService) -> None:
    """Its visitor has nobody to be folded with that day: another day's smallest row is left out, too."""
    tv: dict[str, Any] = {"device": "tv"}
    many = [event(n, "/", browser="Firefox" if n < 8 else "Chrome", **tv) for n in range(4, 12)]
    seed(database, _of_days([event(1, "/", browser="Edge", **tv)], many, many))
    asked: dict[str, Any] = {"filters": is_("visit:device", "tv"), "dimensions": ("time:day", "visit:browser")}
    days = dates(MONDAY - datetime.timedelta(2), MONDAY)
    found = table(ask(stats, "visitors", period=days, **asked))
    assert found == {
        ("2026-03-01", "Firefox"): (4,),
        ("2026-03-02", "Chrome"): (4,),
        ("2026-03-02", "Firefox"): (4,),
    }
    exact = table(ask(stats, "visitors", period=dates(MONDAY - datetime.timedelta(1), MONDAY), **asked))
    assert len(exact) == 4


def test_where_the_total_is_hidden_so_is_every_row(database: Client, stats: StatsService) -> None:
    """Of one visitor among anonymous events no day and no page is told, however many of these it has."""
    bare: dict[str, Any] = {"device": "tv", "consent": "none"}
    seed(database, _of_days([event(1, "/", device="tv")], [event(0, "/x", **bare)] * 5, [event(0, "/y", **bare)] * 9))
    asked: dict[str, Any] = {
        "filters": is_("visit:device", "tv"),
        "period": dates(MONDAY - datetime.timedelta(2), MONDAY),
    }
    assert ask(stats, "visitors", "pageviews", **asked).hidden
    assert ask(stats, "visitors", "pageviews", dimensions=("time:day",), **asked).hidden
    assert ask(stats, "visitors", "pageviews", dimensions=("event:page",), **asked).rows == []


def test_suppression_takes_one_statement_however_many_rows(
    database: Client, stats: StatsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of anonymous events alone would hide no visitor: they are not folded one after the other."""
    seed(database, [
        event(1, "/", device="tv"), *(event(n, "/many", device="tv") for n in range(11, 15)),
        *(event(0, f"/{number}", device="tv", consent="none") for number in range(40) for _ in range(M)),
    ])  # fmt: skip
    statements: list[str] = []
    execute = QueryExecutor.rows

    async def counted(self: QueryExecutor, statement: Statement, **options: Any) -> Any:
        statements.append(statement.sql)
        return await execute(self, statement, **options)

    monkeypatch.setattr(QueryExecutor, "rows", counted)
    found = ask(stats, "visitors", dimensions=("event:page",), filters=is_("visit:device", "tv"))
    assert len([sql for sql in statements if "AS shown" in sql]) == 1
    assert found.rows[-1] == Row((OTHER,), (5,))
    assert len(found.rows) == 41


@pytest.mark.parametrize(("protection", "visitors"), [(Protection(1), 2), (Protection(3), None), (Protection(2), 2)])
def test_a_site_chooses_the_minimum(
    clickhouse: ClickHouse, database: Client, protection: Protection, visitors: int | None
) -> None:
    """One turns protection off."""
    seed(database, [event(n, "/", country="SE" if n < 3 else "NO") for n in range(1, 26)])
    service = opened(clickhouse, protection)
    assert ask(service, "visitors", filters=is_("visit:country", "SE")).rows[0].metrics == (visitors,)
    service.close()


def test_strict_rounds_every_count(clickhouse: ClickHouse, database: Client) -> None:
    """A setting of the site: in total, by one dimension and by date none, one or two people look the same, and so do
    their rows in any order; the result says the multiple."""
    sites = Sites(DocumentTable(database, "sites", Site))
    asyncio.run(sites.add(Site(domain=SITE, strict=True)))
    service = StatsService(
        lambda limits: clickhouse.client(readonly=True, settings=limits),
        protection=lambda domain: Protection.of(sites.get(domain)),
    )
    seen = []
    for size in range(M):
        database.command("TRUNCATE TABLE events")
        people = [event(n, "/", country="NO" if n <= size else "SE") for n in range(1, 26)]
        ClickHouseInserter(database).insert(people, str(next(_batches)))
        dimensions = ((), ("visit:country",), ("event:page",), ("time:day",), ("time:day", "visit:country"))
        seen.append([ask(service, *COUNTS, dimensions=each) for each in dimensions])
    service.close()
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0].rows[0].metrics == (24, 24, 24, 24)
    assert [row.dimensions for row in seen[0][1].rows] == [("SE",)]
    assert {each.rounded_to for each in seen[0]} == {6}


@settings(max_examples=by_length(4, 10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PEOPLE)
def test_strict_tells_multiples_and_nothing_else(
    clickhouse: ClickHouse, database: Client, people: list[tuple[str, list[str], int]]
) -> None:
    """Whatever the view; each within half a multiple of the truth, so that a difference of two answers leaves every
    size of a small group possible."""
    database.command("TRUNCATE TABLE events")
    ClickHouseInserter(database).insert(town(people), str(next(_batches)))
    service = opened(clickhouse, Protection(M, strict=True))
    for filters in (None, *FILTERS):
        for dimensions in ((), ("event:page",), ("visit:country",), ("time:hour",)):
            for row in ask(service, *COUNTS, filters=filters, dimensions=dimensions).rows:
                assert row.hidden or all(count is not None and count % (2 * M) == 0 for count in row.metrics)
    service.close()


def test_strict_tells_of_few_what_it_tells_of_nobody(clickhouse: ClickHouse, database: Client) -> None:
    """Of none, one or two Norwegians: the total says nothing of its being hidden, and no row, hour or step of others is
    missing for theirs."""
    service, seen = opened(clickhouse, Protection(M, strict=True)), list[tuple[Any, ...]]()
    filters = (None, is_("visit:country", "NO"), is_("event:name", "pageview"), Not(is_("visit:country", "SE")))
    dimensions = ((), ("event:page",), ("visit:country",), ("time:hour",), ("time:day",), ("time:hour", "event:page"))
    for size in range(M):
        database.command("TRUNCATE TABLE events")
        ClickHouseInserter(database).insert([
            *(event(n, "/" if n < 7 else "/b", country="SE") for n in range(1, 11)),
            *(event(n, "/c", 3_600, visit=NOON + 3_600, country="NO") for n in range(11, 11 + size)),
        ], str(next(_batches)))  # fmt: skip
        way = FunnelPath((is_("event:name", "pageview"), Compare("contains", "event:page", ("c",))))
        walked = FunnelQuery(SITE, way, dates(MONDAY, MONDAY), dimension="event:page")
        journey = Journey(SITE, dates(MONDAY, MONDAY))
        seen.append((
            *(
                ask(service, *COUNTS, "bounce_rate", filters=tree, dimensions=names, total_rows=True)
                for tree in filters
                for names in dimensions
            ),
            asyncio.run(run_funnel(service, walked)),
            asyncio.run(run_journey(service, journey)),
        ))  # fmt: skip
    service.close()
    assert seen[0] == seen[1] == seen[2]
    pages = seen[0][2 * len(dimensions) + 1]
    assert table(pages) == {("/",): (6, 6, 6, 6, 100), ("/b",): (6, 6, 6, 6, 100)}


def test_strict_amounts_tell_no_exact_count(clickhouse: ClickHouse, database: Client) -> None:
    """Everybody pays as much, stays as long and reads all: nine people look like fourteen, whatever is asked."""
    service, seen = opened(clickhouse, Protection(M, strict=True)), []
    for number in range(9, 15):
        database.command("TRUNCATE TABLE events")
        ClickHouseInserter(database).insert([
            each
            for n in range(1, number + 1)
            for each in (
                event(n, "/", bounces=0),
                later(n, "/", 30, name="Buy", currency="EUR", revenue=9, seconds=30),
                later(n, "/", 40, name="engagement", engaged=7_000, scroll=100),
            )
        ], str(next(_batches)))  # fmt: skip
        bought = ask(service, "total_revenue", "average_revenue", "visit_duration", filters=is_("event:goal", "Buy"))
        read = ask(service, "time_on_page", "scroll_depth", dimensions=("event:page",))
        seen.append((bought.rows[0].metrics, read.rows[0].metrics))
    service.close()
    assert {*seen} == {((108, 9, 30), (7, 100))}


def test_strict_sizes_that_look_alike_are_many() -> None:
    """Of a group and one that contains it, for one who knows how counts are told: what both show leaves possible that
    they differ by the minimum or more, or by any smaller number."""
    protection = Protection(M, strict=True)

    def told(size: int) -> int | None:
        return protection.count(size) or None

    possible: dict[tuple[int | None, int | None], set[int]] = {}
    for part, whole in itertools.combinations_with_replacement(range(90), 2):
        possible.setdefault((told(part), told(whole)), set()).add(whole - part)
    for (_, outer), sizes in possible.items():
        if outer is None or outer < 84:
            assert max(sizes) >= M or sizes >= set(range(M))


# A guest who polls a public dashboard while people come one by one.

COMING = [("SE", "Firefox", "/"), ("SE", "Chrome", "/"), ("JP", "Firefox", "/treatment/hiv"), ("SE", "Chrome", "/a"),
          ("NO", "Safari", "/"), ("SE", "Firefox", "/b"), ("DK", "Chrome", "/a"), ("SE", "Chrome", "/")]  # fmt: skip
VIEWS = ((), ("visit:country",), ("visit:browser",), ("event:page",), ("time:hour",), ("time:minute",))


@pytest.mark.parametrize("gap", [7, 61, 600])
def test_a_guest_who_polls_sees_steps_of_several_people(clickhouse: ClickHouse, database: Client, gap: int) -> None:
    """However often they look: between two different answers at least three new visitors came, in every view at once,
    also when somebody who was there before does something more."""
    now = [float(NOON)]
    service = StatsService(
        lambda limits: clickhouse.client(readonly=True, settings=limits), workers=2, clock=lambda: now[0]
    )
    guest = service.as_guest()
    today = parse_period("day", "UTC", datetime.datetime.fromtimestamp(NOON, datetime.UTC))
    views = [Query(SITE, COUNTS, today, names, limit=1_000) for names in VIEWS]
    seen: list[tuple[int, Any]] = []
    # Those who come close behind each other have to be many before a step ends.
    people, rounds = 0, by_length(1, 2) if gap > 60 else 2
    for number in range(2 * rounds * len(COMING)):
        if number < rounds * len(COMING):
            country, browser, page = COMING[number % len(COMING)]
            who: dict[str, Any] = {"ts": NOON + gap * number, "country": country, "browser": browser}
            arrived = [event(number + 1, page, **who), later(1, f"/more{number}", 0, **who)]
            ClickHouseInserter(database).insert(arrived, str(next(_batches)))
            people += 1
        now[0] = NOON + gap * number + 1
        answers = asyncio.run(guest.run(views))
        realtime = asyncio.run(realtime_figures(guest, SITE))
        answer = ([each.rows for each in answers], realtime.sources, realtime.pages, realtime.countries)
        if not seen or seen[-1][1] != answer:
            seen.append((int(answers[0].rows[0].metrics[0] or 0), answer))
        member = asyncio.run(service.run(views[:1]))[0]
        assert member.rows[0].metrics[0] == people
    service.close()
    told = [visitors for visitors, _ in seen]
    assert all(after - before >= M for before, after in itertools.pairwise(told)), told
    assert told[-1] >= M


@pytest.mark.parametrize("readers", [0, 1, 3], ids=lambda count: f"{count} read on")
def test_only_visitors_release_a_visitor_to_a_guest(clickhouse: ClickHouse, database: Client, readers: int) -> None:
    """Three anonymous events a minute move the day until a visitor sends something, and then only three visitors do,
    not who only reads on in a tab from the day before: nothing that one visitor does is told alone."""
    now = [float(NOON)]
    service = StatsService(
        lambda limits: clickhouse.client(readonly=True, settings=limits), workers=2, clock=lambda: now[0]
    )
    guest, today = service.as_guest(), dates(MONDAY, MONDAY)
    views = [Query(SITE, COUNTS, today, names, limit=100) for names in VIEWS]
    told: list[tuple[int, int, list[Any]]] = []
    for minute in range(31):
        bare = [event(0, "/", 60 * minute + n, consent="none") for n in range(3)]
        bare += [later(100 + 3 * minute + n, "/", 60 * minute, visit=0, name="engagement") for n in range(readers)]
        people = {10: [event(1, "/treatment", 600)], 13: [later(1, "/book", 780, entry_page="/treatment")]}
        crowd = [event(minute, "/", 60 * minute)] if minute > 20 else []
        ClickHouseInserter(database).insert([*bare, *people.get(minute, ()), *crowd], str(next(_batches)))
        now[0] = NOON + 60 * minute + 59
        whole, *rows = (each.rows for each in asyncio.run(guest.run(views)))
        visitors, _, pageviews, _ = map(int, [each or 0 for each in whole[0].metrics])
        told.append((visitors, pageviews, [row for each in rows for row in each if row.metrics[0]]))
    service.close()
    assert [pageviews for visitors, pageviews, _ in told[:12] if not visitors] == (
        [0] * 12 if readers else [0, 0, 0, *range(3, 28, 3)]
    ), told
    for (before, _, seen), (after, _, shown) in itertools.pairwise(told):
        assert after - before >= M if shown != seen else after == before
    assert told[-1][0] == 6


@pytest.mark.parametrize("people", range(3, 11))
def test_a_day_that_is_over_is_told_to_guests_whole(clickhouse: ClickHouse, database: Client, people: int) -> None:
    """What was held back of it, the minimum or more, is told when the date is over."""
    seed(database, [event(n, "/", 60 * n) for n in range(1, people + 1)])
    told = []
    for now in (NOON + 3600, NOON + 43_260):
        service = opened(clickhouse, now=now)
        told.append(ask(service.as_guest(), "visitors").rows[0].metrics[0] or 0)
        assert ask(service, "visitors").rows[0].metrics == (people,)
        service.close()
    assert told[1] == people
    assert told[1] - told[0] >= M
    assert told[0] == max(0, people // M - 1) * M


def test_what_arrives_around_midnight_is_not_seen_alone(clickhouse: ClickHouse, database: Client) -> None:
    """The last visitor of a day may be stored seconds after it: guests see the whole day a minute later."""
    midnight, last = NOON + 43_200, 43_199
    seed(database, [event(n, "/", 60 * n) for n in range(1, 8)])
    told: list[int] = []
    for after in (1, 5, 61):
        if after == 5:
            ClickHouseInserter(database).insert([event(8, "/treatment/hiv", last)], str(next(_batches)))
        service = opened(clickhouse, now=midnight + after)
        told.append(int(ask(service.as_guest(), "visitors").rows[0].metrics[0] or 0))
        service.close()
    assert told == [3, 3, 8]


def test_the_half_hour_before_midnight_is_not_seen_to_go_visitor_by_visitor(
    clickhouse: ClickHouse, database: Client
) -> None:
    """Until the new day has a step guests see nothing: the last half hour would lose one after the other of those who
    came before it."""
    midnight = NOON + 43_200
    seed(database, [event(n, f"/{n % 2}", 43_200 - 240 * n, country="SE") for n in range(1, 8)])
    seen, there = [], set[int]()
    for after in range(61, 1_800, 60):
        service = opened(clickhouse, now=midnight + after)
        realtime = asyncio.run(realtime_figures(service.as_guest(), SITE))
        members = asyncio.run(realtime_figures(service, SITE))
        seen.append((realtime.pageviews, realtime.countries, realtime.pages, realtime.sources))
        there.add(sum(each.visitors for each in members.countries))
        service.close()
    assert len(there) > 3
    assert seen == [(0, (), (), ())] * len(seen)


def test_the_open_day_is_held_back_from_guests_in_a_comparison_too(clickhouse: ClickHouse, database: Client) -> None:
    """Whichever of two ranges it is in, and whichever is asked for first."""
    seed(database, [event(n, "/", 60 * n) for n in range(1, 9)])
    now = datetime.datetime.fromtimestamp(NOON + 3600, datetime.UTC)
    today = Query(SITE, ("visitors",), parse_period("day", "UTC", now))
    before = replace(today, period=parse_period("day", "UTC", now - datetime.timedelta(days=3)))
    service = opened(clickhouse, now=NOON + 3600)
    for queries in ([before, today], [today, before]):
        results = asyncio.run(service.as_guest().run(queries))
        assert {each.rows[0].metrics for each in results} == {(0,), (3,)}
    service.close()


def test_a_guest_does_not_see_an_earlier_day_replayed(clickhouse: ClickHouse, database: Client) -> None:
    """What today is compared with grows with the clock: between two looks by three visitors of that day or more, with
    and without filters."""
    people = [COMING[number % len(COMING)] for number in range(24)]
    seed(database, [
        event(number + 1, page, 600 * number, country=country, browser=browser)
        for number, (country, browser, page) in enumerate(people)
    ])  # fmt: skip
    now = [float(NOON)]
    service = StatsService(
        lambda limits: clickhouse.client(readonly=True, settings=limits), workers=2, clock=lambda: now[0]
    )
    yesterday = dates(MONDAY, MONDAY)
    told: list[int] = []
    for moment in range(NOON + 86_400 - 600, NOON + 86_400 + 600 * len(people), 300):
        now[0] = float(moment)
        today = parse_period("day", "UTC", datetime.datetime.fromtimestamp(moment, datetime.UTC))
        compared = Query(SITE, ("visitors",), same_length(today, yesterday, moment))
        told.append(int(asyncio.run(service.as_guest().run([compared]))[0].rows[0].metrics[0] or 0))
    member = asyncio.run(service.run([compared]))[0].rows[0].metrics
    service.close()
    assert member == (24,)
    assert told[-1] >= 18
    assert all(after == before or after - before >= M for before, after in itertools.pairwise(told)), told


def test_all_that_guests_ask_waits_in_their_lanes(
    clickhouse: ClickHouse, database: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what has to be known first: else members would wait behind every guest."""
    seed(database, [event(n, "/") for n in range(1, 9)])
    lanes: list[tuple[bool, str]] = []
    execute = QueryExecutor.rows

    async def noted(self: QueryExecutor, *arguments: Any, **options: Any) -> Any:
        lanes.append(options.get("lane", (False, "")))
        return await execute(self, *arguments, **options)

    monkeypatch.setattr(QueryExecutor, "rows", noted)
    service = opened(clickhouse)
    guest = service.as_guest()
    ask(guest, "visitors", dimensions=("event:page",), filters=is_("visit:country", ""))
    asyncio.run(guest.first_day(SITE))
    asyncio.run(realtime_figures(guest, SITE))
    assert {*lanes} == {(True, SITE)}
    service.close()


def test_a_site_without_protection_tells_guests_at_once(clickhouse: ClickHouse, database: Client) -> None:
    """`min_visitors` 1 hides nothing, from nobody."""
    seed(database, [event(1, "/")])
    service = opened(clickhouse, Protection(1), now=NOON + 5)
    assert ask(service.as_guest(), "visitors").rows[0].metrics == (1,)
    service.close()
