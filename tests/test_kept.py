"""Columns that are kept in memory: what is read, how long it is kept, and that no answer is another for it."""

from __future__ import annotations

import asyncio
import datetime
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from collector.backup import back_up, restore
from collector.clickhouse import ClickHouse
from collector.event import Event
from collector.inserter import ClickHouseInserter
from dashboard import kept, ways
from dashboard.filters import All, Compare, Done, Filter, Not, is_
from dashboard.kept import Kept
from dashboard.parts import Gone
from dashboard.period import Period
from dashboard.protect import Protection
from dashboard.query import Query
from dashboard.store import Store
from tests.model import FIRST, Model, random_events
from tests.test_rollup import DAY, Town
from tests.test_store import ALL, GOOGLER, MONDAY, SITE, STORY, dates, event, table

SWEDES, ON_PRICING = is_("visit:country", "SE"), is_("event:page", "/pricing")
OTHER = "other.example"
DAYS = dates(MONDAY - DAY, MONDAY + DAY)


@dataclass
class Listening:
    """A client that notes which statements read rows, and has something happen before the next of them."""

    client: Client
    heard: list[str]
    summed: list[str]
    happening: list[Callable[[], object]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def query(self, sql: str, **more: Any) -> Any:
        """Ask a statement whose rows are Python's."""
        if "FROM daily" in sql:
            self.summed.append(sql)
        return self.client.query(sql, **more)

    def query_arrow(self, sql: str, **more: Any) -> Any:
        """Ask a statement whose rows are columns."""
        self.heard.append(sql)
        if self.happening:
            self.happening.pop()()
        return self.client.query_arrow(sql, **more)


@dataclass
class House:
    """A store that is listened to, and the database behind it."""

    clickhouse: ClickHouse
    database: Client
    heard: list[str] = field(default_factory=list)
    summed: list[str] = field(default_factory=list)
    happening: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.connect, protection=lambda _: Protection(least=1), readers=2)

    def connect(self, settings: dict[str, Any]) -> Client:
        """A client that is listened to."""
        client = self.clickhouse.client(readonly=True, settings=settings)
        return cast(Client, Listening(client, self.heard, self.summed, self.happening))

    @property
    def kept(self) -> Kept:
        """What its store keeps."""
        return self.store._ways._kept

    def keep(self, **more: Any) -> None:
        """Keep columns in another way."""
        ways = self.store._ways
        ways._kept = ways._states._kept = Kept(self.store._asker, **more)

    def parts(self) -> set[str]:
        """Of which parts there are columns in memory."""
        return {part.name for _, part, _ in self.kept._held}

    def ask(self, filters: Filter | None = None, site: str = SITE, period: Period = DAYS) -> list[Any]:
        """A page's questions."""
        return [table(each) for each in asyncio.run(self.store.run(questions(filters, site, period)))]

    def insert(self, events: Sequence[Event]) -> None:
        """Store events as the writer does: each time as a batch of its own."""
        ClickHouseInserter(self.database).insert(events, secrets.token_hex(8))

    def command(self, sql: str) -> None:
        """Change the table, and wait until it is changed."""
        self.database.command(sql, settings={"mutations_sync": 1})


@pytest.fixture
def house(clickhouse: ClickHouse, database: Client) -> Iterator[House]:
    """A store over the test's own database."""
    opened = House(clickhouse, database)
    yield opened
    opened.store.close()


def questions(filters: Filter | None, site: str = SITE, period: Period = DAYS) -> list[Query]:
    """Totals and panels."""
    panels = ((), ("visit:source",), ("event:page",), ("visit:exit_page",), ("time:day",))
    return [Query(site, ALL, period, each, filters, limit=1_000) for each in panels]


def told(events: Sequence[Event], filters: Filter | None = None, period: Period = DAYS) -> list[Any]:
    """What the model says to the same."""
    model = Model(events)
    return [model.rows(query) for query in questions(filters, period=period)]


def test_what_was_read_is_not_read_again(house: House) -> None:
    """The same page again reads nothing; another filter reads a column, of what it says."""
    house.insert(STORY)
    found = [house.ask(each) for each in (SWEDES, SWEDES, ON_PRICING)]
    assert found == [told(STORY, SWEDES), told(STORY, SWEDES), told(STORY, ON_PRICING)]
    assert len(house.heard) == 2
    assert " AS visitor" in house.heard[0]
    assert " AS visitor" not in house.heard[1]


def test_only_the_part_that_came_is_read(house: House) -> None:
    """Events that were stored since the last question are counted with those in memory."""
    house.command("SYSTEM STOP MERGES events")
    house.insert(STORY)
    house.ask(SWEDES)
    before = house.parts()
    new = [event(9, "/new", 600, **GOOGLER)]
    house.insert(new)
    house.heard.clear()
    assert house.ask(SWEDES) == told([*STORY, *new], SWEDES)
    assert len(house.heard) == 1
    assert before < house.parts()


