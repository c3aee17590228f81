"""Scratch tables of what other files tell of events: browser and country of their sessions, properties and revenue.

Files of one database are in any order. What they call a session or an event is a number here, hashed under a key of
this process, and is dropped with the tables.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from clickhouse_connect.driver.client import Client

from collector.ingest.event import COLUMNS as EVENT_COLUMNS
from collector.storage.client import SCRATCH

ROWS_AT_A_TIME: Final = 20_000
_FORMAT = "JSONCompactEachRow"
_encode = msgspec.json.Encoder().encode


class EventLink(NamedTuple):
    """What leads from an event to its details; 0 where there is nothing."""

    session: int
    event: int


class SessionDetails(NamedTuple):
    """What a file tells of a session."""

    session: int
    browser: str
    os: str
    os_version: str
    device: str
    size: str
    country: str


class EventProperty(NamedTuple):
    """A property of an event."""

    event: int
    key: str
    value: str


class EventRevenue(NamedTuple):
    """Revenue of an event, with three decimals."""

    event: int
    revenue: str
    currency: str


class ScratchDetails:
    """The tables of details of the import `id_`. Blocking."""

    def __init__(self, client: Client, id_: str) -> None:
        self._client = client
        names = ("links", "sessions", "properties", "revenues", "joined")
        self._tables = {name: f"{SCRATCH}{name}_{id_}" for name in names}
        self._waiting: dict[str, list[bytes]] = {name: [] for name in names[:-1]}
        self._events: set[int] | None = None
        self.sessions = 0
        self.properties = 0
        self.revenues = 0

    @property
    def found(self) -> bool:
        """Whether there are any."""
        return bool(self.sessions or self.properties or self.revenues)

    def create(self) -> None:
        """Create the tables."""
        for name, table in self._tables.items():
            self._client.command(_CREATE[name], parameters={"table": table})

    def drop(self) -> None:
        """Nothing of the tables is left."""
        for table in self._tables.values():
            self._client.command("DROP TABLE IF EXISTS {table:Identifier} SYNC", parameters={"table": table})

    def add_link(self, day: datetime.date, number: int, link: EventLink) -> None:
        """Add what leads to details of the event with that number."""
        self._add("links", (day, number, *link))

    def add_session(self, session: SessionDetails) -> None:
        """Add a session."""
        self.sessions += 1
        self._add("sessions", session)

    def add_property(self, given: EventProperty) -> None:
        """Add a property of an event."""
        self.properties += 1
        self._add("properties", given)

    def add_revenue(self, given: EventRevenue) -> None:
        """Add the revenue of an event."""
        self.revenues += 1
        self._add("revenues", given)

    def flush(self) -> None:
        """Insert what waits."""
        for name, rows in self._waiting.items():
            if rows:
                body, self._waiting[name] = b"\n".join(rows), []
                self._client.raw_insert(self._tables[name], _COLUMNS[name], body, fmt=_FORMAT)

    def strays(self) -> dict[str, int]:
        """How many properties, and how many amounts, are of events that no file has."""
        self.flush()
        return {
            source: int(self._client.query(_STRAYS, parameters=self._tables | {"table": table}).result_rows[0][0])
            for source, table in (("properties", self._tables["properties"]), ("revenue", self._tables["revenues"]))
        }

    def joined(self, events: str, part: Mapping[str, object]) -> str:
        """Name of a table with a part of the `events`, as days and share of their visitors, with their details."""
        self._client.command("TRUNCATE TABLE {joined:Identifier} SYNC", parameters=self._tables)
        self._client.command(_JOIN, parameters={"events": events, **self._tables, **part})
        return self._tables["joined"]

    def _add(self, name: str, row: tuple[object, ...]) -> None:
        waiting = self._waiting[name]
        waiting.append(_encode(row))
        if len(waiting) >= ROWS_AT_A_TIME:
            self.flush()


PART: Final = "day IN {days:Array(Date)} AND if(visitor = 0, seq, visitor) % {parts:UInt32} = {part:UInt32}"
"""A share of the events of some days: visitors as a whole, and what is of none one by one."""

_COLUMNS: Final = {
    "links": ("day", "seq", "session", "event"),
    "sessions": SessionDetails._fields,
    "properties": EventProperty._fields,
    "revenues": EventRevenue._fields,
}
_CREATE: Final = {
    "links": """
CREATE TABLE {table:Identifier} (day Date, seq UInt32, session UInt64, event UInt64)
ENGINE = MergeTree ORDER BY (day, seq)""",
    "sessions": """
CREATE TABLE {table:Identifier} (session UInt64, browser String, os String, os_version String, device String,
size String, country String) ENGINE = MergeTree ORDER BY session""",
    "properties": """
CREATE TABLE {table:Identifier} (event UInt64, key String, value String) ENGINE = MergeTree ORDER BY event""",
    "revenues": """
CREATE TABLE {table:Identifier} (event UInt64, revenue Decimal(18, 3), currency String)
ENGINE = MergeTree ORDER BY event""",
    "joined": "CREATE TABLE {table:Identifier} AS events ENGINE = MergeTree ORDER BY (day, visitor, ts)",
}
_STRAYS = """
SELECT count() FROM {table:Identifier} WHERE event NOT IN (SELECT event FROM {links:Identifier})"""

_OF_SESSION = ("browser", "os", "os_version", "device", "size", "country")
_TAKEN = {
    **{name: f"if(events.{name} = '', sessions.{name}, toString(events.{name}))" for name in _OF_SESSION},
    "revenue": "if(sold.price_in = '', events.revenue, sold.price)",
    "currency": "if(sold.price_in = '', toString(events.currency), sold.price_in)",
    "props": "if(empty(named), events.props, mapFromArrays(named, told))",
}
_LINKS = "SELECT * FROM {links:Identifier} WHERE day IN {days:Array(Date)}"
_JOIN = f"""
INSERT INTO {{joined:Identifier}} ({", ".join(EVENT_COLUMNS)})
SELECT {", ".join(_TAKEN.get(name, f"events.{name}") for name in EVENT_COLUMNS)}
FROM (
    SELECT * FROM {{events:Identifier}} WHERE {PART}
) AS events
LEFT ANY JOIN ({_LINKS}) AS links ON events.day = links.day AND events.seq = links.seq
LEFT ANY JOIN (
    SELECT * FROM {{sessions:Identifier}} WHERE session IN (SELECT session FROM ({_LINKS}))
) AS sessions ON links.session = sessions.session
LEFT ANY JOIN (
    SELECT event, groupArray(key) AS named, groupArray(value) AS told
    FROM (
        SELECT event, key, any(value) AS value FROM {{properties:Identifier}}
        WHERE event IN (SELECT event FROM ({_LINKS})) GROUP BY event, key
    )
    GROUP BY event
) AS details ON links.event = details.event
LEFT ANY JOIN (
    SELECT event, any(revenue) AS price, any(currency) AS price_in FROM {{revenues:Identifier}}
    WHERE event IN (SELECT event FROM ({_LINKS})) GROUP BY event
) AS sold ON links.event = sold.event"""
