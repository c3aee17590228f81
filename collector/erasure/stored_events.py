"""Deletion of visitors' events that ClickHouse has: mark, delete, and see that no replica has any of them left.

Marks are in memory: a server that is started anew has lost them. What its mutation then leaves is deleted again, and
never does one delete what was not marked: replicas make the same of a part, or take over what another made of it.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from clickhouse_connect.driver.client import Client

from collector.erasure import marks
from collector.erasure.marks import Mark
from collector.spool.rewrite import Erasure
from collector.storage.mutations import PATIENCE_SECONDS, MutationUnfinished, await_mutations, mutate
from collector.storage.shards import NOT_LOGGED, mark

Reopen = Callable[[str, datetime.date], None]
"""Takes back the rollup of a site's day, where it has one."""

MOST_ROUNDS: Final = 3
"""Deletions that left something, one after the other, before it is left to the next call."""

# The condition compares with rows of a table, so that neither the list of mutations nor a log has the ids.
_MEANT = """
FROM events INNER JOIN
(
    SELECT site, day, visitor, max(ts) AS until FROM pending_erasures
    WHERE batch = {batch:UInt64} GROUP BY site, day, visitor
) AS meant USING (site, day, visitor)
WHERE (site, day, visitor) IN (SELECT site, day, visitor FROM pending_erasures WHERE batch = {batch:UInt64})
      AND ts <= until"""
_MARK_EVENTS = f"INSERT INTO pending_erasures SELECT {{found:UInt64}}, site, day, visitor, ts {_MEANT}"
_LEFT = f"SELECT (SELECT count() FROM pending_erasures WHERE batch = {{batch:UInt64}}), count() {_MEANT}"
_FOUND = "SELECT site, day, count() FROM pending_erasures WHERE batch = {batch:UInt64} GROUP BY site, day"
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
    replicas: Sequence[Client],
    erasures: Iterable[Erasure],
    batch: int,
    reopen: Reopen = lambda *_: None,
    *,
    patience: float = PATIENCE_SECONDS,
) -> int:
    """Delete the events that the replicas of a shard have, and rewrite the parts that had them; returns how many there
    were.

    `batch`, a moment in nanoseconds, tells this call from any other that runs at the same time. `reopen` is called with
    each day that had some: before, so that a process that is killed in between leaves no rollup that has them, and
    after, for a rollup that was being built meanwhile. Raises `MutationUnfinished` while ClickHouse is busy with a
    deletion; the marks stay for it, and the next call goes on from there.
    """
    first, *others = replicas
    await_mutations(first, "events", others=others, patience=patience)
    for client in replicas:
        remove_stale_marks(client, batch, reopen)
    deleted, meant = 0, [Mark(each.site, each.day, each.visitor, each.until) for each in erasures]
    for number in range(MOST_ROUNDS):
        with contextlib.ExitStack() as stack:
            for client in replicas:
                stack.enter_context(marks.marked(client, batch + 2 * number, meant))
            deleted += _delete(replicas, batch + 2 * number, reopen, patience)
            if all(_is_gone(client, batch + 2 * number, meant) for client in replicas):
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


def _delete(replicas: Sequence[Client], batch: int, reopen: Reopen, patience: float) -> int:
    """Mark the events of the visitors that are marked, and delete them; returns how many there were."""
    (first, *others), found = replicas, {"batch": batch + 1}
    mark(replicas, "pending_erasures", _MARK_EVENTS, {"batch": batch, "found": batch + 1}, batch=batch + 1)
    rows = first.query(_FOUND, parameters=found).result_rows
    for site, day, _ in rows:
        reopen(site, day)
    for month in sorted({day.year * 100 + day.month for _, day, _ in rows}):
        parameters = {"month": month, **found}
        mutate(first, "events", _DELETE, parameters, settings=NOT_LOGGED, others=others, patience=patience)
    for site, day, _ in rows:
        reopen(site, day)
    for client in replicas if rows else ():
        marks.remove(client, batch + 1)
    return sum(count for *_, count in rows)


def _is_gone(client: Client, batch: int, meant: Sequence[Mark]) -> bool:
    """Whether there are no events of whom is marked, and the marks were there to tell."""
    (there, left), *_ = client.query(_LEFT, parameters={"batch": batch}, settings=NOT_LOGGED).result_rows
    return (there, left) == (len(meant), 0)
