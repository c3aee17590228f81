"""Reports by mail: what stands in them, who gets them, and that each gets each once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.i18n.translations import shipped
from dashboard.notifications.report_dates import SEND_HOUR
from dashboard.notifications.services import build_notifications
from dashboard.notifications.subscriptions import Subscription
from tests.board import BASE, SECRETS, SITE, Board, opened_board, pageview
from tests.length import long
from tests.mail_server import MailServer
from tests.members import alone

MONDAY = int(datetime.datetime(2026, 5, 25, SEND_HOUR, tzinfo=datetime.UTC).timestamp())
DAY = 86_400


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path, mail: MailServer) -> Iterator[Board]:
    """A site with some visitors in the week of 18 May, on its last evening; mail and the server's address are set."""
    settings = mail.settings("Tyst <stats@tyst.test>") | {"TYST_PUBLIC_URL": BASE}
    with opened_board(clickhouse, database, tmp_path, **settings) as opened:
        opened.add_site()
        for day, visitors in enumerate((5, 9, 4, 4, 4, 4, 4)):
            at = MONDAY - 7 * DAY + day * DAY + 3_600
            opened.seed([pageview(1 + 100 * day + n, "/start" if n % 2 else "/price", at) for n in range(visitors)])
        opened.clock.now = MONDAY - 8 * 3_600
        yield opened


def subscribe(board: Board, address: str, frequency: str = "weekly", language: str = "en") -> Subscription:
    add = board.dashboard.notifications.subscriptions.add

    async def added() -> Subscription:
        return await add(board.site(), address, frequency=frequency, language=language, by="admin")

    return anyio.run(added)


def only(board: Board) -> Subscription:
    (found,) = board.dashboard.notifications.subscriptions.all()
    return found


def tick(board: Board) -> None:
    anyio.run(board.dashboard.notifications.scheduler.tick)


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_each_recipient_gets_each_week_once(board: Board, mail: MailServer) -> None:
    """From Monday at six, however often anybody looks, and the next a week later."""
    subscribe(board, "anna@example.com")
    subscribe(board, "bo@example.com", language="sv")
    tick(board)
    assert mail.messages == []
    board.clock.now = MONDAY
    for _ in range(3):
        tick(board)
        board.clock.now += 3_600
    assert [len(mail.to(address)) for address in ("anna@example.com", "bo@example.com")] == [1, 1]
    board.clock.now = MONDAY + 7 * DAY
    tick(board)
    assert [len(mail.to(address)) for address in ("anna@example.com", "bo@example.com")] == [2, 2]
    assert len({message["Message-ID"] for message in mail.messages}) == 4


def test_what_stands_in_it(board: Board, mail: MailServer) -> None:
    """Figures, chart, pages and sources as a guest's page has them; nothing is fetched; both parts say the same."""
    subscribe(board, "anna@example.com")
    subscribe(board, "bo@example.com", language="sv")
    board.clock.now = MONDAY
    tick(board)
    (english,), (swedish,) = mail.to("anna@example.com"), mail.to("bo@example.com")
    assert english["Subject"] == f"{SITE}: weekly report, 18–24 May 2026"
    assert swedish["Subject"] == f"{SITE}: veckorapport, 18–24 maj 2026"
    plain, html = text_of(english), text_of(english, "html")
    assert "Visitors                           34" in plain
    assert "Tue 19 May           9  ████████████████████████" in plain.replace("\r", "")
    for text in (plain, html):
        assert "/price" in text
        assert "Direct / None" in text
        assert "Only visitors who agreed are counted." in text
        assert f"{BASE}/{SITE}?period=custom&" in text.replace("&amp;", "&")
    assert "Besökare" in text_of(swedish)
    assert 'lang="sv"' in text_of(swedish, "html")
    for fetched in ("<img", "src=", "url(", "<link", "@import", "<script"):
        assert fetched not in html
    assert english["Auto-Submitted"] == "auto-generated"
    assert english["List-Unsubscribe"].startswith(f"<{BASE}/unsubscribe/")


