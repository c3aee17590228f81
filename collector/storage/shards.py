"""The shards: every node that has events and rollups itself, by a client whose default database has those tables.

What rewrites parts cannot be sent to a `Distributed` table, and a day is built where its events are: such statements go
to the first replica of each shard, and the others have it from there. One that does not answer is an error; nothing is
ever skipped.

*Marks* are rows of tables in memory that conditions compare with: so neither Keeper, nor the list of mutations nor a
log has what is deleted. Such a table is each node's own, and every replica needs the marks for itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from collector.storage.mutations import MutationUnfinished, mutate

NOT_LOGGED: Final = {"log_queries": 0}
"""For statements about visitors: the server's list of queries does not have them either."""

_MARKS = "SELECT * FROM {table:Identifier} WHERE batch = {batch:UInt64}"


class Shards:
    """The nodes' clients: the only client there is, unless there is a cluster. `others` are those of each shard's other
    replicas."""

    def __init__(self, clients: Sequence[Client], others: Sequence[Sequence[Client]] = ()) -> None:
        self._clients = tuple(clients)
        self.replicas = tuple(
            (client, *rest) for client, rest in zip(clients, others or [()] * len(clients), strict=True)
        )
        """The clients of each shard's replicas; what is said of the shards alone goes to the first of them."""

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients)

    def command(
        self, statement: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Run a statement on each shard."""
        for client in self._clients:
            client.command(statement, parameters=dict(parameters or {}), settings=dict(settings or {}))

    def rows(self, statement: str, parameters: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The result rows of all shards."""
        results = (client.query(statement, parameters=dict(parameters)).result_rows for client in self._clients)
        return [row for rows in results for row in rows]

    def mutate(
        self,
        table: str,
        statement: str,
        parameters: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Run a statement that rewrites parts on each shard, also while another one is not ready with it. Raises
        `MutationUnfinished`."""
        unfinished: MutationUnfinished | None = None
        for first, *others in self.replicas:
            try:
                mutate(first, table, statement, parameters, settings=settings, others=others)
            except MutationUnfinished as error:
                unfinished = error
        if unfinished is not None:
            raise unfinished

    def mark(self, table: str, statement: str, parameters: Mapping[str, Any]) -> None:
        """Run a statement that inserts marks of the batch `batch` into `table` on each shard, for all of its
        replicas."""
        for replicas in self.replicas:
            mark(replicas, table, statement, parameters, batch=parameters["batch"])

    def on_replicas(self, statement: str, parameters: Mapping[str, Any]) -> None:
        """Run a statement on every replica of each shard, and wait until it is done where it is a mutation."""
        for client in chain.from_iterable(self.replicas):
            client.command(statement, parameters=dict(parameters), settings={**NOT_LOGGED, "mutations_sync": 1})

    def any_has(self, statement: str, parameters: Mapping[str, Any]) -> bool:
        """Whether a statement that counts finds something on any replica of any shard."""
        found = (
            client.query(statement, parameters=dict(parameters), settings=NOT_LOGGED).result_rows[0][0]
            for client in chain.from_iterable(self.replicas)
        )
        return any(found)

    def close(self) -> None:
        """Close the clients."""
        for client in chain.from_iterable(self.replicas):
            with contextlib.suppress(OSError):
                client.close()


def mark(replicas: Sequence[Client], table: str, statement: str, parameters: Mapping[str, Any], *, batch: int) -> None:
    """Run a statement that inserts marks of a batch on the first replica of a shard, and insert them at the others."""
    first, *others = replicas
    first.command(statement, parameters=dict(parameters), settings=NOT_LOGGED)
    if others:
        marks = first.query(_MARKS, parameters={"table": table, "batch": batch}, settings=NOT_LOGGED)
        for other in others if marks.result_rows else ():
            other.insert(table, marks.result_rows, column_names=marks.column_names, settings=NOT_LOGGED)
