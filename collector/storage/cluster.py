"""The nodes of a cluster, as the server's own configuration names them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from collector.core.errors import ServerUnsuitable

_NODES = """
SELECT shard_num, replica_num, host_name FROM system.clusters WHERE cluster = {cluster:String}
ORDER BY shard_num, replica_num"""
# The port as well: where several servers run on one machine they may have been copied, id and all.
_WHO = "SELECT toString(serverUUID()), tcpPort()"


class Node(NamedTuple):
    """A server of a cluster: the numbers of its shard and replica, from 1. `replicated` says whether the cluster has
    more than one replica of some shard."""

    shard: int
    replica: int
    host: str
    replicated: bool


def nodes_of(client: Client, cluster: str) -> list[Node]:
    """All nodes, shard by shard. Raises `ServerUnsuitable` where the server knows no such cluster."""
    rows = client.query(_NODES, parameters={"cluster": cluster}).result_rows
    if not rows:
        raise ServerUnsuitable(f"The server has no cluster {cluster}: see TYST_CLICKHOUSE_CLUSTER and remote_servers.")
    replicated = any(replica > 1 for _, replica, _ in rows)
    return [Node(shard, replica, host, replicated) for shard, replica, host in rows]


def by_shard(nodes: Iterable[Node]) -> list[list[Node]]:
    """The replicas of every shard. What is built, rewritten or counted on the first is so on the others."""
    found: dict[int, list[Node]] = {}
    for node in nodes:
        found.setdefault(node.shard, []).append(node)
    return list(found.values())


def require_first(client: Client, first: Client, node: Node) -> None:
    """Raise `ServerUnsuitable` for a client of another node than the first, where collectors lock records and read what
    they have just written; without replicas it alone has sites and users."""
    if client.query(_WHO).result_rows != first.query(_WHO).result_rows:
        raise ServerUnsuitable(
            f"TYST_CLICKHOUSE_DSN has to name {node.host}, the first node of the cluster: it has what is not sharded."
        )
