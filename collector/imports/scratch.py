"""Scratch tables of one import: rows of files on their way into the rollup table, dropped when it has been read.

Sums are added up by day, dimension and value. Events are put into visits and closed by the very statement that closes
the days of this server; then they are gone, as are the salts of their visitors.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from clickhouse_connect.driver.client import Client

from collector.imports.sums import COLUMNS, COUNTS, TOTAL, Sum, by_day, completion
from collector.ingest.event import COLUMNS as EVENT_COLUMNS
from collector.ingest.event import Event
from collector.rollups.build import build_days
from collector.spool.serialization import FORMAT, SerializedEvents, encode
from collector.storage.client import SCRATCH

ROWS_AT_A_TIME: Final = 20_000
EVENTS_AT_A_TIME: Final = 250_000
"""Events of days that are closed together."""
DAYS_AT_A_TIME: Final = 90
"""One INSERT may be into at most 100 partitions."""

VISIT_SECONDS: Final = 1_800

Progress = Callable[[int, int], None]
"""Told how many days of how many are closed."""


class Scratch:
    """The tables of the import `id_`, a hexadecimal number; `beat` is called every now and then. Blocking."""

    def __init__(self, client: Client, id_: str, beat: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._beat = beat
        self._sums, self._events, self._visits = (f"{SCRATCH}{kind}_{id_}" for kind in ("sums", "events", "visits"))
        self._waiting_sums: list[Sum] = []
        self._waiting_events: list[Event] = []
        self._number = 0
        self.made_totals = False
        """Whether some day had no totals of its own."""

    def create(self) -> None:
        """Create the tables."""
        self._client.command(_CREATE_SUMS, parameters={"table": self._sums})
        for table in (self._events, self._visits):
            self._client.command(_CREATE_EVENTS, parameters={"table": table})

    def drop(self) -> None:
        """Nothing of the tables is left."""
        for table in (self._sums, self._events, self._visits):
            self._client.command("DROP TABLE IF EXISTS {table:Identifier} SYNC", parameters={"table": table})

    def add_sum(self, row: Sum) -> None:
        """Add counts."""
        self._waiting_sums.append(row)
        if len(self._waiting_sums) >= ROWS_AT_A_TIME:
            self.flush()

    def add_event(self, event: Event) -> None:
        """Add an event without a visit."""
        self._number += 1
        self._waiting_events.append(msgspec.structs.replace(event, seq=self._number & 0xFFFFFFFF))
        if len(self._waiting_events) >= ROWS_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Insert what waits."""
        self._beat()
        if self._waiting_sums:
            body = b"\n".join(map(encode, self._waiting_sums))
            self._client.raw_insert(self._sums, COLUMNS, body, fmt=FORMAT)
            self._waiting_sums = []
        if self._waiting_events:
            body = SerializedEvents.of(self._waiting_events).body
            self._client.raw_insert(self._events, EVENT_COLUMNS, body, fmt=FORMAT)
            self._waiting_events = []

    def days(self) -> list[datetime.date]:
        """The dates that have rows."""
        self.flush()
        rows = self._client.query(_DAYS, parameters={"sums": self._sums, "events": self._events}).result_rows
        return [day for (day,) in rows]

    def complete_sums(self) -> None:
        """Add the rows that follow from others: see `completion`."""
        rows = self._client.query(_BY_DAY, parameters={"table": self._sums}).result_rows
        found = (Sum(**dict(zip((*COLUMNS[:2], *COUNTS), row, strict=True)), value="") for row in rows)
        for day, sums in by_day(found).items():
            self.made_totals |= TOTAL not in sums
            for row in completion(day, sums):
                self.add_sum(row)
        self.flush()

    def build(self, site: str, versions: int, progress: Progress, *, exact: bool = False) -> frozenset[datetime.date]:
        """Insert the rows of all days into the rollup table; returns the days without sums by property. `exact` sums
        were exported from such a table."""
        if not exact:
            self.complete_sums()
        counted = self._client.query(_COUNT, parameters={"table": self._events}).result_rows
        summed = [day for (day,) in self._client.query(_SUMMED, parameters={"table": self._sums}).result_rows]
        without = frozenset[datetime.date]() if exact else frozenset(summed)
        done, whole = 0, len(counted) + len(summed)
        for batch in _batches([(day, 0) for day in summed]):
            parameters = {"table": self._sums, "site": site, "days": batch, "versions": versions, "exact": int(exact)}
            self._client.command(_INSERT_SUMS, parameters=parameters)
            done += len(batch)
            progress(done, whole)
        for batch in _batches([(day, count) for day, count in counted]):
            self._put_into_visits(batch)
            without |= build_days(self._client, site, batch, versions, self._visits)
            self._client.command("TRUNCATE TABLE {table:Identifier} SYNC", parameters={"table": self._visits})
            done += len(batch)
            progress(done, whole)
        return without

    def _put_into_visits(self, days: Sequence[datetime.date]) -> None:
        self._beat()
        parameters = {"events": self._events, "visits": self._visits, "days": days, "idle": VISIT_SECONDS}
        for statement in (_ANONYMOUS, _VISITS):
            self._client.command(statement, parameters=parameters)


def _batches(counted: Sequence[tuple[datetime.date, int]]) -> Iterator[list[datetime.date]]:
    """Days that are closed together, with so many events."""
    batch: list[datetime.date] = []
    rows = 0
    for day, count in counted:
        if batch and (rows + count > EVENTS_AT_A_TIME or len(batch) == DAYS_AT_A_TIME):
            yield batch
            batch, rows = [], 0
        batch.append(day)
        rows += count
    if batch:
        yield batch