def test_a_page_prepares_for_filters(house: House) -> None:
    """What it asks for is read after it; then a filter by anything reads no more than what it says."""
    house.insert(STORY)
    asyncio.run(house.store.prepare(SITE, DAYS, None))
    for filters in (SWEDES, ON_PRICING, is_("visit:exit_page", "/"), is_("event:goal", "Signup")):
        house.heard.clear()
        assert house.ask(filters) == told(STORY, filters)
        assert not any(" AS visitor" in sql or " AS page" in sql for sql in house.heard)
    house.heard.clear()
    asyncio.run(house.store.prepare(SITE, DAYS, DAYS))
    assert house.heard == []


def test_what_was_erased_leaves_memory_at_the_next_question(house: House) -> None:
    """Whoever asks it, and of whichever site."""
    theirs = event(7, "/", site=OTHER)
    house.insert([*STORY, theirs])
    house.ask(SWEDES)
    before = house.parts()
    house.command("ALTER TABLE events DELETE WHERE visitor = 1")
    house.ask(site=OTHER)
    assert before
    assert not before & house.parts()
    assert house.ask(SWEDES) == told([each for each in STORY if each.visitor != 1], SWEDES)


def test_nothing_is_in_memory_once_nobody_asks(house: House) -> None:
    """Each question puts off the moment at which all of it is dropped."""
    house.keep(idle=0.2)
    house.insert(STORY)

    async def quiet() -> tuple[set[str], set[str]]:
        await house.store.run(questions(SWEDES))
        asked = house.parts()
        await asyncio.sleep(0.4)
        return asked, house.parts()

    asked, after = asyncio.run(quiet())
    assert (len(asked), after, house.kept._bytes) == (1, set(), 0)
    assert house.ask(SWEDES) == told(STORY, SWEDES)


@pytest.mark.parametrize("most", [0, 300, 2_000])
def test_memory_is_bounded(house: House, most: int) -> None:
    """What was not asked for longest makes room; figures are the same with none of it."""
    house.keep(most=most)
    house.insert(STORY)
    for filters in (SWEDES, ON_PRICING, None) * 2:
        assert house.ask(filters) == told(STORY, filters)
        assert house.kept._bytes == sum(column.nbytes for column in house.kept._held.values()) <= most


def test_tables_that_were_restored_are_read_anew(house: House) -> None:
    """Their parts have names that others had before, and no other times."""
    found = []
    for source in ("First", "Then"):
        house.command("TRUNCATE TABLE events")
        events = [event(4, "/pricing", country="SE", source=source), *STORY[1:]]
        house.insert(events)
        back_up(house.clickhouse, f"{house.clickhouse.database}-{source}")
    for source in ("First", "Then"):
        restore(house.clickhouse, f"{house.clickhouse.database}-{source}")
        events = [event(4, "/pricing", country="SE", source=source), *STORY[1:]]
        assert house.ask(SWEDES) == told(events, SWEDES)
        found.append(house.parts())
    assert found[0] == found[1]


def test_no_part_has_texts_of_another(house: House) -> None:
    """Nor of another site: these may be erased before it."""
    house.command("SYSTEM STOP MERGES events")
    house.insert([event(1, "/mine"), event(7, "/theirs", site=OTHER)])
    house.insert([event(2, "/ours")])
    house.ask(SWEDES)
    texts = {
        (part.name, *column.dictionary.to_pylist())
        for (_, part, text), column in house.kept._held.items()
        if text == "page"
    }
    assert sorted(each[1:] for each in texts) == [("/mine",), ("/ours",)]


@pytest.mark.parametrize("first", [datetime.date(1990, 1, 1), datetime.date(1971, 1, 1)])
def test_dates_that_no_event_can_have_are_asked_about(house: House, first: datetime.date) -> None:
    """A period is compared with the one before it, which may lie before all time."""
    house.insert(STORY)
    period = dates(first, MONDAY)
    for each in (period, period.previous(), period.year_before()):
        assert house.ask(SWEDES, period=each) == told(STORY if each is period else (), SWEDES, each)
    together = [*questions(SWEDES, period=period), *questions(SWEDES, period=period.previous())]
    assert table(asyncio.run(house.store.run(together))[0]) == told(STORY, SWEDES, period)[0]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("theirs", [(), (event(7, "/", site=OTHER),)])
def test_parts_may_go_while_they_are_read(house: House, *, known: bool, theirs: tuple[Event, ...]) -> None:
    """A merge between listing and reading: nothing is lost, whether or not the parts were read before."""
    house.insert([*STORY[:4], *theirs])
    house.insert([*STORY[4:], *theirs])
    if known:
        house.ask(SWEDES)
    house.happening.append(lambda: house.command("OPTIMIZE TABLE events FINAL"))
    assert house.ask(ON_PRICING) == told(STORY, ON_PRICING)
    assert house.happening == []


