"""Damaged data parts: said for as long as they are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.damage import DamageWatch
from collector.storage.disk_guard import DiskSpaceGuard
from collector.storage.shards import Shards
from tests.collector.storage.test_disk_guard import pages, parts
from tests.served import until

__all__ = ["parts"]


@pytest.fixture
def watch(database: Client, tmp_path: Path) -> Iterator[DamageWatch]:
    """A watch; afterwards the engine is at nothing of this database any more."""
    yield DamageWatch(Shards([database]), DiskSpaceGuard(database, tmp_path / "full"), lasting=0)
    database.command("TRUNCATE TABLE events SYNC")


def flip(part: Path) -> None:
    """Turn bits over, as a failing disk does: a file is as long as it was."""
    for file in part.glob("data.bin"):
        file.write_bytes(bytes(each ^ 0xFF for each in file.read_bytes()))


def said(watch: DamageWatch) -> str:
    """What it finds now."""
    watch.check()
    return " ".join(watch.problems)


def test_a_part_that_was_put_aside_is_said_until_somebody_removes_it(
    database: Client, parts: Path, watch: DamageWatch
) -> None:
    """ClickHouse starts without it, and its rows are missing without a word of its own."""
    (parts / "202603_2_2_0" / "data.bin").write_bytes(b"")
    database.command("DETACH TABLE events SYNC")
    assert said(watch) == ""
    database.command("ATTACH TABLE events")
    assert pages(database) == ["/a"]
    problem = said(watch)
    aside = parts / "detached" / "broken-on-start_202603_2_2_0"
    assert "1 damaged parts of the table events" in problem
    assert str(aside) in problem
    shutil.rmtree(aside)
    assert said(watch) == ""


def test_a_part_that_stops_deletions_is_said(database: Client, parts: Path, watch: DamageWatch) -> None:
    """Those of visitors wait as well."""
    flip(parts / "202603_2_2_0")
    database.command("SYSTEM DROP MARK CACHE")
    database.command("ALTER TABLE events DELETE WHERE page = '/a'", settings={"mutations_sync": 0})
    assert "erasures and deletions wait" in until("a word of it", lambda: said(watch), 60)
