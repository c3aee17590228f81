"""Backups by the engine itself, while serving: everything comes back, and salts are in none."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.errors import BackupError
from collector.privacy.salts_clickhouse import TableSalts
from collector.server.collector import prepared
from collector.sites.model import Site
from collector.sites.restoration import keep_protection
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.backup import SettingDifference, back_up, finish_interrupted, restore
from collector.storage.backup_files import METADATA, is_whole, new_backup_name, new_copy_name, remove_interrupted
from collector.storage.client import ClickHouse, apply_schema
from collector.storage.documents import DocumentTable
from collector.storage.table_exchange import drop_exchanged, exchange, finish_exchanges
from dashboard.access.api_keys import ApiKey
from dashboard.access.one_time_links import Invitation
from dashboard.access.share_links import ShareLink
from dashboard.access.users import User
from tests.collector.storage.test_client import an_event
from tests.disk import filled, small_disk
from tests.faults.server import Serve, until
from tests.launcher import ROOT, TYST
from tests.length import long


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
    server.tyst("restore", str(tmp_path / "one"), "--yes")
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
        server.tyst(command, str(place), *(["--yes"] if command == "restore" else []))


def test_a_restoration_is_confirmed_first(server: Serve, tmp_path: Path) -> None:
    """It names what it would replace; where nobody can be asked and nothing was said, nothing is replaced."""
    server.tyst("backup", str(tmp_path / "four"))
    server.tyst("site", "add", "kept.test")
    done = subprocess.run(
        [TYST, "restore", str(tmp_path / "four")], env=server.environment(), cwd=ROOT, capture_output=True, text=True,
        input="y\n", check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "kept.test" in done.stderr
    assert "--yes" in done.stderr
    assert "kept.test" in server.tyst("site", "list", "--json")


def test_a_backup_is_its_owners(server: Serve, tmp_path: Path) -> None:
    """Nobody else on the machine reads one byte of it, nor of the data directory."""
    server.tyst("backup", str(tmp_path / "three"))
    for directory in (tmp_path / "three", server.directory / "data"):
        files = [directory, *directory.rglob("*")]
        assert len(files) > 10
        assert {path.name for path in files if path.stat().st_mode & 0o077} == set()


@pytest.fixture
def backups(engine: str, clickhouse: ClickHouse) -> ClickHouse:
    """The database, with the place where this engine may write backups."""
    assert engine
    return ClickHouse(clickhouse.dsn, clickhouse.database)


def test_a_restored_backup_is_of_this_releases_schema(database: Client, backups: ClickHouse) -> None:
    """Whatever has changed in the tables since it was made."""
    ClickHouseInserter(database).insert([an_event(page="/old")], "a")
    database.command("DROP TABLE daily_rollup SYNC")
    name = f"{backups.database}-old"
    back_up(backups, name)
    apply_schema(database)
    restore(backups, name, keep_protection)
    assert database.query("SELECT page FROM events").result_rows == [("/old",)]
    assert database.command("EXISTS TABLE daily_rollup") == 1


def test_shared_salts_are_left_out(database: Client, backups: ClickHouse) -> None:
    """Their table is there and in no backup, and a restored backup leaves it alone."""
    TableSalts(database)
    database.command("INSERT INTO salts (date, salt) VALUES ('2026-03-01', 'abc')")
    name = f"{backups.database}-salts"
    assert "salts" not in back_up(backups, name)
    assert "salts" not in restore(backups, name, keep_protection).tables
    assert database.query("SELECT salt FROM salts").result_rows == [("abc",)]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["", "../up", "a/b", "x" * 101, "a'b"])
def test_a_backups_name_leads_nowhere_else(backups: ClickHouse, name: str) -> None:
    """It is one plain name."""
    with pytest.raises(BackupError, match="as a name"):
        back_up(backups, name)


def test_a_restored_backup_revives_nothing_that_was_revoked(database: Client, backups: ClickHouse) -> None:
    """Users who were removed or demoted, passwords that were changed, keys and links that were revoked since."""
    users, keys = DocumentTable(database, "users", User), DocumentTable(database, "api_keys", ApiKey)
    shares = DocumentTable(database, "shares", ShareLink)
    for name in ("removed", "demoted", "stays"):
        users.create(name, User(name=name, password="old", role="admin"))
    for id_ in ("revoked", "good"):
        keys.create(id_, ApiKey(id=id_, hash=id_))
        shares.create(id_, ShareLink(id=id_, hash=id_, site="site"))
    name = f"{backups.database}-rights"
    back_up(backups, name)
    users.delete("removed")
    users.update("demoted", lambda user: msgspec.structs.replace(user, role="viewer", password="new"))
    users.create("later", User(name="later", password="x"))
    keys.delete("revoked")
    shares.delete("revoked")
    restore(backups, name, keep_protection)
    found = users.all()
    assert set(found) == {"demoted", "stays"}
    assert (found["demoted"].role, found["demoted"].password) == ("viewer", "new")
    assert (set(keys.all()), set(shares.all())) == ({"good"}, {"good"})


def test_a_backup_restores_users_where_nothing_is_known_of_them(database: Client, backups: ClickHouse) -> None:
    """Also one who was removed and added again before it was made."""
    users = DocumentTable(database, "users", User)
    users.create("ada", User(name="ada", password="first"))
    users.delete("ada")
    users.create("ada", User(name="ada", password="second"))
    name = f"{backups.database}-users"
    back_up(backups, name)
    database.command("TRUNCATE TABLE users")
    restore(backups, name, keep_protection)
    assert {user.password for user in users.all().values()} == {"second"}


def test_a_restored_backup_begins_no_session_and_opens_no_invitation(database: Client, backups: ClickHouse) -> None:
    """Neither table is in a backup: what was ended or used stays so, and what is open now stays open."""
    invitations = DocumentTable(database, "invitations", Invitation)
    invitations.create("used", Invitation(by="ada", made=1))
    name = f"{backups.database}-invitations"
    assert not {"sessions", "invitations"} & set(back_up(backups, name))
    invitations.delete("used")
    invitations.create("open", Invitation(by="ada", made=2))
    restore(backups, name, keep_protection)
    assert set(invitations.all()) == {"open"}


def test_a_restored_backup_opens_no_site_again(database: Client, backups: ClickHouse) -> None:
    """What strangers could read when the backup was made and cannot any more, they cannot after it is restored."""
    sites = DocumentTable(database, "sites", Site)
    for name in ("closed", "open", "deleted", "again"):
        sites.create(name, Site(domain=name, id=name * 2, public=True, min_visitors=1))
    name = f"{backups.database}-public"
    back_up(backups, name)
    sites.update("closed", lambda site: msgspec.structs.replace(site, public=False, strict=True, min_visitors=5))
    for gone in ("deleted", "again"):
        sites.delete(gone)
    sites.create("again", Site(domain="again", id="another", public=True))
    restore(backups, name, keep_protection)
    found = sites.all()
    assert {name for name, site in found.items() if site.public} == {"open"}
    assert (found["closed"].strict, found["closed"].min_visitors) == (True, 5)
    assert (found["open"].strict, found["open"].min_visitors) == (False, 1)


def test_a_restored_backup_takes_back_no_promise(database: Client, backups: ClickHouse) -> None:
    """What concerns visitors is as strict as it is now, or as it was then; all else is as it was. What differs is
    told."""
    sites = DocumentTable(database, "sites", Site)
    lax: dict[str, Any] = {"consent": "exempt", "retention_days": 760, "query_keys": ("id", "page")}
    hard: dict[str, Any] = {
        "consent": "required", "retention_days": 30, "receipts": True, "hidden_paths": ("/patients/*",),
        "excluded_paths": ("/admin/**",), "excluded_countries": ("NO",), "query_keys": ("page",),
    }  # fmt: skip
    sites.create("one.test", Site(domain="one.test", id="1", controller="Then", **lax))
    sites.create("two.test", Site(domain="two.test", id="2", controller="Ada", **hard))
    sites.create("same.test", Site(domain="same.test", id="3"))
    name = f"{backups.database}-promises"
    back_up(backups, name)
    sites.store("one.test", Site(domain="one.test", id="1", controller="Now", **hard))
    sites.store("two.test", Site(domain="two.test", id="2", controller="Ada", **lax))
    told = restore(backups, name, keep_protection).settings
    found = sites.all()
    assert found["one.test"] == Site(domain="one.test", id="1", controller="Then", **hard)
    assert found["two.test"] == Site(domain="two.test", id="2", controller="Ada", **hard)
    assert {each.setting for each in told if each.site == "one.test"} == {"controller", *hard}
    assert {each.setting for each in told if each.site == "two.test"} == set(hard)
    assert {each.site for each in told} == {"one.test", "two.test"}
    assert ("one.test", "consent", "required", "exempt", "required") in told
    assert ("one.test", "retention_days", "30", "760", "30") in told
    assert ("one.test", "controller", "Now", "Then", "Then") in told


@long
def test_a_restoration_says_which_settings_differ(server: Serve, tmp_path: Path) -> None:
    """For people and for programs; the stricter one counts."""
    server.tyst("site", "add", "told.test", "--consent", "exempt")
    server.tyst("backup", str(tmp_path / "five"))
    server.tyst("site", "set", "told.test", "--consent", "required", "--min-visitors", "7")
    (consent, least) = json.loads(server.tyst("restore", str(tmp_path / "five"), "--yes", "--json"))["settings"]
    assert consent == {
        "site": "told.test", "setting": "consent", "before": "required", "backup": "exempt", "restored": "required",
    }  # fmt: skip
    assert (least["setting"], least["restored"]) == ("min_visitors", "7")
    said = server.tyst("restore", str(tmp_path / "five"), "--yes")
    assert [line.split() for line in said.splitlines() if "consent" in line] == [
        ["told.test", "consent", "required", "exempt", "required"]
    ]


def test_a_backup_restores_public_sites_where_nothing_is_known_of_them(database: Client, backups: ClickHouse) -> None:
    """On another machine they are as they were."""
    sites = DocumentTable(database, "sites", Site)
    sites.create("open", Site(domain="open", public=True))
    name = f"{backups.database}-elsewhere"
    back_up(backups, name)
    database.command("TRUNCATE TABLE sites")
    restore(backups, name, keep_protection)
    assert sites.all()["open"].public


def test_what_else_is_in_a_backup_is_left_there(database: Client, backups: ClickHouse) -> None:
    """A table of the operator's own is not restored, and keeps nothing from being; nor do settings of a table."""
    database.command("CREATE TABLE own_notes (note String) ENGINE = MergeTree ORDER BY note")
    database.command("ALTER TABLE users MODIFY SETTING old_parts_lifetime = 7200")
    name = f"{backups.database}-{secrets.token_hex(4)}"
    assert "own_notes" in back_up(backups, name)
    database.command("DROP TABLE own_notes SYNC")
    assert {"own_notes", "users"} & set(restore(backups, name, keep_protection).tables) == {"users"}


