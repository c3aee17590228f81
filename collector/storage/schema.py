"""The tables of `schema.sql`, and the statements that create them on one engine and on the nodes of a cluster.

Each CREATE says by a word in a comment where its rows are in a cluster:

    sharded by KEY    on the shards, each row on one, behind a `Distributed` table of the same name
    everywhere        replicated on every node; without replicas on the first node alone
    node              in memory, on each node its own
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from collector.core.resources import resource_path
from collector.storage.cluster import Node
from collector.storage.statements import split_statements

_CREATE: Final = re.compile(
    r"CREATE TABLE IF NOT EXISTS (?P<name>\w+) -- (?P<placement>sharded by|everywhere|node)(?: (?P<key>.+))?\n"
)
_ENGINE: Final = re.compile(r"ENGINE = (?P<kind>\w*MergeTree)(?:\((?P<arguments>[^)]*)\))?")
_WINDOW: Final = re.compile(r"non_replicated_deduplication_window = \d+")

_DEDUPLICATION: Final = "replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800"
"""A token is remembered for a week, and for as many blocks as thirty collectors insert in an hour."""


class Table(NamedTuple):
    """A table of the schema: its name, the statement that creates it, and where its rows are in a cluster."""

    name: str
    statement: str
    placement: str
    key: str = ""
    """By which rows of a sharded table are distributed."""

    def replicated(self, database: str, node: Node) -> Table:
        """The table as one of the replicas of `node`'s shard, or, if it is everywhere, as one of all nodes."""
        if not node.replicated:
            return self
        shard = "all" if self.placement == "everywhere" else f"{node.shard:02}"
        path = f"/tyst/{database}/{self.name}/{shard}"

        def engine(found: re.Match[str]) -> str:
            arguments = [f"'{path}'", f"'{node.host}'", *filter(None, [found["arguments"]])]
            return f"ENGINE = Replicated{found['kind']}({', '.join(arguments)})"

        statement = _WINDOW.sub(_DEDUPLICATION, _ENGINE.sub(engine, self.statement))
        return self._replace(statement=statement)

    def distributed(self, cluster: str, local: str) -> Table:
        """The table that reads and writes the tables of this name in the databases `local` of the shards."""
        return self._replace(
            statement=f"CREATE TABLE IF NOT EXISTS {self.name} AS {quoted(local)}.{self.name}\n"
            f"ENGINE = Distributed({literal(cluster)}, {literal(local)}, {self.name}, {self.key})"
        )


def tables() -> list[Table]:
    """The tables of the schema, in its order."""
    found = []
    for statement in split_statements(resource_path("schema.sql").read_text()):
        create = _CREATE.match(statement)
        if create is None:
            raise ValueError(f"a statement of schema.sql does not say where its rows are: {statement[:60]}")
        placement = create["placement"].partition(" ")[0]
        found.append(Table(create["name"], statement, placement, create["key"] or ""))
    return found


def local_tables(database: str, node: Node) -> list[Table]:
    """What a node of a cluster has in its own database."""
    here = (table for table in tables() if table.placement != "everywhere")
    return [table.replicated(database, node) if table.placement == "sharded" else table for table in here]


def main_tables(database: str, local: str, cluster: str, node: Node) -> list[Table]:
    """What the database has that is read and written; its sharded tables have their rows in the databases `local`."""
    return [
        table.distributed(cluster, local)
        if table.placement == "sharded"
        else table.replicated(database, node)
        if table.placement == "everywhere"
        else table
        for table in tables()
    ]


def quoted(name: str) -> str:
    """A name of a database as it is written in statements."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """A text as it is written in statements that take no parameter."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
