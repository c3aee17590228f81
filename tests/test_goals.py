"""Goals: what may be defined, and that every kind is counted exactly, by anything, under any filter."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.clickhouse import ClickHouse
from collector.event import Event
from collector.exceptions import RecordError
from collector.goals import MOST_GOALS, Goal
from collector.inserter import ClickHouseInserter
from collector.records import Records
from collector.rollup import Rollup
from collector.sites import Site, Sites, checked
from dashboard.filters import All, Compare, Done, Either, Filter, Not, direct_leaves, is_
from dashboard.period import Period
from dashboard.protect import Protection
from dashboard.query import Query
from dashboard.store import Store
from tests.model import PAGES, SITE, ZONE, Model, random_events
from tests.test_model import compare, day, whole
from tests.test_store import ask, event, later, seed

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
def store(clickhouse: ClickHouse, database: Client) -> Iterator[Store]:  # noqa: ARG001 - the schema must be there
    """A store over a site with goals, which tells every count exactly."""
    opened = Store(
        lambda settings: clickhouse.client(readonly=True, settings=settings),
        protection=lambda _: Protection(least=1),
        goals=lambda _: GOALS,
        readers=2,
    )
    yield opened
    opened.close()


def questions(period: Period, filters: Filter | None, *dimensions: str) -> Iterator[Query]:
    """By goal, by goal and each dimension, and by each dimension alone where the filter asks for goals."""
    yield Query(SITE, METRICS, period, ("event:goal",), filters, limit=10_000)
    for name in dimensions:
        yield Query(SITE, METRICS, period, ("event:goal", name), filters, limit=10_000)
    if filters is not None:
        asked = any(leaf.dimension == "event:goal" for leaf in direct_leaves(filters))
        for names in ((), *((name,) for name in dimensions)):
            yield Query(SITE, METRICS if asked else COUNTS, period, names, filters, limit=10_000)


BY = ("visit:source", "event:page", "visit:exit_page", "event:props:plan", "time:day", "time:hour")


def test_every_kind_is_counted_by_any_breakdown(database: Client, store: Store) -> None:
    """Visitors, visits, events, rates; an event that reaches two goals counts in both; before and after closing."""
    events = town(1, 5)
    model = Model(events, GOALS)
    ClickHouseInserter(database).insert(events, "town")
    assert {row[0] for row in model.rows(next(questions(whole(), None)))} == {goal.name for goal in GOALS}
    compare(store, model, [*questions(whole(), None, *BY)])
    sites = Sites(Records(database, "sites", Site))
    asyncio.run(sites.add(Site(domain=SITE, timezone=ZONE)))
    midday = datetime.datetime.combine(day(4), datetime.time(12), datetime.UTC).timestamp()
    assert Rollup(database, sites, lambda: midday).close_due() > 2
    compare(store, model, [*questions(whole(), None, "visit:source", "time:day")])


FILTERS: dict[str, Filter] = {
    "is": is_("event:goal", "Signup"),
    "is a page": is_("event:goal", "Read below b"),
    "is a scroll": is_("event:goal", "Half"),
    "is any of several": is_("event:goal", "Signup", "Read b", "All of b"),
    "is, in any case": Compare("is", "event:goal", ("HALF", "lost"), case_sensitive=False),
    "is not": Not(is_("event:goal", "Signup")),
    "is not a scroll": Not(is_("event:goal", "Half", "Read b")),
    "is none that there is": is_("event:goal", "Purchase"),
    "contains": Compare("contains", "event:goal", ("of b", "Left")),
    "contains, in any case": Compare("contains", "event:goal", ("OF B",), case_sensitive=False),
    "matches": Compare("matches", "event:goal", ("^Read .*b$", "^H.lf$")),
    "matches not": Not(Compare("matches", "event:goal", ("^Read",))),
    "has done": Done(is_("event:goal", "Half")),
    "has not done": Not(Done(is_("event:goal", "Read b", "Left"))),
    "or": Either((is_("event:goal", "Half"), is_("visit:country", "SE"))),
    "and": All((is_("event:goal", "Half", "Left"), is_("event:page", *PAGES[:3]))),
}


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
def test_goals_filter_like_any_dimension(database: Client, store: Store, filters: Filter) -> None:
    """Every operator over every kind, alone and within other filters, agrees with a plain count."""
    events = town(2, 3)
    ClickHouseInserter(database).insert(events, "town")
    compare(store, Model(events, GOALS), [*questions(whole(), filters, "visit:source", "event:page")])


@pytest.fixture
def guarded(clickhouse: ClickHouse, database: Client) -> Iterator[Store]:  # noqa: ARG001 - the schema must be there
    """The same site, which protects groups of fewer than three."""
    opened = Store(
        lambda settings: clickhouse.client(readonly=True, settings=settings), goals=lambda _: GOALS, readers=1
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


def test_goals_that_are_all_events_of_a_name_are_exact_unfiltered(database: Client, guarded: Store) -> None:
    """They tell what a breakdown by event name tells; goals by page, link or depth cut finer, as a filter does."""
    seed(database, signups(0))
    found = ask(guarded, "visitors", dimensions=("event:goal",)).rows
    assert {row.dimensions[0]: row.metrics[0] for row in found} == {"Signup": 22, "Half": 24, "Read b": 24}
    anywhere = Not(is_("visit:country", "DK"))
    found = ask(guarded, "visitors", "events", dimensions=("event:goal",), filters=anywhere).rows
    assert [row.metrics for row in found if row.dimensions == ("Signup",)] == [(24, 24)]


@pytest.mark.parametrize("goal", ["Signup", "Read b"])
def test_who_reached_a_goal_and_is_not_among_a_filter_is_not_told(database: Client, guarded: Store, goal: str) -> None:
    """Whole minus part: of those who reached a goal, none, one or two from Norway look the same."""
    seen = []
    for norwegians in range(3):
        database.command("TRUNCATE TABLE events")
        seed(database, signups(norwegians))
        reached = is_("event:goal", goal)
        by_both = ask(guarded, "visitors", dimensions=("event:goal", "visit:country")).rows
        seen.append([
            ask(guarded, "visitors", "events", "bounce_rate", filters=All((reached, is_("visit:country", "SE")))).rows,
            ask(guarded, "visitors", "events", filters=reached, dimensions=("visit:country",)).rows,
            [row for row in by_both if row.dimensions[0] == goal],
        ])  # fmt: skip
        assert seen[-1][0][0].metrics[:1] == (24,)
    assert seen[0] == seen[1] == seen[2]


def test_a_goal_has_the_revenue_of_its_currency(database: Client, store: Store) -> None:
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
    nothing = ask(store, *money, filters=All((is_("event:goal", "Paper"), Not(is_("event:props:plan", "(none)"))))).rows
    assert nothing[0].metrics == (0, None, 0)


@pytest.mark.parametrize("currency", [None, "", "EUR"])
@pytest.mark.parametrize("dimensions", [(), ("event:goal",)])
def test_a_goal_keeps_its_revenue_where_small_counts_are_protected(
    clickhouse: ClickHouse, database: Client, currency: str | None, dimensions: tuple[str, ...]
) -> None:
    """Filtered by it, all who reached it are all who had its event: told is what these paid."""
    goals = () if currency is None else (Goal(name="Bought", kind="event", match="Bought", currency=currency),)
    guarded = Store(lambda limits: clickhouse.client(readonly=True, settings=limits), goals=lambda _: goals, readers=1)
    paid: dict[str, Any] = {"name": "Bought", "currency": "EUR", "revenue": Decimal(6)}
    seed(database, [event(visitor, "/", **(paid if visitor <= 18 else {})) for visitor in range(1, 41)])
    asked = ("visitors", "total_revenue", "average_revenue")
    found = ask(guarded, *asked, dimensions=dimensions, filters=is_("event:goal", "Bought")).rows
    assert [(row.currency, *row.metrics) for row in found] == [("EUR", 18, 108, 6)]
    guarded.close()


def test_goals_that_are_all_events_of_a_name_come_from_the_days_sums(clickhouse: ClickHouse, database: Client) -> None:
    """Asked unfiltered of a closed day they are there even when its raw events are gone; two names for one are not."""
    seed(database, [event(1, "/"), later(1, "/", 5, name="Signup"), later(1, "/", 6, name="Buy")])
    sites = Sites(Records(database, "sites", Site))
    asyncio.run(sites.add(Site(domain=SITE)))
    tomorrow = datetime.datetime(2026, 3, 4, tzinfo=datetime.UTC).timestamp()
    Rollup(database, sites, lambda: tomorrow).close_due()
    database.command("TRUNCATE TABLE events")
    plain = (Goal(name="Joined", kind="event", match="Signup"), Goal(name="Lost", kind="404"))
    twice = (*plain, Goal(name="Joined too", kind="event", match="Signup"))
    for goals, rows in ((plain, [("Joined",)]), (twice, []), ((), [("Buy",), ("Signup",)])):
        opened = Store(
            lambda settings: clickhouse.client(readonly=True, settings=settings), goals={SITE: goals}.__getitem__
        )
        found = ask(opened, "visitors", dimensions=("event:goal",)).rows
        opened.close()
        assert sorted(row.dimensions for row in found) == rows


@pytest.mark.parametrize(
    ("goal", "reason"),
    [
        (Goal(kind="event"), "event's name"),
        (Goal(kind="event", match="pageview"), "no custom event"),
        (Goal(kind="page"), "a path"),
        (Goal(kind="page", match="thanks"), "begins with /"),
        (Goal(kind="form", match="contact"), "begins with /"),
        (Goal(kind="scroll"), "1 to 100"),
        (Goal(kind="scroll", depth=101), "1 to 100"),
        (Goal(kind="page", match="/a", depth=50), "only a goal of kind scroll"),
        (Goal(kind="event", match="Buy", currency="kronor"), "currency"),
        (Goal(kind="event", match="Buy", name="x" * 121), "a name"),
        (Goal(kind="event", match="Buy", name="a\nb"), "a name"),
        (Goal(kind="page", match="/" + "x" * 500), "at most 500"),
        (Goal(kind="wish"), "expected a kind"),  # type: ignore[arg-type] # the point of the test
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
