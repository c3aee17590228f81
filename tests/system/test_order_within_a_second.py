"""The order of the events of one visit is that in which they arrived, also within one second."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.context import PipelineServices
from collector.ingest.event import Event
from collector.ingest.pipeline import run
from collector.ingest.visits import VisitTracker
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.documents import DocumentTable
from dashboard.analytics.dimensions import NOT_SET
from dashboard.analytics.filters import is_
from dashboard.analytics.period import parse_period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from tests.collector.ingest.test_pipeline import NOON, SITE, arrival, kept, rooms_for
from tests.dashboard.analytics.test_service import store as store  # the fixture

DAY = datetime.date(2026, 3, 1)
PERIOD = parse_period("custom", "Europe/Stockholm", datetime.datetime.fromtimestamp(NOON, datetime.UTC), DAY, DAY)


@pytest.fixture
def rooms(tmp_path: Path) -> PipelineServices:
    """What the pipeline looks things up in."""
    return rooms_for(tmp_path, SITE)


def viewed(services: PipelineServices, *pages: str, at: int = NOON) -> list[Event]:
    """One visitor's pageviews of one second, in this order."""
    return [kept(run(arrival(f"https://site.test{page}", at=at), SITE.domain, services)) for page in pages]


def pages_by(store: StatsService, dimension: str, filtered: str = "") -> list[str]:
    """The values of a dimension on the day."""
    filters = is_(dimension, filtered) if filtered else None
    query = Query(SITE.domain, ("visitors", "visits", "pageviews"), PERIOD, (dimension,), filters)
    return [row.dimensions[0] for row in asyncio.run(store.run([query]))[0].rows]


def close_the_day(database: Client) -> None:
    """Build its sums."""
    sites = Sites(DocumentTable(database, "sites", Site))
    asyncio.run(sites.change(SITE))
    assert RollupJob(database, sites, lambda: NOON + 86_400.0).close_due() == 1


def test_events_are_numbered_in_order_of_arrival(rooms: PipelineServices) -> None:
    """From 1, engagement among them; each visit anew."""
    events = viewed(rooms, "/z", "/m", "/a")
    events.append(
        kept(run(arrival("https://site.test/a", at=NOON, name="engagement", engaged=900), "site.test", rooms))
    )
    events += viewed(rooms, "/b", at=NOON + 3600)
    assert [event.seq for event in events] == [1, 2, 3, 4, 1]


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("pages", [("/z", "/m", "/a"), ("/a", "/m", "/z"), ("/m", "/z", "/m")])
def test_a_visit_is_entered_and_left_by_order_of_arrival(
    rooms: PipelineServices, database: Client, store: StatsService, pages: tuple[str, ...], closed: bool
) -> None:
    """Not by the alphabet: on the open day, on a closed one, and where it is filtered by."""
    # Blocks and merges do not keep the order in which rows were inserted.
    ClickHouseInserter(database).insert(list(reversed(viewed(rooms, *pages))), "token")
    if closed:
        close_the_day(database)
    assert pages_by(store, "visit:exit_page") == [pages[-1]]
    assert pages_by(store, "visit:entry_page") == [pages[0]]
    assert pages_by(store, "visit:exit_page", pages[-1]) == [pages[-1]]
    assert pages_by(store, "visit:exit_page", pages[1]) == []


@pytest.mark.parametrize("seq", ["of this release", "none"])
@pytest.mark.parametrize("closed", [False, True])
def test_a_visit_that_begins_with_an_event_is_entered_by_its_first_pageview(
    rooms: PipelineServices, database: Client, store: StatsService, closed: bool, seq: str
) -> None:
    """All its events are of that entry page, also the one before it; a visit without a pageview has none. So it is on
    the open day and on a closed one, for a filter and for a breakdown, and for rows of earlier releases."""

    def sent(name: str, page: str, address: str) -> Event:
        return kept(run(arrival(f"https://site.test{page}", name=name, address=address), SITE.domain, rooms))

    events = [
        *(sent(*each, "192.0.2.1") for each in (("Signup", "/z"), ("pageview", "/m"), ("pageview", "/a"))),
        sent("Signup", "/z", "198.51.100.1"),
    ]
    assert [event.entry_page for event in events] == ["", "/m", "/m", ""]
    if seq == "none":
        events = [msgspec.structs.replace(event, seq=0) for event in events]
    ClickHouseInserter(database).insert(events, "token")
    if closed:
        close_the_day(database)

    def rows(dimension: str, entered: str = "") -> dict[str, tuple[float | None, ...]]:
        filters = is_("visit:entry_page", entered) if entered else None
        query = Query(SITE.domain, ("visits", "events"), PERIOD, (dimension,), filters)
        return {row.dimensions[0]: row.metrics for row in asyncio.run(store.run([query]))[0].rows}

    assert rows("visit:entry_page") == {"/m": (1, 3), NOT_SET: (1, 1)}
    assert rows("event:name", "/m") == {"Signup": (1, 1), "pageview": (1, 2)}
    assert rows("event:name", NOT_SET) == {"Signup": (1, 1)}
    assert rows("visit:entry_page", "/m") == {"/m": (1, 3)}


@pytest.mark.parametrize("closed", [False, True])
def test_rows_of_earlier_releases_keep_their_figures(
    rooms: PipelineServices, database: Client, store: StatsService, closed: bool
) -> None:
    """They have no position: the time decides, and within a second the page, as it did."""
    events = [*viewed(rooms, "/z", "/a"), *viewed(rooms, "/b", "/y", "/c", at=NOON + 1)]
    ClickHouseInserter(database).insert([msgspec.structs.replace(event, seq=0) for event in events], "token")
    if closed:
        close_the_day(database)
    assert pages_by(store, "visit:exit_page") == ["/y"]


def test_positions_go_on_after_a_restart(rooms: PipelineServices) -> None:
    """From what is stored, whatever its order; rows without a position count as well."""
    events = viewed(rooms, "/z", "/m", "/a")
    for stored, following in (
        (events, 4),
        ([msgspec.structs.replace(event, seq=0) for event in events], 4),
        (events[:1], 2),
    ):
        visits = VisitTracker()
        visits.restore(reversed(stored))
        visit = visits.current(events[0].visitor, NOON + 1)
        assert visit is not None
        part = visits.extend(events[0].visitor, visit, NOON + 1, "/", ends_bounce=True)
        assert (part.visit, part.seq) == (events[0].visit, following)


def test_engagement_outside_a_visit_begins_none_at_a_restart(rooms: PipelineServices) -> None:
    """The next pageview counts as a visit, as it would without the restart."""
    alone = kept(run(arrival(name="engagement", engaged=900), "site.test", rooms))
    assert (alone.visit, alone.seq) == (0, 0)
    visits = VisitTracker()
    visits.restore([alone])
    assert visits.current(alone.visitor, NOON + 1) is None
