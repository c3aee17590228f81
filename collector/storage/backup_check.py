"""Check of the tables of a backup: they are what this release's schema makes, and nothing else.

A backup may come from anywhere. A view in it would be filled while it is restored, from the accounts that are there,
and a table may write to a file, to another server, or to a disk of its own.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

from clickhouse_connect.driver.client import Client

from collector.core.errors import BackupError
from collector.storage.client import ClickHouse, apply_schema
from collector.storage.migrations import migrate

_ORDINARY: Final = re.compile(r"\w*MergeTree|Memory")
_OWN_DISK: Final = re.compile(r"\bdisk\b")
_MADE: Final = """
SELECT name, engine, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"""

# Blocks are compared with their checksums as they are read; asking for that alone takes a grant of its own.
_READ: Final = "SELECT count() FROM {table:Identifier} WHERE NOT ignore(*)"


def ordinary_tables(client: Client, backup: str) -> list[str]:
    """The tables of the client's database, all of which keep their rows themselves. Raises `BackupError`."""
    rows = client.query(_MADE).result_rows
    for name, engine, made in rows:
        if not _ORDINARY.fullmatch(engine) or _OWN_DISK.search(made.rpartition(" SETTINGS ")[2]):
            raise BackupError(backup, f"it has {name} ({engine}), which is no table of Tyst's; nothing was restored")
    return [name for name, engine, _ in rows if engine != "Memory"]


def check_definitions(client: Client, scratch: ClickHouse, backup: str) -> frozenset[str]:
    """Compare the tables of the client's database with those of this release's schema, which are made in `scratch`;
    returns the names of these. Settings may differ: an operator may have changed them. Raises `BackupError`."""
    with contextlib.closing(scratch.create()) as expected:
        try:
            migrate(expected)
            apply_schema(expected)
            wanted, found = _definitions(expected), _definitions(client)
        finally:
            expected.command("DROP DATABASE {name:Identifier} SYNC", parameters={"name": scratch.database})
    for name, definition in wanted.items():
        if found.get(name) != definition:
            raise BackupError(backup, f"its table {name} has another schema than Tyst's; nothing was restored")
    return frozenset(wanted)


def read_whole(client: Client, table: str) -> None:
    """Read every value of a table. ClickHouse restores files that have lost bits as they are, and each query of them
    fails from then on. Raises `DatabaseError`."""
    client.query(_READ, parameters={"table": table})


def _definitions(client: Client) -> dict[str, str]:
    """Of each table what makes it, without database and settings."""
    prefix = f"CREATE TABLE {client.database}."
    return {
        name: (made.rpartition(" SETTINGS ")[0] or made).removeprefix(prefix)
        for name, _, made in client.query(_MADE).result_rows
    }
