"""Journeys agree with a model in plain Python, and tell of no small group."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.ingest.event import Event
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import every, is_, parse_filters
from dashboard.analytics.journeys import Journey, JourneyPath, JourneyResult, Step, read_step
from dashboard.analytics.journeys_filter import read_value, value_of
from dashboard.analytics.journeys_protection import VisitGroup, told_links
from dashboard.analytics.journeys_query import run_journey
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from tests.dashboard.analytics.test_model import random_filter
from tests.journeys_model import JourneyAnswer, JourneyQuestion, answer
from tests.length import long
from tests.model import Model, Question
from tests.questions import query_of
from tests.towns import EVENTS, FIRST, PAGES, SITE, ZONE, random_events

DAYS = 3
Opened = Callable[..., StatsService]


@pytest.fixture
def opened(clickhouse: ClickHouse, database: Client) -> Iterator[Opened]:  # noqa: ARG001 - the schema must be there
    """Open services with a protection of small counts."""
    services: list[StatsService] = []

    def open_service(protection: Protection | None = None, **more: Any) -> StatsService:
        given: dict[str, Any] = {"protection": lambda _: protection or Protection(), "workers": 2} | more
        services.append(StatsService(lambda limits: clickhouse.client(readonly=True, settings=limits), **given))
        return services[-1]

    yield open_service
    for each in services:
        each.close()


def journey_of(asked: JourneyQuestion) -> Journey:
    """The journey that a service answers."""
    query = query_of(asked.question)
    return Journey(
        query.site,
        query.period,
        query.filters,
        JourneyPath(
            "forward" if asked.direction == "forward" else "backward",
            read_step(asked.anchor, "anchor") if asked.anchor else None,
            tuple(read_step(each, "choices") if each else None for each in asked.choices),
            "page" if asked.by == "page" else "section",
            asked.pages_only,
        ),
        asked.columns,
        asked.nodes,
    )


def told(result: JourneyResult) -> JourneyAnswer:
    """The result as the model has it."""
    return JourneyAnswer(
        result.visits,
        [{str(node.step): node.visits for node in column} for column in result.columns],
        {(link.column, str(link.source), str(link.target)): link.visits for link in result.links},
    )


def ask(stats: StatsService, asked: JourneyQuestion) -> JourneyAnswer:
    """What a service tells."""
    return told(asyncio.run(run_journey(stats, journey_of(asked))))


def random_journey(chance: random.Random, days: int = DAYS) -> JourneyQuestion:
    """Any journey through the made-up town."""
    steps = [*(f"page:{page}" for page in PAGES), *(f"event:{name}" for name in EVENTS)]
    by, columns = chance.choice(("page", "section")), chance.randrange(2, 8)
    filters = [random_filter(chance)] if chance.random() < 0.4 else []
    some = [*steps, "end", "page:/b/*"]
    return JourneyQuestion(
        Question(SITE, ("visits",), FIRST, FIRST + datetime.timedelta(days=days - 1), filters=filters, zone=ZONE),
        chance.choice(("forward", "backward")),
        chance.choice(("", *steps)),
        tuple(chance.choice(("", *some)) for _ in range(chance.choice((0, 0, 1, 2)) if columns > 2 else 0)),
        columns,
        chance.choice((1, 3, 3)),
        by,
        chance.random() < 0.3,
    )


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.booleans(), st.booleans(), st.integers(0, 86_400))
def test_journeys_agree_with_the_model(
    database: Client, opened: Opened, chance: random.Random, strict: bool, guest: bool, second: int
) -> None:
    """Random sites, journeys and filters under default settings and `strict`, for members and guests at any second of
    the open day: columns, links and what is hidden."""
    today = datetime.datetime.combine(FIRST + datetime.timedelta(DAYS - 1), datetime.time(), datetime.UTC)
    now = today.timestamp() + second
    database.command("TRUNCATE TABLE events")
    town = random_events(chance.randrange(1000), DAYS, chance.choice((3, 12, 30)))
    events = [each for each in town if each.ts <= now]
    ClickHouseInserter(database).insert(events, str(chance.random()))
    stats = opened(Protection(strict=strict), clock=lambda: now)
    model = Model(events, min_visitors=3, strict=strict)
    if guest:
        stats, model = stats.as_guest(), model.for_guest(now, ZONE)
    for _ in range(6):
        asked = random_journey(chance)
        assert ask(stats, asked) == answer(model, asked, 3), asked
    stats.close()


def test_everything_is_told_without_protection(database: Client, opened: Opened) -> None:
    """With a minimum of 1 every step and link is, and a column has as many visits as the one before without its end."""
    events = random_events(5, DAYS, 20)
    ClickHouseInserter(database).insert(events, "town")
    stats, model, chance = opened(Protection(min_visitors=1)), Model(events), random.Random(7)  # noqa: S311
    for _ in range(20):
        asked = replace(random_journey(chance), nodes=8)
        found = ask(stats, asked)
        assert found == answer(model, asked, 1), asked
        for before, column in itertools.pairwise(found.columns):
            assert sum(column.values()) == sum(before.values()) - before.get("end", 0)


def test_the_first_column_has_the_visits_of_the_dashboard(database: Client, opened: Opened) -> None:
    """Under any filters: a journey from the beginning of visits is of all selected visits."""
    ClickHouseInserter(database).insert(random_events(2, DAYS, 30), "town")
    stats, chance = opened(), random.Random(2)  # noqa: S311 - a made-up town
    for filters in ([], *([random_filter(chance)] for _ in range(12))):
        asked = Question(SITE, ("visits",), FIRST, FIRST + datetime.timedelta(DAYS), filters=filters, zone=ZONE)
        (result,) = asyncio.run(stats.run([query_of(asked)]))
        assert ask(stats, JourneyQuestion(asked)).visits == result.rows[0].metrics[0], filters


@long
def test_every_step_leads_to_its_visits(database: Client, opened: Opened) -> None:
    """The steps that are not named and the end as well: the journey that goes on from one, and the dashboard that is
    filtered by it, have as many visits as it says."""
    ClickHouseInserter(database).insert(random_events(3, DAYS, 60), "town")
    chance, kinds = random.Random(11), Counter[str]()  # noqa: S311 - a made-up town
    for stats in [opened(), opened(Protection(strict=True))] * 6:
        asked = random_journey(chance)
        journey = journey_of(asked)
        result = asyncio.run(run_journey(stats, journey))
        steps = [(number, node) for number, column in enumerate(result.columns) for node in column]
        for number, node in chance.sample(steps, min(len(steps), 8)):
            path = result.reaching(journey.path, number, node.step)
            on = asyncio.run(run_journey(stats, replace(journey, path=path)))
            chosen = every(journey.filters, is_("visit:journey", value_of(path)))
            (dashboard,) = asyncio.run(stats.run([Query(SITE, ("visits",), journey.period, filters=chosen)]))
            assert (on.visits, dashboard.rows[0].metrics[0]) == (node.visits, node.visits), (asked, number, node)
            assert read_value(value_of(path)) == path
            kinds[node.step.kind] += 1
    assert min(kinds[kind] for kind in ("page", "event", "other", "end")) > 3


NOON = int(datetime.datetime(2026, 10, 20, 12, tzinfo=datetime.UTC).timestamp())


def visit(visitor: int, *steps: str, at: int = NOON, gap: int = 10) -> list[Event]:
    """One visit: pages, custom events and `engagement`, so many seconds apart."""
    named = [step if step[0] != "/" else "pageview" for step in steps]
    return [
        Event(
            site=SITE, day=FIRST, ts=at + number * gap, visitor=visitor, visit=at, name=named[number], seq=number + 1,
            page=step if step[0] == "/" else "/", hostname="a.test", consent="granted", visits=int(number == 0),
            expires=datetime.date(2100, 1, 1),
        )
        for number, step in enumerate(steps)
    ]  # fmt: skip


def ask_about(stats: StatsService, **more: Any) -> JourneyAnswer:
    """A journey on the day of these visits."""
    return ask(stats, JourneyQuestion(Question(SITE, ("visits",), FIRST, FIRST), **more))


def test_order_within_a_second_is_that_of_arrival(database: Client, opened: Opened) -> None:
    """A click and the page that it loads within one second are two steps, in that order."""
    people = [visit(number, "/z", "Buy", "/a", "/m", gap=0) for number in range(1, 5)]
    ClickHouseInserter(database).insert([event for each in people for event in reversed(each)], "backwards")
    found = ask_about(opened(), columns=5)
    assert [*found.columns] == [{"page:/z": 4}, {"event:Buy": 4}, {"page:/a": 4}, {"page:/m": 4}, {"end": 4}]
    back = ask_about(opened(), columns=3, direction="backward", anchor="event:Buy")
    assert [*back.columns] == [{"event:Buy": 4}, {"page:/z": 4}, {"end": 4}]


def test_repeats_are_one_step_and_engagement_is_none(database: Client, opened: Opened) -> None:
    """A reload does not part two visits that went the same way; a later view of the page is another step."""
    ways = (("/a", "/a", "engagement", "/a", "/b"), ("/a", "/b"), ("/a", "engagement", "/b", "/b"), ("/a", "/b", "/a"))
    events = [event for number, way in enumerate(ways * 3, start=1) for event in visit(number, *way)]
    ClickHouseInserter(database).insert(events, "repeats")
    found = ask_about(opened())
    assert [*found.columns] == [{"page:/a": 12}, {"page:/b": 12}, {"page:/a": 3, "end": 9}, {"end": 3}]
    assert found.links[1, "page:/b", "page:/a"] == 3


def test_sections_are_merged_before_they_are_counted(database: Client, opened: Opened) -> None:
    """Pages of one section one after another are one step; the page that is named as the section is not in it."""
    ways = (("/blog", "/blog/a", "/blog/b/c", "/blog/", "/"), ("/blog/x", "/shop/1", "/"))
    events = [event for number, way in enumerate(ways * 3, start=1) for event in visit(number, *way)]
    ClickHouseInserter(database).insert(events, "sections")
    found = ask_about(opened(), by="section", columns=3)
    assert [*found.columns] == [
        {"page:/blog": 3, "page:/blog/*": 3},
        {"page:/blog/*": 3, "page:/shop/*": 3},
        {"page:/": 6},
    ]


def test_a_small_end_is_not_told_by_the_next_column(database: Client, opened: Opened) -> None:
    """Two who leave go on among the others, so that the columns' sums do not tell of them."""
    ways = (*[("/", "/a", "/c")] * 5, *[("/", "/b", "/c")] * 4, ("/",), ("/",), ("/", "/rare", "/c"))
    events = [event for number, way in enumerate(ways, start=1) for event in visit(number, *way)]
    ClickHouseInserter(database).insert(events, "ends")
    found = ask_about(opened())
    assert [*found.columns] == [{"page:/": 12}, {"page:/a": 5, "page:/b": 4, "other": 3}]
    more = [event for number in range(20, 23) for event in visit(number, "/")]
    ClickHouseInserter(database).insert(more, "more")
    assert [*ask_about(opened()).columns] == [
        {"page:/": 15},
        {"page:/a": 5, "other": 5, "end": 5},
        {"page:/c": 10},
        {"end": 10},
    ]


