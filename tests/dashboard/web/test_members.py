"""Sites and people: who sees what, who may change it, how people come in, and what is noted of all that."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from starlette.requests import Request

from collector.core.errors import RecordError
from collector.imports.record import ImportRecord
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.audit_log import SIGNED_IN
from dashboard.access.one_time_links import GOOD_FOR, Invitation, Invitations
from dashboard.access.sessions import COOKIE, DAY, SESSION_DAYS, YOUNG, Session, Sessions
from dashboard.access.users import User, Users
from dashboard.api.restored_records import RECORDS
from dashboard.reports.filter_params import FilterParam
from tests.board import NOON, PASSWORD, SECRETS, SITE, Board, opened_board, pageview
from tests.mail_server import mail_server
from tests.markup import read

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """One site; `admin`, its owner `olga` and its viewer `vera`; nobody is signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site()
        opened.add_user("olga", "owner", SITE)
        opened.add_user("vera", "viewer", SITE)
        yield opened


def user_named(board: Board, name: str) -> User:
    found = board.dashboard.users.get(name)
    assert found is not None
    return found


def noted(board: Board) -> list[tuple[str, str, str, str, str]]:
    """Who, site, what, before, after; the oldest first, without sign-ins."""
    found = [each for each in reversed(anyio.run(board.dashboard.changes.all)) if each.what != SIGNED_IN]
    return [(each.who, each.site, each.what, each.before, each.after) for each in found]


def made_link(answer: httpx.Response) -> str:
    """The link that a page shows this once, as a path."""
    assert answer.status_code == 200, answer.text
    found = re.search(r'id="made-link">https://tyst\.test(/[^<]+)<', answer.text)
    assert found
    return found[1]


def leave(board: Board) -> None:
    """Another browser takes over."""
    board.cookies = httpx.Cookies()


def test_one_may_own_one_site_and_view_another(board: Board) -> None:
    """The role of a site comes before that of the account; other sites are as absent."""
    for domain in ("second.test", "third.test"):
        board.add_site(domain)
    second = board.site("second.test")
    anyio.run(board.dashboard.users.update, "olga", lambda user: user.with_role(second.id, "viewer"))
    board.sign_in("olga")
    answers = {domain: board.get(f"/{domain}/settings").status_code for domain in (SITE, "second.test", "third.test")}
    assert answers == {SITE: 200, "second.test": 403, "third.test": 404}
    assert board.get("/second.test").status_code == 200


def test_a_user_as_stored_before_there_were_roles_by_site_is_read() -> None:
    """What stands in the database needs no change."""
    user = msgspec.json.decode(b'{"name":"ada","password":"x","role":"owner","sites":["a.test"]}', type=User)
    site = msgspec.json.decode(b'{"domain":"a.test"}', type=Site)
    assert user.may_change(site)
    assert user.site_ids == (site.id,)
    assert user.with_role(site.id, "viewer").role_on(site) == "viewer"
    assert user.with_role(site.id, None).role_on(site) is None


def test_a_viewer_opens_no_page_that_changes_something(board: Board) -> None:
    """Neither to look nor to send."""
    board.sign_in("vera")
    for page in ("settings", "people", "data", "changes"):
        assert board.get(f"/{SITE}/{page}").status_code == 403
        assert board.post(f"/{SITE}/{page}", {"act": "reset", "section": "public"}).status_code in (403, 405)


def test_only_administrators_see_everybody(board: Board) -> None:
    """An owner owns sites, not the installation."""
    board.sign_in("olga")
    for page in ("/users", "/changes"):
        assert board.get(page).status_code == 403
        assert board.post(page, {"act": "remove", "name": "vera"}).status_code in (403, 405)
    assert board.dashboard.users.get("vera")


