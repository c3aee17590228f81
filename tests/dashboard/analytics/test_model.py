"""Every metric by every dimension, under random filters, agrees with a model in plain Python.

In short the embedded engine is asked everything, and a server and a cluster what may be another there: once while some
days are closed and some open. At length: `python -m bench tests`.
"""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.ingest.event import Event
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from collector.storage.shards import Shards
from dashboard.analytics.dimensions import DIMENSIONS
from dashboard.analytics.funnels import Funnel, FunnelStep
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from tests import journeys_model
from tests.funnel_model import FunnelModel
from tests.length import AT_LENGTH, by_length
from tests.model import OTHER, Cells, Model, Question, VisitKey
from tests.questions import cells, query_of
from tests.towns import EVENTS, FIRST, PAGES, SITE, ZONE, random_events

DAYS = 9
COUNTS = ("visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration")
VALUES: dict[str, tuple[str, ...]] = {
    "visit:source": ("Google", "Direct / None", "Bing"),
    "visit:country": ("SE", "NO", "(not set)"),
    "visit:utm_campaign": ("spring",),
    "visit:browser": ("Firefox",),
    "visit:entry_page": PAGES,
    "visit:exit_page": PAGES,
    "visit:engaged": ("true", "false"),
    "visit:returning": ("true", "false"),
    "event:page": PAGES,
    "event:name": ("pageview", *EVENTS),
    "event:goal": (*EVENTS, "Visit /a"),
    "event:hostname": ("shop.example.com",),
    "event:props:plan": ("pro", "(none)"),
}
RETURNING = ("visitors", "returning_visitors", "returning_rate")
REVENUE = ("total_revenue", "average_revenue")
FURTHER = {"event:page": ("time_on_page", "scroll_depth"), "event:goal": REVENUE}

Opened = Callable[..., StatsService]


@pytest.fixture
def opened(clickhouse: ClickHouse, database: Client) -> Iterator[Opened]:  # noqa: ARG001 - the schema must be there
    """Open services with a protection of small counts."""
    services: list[StatsService] = []

    def open_service(protection: Protection, **more: Any) -> StatsService:
        given: dict[str, Any] = {"protection": lambda _: protection, "workers": 2, "cluster": clickhouse.cluster} | more
        services.append(StatsService(lambda limits: clickhouse.client(readonly=True, settings=limits), **given))
        return services[-1]

    yield open_service
    for each in services:
        each.close()


@pytest.fixture
def store(opened: Opened) -> StatsService:
    """A service that tells everything."""
    return opened(Protection(min_visitors=1))


def random_filter(chance: random.Random, depth: int = 0) -> list[Any]:
    """A small tree of comparisons."""
    kind = chance.choice(("leaf", "leaf", "not", "and", "or", "has_done")) if depth < 2 else "leaf"
    if kind == "leaf":
        name = chance.choice([*VALUES])
        (value,) = chance.sample(VALUES[name], k=1)
        case = {"case_sensitive": chance.random() < 0.7}
        if name == "event:goal" or chance.random() < 0.6:
            return ["is", name, [value], case]
        if chance.random() < 0.5:
            return ["contains", name, [value[:2]], case]
        return ["matches", name, ["^" + value[:1].replace("(", "x")]]
    inner = [random_filter(chance, depth + 1) for _ in range(2)]
    return [kind, inner] if kind in ("and", "or") else [kind, inner[0]]


def day(number: int) -> datetime.date:
    """A date of the made-up town."""
    return FIRST + datetime.timedelta(days=number)


def question(
    metrics: Sequence[str], *dimensions: str, filters: Sequence[Any] = (), first: int = 0, last: int = DAYS
) -> Question:
    """A question about the dates from one of the town's to another."""
    return Question(SITE, tuple(metrics), day(first), day(last), dimensions, filters, zone=ZONE)


def questions(filters: Sequence[Any], first: int = 0, last: int = DAYS) -> Iterator[Question]:
    """All metrics, of everyone and by each dimension, and by two of them."""
    dates: dict[str, Any] = {"filters": filters, "first": first, "last": last}
    yield question(COUNTS, **dates)
    for name in [*DIMENSIONS, "event:props:plan", "event:props:x", "event:props:never"]:
        if name != "time:minute":
            yield question((*COUNTS, "percentage", *FURTHER.get(name, ())), name, **dates)
            yield question(("visitors", *REVENUE), name, **dates)
    yield question(REVENUE, **dates)
    for names in ((), ("time:day",), ("time:week",), ("time:hour",)):
        yield question(RETURNING, *names, **dates)
    for name in ("event:page", "visit:source", "visit:entry_page"):
        yield question((*COUNTS, *REVENUE), name, **dates)
    yield question(("visitors", *REVENUE), "time:day", "event:props:plan", **dates)
    yield question(COUNTS, "time:day", "event:page", **dates)
    yield question(COUNTS, "time:week", "event:props:plan", **dates)
    yield question(("events", "total_revenue"), "time:day", "event:goal", **dates)
    yield question(COUNTS, "visit:country", "visit:source", **dates)
    yield question(COUNTS, "event:goal", "time:hour", **dates)


