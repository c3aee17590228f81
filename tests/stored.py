"""What stands in a data directory's ClickHouse after its server has ended, read back uncompressed.

The engine takes one directory per process, so reading is a process of its own: `python -m tests.stored DIRECTORY`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from collector.storage.client import DATABASE, ClickHouse

Rows = list[dict[str, Any]]

_TABLES = """
SELECT database, name FROM system.tables
WHERE database NOT IN ('INFORMATION_SCHEMA', 'information_schema')
AND (database != 'system' OR engine LIKE '%MergeTree') ORDER BY database, name"""


class Table(msgspec.Struct, frozen=True):
    """One table: its rows, and the bytes of every column as the engine holds them."""

    database: str
    name: str
    rows: Rows
    packed: bytes


def read_tables(data_dir: Path) -> list[Table]:
    """Every table that the server's engine keeps there, its own logs included if it keeps any."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.stored", str(data_dir)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr.decode()[-4_000:]
    return msgspec.json.decode(answer.stdout, type=list[Table])


def read_events(data_dir: Path) -> Rows:
    """The rows of `events` in order of arrival as far as it can be told: by second, then visit."""
    (events,) = [table for table in read_tables(data_dir) if (table.database, table.name) == (DATABASE, "events")]
    return sorted(events.rows, key=lambda row: (row["ts"], row["visit"]))


def _read(data_dir: Path) -> list[Table]:
    client = ClickHouse.at(f"chdb://{data_dir.resolve() / 'clickhouse'}", backups=data_dir / "backups").client()
    options = {"output_format_json_escape_forward_slashes": 0, "output_format_json_quote_64bit_integers": 0}
    tables = []
    for database, name in client.query(_TABLES).result_rows:
        where = {"database": database, "name": name}
        text, packed = (
            client.raw_query(
                "SELECT * FROM {database:Identifier}.{name:Identifier}", parameters=where, settings=options, fmt=form
            )
            for form in ("JSONEachRow", "RowBinary")
        )
        tables.append(Table(database, name, [msgspec.json.decode(line) for line in text.splitlines()], packed))
    client.close()
    return tables


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_read(Path(sys.argv[1]))))