def test_no_form_of_another_site_counts(board: Board) -> None:
    """With the cookie and all."""
    board.sign_in()
    for path in ("/account", "/users", f"/{SITE}/people", f"/{SITE}/data", "/invitation/x", "/password/x"):
        answer = board.post(path, {"act": "remove", "name": "vera"}, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403
    assert board.dashboard.users.get("vera")


def test_the_name_of_a_removed_user_is_nowhere_but_in_the_audit_log(board: Board, database: Client) -> None:
    """What they made for a site stays. Nor do older versions of it have the name."""
    name, dashboard, site = "nora@example.com", board.dashboard, board.site()
    nora = board.add_user(name, "owner", SITE)
    record = ImportRecord(id="i1", site_id=site.id, name="old.csv", by=name, at=NOON, versions=1, state="done")
    DocumentTable(database, "imports", ImportRecord).create(record.id, record)

    async def make_and_go() -> None:
        notifications, firefox = dashboard.notifications, (FilterParam("is", "visit:browser", "Firefox"),)
        await dashboard.annotations.add(site, name, "2026-05-01", "Launch")
        await dashboard.segments.add(site, nora, "Firefox", firefox, shared=True)
        await dashboard.segments.add(site, nora, "Mine", firefox, shared=False)
        await notifications.subscriptions.add(site, "anna@example.com", frequency="weekly", language="en", by=name)
        await notifications.channels.add(site.id, "mail", "anna@example.com", language="en", by=name)
        await notifications.rules.add(site, "spike", threshold=5, by=name)
        await dashboard.users.remove(name)

    anyio.run(make_and_go)
    found = {table: [*DocumentTable(database, table, kind).all().values()] for table, kind in RECORDS.items()}
    made = ("alerts", "annotations", "channels", "imports", "segments", "subscriptions")
    assert {table: len(found[table]) for table in made} == dict.fromkeys(made, 1)
    assert name not in str(found)
    stored = {table: database.query(f"SELECT record FROM {table}").result_rows for table in RECORDS}  # noqa: S608 # our own names
    assert [table for table in stored if name in str(stored[table])] == []
    assert [segment.name for segment in dashboard.segments.of(site, None)] == ["Firefox"]


def test_a_role_is_changed_and_somebody_is_removed(board: Board) -> None:
    """At once, and it is noted with what was before and after."""
    board.sign_in("olga")
    assert board.post(f"/{SITE}/people", {"act": "role", "name": "vera", "role": "owner"}).status_code == 303
    assert user_named(board, "vera").may_change(board.site())
    assert board.post(f"/{SITE}/people", {"act": "remove", "name": "vera"}).status_code == 303
    assert not user_named(board, "vera").sees(board.site())
    assert noted(board) == [
        ("olga", SITE, "Role changed", "vera: viewer", "vera: owner"),
        ("olga", SITE, "Member removed from the site", "vera: owner", ""),
    ]


def test_an_owner_takes_nothing_from_an_administrator(board: Board) -> None:
    """What an administrator is does not change by site."""
    board.sign_in("olga")
    for form in ({"act": "role", "role": "viewer"}, {"act": "remove"}):
        answer = board.post(f"/{SITE}/people", {**form, "name": "admin"})
        assert answer.status_code == 422
    assert user_named(board, "admin").role == "admin"


def test_an_owner_makes_nobody_an_administrator(board: Board) -> None:
    """Neither by a role nor by an invitation."""
    board.sign_in("olga")
    for act in ("role", "invite"):
        answer = board.post(f"/{SITE}/people", {"act": act, "name": "vera", "role": "admin"})
        assert answer.status_code == 422
    assert user_named(board, "vera").role == "viewer"


def test_an_invitation_makes_an_account_once(board: Board) -> None:
    """The link is shown once, kept as a hash, and leads to the site; the second time it is over."""
    board.sign_in("olga")
    path = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer", "note": "Ida"}))
    secret = path.rpartition("/")[2]
    rows = board.database.query("SELECT id, record FROM invitations").result_rows
    assert secret not in repr(rows)
    assert secret not in board.get(f"/{SITE}/people").text
    leave(board)
    assert "invites you to example.com" in board.get(path).text
    joined = board.post(path, {"name": "ida", "password": "a quiet password"})
    assert (joined.status_code, joined.headers["location"]) == (303, f"/{SITE}")
    assert board.get(f"/{SITE}").status_code == 200
    assert user_named(board, "ida").role_on(board.site()) == "viewer"
    leave(board)
    assert board.get(path).status_code == 410
    assert board.post(path, {"name": "eve", "password": "a quiet password"}).status_code == 410
    assert [what for _, _, what, _, _ in noted(board)] == ["Member invited", "Invitation accepted"]


def test_an_invitation_adds_the_site_to_who_is_signed_in(board: Board) -> None:
    """And gives what it says, for this site alone; who owns it already loses nothing."""
    board.add_user("nils", "viewer")
    board.sign_in("olga")
    path = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "owner"}))
    other = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer"}))
    leave(board)
    board.sign_in("nils")
    assert "Accept as nils" in board.get(path).text
    assert board.post(path, {}).headers["location"] == f"/{SITE}"
    assert user_named(board, "nils").roles == {board.site().id: "owner"}
    assert not user_named(board, "nils").may_add_sites
    board.post(other, {})
    assert user_named(board, "nils").may_change(board.site())


