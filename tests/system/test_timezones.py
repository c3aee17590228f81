"""A site's time zone: past days keep their borders when it is changed, and hours are cut by moments."""

from __future__ import annotations

import asyncio
import bisect
import csv
import datetime
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.requests import Request

from collector.core.timezones import FormerZone, Zone, borders, zone_offsets
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from dashboard.analytics.period import Period, parse_period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.api.stats import routes
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.length import by_length

ANGELES, TOKYO, STOCKHOLM = "America/Los_Angeles", "Asia/Tokyo", "Europe/Stockholm"
HOUR, DAY = 3_600, 86_400
D = datetime.date


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with a site in Los Angeles, and its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, timezone=ANGELES)
        opened.sign_in()
        yield opened


def seed(board: Board, zone: str, *moments: int) -> None:
    """A visitor at each moment, on the date that it has in the zone."""
    board.seed([
        pageview(at, at=at, day=datetime.datetime.fromtimestamp(at, ZoneInfo(zone)).date()) for at in moments
    ])  # fmt: skip


def change(board: Board, zone: str) -> None:
    """Another time zone for the site, as of now."""
    site = board.dashboard.sites.get(SITE)
    assert site is not None
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(site, timezone=zone))


def by_hour(board: Board, query: str) -> dict[str, int]:
    """Visitors by hour, of the hours that have any."""
    text = board.get(f"/{SITE}/chart.csv?compare=none&{query}").text
    return {
        row["hour"]: int(row["visitors"])
        for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
        if row["visitors"] != "0"
    }


def test_the_last_24_hours_are_cut_by_moments(board: Board) -> None:
    """Whatever dates the events had by the time zone of before."""
    seed(board, ANGELES, *(NOON - hours * HOUR for hours in (1, 5, 9, 14, 18, 23)))
    change(board, TOKYO)
    dashboard = board.dashboard

    async def everybody(_: Request, __: str) -> Site:
        return board.site()

    board.app = Starlette(
        routes=routes(stats=dashboard.stats, sites=dashboard.sites, readable=everybody, clock=board.clock)
    )
    body = {"site_id": SITE, "metrics": ["visitors"], "date_range": "24h"}
    assert board.ask("POST", "/api/v2/query", json=body).json()["results"][0]["metrics"] == [6]
    rows = board.ask("POST", "/api/v2/query", json=body | {"dimensions": ["time:hour"]}).json()["results"]
    assert sum(row["metrics"][0] for row in rows) == 6


def test_a_past_day_keeps_its_hours_when_the_time_zone_is_changed(board: Board) -> None:
    """Its total, the sum of its hours and the moments of these, by the clock now set; open or closed."""
    # The date in Los Angeles is 07:00 to 07:00 in Greenwich, 16:00 to 16:00 in Tokyo.
    moments = [NOON - DAY - 4 * HOUR, NOON - DAY, NOON - DAY + 12 * HOUR, NOON - 6 * HOUR]
    seed(board, ANGELES, *moments)
    change(board, TOKYO)
    for closed in (False, True):
        if closed:
            board.clock.now += DAY
            RollupJob(board.database, board.dashboard.sites, board.clock).close_due()
        dates = "period=custom&from=2026-05-19&to=2026-05-19"
        assert "Visitors 4 " in board.page(f"/{SITE}?{dates}").text
        assert by_hour(board, dates) == {
            "2026-05-19 17:00:00": 1, "2026-05-19 21:00:00": 1, "2026-05-20 09:00:00": 1, "2026-05-20 15:00:00": 1
        }  # fmt: skip


def test_the_day_of_the_change_has_what_came_on_either_side(board: Board) -> None:
    """Westwards its date begins anew; eastwards it ends with the change."""
    change(board, TOKYO)
    change(board, ANGELES)
    seed(board, TOKYO, NOON - HOUR)
    seed(board, ANGELES, NOON + HOUR)
    board.clock.now = NOON + 2 * HOUR
    assert by_hour(board, "period=day") == {"2026-05-20 04:00:00": 1, "2026-05-20 06:00:00": 1}


