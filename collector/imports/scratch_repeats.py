"""Scratch table of repeated rows: events that several files of an import have, as overlapping logs do.

Of equal rows the file that has most of them counts: two in one file are two events, one in each of two files is one.
Rows are compared by a digest, only within the time that two files both cover, and a share of the digests at a time.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from collector.imports.report import MOST_LINES
from collector.storage.client import SCRATCH

COMPARED_AT_A_TIME: Final = 250_000
"""Events that are compared by one statement, about."""


class RepeatedRows(NamedTuple):
    """Rows of a file that another file has, too."""

    file: int
    rows: int
    lines: Sequence[int]
    """Numbers of the first of them."""


class ScratchRepeats:
    """The table of repeated rows of the import `id_`, found in its table of `events`. Blocking."""

    def __init__(self, client: Client, id_: str, events: str) -> None:
        self._client = client
        self._events = events
        self.table = f"{SCRATCH}repeats_{id_}"

    def create(self) -> None:
        """Create the table."""
        self._client.command(_CREATE, parameters={"table": self.table})

    def drop(self) -> None:
        """Nothing of the table is left."""
        self._client.command("DROP TABLE IF EXISTS {table:Identifier} SYNC", parameters={"table": self.table})

    def find(self) -> list[RepeatedRows]:
        """Find the repeated rows of all files."""
        tables = {"events": self._events, "repeats": self.table}
        for day, rows, begin, end in self._client.query(_OVERLAPS, parameters=tables).result_rows:
            parts = -(-rows // COMPARED_AT_A_TIME)
            for part in range(parts):
                within = {"day": day, "begin": begin, "end": end, "parts": parts, "part": part}
                self._client.command(_FIND, parameters=tables | within)
        return [RepeatedRows(*row) for row in self._client.query(_FOUND, parameters=tables).result_rows]


_CREATE = """
CREATE TABLE {table:Identifier} (day Date, visitor UInt64, seq UInt32, file UInt32, line UInt32)
ENGINE = MergeTree ORDER BY (day, visitor)"""
# Whatever two files cover lies between the second begin and the second last end.
_OVERLAPS = """
SELECT day, sum(rows), arraySort(groupArray(first))[2] AS begin, arrayReverseSort(groupArray(last))[2] AS end
FROM (
    SELECT day, file, count() AS rows, toUnixTimestamp(min(ts)) AS first, toUnixTimestamp(max(ts)) AS last
    FROM {events:Identifier} GROUP BY day, file
)
GROUP BY day HAVING count() > 1 AND begin <= end ORDER BY day"""
_COMPARED = """
FROM {events:Identifier} WHERE day = {day:Date} AND origin % {parts:UInt32} = {part:UInt32}
    AND toUnixTimestamp(ts) BETWEEN {begin:UInt32} AND {end:UInt32}"""
_FIND = f"""
INSERT INTO {{repeats:Identifier}} SELECT day, visitor, seq, file, line {_COMPARED}
    AND (ts, origin, file) NOT IN (
        SELECT ts, origin, argMax(file, (rows, -toInt64(file)))
        FROM (SELECT ts, origin, file, count() AS rows {_COMPARED} GROUP BY ts, origin, file)
        GROUP BY ts, origin
    )"""
_FOUND = f"""
SELECT file, count(), groupArraySorted({MOST_LINES})(line) FROM {{repeats:Identifier}} GROUP BY file ORDER BY file"""