@pytest.mark.parametrize("how", ["old", "revoked", "unknown", "site gone", "maker gone"])
def test_a_link_that_is_over_opens_nothing(board: Board, how: str) -> None:
    """Seven days, or until it is taken back, or its site is gone, or who made it might not make it any more."""
    board.sign_in("olga")
    path = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer"}))
    if how == "old":
        board.clock.now += GOOD_FOR
    elif how == "revoked":
        ((id_, _),) = anyio.run(board.dashboard.invitations.open_for, board.site().id)
        assert board.post(f"/{SITE}/people", {"act": "revoke", "id": id_}).status_code == 303
    elif how == "unknown":
        path = path[:-1] + ("A" if path[-1] != "A" else "B")
    elif how == "site gone":
        anyio.run(board.dashboard.sites.remove, SITE)
    else:
        site = board.site()
        anyio.run(board.dashboard.users.update, "olga", lambda user: user.with_role(site.id, "viewer"))
    leave(board)
    assert board.get(path).status_code == 410
    assert board.post(path, {"name": "eve", "password": "a quiet password"}).status_code == 410
    assert board.dashboard.users.get("eve") is None


def test_links_cannot_be_guessed_without_end(board: Board) -> None:
    """And who tries keeps nobody from signing in, nor does a page that has browsers of their network try."""
    tried = [board.get(f"/invitation/{number}").status_code for number in range(11)]
    assert tried == [410] * 10 + [429]
    tried = [board.get(f"/unsubscribe/{number}").status_code for number in range(11)]
    assert tried == [404] * 10 + [429]
    assert board.sign_in().status_code == 303


def test_unknown_links_of_many_networks_keep_nobody_waiting(board: Board, database: Client) -> None:
    """One client may have thousands (IPv6): a few are looked up at a time, beside all else that takes a thread."""
    go_on = threading.Event()

    class Stuck(DocumentTable[Invitation]):
        def get(self, id_: str) -> Invitation | None:
            go_on.wait()
            return super().get(id_)

    async def asked() -> None:
        board.dashboard.invitations._records = Stuck(database, "invitations", Invitation)
        waiting = [asyncio.create_task(board.dashboard.invitations.peek(str(number))) for number in range(100)]
        try:
            async with asyncio.timeout(10):
                await asyncio.sleep(0)
                assert await anyio.to_thread.run_sync(lambda: True)
        finally:
            go_on.set()
        assert await asyncio.gather(*waiting) == [None] * 100

    asyncio.run(asked())


def test_two_at_once_use_a_link_once(board: Board) -> None:
    """Whoever comes second finds it used."""
    invitations = board.dashboard.invitations

    async def race() -> list[Invitation | None]:
        secret = await invitations.make(Invitation(by="olga", made=NOON, site=board.site().id))
        found: list[Invitation | None] = []

        async def use() -> None:
            found.append(await invitations.redeem(secret))

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(use)
        return found

    assert sum(each is not None for each in anyio.run(race)) == 1


def test_a_taken_name_and_a_short_password_do_not_use_the_link_up(board: Board) -> None:
    """The error stands beside its field, and the link is still good."""
    board.sign_in("olga")
    path = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer"}))
    leave(board)
    taken = board.post(path, {"name": "admin", "password": "a quiet password"})
    assert taken.status_code == 422
    assert read(taken.text).attributes(name="name")["aria-invalid"] == "true"
    assert board.post(path, {"name": "ida", "password": "short"}).status_code == 422
    assert board.post(path, {"name": "ida", "password": "a quiet password"}).status_code == 303
    assert board.sign_in().status_code == 303


def test_a_link_for_a_new_password_is_good_once(board: Board) -> None:
    """It signs every browser out, and in with the new one; a newer link ends an older."""
    board.sign_in("vera")
    vera = board.cookies
    leave(board)
    board.sign_in()
    first = made_link(board.post("/users", {"act": "password", "name": "vera"}))
    path = made_link(board.post("/users", {"act": "password", "name": "vera"}))
    leave(board)
    assert board.get(first).status_code == 410
    assert board.post(path, {"password": "short"}).status_code == 422
    assert board.post(path, {"password": "a louder password"}).headers["location"] == "/"
    assert board.get(f"/{SITE}").status_code == 200
    assert board.post(path, {"password": "a third password"}).status_code == 410
    board.cookies = vera
    assert board.get("/").status_code == 303
    assert board.sign_in("vera", "a louder password").status_code == 303


