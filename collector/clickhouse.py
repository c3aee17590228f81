"""ClickHouse, embedded or served: open clients, apply the schema, insert events, tell errors apart.

One code path serves both. `chdb:///directory` embeds the engine in this process (one directory per process, one
process per directory); `http(s)://user:password@host:port/database` is a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from collector.event import COLUMNS, Event
from collector.exceptions import InsertRefused, InsertRetryable
from collector.migrations import migrate
from collector.room import Room
from collector.shipped import shipped

DATABASE = "tyst"

# What the embedded engine may use. Its own logs are off: an idle installation must not grow, and a log of
# queries is one more place that would have to be searched for what must not be kept.
_ENGINE_CONFIG = """\
<clickhouse>
    <logger><level>none</level><console>0</console></logger>
    <mark_cache_size>67108864</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <max_server_memory_usage_to_ram_ratio>0.6</max_server_memory_usage_to_ram_ratio>
    <backups><allowed_path>{backups}</allowed_path></backups>
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """Where the database is, and how to open clients to it.

    `dsn` is a `chdb://` or `http(s)://` address; `database` the one that holds Tyst's tables; `backups` the only
    directory that an embedded engine may write backups to. Clients may be shared by threads.
    """

    dsn: str = field(repr=False)
    database: str = DATABASE
    backups: Path | None = None

    @classmethod
    def at(cls, dsn: str, *, backups: Path | None = None) -> ClickHouse:
        """The database that `dsn` names; a server's DSN may name it in its path."""
        served = not dsn.startswith("chdb://")
        name = unquote(urlsplit(dsn).path.strip("/")) if served else ""
        return cls(dsn=dsn, database=name or DATABASE, backups=backups)

    @property
    def embedded(self) -> bool:
        """Whether the engine runs inside this process."""
        return self.dsn.startswith("chdb://")

    def client(self, *, readonly: bool = False, settings: dict[str, Any] | None = None) -> Client:
        """Open a client whose default database is Tyst's. A read-only one is refused every write by the engine."""
        return self._open(self.database, {**(settings or {}), **({"readonly": 1} if readonly else {})})

    def create(self) -> Client:
        """Create the database if it is not there; returns a writing client."""
        first = self._open(None, {})
        first.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": self.database})
        first.close()
        return self.client()

    def prepare(self) -> Client:
        """Create the database, bring an earlier release's schema to this one's and apply it; returns a writing
        client. May be called at every start. Raises `SchemaTooNew`."""
        client = self.create()
        migrate(client)
        apply_schema(client)
        return client

    def _open(self, database: str | None, settings: dict[str, Any]) -> Client:
        if self.embedded:
            return clickhouse_connect.get_client(
                dsn=self.dsn, database=database, settings=settings, chdb_options=self._engine_options()
            )
        # Without an own session several threads may use one client at a time.
        return clickhouse_connect.get_client(
            dsn=self._server_dsn(),
            database=database or "default",
            settings=settings,
            autogenerate_session_id=False,
            connect_timeout=5,
            send_receive_timeout=30,
            query_retries=0,
        )

    def _server_dsn(self) -> str:
        """The DSN without its path: before the first start the database it names does not exist."""
        parts = urlsplit(self.dsn)
        return parts._replace(path="").geturl()

    def _engine_options(self) -> dict[str, str]:
        directory = Path(urlsplit(self.dsn).path)
        backups = self.backups or directory.parent / "backups"
        directory.parent.mkdir(parents=True, exist_ok=True)
        config = directory.parent / "clickhouse.xml"
        text = _ENGINE_CONFIG.format(backups=backups.resolve())
        if not config.is_file() or config.read_text() != text:
            config.write_text(text)
        return {"config-file": str(config)}


