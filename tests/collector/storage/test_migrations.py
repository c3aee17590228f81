"""The schema of every earlier release becomes this one's, with what it holds."""

# ruff: noqa: S608 -- text is names of our own tables and columns
from __future__ import annotations

import datetime
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import SchemaTooNew
from collector.rollups.daily_status import ClosedDay, ClosedDays
from collector.sites.restoration import keep_protection
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.spool import Spool
from collector.storage.backup import back_up, restore
from collector.storage.client import ClickHouse, apply_schema
from collector.storage.migrations import STEPS, Migration, migrate
from collector.storage.statements import split_statements
from tests.collector.storage.test_client import an_event
from tests.length import long

FIXTURES = Path(__file__).parents[2] / "fixtures"

OLD_EVENT = """
INSERT INTO events (site, day, ts, visitor, visit, name, consent, page, visits, bounces, expires)
VALUES ('site.test', '2026-03-01', 1772366400, 7, 1772366400, 'pageview', 'granted', '/kept', 1, 1, '2028-03-30')"""
ADD = Migration(2, "a column", ("ALTER TABLE events ADD COLUMN IF NOT EXISTS mood String",))
FILL = Migration(
    3, "its content", ("ALTER TABLE events UPDATE mood = 'calm' WHERE mood = '' SETTINGS mutations_sync = 2",)
)


@pytest.fixture
def first_release(nothing_yet: ClickHouse) -> Iterator[Client]:
    """A database as the first release left it, with one event."""
    client = nothing_yet.create()
    for statement in split_statements((FIXTURES / "schema-1.sql").read_text()):
        client.command(statement)
    client.command(OLD_EVENT)
    yield client
    client.close()


def tables(client: Client) -> dict[str, str]:
    """How each table would be made, without the name of its database."""
    rows = client.query("SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()")
    return {name: query.replace(f"{client.database}.", "") for name, query in rows.result_rows}


def versions(client: Client) -> list[int]:
    """The versions that the database remembers."""
    return [row[0] for row in client.query("SELECT version FROM schema_versions ORDER BY version").result_rows]


def test_the_first_release_becomes_this_one(first_release: Client, nothing_yet: ClickHouse) -> None:
    """Table by table as a fresh database has them; and its events are there."""
    nothing_yet.prepare().close()
    fresh = ClickHouse(dsn=nothing_yet.dsn, database=f"{nothing_yet.database}_fresh")
    client = fresh.prepare()
    try:
        assert tables(first_release) == tables(client)
    finally:
        client.command("DROP DATABASE {name:Identifier} SYNC", parameters={"name": fresh.database})
        client.close()
    assert first_release.query("SELECT page FROM events").result_rows == [("/kept",)]


def test_events_of_the_first_release_lie_beside_those_of_this_one(
    first_release: Client, nothing_yet: ClickHouse
) -> None:
    """What they have no value of has its default, and they read as events."""
    nothing_yet.prepare().close()
    ClickHouseInserter(first_release).insert([an_event(page="/new", seq=3, datacenter=True)], "token")
    rows = first_release.query("SELECT page, seq, datacenter FROM events ORDER BY page").result_rows
    assert rows == [("/kept", 0, False), ("/new", 3, True)]


SUMS = """
INSERT INTO daily (site, dimension, day, value, visitors, seen, pageviews, events, entries, bounces, seconds, views,
    readings, engaged, scrolled, version) VALUES
    ('a', '', '2026-03-02', '', 5, 0, 9, 11, 6, 2, 300, 8, 0, 0, 0, 77),
    ('a', 'visit:source', '2026-03-02', 'Bing', 3, 0, 2, 4, 2, 1, 7, 2, 0, 0, 0, 77),
    ('a', 'event:page', '2026-04-02', '/', 5, 7, 6, 9, 0, 0, 0, 0, 4, 5000, 70, 78)"""
KEPT = """
SELECT dimension, visitors, seen, pageviews, events, entries, bounces, seconds, views, readings, engaged, scrolled,
    version
FROM daily ORDER BY dimension"""
ROLLUP = """
SELECT dimension, visitors, visits_with_event, pageviews, events, visits, bounces, seconds, visit_pageviews, page_reads,
    engagement_ms, scroll_depth_sum, version
FROM daily_rollup ORDER BY dimension"""


def test_sums_keep_their_figures(first_release: Client) -> None:
    """Also when the step was cut short and is taken again. Of an event's dimension visits are those with it."""
    migrate(first_release, STEPS[:1])
    # As the release before had it.
    first_release.command(STEPS[1].statements[0])
    first_release.command(SUMS)
    moved = [
        ("", 5, 6, 9, 11, 6, 2, 300, 8, 0, 0, 0, 77),
        ("event:page", 5, 7, 6, 9, 7, 0, 0, 6, 4, 5000, 70, 78),
        ("visit:source", 3, 2, 2, 4, 2, 1, 7, 2, 0, 0, 0, 77),
    ]
    for statement in STEPS[1].statements:
        first_release.command(statement)
    assert first_release.query(KEPT).result_rows == moved
    assert 3 in migrate(first_release)
    assert first_release.query(ROLLUP).result_rows == moved