@long
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=9, max_size=9))
def test_no_small_group_of_links_follows_from_what_is_told(counts: list[int]) -> None:
    """Of all tables that fit what is told, with every sum of a row and of a column: whatever is the same in all of them
    is nobody or three people and more."""
    rows, columns = ("a", "b", "c"), ("x", "y", "z")
    cells = [*itertools.product(rows, columns)]
    sizes = {cell: count for cell, count in zip(cells, counts, strict=True) if count}
    people = itertools.count()
    groups = {
        (Step("page", row), Step("page", column)): VisitGroup(count, frozenset(itertools.islice(people, count)))
        for (row, column), count in sizes.items()
    }
    shown = {(source.name, target.name) for source, target in told_links(groups, 3)}
    sums = {name: sum(count for cell, count in sizes.items() if name in cell) for name in (*rows, *columns)}
    if any(0 < total < 3 for total in sums.values()):
        return  # such a step is not told
    tables = [*_tables(cells, sums, {cell: sizes[cell] for cell in shown})]
    hidden = [number for number, cell in enumerate(cells) if cell not in shown]
    for some in itertools.chain.from_iterable(itertools.combinations(hidden, size) for size in range(1, 10)):
        size = sum(sizes.get(cells[number], 0) for number in some)
        known = not any(sum(table[number] for number in some) != size for table in tables)
        assert not (known and 0 < size < 3), (sizes, shown, [cells[number] for number in some])


