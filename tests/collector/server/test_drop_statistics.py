"""What was not kept is counted by day, and still known after a restart."""

from __future__ import annotations

from datetime import date

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.metrics import Counters, Reason
from collector.server.drop_statistics import Dropped, DropStatistics, Trimmed
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from tests.collector.spool.test_spool import Clock

pytestmark = pytest.mark.anyio

NOON = 1_772_362_800
DAY = 86_400
SITE = Site(domain="site.test", timezone="Europe/Stockholm")


@pytest.fixture
def sites(database: Client) -> Sites:
    """One site, in Stockholm."""
    records = DocumentTable(database, "sites", Site)
    records.save(SITE.domain, SITE)
    sites = Sites(records)
    sites.refresh()
    return sites


def stored(database: Client) -> list[tuple[str, date, str, str, int]]:
    """The table, summed."""
    sql = "SELECT site, day, reason, kind, sum(count) FROM dropped_events GROUP BY ALL ORDER BY ALL"
    return [tuple(row) for row in database.query(sql).result_rows]


async def test_counts_are_added_up_by_site_day_reason_and_kind(database: Client, sites: Sites) -> None:
    """Each once, however often they are written; days are the site's own."""
    clock = Clock(NOON)
    counters = Counters()
    tally = DropStatistics(database, counters, sites, clock)
    for _ in range(3):
        counters.drop("site.test", "bot", "ai")
        counters.drop("", "unknown_site")
        tally.write()
        tally.write()
    clock.now = NOON + 11 * 3600 + 1800
    counters.drop("site.test", "bot", "ai")
    tally.write()
    clock.now = NOON + 12 * 3600
    counters.drop("site.test", "bot", "crawler")
    tally.write()
    assert stored(database) == [
        ("", date(2026, 3, 1), "unknown_site", "", 3),
        ("site.test", date(2026, 3, 1), "bot", "ai", 4),
        ("site.test", date(2026, 3, 2), "bot", "crawler", 1),
    ]


async def test_a_site_sees_today_and_thirty_days_also_after_a_restart(database: Client, sites: Sites) -> None:
    """With what is counted and not yet written, most frequent first; older days and other sites are left out."""
    clock = Clock(NOON)
    past: tuple[tuple[int, tuple[Reason, ...]], ...] = (
        (30, ("dnt",)),
        (29, ("bot", "gpc", "bot")),
        (0, ("gpc", "bot")),
    )
    for days_ago, reasons in past:
        counters = Counters()
        clock.now = NOON - days_ago * DAY
        for reason in reasons:
            counters.drop("site.test", reason, "ai" if reason == "bot" else "")
            counters.drop("other.test", reason)
        DropStatistics(database, counters, sites, clock).write()
    clock.now = NOON
    counters = Counters()
    counters.drop("site.test", "bot", "ai")
    counters.drop("site.test", "rate")
    assert await DropStatistics(database, counters, sites, clock).dropped("site.test") == [
        Dropped("bot", "ai", 2, 4),
        Dropped("gpc", "", 1, 2),
        Dropped("rate", "", 1, 1),
    ]


async def test_parts_that_were_cut_are_added_up_by_site_and_day(database: Client, sites: Sites) -> None:
    """Today's and those of thirty days, with what is not yet written, also after a restart; of other sites none."""
    clock = Clock(NOON)
    for days_ago in (30, 29, 0):
        counters = Counters()
        clock.now = NOON - days_ago * DAY
        counters.trim("site.test", "u")
        counters.trim("other.test", "p")
        tally = DropStatistics(database, counters, sites, clock)
        tally.write()
        tally.write()
    clock.now = NOON
    counters = Counters()
    counters.trim("site.test", "u")
    counters.trim("site.test", "$")
    assert await DropStatistics(database, counters, sites, clock).trimmed("site.test") == [
        Trimmed("u", 2, 3),
        Trimmed("$", 1, 1),
    ]


async def test_a_count_that_could_not_be_written_is_written_the_next_time(database: Client, sites: Sites) -> None:
    """Nothing is lost while the database is away."""
    counters = Counters()
    tally = DropStatistics(database, counters, sites, Clock(NOON))
    counters.drop("site.test", "consent")
    database.command("RENAME TABLE dropped_events TO away")
    with pytest.raises(ClickHouseError):
        tally.write()
    database.command("RENAME TABLE away TO dropped_events")
    counters.drop("site.test", "consent")
    tally.write()
    assert stored(database) == [("site.test", date(2026, 3, 1), "consent", "", 2)]


async def test_the_table_has_no_room_for_more_than_numbers(database: Client) -> None:
    """Site, day, reason, kind of bot, count: no text that a visitor sent."""
    columns = database.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'dropped_events'"
    )
    assert [row[0] for row in columns.result_rows] == ["site", "day", "reason", "kind", "count"]
