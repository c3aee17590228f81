"""Exchange of tables between two databases: whole, or gone on with at the next start.

Each table is exchanged at once, all of them are not. So what is to be exchanged is written into the database of the new
tables before: by the ids of tables it can be told which have changed places.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.storage.schema import quoted

log = logging.getLogger(__name__)

_PLAN: Final = "exchange_plan"
_CREATE: Final = """
CREATE TABLE {there:Identifier}.{plan:Identifier} (name String, id UUID) ENGINE = MergeTree ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""
_NOTE: Final = """
INSERT INTO {there:Identifier}.{plan:Identifier}
SELECT name, uuid FROM system.tables WHERE database = {there:String} AND name IN {tables:Array(String)}"""
_PLANNED: Final = """
SELECT name FROM {there:Identifier}.{plan:Identifier}
WHERE (name, id) IN (SELECT name, uuid FROM system.tables WHERE database = {place:String}) ORDER BY name"""
_LEFT: Final = "SELECT name FROM system.databases WHERE startsWith(name, {prefix:String})"
_DROP: Final = "DROP DATABASE {there:Identifier} SYNC"


def exchange(client: Client, present: str, there: str, tables: Sequence[str]) -> None:
    """Exchange the tables of that name between the databases `present` and `there`. Raises `ClickHouseError`; then all
    are where they were, unless ClickHouse is away."""
    client.command(_CREATE, parameters={"there": there, "plan": _PLAN})
    client.command(_NOTE, parameters={"there": there, "plan": _PLAN, "tables": list(tables)})
    try:
        _move(client, present, there, planned_in=there)
    except ClickHouseError:
        with contextlib.suppress(ClickHouseError):
            _move(client, present, there, planned_in=present)
        raise


def drop_exchanged(client: Client, present: str, there: str) -> None:
    """Drop the database `there`, unless some of its tables have changed places and others have not: it then has present
    ones, and the next start goes on with it."""
    moved, left = (_planned(client, there, place) for place in (present, there))
    if moved and left:
        log.error("a restoration was interrupted; the next start completes it", extra={"database": there})
    else:
        client.command(_DROP, parameters={"there": there})


def left_over(client: Client, prefix: str) -> list[str]:
    """The databases whose names begin with the `prefix`."""
    return [name for (name,) in client.query(_LEFT, parameters={"prefix": prefix}).result_rows]


def finish_exchanges(client: Client, present: str, prefix: str, exchanged: Callable[[str, list[str]], None]) -> None:
    """Where a process was killed: complete what it had begun to exchange, and drop its databases, whose names begin
    with the `prefix`. Before that `exchanged` is called with each, and with the former tables in it: other collectors
    may have changed these since. Nobody else may be at it."""
    for there in left_over(client, prefix):
        _move(client, present, there, planned_in=there)
        exchanged(there, _planned(client, there, present))
        client.command(_DROP, parameters={"there": there})
        log.warning("a restoration that had been interrupted was ended", extra={"database": there})


def _move(client: Client, present: str, there: str, *, planned_in: str) -> None:
    """Exchange those tables of the plan that are in the database `planned_in`."""
    for name in _planned(client, there, planned_in):
        client.command(f"EXCHANGE TABLES {quoted(present)}.{quoted(name)} AND {quoted(there)}.{quoted(name)}")


def _planned(client: Client, there: str, place: str) -> list[str]:
    """The tables that are to be exchanged, of the database `there`, and are in that place now; none without a plan."""
    asked = {"there": there, "plan": _PLAN, "place": place}
    if not client.command("EXISTS TABLE {there:Identifier}.{plan:Identifier}", parameters=asked):
        return []
    return [name for (name,) in client.query(_PLANNED, parameters=asked).result_rows]
