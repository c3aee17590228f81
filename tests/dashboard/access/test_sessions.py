"""Signing in: who gets in, for how long, how often one may try, and which posts count."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from starlette.datastructures import Headers
from starlette.routing import Route

from collector.core.errors import RecordError
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.csrf import safe_target, same_origin
from dashboard.access.sessions import COOKIE, DAY, SESSION_DAYS
from dashboard.access.users import User, Users, ensure_admin
from tests.board import PASSWORD, SITE, Board, cheap_passwords, opened_board
from tests.markup import read


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard that nobody is signed in to."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        yield opened


def test_the_right_password_opens_the_page_that_was_asked_for(board: Board) -> None:
    """A stranger is sent to sign in, and from there to where they wanted to go."""
    board.add_site()
    asked = board.get(f"/{SITE}?period=7d")
    assert (asked.status_code, asked.headers["location"]) == (303, f"/login?next=%2F{SITE}%3Fperiod%3D7d")
    door = read(board.get(asked.headers["location"]).text)
    target = door.attributes(name="next")["value"]
    signed = board.post("/login", {"name": "admin", "password": PASSWORD, "next": target})
    assert (signed.status_code, signed.headers["location"]) == (303, f"/{SITE}?period=7d")
    assert board.get(f"/{SITE}?period=7d").status_code == 200


@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_a_wrong_name_and_a_wrong_password_look_the_same(board: Board, name: str) -> None:
    """Who tries names learns nothing: the same answer whether the user exists or not, and no cookie."""
    answer = board.sign_in(name, "wrong")
    assert answer.status_code == 401
    assert "Incorrect user name or password" in answer.text
    assert "wrong" not in answer.text
    assert f"__Host-{COOKIE}" not in board.cookies
    assert board.get("/").status_code == 303


def test_the_cookie_is_kept_from_scripts_and_other_sites(board: Board) -> None:
    """HttpOnly and SameSite=Lax always; Secure over https, where plain http would never send it back."""
    flags = {part.strip().lower() for part in board.sign_in().headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=lax", "secure", "path=/", f"max-age={SESSION_DAYS * DAY}"} <= flags
    board.secure = False
    assert "secure" not in board.sign_in().headers["set-cookie"].lower()


def test_names_that_administrators_use_are_the_server_s(board: Board) -> None:
    """As long as one is signed in; what others use may be a site's own."""
    sessions = board.dashboard.sessions
    board.add_user("anna", "owner")
    board.sign_in("anna", headers={"host": "shop.test"})
    assert sessions.hosts_of_admins() == frozenset()
    board.cookies.clear()
    board.sign_in()
    sessions.refresh()
    assert sessions.hosts_of_admins() == {"tyst.test"}
    board.post("/logout", {})
    assert sessions.hosts_of_admins() == frozenset()


def test_a_changed_cookie_opens_nothing(board: Board) -> None:
    """The signature covers every character."""
    board.sign_in()
    value = board.cookies[f"__Host-{COOKIE}"]
    # The last bits of base64 may mean nothing, so the other character differs in the first ones.
    changed = [value[:at] + ("g" if sign < "a" else "A") + value[at + 1 :] for at, sign in enumerate(value)]
    for forged in (*changed, f"x{value}", value.replace(".", "", 1), "", "."):
        board.cookies.clear()
        board.cookies.set(f"__Host-{COOKIE}", forged, domain="tyst.test")
        assert board.get("/").status_code == 303


def test_a_new_password_signs_every_browser_out(board: Board) -> None:
    """The cookie is bound to the password that opened it."""
    board.sign_in()
    assert board.get("/").status_code == 200
    user = board.dashboard.users.get("admin")
    assert user is not None
    hashed = anyio.run(board.dashboard.passwords.hash, "another password")
    anyio.run(board.dashboard.users.update, "admin", lambda user: msgspec.structs.replace(user, password=hashed))
    assert board.get("/").status_code == 303


def test_a_removed_user_is_signed_out(board: Board) -> None:
    """No account, no session."""
    board.add_user("vera")
    board.sign_in("vera")
    assert board.get("/").status_code == 200
    anyio.run(board.dashboard.users.remove, "vera")
    assert board.get("/").status_code == 303