def test_what_is_revoked_while_tables_change_places_stays_revoked(database: Client, backups: ClickHouse) -> None:
    """Whoever revokes it waits until the backup is restored, and then revokes it there."""
    with closing(backups.client()) as other:
        shares = DocumentTable(other, "shares", ShareLink)
        shares.create("1", ShareLink(id="1", hash="1", site="site"))
        name = f"{backups.database}-{secrets.token_hex(4)}"
        back_up(backups, name)
        revoking = threading.Thread(target=shares.delete, args=("1",))

        def keep(present: Client, restored: Client) -> list[SettingDifference]:
            revoking.start()
            revoking.join(timeout=0.5)
            return keep_protection(present, restored)

        restore(backups, name, keep)
        revoking.join(timeout=30)
    assert not DocumentTable(database, "shares", ShareLink).all()


def test_backups_and_restorations_are_one_after_the_other(backups: ClickHouse) -> None:
    """One that is made while another is restored would have some tables of each."""
    name = f"{backups.database}-{secrets.token_hex(4)}"
    back_up(backups, name)
    made = threading.Thread(target=back_up, args=(backups, f"{name}-2"))

    def keep(*_: Client) -> list[SettingDifference]:
        made.start()
        made.join(timeout=0.5)
        assert made.is_alive()
        finish_interrupted(backups)
        return []

    restore(backups, name, keep)
    made.join(timeout=30)
    assert not made.is_alive()


