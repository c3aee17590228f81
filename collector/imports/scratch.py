"""Scratch tables of one import: rows of files on their way into the rollup table, dropped when it has been read.

Sums are added up by day, dimension and value. Events are put into visits and closed by the very statement that closes
the days of this server; then they are gone, as are the salts of their visitors.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.errors import ImportRefused
from collector.imports.scratch_details import PART, EventLink, ScratchDetails
from collector.imports.scratch_repeats import ScratchRepeats
from collector.imports.scratch_sums import ScratchSums
from collector.ingest.event import COLUMNS as EVENT_COLUMNS
from collector.ingest.event import Event
from collector.rollups.build import build_days
from collector.spool.serialization import FORMAT, encode
from collector.storage.client import SCRATCH

ROWS_AT_A_TIME: Final = 20_000
EVENTS_AT_A_TIME: Final = 250_000
"""Events that are put into visits together, and of days that are closed together."""
MONTHS_AT_A_TIME: Final = 90
"""One INSERT may be into at most 100 partitions."""

MOST_BYTES: Final = 2_000_000_000
"""Of memory, for putting events into visits: a visitor's events of a day are sorted together."""
MEMORY_LIMIT_EXCEEDED: Final = 241

VISIT_SECONDS: Final = 1_800

Progress = Callable[[int, int], None]
"""Told how many days of how many are closed."""


class EventOrigin(NamedTuple):
    """Where an event comes from: number of the file, of the line, and a digest of the row."""

    file: int
    line: int
    origin: int