def test_signing_out_ends_it(board: Board) -> None:
    """After signing out the browser holds no cookie and sees no page."""
    board.sign_in()
    assert board.post("/logout", {}).headers["location"] == "/login"
    assert f"__Host-{COOKIE}" not in board.cookies
    assert board.get("/").status_code == 303


def test_too_many_attempts_must_wait_and_are_told_how_long(board: Board) -> None:
    """After ten wrong passwords even the right one waits out the quarter of an hour."""
    for _ in range(10):
        assert board.sign_in(password="wrong").status_code == 401
        board.clock.now += 1
    refused = board.sign_in()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "890")
    assert "Try again in 15 minutes" in refused.text
    board.clock.now += 890
    assert board.sign_in().status_code == 303


def test_nobody_locks_a_name_out_from_elsewhere(board: Board) -> None:
    """Any number of wrong passwords for `admin`, from many networks, keeps nobody out who comes from another."""
    for number in range(40):
        assert board.sign_in(password="wrong", peer=f"192.0.2.{number}").status_code == 401
    assert board.sign_in(peer="198.51.100.1").status_code == 303


@pytest.mark.parametrize("where", ["/login", "/invitation/x", "/account"])
def test_attempts_of_one_ipv6_network_count_together(board: Board, where: str) -> None:
    """Whoever has a /64 has one network, however many addresses are in it."""
    if where == "/account":
        board.sign_in()

    def attempt(peer: str) -> int:
        form = {"act": "password", "name": "admin", "password": "wrong", "old": "wrong"}
        return board.post(where, form, peer=peer).status_code

    for number in range(10):
        assert attempt(f"2001:db8:1:2::{number:x}") in (401, 410, 422)
    refused = board.post(where, {"act": "password", "name": "admin", "password": PASSWORD}, peer="2001:db8:1:2:ffff::1")
    assert refused.status_code in (429, 422)
    assert "Too many attempts" in refused.text or refused.status_code == 429
    assert attempt("2001:db8:1:3::1") in (401, 410, 422)


def test_one_address_cannot_try_many_names(board: Board) -> None:
    """Twenty attempts from one address, whatever the names; another address is not kept out by them."""
    for number in range(20):
        assert board.sign_in(f"name{number}", "wrong").status_code == 401
    assert board.sign_in().status_code == 429
    assert board.sign_in(peer="198.51.100.1").status_code == 303


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://tyst.test"}, False),
        ({"origin": "https://tyst.test"}, True),
        ({"origin": "https://evil.test"}, False),
        ({"origin": "https://tyst.test.evil.test"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://[203.0.113.7x]"}, False),
        ({"origin": "https://[::1"}, False),
        ({}, True),
    ],
)
def test_posts_from_elsewhere_are_told_apart(headers: dict[str, str], own: bool) -> None:
    """Sec-Fetch-Site decides where the browser sends it, Origin where it does not; no browser sends neither."""
    assert same_origin(Headers({"host": "tyst.test", **headers})) is own


def addresses(board: Board, method: str, site: str) -> list[str]:
    """Every address of the dashboard that takes the method, with `site` where a site is named."""
    named = {"domain": site, "token": "nobody", "secret": "nobody", "panel": "pages"}
    routes = [route for route in board.app.routes if isinstance(route, Route)]
    return [
        re.sub(r"\{(\w+)[^}]*\}", lambda name: named.get(name[1], "x"), route.path)
        for route in routes
        if method in (route.methods or ())
    ]


def test_every_post_from_another_site_is_refused(board: Board) -> None:
    """A form on another site changes nothing, at no address, even with the cookie."""
    board.add_site()
    board.sign_in()
    form = {"name": "admin", "password": PASSWORD, "domain": "new.example", "confirm": SITE, "act": "delete"}
    paths = addresses(board, "POST", SITE)
    assert {"/login", "/logout", "/sites/new", f"/{SITE}/settings", f"/{SITE}/delete", f"/{SITE}/people"} <= set(paths)
    answers = {path: board.post(path, form, headers={"sec-fetch-site": "cross-site"}).status_code for path in paths}
    assert answers == dict.fromkeys(paths, 403)
    assert [site.domain for site in board.dashboard.sites.all()] == [SITE]
    assert board.get("/").status_code == 200


