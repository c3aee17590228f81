"""Sums of closed days that are added up in the process: from rows that are read once, or else by the database."""

from __future__ import annotations

import asyncio

import pytest

from dashboard import ways
from dashboard.query import Query
from tests.listened import House
from tests.model import Model
from tests.test_kept import house as house  # the fixture
from tests.test_rollup import DAY, Town
from tests.test_store import MONDAY, SITE, STORY, dates, event, table


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
    assert ["FROM daily" in sql for sql in house.heard.reading] == [True]
    late = event(9, "/late", 30, country="SE")
    house.insert([late])
    town.rollup.late(SITE, MONDAY)
    town.rollup.close_due()
    assert [table(each) for each in asyncio.run(house.store.run(ask))] == [
        Model([*STORY, late]).rows(query) for query in ask
    ]
    assert ["FROM daily" in sql for sql in house.heard.reading] == [True, True]


def test_more_sums_than_are_kept_are_added_up_by_the_database(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are is counted once; none of them is read."""
    monkeypatch.setattr(ways, "MOST_SUMS", 3)
    closed(house)
    for name in ("visit:country", "event:page"):
        query = Query(SITE, ("visitors", "pageviews"), dates(MONDAY, MONDAY), (name,))
        assert table(asyncio.run(house.store.run([query]))[0]) == Model(STORY).rows(query)
    assert not any("FROM daily" in sql for sql in house.heard.reading)


def test_a_day_on_which_pages_were_only_read_has_no_sums(house: House) -> None:
    """The others of its period are added up from memory all the same."""
    house.insert([event(5, "/", -86_400, day=MONDAY - DAY, name="engagement", engaged=900, visits=0, bounces=0)])
    closed(house)
    query = Query(SITE, ("visitors", "pageviews"), dates(MONDAY - DAY, MONDAY), ("event:page",))
    assert table(asyncio.run(house.store.run([query]))[0]) == Model(STORY).rows(query)
    assert house.heard.counting == []