def compare(store: StatsService, model: Model, asked: Sequence[Question]) -> None:
    """The store's answers, asked together, are the model's; what it hides is called hidden."""
    results = asyncio.run(store.run([query_of(each) for each in asked]))
    for each, result in zip(asked, results, strict=True):
        answer = model.answer(each)
        found = {row.dimensions: cells(each, row) for row in result.rows if not row.hidden}
        different = {row for row in found.keys() | answer.rows if found.get(row) != answer.rows.get(row)}
        told = [f"{row}: {found.get(row)} for {answer.rows.get(row)}" for row in sorted(different)]
        assert not different, f"{each}\n" + "\n".join(told)
        assert {row.dimensions for row in result.rows if row.hidden} <= answer.hidden, each


def insert(database: Client, events: Sequence[Event], token: str = "town") -> None:  # noqa: S107 - no password
    """Store events."""
    ClickHouseInserter(database).insert(list(events), token)


def close_days(database: Client, number: int, shards: Shards | None = None) -> int:
    """Close the days that are over at noon of one of the town's; returns how many were."""
    sites = Sites(DocumentTable(database, "sites", Site))
    sites.refresh()
    if sites.get(SITE) is None:
        asyncio.run(sites.add(Site(domain=SITE, timezone=ZONE)))
    noon = datetime.datetime.combine(day(number), datetime.time(12), datetime.UTC).timestamp()
    return RollupJob(database, sites, lambda: noon, shards=shards).close_due()


def test_open_days_closed_days_and_both_agree_with_the_model(
    database: Client, shards: Shards, store: StatsService, clickhouse: ClickHouse
) -> None:
    """Before any day is closed, when some are, and when all are; unfiltered, where sums take the events' place."""
    events = random_events(1, DAYS, 9)
    model = Model(events)
    insert(database, events)
    every, some = [*questions([])], [*questions([], 2, 6)]
    throughout = clickhouse.embedded or AT_LENGTH
    if throughout:
        compare(store, model, by_length(every, [*every, *some]))
    assert close_days(database, 5, shards) > 3
    compare(store, model, by_length(every, [*every, *some]))
    assert close_days(database, DAYS + 2, shards) > 3
    if throughout:
        compare(store, model, by_length(every, [*every, *some]))


def test_filters_agree_with_the_model(database: Client, store: StatsService, clickhouse: ClickHouse) -> None:
    """Random trees of comparisons over visits, events and other events of the visit; others where a server answers."""
    seed = 3 if clickhouse.embedded else 4
    chance = random.Random(seed)  # noqa: S311 - a made-up town
    events = random_events(seed, 4, 9)
    insert(database, events)
    model = Model(events)
    for _ in range(by_length(1, 6)):
        compare(store, model, [*questions([random_filter(chance)], 0, 4)])
    alternatives = ["or", [["is", "visit:source", ["Google"]], ["matches", "visit:returning", ["^t"]]]]
    compare(store, model, [question(COUNTS, "visit:country", "event:page", filters=[alternatives], last=4)])
    read = ("visitors", "time_on_page", "scroll_depth")
    compare(store, model, [question(read, "time:hour", filters=[["is", "event:page", ["/a"]]], last=4)])


def test_stretches_of_time_agree_with_the_model(database: Client, store: StatsService) -> None:
    """From a second to a second, over the night in which clocks change."""
    events = random_events(8, DAYS, 9)
    insert(database, events)
    begins = int(datetime.datetime(2026, 10, 24, 20, 15, 30, tzinfo=datetime.UTC).timestamp())
    times: dict[str, Any] = {"start": begins, "end": begins + 20 * 3600 + 8}
    compare(store, Model(events), [Question(**each.__dict__ | times) for each in questions([], 4, 5)])


def test_protection_agrees_with_the_model(
    clickhouse: ClickHouse, database: Client, shards: Shards, opened: Opened
) -> None:
    """Under default settings and `strict`, for members and for guests at any second of the open day: random filters,
    every kind of view; exact, folded, hidden, rounded, and in steps."""

    # A statement takes shards twice as long, and the first example is always the smallest.
    @settings(max_examples=by_length(4 if clickhouse.embedded else 2, 12), deadline=None)
    @given(st.randoms(use_true_random=False), st.booleans(), st.integers(0, 86_400))
    def agrees(chance: random.Random, strict: bool, second: int) -> None:
        compare_protected(database, shards, opened, chance, strict=strict, second=second)

    agrees()


