"""Schema migrations: numbered steps from the schema of an earlier release, recorded in the database.

`schema.sql` is always the whole schema as it is now; what it can say with `IF NOT EXISTS` needs no step. A step is
for a table that is there already and has to change. Its statements can be run again: the process may be killed
between the last of them and its being remembered.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from collector.core.errors import SchemaTooNew

log = logging.getLogger(__name__)


class Migration(NamedTuple):
    """What makes version `number` of the schema out of the one before."""

    number: int
    what: str
    statements: tuple[str, ...]
    without_ttl: tuple[str, ...] = ()
    """Tables whose TTL is taken away, where they are and have one."""
    columns: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """Columns that get another name: of each table the old and the new ones. Their files are linked anew in the
    background; until they are, they are read under the new names as well."""


FIRST = 1
"""The first release's schema; it had no step yet."""

_QUICK_DELETION = """
ALTER TABLE events MODIFY SETTING merge_with_ttl_timeout = 3600, min_rows_to_fsync_after_merge = 1,
    old_parts_lifetime = 60, cleanup_delay_period = 30, max_cleanup_delay_period = 60
"""

# The new table is filled from whichever is there: run again after the exchange, it copies what it made.
_SUMS_BY_DIFFERENCE = (
    # The first release may not have come so far as to have them.
    """
CREATE TABLE IF NOT EXISTS daily
(
    site LowCardinality(String), dimension LowCardinality(String), day Date, value String, visitors UInt32, seen UInt32,
    pageviews UInt32, events UInt32, entries UInt32, bounces Int32, seconds UInt64, views UInt32, readings UInt32,
    engaged UInt64, scrolled UInt32, version UInt64
)
ENGINE = MergeTree ORDER BY (site, dimension, day, value)
""",
    """
CREATE TABLE IF NOT EXISTS closed
(
    site    String,
    day     Date,
    version UInt64,
    rows    UInt64,
    open    UInt8
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (site, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
""",
    "DROP TABLE IF EXISTS daily_made SYNC",
    """
CREATE TABLE daily_made
(
    site      LowCardinality(String),
    dimension LowCardinality(String),
    day       Date CODEC(Delta, ZSTD(1)),
    value     String CODEC(ZSTD(3)),
    currency  LowCardinality(String),
    visitors  UInt32 CODEC(T64, ZSTD(1)),
    again     Int32 CODEC(T64, ZSTD(1)),
    more      Int32 CODEC(T64, ZSTD(1)),
    custom    UInt32 CODEC(T64, ZSTD(1)),
    unseen    UInt32 CODEC(T64, ZSTD(1)),
    bounces   Int32 CODEC(T64, ZSTD(1)),
    seconds   UInt64 CODEC(T64, ZSTD(1)),
    readings  UInt32 CODEC(T64, ZSTD(1)),
    engaged   UInt64 CODEC(T64, ZSTD(1)),
    scrolled  UInt32 CODEC(T64, ZSTD(1)),
    revenue   Int64 CODEC(T64, ZSTD(1)),
    sales     UInt32 CODEC(T64, ZSTD(1)),
    version   UInt64 CODEC(Delta, ZSTD(1)),
    seen      Int64 ALIAS visitors + again,
    entries   Int64 ALIAS visitors + again,
    pageviews Int64 ALIAS visitors + again + more,
    views     Int64 ALIAS visitors + again + more - unseen,
    events    Int64 ALIAS visitors + again + more + custom
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, dimension, day, value)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 1000000
""",
    """
INSERT INTO daily_made (site, dimension, day, value, visitors, again, more, custom, unseen, bounces, seconds,
    readings, engaged, scrolled, version)
SELECT site, dimension, day, value, visitors, if(startsWith(dimension, 'event:'), seen, entries) - visitors AS again,
    pageviews - visitors - again, events - pageviews, if(startsWith(dimension, 'event:'), 0, pageviews - views),
    bounces, seconds, readings, engaged, scrolled, version
FROM daily
SETTINGS max_partitions_per_insert_block = 0
""",
    "EXCHANGE TABLES daily AND daily_made",
    "DROP TABLE daily_made SYNC",
)

