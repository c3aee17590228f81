"""Mutations: statements that rewrite parts of a table, submitted once and followed until they are done.

A statement that waits for its mutation is given up by the driver after its timeout while the mutation goes on, and
would be submitted again. So none waits: what is unfinished is looked up, and while there is something no more is
submitted. A mutation of a replicated table is submitted at one replica, and is over when it is over on all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

PATIENCE_SECONDS: Final = 20.0
"""How long one call waits. Whoever called it tries again later."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.5
_ASYNCHRONOUS: Final = {"mutations_sync": 0, "alter_sync": 0, "lightweight_deletes_sync": 0}
# Conditions compare with marks (collector/storage/shards.py), which every replica has. One that has lost its own
# deletes less, and the others may take over what it made of a part: whoever deletes by marks looks whether it is gone.
_BY_MARKS: Final = {"allow_nondeterministic_mutations": 1}

_UNFINISHED = """
SELECT mutation_id FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done AND NOT is_killed"""
# Mutations of a replicated table have the same numbers, of ten digits, on all replicas.
_NEWEST = "SELECT max(mutation_id) FROM system.mutations WHERE database = currentDatabase() AND table = {table:String}"
_UP_TO = """
SELECT max(mutation_id) >= {newest:String}
       AND NOT countIf(mutation_id <= {newest:String} AND NOT is_done AND NOT is_killed)
FROM system.mutations WHERE database = currentDatabase() AND table = {table:String}"""


class MutationUnfinished(OperationalError):
    """ClickHouse is still rewriting parts of `table`; it goes on by itself."""

    def __init__(self, table: str) -> None:
        super().__init__(f"ClickHouse has not finished rewriting parts of {table}; it goes on by itself")


def mutate(
    client: Client,
    table: str,
    statement: str,
    parameters: Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    others: Sequence[Client] = (),
    patience: float = PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Run a statement that rewrites parts of `table`, and wait until it has, also on the `others` that are replicas of
    it. Raises `MutationUnfinished` when it takes longer than `patience` seconds, and before the statement while an
    earlier one is unfinished."""
    await_mutations(client, table, others=others, patience=patience, pause=pause)
    submitted = {**(settings or {}), **_ASYNCHRONOUS, **_BY_MARKS}
    client.command(statement, parameters=dict(parameters), settings=submitted)
    await_mutations(client, table, others=others, patience=patience, pause=pause)


def await_mutations(
    client: Client,
    table: str,
    *,
    others: Sequence[Client] = (),
    patience: float = PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until what is unfinished now has been done; of what is submitted meanwhile nothing is waited for. Raises
    `MutationUnfinished`."""
    wait = _Wait(table, patience, pause)
    awaited = _unfinished(client, table)
    while awaited:
        wait.once()
        awaited &= _unfinished(client, table)
    if others:
        newest = str(client.query(_NEWEST, parameters={"table": table}).result_rows[0][0])
        for other in others:
            while not other.query(_UP_TO, parameters={"table": table, "newest": newest}).result_rows[0][0]:
                wait.once()


def _unfinished(client: Client, table: str) -> set[str]:
    return {id_ for (id_,) in client.query(_UNFINISHED, parameters={"table": table}).result_rows}


class _Wait:
    """Pauses that grow, until the patience is over."""

    def __init__(self, table: str, patience: float, pause: Callable[[float], None]) -> None:
        self._table, self._pause, self._seconds = table, pause, _FIRST_PAUSE
        self._deadline = time.monotonic() + patience

    def once(self) -> None:
        """Raises `MutationUnfinished` when it was long enough."""
        if time.monotonic() > self._deadline:
            raise MutationUnfinished(self._table)
        self._pause(self._seconds)
        self._seconds = min(self._seconds * 2, _LONGEST_PAUSE)