def made(place: ClickHouse, schema: str) -> Client:
    """An empty database as an earlier release made it."""
    client = place.create()
    for statement in split_statements((FIXTURES / schema).read_text()):
        client.command(statement)
    return client


TO_10 = [step for step in STEPS if step.number <= 10]
AFTER_10 = [step.number for step in STEPS if step.number > 10]
# What each table was called until version 10 of the schema, and the columns of it that were called otherwise.
FORMER = {
    "daily": "daily_rollup", "closed": "daily_status", "drops": "dropped_events", "changes": "audit_log",
    "deletions": "site_jobs", "revoked": "revoked_receipts", "erasing": "pending_erasures",
    "purging": "pending_delete_values",
}  # fmt: skip
FORMER_COLUMNS = {
    "again": "extra_visits", "more": "extra_pageviews", "custom": "custom_events", "unseen": "pageviews_without_visit",
    "readings": "page_reads", "engaged": "engagement_ms", "scrolled": "scroll_depth_sum", "sales": "revenue_events",
    "seen": "visits_with_event", "entries": "visits", "views": "visit_pageviews", "open": "reopened",
    "form": "schema_version", "mark": "id_hash",
}  # fmt: skip
RENAMED = frozenset({"daily", "closed", "revoked"})
Content = dict[str, tuple[list[str], int, int]]


def fill(client: Client) -> None:
    """Rows in every table: documents of this moment, and of the others whatever fits their columns, with dates that no
    TTL ends."""
    now = time.time_ns()
    for table in tables(client).keys() - {"schema_versions"}:
        columns = {name: type_ for name, type_, kind, *_ in described(client, table) if not kind}
        if "record" in columns:
            rows = [["a", '{"a":1}', now, 0], ["b", "{}", now + 1, 0]]
            client.insert(table, rows, column_names=["id", "record", "version", "deleted"])
            continue
        structure = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
        late = [
            f"toDate(30000 + toUInt16({name}) % 40)" if type_ == "Date" else name for name, type_ in columns.items()
        ]
        made_up = f"SELECT {', '.join(late)} FROM generateRandom({{structure:String}}, 7, 6) LIMIT 40"
        client.command(f"INSERT INTO {table} ({', '.join(columns)}) {made_up}", parameters={"structure": structure})


def described(client: Client, table: str) -> list[tuple[str, ...]]:
    """The table's columns: name, type, and whether it is an alias."""
    return [tuple(row) for row in client.query(f"DESCRIBE TABLE {table}").result_rows]


def content(client: Client) -> Content:
    """Of every table that is filled its columns and a hash of all of its rows, under the names of today."""
    found: Content = {}
    for table in tables(client).keys() - {"schema_versions"}:
        names = FORMER_COLUMNS if table in RENAMED else {}
        columns = {names.get(name, name): name for name, *_ in described(client, table)}
        read = ", ".join(columns[name] for name in sorted(columns))
        final = "FINAL" if "ReplacingMergeTree" in tables(client)[table] else ""
        (row,) = client.query(f"SELECT count(), groupBitXor(cityHash64({read})) FROM {table} {final}").result_rows
        if row[0]:
            found[FORMER.get(table, table)] = (sorted(columns), int(row[0]), int(row[1]))
    return found


@long
def test_every_table_and_column_of_version_10_gets_the_fields_name_and_keeps_its_rows(nothing_yet: ClickHouse) -> None:
    """Also with parts to merge, where a full disk has stopped merges, and after a step that was cut short."""
    client = made(nothing_yet, "schema-10.sql")
    migrate(client, TO_10)
    fill(client)
    # Many parts, which ClickHouse would merge at once.
    for number in range(20):
        client.command(f"INSERT INTO daily (site, day, visitors, again) VALUES ('a', '2052-02-20', 5, {number})")
    before = content(client)
    assert len(before) == len(tables(client)) - 1
    client.command("SYSTEM STOP MERGES daily")
    assert migrate(client) == AFTER_10
    assert content(client) == before
    # Cut short: the step is not remembered, and its last statement was not run.
    client.command("ALTER TABLE schema_versions DELETE WHERE version > 10 SETTINGS mutations_sync = 2")
    client.command("ALTER TABLE daily_rollup MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1")
    assert migrate(client) == AFTER_10
    for table in ("daily_rollup", "daily_status"):
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    assert content(client) == before
    apply_schema(client)
    fresh = ClickHouse(dsn=nothing_yet.dsn, database=f"{nothing_yet.database}_fresh")
    other = fresh.prepare()
    try:
        assert tables(client) == tables(other)
    finally:
        other.command("DROP DATABASE {name:Identifier} SYNC", parameters={"name": fresh.database})
        other.close()
        client.close()