def compare_protected(
    database: Client, shards: Shards, opened: Opened, chance: random.Random, *, strict: bool, second: int
) -> None:
    """Random events up to a second of the open day, and what a member and a guest are told of them."""
    now = float(datetime.datetime.combine(day(1), datetime.time(), datetime.UTC).timestamp() + second)
    shards.command("TRUNCATE TABLE events")
    events = [each for each in random_events(chance.randrange(1000), 2, 12) if each.ts <= now]
    insert(database, events, str(chance.random()))
    stats = opened(Protection(strict=strict), clock=lambda: now)
    model = Model(events, min_visitors=3, strict=strict)
    names = chance.sample([*DIMENSIONS, "event:props:plan"], k=4)
    for filters in ([], [random_filter(chance)]):
        two = chance.sample(["visit:country", "event:page", "time:day"], k=2)
        asked = [question(COUNTS, *by, filters=filters, last=1) for by in ((), two)]
        asked += [question(RETURNING, *by, filters=filters, last=1) for by in ((), ("time:day",), ("time:hour",))]
        for name in names:
            metrics = (*COUNTS, "percentage", *FURTHER.get(name, ()))
            asked.append(question(metrics, name, filters=filters, last=1))
            asked.append(question(("visitors", *REVENUE), name, filters=filters, last=1))
        asked.append(question((*COUNTS, *REVENUE), *two, filters=filters, last=1))
        asked.append(question((*COUNTS, *REVENUE), filters=filters, last=1))
        # These are one statement.
        alike = ("visit:source", "visit:country", "event:page", "event:hostname", "event:goal")
        asked += [question(("visitors", "pageviews"), name, filters=filters, last=1) for name in alike]
        asked += [question(("visitors", "total_revenue"), name, filters=filters, last=1) for name in alike]
        compare(stats, model, asked)
        compare(stats.as_guest(), model.for_guest(now, ZONE), asked)


def test_filters_by_steps_agree_on_every_database(database: Client, opened: Opened) -> None:
    """Of funnels and of journeys: a statement within a statement finds the visits wherever their events are."""
    steps = (FunnelStep(kind="page", match="/a"), FunnelStep(kind="page", match="/b**"))
    way = Funnel(name="Way", steps=steps, order="strict")
    events = random_events(5, 2, 20)
    insert(database, events, "town")
    stats = opened(Protection(min_visitors=1), funnels=lambda _: {way.name: way})

    def members(model: Model, value: str) -> Collection[VisitKey]:
        everyone = question(["visits"], last=1)
        if value.endswith(way.name):
            return FunnelModel(model).members(way, everyone, value)
        return journeys_model.members(model, everyone, value)

    model = Model(events, members=members)
    for name, value in (
        ("visit:funnel", "left:1:Way"),
        ("visit:journey", "at=page:/a&then2=page:/b"),
        ("visit:journey", "way=backward&not2=page:/a&not2=end"),
    ):
        filters = [["is", name, [value]], ["contains", "event:name", ["PAGE"], {"case_sensitive": False}]]
        compare(stats, model, [question(COUNTS, *by, filters=filters, last=1) for by in ((), ("event:page",))])


def count_of(row: Cells) -> int:
    """The only metric of a row, a count."""
    (count,) = row
    assert isinstance(count, int)
    return count


def test_random_events_are_worth_asking_about() -> None:
    """The town has visits that begin with a custom event, groups too small to be shown, and steps for guests."""
    events = random_events(1, DAYS, 9)
    assert any(event.visits and event.name != "pageview" for event in events)
    model = Model(events, min_visitors=3)
    by_goal = model.answer(question(["visitors"], "event:page", filters=[["is", "event:goal", ["Download"]]], last=1))
    assert by_goal.other
    evening = datetime.datetime.combine(day(3), datetime.time(20), datetime.UTC).timestamp()
    everybody, guests = (
        count_of(each.rows(question(["visitors"], first=3, last=3))[()])
        for each in (model, model.for_guest(evening, ZONE))
    )
    assert 0 < guests < everybody
    rounded = Model(events, min_visitors=3, strict=True).rows(question(["visitors"], "visit:country"))
    assert {count_of(row) % 6 for row in rounded.values()} == {0}
    sold = model.rows(question(REVENUE, "visit:source"))
    assert any(len(total) == 2 for total, _ in sold.values() if isinstance(total, tuple))
    assert OTHER not in {value for (value,) in rounded}
