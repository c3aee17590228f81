"""A ClickHouse server as it is set up by the documentation: grants, versions, long statements, what its logs have."""

from __future__ import annotations

import contextlib
import datetime
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.clock_monitor import uptime
from collector.core.errors import InsertRetryable, ServerUnsuitable
from collector.core.settings import read_settings
from collector.erasure.delete_events import TABLES_WITH_SITE
from collector.erasure.stored_events import delete_stored, remove_stale_marks
from collector.rollups.build import build_days
from collector.server.collector import Collector
from collector.sites.model import Site
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import Erasure
from collector.storage.backup import back_up, restore
from collector.storage.client import ClickHouse
from collector.storage.disk_guard import DiskSpaceGuard
from collector.storage.migrations import STEPS
from collector.storage.mutations import MutationUnfinished
from collector.storage.server_requirements import GRANTS, require_suitable, version_number
from collector.storage.statements import split_statements
from dashboard.server.health_checks import check_server_logs
from tests.collector.storage.test_client import an_event
from tests.databases import drop
from tests.disk import filled, small_disk
from tests.real_server import ADMINISTRATOR, LIMITED, RealServer, real_server
from tests.real_server import GRANTS as DOCUMENTED

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
_AT = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
MINE, THEIRS = an_event(visitor=5), an_event(visitor=6)
ERASURE = Erasure(MINE.site, MINE.day, MINE.visitor, MINE.ts)


@pytest.fixture
def place(clickhouse_server: RealServer) -> Iterator[ClickHouse]:
    """The database of the documentation, whose user has exactly the documented grants."""
    place = ClickHouse.at(clickhouse_server.dsn("tyst"))
    yield place
    drop(place)


@pytest.fixture
def client(place: ClickHouse) -> Iterator[Client]:
    """A writing client to it, with the schema applied."""
    with contextlib.closing(place.prepare()) as client:
        yield client


@pytest.fixture
def administrator(clickhouse_server: RealServer) -> Iterator[Client]:
    """A client that may do everything."""
    dsn = clickhouse_server.dsn("tyst", user=ADMINISTRATOR)
    with contextlib.closing(ClickHouse.at(dsn).client()) as client:
        yield client


@pytest.mark.anyio
async def test_what_others_changed_is_read_while_days_are_closed(place: ClickHouse, tmp_path: Path) -> None:
    """A day of many events takes long: who was removed at another collector is not to be let in meanwhile."""
    collector = Collector(read_settings({"TYST_DATA_DIR": str(tmp_path), "TYST_CLICKHOUSE_DSN": place.dsn}))
    await collector.sites.change(Site(domain=MINE.site))
    ClickHouseInserter(collector.client).insert([MINE], "a day that is over")
    read: list[int] = []
    collector.refreshes.append(lambda: read.append(1))
    with collector.rollup.replacing_tables():
        await collector.start()
        with anyio.fail_after(20):
            while len(read) < 2:  # noqa: ASYNC110 # read by threads, which set no event
                await anyio.sleep(0.01)
        assert count(collector.client, "daily_status") == 0
    await collector.stop()


def count(client: Client, table: str = "events") -> int:
    """How many rows there are."""
    return int(client.query("SELECT count() FROM {table:Identifier}", parameters={"table": table}).result_rows[0][0])


@pytest.mark.parametrize("ahead", [9 * 365 * 86_400.0, 3_600.0, -86_400.0])
def test_a_new_collector_whose_clock_is_wrong_deletes_nothing(place: ClickHouse, tmp_path: Path, ahead: float) -> None:
    """It would take all events for expired, and today's salt for one of a day that is over: those of all collectors."""
    settings = read_settings({"TYST_DATA_DIR": str(tmp_path), "TYST_CLICKHOUSE_DSN": place.dsn})
    with pytest.raises(ServerUnsuitable, match=r"are .* apart\. Set both"):
        Collector(settings, clock=lambda: time.time() + ahead, since_boot=uptime)


def test_the_documented_grants_are_enough_to_store_back_up_and_restore(
    place: ClickHouse, client: Client, tmp_path: Path
) -> None:
    """An event is stored once, although whether a full disk broke it is looked up after an insert of unknown end."""
    require_suitable(place)
    inserter = ClickHouseInserter(client, DiskSpaceGuard(client, tmp_path / "full"))
    inserter.insert([MINE], "token")
    inserter.insert([MINE], "token")
    name = f"granted-{time.time_ns()}"
    back_up(place, name)
    inserter.insert([THEIRS], "another")
    assert count(client) == 2
    restore(place, name, lambda *_: [])
    assert count(client) == 1


