"""Every metric by every dimension, under random filters, agrees with a model in plain Python: exactly."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from collector.clickhouse import ClickHouse
from collector.inserter import ClickHouseInserter
from collector.records import Records
from collector.rollup import Rollup
from collector.sites import Site, Sites
from dashboard.dimensions import DIMENSIONS
from dashboard.few import MOST_FEW
from dashboard.filters import All, Compare, Done, Either, Filter, Not, is_
from dashboard.period import Period, parse_moments, parse_period
from dashboard.protect import Protection
from dashboard.query import Query
from dashboard.store import Store
from tests.model import EVENTS, FIRST, PAGES, SITE, ZONE, Model, random_events

DAYS = 9
NOW = datetime.datetime.combine(FIRST + datetime.timedelta(days=DAYS), datetime.time(12), datetime.UTC)
COUNTS = ("visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration")
VALUES: dict[str, tuple[str, ...]] = {
    "visit:source": ("Google", "Direct / None", "Bing"),
    "visit:country": ("SE", "NO", "(not set)"),
    "visit:utm_campaign": ("spring",),
    "visit:browser": ("Firefox",),
    "visit:entry_page": PAGES,
    "visit:exit_page": PAGES,
    "event:page": PAGES,
    "event:name": ("pageview", *EVENTS),
    "event:goal": (*EVENTS, "Visit /a", "Visit /b*"),
    "event:hostname": ("shop.example.com",),
    "event:props:plan": ("pro", "(none)"),
}


@pytest.fixture(params=[MOST_FEW, 0], ids=["counted here", "counted by the database"])
def store(request: pytest.FixtureRequest, clickhouse: ClickHouse, database: Client) -> Iterator[Store]:  # noqa: ARG001
    """A store over the fresh database that tells everything, and counts in one of the two places."""
    opened = Store(
        lambda limits: clickhouse.client(readonly=True, settings=limits),
        protection=lambda _: Protection(least=1),
        readers=2,
        most_few=request.param,
    )
    yield opened
    opened.close()


def random_filter(chance: random.Random, depth: int = 0) -> Filter:
    """A small tree of comparisons."""
    kind = chance.choice(("leaf", "leaf", "not", "all", "either", "done")) if depth < 2 else "leaf"
    if kind == "leaf":
        name = chance.choice([*VALUES])
        values = tuple(each for each in chance.sample(VALUES[name], k=1) if each != "Visit /b*") or ("Visit /a",)
        if name == "event:goal" or chance.random() < 0.6:
            return Compare("is", name, values, case_sensitive=chance.random() < 0.7)
        if chance.random() < 0.5:
            return Compare("contains", name, (values[0][:2],), case_sensitive=chance.random() < 0.7)
        return Compare("matches", name, ("^" + values[0][:1].replace("(", "x"),))
    inner = [random_filter(chance, depth + 1) for _ in range(2)]
    match kind:
        case "not":
            return Not(inner[0])
        case "done":
            return Done(inner[0])
        case "all":
            return All(tuple(inner))
    return Either(tuple(inner))


def questions(period: Period, filters: Filter | None) -> Iterator[Query]:
    """All metrics, of everyone and by each dimension, and by two of them."""
    yield Query(SITE, COUNTS, period, (), filters)
    for name in [*DIMENSIONS, "event:props:plan", "event:props:x", "event:props:never", "time"]:
        further = {"event:page": ("time_on_page", "scroll_depth"), "event:goal": ("total_revenue", "average_revenue")}
        metrics = (*COUNTS, "percentage", *further.get(name, ()))
        if name != "time:minute":
            yield Query(SITE, metrics, period, (name,), filters, limit=10_000)
    yield Query(SITE, COUNTS, period, ("time:day", "event:page"), filters, limit=10_000)
    yield Query(SITE, COUNTS, period, ("time:week", "event:props:plan"), filters, limit=10_000)
    yield Query(SITE, ("events", "total_revenue"), period, ("time:day", "event:goal"), filters, limit=10_000)
    yield Query(SITE, COUNTS, period, ("visit:country", "visit:source"), filters, limit=10_000)
    yield Query(SITE, COUNTS, period, ("event:goal", "time:hour"), filters, limit=10_000)


def compare(store: Store, model: Model, asked: list[Query]) -> None:
    """The store's answers, asked together, are the model's."""
    for query, result in zip(asked, asyncio.run(store.run(asked)), strict=True):
        found = {row.dimensions: row.metrics for row in result.rows}
        assert found == model.rows(query), query


def day(number: int) -> datetime.date:
    """A date of the made-up town."""
    return FIRST + datetime.timedelta(days=number)


def whole(first: int = 0, last: int = DAYS) -> Period:
    """From one of its dates to another."""
    return parse_period("custom", ZONE, NOW, day(first), day(last))


@pytest.mark.parametrize("seed", [1])
def test_open_days_closed_days_and_both_agree_with_the_model(database: Client, store: Store, seed: int) -> None:
    """Before any day is closed, when some are, and when all are; unfiltered, where sums take the events' place."""
    events = random_events(seed, DAYS, 9)
    model = Model(events)
    ClickHouseInserter(database).insert(events, "town")
    sites = Sites(Records(database, "sites", Site))
    asyncio.run(sites.add(Site(domain=SITE, timezone=ZONE)))
    asked = [*questions(whole(), None), *questions(whole(2, 6), None)]
    compare(store, model, asked)
    for closing in (day(5), day(DAYS + 2)):
        midday = datetime.datetime.combine(closing, datetime.time(12), datetime.UTC).timestamp()
        built = Rollup(database, sites, lambda: midday).close_due()  # noqa: B023 - used at once
        assert built > 3
        compare(store, model, asked)


def test_filters_agree_with_the_model(database: Client, store: Store, clickhouse: ClickHouse) -> None:
    """Random trees of comparisons over visits, events and other events of the visit; others where a server answers."""
    seed = 3 if clickhouse.embedded else 4
    chance = random.Random(seed)  # noqa: S311 - a made-up town
    events = random_events(seed, 4, 9)
    ClickHouseInserter(database).insert(events, "town")
    model = Model(events)
    for _ in range(3):
        compare(store, model, [*questions(whole(0, 4), random_filter(chance))])
    read = ("visitors", "time_on_page", "scroll_depth")
    compare(store, model, [Query(SITE, read, whole(0, 4), ("time:hour",), is_("event:page", "/a"), limit=10_000)])


def test_stretches_of_time_agree_with_the_model(database: Client, store: Store) -> None:
    """From a second to a second, over the night in which clocks change."""
    events = random_events(8, DAYS, 9)
    ClickHouseInserter(database).insert(events, "town")
    begins = datetime.datetime(2026, 10, 24, 20, 15, 30, tzinfo=datetime.UTC)
    period = parse_moments(begins, begins + datetime.timedelta(hours=20, seconds=7), ZONE)
    compare(store, Model(events), [*questions(period, None)])


def test_random_events_are_worth_asking_about() -> None:
    """The town has visits across midnight, visits that begin with a custom event, and pageviews without consent."""
    events = random_events(1, DAYS, 9)
    days: dict[int, set[datetime.date]] = {}
    for event in events:
        days.setdefault(event.visit, set()).add(event.day)
    assert any(len(each) > 1 for visit, each in days.items() if visit)
    assert any(event.visits and event.name != "pageview" for event in events)
    assert any(event.visitor == 0 for event in events)
    assert any(event.name == "engagement" for event in events)
