"""The short way of a beacon, over real sockets: which requests take it, and that nobody can tell from the answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httptools
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from collector.server.collector import Collector
from collector.server.event_endpoint import EventEndpoint
from collector.server.fast_path import MOST_BODY, FastPathProtocol
from collector.server.responses import ACCEPTED, BeaconResponse, ResponseCallback
from collector.server.routes import routes
from collector.sites.model import Site
from collector.storage.client import ClickHouse
from dashboard.server.app import Tyst
from tests.collector.ingest.test_pipeline import CHROME
from tests.collector.server.test_event_endpoint import settings_for

pytestmark = pytest.mark.anyio

PAGEVIEW = {"n": "pageview", "u": "https://site.test/a", "d": "site.test", "c": "granted"}
BEACONS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "accepted": (PAGEVIEW, {}),
    "dropped for want of consent": ({**PAGEVIEW, "c": ""}, {}),
    "dropped by a signal": (PAGEVIEW, {"Sec-GPC": "1"}),
    "of no known site": ({**PAGEVIEW, "d": "other.test"}, {}),
    "of two sites": ({**PAGEVIEW, "d": "site.test,other.test"}, {}),
    "without a name": ({**PAGEVIEW, "n": ""}, {}),
    "no object": ({}, {}),
}


class Noted(EventEndpoint):
    """The endpoint, noting which way each beacon came."""

    ways: list[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ways.append("ordinary")
        await super().__call__(scope, receive, send)

    def enqueue_beacon(self, scope: Scope, body: bytes, answer: ResponseCallback, *good: BeaconResponse) -> None:
        self.ways.append("taken")
        super().enqueue_beacon(scope, body, answer, *good)


class Answers:
    """What came on a connection, as (status, headers, body)."""

    def __init__(self) -> None:
        self.found: list[tuple[int, dict[str, str], bytes]] = []
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = b""

    def feed(self, data: bytes) -> None:
        """More of what came."""
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._headers.pop("date")
        self.found.append((self._parser.get_status_code(), self._headers, self._body))
        self._headers, self._body = {}, b""


@contextlib.asynccontextmanager
async def listening(app: Any, buffer: int = 0) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """The application at a port of its own; `buffer` are the bytes of its sockets' buffers."""
    bound = socket.create_server(("127.0.0.1", 0))
    if buffer:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    config = uvicorn.Config(app, http=FastPathProtocol, lifespan="off", proxy_headers=False, log_level="critical")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([bound]))
    try:
        yield bound.getsockname()[1], server
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def served(tmp_path: Path, clickhouse: ClickHouse) -> AsyncIterator[tuple[int, Noted]]:
    """A collector with one site, at a port, and its endpoint."""
    collector = Collector(settings_for(tmp_path), clickhouse=clickhouse)
    await collector.sites.change(Site(domain="site.test"))
    await collector.start()
    app = Tyst(collector, routes=routes(collector))
    app.beacons = noted = Noted(collector)
    noted.ways = []
    async with listening(app) as (port, _):
        yield port, noted
    await collector.stop()


def request(body: bytes, headers: Mapping[str, str] = {}, *, chunked: bool = False) -> bytes:  # only read
    """A beacon as it goes over the wire."""
    lines = [f"{name}: {value}" for name, value in {"Host": "a", "User-Agent": CHROME, **headers}.items()]
    if chunked:
        head, sent = "Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        head, sent = f"Content-Length: {len(body)}", body
    return "\r\n".join(["POST /api/event HTTP/1.1", *lines, head, "", ""]).encode() + sent


