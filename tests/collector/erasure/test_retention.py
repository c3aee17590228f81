"""Retention: what is too old is gone, from the disk too, and no sum is lost by it; salts that are gone are gone."""

from __future__ import annotations

import datetime
import os
import time
import zoneinfo
from collections.abc import Callable
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.erasure.retention import PASS_SECONDS, RetentionJob
from collector.ingest.event import Event
from collector.privacy.salts_clickhouse import TableSalts
from collector.privacy.visitor_id import DailySalts, FileSalts, visitor_id
from collector.rollups.job import RollupJob
from collector.rollups.late_events import LateEventsInserter
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.documents import DocumentTable
from tests.collector.spool.test_spool import Clock
from tests.collector.storage.test_client import an_event

# Ahead of the real clock, by which ClickHouse would delete what is past its TTL.
DAY = datetime.date(2041, 3, 1)
FAR_WEST = "Pacific/Honolulu"


class Shop:
    """One site's table, its sums, and a clock that is moved."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.clock = Clock()
        self.records = DocumentTable(client, "sites", Site)
        self.sites = Sites(self.records)
        self.rollup = RollupJob(client, self.sites, self.clock)
        self.believed = True
        self.retention = RetentionJob(
            client, self.sites, self.clock, since_boot=self.clock, may_delete=lambda: self.believed
        )

    def have(self, site: Site) -> None:
        """The site with these settings."""
        self.records.save(site.domain, site)
        self.sites.refresh()

    def stand(self, zone: str, day: datetime.date, hour: int, minute: int = 0) -> None:
        """Move the clock to a site-local time."""
        at = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=zoneinfo.ZoneInfo(zone))
        self.clock.now = at.timestamp()

    def see(self, *events: Event) -> None:
        """Store events."""
        ClickHouseInserter(self.client).insert(events, str(time.monotonic_ns()))

    def days(self) -> list[datetime.date]:
        """The days of raw events that are left."""
        return [row[0] for row in self.client.query("SELECT DISTINCT day FROM events ORDER BY day").result_rows]

    def sums(self) -> list[tuple[datetime.date, int]]:
        """Pageviews by closed day."""
        rows = self.client.query(
            "SELECT day, pageviews FROM daily_rollup WHERE dimension = '' ORDER BY day"
        ).result_rows
        return [(day, count) for day, count in rows]


@pytest.fixture
def shop(database: Client) -> Shop:
    """An empty table."""
    return Shop(database)


def on(day: datetime.date, retention: int, **fields: object) -> Event:
    """A pageview of a day under a retention."""
    values = {"visits": 1, "bounces": 1, "page": "/", "expires": day + datetime.timedelta(days=retention)}
    return an_event(**{"day": day, **values, **fields})


@pytest.mark.parametrize("zone", ["Europe/Stockholm", FAR_WEST, "Pacific/Kiritimati"])
def test_today_only_is_kept_until_the_day_is_over_and_closed(shop: Shop, zone: str) -> None:
    """By the site's own clock, wherever it is; the day's sums stay for good."""
    shop.have(Site(domain="site.test", timezone=zone, retention_days=1))
    shop.see(on(DAY, 1))
    shop.stand(zone, DAY, 23, 59)
    shop.rollup.close_due()
    assert shop.retention.keep() == 0
    shop.stand(zone, DAY + datetime.timedelta(days=1), 0, 15)
    shop.rollup.close_due()
    assert shop.retention.keep() == 0
    shop.stand(zone, DAY + datetime.timedelta(days=1), 0, 31)
    assert shop.retention.keep() == 0, "not before the day is closed"
    shop.rollup.close_due()
    assert shop.retention.keep() == 1
    assert shop.days() == []
    assert shop.sums() == [(DAY, 1)]
    shop.rollup.close_due()
    assert shop.sums() == [(DAY, 1)]


def counted(shop: Shop) -> list[tuple[datetime.date, int]]:
    """Pageviews by day, of the builds that count."""
    rows = shop.client.query(
        "SELECT day, pageviews FROM daily_rollup WHERE dimension = '' AND (site, day, version) IN"
        " (SELECT site, day, version FROM daily_status FINAL WHERE NOT reopened) ORDER BY day"
    ).result_rows
    return [(day, count) for day, count in rows]


@pytest.mark.parametrize("late", [1, 5])
def test_what_comes_after_its_retention_leaves_the_sums_of_its_day(shop: Shop, late: int) -> None:
    """As of a collector that was away: its events alone would take the place of all that was counted. While the others
    are there it counts, however old its day is."""
    shop.have(Site(domain="site.test", retention_days=7))
    inserter = LateEventsInserter(ClickHouseInserter(shop.client), shop.rollup.final_days)

    def come(token: str) -> None:
        events = [on(DAY, 7, page=f"/{token}/{number}") for number in range(late)]
        inserter.insert(events, token)
        # By another collector than the one that closes days.
        RollupJob(shop.client, shop.sites, shop.clock).on_insert(events)
        shop.rollup.close_due()

    shop.see(*(on(DAY, 7, page=f"/{number}") for number in range(3)))
    shop.stand("UTC", DAY + datetime.timedelta(days=8), 1)
    shop.rollup.close_due()
    come("in time")
    assert counted(shop) == [(DAY, 3 + late)]
    assert shop.retention.keep() == 1
    come("too late")
    RollupJob(shop.client, shop.sites, shop.clock).close_due()
    assert (shop.days(), counted(shop)) == ([], [(DAY, 3 + late)])


def test_only_what_is_too_old_goes(shop: Shop) -> None:
    """Each row by its own date, each site by its own retention."""
    shop.have(Site(domain="site.test", retention_days=7))
    shop.have(Site(domain="long.test", retention_days=760))
    days = [DAY + datetime.timedelta(days=number) for number in range(10)]
    shop.see(*(on(day, 7) for day in days), *(on(day, 760, site="long.test") for day in days))
    shop.stand("UTC", days[9], 12)
    shop.rollup.close_due()
    assert shop.retention.keep() == 3
    left = shop.client.query("SELECT site, min(day), count() FROM events GROUP BY site ORDER BY site").result_rows
    assert left == [("long.test", days[0], 10), ("site.test", days[3], 7)]


@pytest.mark.parametrize(("before", "after", "left"), [(760, 3, 3), (3, 760, 6)])
def test_a_changed_retention_holds_for_what_is_there(shop: Shop, before: int, after: int, left: int) -> None:
    """Shorter, and old rows go; longer, and they stay."""
    days = [DAY + datetime.timedelta(days=number) for number in range(6)]
    shop.have(Site(domain="site.test", retention_days=after))
    shop.see(*(on(day, before) for day in days))
    shop.stand("UTC", days[5], 12)
    shop.rollup.close_due()
    shop.retention.keep()
    assert len(shop.days()) == left
    expiries = shop.client.query("SELECT DISTINCT toUInt32(expires - day) FROM events").result_rows
    assert expiries == [(after,)]


def test_retentions_that_changed_are_applied_at_once(shop: Shop) -> None:
    """However many sites there are, the rows of all are rewritten once; those of other sites stay as they are."""
    for number in range(5):
        shop.have(Site(domain=f"s{number}.test", retention_days=100 + number))
    shop.see(*(on(DAY, 104, site=f"s{number}.test") for number in range(5)))
    shop.stand("UTC", DAY, 12)
    shop.retention.keep()
    expiries = "SELECT site, toUInt32(expires - day) FROM events ORDER BY site"
    assert shop.client.query(expiries).result_rows == [(f"s{number}.test", 100 + number) for number in range(5)]
    mutations = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = 'events'"
    assert shop.client.query(mutations).result_rows == [(1,)]


def test_what_no_day_is_closed_for_goes_two_days_later(shop: Shop) -> None:
    """Whatever keeps a day from being closed, no row outlives its date by more."""
    days = [DAY + datetime.timedelta(days=number) for number in range(5)]
    shop.have(Site(domain="site.test", retention_days=1))
    shop.see(*(on(day, 1) for day in days))
    shop.stand("UTC", days[4], 12)
    assert shop.retention.keep() == 2
    assert shop.days() == days[2:]


def test_no_merge_deletes_by_the_server_s_clock(shop: Shop) -> None:
    """Rows that expired long ago by every clock stay until the upkeep deletes them."""
    long_ago = datetime.date(2020, 3, 1)
    shop.see(on(long_ago, 1))
    shop.client.command("OPTIMIZE TABLE events FINAL")
    assert shop.days() == [long_ago]
    tables = shop.client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND create_table_query LIKE '% TTL %' ORDER BY name"
    ).result_rows
    # Sign-ins and invitations are made anew, and what was sent is about no visitor.
    assert [name for (name,) in tables] == ["deliveries", "invitations", "sessions"]


def test_nothing_is_deleted_while_the_clock_is_not_believed(shop: Shop) -> None:
    """Nine years ahead, and back again: everything is there, and then retention goes on as before."""
    shop.have(Site(domain="site.test", retention_days=7))
    days = [DAY + datetime.timedelta(days=number) for number in range(10)]
    shop.see(*(on(day, 7) for day in days))
    shop.client.command("INSERT INTO audit_log (at, site, who) VALUES ('2041-03-01 00:00:00', 'site.test', 'ada')")
    shop.client.command("INSERT INTO revoked_receipts (id_hash, day) VALUES ('x', '2041-03-09')")
    shop.stand("UTC", DAY + datetime.timedelta(days=9 * 365), 12)
    shop.rollup.close_due()
    shop.believed = False
    assert shop.retention.keep() == 0
    assert shop.days() == days
    shop.believed = True
    shop.stand("UTC", days[9], 12)
    assert shop.retention.keep() == 3
    count = "SELECT (SELECT count() FROM audit_log), (SELECT count() FROM revoked_receipts)"
    assert shop.client.query(count).result_rows == [(1, 1)]


def test_what_is_kept_beside_events_has_its_time_too(shop: Shop) -> None:
    """Revocations three days, counts of drops thirteen months, the list of changes twenty-five."""
    for insert in (
        "revoked_receipts (id_hash, day) VALUES ('a', '2041-03-01'), ('b', '2041-03-05')",
        "dropped_events (reason, day, count) VALUES ('a', '2040-02-01', 1), ('b', '2040-03-06', 1)",
        "trims (part, day, count) VALUES ('a', '2040-02-01', 1), ('b', '2040-03-06', 1)",
        "audit_log (who, at) VALUES ('a', '2039-02-01 00:00:00'), ('b', '2039-03-06 00:00:00')",
    ):
        shop.client.command(f"INSERT INTO {insert}")
    shop.stand("UTC", datetime.date(2041, 3, 5), 12)
    shop.retention.keep()
    for table, column in (
        ("revoked_receipts", "id_hash"),
        ("dropped_events", "reason"),
        ("trims", "part"),
        ("audit_log", "who"),
    ):
        assert shop.client.query(f"SELECT {column} FROM {table}").result_rows == [("b",)], table  # noqa: S608 # ours


def test_the_table_is_looked_at_four_times_an_hour(shop: Shop) -> None:
    """So that what is stated holds: off the table a quarter of an hour after its day is closed, off the disk ten
    minutes later."""
    assert PASS_SECONDS == 900
    shop.have(Site(domain="site.test", retention_days=1))
    shop.stand("UTC", DAY + datetime.timedelta(days=2), 0, 31)
    shop.retention.run_due()
    shop.see(on(DAY, 1))
    shop.rollup.close_due()
    shop.clock.now += PASS_SECONDS - 1
    shop.retention.run_due()
    assert shop.days() == [DAY]
    shop.clock.now += 1
    shop.retention.run_due()
    assert shop.days() == []


def test_expired_bytes_leave_the_disk(database: Client) -> None:
    """The page of an expired event is in the files before and in none after."""
    shop, page = Shop(database), b"/a-page-of-long-ago"
    # As in the schema, but within a second: the table's clean-up takes its pace when it is attached.
    database.command(
        "ALTER TABLE events MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1, "
        "max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
    )
    database.command("DETACH TABLE events SYNC")
    database.command("ATTACH TABLE events")
    shop.have(Site(domain="site.test", retention_days=1))
    shop.see(on(DAY, 1, page=page.decode()))
    shop.stand("UTC", DAY + datetime.timedelta(days=1), 1)
    shop.rollup.close_due()
    engine = Path(database.query("SELECT path FROM system.disks WHERE name = 'default'").result_rows[0][0])
    identity = database.query(
        "SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
    ).result_rows[0][0]
    assert found_below(engine, page, identity)
    assert shop.retention.keep() == 1
    deadline = time.monotonic() + 60
    while found_below(engine, page, identity):
        assert time.monotonic() < deadline, "the bytes are still there"
        time.sleep(0.1)


def found_below(directory: Path, needle: bytes, within: str) -> list[Path]:
    """Files of the table with that id that have the needle."""
    found = []
    for place, _, names in os.walk(directory):
        for path in (Path(place, name) for name in names):
            try:
                if within in place and needle in path.read_bytes():
                    found.append(path)
            except OSError:
                continue
    return found


@pytest.fixture(params=["files", "table"])
def salts_at(
    request: pytest.FixtureRequest, tmp_path: Path, database: Client
) -> tuple[Callable[[], DailySalts], Callable[[], bytes]]:
    """Opens the salts, in files or in a table; and everything that could hold one, as bytes."""

    def left() -> bytes:
        files = b"\0".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
        if request.param == "files":
            return files
        rows = database.query("SELECT date, salt FROM salts").result_rows
        return files + b"\0".join(bytes.fromhex(salt) for _, salt in rows)

    def opened() -> DailySalts:
        return FileSalts(tmp_path / "salts") if request.param == "files" else TableSalts(database)

    return opened, left


def test_once_the_salt_is_destroyed_no_id_can_be_computed_again(
    salts_at: tuple[Callable[[], DailySalts], Callable[[], bytes]],
) -> None:
    """Who knows address, user agent and site, and has everything that is left, tries each 32 bytes of it as the key:
    none gives the id that is stored. While the salt was there, the same search found it."""
    opened, left = salts_at
    tomorrow = DAY + datetime.timedelta(days=1)
    salts = opened()
    salts.rotate(DAY, tomorrow)
    stored = visitor_id(salts.salt(DAY), "site.test", "203.0.113.7", "Mozilla/5.0")
    assert stored in recomputed(left())
    assert salts.rotate(tomorrow, tomorrow + datetime.timedelta(days=1)) == [DAY]
    assert stored not in recomputed(left())
    again = opened()
    again.rotate(tomorrow, tomorrow + datetime.timedelta(days=1))
    for asked in (salts, again):
        assert visitor_id(asked.salt(DAY), "site.test", "203.0.113.7", "Mozilla/5.0") != stored


def recomputed(left: bytes) -> set[int]:
    """Every id that a key somewhere in these bytes would give."""
    keys = (left[at : at + 32] for at in range(len(left) - 31))
    return {visitor_id(key, "site.test", "203.0.113.7", "Mozilla/5.0") for key in keys}
