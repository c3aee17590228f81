"""API keys under the account: shown once, no more than the account may, and ended with its access."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.access.api_keys import ApiKey
from dashboard.access.users import User
from tests.board import SITE, Board, opened_board
from tests.markup import read


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with two sites and an owner of the first, signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE)
        opened.add_site("other.example")
        opened.add_user("olle", "owner", SITE)
        opened.add_user("vera", "viewer", SITE)
        opened.sign_in("olle")
        yield opened


def made(board: Board, **form: str) -> str:
    """The key that the page shows after the form was sent."""
    answer = board.post("/account", {"act": "create_key", "key_name": "Report", **form})
    assert answer.status_code == 200, answer.text
    return str(answer.text.split('id="made-key">')[1].split("<")[0])


def checked(board: Board, shown: str) -> ApiKey | None:
    """What the key is good for."""
    return anyio.run(board.dashboard.keys.check, shown)


def test_a_key_is_shown_once_and_works(board: Board) -> None:
    """It reads the sites that its owner sees; the list has its name and never the key."""
    shown = made(board)
    key = checked(board, shown)
    assert key is not None
    assert (key.sites, key.right, key.user) == ((board.site().id,), "read", "olle")
    page = board.get("/account").text
    assert "Report" in page
    assert shown not in page
    assert "never used" not in page


def test_a_key_may_do_no_more_than_its_account(board: Board) -> None:
    """An owner manages their site; a viewer reads; nobody gets a site that they do not see."""
    key = checked(board, made(board, right="manage", site=SITE))
    assert key is not None
    assert (key.may_manage(board.site()), key.may_read(board.site("other.example"))) == (True, False)
    refused = board.post("/account", {"act": "create_key", "key_name": "x", "site": "other.example"})
    assert refused.status_code == 422
    assert "Choose a site you have access to." in read(refused.text).text
    board.sign_in("vera")
    refused = board.post("/account", {"act": "create_key", "key_name": "x", "right": "manage"})
    assert refused.status_code == 422
    assert [each.user for each in anyio.run(board.dashboard.keys.all)] == ["olle"]


def test_an_administrators_key_is_for_every_site(board: Board) -> None:
    """Also for those that come later."""
    board.sign_in()
    key = checked(board, made(board, right="manage"))
    assert key is not None
    assert key.everything


def test_a_key_ends_with_the_access_of_its_account(board: Board) -> None:
    """When the site is taken away, when an owner becomes a viewer, and when the account is removed."""
    reading, managing = made(board), made(board, right="manage")

    async def demote(user: User) -> None:
        await board.dashboard.users.update("olle", lambda each: msgspec.structs.replace(each, role=user.role))

    anyio.run(demote, User(name="olle", password="", role="viewer"))
    assert checked(board, managing) is None
    assert checked(board, reading) is not None
    anyio.run(board.dashboard.users.remove, "olle")
    assert checked(board, reading) is None


def test_only_ones_own_keys_are_revoked(board: Board) -> None:
    """Those of others are as if they were not there."""
    shown = made(board)
    key = checked(board, shown)
    assert key is not None
    board.sign_in("vera")
    assert board.post("/account", {"act": "revoke_key", "id": key.id}).status_code == 404
    board.sign_in("olle")
    assert board.post("/account", {"act": "revoke_key", "id": key.id}).status_code == 303
    assert checked(board, shown) is None