# Rewritten in the background: until it is, they are converted as they are read.
_PAGES_BY_NUMBER = """
ALTER TABLE events MODIFY COLUMN page LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN entry_page LowCardinality(String) CODEC(LZ4), MODIFY COLUMN referrer LowCardinality(String) CODEC(LZ4)
    SETTINGS alter_sync = 0
"""

# The first release may not have come so far as to have it.
_CHANGES = """
CREATE TABLE IF NOT EXISTS changes
(
    at     DateTime('UTC'),
    site   String,
    who    String,
    what   String,
    before String,
    after  String,
    id     UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (site, at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""

_TABLE_NAMES: Final = {
    "daily": "daily_rollup",
    "closed": "daily_status",
    "drops": "dropped_events",
    "changes": "audit_log",
    "deletions": "site_jobs",
    "erasing": "pending_erasures",
    "purging": "pending_delete_values",
}
_COLUMN_NAMES: Final = {
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
}
# A column of a sorting key cannot be renamed: its few rows are copied, from whichever table is there.
_REVOKED_RECEIPTS: Final = (
    """
CREATE TABLE IF NOT EXISTS revoked
(
    mark String,
    day  Date
)
ENGINE = ReplacingMergeTree ORDER BY mark
""",
    """
CREATE TABLE IF NOT EXISTS revoked_receipts
(
    id_hash String,
    day     Date
)
ENGINE = ReplacingMergeTree
ORDER BY id_hash
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
""",
    "INSERT INTO revoked_receipts (id_hash, day) SELECT mark, day FROM revoked",
    "DROP TABLE revoked SYNC",
)

STEPS: tuple[Migration, ...] = (
    Migration(
        2,
        "what is deleted leaves the disk within minutes",
        (
            _QUICK_DELETION,
            "ALTER TABLE events MODIFY TTL expires + INTERVAL 2 DAY SETTINGS materialize_ttl_after_modify = 0",
        ),
    ),
    Migration(
        3,
        "sums of days by property and currency, in fewer bytes",
        (*_SUMS_BY_DIFFERENCE, "ALTER TABLE closed ADD COLUMN IF NOT EXISTS form UInt8"),
    ),
    Migration(4, "pages and referrers are read as numbers", (_PAGES_BY_NUMBER,)),
    Migration(
        5,
        "what merges replaced is kept for seven minutes",
        ("ALTER TABLE events MODIFY SETTING old_parts_lifetime = 420",),
    ),
    Migration(
        6,
        "events are numbered within their visit",
        ("ALTER TABLE events ADD COLUMN IF NOT EXISTS seq UInt32 CODEC(Delta, ZSTD(1))",),
    ),
    Migration(7, "no merge deletes by the server's clock", (), ("events", "revoked", "drops", "trims", "changes")),
    Migration(
        8,
        "visits from data centers can be marked",
        ("ALTER TABLE events ADD COLUMN IF NOT EXISTS datacenter Bool",),
    ),
    Migration(
        9,
        "changes go by the site's own id",
        (_CHANGES, "ALTER TABLE changes ADD COLUMN IF NOT EXISTS site_id String"),
    ),
    Migration(
        10,
        "inserts of many collectors are remembered for an hour",
        ("ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 100000",),
    ),
    Migration(
        11,
        "tables and columns are named by the field's terms",
        (
            *(f"RENAME TABLE IF EXISTS {old} TO {new}" for old, new in _TABLE_NAMES.items()),
            *_REVOKED_RECEIPTS,
        ),
        columns=_COLUMN_NAMES,
    ),
)

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
    """Rename those that have their old names: while files are linked anew, even `IF EXISTS` is refused."""
    found = {name for (name,) in client.query(_COLUMNS, parameters={"table": table}).result_rows}
    renamed = [f"RENAME COLUMN {old} TO {new}" for old, new in names.items() if old in found]
    if renamed:
        client.command(f"ALTER TABLE {table} {', '.join(renamed)} SETTINGS alter_sync = 0")


_COLUMNS = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
_MADE = """
SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() AND name IN {tables:Array(String)}
"""
_OF_TTL = ("ttl_only_drop_parts", "merge_with_ttl_timeout")


def _remember(client: Client, version: int, what: str) -> None:
    client.insert("schema_versions", [[version, what]], column_names=["version", "what"])