def test_small_counts_are_protected(board: Board, mail: MailServer) -> None:
    """Who agreed is a filter: a group below the minimum is not told, and one of the minimum is."""
    limited = partial(msgspec.structs.replace, consent="limited")
    anyio.run(board.dashboard.sites.update, board.site(), limited)
    at = MONDAY - 5 * DAY
    subscribe(board, "anna@example.com")
    for week, anonymous in enumerate((2, 1)):
        board.seed([pageview(0, at=at + n, consent="none") for n in range(anonymous)])
        board.clock.now = MONDAY + 60 * week
        anyio.run(board.dashboard.notifications.reports.send_now, board.site(), only(board))
    hidden, told = map(text_of, mail.messages)
    assert "Consent coverage is hidden: too few visitors." in hidden
    assert "known for the 92% with consent" in " ".join(told.split())


def test_what_a_guest_may_not_see_is_in_no_report(board: Board, mail: MailServer) -> None:
    """Under strict protection every count is rounded, and the mail says so."""
    strict = partial(msgspec.structs.replace, strict=True)
    anyio.run(board.dashboard.sites.update, board.site(), strict)
    subscribe(board, "anna@example.com")
    board.clock.now = MONDAY
    tick(board)
    text = text_of(mail.messages[0])
    assert "Counts are rounded to multiples of 6" in text
    assert "Visitors                           36" in text


def test_one_recipients_failure_stops_nobody_else(board: Board, mail: MailServer) -> None:
    """Who is refused for a time gets it later, who is refused for good does not."""
    for name in ("anna", "bo", "cecilia"):
        subscribe(board, f"{name}@example.com")
    mail.refused = {"anna@example.com": "451 4.2.1 try later", "bo@example.com": "550 5.1.1 unknown"}
    board.clock.now = MONDAY
    tick(board)
    assert [message["To"] for message in mail.messages] == ["cecilia@example.com"]
    mail.refused = {}
    board.clock.now += 60
    tick(board)
    assert [message["To"] for message in mail.messages] == ["cecilia@example.com", "anna@example.com"]
    board.sign_in()
    page = board.get(f"/{SITE}/reports").text
    assert "Failed: " in page
    assert "550 5.1.1 unknown" in page


def test_a_report_is_caught_up_with_but_not_too_late(board: Board, mail: MailServer) -> None:
    """A server that was down on Monday sends on Tuesday; one that comes back on Friday leaves it out."""
    subscribe(board, "anna@example.com")
    board.clock.now = MONDAY + DAY
    tick(board)
    assert [message["Subject"] for message in mail.messages] == [f"{SITE}: weekly report, 18–24 May 2026"]
    board.clock.now = MONDAY + 7 * DAY + 4 * DAY
    tick(board)
    assert len(mail.messages) == 1


def test_who_subscribes_later_gets_the_next(board: Board, mail: MailServer) -> None:
    """A new recipient is not sent what was due before."""
    board.clock.now = MONDAY + 600
    subscribe(board, "anna@example.com")
    tick(board)
    assert mail.messages == []


def test_a_month_is_compared_with_a_month(board: Board, mail: MailServer) -> None:
    """On the first, with a bar for each day."""
    subscribe(board, "anna@example.com", "monthly")
    board.clock.now = MONDAY + 7 * DAY
    tick(board)
    assert mail.messages[0]["Subject"] == f"{SITE}: monthly report, 1–31 May 2026"
    assert "Sun 31 May" in text_of(mail.messages[0])


def test_nothing_is_sent_for_a_site_that_is_gone(board: Board, mail: MailServer) -> None:
    """Nor kept of whom it was sent to."""
    subscribe(board, "anna@example.com")
    for follower in board.dashboard.deletions.followers:
        follower(board.site().id)
    board.clock.now = MONDAY
    tick(board)
    assert mail.messages == []
    assert board.dashboard.notifications.subscriptions.all() == []


@long
def test_two_processes_send_each_report_once(board: Board, mail: MailServer, database: Client, tmp_path: Path) -> None:
    """Both plan and send at the same time."""
    for number in range(6):
        subscribe(board, f"reader{number}@example.com")
    board.clock.now = MONDAY
    (tmp_path / "two").mkdir()
    other = build_notifications(
        replace(board.dashboard.settings, data_dir=tmp_path / "two"),
        database,
        board.dashboard.sites,
        board.dashboard.stats,
        SECRETS,
        alone(database),
        shipped(),
        board.clock,
    )

    async def both() -> None:
        async with anyio.create_task_group() as group:
            for each in (board.dashboard.notifications, other, board.dashboard.notifications, other):
                group.start_soon(each.scheduler.tick)

    anyio.run(both)
    assert sorted(message["To"] for message in mail.messages) == [f"reader{n}@example.com" for n in range(6)]
