"""A scratch database on every node of a cluster, with tables that are made as Tyst's are."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.storage.client import ClickHouse
from collector.storage.cluster import Node
from collector.storage.schema import local_tables, main_tables

TABLES: Final = frozenset({"events", "pending_erasures", "sites"})
"""A sharded table, one in memory, and one that is everywhere."""

_DROP: Final = "DROP DATABASE IF EXISTS {name:Identifier} SYNC"


class ScratchCluster:
    """The scratch database beside the one of `clickhouse`. Every node has the `Distributed` tables, too."""

    def __init__(self, clickhouse: ClickHouse, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self._place = replace(clickhouse, database=f"{clickhouse.database}_scratch_{secrets.token_hex(4)}")
        self._clients: dict[tuple[str, str], Client] = {}

    @property
    def names(self) -> tuple[str, str]:
        """The names of its databases: what is read and written, and what has the rows of sharded tables."""
        return self._place.database, self._place.local_database

    def create(self) -> None:
        """Create the tables on every node."""
        name, local = self.names
        for node in self.nodes:
            place = self._place.on(node)
            for where, tables in (
                (place.local(), local_tables(name, node)),
                (place, main_tables(name, local, place.cluster, node)),
            ):
                client = self._clients[node.host, where.database] = where.create()
                for table in tables:
                    if table.name in TABLES:
                        client.command(table.statement)

    def client(self, node: Node) -> Client:
        """What reads and writes all shards through `node`."""
        return self._clients[node.host, self._place.database]

    def local_client(self, node: Node) -> Client:
        """What reads and writes the rows that `node` has itself."""
        return self._clients[node.host, self._place.local_database]

    def local_rows(self, statement: str, parameters: Mapping[str, Any]) -> dict[Node, Sequence[Sequence[Any]]]:
        """The result rows of every node's own tables."""
        return {
            node: self.local_client(node).query(statement, parameters=dict(parameters)).result_rows
            for node in self.nodes
        }

    def drop(self) -> list[str]:
        """Drop it on every node; returns the hosts of those that did not."""
        for client in self._clients.values():
            with contextlib.suppress(OSError):
                client.close()
        return [node.host for node in self.nodes if not self._is_dropped(node)]

    def _is_dropped(self, node: Node) -> bool:
        try:
            with contextlib.closing(self._place.on(node).outside()) as client:
                for name in self.names:
                    client.command(_DROP, parameters={"name": name})
        except (ClickHouseError, OSError):
            return False
        return True
