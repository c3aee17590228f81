"""A site is more than its name: what was given for one is not worth anything for the next of that name."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.privacy.visitor_id import visitor_id
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.one_time_links import Invitation
from dashboard.access.users import User
from dashboard.reports.segments import Segment
from tests.board import NOON, SITE, Board, opened_board, pageview
from tests.dashboard.api.test_management import Room
from tests.dashboard.web.test_members import made_link

SALT = bytes(32)


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """One site with its owner `olga` and its viewer `vera`; and `otto`, who owns another."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(created=NOON)
        opened.add_site("other.test", created=NOON)
        opened.add_user("olga", "owner", SITE)
        opened.add_user("vera", "viewer", SITE)
        opened.add_user("otto", "owner", "other.test")
        yield opened


def replaced(board: Board) -> Site:
    """The site is deleted by its owner, and another of the same name belongs to `otto` within the same second."""
    board.sign_in("olga")
    assert board.post(f"/{SITE}/delete", {"confirm": SITE}).status_code == 303
    assert board.dashboard.deletions.run_pending()
    board.sign_in("otto")
    assert board.post("/sites/new", {"domain": SITE, "timezone": "UTC"}).status_code == 303
    board.seed([pageview(1, "/secret")])
    return board.site()


def hashes(site: Site) -> int:
    return visitor_id(SALT, site.hash_name, "192.0.2.1", "Firefox")


def test_members_of_a_deleted_site_see_nothing_of_the_next(board: Board) -> None:
    """Neither those whose role was the account's nor those who were invited."""
    first = board.site()
    anyio.run(board.dashboard.users.update, "vera", lambda user: user.with_role(first.id, "owner"))
    second = replaced(board)
    assert second.id != first.id
    for name in ("olga", "vera"):
        board.sign_in(name)
        for page in (f"/{SITE}", f"/{SITE}/settings", f"/{SITE}/people", f"/{SITE}/changes", f"/{SITE}/realtime"):
            assert board.get(page).status_code == 404
        assert SITE not in board.page("/").text


def test_a_session_that_was_open_reads_nothing_of_the_next(board: Board) -> None:
    """The browser stays signed in; the site it looked at is not there any more."""
    board.sign_in("vera")
    cookies = board.cookies
    replaced(board)
    board.cookies = cookies
    assert board.get(f"/{SITE}").status_code == 404
    assert board.get("/").status_code == 200


def test_links_and_invitations_to_a_deleted_site_open_nothing(board: Board) -> None:
    """Secret links, invitations that are open, and what they would join."""
    board.sign_in("olga")
    invitation = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "owner"}))
    found = re.search(r"https://tyst\.test(/share/[\w-]+)", board.post(f"/{SITE}/sharing", {"name": "Ada"}).text)
    assert found
    replaced(board)
    board.sign_in("vera")
    assert board.get(found[1]).status_code == 404
    assert board.get(invitation).status_code == 410
    assert board.post(invitation, {}).status_code == 410
    board.sign_in("otto")
    assert "Ada" not in board.page(f"/{SITE}/sharing").text


def test_an_invitation_of_a_release_without_ids_opens_nothing_of_the_next(board: Board) -> None:
    """It says a name, which no site that was added since has as its id."""
    replaced(board)
    old = Invitation(by="otto", made=NOON, site=SITE, role="owner")
    secret = anyio.run(board.dashboard.invitations.make, old)
    board.sign_in("vera")
    assert board.get(f"/invitation/{secret}").status_code == 410


def test_segments_notes_and_the_list_of_changes_of_a_deleted_site_stay_its_own(board: Board) -> None:
    """Whoever owns the next site of that name reads none of it."""
    board.sign_in("olga")
    view = f"/{SITE}?f=is%2Cvisit%3Acountry%2CSE"
    board.post(f"/{SITE}/segments", {"act": "save", "back": view, "name": "Patients", "shared": "yes"})
    board.post(f"/{SITE}/notes", {"date": "2026-05-20", "text": "Scandal"})
    board.post(f"/{SITE}/settings", {"section": "general", "timezone": "Europe/Stockholm"})
    replaced(board)
    assert "Patients" not in board.page(f"/{SITE}/segments").text
    assert "Scandal" not in board.page(f"/{SITE}?period=7d").text
    noted = anyio.run(board.dashboard.changes.of, board.site())
    assert [(each.who, each.what) for each in noted] == [("otto", "Site added")]
    everything = anyio.run(board.dashboard.changes.all)
    assert {"Site deleted", "Segment saved"} <= {each.what for each in everything}


def test_a_user_s_name_used_again_inherits_nothing(board: Board) -> None:
    """Private segments, invitations that they made, and their signed-in browsers went with the first one."""
    board.sign_in("vera")
    cookies = board.cookies
    view = f"/{SITE}?f=is%2Cvisit%3Acountry%2CSE"
    board.post(f"/{SITE}/segments", {"act": "save", "back": view, "name": "Mine"})
    board.sign_in()
    invitation = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer"}))
    reset = made_link(board.post("/users", {"act": "password", "name": "vera"}))
    board.post("/users", {"act": "remove", "name": "vera"})
    board.add_user("vera", "viewer", SITE)
    board.cookies = cookies
    assert board.get("/").status_code == 303
    assert board.get(reset).status_code == 410
    assert board.get(invitation).status_code == 200
    board.sign_in("vera")
    assert "Mine" not in board.page(f"/{SITE}/segments").text