@pytest.mark.parametrize("how", ["by the account", "by an administrator", "by another link's race"])
def test_a_link_for_a_new_password_ends_with_the_password_it_was_made_for(board: Board, how: str) -> None:
    """Whoever has an old link to an account cannot take it after its password was changed."""
    board.sign_in()
    path = made_link(board.post("/users", {"act": "password", "name": "vera"}))
    leave(board)
    if how == "by the account":
        board.sign_in("vera")
        board.post("/account", {"act": "password", "old": PASSWORD, "password": "a louder password"})
        leave(board)
    else:
        louder = anyio.run(board.dashboard.passwords.hash, "a louder password")

        def changed(user: User) -> User:
            return msgspec.structs.replace(user, password=louder)

        if how == "by an administrator":
            anyio.run(board.dashboard.users.update, "vera", changed)
        else:
            use = board.dashboard.invitations.redeem

            async def used(secret: str) -> Invitation | None:
                await board.dashboard.users.update("vera", changed)
                return await use(secret)

            object.__setattr__(board.dashboard.invitations, "redeem", used)
    if how != "by another link's race":
        assert board.get(path).status_code == 410
    assert board.post(path, {"password": "a password of somebody else"}).status_code == 410
    assert board.sign_in("vera", "a password of somebody else").status_code == 401
    assert board.sign_in("vera", "a louder password").status_code == 303


def test_an_invitation_opens_no_password_and_the_other_way_round(board: Board) -> None:
    """A link is for what it was made for."""
    board.sign_in()
    invited = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer"}))
    reset = made_link(board.post("/users", {"act": "password", "name": "vera"}))
    assert board.get(invited.replace("invitation", "password")).status_code == 410
    assert board.get(reset.replace("password", "invitation")).status_code == 410


def test_the_last_administrator_stays_one(board: Board) -> None:
    """Somebody has to be."""
    board.sign_in()
    for form in ({"act": "remove"}, {"act": "role", "role": "owner"}):
        assert board.post("/users", {**form, "name": "admin"}).status_code == 422
    assert user_named(board, "admin").role == "admin"


def test_an_account_changes_its_role_and_keeps_its_sites(board: Board) -> None:
    """Who becomes a viewer of the installation stays the owner of their site."""
    board.sign_in()
    assert board.post("/users", {"act": "role", "name": "olga", "role": "viewer"}).status_code == 303
    olga = user_named(board, "olga")
    assert (olga.role, olga.role_on(board.site()), olga.may_add_sites) == ("viewer", "owner", False)
    assert board.post("/users", {"act": "remove", "name": "vera"}).status_code == 303
    assert board.dashboard.users.get("vera") is None


def test_ones_own_password_is_changed_with_the_old_one(board: Board) -> None:
    """This browser stays signed in, the others are signed out."""
    board.sign_in("vera")
    elsewhere = board.cookies
    leave(board)
    board.sign_in("vera")
    assert board.post("/account", {"act": "password", "old": "wrong", "password": "a louder one"}).status_code == 422
    assert board.post("/account", {"act": "password", "old": PASSWORD, "password": "short"}).status_code == 422
    changed = board.post("/account", {"act": "password", "old": PASSWORD, "password": "a louder one"})
    assert changed.headers["location"] == "/account?done=password"
    assert board.get("/account").status_code == 200
    board.cookies = elsewhere
    assert board.get("/account").status_code == 303


def test_the_old_password_cannot_be_guessed_without_end(board: Board) -> None:
    """Somebody at an unlocked screen has ten tries."""
    board.sign_in("vera")
    form = {"act": "password", "old": "wrong", "password": "a louder one"}
    for _ in range(10):
        assert "not your current password" in board.post("/account", form).text
    assert "Too many attempts" in board.post("/account", {**form, "old": PASSWORD}).text


def test_signed_in_browsers_are_listed_and_ended(board: Board) -> None:
    """By a coarse name and two days; the cookie that was copied before opens nothing after."""
    board.sign_in("vera", headers={"user-agent": FIREFOX})
    copied = board.cookies
    leave(board)
    board.sign_in("vera")
    page = board.get("/account").text
    assert "Firefox on Linux" in page
    own = board.dashboard.sessions.of(user_named(board, "vera"))
    (other,) = [id_ for id_, session in own if session.browser]
    assert board.post("/account", {"act": "end", "id": other}).status_code == 303
    board.cookies = copied
    assert board.get("/").status_code == 303


def test_all_other_browsers_are_ended_at_once(board: Board) -> None:
    """But not this one, and nobody else's."""
    browsers = []
    for _ in range(3):
        board.sign_in("vera")
        browsers.append(board.cookies)
        leave(board)
    board.sign_in("olga")
    olga, board.cookies = board.cookies, browsers[1]
    board.post("/account", {"act": "end_others"})
    answers = []
    for cookies in (*browsers, olga):
        board.cookies = cookies
        answers.append(board.get("/").status_code)
    assert answers == [303, 200, 303, 200]


