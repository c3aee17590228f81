"""How long a connection may take to say what it wants, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from collector.core.metrics import Counters
from collector.server import header_timeout
from collector.server.header_timeout import MAX_PIPELINED, HeaderTimeoutProtocol, MalformedRequests
from tests.collector.spool.test_spool import Clock

pytestmark = pytest.mark.anyio

ASKED = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Hasty(HeaderTimeoutProtocol):
    """The same with little patience."""

    head_seconds = 0.3
    write_seconds = 0.3


@contextlib.asynccontextmanager
async def served(
    malformed: MalformedRequests | None = None, hosts: list[str | None] | None = None
) -> AsyncIterator[int]:
    """A small application on a port of its own, which notes the addresses of those who say hello."""

    async def hello(request: Request) -> PlainTextResponse:
        if hosts is not None:
            hosts.append(request.client.host if request.client else None)
        return PlainTextResponse("hello")

    async def large(_: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * (8 << 20))

    async def trailers(request: Request) -> PlainTextResponse:
        await request.body()
        return PlainTextResponse(str(sum(name == "x-late" for name in request.headers)))

    bound = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", hello), Route("/large", large), Route("/trailers", trailers, methods=["POST"])])
    app.malformed = malformed  # type: ignore[attr-defined]
    server = uvicorn.Server(uvicorn.Config(app, http=Hasty, log_config=None, proxy_headers=False, ws="none"))
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


async def test_a_request_without_an_address_is_none() -> None:
    """Of a connection that is reset before it is accepted the system tells no address, by which limits go."""
    hosts: list[str | None] = []
    async with served(hosts=hosts) as port:
        for _ in range(5):
            # The server runs in this loop: it accepts them all afterwards.
            gone = socket.create_connection(("127.0.0.1", port))
            gone.sendall(ASKED)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASKED)
        assert b"hello" in await reader.read(1_000)
        writer.close()
    assert hosts == ["127.0.0.1"]


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


CHUNKED = b"POST /trailers HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
ENDLESS = {
    "the name of a trailer": (CHUNKED + b"0\r\n", b"x"),
    "the value of a trailer": (CHUNKED + b"1\r\na\r\n0\r\nx: ", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"x: 1\r\n"),
    "a trailer that nobody waits for": (CHUNKED.replace(b"POST /trailers", b"GET /") + b"0\r\n", b"x"),
    "a chunk extension": (CHUNKED + b"1;", b"x"),
    "empty lines": (b"", b"\r\n"),
    "empty lines after a request": (ASKED, b"\r\n"),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_is_no_body_ends_the_connection_where_it_has_no_end(what: str) -> None:
    """Before it fills the memory: a field that is not complete is copied as a whole with each packet."""
    begun, unit = ENDLESS[what]
    sent, packet = 0, unit * (65_536 // len(unit))
    async with served() as port, asyncio.timeout(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        with contextlib.suppress(ConnectionError):
            while sent < 40 << 20:
                writer.write(packet)
                sent += len(packet)
                await writer.drain()
        writer.close()
    assert sent < 20 << 20


async def test_a_body_of_many_packets_is_no_header() -> None:
    """What is read is not counted, however much it is, nor are complete requests that come in one packet."""
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED)
        for _ in range(50):
            writer.write(b"4000\r\n" + b"x" * 16_384 + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(1) == b"0"
        for _ in range(20):
            writer.write(ASKED * MAX_PIPELINED)
            for _ in range(MAX_PIPELINED):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(5) == b"hello"
        writer.close()


@pytest.mark.parametrize(
    "asked",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 16_400 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx" + b"x" * 16_400 + b": 1\r\n\r\n",
        b"GET /" + b"x" * 16_400 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: 1\r\n" * 100 + b"\r\n",
    ],
    ids=["value", "name", "target", "fields"],
)
async def test_each_field_has_a_bound(asked: bytes) -> None:
    """Beyond it the request is refused in words, and its connection ends (RFC 6585, 5)."""
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asked)
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"hello" not in answer


async def test_many_requests_at_once_end_the_connection() -> None:
    """Each that waits takes many times its own size."""
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASKED * (MAX_PIPELINED + 10))
        answered = 0
        with contextlib.suppress(ConnectionError):
            answered = (await reader.read()).count(b"hello")
        writer.close()
    assert answered <= 1


async def test_a_client_that_does_not_read_loses_its_connection() -> None:
    """It would hold what it was sent for as long as it likes."""
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        writer.write(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        # The stream stops reading at its limit; that the other side has gone shows in what is written.
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(Hasty.write_seconds)
                writer.write(b"\r\n")
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await reader.read()


async def test_trailers_are_not_kept() -> None:
    """They come after the header fields' bounds were looked at, and nothing reads them."""
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /trailers HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"0\r\n" + b"x-late: 1\r\n" * 50 + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(1) == b"0"
        writer.close()


async def test_malformed_requests_are_counted_and_seldom_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One line a minute at most, with how many there were and nothing of them."""
    counters, clock = Counters(), Clock(0)
    async with served(MalformedRequests(counters, clock)) as port, asyncio.timeout(20):
        for clock.now in (0, 40, 80):
            for sent in (b"\x16\x03\x01hello\r\n\r\n", b"GET 192.0.2.1 HTTP/9.9\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent)
                assert (await reader.read()).startswith(b"HTTP/1.1 400")
                writer.close()
    assert b'tyst_faults_total{kind="malformed"} 6.0' in counters.text()
    lines = [record for record in caplog.records if record.levelname != "INFO"]
    assert [(line.levelname, line.requests) for line in lines] == [("WARNING", 1), ("WARNING", 4)]  # type: ignore[attr-defined]
    assert "192.0.2.1" not in caplog.text


async def test_a_request_for_another_protocol_is_answered_without_it(caplog: pytest.LogCaptureFixture) -> None:
    """And logged no more often than what is malformed."""
    counters = Counters()
    async with served(MalformedRequests(counters, Clock(0))) as port, asyncio.timeout(20):
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()
    assert b'tyst_faults_total{kind="upgrade"} 3.0' in counters.text()
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


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
    assert header_timeout.HEAD_SECONDS < 60
    assert HeaderTimeoutProtocol.head_seconds == header_timeout.HEAD_SECONDS
