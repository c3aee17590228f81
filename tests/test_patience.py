"""How long a connection may take to say what it wants, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from collector import patience
from collector.patience import PatientProtocol

pytestmark = pytest.mark.anyio

ASKED = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Hasty(PatientProtocol):
    """The same with little patience."""

    head_seconds = 0.3


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[int]:
    """A small application on a port of its own."""

    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=[Route("/", hello)]), http=Hasty, log_level="error"))
    running = asyncio.create_task(server.serve([bound]))
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        await running


BEGUN = {
    "nothing": b"",
    "a first line": b"GET / HTTP/1.1\r\n",
    "half a field": b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ",
    "half of a second request": ASKED + b"GET / HTTP/1.1\r\nhost:",
}


@pytest.mark.parametrize("begun", BEGUN)
async def test_a_request_that_does_not_end_ends_its_connection(begun: str) -> None:
    """However far it has come."""
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BEGUN[begun])
        answer = await reader.read()
        writer.close()
    assert (b"hello" in answer) == BEGUN[begun].startswith(ASKED)


async def test_header_fields_without_end_end_the_connection() -> None:
    """Before they fill the memory."""
    sent = 0
    async with served() as port, asyncio.timeout(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while sent < 100 << 20:
                writer.write(b"x-field: " + b"x" * 10_000 + b"\r\n")
                sent += 10_000
                await writer.drain()
    assert sent < 10 << 20


async def test_a_connection_that_asks_in_time_stays() -> None:
    """Also when it asks again later than a begun request may take."""
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(ASKED)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(5) == b"hello"
            await asyncio.sleep(2 * Hasty.head_seconds)
        writer.close()


def test_patience_ends_before_that_of_reverse_proxies() -> None:
    """nginx and Caddy wait for 60 seconds and more by default, and would hold ours open for as long."""
    assert patience.HEAD_SECONDS < 60
    assert PatientProtocol.head_seconds == patience.HEAD_SECONDS
