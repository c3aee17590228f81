"""Passkeys: adding them, signing in with them, and what does not get past their checks."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pyotp
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access.authenticator import STEP_SECONDS
from dashboard.access.passkeys import challenges
from dashboard.access.passkeys.refusal import PasskeyRefused
from dashboard.access.passkeys.relying_party import relying_party
from dashboard.access.passkeys.service import MOST_PASSKEYS, Passkeys
from dashboard.access.users import User, Users
from tests.board import BASE, PASSWORD, SECRETS, SITE, Board, opened_board
from tests.soft_authenticator import PRESENT, SoftAuthenticator

PAGE = "/account/passkeys"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with a public address, that nobody is signed in to."""
    with opened_board(clickhouse, database, tmp_path, TYST_PUBLIC_URL=BASE) as opened:
        yield opened


def offered(page: str) -> dict[str, Any]:
    """The options that the page has for a browser."""
    found = re.search(r'data-options="([^"]*)"', page)
    assert found, page[:2_000]
    options: dict[str, Any] = json.loads(html.unescape(found[1]))
    return options


def begun(board: Board, name: str = "Phone", **more: str) -> dict[str, Any]:
    """The first step of adding one."""
    answer = board.post(PAGE, {"act": "begin", "name": name, "password": PASSWORD, **more})
    assert answer.status_code == 200
    return offered(answer.text)


def added(board: Board, name: str = "Phone", key: SoftAuthenticator | None = None, **more: str) -> SoftAuthenticator:
    """Add one to the account that is signed in; then a minute passes."""
    key = key or SoftAuthenticator()
    answer = board.post(PAGE, {"act": "add", "credential": key.create(begun(board, name, **more))})
    assert (answer.status_code, answer.headers.get("location")) == (303, f"{PAGE}?done=added")
    board.clock.now += 60
    return key


def asked(board: Board) -> dict[str, Any]:
    """The options of a sign-in in this browser."""
    options: dict[str, Any] = board.post("/login/passkey/options", {}).json()
    return options


def answered(board: Board, credential: str, target: str = "/") -> httpx.Response:
    return board.post("/login/passkey", {"credential": credential, "next": target})


def enters(board: Board, key: SoftAuthenticator) -> bool:
    """Whether it signs in, in a browser that nobody is signed in with."""
    board.cookies.clear()
    status = answered(board, key.get(asked(board))).status_code
    board.clock.now += 1
    assert (board.get("/account").status_code == 200) == (status == 303)
    return status == 303


def account(board: Board, name: str = "admin") -> User:
    found = board.dashboard.users.get(name)
    assert found is not None
    return found


def changes(board: Board) -> list[str]:
    """What the audit log says, the newest first."""
    return [entry.what for entry in anyio.run(board.dashboard.changes.all)]


def test_it_signs_in_without_password_and_code(board: Board) -> None:
    """Also where an app is set up, as it is two factors by itself; it goes on to the page, and is listed."""
    board.add_site()
    board.sign_in()
    key = added(board)
    board.cookies.clear()
    answer = answered(board, key.get(asked(board)), f"/{SITE}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/{SITE}")
    assert board.get(f"/{SITE}").status_code == 200
    assert changes(board)[:2] == ["Signed in", "Passkey added"]
    page = board.get(PAGE).text
    assert "Phone" in page
    assert "last used on" in page
    assert "· passkey" in board.get("/account").text


def test_options_ask_for_user_verification_and_a_discoverable_credential(board: Board) -> None:
    """And name neither accounts nor passkeys to who is not signed in."""
    board.sign_in()
    key = added(board)
    options = begun(board, "Second")
    wanted = options["authenticatorSelection"]
    assert (wanted["residentKey"], wanted["userVerification"]) == ("required", "required")
    assert (options["rp"]["id"], options["user"]["name"]) == ("tyst.test", "admin")
    assert [each["id"] for each in options["excludeCredentials"]] == [json.loads(key.get(options))["rawId"]]
    board.cookies.clear()
    request = asked(board)
    assert (request["rpId"], request["userVerification"]) == ("tyst.test", "required")
    assert not request.get("allowCredentials")
    assert request["challenge"] != asked(board)["challenge"]