def test_where_parts_go_each_time_the_database_chooses(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading begins anew a few times, then in another way."""
    tried: list[object] = []

    async def gone(_: Kept, reading: object, *_more: object) -> None:
        tried.append(reading)
        raise Gone

    monkeypatch.setattr(Kept, "table", gone)
    house.insert(STORY)
    assert house.ask(SWEDES) == told(STORY, SWEDES)
    assert len(tried) == 3
    assert house.heard


def test_a_month_with_more_events_than_are_kept_is_read_in_another_way(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many there are is counted once; nothing of them is in memory."""
    monkeypatch.setattr(kept, "MOST_READ", 3)
    house.insert(STORY)
    for filters in (SWEDES, ON_PRICING):
        assert house.ask(filters) == told(STORY, filters)
    assert house.parts() == set()
    assert not any("_part" in sql for sql in house.heard)


def test_of_days_among_many_others_only_they_are_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where half of a part is asked about all of it is kept."""
    monkeypatch.setattr(kept, "ANYWAY", 3)
    events = [event(number, "/", 86_400 * number, day=MONDAY + number * DAY) for number in range(8)]
    house.insert(events)
    one, half = dates(MONDAY, MONDAY), dates(MONDAY, MONDAY + 3 * DAY)
    assert house.ask(period=one) == told(events, period=one)
    assert house.parts() == set()
    assert house.ask(period=half) == told(events, period=half)
    assert len(house.parts()) == 1


def closed(house: House) -> Town:
    """The site of the story, once its day is closed."""
    house.insert(STORY)
    town = Town(house.database)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    return town


def test_sums_of_closed_days_are_read_once(house: House) -> None:
    """Whatever they are added up by; those of a day that was built anew are read with the next question."""
    town = closed(house)
    period = dates(MONDAY, MONDAY)
    ask = [Query(SITE, ("visitors", "pageviews"), period, (each,)) for each in ("visit:country", "event:page")]
    model = Model(STORY)
    for query in ask:
        assert [table(each) for each in asyncio.run(house.store.run([query]))] == [model.rows(query)]
    assert ["FROM daily" in sql for sql in house.heard] == [True]
    late = event(9, "/late", 30, country="SE")
    house.insert([late])
    town.rollup.late(SITE, MONDAY)
    town.rollup.close_due()
    assert [table(each) for each in asyncio.run(house.store.run(ask))] == [
        Model([*STORY, late]).rows(query) for query in ask
    ]
    assert ["FROM daily" in sql for sql in house.heard] == [True, True]


def test_more_sums_than_are_kept_are_added_up_by_the_database(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are is counted once; none of them is read."""
    monkeypatch.setattr(ways, "MOST_SUMS", 3)
    closed(house)
    for name in ("visit:country", "event:page"):
        query = Query(SITE, ("visitors", "pageviews"), dates(MONDAY, MONDAY), (name,))
        assert table(asyncio.run(house.store.run([query]))[0]) == Model(STORY).rows(query)
    assert not any("FROM daily" in sql for sql in house.heard)


def test_a_day_on_which_pages_were_only_read_has_no_sums(house: House) -> None:
    """The others of its period are added up from memory all the same."""
    house.insert([event(5, "/", -86_400, day=MONDAY - DAY, name="engagement", engaged=900, visits=0, bounces=0)])
    closed(house)
    query = Query(SITE, ("visitors", "pageviews"), dates(MONDAY - DAY, MONDAY), ("event:page",))
    assert table(asyncio.run(house.store.run([query]))[0]) == Model(STORY).rows(query)
    assert [sql for sql in house.summed if "daily" in sql] == []


FILTERS: tuple[Filter | None, ...] = (
    None,
    is_("visit:country", "SE"),
    is_("event:page", "/a"),
    Compare("contains", "event:page", ("B",), case_sensitive=False),
    Compare("matches", "visit:source", ("^G",)),
    is_("event:goal", "Signup"),
    is_("event:props:plan", "pro"),
    is_("visit:exit_page", "/b"),
    Not(is_("visit:exit_page", "/b/c")),
    All((Done(is_("event:name", "Download")), is_("visit:browser", "Chrome"))),
)


@pytest.mark.parametrize("number", range(4))
def test_whatever_becomes_of_the_parts_figures_are_those_of_the_events(house: House, number: int) -> None:
    """Inserts, merges and deletions, before a question or in the midst of it, beside another site's events."""
    chance = random.Random(number)  # noqa: S311 - a made-up town
    left = random_events(number, days=4, visitors=12)
    chance.shuffle(left)
    stored: list[Event] = []

    def insert() -> None:
        new = [left.pop() for _ in range(min(len(left), chance.randrange(1, 40)))]
        house.insert([*new, event(7, "/", site=OTHER)])
        stored.extend(new)

    def merge() -> None:
        house.command("OPTIMIZE TABLE events FINAL")

    def delete() -> None:
        gone = chance.choice(stored).visitor
        house.command(f"ALTER TABLE events DELETE WHERE site = '{SITE}' AND visitor = {gone}")
        stored[:] = [each for each in stored if each.visitor != gone]

    insert()
    for _ in range(25):
        period = dates(FIRST + chance.randrange(3) * DAY, FIRST + chance.randrange(2, 5) * DAY)
        filters = chance.choice(FILTERS)
        if chance.random() < 0.7:
            chance.choice((insert, insert, merge, delete))()
        elif stored:
            # What happens meanwhile changes no event: which of both states is told is all the same.
            house.happening[:] = [merge]
        assert house.ask(filters, period=period) == told(stored, filters, period), filters
    assert len(house.heard) > 10