class Stopping:
    """A client that raises at its exchange of that number, before or after it."""

    def __init__(self, client: Client, at: int, error: BaseException, *, after: bool) -> None:
        self._client, self._left, self._error, self._after = client, at, error, after

    def command(self, statement: str, **options: Any) -> Any:
        self._left -= statement.startswith("EXCHANGE")
        if self._left == 0 and not self._after:
            self._left = -1
            raise self._error
        done = self._client.command(statement, **options)
        if self._left == 0:
            self._left = -1
            raise self._error
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.mark.parametrize(("at", "after"), [(1, False), (1, True), (2, False), (2, True), (3, True)])
def test_a_restoration_that_is_interrupted_is_whole_or_none(clickhouse: ClickHouse, at: int, after: bool) -> None:
    """One that failed leaves all tables where they were; one whose process was killed is completed at the next start,
    and leaves nothing beside it."""
    prefix, names = f"{clickhouse.database}_restored_", ["api_keys", "sites", "users"]
    with closing(clickhouse.client()) as client:

        def beside() -> str:
            there = ClickHouse(clickhouse.dsn, f"{prefix}{secrets.token_hex(4)}")
            with closing(there.create()) as made:
                apply_schema(made)
                for name in names:
                    made.insert(name, [["new", "", 1]], column_names=["id", "record", "version"])
            return there.database

        def new() -> list[str]:
            count = "SELECT count() FROM {name:Identifier}"
            return [name for name in names if client.command(count, parameters={"name": name})]

        there = beside()
        failing = Stopping(client, at, DatabaseError("the disk is full"), after=after)
        with pytest.raises(DatabaseError, match="full"):
            exchange(failing, clickhouse.database, there, names)  # type: ignore[arg-type] # acts as a client
        assert new() == []
        client.command(f"DROP DATABASE {there} SYNC")
        killed = Stopping(client, at, KeyboardInterrupt(), after=after)
        with pytest.raises(KeyboardInterrupt):
            exchange(killed, clickhouse.database, there := beside(), names)  # type: ignore[arg-type] # likewise
        moved = names[: at if after else at - 1]
        assert new() == moved
        if 0 < len(moved) < len(names):
            # What it has now are tables of the present.
            drop_exchanged(client, clickhouse.database, there)
        unfinished = beside()
        finish_exchanges(client, clickhouse.database, prefix, lambda _there, _tables: None)
        assert new() == names
        left = client.query("SELECT name FROM system.databases WHERE startsWith(name, {p:String})", {"p": prefix})
        assert left.result_rows == [], unfinished