def _tables(
    cells: list[tuple[str, str]], sums: dict[str, int], known: dict[tuple[str, str], int]
) -> Iterator[tuple[int, ...]]:
    """Every table of counts with these sums and these known counts."""
    if not cells:
        if not any(sums.values()):
            yield ()
        return
    cell, *rest = cells
    row, column = cell
    possible = range(min(sums[row], sums[column]) + 1)
    for count in [known[cell]] if cell in known else possible:
        if count in possible:
            less = {name: total - count * (name in cell) for name, total in sums.items()}
            yield from ((count, *table) for table in _tables(rest, less, known))


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("columns", {"columns": 1}),
        ("columns", {"columns": 11}),
        ("nodes", {"nodes": 9}),
        ("anchor", {"path": JourneyPath(anchor=Step("end"))}),
        ("choices", {"path": JourneyPath(choices=(None,) * 5)}),
        ("filters", {"filters": parse_filters([["matches", "event:page", ["("]]])}),
    ],
)
def test_what_cannot_be_answered_names_its_field(opened: Opened, field: str, more: dict[str, Any]) -> None:
    """A journey out of bounds says which field is wrong."""
    journey = journey_of(JourneyQuestion(Question(SITE, ("visits",), FIRST, FIRST)))
    with pytest.raises(QueryError) as caught:
        asyncio.run(run_journey(opened(), replace(journey, **more)))
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["", "page", "page:", "left", "end:x", "section:/a"])
def test_a_misspelt_step_names_its_field(text: str) -> None:
    """Steps are pages, events, and the end."""
    with pytest.raises(QueryError, match="expected page:/path"):
        read_step(text, "anchor")
