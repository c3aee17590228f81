"""A full disk of ClickHouse's: what it breaks is found, and put right by itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import InsertRetryable
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from collector.storage.disk_guard import DiskSpaceGuard
from tests.collector.storage.test_client import an_event


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


class Disk(DiskSpaceGuard):
    """A disk that is as full as the test says."""

    def __init__(self, client: Client, directory: Path, free: int = 1_000) -> None:
        super().__init__(client, directory / "full")
        self.free = free

    def look_at(self, free: int) -> None:
        """Look when so much is free."""
        self.free = free
        self.check()

    def _free(self) -> tuple[int, int]:
        return self.free, 100


def break_insert(client: Client, parts: Path) -> None:
    """Leave of the insert of `/b` what a full disk leaves of one."""
    empty_the_files(parts / "202603_2_2_0")
    client.command("SYSTEM DROP MARK CACHE")


def break_merge(client: Client, parts: Path) -> None:
    """Merge both inserts, and leave of it what a full disk leaves."""
    client.command("OPTIMIZE TABLE events FINAL")
    empty_the_files(next(part for part in parts.iterdir() if part.name.endswith("_1_2_1")))
    client.command("SYSTEM DROP MARK CACHE")


def test_a_broken_merge_is_replaced_by_what_it_was_made_of(database: Client, parts: Path, tmp_path: Path) -> None:
    """The disk may stay full for longer than that is kept. With room, merges go on, and nothing is left of it."""
    break_merge(database, parts)
    room = Disk(database, tmp_path)
    room.look_at(0)
    assert pages(database) == ["/a", "/b"]
    for free in (0, 150):
        room.look_at(free)
        assert room.problem
    assert [part.name for part in (parts / "detached").iterdir()] == ["broken-on-start_202603_1_2_1"]
    room.look_at(1_000)
    assert room.problem is None
    assert not list((parts / "detached").iterdir())


def test_a_broken_merge_is_replaced_after_a_restart(database: Client, parts: Path, tmp_path: Path) -> None:
    """The process was killed after the first doubt."""
    Disk(database, tmp_path).report_low_space()
    break_merge(database, parts)
    room = Disk(database, tmp_path)
    room.repair_before_start()
    assert pages(database) == ["/a", "/b"]
    room.check()
    assert room.problem is None


def test_a_table_that_was_about_to_be_loaded_anew_is_loaded(database: Client, parts: Path, tmp_path: Path) -> None:
    """The process, or its connection, ended between the two statements."""
    room = Disk(database, tmp_path)
    mends: list[Callable[[], None]] = [lambda: room.look_at(0), room.repair_before_start]
    for mend in mends:
        database.command("DETACH TABLE events SYNC")
        mend()
        assert pages(database) == ["/a", "/b"]
    assert parts.is_dir()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("seen", ["little room", "its error", "nothing"])
def test_a_broken_insert_is_sent_again(
    database: Client, parts: Path, tmp_path: Path, seen: str, *, restarted: bool
) -> None:
    """The full disk was seen as little room or as an insert's error, or by nobody, as its process ended; ClickHouse may
    have been restarted too. It remembers the token, and is not believed; no other insert is stored twice."""
    room = Disk(database, tmp_path)
    if seen == "little room":
        room.look_at(0)
    elif seen == "its error":
        room.on_insert_error(ClickHouseError("Code: 75. Cannot write to file: No space left on device"))
    break_insert(database, parts)
    if restarted:
        database.command("DETACH TABLE events SYNC")
        database.command("ATTACH TABLE events")
    room = Disk(database, tmp_path)
    inserter = ClickHouseInserter(database, room)
    inserter.insert([an_event(page="/a")], "a") if restarted else None
    for _ in range(2):
        with contextlib.suppress(InsertRetryable):
            inserter.insert([an_event(page="/b")], "b")
    room.check()
    room.check()
    assert room.problem is None
    for token in ("a", "b"):
        ClickHouseInserter(database, room).insert([an_event(page=f"/{token}")], token)
    assert pages(database) == ["/a", "/b"]


def test_a_segment_may_be_broken_more_than_once(database: Client, parts: Path, tmp_path: Path) -> None:
    """Each time its token's next form is taken."""
    for number in (2, 3, 4):
        room = Disk(database, tmp_path)
        inserter = ClickHouseInserter(database, room)
        empty_the_files(parts / f"202603_{number}_{number}_0")
        database.command("SYSTEM DROP MARK CACHE")
        room.report_low_space()
        with pytest.raises(InsertRetryable, match="disk was full"):
            inserter.insert([an_event(page="/b")], "b")
        inserter.insert([an_event(page="/b")], "b")
        assert pages(database) == ["/a", "/b"]


def test_inserts_wait_while_there_is_little_room(database: Client, parts: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    room = Disk(database, tmp_path, free=0)
    with pytest.raises(InsertRetryable, match="little room"):
        ClickHouseInserter(database, room).insert([an_event(page="/c")], "c")
    assert pages(database) == ["/a", "/b"]
    assert parts.is_dir()


def test_an_ordinary_disk_has_room(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> None:
    """The engine's own figures are read."""
    room = DiskSpaceGuard(database, tmp_path / "full")
    thread = threading.Thread(target=room.check)
    thread.start()
    thread.join()
    assert room.enough()
    assert room.problem is None
    assert clickhouse.database