async def ask(port: int, *pieces: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """Send the pieces, one when the other is on its way; the answers."""
    came = Answers()
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            writer.write(piece)
            # Long enough for the server to read what there is: it runs on this very loop.
            for _ in range(20):
                await asyncio.sleep(0)
        while len(came.found) < answers:
            came.feed(await reader.read(65_536))
        writer.close()
    return came.found


@pytest.mark.parametrize("kind", BEACONS)
async def test_both_ways_answer_alike(kind: str, served: tuple[int, Noted]) -> None:
    """Status, header fields and body."""
    port, endpoint = served
    beacon, headers = BEACONS[kind]
    body = json.dumps(beacon).encode()
    short = await ask(port, request(body, headers))
    assert endpoint.ways == ["taken"]
    ordinary = await ask(port, request(body, headers, chunked=True))
    assert endpoint.ways == ["taken", "ordinary", "taken"]
    assert short == ordinary


async def test_a_beacon_in_pieces_goes_the_ordinary_way(served: tuple[int, Noted]) -> None:
    """When the cut is behind its head; and so does what comes on the connection while it is under way."""
    port, endpoint = served
    whole = request(json.dumps(PAGEVIEW).encode())
    for cut in (30, whole.index(b"\r\n\r\n") + 4, len(whole) - 5):
        endpoint.ways.clear()
        found = await ask(port, whole[:cut], whole[cut:] + whole, answers=2)
        assert [(status, body) for status, _, body in found] == [(202, b"ok")] * 2
        assert endpoint.ways == [*([] if cut == 30 else ["ordinary"]), "taken", "ordinary", "taken"]


async def test_a_body_that_is_too_large_is_refused(served: tuple[int, Noted]) -> None:
    """By the ordinary way, which says so."""
    port, endpoint = served
    ((status, _, _),) = await ask(port, request(b"x" * (MOST_BODY + 1)))
    assert status == 413
    assert endpoint.ways == ["ordinary"]


async def test_requests_sent_at_once_are_answered_in_order(served: tuple[int, Noted]) -> None:
    """Beacons and others, without waiting for answers (RFC 9112, section 9.3.2)."""
    port, _ = served
    beacon = request(json.dumps(PAGEVIEW).encode())
    refused = request(b"{}")
    health = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    found = await ask(port, beacon + health + refused + beacon + health + health + beacon, answers=7)
    assert [body[:3] for _, _, body in found] == [b"ok", b"ok\n", b'{"e', b"ok", b"ok\n", b"ok\n", b"ok"]


class Slow:
    """An application whose endpoint answers when it is told to, or breaks."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.beacons = self
        self.asked = asyncio.Event()
        self._answers: list[ResponseCallback] = []
        self._told = False
        self._breaks = breaks

    def enqueue_beacon(self, _: Scope, __: bytes, answer: ResponseCallback) -> None:
        self.asked.set()
        if self._breaks:
            raise RuntimeError("broken")
        self._answers.append(answer)
        if self._told:
            self.tell()

    def tell(self) -> None:
        """Answer what is under way, and from now on at once."""
        self._told = True
        answers, self._answers = self._answers, []
        for answer in answers:
            answer(ACCEPTED)

    async def __call__(self, _: Scope, __: Receive, ___: Send) -> None:
        raise AssertionError("the ordinary way")


async def test_an_endpoint_that_breaks_answers_500() -> None:
    """And the connection goes on."""
    async with listening(Slow(breaks=True)) as (port, _):
        found = await ask(port, request(b"{}") + request(b"{}"), answers=2)
    assert [status for status, _, _ in found] == [500, 500]


async def test_a_server_that_stops_answers_what_is_under_way() -> None:
    """It waits for the beacon, answers it, and closes the connection."""
    app = Slow()
    async with listening(app) as (port, server), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"{}"))
        await app.asked.wait()
        server.should_exit = True
        await _until(lambda: not server.servers or not server.servers[0].is_serving())
        app.tell()
        came = await reader.read()
        writer.close()
    assert came.startswith(b"HTTP/1.1 202")
    assert b"connection: close" in came.lower()


async def test_a_reader_that_went_away_is_no_error() -> None:
    """What it sent is dealt with, and the next is served."""
    app = Slow()
    async with listening(app) as (port, _), asyncio.timeout(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"{}"))
        await app.asked.wait()
        writer.transport.abort()
        app.tell()
        found = await ask(port, request(b"{}"))
    assert [status for status, _, _ in found] == [202]


class Ticking:
    """An event loop's clock, which goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_later(self, seconds: float, timer: Callable[[], object]) -> Ticking:
        """Its handle is the clock: no timer of these tests is cancelled."""
        self._timers.append((self.now + seconds, timer))
        return self

    def cancel(self) -> None:
        """Of the first timer, which waits for a request's head."""
        self._timers.pop(0)

    def go_on(self, seconds: float) -> None:
        """Let time pass, and call what is due."""
        end = self.now + seconds
        while due := sorted((timer for timer in self._timers if timer[0] <= end), key=lambda timer: timer[0]):
            self._timers.remove(due[0])
            self.now = due[0][0]
            due[0][1]()
        self.now = end


class Wire(asyncio.Transport):
    """The far end of a connection."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.answers = 0
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers += bytes(data).startswith(b"HTTP/1.1 202")

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def resume_reading(self) -> None:
        """Nothing was paused."""


def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    """As long after its last answer as the server's setting says; not while a beacon is under way, however long."""
    clock, wire = Ticking(), Wire()
    app = Slow()
    config = uvicorn.Config(app, lifespan="off", proxy_headers=False, timeout_keep_alive=5)
    config.load()
    protocol = FastPathProtocol(config, ServerState(), {}, clock)
    protocol.connection_made(wire)
    protocol.data_received(request(b"{}"))
    clock.go_on(60)
    assert not wire.closed
    app.tell()
    for answered in range(1, 4):
        assert (wire.answers, wire.closed) == (answered, False)
        clock.go_on(4)
        protocol.data_received(request(b"{}"))
    clock.go_on(4.9)
    assert not wire.closed
    protocol.data_received(request(b"{}")[:20])
    clock.go_on(4)
    assert not wire.closed
    protocol.data_received(request(b"{}")[20:])
    assert wire.answers == 5
    clock.go_on(4.9)
    assert not wire.closed
    clock.go_on(0.2)
    assert wire.closed


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 # the server sets no event
        await asyncio.sleep(0.01)


async def test_who_does_not_read_the_responses_cannot_send_more() -> None:
    """They would fill the memory: a response is many times as long as the shortest request."""

    class Immediate:
        """An application that accepts every beacon."""

        async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
            message = await receive()
            while message.get("more_body"):
                message = await receive()
            await send({"type": "http.response.start", "status": 202, "headers": list(ACCEPTED.headers)})
            await send({"type": "http.response.body", "body": ACCEPTED.body})

        @property
        def beacons(self) -> Immediate:
            return self

        def enqueue_beacon(self, _: Scope, __: bytes, answer: ResponseCallback) -> None:
            answer(ACCEPTED)

    request = b"POST /api/event HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1"
    loop, sent = asyncio.get_running_loop(), 0
    async with listening(Immediate(), buffer=4_096) as (port, _), asyncio.timeout(30):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            with contextlib.suppress(TimeoutError, ConnectionError):
                while sent < 2 << 20:
                    async with asyncio.timeout(2):
                        await loop.sock_sendall(client, request)
                    sent += len(request)
    assert sent < 1 << 20


UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("cut", [False, True], ids=["in one piece", "in two"])
async def test_a_beacon_that_asks_for_http_2_is_answered_in_http_1(
    served: tuple[int, Noted], *, chunked: bool, cut: bool
) -> None:
    """As clients do that try it on any plain connection: its body is read, and what follows on the connection, too."""
    port, _ = served
    asking = request(json.dumps(PAGEVIEW).encode(), UPGRADE, chunked=chunked)
    place = asking.index(b"\r\n\r\n") + 4 if cut else len(asking)
    following = request(json.dumps({**PAGEVIEW, "c": ""}).encode())
    found = await ask(port, asking[:place], asking[place:], following, asking + following, answers=4)
    assert [(status, headers.get("x-tyst-dropped")) for status, headers, _ in found] == [
        (202, None), (202, "consent"), (202, None), (202, "consent"),
    ]  # fmt: skip


async def test_a_request_for_another_protocol_may_end_its_connection(served: tuple[int, Noted]) -> None:
    """What else its `Connection` says holds, and so do the bounds of header fields."""
    port, _ = served
    body = json.dumps(PAGEVIEW).encode()
    for headers, status in (
        ({**UPGRADE, "Connection": "Upgrade, close"}, 202),
        ({**UPGRADE, "X": "x" * 17_000}, 431),
    ):
        (answer,) = await ask(port, request(body, headers))
        assert (answer[0], answer[1]["connection"]) == (status, "close")
