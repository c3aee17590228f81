"""Removal of imports: their days count no more at once, and their rows are deleted afterwards, of several together.

A deletion goes through every part of the rollup table, and there is one at least for each month that anybody has
imported: it takes as long for one row as for all, some seconds for years of history, and nobody is to wait for it.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from typing import Final

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import RecordGone
from collector.imports.record import ImportRecord
from collector.rollups.build import VERSIONS
from collector.rollups.daily_status import IMPORTED, IMPORTED_WITH_PROPERTIES, ClosedDay, ClosedDays
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from collector.storage.mutations import MutationUnfinished, await_mutations, mutate
from collector.storage.shards import Shards

TOGETHER: Final = 100
"""Imports whose rows are deleted by one statement."""
PATIENCE_SECONDS: Final = 2.0
"""For which a call waits for the statement of an earlier one."""


class ImportRemoval:
    """Takes imports back, and deletes what they leave. Blocking."""

    def __init__(
        self, client: Client, shards: Shards, records: DocumentTable[ImportRecord], closed: ClosedDays, sites: Sites
    ) -> None:
        self._client = client
        self._shards = shards
        self._records = records
        self._closed = closed
        self._sites = sites
        self._waiting = True

    def take_back(self, domain: str, record: ImportRecord) -> None:
        """The days of an import, which are under that name, count no more; `delete_rows` does the rest, if there is
        any."""
        parameters = {"site": domain, "first": record.versions, "last": record.last_version}
        days = self._client.query(_DAYS_OF, parameters=parameters).result_rows
        # No query may find a day that counts and has lost its rows.
        self._closed.put(
            domain,
            {day: ClosedDay(version + 1, 0, reopened=True, schema_version=schema) for day, version, schema in days},
        )
        if not days and not self._client.query(_ANY_ROW, parameters=parameters).result_rows:
            self._records.delete(record.id)
            return
        removed = msgspec.structs.replace(record, state="removed", domain=domain)
        try:
            self._records.save(record.id, removed)
        except RecordGone:
            # So is its site: nobody remembers the rows.
            self._delete([removed])
        self._waiting = True

    def delete_rows(self) -> None:
        """Delete what removed imports have left. What cannot be done in time is done by a later call."""
        if not self._waiting:
            return
        self._waiting = False
        removed = [each for each in self._records.all().values() if each.state == "removed"]
        some, more = removed[:TOGETHER], removed[TOGETHER:]
        try:
            self._delete(some)
        except MutationUnfinished:
            self._waiting = True
            return
        except ClickHouseError:
            self._waiting = True
            raise
        for record in some:
            self._records.delete(record.id)
        self._waiting = self._waiting or bool(more)

    def look_again(self) -> None:
        """Another process may have removed an import."""
        self._waiting = True

    def _delete(self, removed: list[ImportRecord]) -> None:
        # A site that has got another name since may have taken the rows along.
        present = self._sites.domains
        places = {(name, each.versions) for each in removed for name in (each.domain, present.get(each.site_id, ""))}
        sites, firsts = zip(*sorted(places), strict=True) if places else ((), ())
        parameters = {"sites": [*sites], "firsts": [*firsts]}
        # What an earlier call has submitted is not to be submitted again once it is done.
        for client in self._shards:
            await_mutations(client, "daily_rollup", patience=PATIENCE_SECONDS)
        if places and self._client.query(_LEFT_ROWS, parameters=parameters).result_rows:
            self._shards.mutate("daily_rollup", _DELETE_ROWS, parameters)
        if places:
            # Otherwise records that these had replaced would count again where they are not merged away yet.
            self._client.command("OPTIMIZE TABLE daily_status FINAL")
            mutate(self._client, "daily_status", _DELETE_RECORDS, parameters)


_IMPORTED: Final = f"schema_version IN ({IMPORTED}, {IMPORTED_WITH_PROPERTIES})"
_OF_IMPORT: Final = "site = {site:String} AND version BETWEEN {first:UInt64} AND {last:UInt64}"
_DAYS_OF = (
    f"SELECT day, version, schema_version FROM daily_status FINAL WHERE {_OF_IMPORT} AND NOT reopened AND {_IMPORTED}"
)
_ANY_ROW = f"SELECT 1 FROM daily_rollup WHERE {_OF_IMPORT} LIMIT 1"
# The record that took a day back has the version after it: none of another build.
_OF_REMOVED = f"""site IN {{sites:Array(String)}} AND arrayExists(
    (name, first) -> site = name AND version BETWEEN first AND first + {VERSIONS:d},
    {{sites:Array(String)}}, {{firsts:Array(UInt64)}})"""
_LEFT_ROWS = f"SELECT 1 FROM daily_rollup WHERE {_OF_REMOVED} LIMIT 1"
_DELETE_ROWS = f"ALTER TABLE daily_rollup DELETE WHERE {_OF_REMOVED}"
_DELETE_RECORDS = f"ALTER TABLE daily_status DELETE WHERE {_OF_REMOVED} AND {_IMPORTED}"