SPOILT: dict[str, Callable[[SoftAuthenticator], None]] = {
    "another origin": lambda key: setattr(key, "origin", "https://tyst.test.evil.example"),
    "another port": lambda key: setattr(key, "origin", "https://tyst.test:8443"),
    "no TLS": lambda key: setattr(key, "origin", "http://tyst.test"),
    "another relying party": lambda key: setattr(key, "rp_id", "evil.example"),
    "nobody verified": lambda key: setattr(key, "flags", PRESENT),
    "nobody present": lambda key: setattr(key, "flags", 0x04),
    "a frame of another site": lambda key: setattr(key, "cross_origin", True),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_not_for_this_server_is_refused(board: Board, what: str) -> None:
    """When one is added, and when one signs in; the same passkey without that fault is accepted."""
    board.sign_in()
    spoilt = SoftAuthenticator()
    SPOILT[what](spoilt)
    assert board.post(PAGE, {"act": "add", "credential": spoilt.create(begun(board))}).status_code == 422
    assert account(board).passkeys == ()
    key = added(board)
    good = dict(vars(key))
    SPOILT[what](key)
    assert not enters(board, key)
    vars(key).update(good)
    assert enters(board, key)


def test_a_challenge_is_for_one_answer_in_one_browser(board: Board) -> None:
    """Not another one, none of before, none of another browser, none too late, and none a second time."""
    board.sign_in()
    key = added(board)
    board.cookies.clear()
    options = asked(board)
    assert answered(board, key.get({**options, "challenge": "A" * 43})).status_code == 401
    assert answered(board, key.get(options)).status_code == 401  # the first answer ended it
    options = asked(board)
    foreign = board.cookies
    board.cookies = httpx.Cookies()
    assert answered(board, key.get(options)).status_code == 401
    board.cookies = httpx.Cookies(foreign)
    board.clock.now += challenges.GOOD_FOR + 1
    assert answered(board, key.get(options)).status_code == 401
    options = asked(board)
    kept, answer = httpx.Cookies(board.cookies), key.get(options)
    assert answered(board, answer).status_code == 303
    board.cookies = kept
    assert answered(board, answer).status_code == 401


def test_two_processes_take_an_answer_once(board: Board) -> None:
    """The second looks at the newest record, not at what it remembers."""
    board.sign_in()
    key = added(board)
    services = []
    for _ in range(2):
        users = Users(DocumentTable(board.database, "users", User))
        users.refresh()
        party = relying_party(BASE)
        assert party is not None
        services.append(Passkeys(users, party, SECRETS, board.clock))
    challenge = services[0].challenges.new()
    answer = key.get({"challenge": challenge.text})
    assert anyio.run(services[0].sign_in, challenge, answer).name == "admin"
    with pytest.raises(PasskeyRefused, match="before"):
        anyio.run(services[1].sign_in, challenge, answer)


def test_a_counter_that_goes_back_is_refused_and_noted(board: Board) -> None:
    """There may be two authenticators with one key then."""
    board.sign_in()
    key = added(board, key=SoftAuthenticator(counts=True))
    assert enters(board, key)
    assert enters(board, key)
    key.count -= 1
    assert not enters(board, key)
    assert "counter went back" in changes(board)[0]
    assert enters(board, key)


def test_a_passkey_opens_the_account_that_it_is_of(board: Board) -> None:
    """No other one by saying so, none by another key under its id, and no account that has not got it."""
    board.add_user("vera")
    board.sign_in("vera")
    veras = added(board)
    board.cookies.clear()
    board.sign_in()
    key = added(board)
    own, key.handle = key.handle, veras.handle
    assert not enters(board, key)
    key.handle = own
    assert not enters(board, SoftAuthenticator(id=key.id, handle=own))
    assert not enters(board, SoftAuthenticator(handle=own))
    assert enters(board, key)
    # Nor is one added twice, to whichever account.
    twice = SoftAuthenticator(id=veras.id)
    assert board.post(PAGE, {"act": "add", "credential": twice.create(begun(board))}).status_code == 422


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"rawId": "AA", "response": {}}', "\x00", '{"rawId": 1}'])
def test_what_is_no_answer_is_refused(board: Board, text: str) -> None:
    """Whatever is sent."""
    asked(board)
    assert answered(board, text).status_code == 401
    board.sign_in()
    begun(board)
    assert board.post(PAGE, {"act": "add", "credential": text}).status_code == 422


