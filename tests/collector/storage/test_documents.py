"""No change of a record undoes another one, whoever is slow, and nothing that was deleted comes back."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import RecordError, RecordGone, RecordTaken
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.client import ClickHouse
from collector.storage.document_lock import FENCE_SECONDS, LEASE_SECONDS, DocumentLock
from collector.storage.documents import CachedDocumentTable, DocumentTable
from dashboard.access.users import User, Users
from tests.board import PASSWORD, SITE, Board, opened_board
from tests.dashboard.web.test_members import made_link
from tests.length import long

ROUNDS = 14
NEW_PASSWORD = "a louder password"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """One site, its owner `olga`, and a second administrator `ada`."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site()
        opened.add_user("olga", "owner", SITE)
        opened.add_user("ada", "admin")
        yield opened


class Slow:
    """Stands in for hashing: between its beginning and its end, something else is done."""

    def __init__(self, board: Board, meanwhile: Callable[[], Any]) -> None:
        self._hash = board.dashboard.passwords.hash
        self._meanwhile = meanwhile

    async def hash(self, password: str) -> str:
        hashed = await self._hash(password)
        await self._meanwhile()
        return hashed


def during_hashing(board: Board, meanwhile: Callable[[], Any]) -> None:
    """Have something done while the next password is being hashed."""
    slow = Slow(board, meanwhile)
    object.__setattr__(board.dashboard.passwords, "hash", slow.hash)


def test_a_demotion_during_a_password_change_holds(board: Board) -> None:
    """What the change was worked out from is not written back: the new password goes to the newest record."""
    users = board.dashboard.users
    board.sign_in("ada")

    async def demote() -> None:
        await users.update("ada", lambda user: msgspec.structs.replace(user, role="viewer"))

    during_hashing(board, demote)
    assert board.post("/account", {"act": "password", "old": PASSWORD, "password": NEW_PASSWORD}).status_code == 303
    users.refresh()
    ada = users.get("ada")
    assert ada is not None
    assert ada.role == "viewer"


def test_a_removal_during_a_password_change_holds(board: Board) -> None:
    """The account stays away, and whoever changed its password has to sign in, which they cannot."""
    users = board.dashboard.users
    board.sign_in("ada")
    during_hashing(board, lambda: users.remove("ada"))
    answer = board.post("/account", {"act": "password", "old": PASSWORD, "password": NEW_PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert board.get("/").status_code == 303
    users.refresh()
    assert users.get("ada") is None


def test_a_removal_while_a_link_for_a_password_is_used_holds(board: Board) -> None:
    """The link was good when it was opened; the account is gone when the password is there."""
    board.sign_in()
    link = made_link(board.post("/users", {"act": "password", "name": "ada"}))
    during_hashing(board, lambda: board.dashboard.users.remove("ada"))
    assert board.post(link, {"password": NEW_PASSWORD}).status_code == 410
    board.dashboard.users.refresh()
    assert board.dashboard.users.get("ada") is None


def test_a_password_change_during_a_password_change_holds(board: Board) -> None:
    """Whoever was first has changed it; the second would have to know the new one."""
    board.sign_in("ada")

    async def other() -> None:
        await board.dashboard.users.update("ada", lambda user: msgspec.structs.replace(user, password="first"))

    during_hashing(board, other)
    answer = board.post("/account", {"act": "password", "old": PASSWORD, "password": NEW_PASSWORD})
    assert answer.status_code == 422
    ada = board.dashboard.users.get("ada")
    assert ada is not None
    assert ada.password == "first"


def test_an_invitation_accepted_during_a_removal_brings_nobody_back(board: Board) -> None:
    """The record that was read before is not written back."""
    board.sign_in()
    link = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "owner"}))
    board.sign_in("ada")
    invitations, use = board.dashboard.invitations, board.dashboard.invitations.redeem

    async def used(secret: str) -> Any:
        await board.dashboard.users.remove("ada")
        return await use(secret)

    object.__setattr__(invitations, "redeem", used)
    assert board.post(link, {}).status_code in (410, 422)
    board.dashboard.users.refresh()
    assert board.dashboard.users.get("ada") is None


