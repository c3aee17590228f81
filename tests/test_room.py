"""A full disk of ClickHouse's: what it breaks is found, and put right by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.clickhouse import ClickHouse, ClickHouseInserter
from collector.exceptions import InsertRetryable
from collector.room import Room
from tests.test_clickhouse import an_event


@pytest.fixture
def parts(database: Client) -> Path:
    """The directory of the parts of `events`, which has two of them."""
    inserter = ClickHouseInserter(database)
    for token in ("a", "b"):
        inserter.insert([an_event(page=f"/{token}")], token)
    query = "SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
    return Path(database.query(query).result_rows[0][0])


def empty_the_files(part: Path) -> None:
    """What a full disk leaves of a part that was being written."""
    for file in part.glob("data.*"):
        file.write_bytes(b"")


def pages(client: Client) -> list[str]:
    """The pages that are stored."""
    return [page for (page,) in client.query("SELECT page FROM events ORDER BY page").result_rows]


class Disk(Room):
    """A disk that is as full as the test says."""

    def __init__(self, client: Client, directory: Path) -> None:
        super().__init__(client, directory / "full")
        self.free: Iterator[int] = iter(())

    def _free(self) -> tuple[int, int]:
        return next(self.free), 100


def test_a_broken_merge_is_replaced_by_what_it_was_made_of(database: Client, parts: Path, tmp_path: Path) -> None:
    """While there is little room merges rest; with room again the table is loaded anew, whole."""
    database.command("OPTIMIZE TABLE events FINAL")
    merged = next(part for part in parts.iterdir() if part.name.endswith("_1_2_1"))
    room = Disk(database, tmp_path)
    room.free = iter([0, 1_000, 1_000])
    room.look()
    assert room.problem
    empty_the_files(merged)
    # The process may have been killed meanwhile.
    room = Disk(database, tmp_path)
    room.free = iter([1_000, 1_000])
    room.mend_before_start()
    assert pages(database) == ["/a", "/b"]
    room.look()
    assert pages(database) == ["/a", "/b"]
    room.look()
    assert room.problem is None


def test_a_broken_insert_is_dropped_and_sent_again(database: Client, parts: Path, tmp_path: Path) -> None:
    """Its token is forgotten with it, and no other insert's."""
    room = Disk(database, tmp_path)
    room.free = iter([1_000, 0])
    empty_the_files(parts / "202603_2_2_0")
    database.command("SYSTEM DROP MARK CACHE")
    with pytest.raises(InsertRetryable):
        ClickHouseInserter(database, room).insert([an_event(page="/c")], "c")
    inserter = ClickHouseInserter(database)
    for token in ("a", "b", "c"):
        inserter.insert([an_event(page=f"/{token}")], token)
    assert pages(database) == ["/a", "/b", "/c"]


def test_a_broken_insert_whose_token_is_remembered_is_found(database: Client, parts: Path, tmp_path: Path) -> None:
    """The full disk was there for a moment, and the insert said that it failed: sent again, it is a repetition to
    ClickHouse, and nothing would be stored."""
    room = Disk(database, tmp_path)
    room.free = iter([1_000] * 4)
    room.doubt(ClickHouseError("Code: 75. Cannot write to file: No space left on device"))
    empty_the_files(parts / "202603_2_2_0")
    database.command("SYSTEM DROP MARK CACHE")
    inserter = ClickHouseInserter(database, room)
    with pytest.raises(InsertRetryable, match="disk was full"):
        inserter.insert([an_event(page="/b")], "b")
    inserter.insert([an_event(page="/b")], "b")
    assert pages(database) == ["/a", "/b"]


def test_nothing_is_dropped_while_an_insert_is_under_way(database: Client, parts: Path, tmp_path: Path) -> None:
    """It is for the insert to find that its part is broken: it would look for it, find none, and be believed."""
    room = Disk(database, tmp_path)
    room.free = iter([0, 1_000, 1_000])
    room.look()
    empty_the_files(parts / "202603_2_2_0")
    database.command("SYSTEM DROP MARK CACHE")
    with room.inserting():
        room.look()
        assert room.broken_inserts()
    room.look()
    assert not room.broken_inserts()


def test_inserts_wait_while_there_is_little_room(database: Client, parts: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    room = Disk(database, tmp_path)
    room.free = iter([0])
    with pytest.raises(InsertRetryable, match="little room"):
        ClickHouseInserter(database, room).insert([an_event(page="/c")], "c")
    assert pages(database) == ["/a", "/b"]
    assert parts.is_dir()


def test_an_ordinary_disk_has_room(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> None:
    """The engine's own figures are read."""
    room = Room(database, tmp_path / "full")
    thread = threading.Thread(target=room.look)
    thread.start()
    thread.join()
    assert room.enough()
    assert room.problem is None
    assert clickhouse.database
