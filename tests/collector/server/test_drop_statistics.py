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
SITE = Site(domain="site.test", id="5e1f", timezone="Europe/Stockholm")
OTHER = Site(domain="other.test", id="0a2b")


@pytest.fixture
def sites(database: Client) -> Sites:
    """Two sites, one in Stockholm."""
    records = DocumentTable(database, "sites", Site)
    for site in (SITE, OTHER):
        records.save(site.domain, site)
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
        counters.drop(SITE.id, "bot", "ai")
        counters.drop("", "unknown_site")
        tally.write()
        tally.write()
    clock.now = NOON + 11 * 3600 + 1800
    counters.drop(SITE.id, "bot", "ai")
    tally.write()
    clock.now = NOON + 12 * 3600
    counters.drop(SITE.id, "bot", "crawler")
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
            counters.drop(SITE.id, reason, "ai" if reason == "bot" else "")
            counters.drop(OTHER.id, reason)
        DropStatistics(database, counters, sites, clock).write()
    clock.now = NOON
    counters = Counters()
    counters.drop(SITE.id, "bot", "ai")
    counters.drop(SITE.id, "rate")
    assert await DropStatistics(database, counters, sites, clock).dropped(SITE) == [
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
        counters.trim(SITE.id, "u")
        counters.trim(OTHER.id, "p")
        tally = DropStatistics(database, counters, sites, clock)
        tally.write()
        tally.write()
    clock.now = NOON
    counters = Counters()
    counters.trim(SITE.id, "u")
    counters.trim(SITE.id, "$")
    assert await DropStatistics(database, counters, sites, clock).trimmed(SITE) == [
        Trimmed("u", 2, 3),
        Trimmed("$", 1, 1),
    ]


async def test_a_count_that_could_not_be_written_is_written_the_next_time(database: Client, sites: Sites) -> None:
    """Nothing is lost while the database is away."""
    counters = Counters()
    tally = DropStatistics(database, counters, sites, Clock(NOON))
    counters.drop(SITE.id, "consent")
    database.command("RENAME TABLE dropped_events TO away")
    with pytest.raises(ClickHouseError):
        tally.write()
    database.command("RENAME TABLE away TO dropped_events")
    counters.drop(SITE.id, "consent")
    tally.write()
    assert stored(database) == [("site.test", date(2026, 3, 1), "consent", "", 2)]


async def test_the_table_has_no_room_for_more_than_numbers(database: Client) -> None:
    """Site, day, reason, kind of bot, count: no text that a visitor sent."""
    columns = database.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'dropped_events'"
    )
    assert [row[0] for row in columns.result_rows] == ["site", "day", "reason", "kind", "count"]


async def test_the_next_site_of_a_name_has_no_counts_of_the_one_before(database: Client, sites: Sites) -> None:
    """Not those that were not written when it was deleted; a site that only gets another name keeps its own."""
    counters = Counters()
    tally = DropStatistics(database, counters, sites, Clock(NOON))
    for site in (SITE, OTHER):
        counters.drop(site.id, "consent")
        counters.trim(site.id, "u")
    await sites.remove(SITE.domain)
    tally.wait_for_write(SITE.id)
    renamed = sites.rename_now(OTHER, "new.test")
    new = await sites.add(Site(domain=SITE.domain))
    assert await tally.dropped(new) == []
    tally.write()
    assert await tally.dropped(new) == []
    assert await tally.trimmed(new) == []
    assert await tally.dropped(renamed) == [Dropped("consent", "", 1, 1)]
    assert stored(database) == [("new.test", date(2026, 3, 1), "consent", "", 1)]
