"""Funnels: the traps of counting them, and agreement with a model in plain Python."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from msgspec import structs

from collector.ingest.event import Event
from collector.sites.goals import Goal
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from dashboard.analytics.filters import FunnelOrder, FunnelWindow, parse_filters
from dashboard.analytics.funnels import MOST_STEPS, Funnel, FunnelStep, PropertyCondition, path_of, read_step
from dashboard.analytics.funnels_service import FunnelQuery, FunnelResult, run_funnel
from dashboard.analytics.query import OTHER, Query
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.funnel_places import places
from tests.funnel_model import FunnelAnswer, FunnelModel
from tests.length import by_length, long
from tests.model import Model, Question
from tests.questions import query_of
from tests.towns import EVENTS, FIRST, PAGES, SITE, ZONE, random_events

GOALS = (
    Goal(name="Signup", kind="event", match="Signup"),
    Goal(name="Reading", kind="page", match="/b/**"),
    Goal(name="Deep", kind="scroll", match="/a", depth=50),
)
ORDERS: tuple[FunnelOrder, ...] = ("sequential", "strict", "any")
WINDOWS: tuple[FunnelWindow, ...] = ("visit", "day")

Opened = Callable[..., StatsService]


@pytest.fixture
def opened(clickhouse: ClickHouse, database: Client) -> Iterator[Opened]:  # noqa: ARG001 - the schema must be there
    """Open services, with default protection unless another is given."""
    services: list[StatsService] = []

    def open_service(protection: Protection | None = None, **more: Any) -> StatsService:
        own = {"protection": lambda _: protection or Protection(), "goals": lambda _: GOALS, "workers": 2}
        given: dict[str, Any] = own | more
        services.append(StatsService(lambda limits: clickhouse.client(readonly=True, settings=limits), **given))
        return services[-1]

    yield open_service
    for each in services:
        each.close()


def funnel(*steps: str, order: FunnelOrder = "sequential", window: FunnelWindow = "visit") -> Funnel:
    """A funnel, its steps as the command line spells them; a path is a page."""
    spelled = [f"page={each}" if each.startswith("/") else each for each in steps]
    return Funnel(name="F", steps=tuple(read_step(each, "steps") for each in spelled), order=order, window=window)


def run(stats: StatsService, asked: Funnel, question: Question, **more: Any) -> FunnelResult:
    """The answer about a question's dates and filters."""
    query = query_of(question)
    return asyncio.run(run_funnel(stats, FunnelQuery(SITE, path_of(asked, GOALS), query.period, query.filters, **more)))


def question(days: int = 1, filters: Sequence[Any] = (), metrics: tuple[str, ...] = ("visitors",)) -> Question:
    """A question about the first dates of the town."""
    last = FIRST + datetime.timedelta(days=days - 1)
    return Question(SITE, metrics, FIRST, last, (), filters, zone=ZONE)


NOON = int(datetime.datetime.combine(FIRST, datetime.time(12), datetime.UTC).timestamp())


def visit(number: int, *what: str, apart: int = 0, begins: int = NOON, **columns: Any) -> list[Event]:
    """One visitor's visit: pages, custom events, and `~` for engagement, so many seconds apart."""
    return [
        Event(
            site=SITE, day=FIRST, ts=begins + apart * place, visitor=number, visit=begins, consent="granted",
            name="engagement" if each == "~" else "pageview" if each.startswith("/") else each,
            page=each if each.startswith("/") else "/x", seq=place + 1, visits=int(not place),
            expires=datetime.date(2100, 1, 1), **columns,
        )
        for place, each in enumerate(what)
    ]  # fmt: skip


def store(database: Client, events: Sequence[Event], token: str = "events") -> None:  # noqa: S107 - no password
    """Store events."""
    ClickHouseInserter(database).insert(list(events), token)


