"""Control records: sites, users and keys, each a JSON document in a small ClickHouse table of its own.

A change inserts a new version; the newest wins. So they live in the one database there is, are part of its
backups, and are shared by every process that serves it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from clickhouse_connect.driver.client import Client

T = TypeVar("T", bound=msgspec.Struct)


class Records(Generic[T]):
    """The records of one table (`sites`, `users`, `api_keys`), as values of type `kind`.

    Blocking: an event loop calls through a thread. `clock` gives nanoseconds, and orders versions.
    """

    def __init__(self, client: Client, table: str, kind: type[T], clock: Callable[[], int] = time.time_ns) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._decoder = msgspec.json.Decoder(kind)

    def all(self) -> dict[str, T]:
        """Every record by its id, in order of id."""
        rows = self._client.query(
            "SELECT id, record FROM {table:Identifier} FINAL WHERE NOT deleted ORDER BY id",
            parameters={"table": self._table},
        ).result_rows
        return {id_: self._decoder.decode(record) for id_, record in rows}

    def get(self, id_: str) -> T | None:
        """The record, or None."""
        rows = self._client.query(
            "SELECT record FROM {table:Identifier} FINAL WHERE id = {id:String} AND NOT deleted",
            parameters={"table": self._table, "id": id_},
        ).result_rows
        return self._decoder.decode(rows[0][0]) if rows else None

    def put(self, id_: str, record: T) -> None:
        """Store a new version of the record."""
        self._insert(id_, msgspec.json.encode(record).decode(), deleted=0)

    def delete(self, id_: str) -> None:
        """Remove the record."""
        self._insert(id_, "", deleted=1)

    def _insert(self, id_: str, record: str, *, deleted: int) -> None:
        row = [id_, record, self._clock(), deleted]
        self._client.insert(self._table, [row], column_names=["id", "record", "version", "deleted"])
