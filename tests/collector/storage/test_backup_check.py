"""Backups from strangers: what is in them does nothing but be refused."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import BackupError
from collector.sites.restoration import keep_protection
from collector.storage.backup import restore
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.users import User

STRANGE = {
    "a view that is filled by what is restored": (
        "CREATE TABLE sink (id String, record String) ENGINE = File('TSV', '{file}')",
        "CREATE MATERIALIZED VIEW leak TO sink AS SELECT id, record FROM users",
    ),
    "a table that writes to a file": (
        "DROP TABLE shares SYNC",
        "CREATE TABLE shares AS users ENGINE = File('TSV', '{file}')",
    ),
    "a table that writes to another server": (
        "DROP TABLE shares SYNC",
        "CREATE TABLE shares AS users ENGINE = URL('http://127.0.0.1:9/', 'TSV')",
    ),
    "a column that is computed": ("ALTER TABLE users ADD COLUMN host String DEFAULT file('/etc/hostname')",),
    "a check that reads a file": ("ALTER TABLE sites ADD CONSTRAINT host CHECK file('/etc/hostname') != record",),
    "rows that go by themselves": ("ALTER TABLE events MODIFY TTL day + INTERVAL 1 DAY",),
}


@pytest.mark.parametrize("statements", STRANGE.values(), ids=STRANGE)
def test_a_stranger_s_backup_does_nothing(
    database: Client, clickhouse: ClickHouse, tmp_path: Path, statements: tuple[str, ...]
) -> None:
    """What is no table of Tyst's schema is refused: nothing has changed then, no account has left the database, and
    nothing is left of it."""
    DocumentTable(database, "users", User).create("ada", User(name="ada", password="a hash", role="admin"))
    backups, file = ClickHouse(clickhouse.dsn, clickhouse.database), tmp_path / "written"
    name = f"{backups.database}_strange_{secrets.token_hex(4)}"
    strange = ClickHouse(backups.dsn, name)
    with contextlib.closing(strange.prepare()) as client:
        DocumentTable(client, "users", User).create("ada", User(name="ada", password="another", role="admin"))
        for statement in statements:
            client.command(statement.format(file=file))
        client.query(f"BACKUP DATABASE {strange.database} AS {backups.database} TO File('{name}')")
        client.command(f"DROP DATABASE {strange.database} SYNC")
    with pytest.raises(BackupError, match="nothing was restored"):
        restore(backups, name, keep_protection)
    assert DocumentTable(database, "users", User).all()["ada"].password == "a hash"
    assert not file.exists()
    left = database.query("SELECT name FROM system.databases WHERE name LIKE '%\\_restored\\_%'").result_rows
    assert left == []
