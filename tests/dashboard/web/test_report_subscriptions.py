"""The page of report recipients, and the page on which they unsubscribe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from tests.board import BASE, SITE, Board, opened_board
from tests.mail_server import MailServer

PAGE = f"/{SITE}/reports"
ANNA = {"act": "add", "address": "anna@example.com", "frequency": "weekly", "language": "sv"}


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path, mail: MailServer) -> Iterator[Board]:
    """A site, the admin signed in, with mail."""
    settings = mail.settings() | {"TYST_PUBLIC_URL": BASE}
    with opened_board(clickhouse, database, tmp_path, **settings) as opened:
        opened.add_site()
        opened.sign_in()
        yield opened


def id_on_page(board: Board) -> str:
    found = re.search(r'name="id" value="([0-9a-f]{16})"', board.get(PAGE).text)
    assert found
    return found[1]


def test_recipients_are_added_tried_and_removed(board: Board, mail: MailServer) -> None:
    """Twice the same is refused; the list of changes names no address."""
    board.post(PAGE, ANNA)
    assert "anna@example.com" in board.get(PAGE).text
    again = board.post(PAGE, {**ANNA, "address": "Anna@example.com"})
    assert again.status_code == 422
    assert "This address already receives that report" in again.text
    for wrong in ({"address": "anna@"}, {"frequency": "daily"}, {"language": "xx"}):
        assert board.post(PAGE, {**ANNA, **wrong}).status_code == 422
    sent = board.post(PAGE, {"act": "test", "id": id_on_page(board)})
    assert sent.status_code == 303
    assert [message["To"] for message in mail.messages] == ["anna@example.com"]
    assert "veckorapport" in mail.messages[0]["Subject"]
    page = board.get(PAGE).text
    assert "No report sent yet</span>" in page
    assert "Test sent on " in page
    mail.answer = "451 4.3.0 later"
    failed = board.post(PAGE, {"act": "test", "id": id_on_page(board)})
    assert failed.status_code == 422
    assert "The report could not be sent: " in failed.text
    board.post(PAGE, {"act": "remove", "id": id_on_page(board)})
    assert "No recipients yet." in board.get(PAGE).text
    changes = board.get(f"/{SITE}/changes").text
    assert "Report recipient added" in changes
    assert "anna@" not in changes


def test_trials_are_limited(board: Board, mail: MailServer) -> None:
    """Nobody can be flooded by the button."""
    board.post(PAGE, ANNA)
    id_ = id_on_page(board)
    codes = [board.post(PAGE, {"act": "test", "id": id_}).status_code for _ in range(30)]
    assert codes[0] == 303
    assert codes[-1] == 429
    assert len(mail.messages) == codes.count(303) < 30


def test_only_a_button_or_a_mail_program_unsubscribes(board: Board, mail: MailServer) -> None:
    """Following the link changes nothing; what another page posts is refused; a forged token is no link."""
    board.post(PAGE, ANNA)
    board.post(PAGE, {"act": "test", "id": id_on_page(board)})
    link = mail.messages[0]["List-Unsubscribe"].strip("<>").removeprefix(BASE)
    board.cookies.clear()
    page = board.get(link)
    assert page.status_code == 200
    assert f"Stop receiving e-mails about {SITE}?" in page.text
    assert "anna@" not in page.text
    assert board.post(link, {}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert board.get(f"{link}x").status_code == 404
    assert len(board.dashboard.notifications.subscriptions.all()) == 1
    # RFC 8058, 3.2: what a mail program sends comes from no page.
    one_click = board.ask("POST", link, data={"List-Unsubscribe": "One-Click"})
    assert one_click.status_code == 200
    assert board.dashboard.notifications.subscriptions.all() == []
    assert "You are unsubscribed" in board.get(link).text
    assert board.post(link, {}).status_code == 200


def test_the_page_says_what_is_missing(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> None:
    """Recipients can be noted, but nobody is promised a mail."""
    with opened_board(clickhouse, database, tmp_path) as board:
        board.add_site()
        board.sign_in()
        board.post(PAGE, ANNA)
        assert "sets TYST_SMTP_HOST and TYST_PUBLIC_URL" in board.get(PAGE).text