def test_another_owner_s_site_is_not_there_at_any_address(board: Board) -> None:
    """Whoever owns one site finds nothing of another and changes nothing there, wherever they knock."""
    board.add_site()
    board.add_site("other.example")
    board.add_user("olle", "owner", SITE)
    board.sign_in("olle")
    form = {"confirm": "other.example", "act": "delete", "name": "olle", "date": "2026-05-20", "text": "here"}
    for method in ("GET", "POST"):
        paths = [path for path in addresses(board, method, "other.example") if path.startswith("/other.example")]
        assert len(paths) > 5
        answers = [board.post(path, form) if method == "POST" else board.get(path) for path in paths]
        assert {path: answer.status_code for path, answer in zip(paths, answers, strict=True)} == dict.fromkeys(
            paths, 404
        )
    assert {site.domain for site in board.dashboard.sites.all()} == {SITE, "other.example"}


@pytest.mark.parametrize(
    ("target", "safe"),
    [
        ("/example.com?f=is,event:page,/a//b", "/example.com?f=is,event:page,/a//b"),
        ("https://evil.test/", "/"),
        ("//evil.test/", "/"),
        ("/\\evil.test", "/"),
        ("/a\\b", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.test", "/"),
        ("/\n/evil.test", "/"),
        ("example.com", "/"),
        ("//[203.0.113.7x]/", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_nowhere_else(target: str, safe: str) -> None:
    """Only a path of this server is a place to go on to."""
    assert safe_target(target) == safe


def test_the_first_start_makes_an_admin_with_a_new_password(database: Client) -> None:
    """The generated password is returned once, works, and stands nowhere in the record."""
    users, passwords = Users(DocumentTable(database, "users", User)), cheap_passwords()
    password = anyio.run(ensure_admin, users, passwords, None)
    assert password is not None
    assert len(password) >= 16
    admin = users.get("admin")
    assert admin is not None
    assert admin.role == "admin"
    assert anyio.run(passwords.matches, admin.password, password)
    assert password not in repr(DocumentTable(database, "users", User).all())


def test_the_operators_password_is_not_told_again(database: Client) -> None:
    """With TYST_ADMIN_PASSWORD nothing is generated, so there is nothing to print."""
    users, passwords = Users(DocumentTable(database, "users", User)), cheap_passwords()
    assert anyio.run(ensure_admin, users, passwords, "the operator's own") is None
    admin = users.get("admin")
    assert admin is not None
    assert anyio.run(passwords.matches, admin.password, "the operator's own")


def test_a_later_start_changes_no_password(database: Client) -> None:
    """Users are read back from ClickHouse, and an existing admin stays as it is."""
    first = Users(DocumentTable(database, "users", User))
    anyio.run(ensure_admin, first, cheap_passwords(), "the first one")
    second = Users(DocumentTable(database, "users", User))
    second.refresh()
    assert anyio.run(ensure_admin, second, cheap_passwords(), "another one") is None
    assert second.get("admin") == first.get("admin")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1_001])
def test_passwords_have_a_least_and_a_greatest_length(password: str) -> None:
    """Neither a guessable password nor one that only serves to keep the server busy."""
    with pytest.raises(RecordError, match="8 to 1000"):
        anyio.run(cheap_passwords().hash, password)


@pytest.mark.parametrize("name", ["", "two words", "a/b", "x" * 101, "tab\t", "nimda\u202e", "ad\u200dmin", "a\u00a0b"])
def test_names_that_would_not_read_are_refused(board: Board, name: str) -> None:
    """A name is one word."""
    with pytest.raises(RecordError, match="name"):
        board.add_user(name)


def test_a_sign_in_from_elsewhere_is_refused_in_words_for_a_stranger(board: Board) -> None:
    """Nobody is told that they are signed in who is not."""
    form = {"name": "admin", "password": PASSWORD}
    refused = board.post("/login", form, headers={"sec-fetch-site": "cross-site"})
    assert refused.status_code == 403
    assert "You are signed in" not in refused.text
    assert "Reload the page" in refused.text
    board.add_user("vera")
    board.sign_in("vera")
    assert "You are signed in, but" in board.get("/users").text


def test_a_form_that_is_too_large_is_refused(board: Board) -> None:
    """The sign-in page reads no more than a form can be."""
    assert board.post("/login", {"name": "admin", "password": "x" * 100_000}).status_code == 413