def test_nobody_ends_a_browser_of_another(board: Board) -> None:
    """Whatever id is sent."""
    board.sign_in("vera")
    vera = board.cookies
    ((id_, _),) = board.dashboard.sessions.of(user_named(board, "vera"))
    leave(board)
    board.sign_in("olga")
    board.post("/account", {"act": "end", "id": id_})
    board.cookies = vera
    assert board.get("/").status_code == 200


def test_a_sign_in_stores_no_address_and_no_user_agent(board: Board) -> None:
    """Families of browser and system, and days; of the token only a hash."""
    board.sign_in("vera", peer="203.0.113.99", headers={"user-agent": f"{FIREFOX} canary/77"})
    rows = repr(board.database.query("SELECT * FROM sessions").result_rows)
    assert "Firefox" in rows
    assert not re.search(r"203\.0\.113|canary|Firefox.140|rv:", rows)
    assert board.cookies[f"__Host-{COOKIE}"].partition(".")[0] not in rows


def test_a_sign_in_lasts_a_fortnight_and_its_record_goes_with_it(board: Board) -> None:
    """By the server's clock, whatever the browser keeps."""
    board.sign_in("vera")
    board.clock.now += SESSION_DAYS * DAY
    assert board.get("/").status_code == 200
    board.clock.now += 1
    assert board.get("/").status_code == 303
    board.dashboard.sessions.refresh()
    assert board.database.query("SELECT count() FROM sessions FINAL").result_rows[0][0] == 0


def test_the_day_of_the_last_use_is_written_by_the_upkeep(board: Board) -> None:
    """A request writes nothing; a sign-in that was ended meanwhile does not come back by it."""
    board.sign_in("vera")
    board.clock.now += 24 * 3600
    assert board.get("/").status_code == 200
    records = DocumentTable(board.database, "sessions", Session)
    ((id_, stored),) = records.all().items()
    board.dashboard.sessions.refresh()
    assert (records.all()[id_].last_used - stored.last_used).days == 1
    board.clock.now += 24 * 3600
    assert board.get("/").status_code == 200
    records.delete(id_)
    board.dashboard.sessions.refresh()
    assert records.all() == {}
    assert board.get("/").status_code == 303


def test_another_worker_knows_a_sign_in_at_once(board: Board) -> None:
    """It asks the database for a young one, and only for that: an ended one costs it nothing, a young one that has
    ended one question until it reads them all again."""
    board.sign_in("vera")
    users = Users(DocumentTable(board.database, "users", User))
    users.refresh()
    asked = []

    class Asked(DocumentTable[Session]):
        def get(self, id_: str) -> Session | None:
            asked.append(id_)
            return super().get(id_)

    other = Sessions(Asked(board.database, "sessions", Session), users, SECRETS, board.clock)
    request = starlette_request(board.cookies[f"__Host-{COOKIE}"])
    assert other.user(request) == user_named(board, "vera")
    fresh = Sessions(Asked(board.database, "sessions", Session), users, SECRETS, board.clock)
    board.clock.now += YOUNG + 1
    assert fresh.user(request) is None
    assert len(asked) == 1
    board.clock.now -= YOUNG
    other.forget_user("vera")
    assert [other.user(request) for _ in range(3)] == [None] * 3
    assert len(asked) == 2
    other.refresh()
    assert other.user(request) is None
    assert len(asked) == 3


def test_every_change_of_a_setting_is_noted(board: Board) -> None:
    """One line each, before and after, in words; of what stayed the same none."""
    board.sign_in("olga")
    form = {"section": "keeping", "retention_days": "30", "min_visitors": "3", "strict": "on"}
    assert board.post(f"/{SITE}/settings", form).status_code == 303
    assert noted(board) == [
        ("olga", SITE, "Retention changed, in days", "760", "30"),
        ("olga", SITE, "Strict protection of small counts changed", "no", "yes"),
    ]
    page = board.get(f"/{SITE}/changes").text
    assert "Retention changed, in days" in page
    assert "olga" in page


