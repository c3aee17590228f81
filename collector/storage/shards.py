"""The shards: every node that has events and rollups itself, by a client whose default database has those tables.

What rewrites parts cannot be sent to a `Distributed` table, and a day is built where its events are: such statements go
to each node. One that does not answer is an error; nothing is ever skipped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client

from collector.storage.mutations import MutationUnfinished, mutate


class Shards:
    """The nodes' clients: the only client there is, unless there is a cluster."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = tuple(clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients)

    def command(
        self, statement: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Run a statement on each node."""
        for client in self._clients:
            client.command(statement, parameters=dict(parameters or {}), settings=dict(settings or {}))

    def rows(self, statement: str, parameters: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The result rows of all nodes."""
        results = (client.query(statement, parameters=dict(parameters)).result_rows for client in self._clients)
        return [row for rows in results for row in rows]

    def mutate(
        self,
        table: str,
        statement: str,
        parameters: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Run a statement that rewrites parts on each node, also while another node is not ready with it. Raises
        `MutationUnfinished`."""
        unfinished: MutationUnfinished | None = None
        for client in self._clients:
            try:
                mutate(client, table, statement, parameters, settings=settings)
            except MutationUnfinished as error:
                unfinished = error
        if unfinished is not None:
            raise unfinished

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.close()