DAYS = (datetime.date(2026, 3, 2), datetime.date(2026, 4, 2))


def test_a_filled_database_of_0_1_0_and_its_spool_become_this_ones(nothing_yet: ClickHouse, tmp_path: Path) -> None:
    """Nothing of it is lost, and what waits in its spool is stored."""
    client = made(nothing_yet, "schema-0.1.0.sql")
    fill(client)
    for table in ("daily", "closed"):
        client.command(f"TRUNCATE TABLE {table}")
    client.command(SUMS)
    client.command("INSERT INTO closed VALUES ('a', '2026-03-02', 77, 6, 0), ('a', '2026-04-02', 78, 9, 1)")
    before = {name: hashed for name, hashed in content(client).items() if name not in ("daily_rollup", "daily_status")}
    assert set(before) == set(map(FORMER.get, ("drops", "erasing"))) | {
        "events",
        "sites",
        "users",
        "api_keys",
        "notices",
    }
    # Its columns are more now.
    _, events, _ = before.pop("events")
    nothing_yet.prepare().close()
    after = content(client)
    assert {name: after[name] for name in before} == before
    assert client.query(ROLLUP).result_rows[0] == ("", 5, 6, 9, 11, 6, 2, 300, 8, 0, 0, 0, 77)
    closed = ClosedDays(client).since(DAYS[0])["a"]
    assert closed == {DAYS[0]: ClosedDay(77, 6, False, 0), DAYS[1]: ClosedDay(78, 9, True, 0)}
    with sqlite3.connect(tmp_path / "events.db") as file:
        file.executescript((FIXTURES / "spool-0.1.0.sql").read_text())
    spool = Spool(tmp_path / "events.db", max_bytes=1_000_000, segment_rows=10, segment_seconds=60)
    segment = spool.next_segment(timeout=10)
    assert segment is not None
    ClickHouseInserter(client).insert(spool.read(segment), segment.token)
    spool.close()
    stored = client.query(
        "SELECT name, props, toString(revenue), currency FROM events WHERE page = '/from-the-spool' ORDER BY ts DESC"
    )
    assert stored.result_rows == [("Purchase", {"plan": "small"}, "12.5", "SEK"), ("pageview", {}, "0", "")]
    assert client.query("SELECT count() FROM events").first_row == (events + 2,)
    client.close()


@long
def test_a_backup_of_version_10_is_restored_under_todays_names(nothing_yet: ClickHouse) -> None:
    """However tables and columns were called when the backup was made."""
    client = made(nothing_yet, "schema-10.sql")
    migrate(client, TO_10)
    client.command("INSERT INTO changes (at, site, who) VALUES ('2026-03-01 00:00:00', 'site.test', 'ada')")
    client.command("INSERT INTO daily (site, day, visitors, again) VALUES ('site.test', '2026-03-02', 5, 2)")
    name = f"{nothing_yet.database}-nine"
    back_up(nothing_yet, name)
    nothing_yet.prepare().close()
    for table in ("audit_log", "daily_rollup"):
        client.command(f"TRUNCATE TABLE {table}")
    assert {"audit_log", "daily_rollup"} <= set(restore(nothing_yet, name, keep_protection).tables)
    assert client.query("SELECT who FROM audit_log").result_rows == [("ada",)]
    assert client.query("SELECT visits FROM daily_rollup").result_rows == [(7,)]
    client.close()


def test_steps_are_taken_once_in_order_and_remembered(first_release: Client) -> None:
    """Those after the version that is found, and at the next start none."""
    assert migrate(first_release, [FILL, ADD]) == [2, 3]
    assert migrate(first_release, [ADD, FILL]) == []
    assert versions(first_release) == [1, 2, 3]
    assert first_release.query("SELECT page, mood FROM events").result_rows == [("/kept", "calm")]


def test_a_step_that_was_cut_short_is_taken_again(first_release: Client) -> None:
    """It was not remembered, and its statements can be run again."""
    migrate(first_release, [])
    for statement in ADD.statements:
        first_release.command(statement)
    assert migrate(first_release, [ADD]) == [2]


def test_a_fresh_database_needs_no_step(nothing_yet: ClickHouse) -> None:
    """The schema made it as it is now."""
    client = nothing_yet.create()
    assert migrate(client, [ADD, FILL]) == []
    assert versions(client) == [3]
    client.close()


def test_a_database_of_a_later_release_is_left_alone(first_release: Client) -> None:
    """The older program says so instead of writing into what it does not know."""
    migrate(first_release, [ADD, FILL])
    with pytest.raises(SchemaTooNew, match="version 3"):
        migrate(first_release, [ADD])


def test_steps_are_numbered_without_gaps() -> None:
    """From 2 on."""
    assert [step.number for step in STEPS] == list(range(2, len(STEPS) + 2))