def test_settings_saved_at_the_same_time_are_both_saved(board: Board) -> None:
    """Each form changes its own fields of the newest site, not all fields of the one it was shown."""
    sites, shown = board.dashboard.sites, board.site()

    async def save() -> None:
        await sites.update(shown, lambda newest: msgspec.structs.replace(newest, timezone="Europe/Stockholm"))
        await sites.update(shown, lambda newest: msgspec.structs.replace(newest, min_visitors=7))

    anyio.run(save)
    assert (board.site().timezone, board.site().min_visitors) == ("Europe/Stockholm", 7)


def test_settings_of_a_deleted_site_are_not_saved(board: Board) -> None:
    """Also where another site has taken its name: what was meant for the first one does not reach the second."""
    sites, first = board.dashboard.sites, board.site()
    anyio.run(sites.remove, SITE)
    with pytest.raises(RecordGone):
        anyio.run(sites.update, first, lambda newest: msgspec.structs.replace(newest, public=True))
    second = board.add_site()
    with pytest.raises(RecordGone):
        anyio.run(sites.update, first, lambda newest: msgspec.structs.replace(newest, public=True))
    assert second.id != first.id
    assert not board.site().public


def test_two_administrators_cannot_demote_each_other_at_once(board: Board) -> None:
    """One of them stays one."""
    users = board.dashboard.users
    refused = []

    async def demote(name: str) -> None:
        try:
            await users.update(name, lambda user: msgspec.structs.replace(user, role="viewer"))
        except RecordError as error:
            refused.append(error.field)

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(demote, "admin")
            group.start_soon(demote, "ada")

    anyio.run(both)
    assert refused == ["name"]
    assert sum(user.role == "admin" for user in users.all()) == 1


@long
@pytest.mark.parametrize("first", ["password", "removal"])
def test_a_password_and_a_removal_at_once_never_bring_an_account_back(database: Client, first: str) -> None:
    """In either order, every time: from two threads that begin together."""
    records = DocumentTable(database, "users", User)
    users = CachedDocumentTable(records)
    for number in range(ROUNDS):
        name = f"ada{number}"
        users.create(name, User(name=name, password="old", role="admin"))
        begin = threading.Barrier(2)

        def change(name: str = name, begin: threading.Barrier = begin) -> None:
            begin.wait()
            try:
                users.update(name, lambda user: msgspec.structs.replace(user, password="new"))
            except RecordGone:
                return

        def remove(name: str = name, begin: threading.Barrier = begin) -> None:
            begin.wait()
            users.delete(name)

        order = (change, remove) if first == "password" else (remove, change)
        threads = [threading.Thread(target=each) for each in order]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert records.get(name) is None
        assert name not in users.values
        users.refresh()
        assert name not in users.values