class Scratch:
    """The tables of the import `id_`, a hexadecimal number; `beat` is called every now and then. Blocking."""

    def __init__(
        self, client: Client, id_: str, beat: Callable[[], None] = lambda: None, *, most_bytes: int = MOST_BYTES
    ) -> None:
        self._client = client
        self._limits = {"max_memory_usage": most_bytes}
        self._beat = beat
        self.sums = ScratchSums(client, id_)
        self.details = ScratchDetails(client, id_)
        self._events, self._visits = (f"{SCRATCH}{kind}_{id_}" for kind in ("events", "visits"))
        self.repeats = ScratchRepeats(client, id_, self._events)
        self._waiting: list[bytes] = []
        self._number = 0

    def create(self) -> None:
        """Create the tables."""
        self.sums.create()
        self.details.create()
        self.repeats.create()
        self._client.command(_CREATE_EVENTS, parameters={"table": self._events})
        self._client.command(_CREATE, parameters={"table": self._visits})

    def drop(self) -> None:
        """Nothing of the tables is left."""
        self.sums.drop()
        self.details.drop()
        self.repeats.drop()
        for table in (self._events, self._visits):
            self._client.command("DROP TABLE IF EXISTS {table:Identifier} SYNC", parameters={"table": table})

    def add_event(self, event: Event, origin: EventOrigin, link: EventLink | None = None) -> None:
        """Add an event without a visit; by the `link` details of it are found in other files."""
        self._number += 1
        number = self._number & 0xFFFFFFFF
        row = encode(msgspec.structs.replace(event, seq=number))
        self._waiting.append(b"[%d,%d,%d,%b" % (*origin, row[1:]))
        if link is not None:
            self.details.add_link(event.day, number, link)
        if len(self._waiting) >= ROWS_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Insert what waits."""
        self._beat()
        if self._waiting:
            body = b"\n".join(self._waiting)
            self._client.raw_insert(self._events, (*EventOrigin._fields, *EVENT_COLUMNS), body, fmt=FORMAT)
            self._waiting = []
        self.details.flush()

    def days(self) -> list[datetime.date]:
        """The dates that have rows."""
        self.flush()
        return sorted({*self.sums.days(), *(day for day, _ in self._counted())})

    def build(self, site: str, versions: int, progress: Progress, *, exact: bool = False) -> frozenset[datetime.date]:
        """Insert the rows of all days into the rollup table; returns the days without sums by property. `exact` sums
        were exported from such a table."""
        if not exact:
            self.sums.complete()
        counted, summed = self._counted(), self.sums.counted()
        without = frozenset[datetime.date]() if exact else frozenset(day for day, _ in summed)
        done, whole = 0, len(counted) + len(summed)
        for batch in _batches(summed):
            self._beat()
            self.sums.insert(site, batch, versions, exact=exact)
            done += len(batch)
            progress(done, whole)
        counts = dict(counted)
        for batch in _batches(counted):
            self._put_into_visits(batch, -(-sum(counts[day] for day in batch) // EVENTS_AT_A_TIME))
            without |= build_days(self._client, site, batch, versions, self._visits)
            self._client.command("TRUNCATE TABLE {table:Identifier} SYNC", parameters={"table": self._visits})
            done += len(batch)
            progress(done, whole)
        return without

    def _counted(self) -> list[tuple[datetime.date, int]]:
        rows = self._client.query(_COUNT, parameters={"table": self._events}).result_rows
        return [(day, count) for day, count in rows]

    def _put_into_visits(self, days: Sequence[datetime.date], parts: int) -> None:
        """Put the events of days into visits, one share of the visitors after the other."""
        for part in range(parts):
            self._beat()
            given = {"days": days, "parts": parts, "part": part}
            events = self.details.joined(self._events, given) if self.details.found else self._events
            given |= {"events": events, "repeats": self.repeats.table}
            given |= {"visits": self._visits, "idle": VISIT_SECONDS}
            for statement in (_ANONYMOUS, _VISITS):
                self._within_memory(statement, given)

    def _within_memory(self, statement: str, parameters: dict[str, object]) -> None:
        """Raises `ImportRefused` where a day has more events of one visitor than any person makes."""
        try:
            self._client.command(statement, parameters=parameters, settings=self._limits)
        except DatabaseError as error:
            if error.code != MEMORY_LIMIT_EXCEEDED:
                raise
            raise ImportRefused(
                "file", "one visitor has millions of events on one day; leave those out. Nothing was imported"
            ) from None


def _batches(counted: Sequence[tuple[datetime.date, int]]) -> Iterator[list[datetime.date]]:
    """Days that are closed together, with so many events or rows of sums, and of so many months."""
    batch: list[datetime.date] = []
    months = set[datetime.date]()
    rows = 0
    for day, count in counted:
        month = day.replace(day=1)
        if batch and (rows + count > EVENTS_AT_A_TIME or len(months | {month}) > MONTHS_AT_A_TIME):
            yield batch
            batch, months, rows = [], set(), 0
        batch.append(day)
        months.add(month)
        rows += count
    if batch:
        yield batch


def drop_leftovers(client: Client) -> None:
    """Drop the scratch tables of imports that a process did not survive."""
    for (table,) in client.query(_LEFT_OVER, parameters={"prefix": SCRATCH}).result_rows:
        client.command("DROP TABLE IF EXISTS {table:Identifier} SYNC", parameters={"table": table})


_LEFT_OVER = "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})"
# The salts are gone with the process: what a crash leaves behind is dropped at the next start, and is of no use.
_CREATE = """
CREATE TABLE {table:Identifier} AS events ENGINE = MergeTree ORDER BY (day, visitor, ts)"""
_CREATE_EVENTS = """
CREATE TABLE {table:Identifier} ENGINE = MergeTree ORDER BY (day, visitor, ts)
EMPTY AS SELECT *, toUInt32(0) AS file, toUInt32(0) AS line, toUInt64(0) AS origin FROM events"""
_COUNT = "SELECT day, count() FROM {table:Identifier} GROUP BY day ORDER BY day"
_PART = f"{PART} AND seq NOT IN (SELECT seq FROM {{repeats:Identifier}} WHERE {PART})"

_ALL = ", ".join(EVENT_COLUMNS)
_ANONYMOUS = f"""
INSERT INTO {{visits:Identifier}} ({_ALL}) SELECT {_ALL} FROM {{events:Identifier}}
WHERE {_PART} AND visitor = 0"""

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
            FROM {{events:Identifier}} WHERE {_PART} AND visitor != 0
        )
    )
    WINDOW ordered AS ({_OF_A_VISIT}, number {_IN_ORDER})
)
WINDOW ordered AS ({_OF_A_VISIT}, number {_IN_ORDER}), whole AS ({_OF_A_VISIT}, number)"""
