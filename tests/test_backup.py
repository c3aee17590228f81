"""Backups by the engine itself, while serving: everything comes back, and salts are in none."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.backup import back_up, restore
from collector.clickhouse import ClickHouse, apply_schema
from collector.exceptions import BackupError
from collector.inserter import ClickHouseInserter
from collector.table_salts import TableSalts
from tests.faults.server import Serve, until
from tests.test_clickhouse import an_event


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """An embedded server with one site."""
    serve = Serve(tmp_path_factory.mktemp("backup"))
    serve.start()
    try:
        until("the server answers", serve.answers)
        serve.tyst("site", "add", "site.test", "--consent", "exempt")
        yield serve
    finally:
        serve.kill()


def send(serve: Serve, path: str) -> None:
    """One beacon, and wait until it is in ClickHouse."""
    body = json.dumps({"n": "pageview", "u": f"https://site.test{path}", "d": "site.test"}).encode()
    agent = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    request = urllib.request.Request(f"http://127.0.0.1:{serve.port}/api/event", body, agent)  # our own
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 # likewise
    until("nothing waits", serve.well)


def events(serve: Serve) -> int:
    """How many events the server says it has."""
    checks = json.loads(serve.tyst("check", "--json"))
    found = next(check["found"] for check in checks if check["name"] == "ClickHouse")
    return int(found.rpartition(",")[2].split()[0])


def test_a_backup_comes_back_while_serving(server: Serve, tmp_path: Path) -> None:
    """Events and sites are as they were; what came after the backup is gone; and what comes next is taken."""
    send(server, "/before")
    count = events(server)
    done = json.loads(server.tyst("backup", str(tmp_path / "one"), "--json"))
    assert {"events", "sites", "users"} <= set(done["tables"])
    send(server, "/after")
    server.tyst("site", "add", "later.test")
    server.tyst("restore", str(tmp_path / "one"))
    assert events(server) == count
    assert "later.test" not in server.tyst("site", "list", "--json")
    send(server, "/next")
    assert events(server) == count + 1


def test_no_backup_has_a_salt(server: Serve, tmp_path: Path) -> None:
    """Not one byte of it."""
    server.tyst("backup", str(tmp_path / "two"))
    salts = [file.read_bytes() for file in (server.directory / "data" / "salts").iterdir()]
    assert salts
    stored = b"".join(file.read_bytes() for file in (tmp_path / "two").rglob("*") if file.is_file())
    assert len(stored) > 1_000
    assert not any(salt in stored for salt in salts)


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_what_cannot_be_done_is_said(server: Serve, tmp_path: Path, command: str) -> None:
    """A directory that is there is not written over; one that is not there is not restored."""
    place = tmp_path if command == "backup" else tmp_path / "none"
    with pytest.raises(AssertionError, match="there already" if command == "backup" else "not found"):
        server.tyst(command, str(place))


@pytest.fixture
def backups(engine: str, clickhouse: ClickHouse) -> ClickHouse:
    """The database, with the place where this engine may write backups."""
    assert engine
    return ClickHouse(clickhouse.dsn, clickhouse.database)


def test_a_restored_backup_is_of_this_releases_schema(database: Client, backups: ClickHouse) -> None:
    """Whatever has changed in the tables since it was made."""
    ClickHouseInserter(database).insert([an_event(page="/old")], "a")
    database.command("DROP TABLE daily SYNC")
    name = f"{backups.database}-old"
    back_up(backups, name)
    apply_schema(database)
    restore(backups, name)
    assert database.query("SELECT page FROM events").result_rows == [("/old",)]
    assert database.command("EXISTS TABLE daily") == 1


def test_shared_salts_are_left_out(database: Client, backups: ClickHouse) -> None:
    """Their table is there and in no backup, and a restored backup leaves it alone."""
    TableSalts(database)
    database.command("INSERT INTO salts VALUES ('2026-03-01', 'abc', 1)")
    name = f"{backups.database}-salts"
    assert "salts" not in back_up(backups, name)
    assert "salts" not in restore(backups, name)
    assert database.query("SELECT salt FROM salts").result_rows == [("abc",)]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["", "../up", "a/b", "x" * 101, "a'b"])
def test_a_backups_name_leads_nowhere_else(backups: ClickHouse, name: str) -> None:
    """It is one plain name."""
    with pytest.raises(BackupError, match="as a name"):
        back_up(backups, name)