def test_answers_do_not_go_by_what_the_server_s_users_have_for_null_values(client: Client) -> None:
    """All users of the server have settings by which a sum by several columns has nulls, and by which what is left out
    of an answer is no error: rollups have the values of their dimensions all the same."""
    ClickHouseInserter(client).insert([an_event(page="/a")], "token")
    build_days(client, MINE.site, [MINE.day], 1 << 40)
    asked = "SELECT value FROM daily_rollup WHERE dimension = 'event:page'"
    assert client.query(asked).result_rows == [("/a",)]
    with pytest.raises(DatabaseError, match="TOO_MANY_ROWS_OR_BYTES"):
        client.query("SELECT number FROM numbers(100000)", settings={"max_result_rows": 10})


def test_a_refused_look_is_no_failed_insert(clickhouse_server: RealServer, tmp_path: Path) -> None:
    """A user that may not `CHECK`: the event is stored, and the segment is not sent for ever."""
    place = ClickHouse.at(clickhouse_server.dsn("test_limited", user=LIMITED))
    with contextlib.closing(place.prepare()) as client:
        ClickHouseInserter(client, DiskSpaceGuard(client, tmp_path / "full")).insert([MINE], "token")
        assert count(client) == 1
    with pytest.raises(ServerUnsuitable, match="CHECK ON `test_limited`"):
        require_suitable(place)
    drop(place)


def test_each_documented_grant_is_looked_for_at_start(clickhouse_server: RealServer) -> None:
    """A user without any is told all of them, and the file that has them."""
    with pytest.raises(ServerUnsuitable, match=r"SELECT ON `tyst`\.\*; INSERT ON .*clickhouse-user\.sql"):
        require_suitable(ClickHouse.at(clickhouse_server.dsn("tyst", user="tests")))
    wanted = {word for each in GRANTS for word in re.findall(r"[A-Z]{4,}|system\.\w+", each)}
    documented = set(re.findall(r"[A-Z]{4,}|system\.\w+", "".join(DOCUMENTED.read_text().split("GRANT")[1:])))
    assert documented - wanted == set()


def test_an_old_server_is_refused(place: ClickHouse) -> None:
    """With its version and the oldest that will do."""
    with pytest.raises(ServerUnsuitable, match=r"ClickHouse 2\d\.\d.* is too old: version 99\.1 or later"):
        require_suitable(place, oldest=(99, 1))
    assert version_number("25.10.3.1") > version_number("25.8.1.2-lts") > version_number("testing") == (0, 0)


def test_inserts_are_stored_before_they_are_answered(place: ClickHouse, client: Client) -> None:
    """Whatever the profile of the user says."""
    with contextlib.closing(clickhouse_connect.get_client(dsn=place.dsn)) as other:
        assert other.query("SELECT getSetting('async_insert')").result_rows == [(True,)]
        assert client.query("SELECT getSetting('async_insert')").result_rows == [(False,)]


def test_answers_are_whole_while_the_disk_of_the_server_is_full(tmp_path: Path) -> None:
    """Or else nothing is found broken, and what inserts lost is taken for stored."""
    disk = tmp_path / "disk"
    with small_disk(disk, 384 << 20), real_server(disk) as server:
        place = ClickHouse.at(server.dsn("tyst"))
        with contextlib.closing(place.prepare()) as client, filled(disk):
            assert client.query("SELECT count() FROM events").result_rows == [(0,)]
            assert client.command("SELECT 1") == 1
            with pytest.raises(InsertRetryable):
                ClickHouseInserter(client).insert([MINE], "token")


