"""Idempotent inserts into ClickHouse: one block and one token per segment, with classified errors.

The same token again changes nothing. But ClickHouse also remembers the token of an insert that a full disk has broken
(see `room`). So where an insert may have been a repetition, of one that came to an unknown end, and inserts are known
to have been broken, its rows are looked for; are they not there, they are sent under the token's next form.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from collector.core.errors import InsertRefused, InsertRetryable
from collector.ingest.event import COLUMNS, Event
from collector.spool.serialization import FORMAT, SerializedEvents
from collector.storage.client import plain_reason
from collector.storage.disk_guard import DiskSpaceGuard

# A token stands for one block: of an insert that is cut into several, a server may take the second for a repetition
# of the first. A segment has fewer rows and bytes than a block may have (ClickHouse's min_insert_block_size_*), if it
# is not read by several threads.
_ONE_BLOCK = {"input_format_parallel_parsing": 0}

# Rows that an earlier release spooled end before the columns that were added since, which then have their defaults.
_SHORTER_ROWS = {"input_format_json_compact_allow_variable_number_of_columns": 1}

# How often one segment may be broken by a full disk before the operator is asked.
_FORMS = 100

# Codes of ClickHouse's ErrorCodes.cpp that speak of the rows themselves. Whatever else goes wrong, from a full
# disk to a missing table, can be mended from outside, after which the same rows are taken.
_PERMANENT_CODES = frozenset({6, 26, 27, 38, 41, 43, 49, 53, 69, 70, 72, 117, 131, 190, 321, 349, 407, 469, 675})

_STORED = """
SELECT site, visitor, toUnixTimestamp(ts), name, page, count() FROM events
WHERE site IN {sites:Array(String)} AND day IN {days:Array(Date)}
      AND toUnixTimestamp(ts) BETWEEN {first:UInt32} AND {last:UInt32}
GROUP BY site, visitor, ts, name, page"""


class ClickHouseInserter:
    """Inserts events durably, once per token. `room` looks after the database's disk."""

    def __init__(self, client: Client, disk_guard: DiskSpaceGuard | None = None) -> None:
        self._client = client
        self._room = disk_guard
        # What the process before was doing when it ended is not known either.
        self._unsure = True

    def insert(self, events: Sequence[Event], token: str) -> None:
        """Insert `events` durably. Raises `InsertRetryable` or `InsertRefused`."""
        try:
            self._insert(events, token)
        except (ClickHouseError, OSError) as error:
            self._unsure = True
            if self._room is not None:
                self._room.on_insert_error(error)
            if isinstance(error, ClickHouseError):
                raise _told_apart(error) from None
            raise InsertRetryable(type(error).__name__) from None
        except (TypeError, ValueError) as error:
            # A row that cannot be encoded will not be next time either.
            raise InsertRefused(f"cannot be encoded: {type(error).__name__}") from None

    def _insert(self, events: Sequence[Event], token: str) -> None:
        if self._room is None:
            self._send(events, token)
            return
        if not self._room.enough():
            self._room.report_low_space()
            raise InsertRetryable("there is little room on its disk")
        for form in range(_FORMS):
            self._send(events, f"{token} {form}" if form else token)
            if self._taken(events, self._room):
                self._unsure = False
                return
        raise InsertRetryable("its disk was full too often; restart ClickHouse")

    def _send(self, events: Sequence[Event], token: str) -> None:
        settings = _ONE_BLOCK | _SHORTER_ROWS | {"insert_deduplication_token": token}
        self._client.raw_insert("events", COLUMNS, SerializedEvents.of(events).body, settings=settings, fmt=FORMAT)

    def _taken(self, events: Sequence[Event], disk_guard: DiskSpaceGuard) -> bool:
        """Whether an insert that ClickHouse calls good is so. Raises `InsertRetryable` when it was broken."""
        if not self._unsure and not disk_guard.in_doubt and disk_guard.enough():
            return True
        if disk_guard.broken_insert():
            disk_guard.report_low_space()
            disk_guard.reload()
            raise InsertRetryable("its disk was full")
        return not disk_guard.breaks_inserts or is_stored(self._client, events)


def is_stored(client: Client, events: Sequence[Event]) -> bool:
    """Whether every one of `events` is there, as often as it is among them."""
    wanted = Counter((event.site, event.visitor, event.ts, event.name, event.page) for event in events)
    seconds = [event.ts for event in events]
    asked = {
        "sites": sorted({event.site for event in events}),
        "days": sorted({event.day for event in events}),
        "first": min(seconds),
        "last": max(seconds),
    }
    found = {tuple(row[:5]): row[5] for row in client.query(_STORED, parameters=asked).result_rows}
    return all(found.get(key, 0) >= count for key, count in wanted.items())


def _told_apart(error: ClickHouseError) -> InsertRetryable | InsertRefused:
    reason = plain_reason(error)
    found = re.search(r"\bcode:? (\d+)", reason, flags=re.IGNORECASE)
    if isinstance(error, DatabaseError) and found and int(found[1]) in _PERMANENT_CODES:
        return InsertRefused(reason)
    if not found and type(error).__name__ in {"DataError", "ProgrammingError"}:
        return InsertRefused(reason)
    return InsertRetryable(reason)
