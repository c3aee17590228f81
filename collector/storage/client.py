"""ClickHouse clients, embedded or served; application of the schema; error texts.

One code path serves both. `chdb:///directory` embeds the engine in this process (one directory per process, one
process per directory); `http(s)://user:password@host:port/database` is a server.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

import clickhouse_connect
from clickhouse_connect.driver import options
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import StreamFailureError

from collector.core.environment import isolate_engine
from collector.core.setting_values import embedded_directory
from collector.storage.chdb_workarounds import reconnect_after_error
from collector.storage.cluster import Node, by_shard, nodes_of, require_first
from collector.storage.copied_links import remove_copied_links
from collector.storage.document_lock import CLAIMS, DocumentLock
from collector.storage.migrations import migrate, pending
from collector.storage.schema import Table, local_tables, main_tables, tables
from collector.storage.shards import Shards
from collector.storage.upgrade_copy import kept_until_upgraded, remove_copies

DATABASE = "tyst"
SCRATCH = "scratch_"
"""How names of tables begin that hold rows for the length of one task: no backup and no job on a site has them."""

# Otherwise the driver imports pandas to see whether what is inserted is one of its tables: a quarter of a second, and
# the memory of a small server.
options.pd = options.pd_time_test = None

# What the embedded engine may use. Its own logs are off: an idle installation must not grow, and a log of
# queries is one more place that would have to be searched for what must not be kept. What is merged is synced, in every
# table: after a power failure the engine would put the merged part aside as damaged, although those that it was made of
# are there, and nothing is missing.
_ENGINE_CONFIG = """\
<clickhouse>
    <logger><level>none</level><console>0</console></logger>
    <mark_cache_size>67108864</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <max_server_memory_usage_to_ram_ratio>0.6</max_server_memory_usage_to_ram_ratio>
    <backups><allowed_path>{backups}</allowed_path></backups>
    <merge_tree><min_rows_to_fsync_after_merge>1</min_rows_to_fsync_after_merge></merge_tree>
