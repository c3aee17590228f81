"""Goals: what may be defined, and that every kind is counted exactly, by anything, under any filter."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError
from collector.ingest.event import Event
from collector.rollups.job import RollupJob
from collector.sites.goals import MOST_GOALS, Goal, GoalError, checked_goals
from collector.sites.model import Site, checked
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.analytics.filters import And, Not, direct_leaves, is_, parse_filters
from dashboard.analytics.query import OTHER
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from tests.dashboard.analytics.test_model import close_days, compare, question
from tests.dashboard.analytics.test_service import ask, event, later, seed
from tests.model import Model, Question
from tests.towns import PAGES, SITE, random_events

GOALS = (
    Goal(name="Signup", kind="event", match="Signup"),
    Goal(name="Paper", kind="event", match="Download", currency="SEK"),
    Goal(name="Read b", kind="page", match="/b"),
    Goal(name="Read below b", kind="page", match="/b*/**"),
    Goal(name="Left", kind="outbound"),
    Goal(name="Left for a shop", kind="outbound", match="shop.example/*"),
    Goal(name="Took a book", kind="download", match="https://files.example/**.epub"),
    Goal(name="Wrote", kind="form", match="/a"),
    Goal(name="Lost", kind="404"),
    Goal(name="Half", kind="scroll", depth=50),
    Goal(name="All of b", kind="scroll", match="/b**", depth=65),
)
COUNTS = ("visitors", "visits", "pageviews", "events", "bounce_rate", "visit_duration")
METRICS = (*COUNTS, "conversion_rate", "group_conversion_rate")
LINKS = ("https://shop.example/cart", "https://shop.example/cart/2", "https://files.example/a/b.epub", "mailto:a")


def town(seed: int, days: int) -> list[Event]:
    """Random events, of which some custom ones are clicks on links, downloads, forms and missing pages."""
    chance = random.Random(seed)  # noqa: S311 - a made-up town
    names = ("Signup", "Download", "Outbound Link: Click", "File Download", "Form: Submission", "404")
    found = []
    for made in random_events(seed, days, 12):
        changes: dict[str, object] = {}
        if made.name == "Download":
            changes = {"name": chance.choice(names), "props": {"url": chance.choice(LINKS), "plan": "pro"}}
        found.append(msgspec.structs.replace(made, **changes))
    return found


@pytest.fixture
def store(clickhouse: ClickHouse, database: Client) -> Iterator[StatsService]:  # noqa: ARG001 - the schema must be there
    """A store over a site with goals, which tells every count exactly."""
    opened = StatsService(
        lambda settings: clickhouse.client(readonly=True, settings=settings),
        protection=lambda _: Protection(min_visitors=1),
        goals=lambda _: GOALS,
        workers=2,
    )
    yield opened
    opened.close()


def questions(filters: Sequence[Any], *dimensions: str) -> Iterator[Question]:
    """By goal, by goal and each dimension, and by each dimension alone where the filter asks for goals."""
    yield question((*METRICS, "total_revenue"), "event:goal", filters=filters)
    for name in dimensions:
        yield question(METRICS, "event:goal", name, filters=filters)
    if filters:
        asked = any(leaf.dimension == "event:goal" for leaf in direct_leaves(parse_filters(list(filters))))
        for names in ((), *((name,) for name in dimensions)):
            yield question(METRICS if asked else COUNTS, *names, filters=filters)


BY = ("visit:source", "event:page", "visit:exit_page", "event:props:plan", "time:day", "time:hour")


def test_every_kind_is_counted_by_any_breakdown(database: Client, store: StatsService) -> None:
    """Visitors, visits, events, rates; an event that reaches two goals counts in both; before and after closing."""
    events = town(3, 5)
    model = Model(events, GOALS)
    ClickHouseInserter(database).insert(events, "town")
    assert {row[0] for row in model.rows(next(questions([])))} == {goal.name for goal in GOALS}
    compare(store, model, [*questions([], *BY)])
    assert close_days(database, 4) > 2
    compare(store, model, [*questions([], "visit:source", "time:day")])


FILTERS: dict[str, list[Any]] = {
    "is": ["is", "event:goal", ["Signup"]],
    "is a page": ["is", "event:goal", ["Read below b"]],
    "is a scroll": ["is", "event:goal", ["Half"]],
    "is any of several": ["is", "event:goal", ["Signup", "Read b", "All of b"]],
    "is, in any case": ["is", "event:goal", ["HALF", "lost"], {"case_sensitive": False}],
    "is not": ["is_not", "event:goal", ["Signup"]],
    "is not a scroll": ["not", ["is", "event:goal", ["Half", "Read b"]]],
    "is none that there is": ["is", "event:goal", ["Purchase"]],
    "contains": ["contains", "event:goal", ["of b", "Left"]],
    "contains, in any case": ["contains", "event:goal", ["OF B"], {"case_sensitive": False}],
    "matches": ["matches", "event:goal", ["^Read .*b$", "^H.lf$"]],
    "matches not": ["matches_not", "event:goal", ["^Read"]],
    "has done": ["has_done", ["is", "event:goal", ["Half"]]],
    "has not done": ["has_not_done", ["is", "event:goal", ["Read b", "Left"]]],
    "or": ["or", [["is", "event:goal", ["Half"]], ["is", "visit:country", ["SE"]]]],
    "and": ["and", [["is", "event:goal", ["Half", "Left"]], ["is", "event:page", list(PAGES[:3])]]],
}


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
def test_goals_filter_like_any_dimension(database: Client, store: StatsService, filters: list[Any]) -> None:
    """Every operator over every kind, alone and within other filters, agrees with a plain count."""
    events = town(2, 3)
    ClickHouseInserter(database).insert(events, "town")
    compare(store, Model(events, GOALS), [*questions([filters], "visit:source", "event:page")])


@pytest.fixture
def guarded(clickhouse: ClickHouse, database: Client) -> Iterator[StatsService]:  # noqa: ARG001 - the schema must be there
    """The same site, which protects groups of fewer than three."""
    opened = StatsService(
        lambda settings: clickhouse.client(readonly=True, settings=settings), goals=lambda _: GOALS, workers=1
    )
    yield opened
    opened.close()


def signups(norwegians: int) -> list[Event]:
    """22 people read a page and sign up, so many of them from Norway; 30 do neither. 12 of all are from Norway."""
    found = []
    for number in range(1, 53):
        country = "NO" if number <= norwegians or 22 < number <= 34 - norwegians else "SE"
        found.append(event(number, "/", country=country))
        if number <= 22:
            found.append(later(number, "/b", 3, country=country))
            found.append(later(number, "/b", 5, country=country, name="Signup"))
            found.append(later(number, "/b", 9, country=country, name="engagement", scroll=60))
    return found


def test_goals_are_exact_unfiltered_and_filtered(database: Client, guarded: StatsService) -> None:
    """Whatever reaches a goal; only groups below the minimum are folded, and a row says what its own view says."""
    seed(database, signups(2))
    found = ask(guarded, "visitors", dimensions=("event:goal",)).rows
    assert {row.dimensions[0]: row.metrics[0] for row in found} == {"Signup": 22, "Half": 22, "Read b": 22}
    for country, visitors in (("SE", 20), ("NO", None)):
        filters = And((is_("event:goal", "Signup"), is_("visit:country", country)))
        assert ask(guarded, "visitors", filters=filters).rows[0].metrics == (visitors,)
    # Two Norwegians alone would be told by subtraction: the Swedes join them.
    by_country = ask(guarded, "visitors", filters=is_("event:goal", "Signup"), dimensions=("visit:country",)).rows
    assert [(row.dimensions, row.metrics) for row in by_country] == [((OTHER,), (22,))]


def test_a_page_goal_counts_its_pageviews(database: Client, guarded: StatsService) -> None:
    """And no other event on the page."""
    events = [event(number, "/") for number in range(1, 7)]
    events += [later(number, "/b", 3) for number in range(1, 7)]
    events += [later(number, "/b", 5, name="Buy") for number in range(1, 7)]
    seed(database, events)
    row = next(
        row
        for row in ask(guarded, "visitors", "events", dimensions=("event:goal",)).rows
        if row.dimensions[0] == "Read b"
    )
    assert row.metrics == (6, 6)
    assert ask(guarded, "visitors", "events", filters=is_("event:goal", "Read b")).rows[0].metrics == (6, 6)


def test_a_goal_has_the_revenue_of_its_currency(database: Client, store: StatsService) -> None:
    """By goal and filtered by it: what was paid otherwise is left out, and nothing sold is zero, not unknown."""
    paid = [("Download", "SEK", "10"), ("Download", "SEK", "5.5"), ("Download", "EUR", "1"), ("Signup", "EUR", "2")]
    seed(database, [
        event(number, "/", name=name, currency=currency, revenue=Decimal(amount))
        for number, (name, currency, amount) in enumerate(paid, 1)
    ])  # fmt: skip
    money = ("total_revenue", "average_revenue", "visitors")
    found = ask(store, *money, dimensions=("event:goal",)).rows
    assert {row.dimensions[0]: (row.currency, *row.metrics) for row in found} == {
        "Paper": ("SEK", 15.5, 7.75, 3),
        "Signup": ("EUR", 2, 2, 1),
    }
    filtered = ask(store, *money, filters=is_("event:goal", "Paper")).rows[0]
    assert (filtered.currency, *filtered.metrics) == ("SEK", 15.5, 7.75, 3)
    seed_free = [later(9, "/", 5, name="Download")]
    ClickHouseInserter(database).insert(seed_free, "free")
    nothing = ask(store, *money, filters=And((is_("event:goal", "Paper"), Not(is_("event:props:plan", "(none)"))))).rows
    assert nothing[0].metrics == (0, None, 0)


@pytest.mark.parametrize("currency", [None, "", "EUR"])
@pytest.mark.parametrize("dimensions", [(), ("event:goal",)])
def test_a_goal_keeps_its_revenue_where_small_counts_are_protected(
    clickhouse: ClickHouse, database: Client, currency: str | None, dimensions: tuple[str, ...]
) -> None:
    """Filtered by it, all who reached it are all who had its event: told is what these paid."""
    goals = () if currency is None else (Goal(name="Bought", kind="event", match="Bought", currency=currency),)
    guarded = StatsService(
        lambda limits: clickhouse.client(readonly=True, settings=limits), goals=lambda _: goals, workers=1
    )
    paid: dict[str, Any] = {"name": "Bought", "currency": "EUR", "revenue": Decimal(6)}
    seed(database, [event(visitor, "/", **(paid if visitor <= 18 else {})) for visitor in range(1, 41)])
    asked = ("visitors", "total_revenue", "average_revenue")
    found = ask(guarded, *asked, dimensions=dimensions, filters=is_("event:goal", "Bought")).rows
    assert [(row.currency, *row.metrics) for row in found] == [("EUR", 18, 108, 6)]
    guarded.close()


def test_goals_that_are_all_events_of_a_name_come_from_the_days_sums(clickhouse: ClickHouse, database: Client) -> None:
    """Asked unfiltered of a closed day they are there even when its raw events are gone; two names for one are not."""
    seed(database, [event(1, "/"), later(1, "/", 5, name="Signup"), later(1, "/", 6, name="Buy")])
    sites = Sites(DocumentTable(database, "sites", Site))
    asyncio.run(sites.add(Site(domain=SITE)))
    tomorrow = datetime.datetime(2026, 3, 4, tzinfo=datetime.UTC).timestamp()
    RollupJob(database, sites, lambda: tomorrow).close_due()
    database.command("TRUNCATE TABLE events")
    plain = (Goal(name="Joined", kind="event", match="Signup"), Goal(name="Lost", kind="404"))
    twice = (*plain, Goal(name="Joined too", kind="event", match="Signup"))
    for goals, rows in ((plain, [("Joined",)]), (twice, []), ((), [("Buy",), ("Signup",)])):
        opened = StatsService(
            lambda settings: clickhouse.client(readonly=True, settings=settings), goals={SITE: goals}.__getitem__
        )
        found = ask(opened, "visitors", dimensions=("event:goal",)).rows
        opened.close()
        assert sorted(row.dimensions for row in found) == rows


@pytest.mark.parametrize(
    ("goal", "reason"),
    [
        (Goal(kind="event"), "event's name"),
        (Goal(kind="event", match="pageview"), "not a custom event"),
        (Goal(kind="page"), "a path"),
        (Goal(kind="page", match="thanks"), "begins with /"),
        (Goal(kind="form", match="contact"), "begins with /"),
        (Goal(kind="scroll"), "1 to 100"),
        (Goal(kind="scroll", depth=101), "1 to 100"),
        (Goal(kind="page", match="/a", depth=50), "only a goal of type scroll"),
        (Goal(kind="event", match="Buy", currency="kronor"), "currency"),
        (Goal(kind="event", match="Buy", name="x" * 121), "a name"),
        (Goal(kind="event", match="Buy", name="a\nb"), "a name"),
        (Goal(kind="page", match="/" + "x" * 500), "at most 500"),
        (Goal(kind="wish"), "expected a goal type"),  # type: ignore[arg-type] # the point of the test
    ],
)
def test_a_goal_that_cannot_be_says_why(goal: Goal, reason: str) -> None:
    """Always about the field `goals`."""
    with pytest.raises(RecordError, match=reason) as raised:
        checked(Site(domain="a.test", goals=(goal,)))
    assert raised.value.field == "goals"


def test_goals_of_a_site_have_different_names_and_are_not_many() -> None:
    """The name is what a goal is asked for by."""
    twice = (Goal(kind="page", match="/a"), Goal(name="Visit /a", kind="event", match="Buy"))
    with pytest.raises(RecordError, match="two goals are named 'Visit /a'"):
        checked(Site(domain="a.test", goals=twice))
    many = tuple(Goal(kind="page", match=f"/{number}") for number in range(MOST_GOALS + 1))
    with pytest.raises(RecordError, match=f"at most {MOST_GOALS}"):
        checked(Site(domain="a.test", goals=many))


@pytest.mark.parametrize(
    ("goal", "name"),
    [
        (Goal(kind="event", match="Buy"), "Buy"),
        (Goal(kind="page", match=" /thanks "), "Visit /thanks"),
        (Goal(kind="outbound"), "Outbound Link: Click"),
        (Goal(kind="download", match="**.pdf"), "File Download **.pdf"),
        (Goal(kind="404"), "404"),
        (Goal(kind="scroll", depth=75, match="/blog/**"), "Scroll 75% /blog/**"),
    ],
)
def test_a_goal_without_a_name_gets_one(goal: Goal, name: str) -> None:
    """That of the event, or what the snippet calls it."""
    assert checked(Site(domain="a.test", goals=(goal,))).goals[0].name == name


@pytest.mark.parametrize(
    ("goal", "part"),
    [
        (Goal(name="x" * 200, kind="event", match="Signup"), "name"),
        (Goal(name="", kind="event", match="a\u202eb"), "match"),
        (Goal(name="Read", kind="page", match="blog"), "match"),
        (Goal(name="Half", kind="scroll", match="/", depth=101), "depth"),
        (Goal(name="Paid", kind="event", match="Paid", currency="EURO"), "currency"),
    ],
)
def test_an_invalid_goal_names_its_field(goal: Goal, part: str) -> None:
    """The one that must be mended, so that a form can say so there."""
    with pytest.raises(GoalError) as refused:
        checked_goals((goal,))
    assert refused.value.part == part