def split_statements(sql: str) -> Iterator[str]:
    """The statements of a script, without comments: a statement ends with a semicolon at the end of a line.

    Served ClickHouse takes one statement a call, so both modes are given one at a time.
    """
    bare = re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE)
    for statement in re.split(r";[ \t]*(?:\n|\Z)", bare):
        if statement.strip():
            yield statement.strip()


def apply_schema(client: Client) -> None:
    """Run every statement of `schema.sql`; each may be run again."""
    for statement in split_statements(shipped("schema.sql").read_text()):
        client.command(statement)


class ClickHouseInserter:
    """Inserts events as one block, once per token: the same token again changes nothing. `room` looks after the
    database's disk."""

    def __init__(self, client: Client, room: Room | None = None) -> None:
        self._client = client
        self._room = room
        self._context: Any = None

    def insert(self, events: Sequence[Event], token: str) -> None:
        """Insert `events` durably. Raises `InsertRetryable` or `InsertRefused`."""
        try:
            if self._room is not None and not self._room.enough():
                self._room.suspect()
                raise InsertRetryable("there is little room on its disk")
            if self._context is None:
                self._context = self._client.create_insert_context("events", COLUMNS)
                # A token stands for one block: of an insert that is cut into several, a server may take the second
                # for a repetition of the first.
                self._context.req_block_size = _MOST_ROWS
            self._context.data = [msgspec.structs.astuple(event) for event in events]
            self._context.settings = {"insert_deduplication_token": token}
            self._insert()
        except (ClickHouseError, OSError) as error:
            if self._room is not None:
                self._room.doubt(error)
            # Over HTTP a row that the driver cannot encode cuts the request short; the driver notes why.
            broken = getattr(self._context, "insert_exception", None)
            self._context = None
            if broken is not None:
                raise InsertRefused(f"cannot be encoded: {type(broken).__name__}") from None
            if isinstance(error, ClickHouseError):
                raise _told_apart(error) from None
            raise InsertRetryable(type(error).__name__) from None
        except (TypeError, ValueError, OverflowError, AttributeError, KeyError) as error:
            # The driver could not encode a row: it will not be able to next time either.
            self._context = None
            raise InsertRefused(f"cannot be encoded: {type(error).__name__}") from None

    def _insert(self) -> None:
        """Insert, and see that what a full disk left of it is not taken for good."""
        if self._room is None:
            self._client.insert(context=self._context)
            return
        with self._room.inserting():
            self._client.insert(context=self._context)
            broken = (self._room.in_doubt or not self._room.enough()) and self._room.broken_inserts()
        if broken:
            self._room.suspect()
            self._room.drop_broken_inserts()
            raise InsertRetryable("its disk was full")


# As many rows as ClickHouse takes as one block (its setting max_insert_block_size).
_MOST_ROWS = 1_048_449

# Codes of ClickHouse's ErrorCodes.cpp that speak of the rows themselves. Whatever else goes wrong, from a full
# disk to a missing table, can be mended from outside, after which the same rows are taken.
_PERMANENT_CODES = frozenset({6, 26, 27, 38, 41, 43, 49, 53, 69, 70, 72, 117, 131, 190, 321, 349, 407, 469, 675})


def _told_apart(error: ClickHouseError) -> InsertRetryable | InsertRefused:
    reason = plain_reason(error)
    found = re.search(r"\bcode:? (\d+)", reason, flags=re.IGNORECASE)
    if isinstance(error, DatabaseError) and found and int(found[1]) in _PERMANENT_CODES:
        return InsertRefused(reason)
    if not found and type(error).__name__ in {"DataError", "ProgrammingError"}:
        return InsertRefused(reason)
    return InsertRetryable(reason)


def plain_reason(error: BaseException) -> str:
    """The first line of an error, at most 300 characters, without any `user:password@` and without the query of
    an address."""
    lines = str(error).splitlines() or [type(error).__name__]
    return re.sub(r"(?<=/)\?[^\s)]*", "", re.sub(r"//[^/\s]*@", "//", lines[0]))[:300]