TRAPS: tuple[tuple[str, tuple[str, ...], FunnelOrder, tuple[str, ...], int], ...] = (
    ("reversed steps of one second do not convert", ("/a", "/b", "/c"), "sequential", ("/c", "/b", "/a"), 1),
    ("a click and its page in one second count", ("event=Click", "/b"), "sequential", ("/a", "Click", "/b"), 2),
    ("steps of one second count in their order", ("/a", "/b", "/c"), "sequential", ("/a", "/b", "/c"), 3),
    ("one event serves one step", ("/a", "/a"), "sequential", ("/a", "/b"), 1),
    ("two events serve the same step twice", ("/a", "/a"), "sequential", ("/a", "/a"), 2),
    ("a page does not serve a pattern and itself", ("/blog/**", "/blog/x"), "sequential", ("/blog/x",), 1),
    ("a page after one of the pattern does", ("/blog/**", "/blog/x"), "sequential", ("/blog/x", "/blog/x"), 2),
    ("other events may lie between", ("/a", "/b"), "sequential", ("/a", "/x", "/b"), 2),
    ("but not under strict", ("/a", "/b"), "strict", ("/a", "/x", "/b"), 1),
    ("a reload does not break strictness", ("/a", "/b"), "strict", ("/a", "/a", "/b"), 2),
    ("a step that comes too early does", ("/a", "/b", "/c"), "strict", ("/a", "/c", "/b", "/c"), 1),
    ("strictness begins anew", ("/a", "/b", "/c"), "strict", ("/a", "/x", "/a", "/b", "/c"), 3),
    ("engagement lies between nothing", ("/a", "/b"), "strict", ("/a", "~", "/b"), 2),
    ("a custom event does", ("/a", "/b"), "strict", ("/a", "Click", "/b"), 1),
    ("strict counts a reload once", ("/a", "/a", "/b"), "strict", ("/a", "/b"), 1),
    ("patterns that overlap find the way", ("/a", "/b/*", "/b/x", "/d"), "strict",
     ("/a", "/b/y", "/b/x", "/b/y", "/b/x", "/d"), 4),
    ("any order takes steps as they come", ("/a", "/b", "/c"), "any", ("/c", "/b", "/a"), 3),
    ("any order needs the first steps", ("/a", "/b", "/c"), "any", ("/c", "/b"), 0),
    ("any order has an event of its own for each", ("/b/*", "/b/x"), "any", ("/b/x",), 1),
    ("and finds which", ("/b/*", "/b/x"), "any", ("/b/x", "/b/y"), 2),
    ("any order of one step twice needs two events", ("/a", "/a"), "any", ("/a", "/b", "/a"), 2),
    ("three patterns need three events", ("/**", "/b/*", "/b/x"), "any", ("/b/x", "/b/x"), 2),
    ("four patterns find the way", ("/**", "/b/**", "/b/*", "/b/x"), "any", ("/b/x", "/b/y", "/b/c/d", "/a"), 4),
    ("five patterns too", ("/b/x", "/b/*", "/b/**", "/**", "/*"), "any", ("/b/x", "/b/x", "/b/x", "/b/x", "/a"), 5),
    ("six patterns need a fitting event", ("/**",) * 5 + ("/a",), "any", ("/a",) + ("/b",) * 5, 6),
    ("seven patterns need seven events", ("/**",) * 7, "any", ("/a",) * 6, 6),
    ("eight patterns have eight", ("/**",) * 8, "any", ("/a",) * 8, 8),
)  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "order", "events", "depth"), [each[1:] for each in TRAPS], ids=[each[0] for each in TRAPS]
)
@pytest.mark.parametrize("apart", [0, 1], ids=["within a second", "over seconds"])
def test_traps(
    database: Client,
    opened: Opened,
    steps: tuple[str, ...],
    order: FunnelOrder,
    events: tuple[str, ...],
    depth: int,
    apart: int,
) -> None:
    """Where engines and other products count wrongly: the position in the visit decides, not the second."""
    store(database, [each for number in range(1, 5) for each in visit(number, *events, apart=apart)])
    result = run(opened(), funnel(*steps, order=order), question())
    assert result.all == 4
    assert [each.units for each in result.steps] == [4 if step <= depth else 0 for step in range(1, len(steps) + 1)]


def test_a_visitors_day_spans_visits(database: Client, opened: Opened) -> None:
    """By the visitor's day a funnel goes on in a later visit, and counts visitors; by the visit it does not."""
    people = range(1, 5)
    store(database, [
        *(each for number in people for each in visit(number, "/a")),
        *(each for number in people for each in visit(number, "/b", begins=NOON + 7200)),
    ])  # fmt: skip
    by_visit = run(opened(), funnel("/a", "/b"), question())
    by_day = run(opened(), funnel("/a", "/b", window="day"), question())
    assert (by_visit.all, [each.units for each in by_visit.steps]) == (8, [4, 0])
    assert (by_day.all, [each.units for each in by_day.steps]) == (4, [4, 4])
    assert by_day.steps[1].wait == 7200