@long
@pytest.mark.parametrize("first", ["password", "demotion"])
def test_a_password_and_a_demotion_at_once_are_both_kept(database: Client, first: str) -> None:
    """In either order, every time, with two processes that know nothing of each other's locks."""
    here, there = (DocumentTable(database, "users", User) for _ in range(2))
    for number in range(ROUNDS):
        name = f"ada{number}"
        here.create(name, User(name=name, password="old", role="admin"))
        begin = threading.Barrier(2)
        changes: dict[str, Callable[[], object]] = {
            "password": partial(here.update, name, partial(msgspec.structs.replace, password="new")),
            "demotion": partial(there.update, name, partial(msgspec.structs.replace, role="viewer")),
        }

        def run(change: Callable[[], object], begin: threading.Barrier = begin) -> None:
            begin.wait()
            change()

        threads = [threading.Thread(target=run, args=(changes[each],)) for each in sorted(changes, key=first.__ne__)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = here.get(name)
        assert after is not None
        assert (after.password, after.role) == ("new", "viewer")


class Busy:
    """A client of a process that is slow: another one comes after it has read a record, or (`numbered`) after it has
    drawn the number of its version, too; and parts are merged as soon as they are there."""

    def __init__(self, client: Client, table: str, meanwhile: Callable[[], object], *, numbered: bool = False) -> None:
        self._client = client
        self._table = table
        self._numbered = numbered
        self._other = threading.Thread(target=meanwhile)

    def query(self, statement: str, parameters: dict[str, Any]) -> Any:
        answer = self._client.query(statement, parameters=parameters)
        if "id" in parameters and not self._numbered:
            self._let_other()
        return answer

    def insert(self, table: str, *args: Any, **options: Any) -> Any:
        if table == self._table:
            self._let_other()
        answer = self._client.insert(table, *args, **options)
        if table == self._table:
            self._client.command(f"OPTIMIZE TABLE {table} FINAL")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def records(self) -> DocumentTable[User]:
        """The records as that process has them."""
        return DocumentTable(self, self._table, User)  # type: ignore[arg-type] # acts as a client

    def join(self) -> None:
        """Wait until the other process is done."""
        self._other.join()

    def _let_other(self) -> None:
        if self._other.ident is None:
            self._other.start()
            # One that has to wait for this process is not waited for.
            self._other.join(0.3)


def test_a_version_that_another_process_writes_meanwhile_is_not_lost(database: Client) -> None:
    """Also where a merge removes it before this process could see it."""
    other = DocumentTable(database, "users", User)
    other.create("ada", User(name="ada", password="old", role="admin"))
    busy = Busy(
        database, "users", lambda: other.update("ada", lambda user: msgspec.structs.replace(user, role="viewer"))
    )
    busy.records().update("ada", lambda user: msgspec.structs.replace(user, password="new"))
    busy.join()
    after = other.get("ada")
    assert after is not None
    assert (after.password, after.role) == ("new", "viewer")


def test_a_deletion_that_another_process_writes_meanwhile_is_not_undone(database: Client) -> None:
    """Whichever comes first, the record stays deleted."""
    other = DocumentTable(database, "users", User)
    other.create("ada", User(name="ada", password="old", role="admin"))
    busy = Busy(database, "users", lambda: other.delete("ada"))
    with contextlib.suppress(RecordGone):
        busy.records().update("ada", lambda user: msgspec.structs.replace(user, password="new"))
    busy.join()
    assert other.get("ada") is None


def test_a_deletion_with_an_older_number_than_a_change_meanwhile_holds(database: Client) -> None:
    """The number of a version is drawn before it is stored; what is stored between has a higher one."""
    other = DocumentTable(database, "users", User)
    other.create("ada", User(name="ada", password="old", role="admin"))

    def demote() -> None:
        with contextlib.suppress(RecordGone):
            other.update("ada", lambda user: msgspec.structs.replace(user, role="viewer"))

    busy = Busy(database, "users", demote, numbered=True)
    assert busy.records().delete("ada") is not None
    busy.join()
    assert other.get("ada") is None


def test_a_record_is_deleted_by_one_process_only(database: Client) -> None:
    """A link that lets somebody in once is used by whoever deletes it."""
    other = DocumentTable(database, "users", User)
    other.create("ada", User(name="ada", password="old"))
    found: list[User | None] = []
    busy = Busy(database, "users", lambda: found.append(other.delete("ada")))
    found.append(busy.records().delete("ada"))
    busy.join()
    assert sorted(user is None for user in found) == [False, True]


def test_two_processes_cannot_demote_each_others_administrator(database: Client) -> None:
    """Neither knows of the other's change; one administrator stays."""
    here, there = (Users(DocumentTable(database, "users", User)) for _ in range(2))
    for name in ("ada", "bob"):
        anyio.run(here.add, User(name=name, password="hash", role="admin"))
    there.refresh()
    anyio.run(here.update, "ada", partial(msgspec.structs.replace, role="viewer"))
    with pytest.raises(RecordError, match="bob is the only administrator"):
        anyio.run(there.update, "bob", partial(msgspec.structs.replace, role="viewer"))
    with pytest.raises(RecordError, match="bob is the only administrator"):
        anyio.run(there.remove, "bob")


def test_a_process_that_died_while_changing_holds_others_up_for_the_lease_only(database: Client) -> None:
    """Its claim ends by the clock of the database."""
    claim = "INSERT INTO record_claims SELECT 'users', 7, 0, now64(3) - INTERVAL {age:UInt32} SECOND"
    records = DocumentTable(database, "users", User)
    records.lock = DocumentLock(database, "users", monotonic=itertools.count(0, 20).__next__)
    database.command(claim, parameters={"age": LEASE_SECONDS // 2})
    with pytest.raises(TimeoutError):
        records.create("ada", User(name="ada", password="hash"))
    database.command("TRUNCATE TABLE record_claims")
    database.command(claim, parameters={"age": LEASE_SECONDS + 1})
    DocumentTable(database, "users", User).create("ada", User(name="ada", password="hash"))
    assert records.get("ada") is not None


def test_a_process_whose_claim_may_have_ended_stores_nothing(database: Client) -> None:
    """It slept between reading and storing; another one may have changed the record since."""
    records, now = DocumentTable(database, "users", User), [0.0]
    records.create("ada", User(name="ada", password="old"))
    records.lock = DocumentLock(database, "users", monotonic=lambda: now[0])

    def slow(user: User) -> User:
        now[0] += FENCE_SECONDS + 1
        return msgspec.structs.replace(user, password="new")

    with pytest.raises(TimeoutError):
        records.update("ada", slow)
    found = records.get("ada")
    assert found is not None
    assert found.password == "old"


def test_a_clock_that_is_behind_writes_the_newest_version_all_the_same(database: Client) -> None:
    """Versions follow each other, whatever time it is where they are written."""
    DocumentTable(database, "sites", Site, clock=lambda: 1_000).create("a.test", Site(domain="a.test"))
    late = DocumentTable(database, "sites", Site, clock=lambda: 10)
    late.update("a.test", lambda site: msgspec.structs.replace(site, min_visitors=9))
    found = late.get("a.test")
    assert found is not None
    assert found.min_visitors == 9
    assert late.delete("a.test") == found
    assert late.all() == {}


def test_a_deleted_record_is_not_written_to(database: Client) -> None:
    """Only creating it anew brings something back under its id."""
    records = DocumentTable(database, "sites", Site)
    records.create("a.test", Site(domain="a.test"))
    records.delete("a.test")
    for write in (records.save, lambda id_, site: records.update(id_, lambda _: site)):
        with pytest.raises(RecordGone):
            write("a.test", Site(domain="a.test"))
    assert records.get("a.test") is None
    assert records.delete("a.test") is None
    records.create("a.test", Site(domain="a.test", min_visitors=5))
    assert records.all() == {"a.test": Site(domain="a.test", min_visitors=5)}


def test_reading_anew_does_not_bring_back_what_is_removed_meanwhile(database: Client) -> None:
    """Nothing is changed between the reading of all records and their being in memory."""
    records = DocumentTable(database, "sites", Site)
    cached, free, read = CachedDocumentTable(records), [], records.all

    def observed() -> dict[str, Site]:
        other = threading.Thread(target=lambda: free.append(records.lock.threads.acquire(blocking=False)))
        other.start()
        other.join()
        return read()

    object.__setattr__(records, "all", observed)
    cached.refresh()
    assert free == [False]


def test_a_name_that_another_process_has_just_given_is_taken(database: Client) -> None:
    """Whoever comes second is refused, and the first one's site and account stay as they are."""
    first, second = (Sites(DocumentTable(database, "sites", Site)) for _ in range(2))
    mine = anyio.run(first.add, Site(domain="a.test", created=1))
    with pytest.raises(RecordError, match=r"domain: a\.test is already registered"):
        anyio.run(second.add, Site(domain="a.test", created=2))
    assert DocumentTable(database, "sites", Site).all() == {"a.test": mine}
    assert second.get("a.test") == mine
    here, there = (Users(DocumentTable(database, "users", User)) for _ in range(2))
    ada = anyio.run(here.add, User(name="ada", password="first", role="admin"))
    with pytest.raises(RecordError, match="ada already exists"):
        anyio.run(there.add, User(name="ada", password="second"))
    assert DocumentTable(database, "users", User).all() == {"ada": ada}


def test_a_record_that_two_processes_create_at_once_is_created_by_one(database: Client) -> None:
    """The other is told, and what it would have stored is not there."""
    other, refused = DocumentTable(database, "users", User), []

    def create(records: DocumentTable[User], password: str) -> None:
        try:
            records.create("ada", User(name="ada", password=password))
        except RecordTaken:
            refused.append(password)

    busy = Busy(database, "users", lambda: create(other, "first"))
    create(busy.records(), "second")
    busy.join()
    found = other.get("ada")
    assert found is not None
    assert {found.password, *refused} == {"first", "second"}
    assert len(refused) == 1