</clickhouse>
"""


# Statements are many and short: compiling their expressions to machine code, which the engine does when it has seen
# them three times, takes longer than they run, and is done while a reader waits.
_INTERPRETED = dict.fromkeys(("compile_expressions", "compile_aggregate_expressions", "compile_sort_description"), 0)

# Current servers gather inserts before they store them, and older ones then ignore tokens. The driver asks for answers
# that are complete; a server keeps them on its disk meanwhile, and if that is full it says that all went well, and that
# nothing was found. So it keeps them in memory, up to so many bytes.
_SERVED = {"async_insert": 0, "insert_deduplicate": 1, "http_response_buffer_size": 256 << 20}

# Settings that an administrator may have changed in the profile of Tyst's user, and that change results without an
# error: nulls in place of default values, truncated results, cached results.
_NULLS = (
    "join_use_nulls", "group_by_use_nulls", "transform_null_in", "aggregate_functions_null_for_empty",
    "data_type_default_nullable",
)  # fmt: skip
_OVERFLOWS = ("read", "group_by", "sort", "result", "timeout", "set", "join", "distinct", "transfer")
_RESULT_SETTINGS = {
    **dict.fromkeys((*_NULLS, "final", "limit", "offset", "use_query_cache"), 0),
    **{f"{each}_overflow_mode": "throw" for each in _OVERFLOWS},
}

# What is inserted is on its shards when the answer comes, and from two replicas on at most of them. A visitor is on one
# shard, so conditions on visitors are answered there. Figures without those of a shard are no figures. Of replicas the
# first is read, where days are built and events deleted, and another one only while it does not answer.
_OF_CLUSTER = {
    "distributed_foreground_insert": 1,
    "distributed_product_mode": "local",
    "insert_quorum": "auto",
    "insert_quorum_parallel": 1,
    "load_balancing": "in_order",
    "skip_unavailable_shards": 0,
}
NODE = "node"
"""What stands for the cluster where a place is one of its nodes."""


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """Where the database is, and how to open clients to it.

    `dsn` is a `chdb://` or `http(s)://` address; `database` the one that holds Tyst's tables; `backups` the only
    directory that an embedded engine may write backups to; `cluster` the cluster that it is on, if any. Clients may be
    shared by threads.
    """

    dsn: str = field(repr=False)
    database: str = DATABASE
    backups: Path | None = None
    cluster: str = ""

    @classmethod
    def at(cls, dsn: str, *, backups: Path | None = None, cluster: str = "") -> ClickHouse:
        """The database that `dsn` names; a server's DSN may name it in its path."""
        served = not dsn.startswith("chdb://")
        name = unquote(urlsplit(dsn).path.strip("/")) if served else ""
        return cls(dsn=dsn, database=name or DATABASE, backups=backups, cluster=cluster if served else "")

    @property
    def embedded(self) -> bool:
        """Whether the engine runs inside this process."""
        return self.dsn.startswith("chdb://")

    def client(self, *, readonly: bool = False, settings: dict[str, Any] | None = None) -> Client:
        """Open a client whose default database is Tyst's. A read-only one is refused every write by the engine."""
        return self._open(self.database, {**(settings or {}), **({"readonly": 1} if readonly else {})})

    def outside(self) -> Client:
        """Open a client of the engine, whether or not the database is there."""
        return self._open(None, {})

    def create(self) -> Client:
        """Create the database if it is not there; returns a writing client."""
        with contextlib.closing(self.outside()) as client:
            client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": self.database})
        return self.client()

    def shards(self) -> Shards:
        """Clients of the nodes that have events and rollups themselves, of a cluster each with its own database."""
        if not self.cluster:
            return Shards([self.client()])
        clients = [[self.on(node).local().client() for node in replicas] for replicas in by_shard(self.nodes())]
        return Shards([first for first, *_ in clients], [others for _, *others in clients])

    def layout(self) -> list[Layout]:
        """The databases that there are, each with its tables; the one that is read and written is the last. Raises
        `ServerUnsuitable` for a cluster that is not there, or not meant to be used by this server."""
        if not self.cluster:
            return [Layout(self, tables())]
        nodes = self.nodes()
        places = self._local_places(nodes)
        with contextlib.closing(self.outside()) as client, contextlib.closing(places[0].outside()) as first:
            require_first(client, first, nodes[0])
        mains = [Layout(self, main_tables(self.database, self.local_database, self.cluster, nodes[0]))]
        if nodes[0].replicated:
            mains = [
                Layout(self.on(node), main_tables(self.database, self.local_database, self.cluster, node))
                for node in nodes
            ]
            # The one that the DSN names is among them, under the name that the cluster has for it.
            mains.append(Layout(self, []))
        locals_ = (Layout(place, local_tables(self.database, node)) for node, place in zip(nodes, places, strict=True))
        return [*locals_, *mains]

    def prepare(self) -> Client:
        """Create the databases, bring an earlier release's schema to this one's and apply it; returns a writing
        client. May be called at every start. Raises `SchemaTooNew` and as `layout`."""
        for place, made in self.layout():
            with contextlib.closing(place.create()) as client, self._alone(client, made), self._kept(client):
                if place.database == self.database:
                    migrate(client)
                for table in made:
                    client.command(table.statement)
        return self.client()

    def _alone(self, client: Client, made: Iterable[Table]) -> contextlib.AbstractContextManager[None]:
        """What keeps others from upgrading the database of a server at the same time: steps copy tables and put them in
        the place of others. An embedded one is one process's."""
        claims = None if self.embedded else next((each for each in made if each.name == CLAIMS), None)
        if claims is None:
            return contextlib.nullcontext()
        client.command(claims.statement)
        return DocumentLock(client, "schema").renewed()

    def _kept(self, client: Client) -> contextlib.AbstractContextManager[None]:
        """What keeps an embedded database as it was while it is upgraded."""
        if not self.embedded:
            return contextlib.nullcontext()
        directory = self._directory
        if pending(client).steps:
            return kept_until_upgraded(client, directory, plain_reason)
        remove_copies(directory)
        return contextlib.nullcontext()

    def create_everywhere(self, name: str, statement: str) -> None:
        """Create a table besides those of the schema: of replicas one on every node."""
        table = Table(name, statement, "everywhere")
        nodes = self.nodes() if self.cluster else []
        copies = [(self.on(node), table.replicated(self.database, node)) for node in nodes if node.replicated]
        for place, made in copies or [(self, table)]:
            with contextlib.closing(place.client()) as client:
                client.command(made.statement)

    @property
    def local_database(self) -> str:
        """The database that the nodes of a cluster have the rows of sharded tables in."""
        return f"{self.database}_local"

    def nodes(self) -> list[Node]:
        """The nodes of the cluster. Raises `ServerUnsuitable` where the server knows no such cluster."""
        with contextlib.closing(self.outside()) as client:
            return nodes_of(client, self.cluster)

    def on(self, node: Node) -> ClickHouse:
        """The database of this name on a node of the cluster."""
        return replace(self, dsn=self._dsn_at(node.host))

    def local(self) -> ClickHouse:
        """The database beside it that has the rows of sharded tables, on the same node."""
        return replace(self, database=self.local_database, cluster=NODE)

    def _local_places(self, nodes: Iterable[Node]) -> list[ClickHouse]:
        return [self.on(node).local() for node in nodes]

    def _dsn_at(self, host: str) -> str:
        parts = urlsplit(self.dsn)
        who, at, _ = parts.netloc.rpartition("@")
        port = f":{parts.port}" if parts.port else ""
        return parts._replace(netloc=f"{who}{at}{f'[{host}]' if ':' in host else host}{port}").geturl()

    def _open(self, database: str | None, settings: dict[str, Any]) -> Client:
        settings = _INTERPRETED | settings
        if self.embedded:
            isolate_engine()
            from collector.storage.embedded_client import EmbeddedClient

            path, engine = str(self._directory), self._engine_options()
            remove_copied_links(self._directory)
            return reconnect_after_error(
                lambda: EmbeddedClient(path=path, database=database, settings=settings, chdb_options=engine)
            )
        # Without an own session several threads may use one client at a time.
        return clickhouse_connect.get_client(
            dsn=self._server_dsn(),
            # By itself the driver goes by the port alone: a password would leave in plain text.
            interface=urlsplit(self.dsn).scheme,
            database=database or "default",
            settings={**_RESULT_SETTINGS, **_SERVED, **(_OF_CLUSTER if self.cluster else {}), **settings},
            autogenerate_session_id=False,
            connect_timeout=5,
            send_receive_timeout=30,
            query_retries=0,
        )

    @property
    def _directory(self) -> Path:
        """Where an embedded database is."""
        return embedded_directory(self.dsn)

    def _server_dsn(self) -> str:
        """The DSN without its path: before the first start the database it names does not exist."""
        parts = urlsplit(self.dsn)
        return parts._replace(path="").geturl()

    def _engine_options(self) -> dict[str, str]:
        directory = self._directory
        backups = self.backups or directory.parent / "backups"
        directory.parent.mkdir(parents=True, exist_ok=True)
        config = directory.parent / "clickhouse.xml"
        text = _ENGINE_CONFIG.format(backups=escape(str(backups.resolve())))
        if not config.is_file() or config.read_text() != text:
            config.write_text(text)
        return {"config-file": str(config)}


class Layout(NamedTuple):
    """A database, and the tables that it has."""

    place: ClickHouse
    tables: list[Table]


def apply_schema(client: Client) -> None:
    """Run every statement of `schema.sql` on one engine; each may be run again."""
    for table in tables():
        client.command(table.statement)


def plain_reason(error: BaseException) -> str:
    """The first line of an error, at most 300 characters, without any `user:password@` and without the query of
    an address. Of what cannot be read, in an answer or in a row, bytes are shown to us: these are left out."""
    lines = str(error).splitlines() or [type(error).__name__]
    if isinstance(error, StreamFailureError) and not lines[0].startswith(("Code: ", "Stream ")):
        return "the answer broke off"
    # ClickHouse quotes the rest of a row after these words.
    lines[0] = re.sub(r" (before|here): .*?(?=: \(while |\Z)", "", lines[0])
    return re.sub(r"(?<=/)\?[^\s)]*", "", re.sub(r"//[^/\s]*@", "//", lines[0]))[:300]
