"""The schema of every earlier release becomes this one's, with what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import SchemaTooNew
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse, split_statements
from collector.storage.migrations import STEPS, Migration, migrate
from tests.collector.storage.test_client import an_event

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
    assert first_release.query(KEPT).result_rows == moved


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
