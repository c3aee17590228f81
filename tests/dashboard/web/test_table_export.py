"""Tables under way: a few of each reader, and none for whoever does not read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from starlette.types import Message

from collector.core.request_slots import MOST_WAITING
from collector.storage.client import ClickHouse
from dashboard.web.table_export import (
    MOST_OF_GUESTS,
    OF_READER,
    PAGES_OF_GUESTS,
    PAGES_OF_SITE,
    ExportSlots,
    TableResponse,
)
from tests.board import SITE, Board, opened_board, pageview

NETWORK = "192.0.2.1"
TABLE = f"/{SITE}/details/pages.csv?period=day"


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A public dashboard."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(timezone="UTC", public=True)
        opened.seed([pageview(1, "/")])
        yield opened


def test_a_network_has_a_few_tables_at_a_time(board: Board) -> None:
    """Whoever asks for more without reading them is refused, and keeps no member from theirs."""

    async def asked() -> None:
        exports = board.dashboard.exports
        taken = [await exports.acquire(NETWORK, guest=True) for _ in range(OF_READER)]
        waiting = [asyncio.create_task(exports.acquire(NETWORK, guest=True)) for _ in range(OF_READER)]
        await asyncio.sleep(0)
        refused = await asyncio.to_thread(board.get, TABLE)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        for slot in taken:
            await slot.aclose()
        for slot in await asyncio.gather(*waiting):
            await slot.aclose()
        assert (await asyncio.to_thread(board.get, TABLE)).status_code == 200

    asyncio.run(asked())
    board.sign_in()
    assert board.get(TABLE).status_code == 200


@pytest.mark.parametrize("page", [f"/{SITE}/details/pages?period=day", f"/{SITE}/values?period=day&fd=event:page&fv=/"])
def test_pages_of_whole_tables_are_made_for_a_few_guests_at_a_time(board: Board, page: str) -> None:
    """Others wait, whatever their networks are, and very many are refused; members go on."""

    async def asked() -> None:
        exports, done = board.dashboard.exports, asyncio.Event()

        async def one() -> None:
            async with exports.page(SITE, guest=True):
                await done.wait()

        others = [asyncio.create_task(one()) for _ in range(PAGES_OF_SITE + MOST_WAITING)]
        await asyncio.sleep(0)
        refused = await asyncio.to_thread(board.get, page)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        await asyncio.to_thread(board.sign_in)
        assert (await asyncio.to_thread(board.get, page)).status_code == 200
        board.cookies.clear()
        done.set()
        await asyncio.gather(*others)
        assert (await asyncio.to_thread(board.get, page)).status_code == 200

    asyncio.run(asked())


@pytest.mark.anyio
async def test_pages_of_tables_do_not_wait_for_guests_of_another_site() -> None:
    """However many networks ask for those; of all sites a few are made at a time."""
    slots, done, begun = ExportSlots(), asyncio.Event(), list[str]()

    async def one(site: str) -> None:
        async with slots.page(site, guest=True):
            begun.append(site)
            await done.wait()

    asked = ["busy"] * (PAGES_OF_SITE + MOST_WAITING) + [f"site {number}" for number in range(PAGES_OF_GUESTS)]
    pages = [asyncio.create_task(one(site)) for site in asked]
    for _ in range(10):
        await asyncio.sleep(0)
    assert begun == ["busy"] * PAGES_OF_SITE + [f"site {number}" for number in range(PAGES_OF_GUESTS - PAGES_OF_SITE)]
    done.set()
    await asyncio.gather(*pages)


async def parts() -> AsyncIterator[str]:
    """A table that does not end."""
    while True:
        yield "row"


@pytest.mark.anyio
async def test_who_does_not_read_gets_no_more() -> None:
    """A part that has not gone in time is the last, and the slot is another's."""
    slots, stuck = ExportSlots(), asyncio.Event()
    taken = [await slots.acquire(str(number), guest=True) for number in range(MOST_OF_GUESTS)]
    response = TableResponse(parts(), {}, taken.pop())
    response.part_seconds = 0.01

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await stuck.wait()

    async def receive() -> Message:
        await stuck.wait()
        return {"type": "http.disconnect"}

    await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    async with asyncio.timeout(1), await slots.acquire("next", guest=True):
        assert taken