def test_sections_of_the_settings_are_saved_one_by_one(board: Board) -> None:
    """A form changes its own fields and no other; lists are taken line by line."""
    board.sign_in("olga")
    counting = {
        "section": "counting", "hostnames": "https://Example.com:8443\n*.example.com/", "excluded_paths": "/admin/**",
        "excluded_countries": "no, se", "rate_limit": "", "datacenter": "drop",
    }  # fmt: skip
    assert board.post(f"/{SITE}/settings", counting).status_code == 303
    assert board.post(f"/{SITE}/settings", {"section": "public", "public": "on"}).status_code == 303
    site = board.dashboard.sites.get(SITE)
    assert site
    assert site.hostnames == ("example.com", "*.example.com")
    assert (site.excluded_paths, site.excluded_countries) == (("/admin/**",), ("NO", "SE"))
    assert (site.public, site.rate_limit, site.timezone, site.datacenter) == (True, None, "UTC", "drop")
    shown = board.get(f"/{SITE}/settings").text
    assert 'name="datacenter" value="drop" checked' in shown
    assert "so their visits cannot be recognized." in shown
    assert board.post(f"/{SITE}/settings", {"section": "public"}).status_code == 303
    assert board.dashboard.sites.get(SITE) == msgspec.structs.replace(site, public=False)


WRONG = (
    ("general", "timezone", "Europe/Stokholm"),
    ("consent", "consent", "never"),
    ("keeping", "retention_days", "many"),
    ("keeping", "min_visitors", "0"),
    ("counting", "hostnames", "two words;"),
    ("counting", "excluded_paths", "admin"),
    ("counting", "excluded_countries", "XX"),
    ("counting", "rate_limit", "-1"),
    ("counting", "datacenter", "maybe"),
    ("addresses", "query_keys", "a b&c"),
    ("addresses", "hidden_paths", "/plain"),
    ("addresses", "hidden_paths", "/**/notes"),
    ("addresses", "hidden_paths", " ".join(f"/{number}/*" for number in range(51))),
    ("notice", "contact", "x" * 301),
)


def test_an_error_stands_beside_its_field(board: Board) -> None:
    """And nothing was saved."""
    before = board.dashboard.sites.get(SITE)
    board.sign_in("olga")
    for section, field, value in WRONG:
        answer = board.post(f"/{SITE}/settings", {"section": section, field: value})
        assert answer.status_code == 422
        assert f'id="{field}-problem"' in answer.text
    assert board.dashboard.sites.get(SITE) == before
    assert noted(board) == []


def test_an_owner_tries_patterns_before_they_are_saved(board: Board) -> None:
    """What would be kept is shown as the pipeline keeps it, with the patterns that were typed; nothing is saved, and
    no table and no log has the address. Saved, they hold, and the change is noted."""
    board.sign_in("olga")
    form = {"section": "addresses", "hidden_paths": "/patients/*/notes", "query_keys": "page"}
    secret = "anna-svensson"
    url = f"https://www.{SITE}/patients/{secret}/notes?page=2&name={secret}&utm_source=letter&gclid=1"
    tried = board.post(f"/{SITE}/settings", {**form, "try": "on", "tried": url})
    assert tried.status_code == 200
    shown = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", tried.text)
    assert shown == [
        ("Hostname", SITE),
        ("Page", "/patients/:hidden/notes?page=2"),
        ("utm_source", "letter"),
        ("Click identifier", "gclid"),
    ]
    assert "not saved yet" in tried.text
    site = board.dashboard.sites.get(SITE)
    assert site
    assert (site.hidden_paths, site.query_keys, noted(board)) == ((), (), [])
    tables = board.database.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    for (name,) in tables:
        rows = board.database.query("SELECT * FROM {table:Identifier}", parameters={"table": name}).result_rows
        assert secret not in repr(rows)
    assert board.post(f"/{SITE}/settings", {**form, "tried": url}).status_code == 303
    site = board.dashboard.sites.get(SITE)
    assert site
    assert (site.hidden_paths, site.query_keys) == (("/patients/*/notes",), ("page",))
    assert noted(board) == [
        ("olga", SITE, "Query parameters to keep changed", "none", "page"),
        ("olga", SITE, "Hidden parts of paths changed", "none", "/patients/*/notes"),
    ]
    assert secret not in board.get(f"/{SITE}/settings").text


@pytest.mark.parametrize("typed", ["", "  ", "no address at all", "<b>https://x.test</b>", "https://[", "\x00" * 9])
def test_whatever_is_typed_to_be_tried_is_answered(board: Board, typed: str) -> None:
    """Text that is no address is shown as what would be kept of it, as text; none shows nothing."""
    board.sign_in("olga")
    answer = board.post(f"/{SITE}/settings", {"section": "addresses", "try": "on", "tried": typed})
    assert answer.status_code == 200
    assert ('id="becomes"' in answer.text) == bool(typed.strip())
    assert "<b>https" not in answer.text


