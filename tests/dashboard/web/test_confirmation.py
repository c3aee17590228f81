"""Confirmation of access: what asks for the password again in a browser that was left open, and what gets past it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio
import pytest
from clickhouse_connect.driver.client import Client
from msgspec import structs

from collector.storage.client import ClickHouse
from dashboard.access import recent_authentication
from dashboard.access.recent_authentication import RECENT_SECONDS
from tests.board import PASSWORD, Board, opened_board
from tests.dashboard.web.test_two_factor import changes, code, setup_form, shown, turned_on

ASKED = 'name="confirm_password"'
FORMS: Mapping[str, tuple[str, dict[str, str]]] = {
    "an administrator invited": ("/users", {"act": "invite", "role": "admin"}),
    "a password link for oneself": ("/users", {"act": "password", "name": "admin"}),
    "a role": ("/users", {"act": "role", "name": "vera", "role": "admin"}),
    "a user removed": ("/users", {"act": "remove", "name": "vera"}),
    "a key": ("/account", {"act": "create_key", "key_name": "for ever", "right": "manage"}),
}


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard at which an administrator has left the browser open for a while."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_user("vera")
        opened.sign_in()
        opened.clock.now += RECENT_SECONDS + 1
        yield opened


@pytest.mark.parametrize("form", FORMS)
def test_what_lets_somebody_stay_asks_for_the_password(board: Board, form: str) -> None:
    """Nothing is done before, and what was filled in is sent again with it."""
    path, fields = FORMS[form]
    before = changes(board)
    asked = board.post(path, fields)
    assert asked.status_code == 403
    assert ASKED in asked.text
    for name, value in fields.items():
        assert f'<input type="hidden" name="{name}" value="{value}">' in asked.text
    wrong = board.post(path, {**fields, "confirm_password": "guessed"})
    assert wrong.status_code == 422
    assert "not your current password" in wrong.text
    assert changes(board) == before
    done = board.post(path, {**fields, "confirm_password": PASSWORD})
    assert done.status_code in (200, 303)
    assert len(changes(board)) == len(before) + 1
    # For a while it is not asked again.
    assert ASKED not in board.post(path, fields).text


def test_who_has_just_signed_in_is_not_asked(board: Board) -> None:
    """The password was given a moment ago."""
    board.sign_in()
    for path, fields in FORMS.values():
        assert ASKED not in board.post(path, fields).text


def test_setting_up_an_app_asks_for_the_password(board: Board) -> None:
    """Else whoever finds the browser could keep the account's owner out."""
    page = board.get("/account/two-factor").text
    fields = {"act": "turn_on", "setup": setup_form(page)}
    key = shown(page, "key").replace(" ", "")
    assert ASKED in board.post("/account/two-factor", {**fields, "code": code(board, key)}).text
    assert "Two-factor authentication turned on" not in changes(board)
    answer = board.post("/account/two-factor", {**fields, "code": code(board, key), "confirm_password": PASSWORD})
    assert "recovery-codes" in answer.text


def test_an_app_s_code_is_asked_for_too(board: Board) -> None:
    """No administrator takes the second step off the own account without it, nor by a link for a new password."""
    key, _codes = turned_on(board)
    board.clock.now += RECENT_SECONDS + 1
    fields = {"act": "reset_two_factor", "name": "admin"}
    for more in ({}, {"confirm_password": PASSWORD}, {"confirm_password": PASSWORD, "confirm_code": "000000"}):
        assert 'name="confirm_code"' in board.post("/users", {**fields, **more}).text
    assert "Two-factor authentication reset" not in changes(board)
    good = {"confirm_password": PASSWORD, "confirm_code": code(board, key)}
    assert board.post("/users", {**fields, **good}).status_code == 303
    assert changes(board)[0] == "Two-factor authentication reset"


def test_passwords_are_tried_a_few_times_only(board: Board) -> None:
    """Counted with those of signing in."""
    path, fields = FORMS["a key"]
    answers = [board.post(path, {**fields, "confirm_password": str(number)}) for number in range(12)]
    assert "Too many attempts" in answers[-1].text
    assert "Too many attempts" in board.post(path, {**fields, "confirm_password": PASSWORD}).text


def test_a_confirmation_is_of_one_session(board: Board) -> None:
    """Its cookie does nothing for another, and ends after a while."""
    path, fields = FORMS["a role"]
    board.post(path, {**fields, "confirm_password": PASSWORD})
    cookie = f"__Host-{recent_authentication.COOKIE}"
    confirmed = board.cookies[cookie]
    board.cookies.clear()
    board.sign_in()
    board.clock.now += RECENT_SECONDS
    board.cookies.set(cookie, confirmed, domain="tyst.test", path="/")
    board.clock.now += 1
    assert ASKED in board.post(path, fields).text
    board.cookies.set(cookie, "made up", domain="tyst.test", path="/")
    assert ASKED in board.post(path, fields).text
    board.post(path, {**fields, "confirm_password": PASSWORD})
    board.clock.now += RECENT_SECONDS + 1
    assert ASKED in board.post(path, fields).text


@pytest.mark.parametrize("fate", ["removed", "demoted"])
def test_who_is_no_administrator_any_more_changes_no_users(board: Board, fate: str) -> None:
    """While the password is checked another administrator may end their rights."""
    users = board.dashboard.users
    board.add_user("ada", "admin")
    board.sign_in("ada")
    board.clock.now += RECENT_SECONDS + 1

    async def end() -> None:
        if fate == "removed":
            await users.remove("ada")
        else:
            await users.update("ada", lambda user: structs.replace(user, role="viewer"))

    board.while_hashing(end)
    path, fields = FORMS["a role"]
    answer = board.post(path, {**fields, "confirm_password": PASSWORD})
    assert answer.status_code == (303 if fate == "removed" else 403)
    vera = users.get("vera")
    assert vera is not None
    assert vera.role == "viewer"


def test_what_lets_nobody_stay_is_open(board: Board) -> None:
    """Reading the account, signing browsers out and revoking keys are open: they let nobody stay."""
    assert board.get("/users").status_code == 200
    assert anyio.run(board.dashboard.keys.all) == []
    assert board.post("/account", {"act": "end_others"}).status_code == 303