def test_conditions_on_properties(database: Client, opened: Opened) -> None:
    """An event serves a step where all conditions on its properties hold."""
    store(database, [each for n in range(1, 5) for each in visit(n, "/a", "Buy", props={"plan": "Pro", "x": "a;b"})])
    for conditions, reached in (
        ("plan=Pro", 4), ("plan=pro", 0), ("plan~pro", 4), ("plan!=Pro", 0), ("plan!=Free", 4),
        ("plan=Pro; x=a\\;b", 4), ("plan=Pro; y=1", 0), ("y=(none)", 4),
    ):  # fmt: skip
        result = run(opened(), funnel("/a", f"event=Buy; {conditions}"), question())
        assert result.steps[1].units == reached, conditions


def test_waits_next_pages_and_revenue(database: Client, opened: Opened) -> None:
    """Of those who left at a step, where they went; of the others, how long it took and what it brought."""
    store(database, [
        *(each for n in range(1, 4) for each in visit(n, "/a", "/b", "/help", apart=60)),
        *(each for n in range(4, 8) for each in visit(n, "/a", "/b", apart=10)),
        *(each for n in range(8, 12) for each in visit(n, "/a", "/x", "/b", "Buy", apart=20)),
        *(each for n in range(12, 16) for each in visit(n, "/a", "/b", "Buy", apart=20, currency="SEK", revenue=100)),
    ])  # fmt: skip
    result = run(opened(), funnel("/a", "/b", "event=Buy"), question())
    assert [each.units for each in result.steps] == [15, 15, 8]
    assert [each.left for each in result.steps] == [0, 7, None]
    assert {row.value: row.units for row in result.steps[1].after} == {"/help": 3, "": 4}
    assert result.steps[1].wait == 20
    assert [(each.currency, each.total, each.average) for each in result.revenue] == [("SEK", 400, 100)]


@pytest.mark.parametrize(("unpaid", "told"), [(0, [360]), (1, []), (2, []), (3, [360])])
def test_sales_do_not_tell_who_paid_nothing(database: Client, opened: Opened, unpaid: int, told: list[float]) -> None:
    """Total and average are the number of sales, which is told beside the number of those who reached the step."""
    store(database, [
        *(each for n in range(1, 5) for each in visit(n, "/a", "Buy", currency="SEK", revenue=90)),
        *(each for n in range(5, 5 + unpaid) for each in visit(n, "/a", "Buy")),
    ])  # fmt: skip
    result = run(opened(), funnel("/a", "event=Buy"), question())
    assert result.steps[1].units == 4 + unpaid
    assert [each.total for each in result.revenue] == told


def test_with_strict_revenue_and_the_average_sale_tell_no_exact_number(database: Client, opened: Opened) -> None:
    """Revenue is the average times the rounded number of sales, as everywhere."""
    store(database, [
        each for n in range(1, 5) for each in visit(n, "/a", "Buy", currency="SEK", revenue=90)
    ])  # fmt: skip
    result = run(opened(Protection(strict=True)), funnel("/a", "event=Buy"), question())
    assert [(each.currency, each.total, each.average) for each in result.revenue] == [("SEK", 540, 90)]


def test_small_groups_are_hidden(database: Client, opened: Opened) -> None:
    """No two counts that are told differ by fewer visitors than the minimum, and none is of fewer."""
    lengths = {5: 6, 1: 5, 2: 1, 3: 4, 4: 2}
    walks = [length for length, people in lengths.items() for _ in range(people)]
    pages = [f"/{step}" for step in range(1, 6)]
    store(database, [each for n, length in enumerate(walks, 1) for each in visit(n, *pages[:length])])
    result = run(opened(), funnel(*pages), question())
    # One left after the second page, and two after the fourth.
    assert [each.units for each in result.steps] == [18, 13, None, 8, None]
    assert [each.left for each in result.steps] == [5, None, None, None, None]
    everything = run(opened(Protection(min_visitors=1)), funnel(*pages), question())
    assert [each.units for each in everything.steps] == [18, 13, 12, 8, 6]
    few = run(opened(Protection(min_visitors=20)), funnel(*pages), question())
    assert (few.all, few.hidden, [each.units for each in few.steps]) == (None, True, [None] * 5)