def test_a_deletion_is_previewed_then_done(board: Board) -> None:
    """How many events, before anything is deleted; a note that does not repeat what was to be forgotten."""
    board.seed([pageview(number, page="/private/ada") for number in range(1, 4)] + [pageview(9)])
    board.sign_in("olga")
    form = {"act": "preview", "first": "2026-05-01", "last": "2026-05-20", "field": "page", "value": "/private/*"}
    preview = board.post(f"/{SITE}/data", form)
    assert "3 events would be deleted" in preview.text
    assert board.dashboard.deletions.all() == []
    assert board.post(f"/{SITE}/data", {**form, "act": "delete"}).status_code == 303
    assert "in progress" in board.get(f"/{SITE}/data").text
    assert board.dashboard.deletions.run_pending()
    assert board.database.query("SELECT page FROM events").result_rows == [("/",)]
    assert "in progress" not in board.fragment(f"/{SITE}/data", "tasks").text
    ((who, site, what, before, _),) = noted(board)
    assert (who, site, what) == ("olga", SITE, "Data deleted")
    assert "3 events" in before
    assert "private" not in before


@pytest.mark.parametrize(("act", "field"), [("reset", "confirm_reset"), ("remove", "confirm")])
def test_nothing_is_deleted_as_a_whole_without_its_name_being_typed(board: Board, act: str, field: str) -> None:
    """A click alone deletes nothing."""
    board.seed([pageview(1)])
    board.sign_in("olga")
    for typed in ("", "example.org"):
        answer = board.post(f"/{SITE}/data", {"act": act, field: typed})
        assert answer.status_code == 422
        assert f'id="{field}-problem"' in answer.text
    assert board.dashboard.deletions.all() == []
    assert board.post(f"/{SITE}/data", {"act": act, field: SITE}).status_code == 303
    assert board.dashboard.deletions.run_pending()
    assert board.database.query("SELECT count() FROM events").result_rows[0][0] == 0
    assert (board.dashboard.sites.get(SITE) is None) == (act == "remove")


def test_a_site_is_renamed_with_its_people(board: Board) -> None:
    """Who saw it sees it under the new name; the old one is let go later."""
    board.seed([pageview(1)])
    board.sign_in("olga")
    answer = board.post(f"/{SITE}/data", {"act": "rename", "domain": "new.example"})
    assert answer.headers["location"] == "/new.example/data"
    assert board.dashboard.deletions.run_pending()
    assert board.get("/new.example").status_code == 200
    bookmark = board.get(f"/{SITE}/details/pages?period=7d")
    assert (bookmark.status_code, bookmark.headers["location"]) == (307, "/new.example/details/pages?period=7d")
    assert user_named(board, "vera").role_on(board.site("new.example")) == "viewer"
    assert board.database.query("SELECT DISTINCT site FROM events").result_rows == [("new.example",)]
    assert board.post("/new.example/data", {"act": "release", "alias": SITE}).status_code == 303
    assert board.dashboard.sites.measured(SITE) is None
    assert board.get(f"/{SITE}").status_code == 404


def test_a_name_that_cannot_be_is_refused(board: Board) -> None:
    """Beside its field."""
    board.sign_in("olga")
    for name in ("", "login", "two words", SITE):
        answer = board.post(f"/{SITE}/data", {"act": "rename", "domain": name})
        assert answer.status_code == 422
        assert 'id="domain-problem"' in answer.text


def test_the_language_is_a_choice_of_this_browser(board: Board) -> None:
    """A cookie that holds it; none goes back to what the browser asks for."""
    board.sign_in("vera")
    board.post("/account", {"act": "language", "language": "en"})
    assert board.cookies["__Host-tyst_language"] == "en"
    board.post("/account", {"act": "language", "language": "../../etc"})
    assert "__Host-tyst_language" not in board.cookies


def test_people_without_a_site_are_told_so(board: Board) -> None:
    """And what to do about it."""
    board.add_user("nils", "viewer")
    board.sign_in("nils")
    assert "No sites yet" in board.get("/").text


def starlette_request(cookie: str) -> Request:
    return Request({"type": "http", "scheme": "https", "headers": [(b"cookie", f"__Host-{COOKIE}={cookie}".encode())]})


def test_nobody_has_invitations_without_number(board: Board) -> None:
    """Of all sites together a hundred are open at a time; what is over or of another user does not count."""
    invitations = board.dashboard.invitations
    assert Invitations.max_of_user == 100
    invitations.max_of_user = 2

    def invite(by: str) -> None:
        anyio.run(invitations.make, Invitation(by=by, made=int(board.clock.now), site=board.site().id))

    invite("admin")
    invite("admin")
    with pytest.raises(RecordError):
        invite("admin")
    board.sign_in()
    answer = board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer"})
    assert (answer.status_code, "You have 2 active links" in answer.text) == (422, True)
    invite("olga")
    board.clock.now += GOOD_FOR
    invite("admin")


