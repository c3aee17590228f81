"""Marks of visitors that a statement is about, in a table in memory.

A server's logs have the text of statements, their parameters and the conditions made of them. Rows they have not: so
the ids are inserted as rows, and statements compare with those of a batch.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from collector.storage.shards import NOT_LOGGED

_COLUMNS: Final = ["batch", "site", "day", "visitor", "ts"]
_UNMARK = "ALTER TABLE pending_erasures DELETE WHERE batch IN {batches:Array(UInt64)}"


class Mark(NamedTuple):
    """A visitor of a site on a day, up to the Unix second `until`."""

    site: str
    day: datetime.date
    visitor: int
    until: int


def put(client: Client, batch: int, marks: Iterable[Mark]) -> None:
    """Insert the marks under the number of a batch."""
    rows = [
        [batch, mark.site, mark.day, mark.visitor, datetime.datetime.fromtimestamp(mark.until, datetime.UTC)]
        for mark in marks
    ]
    client.insert("pending_erasures", rows, column_names=_COLUMNS, settings=NOT_LOGGED)


def remove(client: Client, *batches: int) -> None:
    """Delete the marks of batches."""
    client.command(_UNMARK, parameters={"batches": list(batches)}, settings={**NOT_LOGGED, "mutations_sync": 1})


@contextlib.contextmanager
def marked(client: Client, batch: int, marks: Iterable[Mark]) -> Iterator[None]:
    """The marks are there for as long as the block lasts."""
    put(client, batch, marks)
    try:
        yield
    finally:
        remove(client, batch)