def test_what_ends_before_an_interrupted_restoration_is_completed_stays_ended(clickhouse: ClickHouse) -> None:
    """Other collectors go on with tables that are still to be exchanged. Of a restoration that was killed before it
    exchanged any, nothing counts."""
    there = ClickHouse(clickhouse.dsn, f"{clickhouse.database}_restored_{secrets.token_hex(4)}")
    unbegun = ClickHouse(clickhouse.dsn, f"{clickhouse.database}_restored_{secrets.token_hex(4)}")
    with closing(clickhouse.client()) as client:
        users = DocumentTable(client, "users", User)
        for name in ("anna", "olga", "nora"):
            users.store(name, User(name=name, password="", role="owner"))
        with closing(there.create()) as made, closing(unbegun.create()) as other:
            for each in (made, other):
                apply_schema(each)
            for name in ("anna", "olga", "nora"):
                DocumentTable(made, "users", User).store(name, User(name=name, password="", role="owner"))
            other.insert("users", [["nora", "", 2**61, 1]], column_names=["id", "record", "version", "deleted"])
        killed = Stopping(client, 1, KeyboardInterrupt(), after=True)
        with pytest.raises(KeyboardInterrupt):
            exchange(killed, clickhouse.database, there.database, ["sites", "users"])  # type: ignore[arg-type] # likewise
        users.delete("anna")
        users.update("olga", lambda user: msgspec.structs.replace(user, role="viewer"))
        finish_interrupted(clickhouse)
        assert {name: user.role for name, user in users.all().items()} == {"olga": "viewer", "nora": "owner"}


def test_the_start_removes_what_a_killed_restoration_has_left(clickhouse: ClickHouse) -> None:
    """Also from a server: what is erased later would be there for ever."""
    there = ClickHouse(clickhouse.dsn, f"{clickhouse.database}_restored_{secrets.token_hex(4)}")
    with closing(there.create()) as client:
        apply_schema(client)
        count = "SELECT count() FROM system.databases WHERE name = {name:String}"
        assert client.command(count, parameters={"name": there.database}) == 1
        with closing(prepared(clickhouse)) as present:
            assert present.command(count, parameters={"name": there.database}) == 0
            assert present.command("SELECT count() FROM sites") == 0


def test_what_interrupted_commands_left_of_backups_goes(tmp_path: Path) -> None:
    """It would still have what is erased. Whole backups stay, and so does what is somebody's own."""
    whole, broken, copied = new_backup_name(), new_backup_name(), new_copy_name()
    for name in (whole, broken, copied, "mine", "nightly"):
        (tmp_path / name).mkdir()
    for name in (whole, copied, "nightly"):
        (tmp_path / name / METADATA).touch()
    remove_interrupted(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {whole, "mine", "nightly"}
    remove_interrupted(tmp_path / "none")


def test_a_backup_that_a_full_disk_has_cut_is_none(tmp_path: Path) -> None:
    """The engine may call it written, and nobody could restore it. Nothing is left of it, and it is said."""
    with small_disk(tmp_path / "data", 300 << 20):
        serve = Serve(tmp_path)
        serve.start()
        try:
            until("the server answers", serve.answers)
            serve.tyst("site", "add", "site.test", "--consent", "exempt")
            send(serve, "/before")
            with (
                filled(tmp_path / "data", left=60_000),
                pytest.raises(AssertionError, match=r"as a whole|BACKUP_ALREADY"),
            ):
                serve.tyst("backup", str(tmp_path / "cut"))
            with filled(tmp_path / "data"), pytest.raises(AssertionError, match="insufficient storage"):
                serve.tyst("site", "add", "late.test")
            assert "traceback" not in serve.log()
            assert list((tmp_path / "data" / "backups").iterdir()) == []
            serve.tyst("backup", str(tmp_path / "whole"))
        finally:
            serve.close()
    assert is_whole(tmp_path / "whole")
    max((tmp_path / "whole" / "data").rglob("*.bin"), key=lambda path: path.stat().st_size).write_bytes(b"")
    assert not is_whole(tmp_path / "whole")
