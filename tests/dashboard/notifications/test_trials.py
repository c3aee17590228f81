"""Trials of reports and alerts are bounded for who gets them, by whichever way they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette

from collector.storage.client import ClickHouse
from dashboard.api import alerts, report_subscriptions
from dashboard.notifications.channels import Channel
from dashboard.notifications.trials import OF_SITE, TO_RECIPIENT
from tests.board import BASE, SITE, Board, opened_board
from tests.length import long
from tests.mail_server import MailServer, mail_server

ANNA = "anna@example.com"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path, mail: MailServer) -> Iterator[Board]:
    """Two sites, with mail."""
    smtp = {"TYST_SMTP_HOST": "127.0.0.1", "TYST_SMTP_PORT": str(mail.port), "TYST_SMTP_TLS": "none"}
    settings = {**smtp, "TYST_SMTP_FROM": "stats@tyst.test", "TYST_PUBLIC_URL": BASE}
    with opened_board(clickhouse, database, tmp_path, **settings) as opened:
        opened.add_site()
        opened.add_site("other.example")
        yield opened


class Api:
    """The API of reports and channels, with a key that may manage the first site."""

    def __init__(self, board: Board) -> None:
        dashboard = board.dashboard
        parts = (dashboard.notifications, dashboard.sites, dashboard.keys, dashboard.changes)
        self._app = Starlette(routes=[*alerts.routes(*parts), *report_subscriptions.routes(*parts)])
        create = dashboard.keys.create

        async def made() -> str:
            _, key = await create(sites=(board.site().id,), right="manage", name="", expires="never", by="admin")
            return key

        self._headers = {"Authorization": f"Bearer {anyio.run(made)}"}

    def post(self, path: str, body: object = None) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=self._headers) as client:
                return await client.post(f"/api/v1/sites/{SITE}/{path}", json=body)

        return anyio.run(once)


def test_a_key_floods_nobody(board: Board, mail: MailServer) -> None:
    """Neither by reports nor by alerts, nor by a channel that is removed and added again."""
    api = Api(board)
    report = api.post("reports", {"address": ANNA}).json()["id"]
    answers = [api.post(f"reports/{report}/send") for _ in range(TO_RECIPIENT + 1)]
    assert [answer.status_code for answer in answers] == [200] * TO_RECIPIENT + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    channels = board.dashboard.notifications.channels
    for _ in range(2):
        made = api.post("channels", {"shape": "mail", "target": "Anna@example.com"}).json()["id"]
        assert api.post(f"channels/{made}/test").status_code == 429
        anyio.run(channels.remove, channels.of_site(board.site().id, made))
    assert len(mail.messages) == TO_RECIPIENT
    board.clock.now += 15 * 60
    assert api.post(f"reports/{report}/send").status_code == 200


@long
def test_a_site_has_a_number_of_trials(board: Board, mail: MailServer) -> None:
    """To whomever; another site has its own."""
    notifications = board.dashboard.notifications

    async def channel(number: int, site_id: str) -> Channel:
        made, _ = await notifications.channels.add(site_id, "mail", f"a{number}@x.example", language="en", by="")
        return made

    for number in range(6):
        made = anyio.run(channel, number, board.site().id)
        codes = [send(board, made) for _ in range(4)]
    assert codes == [False] * 4
    assert len(mail.messages) == OF_SITE
    assert send(board, anyio.run(channel, 9, board.site("other.example").id))


def send(board: Board, channel: Channel) -> bool:
    """Whether the button sends a trial."""
    board.sign_in()
    site = board.dashboard.sites.by_id(channel.site)
    assert site is not None
    answer = board.post(f"/{site.domain}/alerts", {"act": "test_channel", "id": channel.id})
    return answer.status_code == 303


def test_trials_keep_nobody_from_signing_in(board: Board) -> None:
    """They are no wrong passwords of their network."""
    board.sign_in()
    board.post(f"/{SITE}/alerts", {"act": "add_channel", "shape": "mail", "target": ANNA, "language": "en"})
    (channel,) = board.dashboard.notifications.channels.of(board.site().id)
    for _ in range(25):
        board.post(f"/{SITE}/alerts", {"act": "test_channel", "id": channel.id})
    board.cookies.clear()
    assert board.sign_in().status_code == 303
