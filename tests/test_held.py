"""Sums that are kept in memory: whatever happens to a day, no answer is older than the question."""

from __future__ import annotations

import asyncio
from typing import Any

from clickhouse_connect.driver.client import Client

from collector.inserter import ClickHouseInserter
from collector.moving import Moving
from collector.sites import Site
from collector.task import new_task
from dashboard.held import Groups, Held, Place, Summed, in_order
from dashboard.planner import Term
from dashboard.query import Query
from dashboard.store import Store
from tests.test_rollup import DAY, Town
from tests.test_rollup import town as town  # the fixture
from tests.test_store import MONDAY, SITE, STORY, dates, event
from tests.test_store import store as store  # the fixture


def pages(store: Store, site: str = SITE) -> dict[str, int | float | None]:
    """Visitors by page from Monday to Tuesday."""
    asked = Query(site=site, metrics=("visitors",), period=dates(MONDAY, MONDAY + DAY), dimensions=("event:page",))
    return {row.dimensions[0]: row.metrics[0] for row in asyncio.run(store.run([asked]))[0].rows}


def test_events_come_late_are_built_anew_and_go(town: Town, store: Store, database: Client) -> None:
    """Inserts on open and closed days, builds, erased days, a rename and a reset: each is seen by the next question."""
    inserter = ClickHouseInserter(database)
    inserter.insert(STORY, "first")
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    assert pages(store) == {"/": 2, "/pricing": 2} == pages(store)
    today: dict[str, Any] = {"day": MONDAY + DAY, "at": 86_400}
    inserter.insert([event(11, "/new", **today), event(12, "/", **today)], "today")
    assert pages(store) == {"/": 3, "/pricing": 2, "/new": 1}
    late = event(5, "/late")
    inserter.insert([late], "late")
    town.rollup.note([late])
    assert pages(store)["/late"] == 1
    town.rollup.close_due()
    assert pages(store) == {"/": 3, "/pricing": 2, "/new": 1, "/late": 1}
    town.rollup.late(SITE, MONDAY)
    database.command("DELETE FROM events WHERE page = '/late'")
    town.rollup.renew(SITE, [MONDAY])
    assert pages(store) == {"/": 3, "/pricing": 2, "/new": 1}
    # Sums that change below the same record, as in the middle of a rename.
    database.command("DELETE FROM daily WHERE value = '/pricing'")
    assert pages(store) == {"/": 3, "/new": 1}
    task = new_task("rename", Site(domain=SITE), "admin", town.clock(), to="new.example")
    assert pages(store, "new.example") == {}
    Moving(database).go_on(task, lambda _: None)
    assert (pages(store), pages(store, "new.example")) == ({}, {"/": 3, "/new": 1})
    database.command("TRUNCATE TABLE events")
    database.command("TRUNCATE TABLE daily")
    assert pages(store, "new.example") == {}


def test_one_breakdown_in_two_orders_is_right_in_both(town: Town, store: Store, database: Client) -> None:
    """Of closed days and open ones, asked together."""
    inserter = ClickHouseInserter(database)
    inserter.insert(STORY, "first")
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    inserter.insert([event(12, "/", day=MONDAY + DAY, at=86_400)], "today")
    period, orders = dates(MONDAY, MONDAY + DAY), ((("visitors", "desc"),), (("event:page", "desc"),))
    asked = [
        Query(site=SITE, metrics=("visitors",), period=period, dimensions=("event:page",), order_by=order)
        for order in orders
    ]
    found = [[(*row.dimensions, *row.metrics) for row in each.rows] for each in asyncio.run(store.run(asked))]
    assert found == [[("/", 3), ("/pricing", 2)], [("/pricing", 2), ("/", 3)]]


def test_the_oldest_sums_make_room() -> None:
    """And sums without a component that is asked for are none."""
    held = Held(most=4)
    places = [Place(SITE, MONDAY, (), (), frozenset(state)) for state in "abc"]
    for place in places:
        held.put(place, Summed(frozenset({"events"}), {(): {"events": 1}}))
    assert [held.get(place, frozenset({"events"})) is None for place in places] == [True, False, False]
    assert held.get(places[2], frozenset({"events", "visitors"})) is None


def test_order_is_that_of_the_database() -> None:
    """By a ratio, unknown ones last either way; the same by their names."""
    counts = (("x", 1, 2), ("b", 1, 0), ("a", 2, 4), ("c", 1, 1))
    groups: Groups = {(key,): {"bounces": top, "entries": bottom} for key, top, bottom in counts}
    down = in_order(groups, (Term("desc", "bounces", "entries"),))
    assert down == [("c",), ("a",), ("x",), ("b",)]
    assert in_order(groups, (Term("asc", "bounces", "entries"),)) == [("a",), ("x",), ("c",), ("b",)]