def test_a_user_is_signed_in_with_a_bounded_number_of_browsers(board: Board) -> None:
    """A hundred; one more signs the oldest out."""
    assert Sessions.max_of_user == 100
    board.dashboard.sessions.max_of_user = 2
    browsers = []
    for _ in range(3):
        board.cookies = httpx.Cookies()
        board.clock.now += 1
        assert board.sign_in().status_code == 303
        browsers.append(board.cookies)
    found = []
    for each in browsers:
        board.cookies = each
        found.append(board.get("/account").status_code)
    assert found == [303, 200, 200]


def test_links_go_out_by_mail_where_there_is_a_mail_server(
    clickhouse: ClickHouse, database: Client, tmp_path: Path
) -> None:
    """Invitation and password link; where the server does not take one, the page says so and shows the link."""
    with mail_server() as mail:
        with opened_board(clickhouse, database, tmp_path, **mail.settings()) as board:
            board.add_site()
            board.sign_in()
            address = {"address": "anna@example.com"}
            invited = board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer", **address})
            assert "accepted by the mail server" in invited.text
            reset = board.post("/users", {"act": "password", "name": "admin", **address})
            assert [message["Subject"] for message in mail.messages] == [
                f"You are invited to {SITE}", "Choose a new password"
            ]  # fmt: skip
            for page, message in zip((invited, reset), mail.messages, strict=True):
                for kind in ("plain", "html"):
                    part = message.get_body((kind,))
                    assert part is not None
                    assert f"https://tyst.test{made_link(page)}" in part.get_content()
            mail.answer = "451 try later"
            failed = board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer", **address})
            assert "could not be sent" in failed.text
            assert made_link(failed)
            refused = board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer", "address": "anna@"})
            assert refused.status_code == 422
            again = [board.post(f"/{SITE}/people", {"act": "invite", "role": "viewer", **address}) for _ in range(3)]
            assert ["too much was sent" in page.text for page in again] == [False, False, True], "five to one address"
            assert made_link(again[-1])
        assert not [row for row in noted(board) if "anna" in str(row)]


def test_without_a_mail_server_no_address_is_asked_for(board: Board) -> None:
    """Links are shown, as ever."""
    board.sign_in()
    assert 'name="address"' not in board.get(f"/{SITE}/people").text
    assert 'name="address"' not in board.get("/users").text


def test_the_only_administrator_keeps_the_role(board: Board) -> None:
    """The page offers no change of it, until there is another one."""
    board.sign_in()
    role = re.compile(r'<select name="role" aria-label="Role of admin"( disabled)?>')
    assert role.findall(board.get("/users").text) == [" disabled"]
    board.add_user("anna", "admin")
    assert role.findall(board.get("/users").text) == [""]


@pytest.mark.parametrize("page", [f"/{SITE}/people", "/users", "/invitation"])
def test_whoever_loses_a_role_does_not_take_it_back(board: Board, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """The right to a change is seen when it is made: requests that wait for the same lock come after the demotion."""
    users, site = board.dashboard.users, board.site()
    board.add_user("ada", "admin")
    name, role = ("ada", "admin") if page == "/users" else ("olga", "owner")
    board.sign_in(name)
    if page == "/invitation":
        page = made_link(board.post(f"/{SITE}/people", {"act": "invite", "role": role}))
    update = users.update

    async def demoted_first(other: str, change: Callable[[User], User]) -> tuple[User, User]:
        await update("ada", lambda user: msgspec.structs.replace(user, role="viewer"))
        await update("olga", lambda user: user.with_role(site.id, "viewer"))
        return await update(other, change)

    monkeypatch.setattr(users, "update", demoted_first)
    answer = board.post(page, {"act": "role", "name": name, "role": role})
    assert answer.status_code == (410 if "invitation" in page else 403)
    assert (user_named(board, "ada").role, user_named(board, "olga").role_on(site)) == ("viewer", "viewer")


def test_whoever_is_no_administrator_any_more_removes_nobody(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does somebody who has got the name meanwhile have the rights of who had it."""
    users = board.dashboard.users
    board.add_user("ada", "admin")
    board.sign_in("ada")
    remove = users.remove

    async def replaced_first(*given: Any) -> None:
        await remove("ada")
        await users.add(User(name="ada", password="", role="admin"))
        await remove(*given)

    monkeypatch.setattr(users, "remove", replaced_first)
    assert board.post("/users", {"act": "remove", "name": "olga"}).status_code == 403
    assert users.get("olga") is not None
