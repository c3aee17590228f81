"""What is in the files of a database, and clean-up of its tables that does not take minutes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from clickhouse_connect.driver.client import Client


def bytes_below(*directories: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below the directories. These come and go meanwhile, which `os.walk` passes over."""
    for directory in directories:
        for place, _, names in os.walk(directory):
            for path in (Path(place, name) for name in names):
                with contextlib.suppress(OSError):
                    yield path, path.read_bytes()


def clean_up_at_once(client: Client, table: str) -> None:
    """Delete parts that were merged within a second: the table's clean-up takes its pace when it is attached."""
    client.command(
        f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1, "
        "max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
    )
    client.command(f"DETACH TABLE {table} SYNC")
    client.command(f"ATTACH TABLE {table}")