def test_a_deletion_that_takes_long_is_submitted_once(client: Client, administrator: Client) -> None:
    """While merges rest it is waited for; then it is over, its marks are gone, and the day was taken back."""
    reopened: list[tuple[str, datetime.date]] = []

    def delete() -> int:
        return delete_stored(
            [client], [ERASURE], time.time_ns(), lambda site, day: reopened.append((site, day)), patience=0.05
        )

    ClickHouseInserter(client).insert([MINE, THEIRS], "token")
    administrator.command("SYSTEM STOP MERGES tyst.events")
    for _ in range(3):
        with pytest.raises(MutationUnfinished):
            delete()
    mutations = "SELECT count(), sum(position(command, {visitor:String})) FROM system.mutations WHERE table = 'events'"
    assert client.query(mutations, parameters={"visitor": "visitor = 5"}).result_rows == [(1, 0)]
    assert count(client, "pending_erasures") == 1
    reopened.clear()
    administrator.command("SYSTEM START MERGES tyst.events")
    while count(client) == 2:
        with contextlib.suppress(MutationUnfinished):
            delete()
    assert delete() == 0
    assert client.query("SELECT visitor FROM events").result_rows == [(THEIRS.visitor,)]
    assert (MINE.site, MINE.day) in reopened
    assert count(client, "pending_erasures") == 0


def test_marks_of_a_process_that_ended_are_removed(client: Client) -> None:
    """After ten minutes; those of a deletion that may be under way stay."""
    now = time.time_ns()
    for seconds in (5, 700):
        client.insert("pending_erasures", [[now - seconds * 10**9, MINE.site, MINE.day, 5, _AT]])
    remove_stale_marks(client, now, lambda *_: None)
    assert client.query("SELECT batch FROM pending_erasures").result_rows == [(now - 5 * 10**9,)]


def test_logs_of_the_server_that_keep_statements_are_named(client: Client, administrator: Client) -> None:
    """Also to a user who may not read them. The list of queries is on by default; a text log is one too many."""
    administrator.command("SYSTEM FLUSH LOGS")
    usual = check_server_logs(client)
    assert (usual.state, usual.found.count("system.")) == ("ok", 1)
    assert "statements are kept in system.query_log, and by level in the server's own log file" in usual.found
    administrator.command("CREATE TABLE system.text_log (message String) ENGINE = Memory")
    try:
        warned = check_server_logs(client)
    finally:
        administrator.command("DROP TABLE system.text_log")
    assert (warned.state, "system.query_log, system.text_log" in warned.found) == ("warning", True)
    assert "take <text_log>" in warned.advice


def test_a_backup_that_takes_long_is_waited_for(clickhouse_server: RealServer) -> None:
    """The driver would give up after a second; what is written is reported, and can be restored."""
    slow = clickhouse_server.dsn("test_slow", user=LIMITED, options={"send_receive_timeout": 1})
    place = ClickHouse.at(slow)
    with contextlib.closing(place.prepare()) as client:
        client.command("INSERT INTO events (site, props) SELECT 'site.test', map('k', randomString(200000))")
        began, name = time.monotonic(), f"slow-{time.time_ns()}"
        assert "events" in back_up(place, name)
        assert time.monotonic() - began > 1
        client.command("TRUNCATE TABLE events")
        restore(place, name, lambda *_: [])
        assert count(client) == 1
    drop(place)


def test_cleaning_knows_our_own_tables_by_name() -> None:
    """Those of the schema with a column `site`, but for events, marks and the list of changes."""
    schema = (Path(__file__).resolve().parents[3] / "schema.sql").read_text()
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)[^(]*\((.*?)\n\)\nENGINE", schema, re.DOTALL)
    ours = {name for name, columns in tables if re.search(r"^ *site ", columns, re.MULTILINE)}
    assert set(TABLES_WITH_SITE) == ours - {"events", "audit_log", "pending_erasures"}


def test_collectors_that_upgrade_at_once_do_it_one_after_the_other(place: ClickHouse) -> None:
    """Steps copy tables and put them in the place of others: of two at a time one would lose what the other copies."""
    with contextlib.closing(place.create()) as client:
        for statement in split_statements((FIXTURES / "schema-10.sql").read_text()):
            client.command(statement)
        client.command(
            "INSERT INTO daily (site, dimension, day, value, visitors, again, more)"
            " SELECT 'site.test', 'event:page', toDate('2026-01-01') + number % 60, toString(number), 3, 1, 2"
            " FROM numbers(60000)"
        )
        with ThreadPoolExecutor(3) as collectors:
            for upgraded in [collectors.submit(place.prepare) for _ in range(3)]:
                upgraded.result().close()
        kept = client.query("SELECT count(), sum(visitors), sum(extra_visits), sum(extra_pageviews) FROM daily_rollup")
        assert kept.result_rows == [(60_000, 180_000, 60_000, 120_000)]
        versions = client.query("SELECT version FROM schema_versions ORDER BY version").result_rows
        assert versions == [(number,) for number in range(1, STEPS[-1].number + 1)]
