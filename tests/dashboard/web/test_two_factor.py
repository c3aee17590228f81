"""Two-factor authentication: turning it on, signing in with it, recovery codes, and what does not get past it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pyotp
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.app_secret import Secrets
from collector.core.errors import RecordError
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.access import pending_sign_in, two_factor
from dashboard.access.authenticator import RECOVERY_CODES, STEP_SECONDS, Authenticator, KeyCipher, matching_step
from dashboard.access.two_factor import ATTEMPTS, TwoFactorAuth
from dashboard.access.users import User, Users
from tests.board import PASSWORD, SECRETS, SITE, Board, opened_board
from tests.markup import read

PAGE = "/account/two-factor"
KEY_OF_RFC = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""The secret 12345678901234567890 of RFC 6238, appendix B, in base32."""


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard that nobody is signed in to."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        yield opened


def code(board: Board, key: str, steps: int = 0) -> str:
    """What the app shows now, or some steps from now."""
    return pyotp.TOTP(key).generate_otp(int(board.clock.now) // STEP_SECONDS + steps)


def shown(page: str, id_: str) -> str:
    """The text of the element with that id."""
    found = re.search(rf'<code[^>]* id="{id_}">([^<]*)</code>', page)
    assert found, id_
    return found[1]


def setup_form(page: str) -> str:
    """What the form that confirms an app sends along."""
    return read(page).attributes(name="setup")["value"]


def turned_on(board: Board, name: str = "admin") -> tuple[str, list[str]]:
    """Sign in and turn it on; the key, and the recovery codes. Then half a minute passes, for the next code."""
    board.sign_in(name)
    page = board.get(PAGE).text
    key = shown(page, "key").replace(" ", "")
    form = {"act": "turn_on", "setup": setup_form(page), "code": code(board, key)}
    answer = board.post(PAGE, form)
    assert answer.status_code == 200
    codes = shown(answer.text, "recovery-codes").split()
    board.clock.now += STEP_SECONDS
    return key, codes


def account(board: Board, name: str = "admin") -> User:
    """The account as it is stored."""
    found = board.dashboard.users.get(name)
    assert found is not None
    return found


def app_of(board: Board) -> Authenticator:
    """The administrator's app."""
    app = account(board).authenticator
    assert app is not None
    return app


def changes(board: Board) -> list[str]:
    """What the audit log says, the newest first."""
    return [entry.what for entry in anyio.run(board.dashboard.changes.all)]


def forgotten(board: Board) -> None:
    """Go on in a browser that nobody is signed in with."""
    board.cookies.clear()


@pytest.mark.parametrize(("now", "expected"), [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")])
def test_codes_are_those_of_the_standard(now: int, expected: str) -> None:
    """The vectors of RFC 6238, appendix B, by their last six digits."""
    assert matching_step(KEY_OF_RFC, expected, now) == now // STEP_SECONDS


def test_a_clock_may_be_off_by_one_step() -> None:
    """Half a minute early or late, and no more."""
    now = 1_800_000_000
    app, present = pyotp.TOTP(KEY_OF_RFC), now // STEP_SECONDS
    found = [matching_step(KEY_OF_RFC, app.generate_otp(present + step), now) for step in range(-2, 3)]
    assert found == [None, present - 1, present, present + 1, None]


@pytest.mark.parametrize("text", ["", "12345", "1234567", "١٢٣٤٥٦", "abcdef", "é", "12 34", "\0" * 6])
def test_what_is_no_code_is_refused(text: str) -> None:
    """Whatever is typed."""
    assert matching_step(KEY_OF_RFC, text, 59) is None


def test_signing_in_asks_for_a_code_and_goes_on_to_the_page(board: Board) -> None:
    """The password alone opens nothing; with the code it goes on to where somebody wanted to go."""
    board.add_site()
    key, _codes = turned_on(board)
    forgotten(board)
    asked = board.post("/login", {"name": "admin", "password": PASSWORD, "next": f"/{SITE}"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/login/code")
    assert board.get("/").status_code == 303
    assert board.post("/login/code", {"code": "000000"}).status_code == 401
    assert board.get("/").status_code == 303
    entered = board.post("/login/code", {"code": code(board, key)})
    assert (entered.status_code, entered.headers["location"]) == (303, f"/{SITE}")
    assert board.get(f"/{SITE}").status_code == 200
    assert changes(board)[:2] == ["Signed in", "Two-factor authentication turned on"]


def test_a_code_opens_once(board: Board) -> None:
    """Whoever looked over a shoulder has nothing: neither that code again, nor the one before."""
    key, _codes = turned_on(board)
    used = code(board, key)
    for expected in (303, 401):
        forgotten(board)
        board.sign_in()
        assert board.post("/login/code", {"code": used}).status_code == expected
    assert board.post("/login/code", {"code": code(board, key, -1)}).status_code == 401
    assert board.post("/login/code", {"code": code(board, key, 1)}).status_code == 303


def test_the_code_that_confirmed_the_app_signs_nobody_in(board: Board) -> None:
    """It was used."""
    key, _codes = turned_on(board)
    board.clock.now -= STEP_SECONDS
    forgotten(board)
    board.sign_in()
    refused = board.post("/login/code", {"code": code(board, key)})
    assert refused.status_code == 401
    assert "already been used" in refused.text


def test_each_recovery_code_signs_in_once(board: Board) -> None:
    """However it is typed; the list of changes says how many are left."""
    _key, codes = turned_on(board)
    assert len(set(codes)) == RECOVERY_CODES
    for typed, expected in ((codes[0], 303), (codes[0], 401), (codes[1].upper().replace("-", " "), 303)):
        forgotten(board)
        board.sign_in()
        assert board.post("/login/code", {"recovery": typed}).status_code == expected
    assert changes(board)[:2] == ["Signed in", "Recovery code used, codes left"]
    assert "8\N{NO-BREAK SPACE}recovery codes are left" in board.get(PAGE).text


def test_codes_are_tried_a_few_times_only(board: Board) -> None:
    """From whatever network: after five wrong ones even the right one waits."""
    key, codes = turned_on(board)
    forgotten(board)
    board.sign_in()
    for number in range(ATTEMPTS):
        assert board.post("/login/code", {"code": "000000"}, peer=f"192.0.2.{number}").status_code == 401
    for form in ({"code": code(board, key)}, {"recovery": codes[0]}):
        refused = board.post("/login/code", form, peer="198.51.100.7")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "900")
    assert changes(board)[0] == "Too many wrong codes"
    board.clock.now += 900
    board.sign_in()
    assert board.post("/login/code", {"code": code(board, key)}).status_code == 303


def test_the_first_step_is_good_for_ten_minutes_and_one_password(board: Board) -> None:
    """Later, with a forged cookie, or after the password changed, it begins anew."""
    key, _codes = turned_on(board)
    for spoilt in ("time", "cookie", "password"):
        forgotten(board)
        board.sign_in()
        if spoilt == "time":
            board.clock.now += pending_sign_in.GOOD_FOR + 1
        elif spoilt == "cookie":
            board.cookies.set(f"__Host-{pending_sign_in.COOKIE}", "WyJhZG1pbiJd.x", domain="tyst.test")
        else:
            new_password(board, "another password")
        refused = board.post("/login/code", {"code": code(board, key)})
        assert (refused.status_code, refused.headers["location"]) == (303, "/login")
        assert board.get("/").headers["location"] == "/login"


def new_password(board: Board, password: str) -> None:
    """Give the administrator another one."""
    hashed = anyio.run(board.dashboard.passwords.hash, password)
    anyio.run(board.dashboard.users.update, "admin", lambda user: msgspec.structs.replace(user, password=hashed))


def test_a_new_password_by_a_link_does_not_get_past_it(board: Board) -> None:
    """Who can read somebody's mail still lacks the phone."""
    board.add_user("vera")
    key, _codes = turned_on(board, "vera")
    forgotten(board)
    board.sign_in()
    page = board.post("/users", {"act": "password", "name": "vera"}).text
    forgotten(board)
    link = re.sub("https://[^/]+", "", shown(page, "made-link"))
    answer = board.post(link, {"password": "a new password"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login/code")
    assert board.get("/").status_code == 303
    assert board.post("/login/code", {"code": code(board, key)}).headers["location"] == "/"
    assert board.get("/").status_code == 200


def test_a_sign_in_just_after_it_was_turned_on_at_another_collector_opens_nothing(
    board: Board, database: Client
) -> None:
    """Which has signed out whoever has shown no code; this one has not read it yet."""
    elsewhere = Users(DocumentTable(database, "users", User))
    elsewhere.refresh()
    service = TwoFactorAuth(elsewhere, KeyCipher(SECRETS), board.clock)
    setup = service.begin(account(board))
    anyio.run(service.turn_on, account(board), setup, code(board, setup.key))
    assert account(board).authenticator is None
    assert board.sign_in().status_code == 303
    assert board.get("/account").status_code == 303
    assert board.dashboard.sessions.of(account(board)) == []


def test_a_sign_in_that_is_under_way_when_it_is_turned_on_opens_nothing(board: Board) -> None:
    """Who has shown the password only is signed out by it, and would else be in for a fortnight."""
    users, service = board.dashboard.users, board.dashboard.two_factor
    admin = account(board)
    setup = service.begin(admin)

    async def turn_on() -> None:
        await service.turn_on(admin, setup, code(board, setup.key))
        await board.dashboard.sessions.end_all(admin)

    board.while_hashing(turn_on)
    assert board.sign_in().status_code == 303
    assert users.get("admin") != admin
    assert board.get("/account").status_code == 303
    assert board.dashboard.sessions.of(account(board)) == []


def test_turning_it_off_and_new_codes_ask_for_password_and_code(board: Board) -> None:
    """A browser that was left alone changes nothing."""
    key, codes = turned_on(board)
    for act in ("turn_off", "renew"):
        for given in ({"password": "wrong", "code": code(board, key)}, {"password": PASSWORD, "code": "000000"}):
            assert board.post(PAGE, {"act": act, **given}).status_code == 422
    before = app_of(board)
    renewed = board.post(PAGE, {"act": "renew", "password": PASSWORD, "code": codes[0]}).text
    assert set(shown(renewed, "recovery-codes").split()).isdisjoint(codes)
    assert set(app_of(board).recovery).isdisjoint(before.recovery)
    assert board.post(PAGE, {"act": "turn_off", "password": PASSWORD, "code": code(board, key)}).status_code == 303
    assert changes(board)[0] == "Two-factor authentication turned off"
    forgotten(board)
    assert board.sign_in().headers["location"] == "/"


def test_others_are_signed_out_by_turning_it_on(board: Board) -> None:
    """They have shown no code; the browser that turned it on goes on."""
    board.sign_in()
    elsewhere = board.cookies
    board.cookies = type(elsewhere)()
    turned_on(board)
    assert board.get("/").status_code == 200
    board.cookies = elsewhere
    assert board.get("/").status_code == 303


def test_the_key_is_shown_to_set_up_and_never_again(board: Board) -> None:
    """Neither on a page nor in the database, where it is encrypted; recovery codes are there as hashes."""
    key, codes = turned_on(board)
    assert key not in board.get(PAGE).text.replace(" ", "")
    [(record,)] = board.database.query("SELECT record FROM users FINAL WHERE id = 'admin'").result_rows
    assert key not in record
    assert not [each for each in codes if each in record or each.replace("-", "") in record]


def test_a_setup_is_for_one_account_and_one_hour(board: Board) -> None:
    """A key that somebody else was shown, or that was shown long ago, is not turned on."""
    board.add_user("vera")
    board.sign_in("vera")
    foreign = board.get(PAGE).text
    forgotten(board)
    board.sign_in()
    own = board.get(PAGE).text
    for page, late in ((foreign, 0), (own, two_factor.SETUP_SECONDS + 1)):
        board.clock.now += late
        key = shown(page, "key").replace(" ", "")
        form = {"act": "turn_on", "setup": setup_form(page), "code": code(board, key), "confirm_password": PASSWORD}
        assert board.post(PAGE, form).status_code == 422
    assert account(board).authenticator is None


def test_an_administrator_resets_it(board: Board) -> None:
    """For somebody who has lost phone and codes; not for themselves."""
    board.add_user("vera")
    turned_on(board, "vera")
    forgotten(board)
    board.sign_in()
    assert "Reset two-factor authentication of vera" in board.get("/users").text
    assert board.post("/users", {"act": "reset_two_factor", "name": "vera"}).status_code == 303
    assert changes(board)[0] == "Two-factor authentication reset"
    forgotten(board)
    assert board.sign_in("vera").headers["location"] == "/"


def test_where_it_is_required_nothing_else_is_shown_before(
    clickhouse: ClickHouse, database: Client, tmp_path: Path
) -> None:
    """Who has none is led to set it up from every page; then everything opens."""
    with opened_board(clickhouse, database, tmp_path, TYST_REQUIRE_TWO_FACTOR="on") as board:
        board.add_site(public=True)
        board.sign_in()
        for path in ("/", "/account", "/users", f"/{SITE}", f"/{SITE}/settings"):
            assert board.get(path).headers["location"] == PAGE
        assert board.post("/account", {"act": "end_others"}).headers["location"] == PAGE
        assert board.fragment(f"/{SITE}", "report").headers["hx-refresh"] == "true"
        turned_on(board)
        assert board.get(f"/{SITE}").status_code == 200


def test_two_processes_take_a_code_once(board: Board) -> None:
    """The second looks at the newest record, not at what it remembers."""
    key, _codes = turned_on(board)
    services = []
    for _ in range(2):
        users = Users(DocumentTable(board.database, "users", User))
        users.refresh()
        services.append(TwoFactorAuth(users, KeyCipher(SECRETS), board.clock))
    shown = code(board, key)
    assert anyio.run(services[0].verify, account(board), shown) == "code"
    with pytest.raises(RecordError, match="already been used"):
        anyio.run(services[1].verify, account(board), shown)


def test_keys_follow_the_secret(board: Board) -> None:
    """A start with the former secret encrypts them anew; then the former one is not needed any more."""
    key, codes = turned_on(board)

    def service(*keys: str) -> TwoFactorAuth:
        secrets: Secrets = keys
        return TwoFactorAuth(board.dashboard.users, KeyCipher(secrets), board.clock)

    assert anyio.run(service(*SECRETS).reencrypt) == 0
    assert anyio.run(service(*SECRETS, "a new secret").reencrypt) == 1
    assert anyio.run(service(*SECRETS, "a new secret").reencrypt) == 0
    assert anyio.run(service("a new secret").verify, account(board), code(board, key)) == "code"
    # Without either, recovery codes work, and the app's codes are refused in plain words.
    lost = service("quite another")
    assert anyio.run(lost.reencrypt) == 0
    with pytest.raises(RecordError, match="secret key was changed"):
        anyio.run(lost.verify, account(board), code(board, key, 1))
    assert anyio.run(lost.verify, account(board), codes[0]) == "recovery"
