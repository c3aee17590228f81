"""Schema migrations: numbered steps from the schema of an earlier release, recorded in the database.

`schema.sql` is always the whole schema as it is now; what it can say with `IF NOT EXISTS` needs no step. A step is
for a table that is there already and has to change: a file `files/migrations/NUMBER.sql`, whose first line says what it
is for. Its statements can be run again: the process may be killed between the last of them and its being remembered.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.errors import SchemaTooNew
from collector.storage.statements import split_statements

log = logging.getLogger(__name__)

DIRECTORY: Final = Path(__file__).resolve().parents[1] / "files" / "migrations"


class Migration(NamedTuple):
    """What makes version `number` of the schema out of the one before."""

    number: int
    what: str
    statements: tuple[str, ...]
    without_ttl: tuple[str, ...] = ()
    """Tables whose TTL is taken away, where they are and have one."""
    columns: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """Columns that get another name: of each table the old and the new ones. Files are linked anew, not copied."""


FIRST = 1
"""The first release's schema; it had no step yet."""

# What depends on what is there is no plain SQL.
_WITHOUT_TTL: Final = {7: ("events", "revoked", "drops", "trims", "changes")}
_COLUMNS: Final = {
    11: {
        "daily_rollup": {
            "again": "extra_visits",
            "more": "extra_pageviews",
            "custom": "custom_events",
            "unseen": "pageviews_without_visit",
            "readings": "page_reads",
            "engaged": "engagement_ms",
            "scrolled": "scroll_depth_sum",
            "sales": "revenue_events",
            "seen": "visits_with_event",
            "entries": "visits",
            "views": "visit_pageviews",
        },
        "daily_status": {"open": "reopened", "form": "schema_version"},
    },
}


def _shipped() -> Iterator[Migration]:
    for path in sorted(DIRECTORY.glob("*.sql")):
        text, number = path.read_text(), int(path.stem)
        what = text.partition("\n")[0].removeprefix("-- ")
        statements = tuple(split_statements(text))
        yield Migration(number, what, statements, _WITHOUT_TTL.get(number, ()), _COLUMNS.get(number, {}))


STEPS: Final = tuple(_shipped())

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_versions
(
    version UInt32,
    what    String,
    applied DateTime('UTC') DEFAULT now('UTC')
)
ENGINE = MergeTree
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


class Pending(NamedTuple):
    """What an upgrade of a database would do: the version of its schema, and the steps to the newest.

    `found` is None where no version was recorded yet; an empty database has version `version` without any step.
    """

    version: int
    found: int | None
    fresh: bool
    steps: tuple[Migration, ...]


def pending(client: Client, steps: Sequence[Migration] = STEPS) -> Pending:
    """Look up which steps a database needs, changing nothing.

    An empty database is of the newest version: `schema.sql` makes it so. Raises `SchemaTooNew` for a database that
    a later release has changed.
    """
    newest = max((step.number for step in steps), default=FIRST)
    fresh = not client.command("EXISTS TABLE events")
    recorded = client.command("EXISTS TABLE schema_versions")
    found = client.query("SELECT max(version) FROM schema_versions").result_rows[0][0] if recorded else None
    version = found or (newest if fresh else FIRST)
    if version > newest:
        raise SchemaTooNew(version, newest)
    return Pending(version, found or None, fresh, tuple(step for step in sorted(steps) if step.number > version))


def migrate(client: Client, steps: Sequence[Migration] = STEPS) -> list[int]:
    """Migrate the database to the newest version; returns the numbers of the applied steps.

    Raises `SchemaTooNew` for a database that a later release has changed.
    """
    needed = pending(client, steps)
    client.command(_TABLE)
    if needed.found is None:
        _remember(client, needed.version, "made" if needed.fresh else "as it was found")
    for step in needed.steps:
        for statement in step.statements:
            client.command(statement)
        _take_ttl_away(client, step.without_ttl)
        for table, names in step.columns.items():
            _rename_columns(client, table, names)
        _remember(client, step.number, step.what)
        log.info("schema migration applied", extra={"version": step.number, "what": step.what})
    return [step.number for step in needed.steps]


def _take_ttl_away(client: Client, tables: Sequence[str]) -> None:
    found = client.query(_MADE, parameters={"tables": list(tables)}).result_rows if tables else []
    for name, made in found:
        if re.search(r"^TTL |\sTTL ", made):
            client.command("ALTER TABLE {name:Identifier} REMOVE TTL", parameters={"name": name})
        kept = [each for each in _OF_TTL if f"{each} =" in made]
        for setting in kept:
            client.command(f"ALTER TABLE {{name:Identifier}} RESET SETTING {setting}", parameters={"name": name})


def _rename_columns(client: Client, table: str, names: Mapping[str, str]) -> None:
    """Rename those that have their old names, and wait until every part has the new ones. No part is merged meanwhile:
    ClickHouse 26.7 loses the columns of parts that it merges before they are renamed."""
    client.command(f"ALTER TABLE {table} MODIFY SETTING {', '.join(f'{name} = 1' for name in _OF_MERGES)}")
    _wait(client, _MERGING, table)
    found = {name for (name,) in client.query(_NAMES, parameters={"table": table}).result_rows}
    # While files are linked anew, even `IF EXISTS` is refused.
    renamed = [f"RENAME COLUMN {old} TO {new}" for old, new in names.items() if old in found]
    if renamed:
        client.command(f"ALTER TABLE {table} {', '.join(renamed)} SETTINGS alter_sync = 0")
    # Where a full disk has stopped them, files would not be linked either. A database that is being restored needs no
    # such right: there nothing has stopped them.
    with contextlib.suppress(DatabaseError):
        client.command(f"SYSTEM START MERGES {table}")
    _wait(client, _MUTATING, table)
    client.command(f"ALTER TABLE {table} RESET SETTING {', '.join(_OF_MERGES)}")


def _wait(client: Client, unfinished: str, table: str) -> None:
    while client.query(unfinished, parameters={"table": table}).result_rows[0][0]:
        time.sleep(_WAIT_SECONDS)


_WAIT_SECONDS = 0.1
_OF_MERGES = ("max_bytes_to_merge_at_max_space_in_pool", "max_bytes_to_merge_at_min_space_in_pool")
_MERGING = """
SELECT count() FROM system.merges WHERE database = currentDatabase() AND table = {table:String} AND NOT is_mutation"""
_MUTATING = """
SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done"""
_NAMES = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
_MADE = """
SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() AND name IN {tables:Array(String)}
"""
_OF_TTL = ("ttl_only_drop_parts", "merge_with_ttl_timeout")


def _remember(client: Client, version: int, what: str) -> None:
    client.insert("schema_versions", [[version, what]], column_names=["version", "what"])
