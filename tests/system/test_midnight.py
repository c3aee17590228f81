"""Nothing crosses a site's midnight: what is stored of one day says nothing of another."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.context import BeaconRequest, PipelineServices
from collector.ingest.event import COLUMNS, Event
from collector.ingest.pipeline import run
from collector.ingest.visits import VisitTracker
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.documents import DocumentTable
from dashboard.analytics.period import parse_period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from tests.collector.ingest.test_pipeline import MIDNIGHT, SITE, arrival, kept, rooms_for
from tests.dashboard.analytics.test_service import store as store  # the fixture

OF_THE_REQUEST = frozenset({
    "site", "name", "consent", "hostname", "page", "country", "browser", "browser_version", "os", "device", "size",
})  # fmt: skip
"""Columns that tell what the one request of an event tells, whatever was before it."""

CAME: dict[str, Any] = {"referrer": "https://rare.example/from/here", "width": 1280, "zone": "Europe/Stockholm"}


@pytest.fixture
def rooms(tmp_path: Path) -> PipelineServices:
    """What the pipeline looks things up in."""
    return rooms_for(tmp_path, SITE)


def collected(services: PipelineServices, *arrivals: BeaconRequest, restarted: bool = False) -> list[Event]:
    """What the pipeline makes of the arrivals; `restarted` before each, from what was stored until then."""
    events: list[Event] = []
    for each in arrivals:
        if restarted:
            services = dataclasses.replace(services, visits=VisitTracker())
            services.visits.restore(events)
        events.append(kept(run(each, SITE.domain, services)))
    return events


def over_midnight() -> list[BeaconRequest]:
    """One visitor who comes by a campaign, reads three pages before midnight, and reads on and writes after it."""
    own = CAME | {"referrer": "https://site.test/landing"}
    landing = "https://site.test/landing?utm_source=s&utm_medium=m&utm_campaign=c&utm_content=co&utm_term=t&gclid=1"
    before = MIDNIGHT - 300
    return [
        arrival(landing, at=before, **CAME),
        arrival("https://site.test/one", at=before + 60, **own),
        arrival("https://site.test/two", at=before + 120, **own),
        arrival("https://site.test/two", at=MIDNIGHT + 20, **own, name="engagement", engaged=190_000, scroll=55),
        arrival("https://site.test/three", at=MIDNIGHT + 20, **own),
        arrival("https://site.test/three", at=MIDNIGHT + 40, **own, name="Signup", props={"plan": "pro"}),
    ]


@pytest.mark.parametrize("restarted", [False, True])
def test_no_value_joins_the_rows_of_two_days(rooms: PipelineServices, database: Client, restarted: bool) -> None:
    """Joined on each column in turn, they meet where a request alone says the same, and where a value is that of every
    event without one."""
    events = collected(rooms, *over_midnight(), restarted=restarted)
    ClickHouseInserter(database).insert(events, "token")
    linking = set()
    for column in COLUMNS:
        rows = database.query(
            f"SELECT a.{column} FROM events AS a INNER JOIN events AS b ON a.{column} = b.{column} "  # noqa: S608
            f"WHERE a.day = '2026-03-01' AND b.day = '2026-03-02' "
            f"AND a.{column} != defaultValueOfArgumentType(a.{column})"
        ).result_rows
        if rows:
            linking.add(column)
    # +1 of a first event, and positions: small numbers that the events of every visit have.
    assert linking == OF_THE_REQUEST | {"visits", "bounces", "seq"}


@pytest.mark.parametrize("restarted", [False, True])
def test_the_next_day_begins_with_a_visit_of_its_own(rooms: PipelineServices, restarted: bool) -> None:
    """New ids, its own entry page and source, and no time before midnight: it ends nothing and takes nothing over."""
    events = collected(rooms, *over_midnight(), restarted=restarted)
    last, (reading, first, second) = events[2], events[3:]
    assert (last.day.day, reading.day.day, first.day.day) == (1, 2, 2)
    assert len({last.visitor, first.visitor}) == len({last.visit, first.visit}) == 2
    assert (first.visits, first.bounces, first.seconds, first.seq, first.entry_page) == (1, 1, 0, 1, "/three")
    assert (first.channel, first.source, first.referrer, first.utm_campaign, first.click_id) == (
        "Direct",
        "",
        "",
        "",
        "",
    )
    assert (second.visit, second.bounces, second.seconds, second.seq) == (first.visit, -1, 20, 2)
    assert (reading.visit, reading.seq, reading.engaged) == (0, 0, 20_000)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati"])
def test_midnight_is_the_sites_own(tmp_path: Path, zone: str) -> None:
    """A second before and the second itself are two visits, in whichever zone."""
    site = Site(domain="site.test", timezone=zone)
    rooms = rooms_for(tmp_path, site)
    begins = rooms.sites.zone(site).bounds(datetime.date(2026, 3, 2))[0]
    before, after = collected(rooms, *(arrival(at=at) for at in (begins - 1, begins)))
    assert (after.day - before.day, after.visits) == (datetime.timedelta(days=1), 1)
    assert before.visitor != after.visitor
    assert before.visit != after.visit


@pytest.mark.parametrize("closed", [False, True])
def test_figures_of_a_day_are_complete_in_themselves(
    rooms: PipelineServices, database: Client, store: StatsService, closed: bool
) -> None:
    """One visitor at 23:55 and 00:05, another with one page that morning: bounces on both days, no time, one view a
    visit."""
    arrivals = [
        arrival(at=MIDNIGHT - 14 * 3600, address="198.51.100.7"),
        arrival(at=MIDNIGHT - 300),
        arrival("https://site.test/b", at=MIDNIGHT + 300),
    ]
    ClickHouseInserter(database).insert(collected(rooms, *arrivals), "token")
    if closed:
        sites = Sites(DocumentTable(database, "sites", Site))
        asyncio.run(sites.change(SITE))
        assert RollupJob(database, sites, lambda: MIDNIGHT + 36 * 3600.0).close_due() == 2
    metrics = ("visitors", "visits", "pageviews", "bounce_rate", "visit_duration", "views_per_visit")
    now = datetime.datetime.fromtimestamp(MIDNIGHT + 36 * 3600, datetime.UTC)
    days = [datetime.date(2026, 3, 1), datetime.date(2026, 3, 2)]
    periods = [parse_period("custom", SITE.timezone, now, day, day) for day in days]
    results = asyncio.run(store.run([Query(SITE.domain, metrics, period) for period in periods]))
    assert [result.rows[0].metrics for result in results] == [(2, 2, 2, 100, 0, 1.0), (1, 1, 1, 100, 0, 1.0)]
