"""What is answered in place of a page when the storage cannot do what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.storage.client import ClickHouse
from dashboard.server.error_handlers import error_handlers
from tests.board import Board, opened_board

pytestmark = pytest.mark.anyio

# Nobody listens at this port.
STATEMENTS = {
    "/api/shard": "SELECT count() FROM remote('127.0.0.1:1', system.one)",
    "/api/mistake": "SELECT nothing FROM system.one",
    "/api/memory": "SELECT number FROM numbers(1000000) GROUP BY number SETTINGS max_memory_usage = 1000000",
}


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """The pages that errors are shown with."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        yield opened


async def test_a_node_that_is_down_is_said_to_be_back_later(board: Board, database: Client) -> None:
    """503 with a time to try again. Other errors of the database stay faults of the program, which are logged."""

    async def ask(request: Request) -> Response:
        database.query(STATEMENTS[request.url.path])
        return Response()

    handlers = error_handlers(board.dashboard)
    app = Starlette(routes=[Route(path, ask) for path in STATEMENTS], exception_handlers=handlers)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stats.test") as client:
        answer = await client.get("/api/shard")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        for path in ("/api/mistake", "/api/memory"):
            with pytest.raises(DatabaseError):
                await client.get(path)
