"""Databases that go from test to test: making all tables anew costs more than most tests do.

What a test has done to a database is undone by making each table that it touched anew, so the next one finds it as
fresh as if it had been made for it: without rows, parts, mutations or tokens of earlier inserts.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.resources import resource_path
from collector.storage.client import ClickHouse
from collector.storage.statements import split_statements

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


class Prepared:
    """One database with the schema applied, and how it was then."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.clickhouse = clickhouse
        self._client = clickhouse.prepare()
        self._tables = self._tables_now()
        self._versions = self._client.query(_VERSIONS).result_rows

    def renew(self) -> bool:
        """Make what was touched anew; False when this database can serve no more."""
        try:
            found = self._tables_now()
            touched = {row[0] for row in self._client.query(_TOUCHED).result_rows} - {"schema_versions"}
            stale = {name for name in found if name in touched or found[name] != self._tables.get(name)}
            for name in sorted(stale):
                self._client.command("DROP TABLE {name:Identifier} SYNC", parameters={"name": name})
            missing = self._tables.keys() - (found.keys() - stale)
            for name, statement in _statements():
                if name in missing:
                    self._client.command(statement)
            return self._remembers() and (not missing or self._tables_now() == self._tables)
        except ClickHouseError:
            return False

    def drop(self) -> None:
        """Nothing of it is left."""
        self._client.close()
        drop(self.clickhouse)

    def _tables_now(self) -> dict[str, str]:
        return {str(name): str(made) for name, made in self._client.query(_TABLES).result_rows}

    def _remembers(self) -> bool:
        return bool(self._client.query(_VERSIONS).result_rows == self._versions)


class Databases:
    """The databases of one engine. A test has one for itself for as long as it runs."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._idle: list[Prepared] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[ClickHouse]:
        """A database that is as fresh as a new one."""
        prepared = self._idle.pop() if self._idle else Prepared(unprepared(self.dsn))
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


def unprepared(dsn: str) -> ClickHouse:
    """Where no database is yet."""
    return ClickHouse(dsn=dsn, database=f"test_{secrets.token_hex(6)}")


def drop(clickhouse: ClickHouse) -> None:
    """Drop a database, if it is there."""
    with contextlib.closing(ClickHouse(clickhouse.dsn, "default").client()) as client:
        client.command("DROP DATABASE IF EXISTS {name:Identifier} SYNC", parameters={"name": clickhouse.database})


def _statements() -> Iterator[tuple[str, str]]:
    """The name of each table, and how `schema.sql` makes it."""
    for statement in split_statements(resource_path("schema.sql").read_text()):
        found = re.match(r"\s*CREATE TABLE IF NOT EXISTS (\w+)", statement)
        if found is None:
            raise AssertionError(f"not a table: {statement}")
        yield found[1], statement
