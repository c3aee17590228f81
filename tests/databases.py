"""Databases that go from test to test: making all tables anew costs more than most tests do.

What a test has done to a database is undone by making each table that it touched anew, so the next one finds it as
fresh as if it had been made for it: without rows, parts, mutations or tokens of earlier inserts. On a cluster that is
done in the database of each node, too.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.storage.client import ClickHouse, Layout

_TABLES = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
_VERSIONS = "SELECT version, what, applied FROM schema_versions ORDER BY ALL"
# Parts that were replaced or set aside are traces too.
_TOUCHED = """
SELECT table FROM system.parts WHERE database = currentDatabase()
UNION DISTINCT SELECT table FROM system.detached_parts WHERE database = currentDatabase()
UNION DISTINCT SELECT table FROM system.mutations WHERE database = currentDatabase()
UNION DISTINCT
SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'Memory' AND total_rows > 0
"""


class _Prepared:
    """One database with its tables, and how it was then."""

    def __init__(self, layout: Layout) -> None:
        self.place = layout.place
        self._statements = [(table.name, table.statement) for table in layout.tables]
        self._client = layout.place.client()
        self._tables = self._tables_now()
        self._versions = self._versions_now()

    def renew(self) -> bool:
        """Make what was touched anew; False when this database can serve no more."""
        try:
            found = self._tables_now()
            touched = {row[0] for row in self._client.query(_TOUCHED).result_rows} - {"schema_versions"}
            stale = {name for name in found if name in touched or found[name] != self._tables.get(name)}
            for name in sorted(stale):
                self._client.command("DROP TABLE {name:Identifier} SYNC", parameters={"name": name})
            missing = self._tables.keys() - (found.keys() - stale)
            for name, statement in self._statements:
                if name in missing:
                    self._client.command(statement)
            return self._versions_now() == self._versions and (not missing or self._tables_now() == self._tables)
        except ClickHouseError:
            return False

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _tables_now(self) -> dict[str, str]:
        return {str(name): str(made) for name, made in self._client.query(_TABLES).result_rows}

    def _versions_now(self) -> object:
        # A node of a cluster has none of its own.
        return "schema_versions" in self._tables and self._client.query(_VERSIONS).result_rows


class Prepared:
    """A database with the schema applied, with those of the nodes where it is on a cluster."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.clickhouse = clickhouse
        clickhouse.prepare().close()
        self._parts = [_Prepared(layout) for layout in clickhouse.layout()]

    def renew(self) -> bool:
        """Make what was touched anew; False when this database can serve no more."""
        renewed = [part.renew() for part in self._parts]
        return all(renewed)

    def drop(self) -> None:
        """Nothing of it is left."""
        for part in self._parts:
            part.close()
            drop(part.place)


class Databases:
    """The databases of one engine or cluster. A test has one for itself for as long as it runs."""

    def __init__(self, dsn: str, cluster: str = "") -> None:
        self.dsn = dsn
        self.cluster = cluster
        self._idle: list[Prepared] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[ClickHouse]:
        """A database that is as fresh as a new one."""
        prepared = self._idle.pop() if self._idle else Prepared(unprepared(self.dsn, self.cluster))
        try:
            yield prepared.clickhouse
        finally:
            if prepared.renew():
                self._idle.append(prepared)
            else:
                prepared.drop()

    def close(self) -> None:
        """Drop them all."""
        for prepared in self._idle:
            prepared.drop()


def unprepared(dsn: str, cluster: str = "") -> ClickHouse:
    """Where no database is yet."""
    return ClickHouse(dsn=dsn, database=f"test_{secrets.token_hex(6)}", cluster=cluster)


def drop(clickhouse: ClickHouse) -> None:
    """Drop a database, if it is there."""
    with contextlib.closing(clickhouse.outside()) as client:
        client.command("DROP DATABASE IF EXISTS {name:Identifier} SYNC", parameters={"name": clickhouse.database})
