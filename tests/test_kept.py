"""Columns that are kept in memory: what is read, how long it is kept, and that no answer is another for it."""

from __future__ import annotations

import asyncio
import datetime
import random
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from collector.backup import back_up, restore
from collector.clickhouse import ClickHouse
from collector.event import Event
from dashboard import kept
from dashboard.filters import All, Compare, Done, Filter, Not, is_
from dashboard.kept import Kept
from dashboard.parts import Gone
from tests.listened import DAYS, House, questions, told
from tests.model import FIRST, random_events
from tests.test_rollup import DAY
from tests.test_store import GOOGLER, MONDAY, SITE, STORY, dates, event, table

SWEDES, ON_PRICING = is_("visit:country", "SE"), is_("event:page", "/pricing")
PRICES = Compare("contains", "event:page", ("pric",))
OTHER = "other.example"

EIGHT_DAYS = [event(number, "/", 86_400 * number, day=MONDAY + number * DAY) for number in range(8)]
ONE, HALF = dates(MONDAY, MONDAY), dates(MONDAY, MONDAY + 3 * DAY)


@pytest.fixture
def house(clickhouse: ClickHouse, database: Client) -> Iterator[House]:
    """A store over the test's own database."""
    opened = House(clickhouse, database)
    yield opened
    opened.store.close()


def test_what_was_read_is_not_read_again(house: House) -> None:
    """The same page again reads nothing, nor does one by another value; a search reads a column, of what it finds."""
    house.insert(STORY)
    filters = SWEDES, SWEDES, is_("visit:country", "NO"), Not(is_("visit:country", "NO", "SE")), PRICES
    assert [house.ask(each) for each in filters] == [told(STORY, each) for each in filters]
    assert len(house.heard.reading) == 2
    assert " AS visitor" in house.heard.reading[0]
    assert " AS visitor" not in house.heard.reading[1]


def test_only_the_part_that_came_is_read(house: House) -> None:
    """Events that were stored since the last question are counted with those in memory."""
    house.command("SYSTEM STOP MERGES events")
    house.insert(STORY)
    house.ask(SWEDES)
    before = house.parts()
    new = [event(9, "/new", 600, **GOOGLER)]
    house.insert(new)
    house.heard.reading.clear()
    assert house.ask(SWEDES) == told([*STORY, *new], SWEDES)
    assert len(house.heard.reading) == 1
    assert before < house.parts()


def test_a_page_prepares_for_filters(house: House) -> None:
    """What it asks for is read after it; then a filter by anything reads no more than what it says."""
    house.insert(STORY)
    asyncio.run(house.store.prepare(SITE, DAYS, None))
    for filters in (SWEDES, ON_PRICING, is_("visit:exit_page", "/"), is_("event:goal", "Signup")):
        house.heard.reading.clear()
        assert house.ask(filters) == told(STORY, filters)
        assert not any(" AS visitor" in sql or " AS page" in sql for sql in house.heard.reading)
    house.heard.reading.clear()
    asyncio.run(house.store.prepare(SITE, DAYS, DAYS))
    assert house.heard.reading == []


def test_a_page_prepares_for_days_that_are_most_of_a_month(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few days among many others nothing is read ahead, nor of more events than are counted in this process."""
    monkeypatch.setattr(kept, "ANYWAY", 3)
    house.insert(EIGHT_DAYS)
    for most_few, period, parts in ((200, ONE, 0), (7, HALF, 0), (200, HALF, 1)):
        house.store._ways._most_few = most_few
        asyncio.run(house.store.prepare(SITE, period, None))
        assert len(house.parts()) == parts


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


@pytest.mark.parametrize("most", [0, 10_000, 60_000])
def test_memory_is_bounded(house: House, most: int) -> None:
    """What was not asked for longest makes room, and long filters take room as well; figures are the same."""
    house.keep(most=most)
    house.insert(STORY)
    long = Compare("contains", "event:page", ("x" * 2_000,))
    for filters in (SWEDES, ON_PRICING, long, None) * 2:
        assert house.ask(filters) == told(STORY, filters)
        held = house.kept._held.items()
        assert sum(len(text) + column.nbytes for (_, _, text), column in held) <= house.kept._bytes <= most
    assert bool(house.kept._held) == bool(most)


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
    house.heard.happening.append(lambda: house.command("OPTIMIZE TABLE events FINAL"))
    assert house.ask(PRICES) == told(STORY, PRICES)
    assert house.heard.happening == []


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
    assert house.heard.reading


def test_a_month_with_more_events_than_are_kept_is_read_in_another_way(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many there are is counted once; nothing of them is in memory."""
    monkeypatch.setattr(kept, "MOST_READ", 3)
    house.insert(STORY)
    for filters in (SWEDES, ON_PRICING):
        assert house.ask(filters) == told(STORY, filters)
    assert house.parts() == set()
    assert not any("_part" in sql for sql in house.heard.reading)


def test_of_days_among_many_others_only_they_are_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where half of a part is asked about all of it is kept."""
    monkeypatch.setattr(kept, "ANYWAY", 3)
    house.insert(EIGHT_DAYS)
    assert house.ask(period=ONE) == told(EIGHT_DAYS, period=ONE)
    assert house.parts() == set()
    assert house.ask(period=HALF) == told(EIGHT_DAYS, period=HALF)
    assert len(house.parts()) == 1


def test_a_few_days_are_not_kept_waiting_for_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a part that nobody has read they are read alone; once it is in memory they come from there."""
    monkeypatch.setattr(kept, "UNREAD", 3)
    house.insert(EIGHT_DAYS)
    assert house.ask(period=ONE) == told(EIGHT_DAYS, period=ONE)
    assert house.parts() == set()
    asyncio.run(house.store.prepare(SITE, HALF, None))
    house.heard.reading.clear()
    assert house.ask(period=ONE) == told(EIGHT_DAYS, period=ONE)
    assert (len(house.parts()), house.heard.reading) == (1, [])


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
            house.heard.happening[:] = [merge]
        assert house.ask(filters, period=period) == told(stored, filters, period), filters
    assert len(house.heard.reading) > 10
