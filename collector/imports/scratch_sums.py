"""Scratch table of daily sums: rows of files, added up by day, dimension and value on their way into the rollup table.

Where several files have a value on the same day, as overlapping exports do, the one that has more of it counts.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from collector.imports.sums import COLUMNS, COUNTS, MADE, TOTAL, Sum, by_day, completion
from collector.spool.serialization import FORMAT, encode
from collector.storage.client import SCRATCH

ROWS_AT_A_TIME: Final = 20_000


class Superseded(NamedTuple):
    """Rows of a file whose values another file has, too."""

    file: int
    source: str
    rows: int


class ScratchSums:
    """The tables of sums of the import `id_`. Blocking."""

    def __init__(self, client: Client, id_: str) -> None:
        self._client = client
        self._read, self._chosen = f"{SCRATCH}read_{id_}", f"{SCRATCH}sums_{id_}"
        self._waiting: list[bytes] = []
        self.made_totals = False
        """Whether some day had no totals of its own."""

    def create(self) -> None:
        """Create the tables."""
        for table in (self._read, self._chosen):
            self._client.command(_CREATE, parameters={"table": table})

    def drop(self) -> None:
        """Nothing of the tables is left."""
        for table in (self._read, self._chosen):
            self._client.command("DROP TABLE IF EXISTS {table:Identifier} SYNC", parameters={"table": table})

    def add(self, source: str, file: int, *sums: Sum) -> None:
        """Add counts of one row of the `file` with that number."""
        for number, each in enumerate(sums):
            self._waiting.append(b"[%d,%b,%d,%b" % (file, encode(source), number == 0, encode(each)[1:]))
        if len(self._waiting) >= ROWS_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Insert what waits."""
        if self._waiting:
            body = b"\n".join(self._waiting)
            self._client.raw_insert(self._read, _COLUMNS, body, fmt=FORMAT)
            self._waiting = []

    def days(self) -> list[datetime.date]:
        """The dates that have rows."""
        self.flush()
        return [day for (day,) in self._client.query(_DAYS, parameters={"table": self._read}).result_rows]

    def counted(self) -> list[tuple[datetime.date, int]]:
        """The dates that have rows which were chosen, and how many."""
        rows = self._client.query(_COUNT, parameters={"table": self._chosen}).result_rows
        return [(day, count) for day, count in rows]

    def choose(self) -> list[Superseded]:
        """Choose one file for each value and day; returns what is not of these."""
        self.flush()
        parameters = {"read": self._read, "chosen": self._chosen}
        self._client.command(_CHOOSE, parameters=parameters)
        return [Superseded(*row) for row in self._client.query(_SUPERSEDED, parameters=parameters).result_rows]

    def complete(self) -> None:
        """Add the rows that follow from others: see `completion`."""
        rows = self._client.query(_BY_DAY, parameters={"table": self._chosen}).result_rows
        found = (Sum(**dict(zip((*COLUMNS[:2], *COUNTS), row, strict=True)), value="") for row in rows)
        added = []
        for day, sums in by_day(found).items():
            self.made_totals |= TOTAL not in sums
            added += [b'[0,"",0,%b' % encode(row)[1:] for row in completion(day, sums)]
        if added:
            self._client.raw_insert(self._chosen, _COLUMNS, b"\n".join(added), fmt=FORMAT)

    def insert(self, site: str, days: Sequence[datetime.date], versions: int, *, exact: bool) -> None:
        """Insert the rows of days into the rollup table. `exact` sums were exported from such a table."""
        parameters = {"table": self._chosen, "site": site, "days": days, "versions": versions, "exact": int(exact)}
        self._client.command(_INSERT, parameters=parameters)


_COLUMNS: Final = ("file", "source", "rows", *COLUMNS)
_CREATE = f"""
CREATE TABLE {{table:Identifier}}
(file UInt32, source LowCardinality(String), rows UInt64,
day Date, dimension LowCardinality(String), value String, currency LowCardinality(String),
{", ".join(f"{name} Int64" for name in COUNTS)})
ENGINE = SummingMergeTree ORDER BY (day, dimension, value, currency, file, source)"""
_DAYS = "SELECT DISTINCT day FROM {table:Identifier} ORDER BY day"
_COUNT = "SELECT day, count() FROM {table:Identifier} GROUP BY day ORDER BY day"
_VALUE = "day, dimension, value, currency"
_BEST = f"""
SELECT {_VALUE}, argMax(file, (size, -toInt64(file))) AS best FROM (
    SELECT {_VALUE}, file, sum(visitors + visits + pageviews + custom_events) AS size FROM {{read:Identifier}}
    GROUP BY {_VALUE}, file
)
GROUP BY {_VALUE}"""
_CHOOSE = f"""
INSERT INTO {{chosen:Identifier}} ({", ".join(COLUMNS)}) SELECT {", ".join(COLUMNS)} FROM {{read:Identifier}}
WHERE ({_VALUE}, file) IN ({_BEST})"""
_SUPERSEDED = f"""
SELECT file, toString(source), sum(rows) AS lost FROM {{read:Identifier}} WHERE ({_VALUE}, file) NOT IN ({_BEST})
GROUP BY file, source HAVING lost > 0 ORDER BY file, source"""
_BY_DAY = f"""
SELECT day, dimension, {", ".join(f"sum({name})" for name in COUNTS)} FROM {{table:Identifier}}
GROUP BY day, dimension"""

# Who came twice is in two rows of a file: a value has no more visitors than visits or than the day has. Nor has it more
# bounces than visits, whatever a file says.
_INSERT = f"""
INSERT INTO daily_rollup (site, dimension, day, value, currency, visitors, extra_visits, extra_pageviews,
    custom_events, pageviews_without_visit, bounces, seconds, page_reads, engagement_ms, scroll_depth_sum, revenue,
    revenue_events, version)
SELECT {{site:String}}, dimension, day, value, currency, told,
    n_visits - told,
    n_pageviews - n_visits,
    greatest(n_custom_events, NOT {{exact:UInt8}} AND told > 0 AND n_pageviews = 0),
    n_pageviews_without_visit, if({{exact:UInt8}}, n_bounces, least(n_bounces, n_visits)), n_seconds, n_page_reads,
    n_engagement_ms, n_scroll_depth_sum, n_revenue, n_revenue_events,
    {{versions:UInt64}} + toUInt16(day)
FROM (
    SELECT *, if({{exact:UInt8}} OR dimension = '', n_visitors,
        least(n_visitors, if(n_visits > 0, n_visits, n_visitors), of_day)) AS told
    FROM (
        SELECT day, dimension, value, currency, {", ".join(f"sum({name}) AS n_{name}" for name in COUNTS)}
        FROM {{table:Identifier}} WHERE day IN {{days:Array(Date)}} AND dimension != '{MADE}'
        GROUP BY day, dimension, value, currency
    ) AS summed
    LEFT JOIN (
        SELECT day, sum(visitors) AS of_day FROM {{table:Identifier}}
        WHERE day IN {{days:Array(Date)}} AND dimension = '' GROUP BY day
    ) AS whole USING (day)
)"""
