"""Deletion of visitors' events that ClickHouse has: mark, delete, and see that the marks were there to the end.

They are in memory: a server that is started anew has lost them, and its mutation then deletes nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from clickhouse_connect.driver.client import Client

from collector.erasure import marks
from collector.erasure.marks import NOT_LOGGED, Mark
from collector.spool.rewrite import Erasure
from collector.storage.mutations import PATIENCE_SECONDS, MutationUnfinished, await_mutations, mutate

Reopen = Callable[[str, datetime.date], None]
"""Takes back the rollup of a site's day, where it has one."""

MOST_ROUNDS: Final = 3
"""Deletions whose marks were lost, one after the other, before it is left to the next call."""

# The condition compares with rows of a table, so that neither the list of mutations nor a log has the ids.
_MARK_EVENTS = """
INSERT INTO pending_erasures SELECT {found:UInt64}, site, day, visitor, ts FROM events
INNER JOIN
(
    SELECT site, day, visitor, max(ts) AS until FROM pending_erasures
    WHERE batch = {batch:UInt64} GROUP BY site, day, visitor
) AS meant USING (site, day, visitor)
WHERE (site, day, visitor) IN (SELECT site, day, visitor FROM pending_erasures WHERE batch = {batch:UInt64})
      AND ts <= until"""
_FOUND = "SELECT site, day, count() FROM pending_erasures WHERE batch = {batch:UInt64} GROUP BY site, day"
_HOW_MANY = "SELECT count() FROM pending_erasures WHERE batch = {batch:UInt64}"
_DELETE = """
ALTER TABLE events DELETE IN PARTITION {month:UInt32} WHERE (site, day, visitor, ts) IN
(SELECT site, day, visitor, ts FROM pending_erasures WHERE batch = {batch:UInt64})"""

# A batch is a moment in nanoseconds. Marks that no mutation mentions after so long belong to a process that was killed.
_STALE_NANOSECONDS: Final = 600 * 10**9
_OVER = """
SELECT DISTINCT batch FROM pending_erasures
WHERE batch < {before:UInt64}
      OR batch IN (SELECT toUInt64OrZero(extract(command, 'batch = [^0-9]*([0-9]+)')) FROM system.mutations
                   WHERE database = currentDatabase() AND table = 'events' AND is_done)"""
_DAYS = "SELECT DISTINCT site, day FROM pending_erasures WHERE batch IN {batches:Array(UInt64)}"


def delete_stored(
    client: Client,
    erasures: Iterable[Erasure],
    batch: int,
    reopen: Reopen = lambda *_: None,
    *,
    patience: float = PATIENCE_SECONDS,
) -> int:
    """Delete the events that ClickHouse has, and rewrite the parts that had them; returns how many there were.

    `batch`, a moment in nanoseconds, tells this call from any other that runs at the same time. `reopen` is called with
    each day that had some: before, so that a process that is killed in between leaves no rollup that has them, and
    after, for a rollup that was being built meanwhile. Raises `MutationUnfinished` while ClickHouse is busy with a
    deletion; the marks stay for it, and the next call goes on from there.
    """
    await_mutations(client, "events", patience=patience)
    remove_stale_marks(client, batch, reopen)
    meant = [Mark(each.site, each.day, each.visitor, each.until) for each in erasures]
    for number in range(MOST_ROUNDS):
        deleted, whole = _delete(client, meant, batch + 2 * number, reopen, patience)
        if whole:
            return deleted
    raise MutationUnfinished("events")


def remove_stale_marks(client: Client, now: int, reopen: Reopen) -> None:
    """Remove the marks of deletions that are over although nobody waited for them."""
    before = max(0, now - _STALE_NANOSECONDS)
    over = [batch for (batch,) in client.query(_OVER, parameters={"before": before}).result_rows]
    if over:
        for site, day in client.query(_DAYS, parameters={"batches": over}).result_rows:
            reopen(site, day)
        marks.remove(client, *over)


def _delete(client: Client, meant: Sequence[Mark], batch: int, reopen: Reopen, patience: float) -> tuple[int, bool]:
    """Mark the events that are meant, and delete them; returns how many there were, and whether the marks were there to
    the end."""
    found = {"batch": batch + 1}
    with marks.marked(client, batch, meant):
        client.command(_MARK_EVENTS, parameters={"batch": batch, "found": batch + 1}, settings=NOT_LOGGED)
        whole = client.query(_HOW_MANY, parameters={"batch": batch}).result_rows[0][0] == len(meant)
    rows = client.query(_FOUND, parameters=found).result_rows
    if not rows:
        return 0, whole
    for site, day, _ in rows:
        reopen(site, day)
    for month in sorted({day.year * 100 + day.month for _, day, _ in rows}):
        mutate(client, "events", _DELETE, {"month": month, **found}, settings=NOT_LOGGED, patience=patience)
    for site, day, _ in rows:
        reopen(site, day)
    count = sum(count for *_, count in rows)
    whole = whole and client.query(_HOW_MANY, parameters=found).result_rows[0][0] == count
    marks.remove(client, batch + 1)
    return count, whole
