"""Document tables: sites, users and keys as JSON documents in small ClickHouse tables.

A change inserts a new version; the newest wins. So they live in the one database there is, are part of its
backups, and are shared by every process that serves it.

The interface prevents lost updates: `update` reads the newest version, applies a function and stores the result under
a lock that all processes share, so callers never write back a stale copy. A record that was deleted meanwhile stays
deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordGone, RecordTaken
from collector.storage.document_lock import DocumentLock

T = TypeVar("T", bound=msgspec.Struct)

_FOUND = "SELECT id, record FROM {{table:Identifier}} FINAL WHERE NOT deleted AND ({}) ORDER BY id"
_NEWEST = "SELECT record, version, deleted FROM {table:Identifier} WHERE id = {id:String} ORDER BY version DESC LIMIT 1"


class Version(NamedTuple):
    """Row of one stored version of a record."""

    record: str
    number: int
    deleted: bool


class DocumentTable(Generic[T]):
    """The records of one table (`sites`, `users`, `api_keys`), as values of type `kind`.

    Blocking: an event loop calls through a thread. `clock` gives nanoseconds, and orders versions.
    """

    def __init__(self, client: Client, table: str, kind: type[T], clock: Callable[[], int] = time.time_ns) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._decoder = msgspec.json.Decoder(kind)
        self.lock = DocumentLock(client, table)
        """Acquired by every change; in-memory copies must be changed under it, too."""

    def all(self) -> dict[str, T]:
        """Every record by its id, in order of id."""
        return self.where("1", {})

    def where(self, condition: str, parameters: Mapping[str, object]) -> dict[str, T]:
        """The same of the records for whose JSON text `record` a condition holds (SQL, with its parameters)."""
        rows = self._client.query(
            _FOUND.format(condition),
            parameters={"table": self._table, **parameters},
        ).result_rows
        return {id_: self._decoder.decode(record) for id_, record in rows}

    def get(self, id_: str) -> T | None:
        """The record, or None."""
        newest = self._newest(id_)
        return self._decoder.decode(newest.record) if newest is not None and not newest.deleted else None

    def create(self, id_: str, record: T) -> None:
        """Store a record under an id that is new, or whose record was deleted. Raises `RecordTaken` for any other."""

        def created(newest: T | None) -> T:
            if newest is not None:
                raise RecordTaken(id_)
            return record

        with self.lock:
            self._write(id_, created)

    def store(self, id_: str, record: T) -> None:
        """Store the document, whether or not there is or was one."""
        with self.lock:
            self._write(id_, lambda _: record)

    def save(self, id_: str, record: T) -> None:
        """Replace the document. Raises `RecordGone` if it was deleted."""
        with self.lock:
            newest = self._newest(id_)
            if newest is not None and newest.deleted:
                raise RecordGone
            self._write(id_, lambda _: record)

    def update(self, id_: str, change: Callable[[T], T]) -> tuple[T, T]:
        """Apply `change` to the newest version and store the result; returns the versions before and after.

        Exceptions of `change` abort the update. Raises `RecordGone` if the record does not exist.
        """
        with self.lock:
            before, after = self._write(id_, lambda newest: change(_there(newest)))
        return _there(before), after

    def delete(self, id_: str) -> T | None:
        """Remove the record; returns it as it was, or None if there was none."""
        with self.lock:
            newest = self._newest(id_)
            if newest is None or newest.deleted:
                return None
            self._insert(id_, "", newest.number, deleted=1)
            return self._decoder.decode(newest.record)

    def purge(self) -> None:
        """Merge away all versions but the newest: what was deleted leaves the disk with the parts that had it."""
        self._client.command("OPTIMIZE TABLE {table:Identifier} FINAL", parameters={"table": self._table})

    def _write(self, id_: str, change: Callable[[T | None], T]) -> tuple[T | None, T]:
        """Insert the version that follows the newest; returns both. The lock is held."""
        newest = self._newest(id_)
        before = self._decode(newest)
        after = change(before)
        self._insert(id_, msgspec.json.encode(after).decode(), newest.number if newest else 0)
        return before, after

    def _decode(self, version: Version | None) -> T | None:
        return self._decoder.decode(version.record) if version is not None and not version.deleted else None

    def _newest(self, id_: str) -> Version | None:
        rows = self._client.query(_NEWEST, parameters={"table": self._table, "id": id_}).result_rows
        return Version(rows[0][0], rows[0][1], bool(rows[0][2])) if rows else None

    def _insert(self, id_: str, record: str, after: int, *, deleted: int = 0) -> None:
        """Insert a version newer than number `after`, also where a clock is behind."""
        row = [id_, record, max(self._clock(), after + 1), deleted]
        self.lock.must_be_held()
        self._client.insert(self._table, [row], column_names=["id", "record", "version", "deleted"])


class CachedDocumentTable(Generic[T]):
    """Write-through in-memory cache of one table's records.

    `values` is an immutable snapshot, replaced on each change. `loaded` is called with each new snapshot. Every method
    blocks.
    """

    def __init__(self, records: DocumentTable[T], loaded: Callable[[Mapping[str, T]], None] = lambda _: None) -> None:
        self._records = records
        self._loaded = loaded
        self.lock = records.lock
        self.values: Mapping[str, T] = {}

    def refresh(self) -> None:
        """Reload all records."""
        with self.lock.threads:
            self._keep(self._records.all())

    def create(self, id_: str, record: T, allowed: Callable[[Mapping[str, T]], None] = lambda _: None) -> None:
        """Store a new record. `allowed` receives the existing records and may raise to prevent it."""
        with self.lock:
            self.refresh()
            allowed(self.values)
            self._records.create(id_, record)
            self._keep({**self.values, id_: record})

    def put(self, id_: str, record: T) -> None:
        """Replace the document. Raises `RecordGone` if it was deleted."""
        with self.lock:
            self._records.save(id_, record)
            self._keep({**self.values, id_: record})

    def update(self, id_: str, change: Callable[[T], T]) -> tuple[T, T]:
        """As `DocumentTable.update`. `values` is current within `change`."""
        with self.lock:
            try:
                before, after = self._records.update(id_, change)
            except RecordGone:
                # Deleted or replaced by another process.
                self._keep(self._records.all())
                raise
            self._keep({**self.values, id_: after})
            return before, after

    def purge(self) -> None:
        """As `DocumentTable.purge`."""
        self._records.purge()

    def move(self, id_: str, to: str, change: Callable[[T], T]) -> T:
        """Store the record under another id. Not atomic: an interruption leaves it under both."""
        with self.lock:
            record = self._records.get(id_)
            if record is None:
                raise RecordGone
            moved = change(record)
            self._records.store(to, moved)
            self._records.delete(id_)
            self._keep({**{key: each for key, each in self.values.items() if key != id_}, to: moved})
            return moved

    def delete(self, id_: str, allowed: Callable[[Mapping[str, T]], None] = lambda _: None) -> T | None:
        """Remove and return the record, or None; its earlier versions leave the disk. `allowed` receives the existing
        records and may raise to prevent it."""
        with self.lock:
            self.refresh()
            allowed(self.values)
            gone = self._records.delete(id_)
            self._drop(id_)
        if gone is not None:
            self._records.purge()
        return gone

    def _drop(self, id_: str) -> None:
        if id_ in self.values:
            self._keep({key: each for key, each in self.values.items() if key != id_})

    def _keep(self, values: Mapping[str, T]) -> None:
        self.values = values
        self._loaded(values)


def _there(record: T | None) -> T:
    if record is None:
        raise RecordGone
    return record