def drop_leftovers(client: Client) -> None:
    """Drop the scratch tables of imports that a process did not survive."""
    for (table,) in client.query(_LEFT_OVER, parameters={"prefix": SCRATCH}).result_rows:
        client.command("DROP TABLE IF EXISTS {table:Identifier} SYNC", parameters={"table": table})


_LEFT_OVER = "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})"
_CREATE_SUMS = f"""
CREATE TABLE {{table:Identifier}}
(day Date, dimension LowCardinality(String), value String, currency LowCardinality(String),
{", ".join(f"{name} Int64" for name in COUNTS)})
ENGINE = SummingMergeTree ORDER BY (day, dimension, value, currency)"""
# The salts are gone with the process: what a crash leaves behind is dropped at the next start, and is of no use.
_CREATE_EVENTS = """
CREATE TABLE {table:Identifier} AS events ENGINE = MergeTree ORDER BY (day, visitor, ts)"""
_DAYS = """
SELECT DISTINCT day FROM (
    SELECT DISTINCT day FROM {sums:Identifier} UNION ALL SELECT DISTINCT day FROM {events:Identifier}
) ORDER BY day"""
_SUMMED = "SELECT DISTINCT day FROM {table:Identifier} ORDER BY day"
_COUNT = "SELECT day, count() FROM {table:Identifier} GROUP BY day ORDER BY day"
_BY_DAY = f"""
SELECT day, dimension, {", ".join(f"sum({name})" for name in COUNTS)} FROM {{table:Identifier}}
GROUP BY day, dimension"""

# Who came twice is in two rows of a file: of a value there are no more visitors than visits, nor than the day has.
_INSERT_SUMS = f"""
INSERT INTO daily (site, dimension, day, value, currency, visitors, again, more, custom, unseen, bounces, seconds,
    readings, engaged, scrolled, revenue, sales, version)
SELECT {{site:String}}, dimension, day, value, currency, told,
    n_visits - told,
    n_pageviews - n_visits,
    greatest(n_custom, NOT {{exact:UInt8}} AND told > 0 AND n_pageviews = 0),
    n_unseen, n_bounces, n_seconds, n_readings, n_engaged, n_scrolled, n_revenue, n_sales,
    {{versions:UInt64}} + toUInt16(day)
FROM (
    SELECT *, if({{exact:UInt8}} OR dimension = '', n_visitors,
        least(n_visitors, if(n_visits > 0, n_visits, n_visitors), of_day)) AS told
    FROM (
        SELECT day, dimension, value, currency, {", ".join(f"sum({name}) AS n_{name}" for name in COUNTS)}
        FROM {{table:Identifier}} WHERE day IN {{days:Array(Date)}} GROUP BY day, dimension, value, currency
    ) AS summed
    LEFT JOIN (
        SELECT day, sum(visitors) AS of_day FROM {{table:Identifier}}
        WHERE day IN {{days:Array(Date)}} AND dimension = '' GROUP BY day
    ) AS whole USING (day)
)"""

_ALL = ", ".join(EVENT_COLUMNS)
_ANONYMOUS = f"""
INSERT INTO {{visits:Identifier}} ({_ALL}) SELECT {_ALL} FROM {{events:Identifier}}
WHERE day IN {{days:Array(Date)}} AND visitor = 0"""

_OF_THE_FIRST = (
    "referrer", "source", "channel", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "click_id",
    "country",
)  # fmt: skip
_COMPUTED = {
    **{name: f"first_value({name}) OVER ordered" for name in _OF_THE_FIRST},
    "visit": "if(visit != 0, visit, number)",
    "entry_page": "argMinIf(page, (ts, seq), name = 'pageview') OVER whole",
    "visits": "place = 1",
    "bounces": "place = 1 AND countIf(name = 'pageview') OVER whole < 2"
    " AND countIf(name != 'pageview' AND place > 1) OVER whole = 0",
    "seconds": "if(place = 1, 0, toUnixTimestamp(ts) - toUnixTimestamp(before))",
    "seq": "place",
}
_OF_A_VISIT = "PARTITION BY day, visitor, visit"
_IN_ORDER = "ORDER BY ts, seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
# The rules of `ingest.visits`, for rows in any order: half an hour without an event ends a visit, unless the file says
# which visit each belongs to; what a visit came by is what its first row says; a second page view, or an event after
# the first row, ends the bounce.
_VISITS = f"""
INSERT INTO {{visits:Identifier}} ({_ALL})
SELECT {", ".join(_COMPUTED.get(name, name) for name in EVENT_COLUMNS)}
FROM (
    SELECT *, row_number() OVER ordered AS place, lagInFrame(ts) OVER ordered AS before
    FROM (
        SELECT *, sum(begins) OVER ({_OF_A_VISIT} {_IN_ORDER}) AS number
        FROM (
            SELECT *, visit = 0 AND toUnixTimestamp(ts)
                - toUnixTimestamp(lagInFrame(ts) OVER ({_OF_A_VISIT} {_IN_ORDER})) >= {{idle:UInt32}} AS begins
            FROM {{events:Identifier}} WHERE day IN {{days:Array(Date)}} AND visitor != 0
        )
    )
    WINDOW ordered AS ({_OF_A_VISIT}, number {_IN_ORDER})
)
WINDOW ordered AS ({_OF_A_VISIT}, number {_IN_ORDER}), whole AS ({_OF_A_VISIT}, number)"""
