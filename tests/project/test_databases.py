"""A database that another test had is as fresh as a new one, whatever was done to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from clickhouse_connect.driver.client import Client

from collector.spool.clickhouse_inserter import ClickHouseInserter
from tests.collector.storage.test_client import an_event
from tests.databases import Databases

Rows = list[tuple[Any, ...]]

TABLES = "SELECT name, engine, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
PARTS = "SELECT table, name, active, rows FROM system.parts WHERE database = currentDatabase() ORDER BY ALL"
MUTATIONS = "SELECT table, command FROM system.mutations WHERE database = currentDatabase() ORDER BY ALL"
DETACHED = "SELECT table, name FROM system.detached_parts WHERE database = currentDatabase() ORDER BY ALL"

FIRST_COLUMNS = """
SELECT table, name FROM system.columns
WHERE database = currentDatabase() AND position = 1 AND table != 'schema_versions'
"""


def state(client: Client) -> dict[str, Rows]:
    """Everything that can be told of a database, apart from its name and when it was made."""
    found = {
        sql: [
            tuple(str(value).replace(f"{client.database}.", "") for value in row)
            for row in client.query(sql).result_rows
        ]
        for sql in (TABLES, PARTS, MUTATIONS, DETACHED)
    }
    for name, _, _ in found[TABLES]:
        if name == "record_claims":
            # Those of who prepared it, which are over by then.
            continue
        columns = "* EXCEPT applied" if name == "schema_versions" else "*"
        rows = client.query(f"SELECT {columns} FROM {name} ORDER BY ALL").result_rows  # noqa: S608 # names of ours
        found[name] = [tuple(row) for row in rows]
    return found


def fill(client: Client) -> None:
    """A row in every table, of every engine."""
    for name, column in client.query(FIRST_COLUMNS).result_rows:
        client.command(f"INSERT INTO {name} ({column}) VALUES (DEFAULT)")  # noqa: S608 # ours


def fill_and_empty(client: Client) -> None:
    """Rows in every table that are gone again."""
    fill(client)
    for name, _ in client.query(FIRST_COLUMNS).result_rows:
        client.command(f"TRUNCATE TABLE {name}")


def store(client: Client) -> None:
    """One event, under a token."""
    ClickHouseInserter(client).insert([an_event()], "token")


def store_and_delete(client: Client) -> None:
    """An event that a mutation took."""
    store(client)
    client.command("ALTER TABLE events DELETE WHERE 1 SETTINGS mutations_sync = 2")


def store_and_detach(client: Client) -> None:
    """An event that was set aside."""
    store(client)
    client.command("ALTER TABLE events DETACH PARTITION ALL")


def change(client: Client) -> None:
    """Tables that are new, gone, renamed, or have changed."""
    client.command("CREATE TABLE more (x UInt8) ENGINE = MergeTree ORDER BY x")
    client.command("DROP TABLE daily_status SYNC")
    client.command("RENAME TABLE dropped_events TO away")
    client.command("ALTER TABLE events ADD COLUMN mood String")
    client.command("ALTER TABLE daily_rollup MODIFY SETTING old_parts_lifetime = 1")


def take_a_table_away(client: Client) -> None:
    """A table that is neither there nor can be made."""
    client.command("DETACH TABLE events SYNC")


def remember(client: Client) -> None:
    """The database took a step."""
    client.command("INSERT INTO schema_versions (version, what) VALUES (99, 'a later one')")


def forget(client: Client) -> None:
    """There is no database."""
    client.command("DROP DATABASE {name:Identifier} SYNC", parameters={"name": client.database})


USES: tuple[Callable[[Client], None], ...] = (
    fill, fill_and_empty, store, store_and_delete, store_and_detach, change, take_a_table_away, remember, forget,
)  # fmt: skip


def test_a_database_is_as_fresh_as_a_new_one(databases: Databases) -> None:
    """Tables, rows, parts and mutations are those of a new one, and an event whose token it had seen is stored."""
    lending = Databases(databases.dsn)
    with lending.lent() as lent, contextlib.closing(lent.client()) as client:
        fresh = state(client)
    for use in USES:
        with lending.lent() as lent, contextlib.closing(lent.client()) as client:
            use(client)
        with lending.lent() as lent, contextlib.closing(lent.client()) as client:
            assert state(client) == fresh, use.__doc__
            store(client)
            assert client.command("SELECT count() FROM events") == 1, use.__doc__
    lending.close()


def test_a_database_goes_from_test_to_test_and_is_never_lent_twice(databases: Databases) -> None:
    """One after the other have the same one, two at once have two."""
    lending = Databases(databases.dsn)
    with lending.lent() as first:
        pass
    with lending.lent() as second, lending.lent() as third:
        assert second == first
        assert third != first
    lending.close()
