"""Sessions and sign-in history on the account page: how long they last, ending them, what is noted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.access.sessions import DAY, SESSION_DAYS
from tests.board import Board, opened_board

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard that nobody is signed in to."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        yield opened


def browsers(board: Board, number: int) -> list[httpx.Cookies]:
    """As many browsers that `admin` is signed in with."""
    found = []
    for _ in range(number):
        board.cookies = httpx.Cookies()
        board.sign_in(headers={"user-agent": FIREFOX})
        found.append(board.cookies)
    return found


def signed_in(board: Board, cookies: httpx.Cookies) -> bool:
    """Whether that browser is."""
    board.cookies = cookies
    return board.get("/account").status_code == 200


def noted(board: Board) -> list[tuple[str, str, str]]:
    """The audit log, the newest first: who, what, and the value after."""
    return [(entry.who, entry.what, entry.after) for entry in anyio.run(board.dashboard.changes.all)]


def test_every_sign_in_is_in_the_history(board: Board) -> None:
    """When, with which family of browser and system, and how; no address, no version."""
    browsers(board, 1)
    assert noted(board) == [("admin", "Signed in", "Firefox, Linux: password")]
    page = board.page("/account")
    assert page.tables["Recent sign-ins: time, browser and method"] == [
        ["20 May 2026, 12:00", "Firefox, Linux: password"]
    ]
    stored = repr(board.database.query("SELECT * FROM audit_log").result_rows)
    assert "192.0.2" not in stored
    assert "140" not in stored


def test_the_history_is_one_s_own(board: Board) -> None:
    """Not even an administrator's shows another's."""
    board.add_user("vera")
    board.sign_in("vera")
    board.clock.now += 60
    (own,) = browsers(board, 1)
    board.cookies = own
    rows = board.page("/account").tables["Recent sign-ins: time, browser and method"]
    assert [row[0] for row in rows] == ["20 May 2026, 12:01"]


def test_a_name_used_again_inherits_no_history(board: Board) -> None:
    """Whoever gets it later sees their own sign-ins alone."""
    board.add_user("vera")
    board.sign_in("vera")
    anyio.run(board.dashboard.users.remove, "vera")
    board.add_user("vera")
    board.clock.now += 120
    board.sign_in("vera")
    rows = board.page("/account").tables["Recent sign-ins: time, browser and method"]
    assert [row[0] for row in rows] == ["20 May 2026, 12:02"]


def test_signing_out_everywhere_ends_every_session(board: Board) -> None:
    """This browser's, too; or all but this one's; one by one; each is noted."""
    first, second, third = browsers(board, 3)
    board.cookies = first
    ids = [id_ for id_, _ in board.dashboard.sessions.of(board.dashboard.users.all()[0])]
    assert len(ids) == 3
    assert board.post("/account", {"act": "end_others"}).status_code == 303
    assert [signed_in(board, each) for each in (first, second, third)] == [True, False, False]
    second, third = browsers(board, 2)
    board.cookies = second
    assert board.post("/account", {"act": "end_all"}).headers["location"] == "/login"
    assert [signed_in(board, each) for each in (first, second, third)] == [False, False, False]
    assert noted(board)[0][:2] == ("admin", "Signed out everywhere")
    assert board.database.query("SELECT count() FROM sessions FINAL WHERE NOT deleted").result_rows == [(0,)]


def test_a_session_without_use_ends_earlier(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> None:
    """Days without use are counted by the calendar (UTC); use goes on, up to the number of days in all."""
    settings = {"TYST_SESSION_DAYS": "5", "TYST_SESSION_IDLE_DAYS": "2"}
    with opened_board(clickhouse, database, tmp_path, **settings) as board:
        used, left = browsers(board, 2)
        for day in range(1, 6):
            board.clock.now += DAY
            assert signed_in(board, used), day
            if day == 3:
                assert not signed_in(board, left)
        assert "A session lasts 5 days. It ends after 2 days without use." in board.page("/account").text
        board.clock.now += 1
        assert not signed_in(board, used)


def test_by_default_sessions_last_a_fortnight(board: Board) -> None:
    """And without use no less."""
    (cookies,) = browsers(board, 1)
    board.clock.now += SESSION_DAYS * DAY
    assert signed_in(board, cookies)
    assert f"A session lasts {SESSION_DAYS} days. Only" in board.page("/account").text