@pytest.mark.parametrize(
    ("day", "begins", "ends"),
    [
        (D(2026, 5, 18), "2026-05-18T07:00", "2026-05-19T07:00"),
        # Changed at noon in Greenwich on 20 May, when it is 05:00 in Los Angeles and 21:00 in Tokyo.
        (D(2026, 5, 20), "2026-05-20T07:00", "2026-05-20T15:00"),
        (D(2026, 5, 21), "2026-05-20T15:00", "2026-05-21T15:00"),
    ],
)
def test_dates_have_the_borders_that_they_were_counted_with(day: D, begins: str, ends: str) -> None:
    """By the time zone of then."""
    found = borders(day, TOKYO, [FormerZone(NOON, ANGELES)])
    assert [datetime.datetime.fromtimestamp(ts, datetime.UTC).isoformat()[:16] for ts in found] == [begins, ends]


def test_a_stretch_of_time_may_be_on_other_dates_by_a_former_time_zone() -> None:
    """So that no event of it is looked for on the wrong one; without former time zones nothing changes."""
    now = datetime.datetime.fromtimestamp(NOON, datetime.UTC)
    plain = parse_period("24h", TOKYO, now)
    assert (plain.first, plain.last) == (D(2026, 5, 19), D(2026, 5, 20))
    assert plain.at_site(()) == plain
    early = parse_period("24h", TOKYO, now + datetime.timedelta(hours=6)).at_site((FormerZone(NOON, ANGELES),))
    assert (early.first, early.last) == (D(2026, 5, 19), D(2026, 5, 21))
    assert isinstance(early, Period)


@pytest.mark.parametrize("name", sorted(available_timezones() - {"localtime"}))
def test_offsets_are_those_of_dates_and_labels(name: str) -> None:
    """Of every time zone, each day of a year and around each change of its clocks: what is bound to statements gives
    the wall clock that labels are made with."""
    first = int(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp())
    offsets, zone = zone_offsets(name, first, first + 366 * DAY), ZoneInfo(name)
    begins = [at for at, _ in offsets]
    step = by_length(DAY, 6 * HOUR)
    for ts in [*range(first, first + 366 * DAY, step), *begins[1:], *(at - 1 for at in begins[1:])]:
        wall = datetime.datetime.fromtimestamp(ts + offsets[bisect.bisect_right(begins, ts) - 1][1], datetime.UTC)
        assert wall.replace(tzinfo=None) == datetime.datetime.fromtimestamp(ts, zone).replace(tzinfo=None)


@pytest.mark.parametrize("day", [D(2026, 10, 25), D(2026, 11, 25)], ids=str)
@pytest.mark.parametrize("name", ["America/Vancouver", "Europe/Stockholm", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_hours_add_up_to_their_day(clickhouse: ClickHouse, database: Client, name: str, day: D) -> None:
    """An event in each quarter of an hour is in the hour of its label, and none beside its date."""
    moments = range(*Zone(name).bounds(day), 900)
    ClickHouseInserter(database).insert([pageview(1, at=at, day=day) for at in moments], "hours")
    stats = StatsService(lambda settings: clickhouse.client(readonly=True, settings=settings), workers=1)
    period = parse_period("custom", name, datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC), day, day)
    (result,) = asyncio.run(stats.run([Query(SITE, ("events",), period, ("time:hour",), limit=100)]))
    labels = [datetime.datetime.fromtimestamp(at, ZoneInfo(name)).strftime("%Y-%m-%d %H:00:00") for at in moments]
    assert {row.dimensions[0]: row.metrics[0] for row in result.rows} == dict(Counter(labels))
    assert set(labels) == set(period.buckets("hour"))
    stats.close()
