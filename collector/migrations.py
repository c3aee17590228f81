"""From the schema of an earlier release to this one's, in numbered steps that are remembered in the database.

`schema.sql` is always the whole schema as it is now; what it can say with `IF NOT EXISTS` needs no step. A step is
for a table that is there already and has to change. Its statements can be run again: the process may be killed
between the last of them and its being remembered.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from collector.exceptions import SchemaTooNew

log = logging.getLogger(__name__)


class Step(NamedTuple):
    """What makes version `number` of the schema out of the one before."""

    number: int
    what: str
    statements: tuple[str, ...]


FIRST = 1
"""The first release's schema; it had no step yet."""

_QUICK_DELETION = """
ALTER TABLE events MODIFY SETTING merge_with_ttl_timeout = 3600, min_rows_to_fsync_after_merge = 1,
    old_parts_lifetime = 60, cleanup_delay_period = 30, max_cleanup_delay_period = 60
"""

STEPS: tuple[Step, ...] = (
    Step(
        2,
        "what is deleted leaves the disk within minutes",
        (
            _QUICK_DELETION,
            "ALTER TABLE events MODIFY TTL expires + INTERVAL 2 DAY SETTINGS materialize_ttl_after_modify = 0",
        ),
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


def migrate(client: Client, steps: Sequence[Step] = STEPS) -> list[int]:
    """Bring the tables of the client's database to the newest version; returns the numbers of the steps taken.

    An empty database is of the newest version: `schema.sql` makes it so. Raises `SchemaTooNew` for a database that
    a later release has changed.
    """
    newest = max((step.number for step in steps), default=FIRST)
    fresh = not client.command("EXISTS TABLE events")
    client.command(_TABLE)
    found = client.query("SELECT max(version) FROM schema_versions").result_rows[0][0]
    version = found or (newest if fresh else FIRST)
    if version > newest:
        raise SchemaTooNew(version, newest)
    if not found:
        _remember(client, version, "as it was found" if not fresh else "made")
    taken = []
    for step in sorted(steps):
        if step.number > version:
            for statement in step.statements:
                client.command(statement)
            _remember(client, step.number, step.what)
            log.info("the schema was changed", extra={"version": step.number, "what": step.what})
            taken.append(step.number)
    return taken


def _remember(client: Client, version: int, what: str) -> None:
    client.insert("schema_versions", [[version, what]], column_names=["version", "what"])