def test_a_key_for_a_deleted_site_is_good_for_nothing(database: Client) -> None:
    """It neither reads, nor publishes, nor deletes the next site of the name; nor is it for every site now."""
    room = Room(database)
    room.ask("POST", "sites", json={"domain": "one.test"})
    key = room.make_key(sites=["one.test"], right="manage")
    assert room.ask("GET", "sites/one.test", key=key).status_code == 200
    room.ask("DELETE", "sites/one.test")
    assert room.deletions.run_pending()
    room.ask("POST", "sites", json={"domain": "one.test"})
    assert room.ask("GET", "sites", key=key).json() == {"sites": []}
    assert room.ask("GET", "sites/one.test", key=key).status_code == 404
    assert room.ask("PUT", "sites/one.test", key=key, json={"public": True}).status_code == 404
    assert room.ask("DELETE", "sites/one.test", key=key).status_code == 404
    assert room.ask("GET", "keys").json()["keys"][0]["sites"] == ["(deleted site)"]
    assert room.site("one.test").public is False


def test_a_key_goes_on_to_be_good_for_a_site_with_another_name(database: Client) -> None:
    """And not for the next site that has the name which that one gave up."""
    room = Room(database)
    room.ask("POST", "sites", json={"domain": "one.test"})
    key = room.make_key(sites=["one.test"])
    room.ask("PUT", "sites/one.test", json={"domain": "two.test"})
    assert room.deletions.run_pending()
    renamed = room.site("two.test")
    anyio.run(room.sites.update, renamed, lambda site: msgspec.structs.replace(site, aliases=()))
    room.ask("POST", "sites", json={"domain": "one.test"})
    assert [site["domain"] for site in room.ask("GET", "sites", key=key).json()["sites"]] == ["two.test"]
    assert room.ask("GET", "keys").json()["keys"][0]["sites"] == ["two.test"]


def test_an_alias_taken_by_another_site_gives_other_visitor_ids(database: Client) -> None:
    """One person on both has unrelated ids, and a rename changes none: they go by the site's own id."""
    sites = Sites(DocumentTable(database, "sites", Site))
    first = anyio.run(sites.add, Site(domain="a.test"))
    renamed = sites.rename_now(first, "b.test")
    assert hashes(renamed) == hashes(first)
    anyio.run(sites.update, renamed, lambda site: msgspec.structs.replace(site, aliases=()))
    taken = anyio.run(sites.add, Site(domain="a.test"))
    released = sites.get("b.test")
    assert released is not None
    assert hashes(released) == hashes(first)
    assert hashes(taken) != hashes(first)


def test_a_site_as_stored_before_there_were_ids_keeps_its_visitors_and_rights(database: Client) -> None:
    """Its id is the name it had: no visitor counts twice on the day of the change, and nobody loses a right."""
    database.insert(
        "sites",
        [["a.test", '{"domain":"a.test","created":100}', 1, 0]],
        column_names=["id", "record", "version", "deleted"],
    )
    sites = Sites(DocumentTable(database, "sites", Site))
    sites.refresh()
    site = sites.get("a.test")
    assert site is not None
    assert hashes(site) == visitor_id(SALT, "a.test", "192.0.2.1", "Firefox")
    user = msgspec.json.decode(b'{"name":"ada","password":"x","sites":["a.test"]}', type=User)
    key = msgspec.json.decode(b'{"id":"1","hash":"x","sites":["a.test"],"created":"2026-01-01"}', type=ApiKey)
    segment = msgspec.json.decode(b'{"id":"1","site":"a.test","name":"x","filters":[],"owner":"ada"}', type=Segment)
    renamed = sites.rename_now(site, "b.test")
    for each in (site, renamed):
        assert user.sees(each)
        assert key.may_read(each)
        assert segment.site == each.id
    assert hashes(renamed) == hashes(site)
    sites.remove_now("b.test")
    added = anyio.run(sites.add, Site(domain="a.test"))
    assert not user.sees(added)
    assert not key.may_read(added)


def test_a_key_older_than_its_site_is_of_another_before_it() -> None:
    """Where ids are names yet, a key made before the site was added had been for the one of the name before it."""
    site = Site(domain="a.test", created=NOON)
    made = datetime.datetime.fromtimestamp(NOON, datetime.UTC).date()
    old = ApiKey(id="1", hash="x", sites=("a.test",), created=made - datetime.timedelta(days=1))
    assert not old.may_read(site)
    assert msgspec.structs.replace(old, created=made).may_read(site)


def test_a_key_is_good_until_its_last_day(database: Client) -> None:
    """A year unless it was said otherwise; keys of earlier releases have no last day."""
    records = DocumentTable(database, "api_keys", ApiKey)

    def on(day: str) -> ApiKeys:
        return ApiKeys(records, "tyst_admin_x", today=partial(datetime.date.fromisoformat, day))

    cases = {"": "2027-03-01", "2026-03-02": "2026-03-02", "never": ""}
    for expires, last in cases.items():
        made, shown = anyio.run(partial(on("2026-03-01").create, expires=expires))
        assert str(made.expires or "") == last
        assert anyio.run(on(last or "2100-01-01").check, shown)
        after = datetime.date.fromisoformat(last) + datetime.timedelta(days=1) if last else None
        assert after is None or anyio.run(on(str(after)).check, shown) is None


@pytest.mark.parametrize("expires", ["2026-02-28", "soon", "2026-13-01", "-1"])
def test_a_last_day_that_cannot_be_is_refused(database: Client, expires: str) -> None:
    """One that is over, or is no day."""
    room = Room(database)
    answer = room.ask("POST", "keys", json={"expires": expires})
    assert answer.status_code == 400
    assert "expires" in answer.json()["errors"]
