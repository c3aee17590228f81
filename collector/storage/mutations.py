"""Mutations: statements that rewrite parts of a table, submitted once and followed until they are done.

A statement that waits for its mutation is given up by the driver after its timeout while the mutation goes on, and
would be submitted again. So none waits: what is unfinished is looked up, and while there is something no more is
submitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

PATIENCE_SECONDS: Final = 20.0
"""How long one call waits. Whoever called it tries again later."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.5
_ASYNCHRONOUS: Final = {"mutations_sync": 0, "alter_sync": 0, "lightweight_deletes_sync": 0}

_UNFINISHED = """
SELECT mutation_id FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done AND NOT is_killed"""


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
    patience: float = PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Run a statement that rewrites parts of `table`, and wait until it has. Raises `MutationUnfinished` when it takes
    longer than `patience` seconds, and before the statement while an earlier one is unfinished."""
    await_mutations(client, table, patience=patience, pause=pause)
    client.command(statement, parameters=dict(parameters), settings={**(settings or {}), **_ASYNCHRONOUS})
    await_mutations(client, table, patience=patience, pause=pause)


def await_mutations(
    client: Client, table: str, *, patience: float = PATIENCE_SECONDS, pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait until what is unfinished now has been done; of what is submitted meanwhile nothing is waited for. Raises
    `MutationUnfinished`."""
    awaited, seconds, deadline = None, _FIRST_PAUSE, time.monotonic() + patience
    while True:
        found = {id_ for (id_,) in client.query(_UNFINISHED, parameters={"table": table}).result_rows}
        awaited = found if awaited is None else awaited & found
        if not awaited:
            return
        if time.monotonic() > deadline:
            raise MutationUnfinished(table)
        pause(seconds)
        seconds = min(seconds * 2, _LONGEST_PAUSE)