def test_a_breakdown_takes_few_statements_however_many_rows(
    database: Client, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """Where one who is done is hidden among many pages of visitors who are not."""
    begun = [event for n in range(90) for event in visit(n + 1, f"/{n // 3}", "Start")]
    done = [event for n in range(4) for event in visit(n + 100, "/last" if n else "/99", "Start", "End")]
    store(database, [*begun, *done])
    caplog.set_level("DEBUG", logger="dashboard.analytics.executor")
    result = run(opened(), funnel("event=Start", "event=End"), question(), dimension="event:page")
    assert [(row.value, row.units, row.done) for row in result.rows] == [("/x", 94, 4), (OTHER, 94, 4)]
    assert len(caplog.records) < 20


def test_anonymous_events_are_left_out_and_counted(database: Client, opened: Opened) -> None:
    """Events without consent belong to no visit: a funnel has none, and says how many."""
    anonymous = [
        Event(site=SITE, day=FIRST, ts=NOON, visitor=0, visit=0, name="pageview", page="/a", consent="none",
              expires=datetime.date(2100, 1, 1)) for _ in range(5)
    ]  # fmt: skip
    store(database, [*(each for n in range(1, 5) for each in visit(n, "/a", "/b")), *anonymous])
    result = run(opened(), funnel("/a", "/b"), question())
    assert (result.all, result.anonymous, result.steps[0].units) == (4, 5, 4)


CONDITIONS = (
    (),
    (PropertyCondition(key="plan", value="pro"),),
    (PropertyCondition(key="plan", operator="is_not", value="pro"),),
)
PATTERNS = (*PAGES, "/b/*", "/b/**", "/**", "/*")


def random_funnel(chance: random.Random) -> Funnel:
    """A funnel of two to four steps, mostly of what is often seen."""

    def step() -> FunnelStep:
        kind = chance.choice(("page", "page", "event", "goal"))
        if kind == "page":
            return FunnelStep(kind="page", match=chance.choice(PATTERNS))
        if kind == "goal":
            return FunnelStep(kind="goal", match=chance.choice(GOALS).name)
        return FunnelStep(kind="event", match=chance.choice(EVENTS), where=chance.choice(CONDITIONS))

    steps = tuple(step() for _ in range(chance.choice((2, 2, 3, 4))))
    if chance.random() < 0.4:
        steps = (*steps[:-1], FunnelStep(kind="goal", match="Signup"))
    return Funnel(name="F", steps=steps, order=chance.choice(ORDERS), window=chance.choice(WINDOWS))


FILTERS: tuple[list[Any], ...] = (
    [], [], [["is", "visit:country", ["SE", "NO"]]], [["is", "event:page", ["/a"]]],
    [["is_not", "visit:source", ["Google"]]], [["is", "event:goal", ["Deep"]]], [["is", "visit:exit_page", ["/"]]],
)  # fmt: skip
BY = (
    "visit:source",
    "visit:country",
    "event:page",
    "event:goal",
    "event:props:plan",
    "visit:entry_page",
    "visit:engaged",
)


def shown(result: FunnelResult) -> FunnelAnswer:
    """An answer in the model's words."""
    after = {
        step: {row.value: row.units for row in each.after}
        for step, each in enumerate(result.steps[:-1], 1)
        if each.left is not None
    }
    return FunnelAnswer(
        result.all,
        tuple(each.units for each in result.steps),
        tuple(each.wait for each in result.steps),
        after,
        {each.currency: each.total for each in result.revenue},
        {row.value: (row.units, row.done) for row in result.rows},
    )


@pytest.mark.parametrize("order", ["strict", "any"])
def test_overlapping_steps_cost_one_walk(order: FunnelOrder) -> None:
    """However many steps an event may serve, and in whatever order, the events of a unit are gone through once."""
    steps = tuple(FunnelStep(kind="page", match="/**") for _ in range(MOST_STEPS))
    columns = places(path_of(Funnel(name="All", steps=steps, order=order), ()))
    assert sum(column.count("found") for column in columns) == 1


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize("order", ORDERS)
def test_random_funnels_agree_with_the_model(
    database: Client, opened: Opened, order: FunnelOrder, strict: bool
) -> None:
    """Random sites, funnels, windows, filters and breakdowns, under default settings and `strict`: all exact."""
    seed = ORDERS.index(order) * 2 + strict
    chance = random.Random(seed)  # noqa: S311 - a made-up town
    events = random_events(seed, 3, 60)
    store(database, events)
    stats = opened(Protection(strict=strict))
    model = FunnelModel(Model(events, GOALS, 3, strict=strict), GOALS, 3, strict=strict)
    found = []
    for _ in range(by_length(4, 16)):
        asked = structs.replace(random_funnel(chance), order=order)
        about, by = question(3, chance.choice(FILTERS)), chance.choice(BY)
        answer = shown(run(stats, asked, about, dimension=by))
        assert answer == model.answer(asked, about, by), (asked, about.filters, by)
        found.append(answer)
    assert any(each.rows for each in found)
    # Counts that are rounded are told of everybody.
    assert any(None in each.units for each in found) != strict
    assert order == "strict" or any(each.revenue for each in found)
    assert any(None not in each.units and each.units[-1] for each in found)


@pytest.mark.parametrize("hour", [9, 21])
def test_guests_see_the_open_day_in_steps(database: Client, opened: Opened, hour: int) -> None:
    """What guests are shown of a funnel is of the events up to the latest step."""
    now = datetime.datetime.combine(FIRST + datetime.timedelta(days=1), datetime.time(hour), datetime.UTC).timestamp()
    events = [event for event in random_events(hour, 2, 60) if event.ts <= now]
    store(database, events)
    chance = random.Random(hour)  # noqa: S311 - a made-up town
    stats = opened(clock=lambda: now).as_guest()
    released = Model(events, GOALS, 3).for_guest(now, ZONE)
    for _ in range(6):
        asked, about = random_funnel(chance), question(2, chance.choice(FILTERS))
        # Of currencies guests know those of closed days.
        answer = replace(FunnelModel(released, GOALS, 3).answer(asked, about), revenue={})
        assert shown(run(stats, asked, about)) == answer, (asked, about)
    assert len(released.events) < len(events)


def test_days_without_events_are_said(database: Client, opened: Opened) -> None:
    """Days whose events are past their retention have sums, which no funnel can be counted from."""
    later = [
        structs.replace(event, day=FIRST + datetime.timedelta(days=1), ts=event.ts + 86_400)
        for number in range(1, 5)
        for event in visit(number, "/a", "/b")
    ]
    store(database, [*(each for number in range(1, 5) for each in visit(number, "/a", "/b")), *later])
    database.insert("daily_status", [[SITE, FIRST, 1, 8]], column_names=["site", "day", "version", "rows"])
    before = run(opened(), funnel("/a", "/b"), question(2))
    assert (before.all, before.events_available_from) == (8, "")
    database.command("DELETE FROM events WHERE day = {day:Date}", parameters={"day": FIRST})
    result = run(opened(), funnel("/a", "/b"), question(2))
    assert (result.all, result.events_available_from) == (4, "2026-10-21")


@long
def test_filters_by_steps_agree_with_the_funnel(database: Client, opened: Opened) -> None:
    """Who reached a step, or left at it, are as many on the dashboard as in the funnel."""
    chance = random.Random(5)  # noqa: S311 - a made-up town
    events = random_events(5, 2, 30)
    store(database, events)
    for _ in range(10):
        asked = random_funnel(chance)
        stats = opened(Protection(min_visitors=1), funnels=lambda _, asked=asked: {"F": asked})
        metric = "visits" if asked.window == "visit" else "visitors"
        about = question(2, chance.choice(FILTERS), (metric,))
        result = run(stats, asked, about)
        for step, each in enumerate(result.steps, 1):
            verbs = {f"reached:{step}:F": each.units} | (
                {f"left:{step}:F": each.left} if step < len(result.steps) else {}
            )
            for value, units in verbs.items():
                filters = parse_filters([*about.filters, ["is", "visit:funnel", [value]]])
                (counted,) = asyncio.run(stats.run([Query(SITE, (metric,), query_of(about).period, filters=filters)]))
                assert counted.rows[0].metrics == (units,), (asked, value, about.filters)
