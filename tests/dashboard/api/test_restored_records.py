"""Records of a restored backup: one that cannot be used keeps all of it from being restored."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import BackupError
from collector.storage.backup import NEVER
from dashboard.api.restored_records import RECORDS, keep_checked

SITE = '{"domain":"site.test","id":"1"}'


def test_every_table_of_records_is_checked(database: Client) -> None:
    """But those that no backup has."""
    rows = database.query(
        "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'record'"
    ).result_rows
    assert {table for (table,) in rows} - NEVER == RECORDS.keys()


@pytest.mark.parametrize(
    ("table", "record", "version"),
    [
        ("sites", "{", 1),
        ("users", '{"name": 7}', 1),
        ("shares", "", 1),
        ("sites", SITE, 2**64 - 1),
    ],
)
def test_a_record_that_cannot_be_used_is_refused(database: Client, table: str, record: str, version: int) -> None:
    """The server would not start again with one that it cannot read, and could not change one of the last version."""
    columns = ["id", "record", "version", "deleted"]
    database.insert("sites", [["1", SITE, 1, 0]], column_names=columns)
    assert keep_checked("backup", [], database, database) == []
    database.insert(table, [["2", record, version, 0]], column_names=columns)
    with pytest.raises(BackupError, match=f"table {table} cannot be used; nothing was restored"):
        keep_checked("backup", [], database, database)