def test_bytes_that_never_end_are_refused(board: Board) -> None:
    """As attestation, as data of the authenticator, and as what the browser says."""
    board.sign_in()
    key = added(board)
    deep = "gYGB" * 8_000  # arrays in arrays
    for part in ("clientDataJSON", "authenticatorData", "signature", "userHandle"):
        board.cookies.clear()
        answer = json.loads(key.get(asked(board)))
        answer["response"][part] = deep
        assert answered(board, json.dumps(answer)).status_code == 401
    board.sign_in()
    answer = json.loads(SoftAuthenticator().create(begun(board)))
    answer["response"]["attestationObject"] = deep
    assert board.post(PAGE, {"act": "add", "credential": json.dumps(answer)}).status_code == 422


def test_wrong_ones_are_tried_a_few_times_only(board: Board) -> None:
    """From one network; the password goes on to work."""
    for _ in range(40):
        asked(board)
        answer = answered(board, "{}")
        if answer.status_code == 429:
            break
    assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (429, True)
    assert board.sign_in().status_code == 303


def test_adding_and_removing_ask_for_password_and_code(board: Board) -> None:
    """A browser that was left alone changes nothing."""
    board.sign_in()
    added(board)
    (passkey,) = account(board).passkeys
    assert board.post(PAGE, {"act": "begin", "name": "x", "password": "wrong"}).status_code == 422
    assert board.post(PAGE, {"act": "remove", "id": passkey.id, "password": "wrong"}).status_code == 422
    page = board.get("/account/two-factor").text
    secret = re.sub(r"\s", "", re.findall(r'id="key">([^<]*)<', page)[0])
    setup = re.findall(r'name="setup" value="([^"]*)"', page)[0]

    def code() -> str:
        board.clock.now += STEP_SECONDS
        return pyotp.TOTP(secret).generate_otp(int(board.clock.now) // STEP_SECONDS)

    turned_on = {"act": "turn_on", "setup": setup, "code": code(), "password": PASSWORD}
    assert board.post("/account/two-factor", turned_on).status_code == 200
    for form in ({"act": "begin", "name": "x"}, {"act": "remove", "id": passkey.id}):
        assert board.post(PAGE, {**form, "password": PASSWORD, "code": "000000"}).status_code == 422
    added(board, "Second", code=code())
    removed = board.post(PAGE, {"act": "remove", "id": passkey.id, "password": PASSWORD, "code": code()})
    assert removed.headers["location"] == f"{PAGE}?done=removed"
    assert [each.name for each in account(board).passkeys] == ["Second"]
    assert changes(board)[0] == "Passkey removed"


def test_what_is_removed_opens_nothing(board: Board) -> None:
    """By its owner, by an administrator's reset, and with the account."""
    for number, remove in enumerate(("owner", "reset", "account")):
        name = f"vera{number}"
        board.add_user(name)
        board.cookies.clear()
        board.sign_in(name)
        key = added(board)
        assert enters(board, key)
        if remove == "owner":
            id_ = account(board, name).passkeys[0].id
            board.post(PAGE, {"act": "remove", "id": id_, "password": PASSWORD})
        else:
            board.cookies.clear()
            board.sign_in()
            board.post("/users", {"act": "reset_two_factor" if remove == "reset" else "remove", "name": name})
        assert not enters(board, key)


def test_a_registration_is_for_who_began_it(board: Board) -> None:
    """Not for another account, not without its first step, not too late, and not without a name."""
    board.add_user("vera")
    board.sign_in("vera")
    options = begun(board)
    foreign = board.cookies
    board.cookies = httpx.Cookies()
    board.sign_in()
    answer = {"act": "add", "credential": SoftAuthenticator().create(options)}
    assert board.post(PAGE, answer).status_code == 422
    board.cookies.update({name: value for name, value in foreign.items() if challenges.COOKIE in name})
    assert board.post(PAGE, answer).status_code == 422
    options = begun(board)
    board.clock.now += challenges.GOOD_FOR + 1
    assert board.post(PAGE, {**answer, "credential": SoftAuthenticator().create(options)}).status_code == 422
    assert board.post(PAGE, {"act": "begin", "name": " ", "password": PASSWORD}).status_code == 422
    assert account(board).passkeys == account(board, "vera").passkeys == ()


def test_an_account_has_a_bounded_number(board: Board) -> None:
    """The next is refused."""
    board.sign_in()
    key = added(board)
    (one,) = account(board).passkeys
    # None of them by chance the one that there is.
    begins = f"{one.id[:-3]}{'B' if one.id[-3] == 'A' else 'A'}"
    many = tuple(msgspec.structs.replace(one, id=f"{begins}{n:02}") for n in range(MOST_PASSKEYS))
    anyio.run(board.dashboard.users.update, "admin", lambda user: msgspec.structs.replace(user, passkeys=many))
    refused = board.post(PAGE, {"act": "begin", "name": "x", "password": PASSWORD})
    assert (refused.status_code, "at most 20 passkeys" in refused.text) == (422, True)
    assert not enters(board, key)


def test_where_two_factors_are_required_a_passkey_is_enough(
    clickhouse: ClickHouse, database: Client, tmp_path: Path
) -> None:
    """Who adds one goes on, and so does who signs in with it; from then on the password opens nothing, as it could add
    another."""
    settings = {"TYST_REQUIRE_TWO_FACTOR": "on", "TYST_PUBLIC_URL": BASE}
    with opened_board(clickhouse, database, tmp_path, **settings) as board:
        board.sign_in()
        assert board.get("/").headers["location"] == "/account/two-factor"
        key = added(board)
        assert board.get("/").status_code == 200
        assert enters(board, key)
        assert board.get("/").status_code == 200
        board.cookies.clear()
        refused = board.sign_in()
        assert (refused.status_code, "Sign in with your passkey" in refused.text) == (401, True)
        assert board.get(PAGE).headers["location"].startswith("/login")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://stats.example.com", "https://stats.example.com"),
        ("https://stats.example.com:443/stats", "https://stats.example.com"),
        ("https://stats.example.com:8443", "https://stats.example.com:8443"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://stats.example.com", None),
        ("https://192.0.2.1", None),
        ("https://[2001:db8::1]", None),
        ("", None),
    ],
)
def test_passkeys_belong_to_the_public_address(url: str, origin: str | None) -> None:
    """With a name, and under TLS but on this machine, as browsers want it."""
    party = relying_party(url)
    assert (party.origin if party else None) == origin


@pytest.mark.parametrize(("url", "said"), [("", "TYST_PUBLIC_URL"), ("http://tyst.test", "need an https address")])
def test_without_such_an_address_there_are_none(
    clickhouse: ClickHouse, database: Client, tmp_path: Path, url: str, said: str
) -> None:
    """The page says why; the sign-in page offers none, and nothing answers."""
    with opened_board(clickhouse, database, tmp_path, TYST_PUBLIC_URL=url) as board:
        assert "passkey" not in board.get("/login").text
        assert board.post("/login/passkey/options", {}).status_code == 404
        assert board.post("/login/passkey", {}).status_code == 404
        board.sign_in()
        assert said in board.get(PAGE).text
        assert board.post(PAGE, {"act": "begin", "name": "x", "password": PASSWORD}).status_code == 404


def test_other_sites_ask_for_nothing(board: Board) -> None:
    """Neither challenges nor sign-ins."""
    for path in ("/login/passkey/options", "/login/passkey"):
        assert board.post(path, {}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
