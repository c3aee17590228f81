"""ASGI middleware of all routes except beacons.

- Reject requests for a host that is not this server's (421).
- Set the scheme that the client used, also behind a TLS proxy.
- Handle HEAD as GET without a body.
- Read the body before the route is called, limited in size, time and number. Uploads are read by their routes.
- Limit concurrency: a few requests of an account or network are processed at a time, one of them with a long query, and
  only a few requests of clients without an account start in one turn of the event loop.
- Validate response header fields, sandbox responses other than pages, and forbid caching unless a response allows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.core.metrics import Counters
from collector.core.request_slots import RETRY_SECONDS, RequestSlots, TooManyRequests
from collector.core.response_headers import DATA_HEADERS, Header, encode_headers
from collector.core.turn_limit import TurnLimit
from collector.ingest.request_body import BodyError, BodyReader
from collector.ingest.request_origin import ORIGIN, RequestOrigin, RequestOrigins

MAX_BODY: Final = 64 * 1024
MAX_BODIES: Final = {"/api/v1/audit/search": 1 << 20}
"""Bytes by path, for routes that accept more than `MAX_BODY`."""

STREAMED: Final = re.compile(r"(?:/api/v1/sites)?/[^/]+/imports")
"""Paths of uploads: their routes read the body as it arrives, after checking that the sender may upload."""

_UNLIMITED: Final = re.compile(r"/api/.*")
"""Paths without a concurrency limit here: the API limits requests with keys by account."""
_LASTING: Final = re.compile(rf".*/realtime/stream|{STREAMED.pattern}")
"""Paths of streams and uploads: these release their slot when they start to listen to the client, and have limits of
their own."""
_LIGHT: Final = re.compile(r"/(static|privacy|login|logout)(?:/.*)?")
"""Paths of fast responses. Each group of them, by the first path segment, has slots of its own."""

LONG_QUERY: Final = 2_000
"""Bytes of a query from which an account or network has one request at a time. The hundreds of links of a page repeat
its filters: with very many, rendering the page blocks the event loop for some tenths of a second."""

ANY_HOST: Final = frozenset({"/js/tyst.js", "/healthz", "/readyz", "/metrics"})
"""Public or machine-readable paths, served under any host."""
OPERATORS_OWN: Final = frozenset({"/metrics", "/readyz"})
"""Paths for the operator only, which the documented proxies refuse."""
# Static files are public; the visitor endpoints authorise by site, in `RequestOrigins.may_access`.
_ANY_HOST_BELOW: Final = ("/static/", "/privacy/", "/api/me")

HSTS: Final[Header] = (b"strict-transport-security", b"max-age=31536000")

_CLOSED: Final = "the handler is closed"
"""Part of uvloop's error when the client of a response has just disconnected."""

REFUSAL: Final = "tyst.refusal"
"""Scope key of the `HTTPException` to respond with instead of calling a route."""


class Edge:
    """ASGI middleware around the whole application. `network` gives the network of a request's sender, and `account`
    the name of the signed-in account or an empty string."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: RequestOrigins,
        bodies: BodyReader,
        counters: Counters,
        network: Callable[[Scope], str],
        account: Callable[[Scope], str] = lambda _: "",
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._bodies = bodies
        self._counters = counters
        self._network = network
        self._account = account
        self._slots = RequestSlots()
        self._long_slots = RequestSlots(1)
        # Shared by all networks: one client may have hundreds of them (IPv6).
        self._starts = TurnLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = self._hosts.origin(scope)
        head = scope["method"] == "HEAD"
        # A copy, since the server still needs the original method.
        scope = {**scope, "scheme": origin.scheme, "method": "GET" if head else scope["method"], ORIGIN: origin}
        started = asyncio.Event()
        send = _checked(_noting(send, started), secure=origin.is_public and origin.scheme == "https")
        try:
            refusal = _refuse(scope, origin)
            if refusal is None and scope["method"] not in ("GET", "OPTIONS") and not STREAMED.fullmatch(scope["path"]):
                body = await self._bodies.read(receive, MAX_BODIES.get(scope["path"], MAX_BODY), self._network(scope))
                receive = _replayed(body, receive)
        except BodyError as error:
            if not error.status:
                return
            self._counters.fault(error.kind)
            headers = {"connection": "close"}
            if error.retry_seconds is not None:
                headers["retry-after"] = str(error.retry_seconds)
            refusal = HTTPException(error.status, error.reason, headers)
        if refusal is not None:
            scope[REFUSAL] = refusal
        if head:
            receive, send = _without_body(receive, send)
        try:
            with contextlib.suppress(ClientDisconnect):
                await self._limited(scope, receive, send)
        except asyncio.CancelledError:
            # The server is stopping, and has logged how many requests it cancels.
            if not started.is_set():
                scope[REFUSAL] = HTTPException(503, "the server is stopping", {"retry-after": str(RETRY_SECONDS)})
                await self._app(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application when it is the request's turn."""
        path, refused = scope["path"], REFUSAL in scope
        if _UNLIMITED.fullmatch(path) or (path in ANY_HOST and not refused):
            await self._starts.wait("unlimited")
            await self._app(scope, receive, send)
            return
        light = _LIGHT.fullmatch(path)
        kind = "refused" if refused else light[1] if light else "page"
        # Signed-in users do not wait for others with the same address, such as in an office or behind a proxy that is
        # not trusted.
        account = self._account(scope)
        client = f"account {account}" if account else self._network(scope)
        try:
            async with contextlib.AsyncExitStack() as slots:
                if len(scope.get("query_string", b"")) > LONG_QUERY:
                    await slots.enter_async_context(self._long_slots.of(client))
                await slots.enter_async_context(self._slots.of(f"{kind} {client}"))
                if not account:
                    await self._starts.wait()
                await self._app(scope, _releasing(slots, receive) if _LASTING.fullmatch(path) else receive, send)
        except TooManyRequests:
            await self._starts.wait("too many")
            headers = {"retry-after": str(RETRY_SECONDS)}
            scope[REFUSAL] = HTTPException(429, "Too many requests. Try again in a few seconds.", headers)
            await self._app(scope, receive, send)


def _refuse(scope: Scope, origin: RequestOrigin) -> HTTPException | None:
    path: str = scope["path"]
    if path in OPERATORS_OWN and scope.get("raw_path", path.encode()) != path.encode():
        # Another spelling, such as `/%6detrics`, may get past a proxy that refuses the path.
        return HTTPException(404)
    if path in ANY_HOST or path.startswith(_ANY_HOST_BELOW):
        return None
    if not origin.host:
        return HTTPException(400, "expected one Host")
    return (
        None if origin.is_own else HTTPException(421, "this server does not answer to that name: set TYST_PUBLIC_URL")
    )


def _noting(send: Send, started: asyncio.Event) -> Send:
    """Set the event when the response starts."""

    async def noted(message: Message) -> None:
        started.set()
        await send(message)

    return noted


def _checked(send: Send, *, secure: bool) -> Send:
    """Reject invalid header fields (response splitting), sandbox responses other than pages, and forbid caching of
    responses without `Cache-Control`."""

    async def checked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message.get("headers", ())]
            given = dict(headers)
            if not (given.get(b"content-type", b"").startswith(b"text/html") and b"content-security-policy" in given):
                replaced = dict(DATA_HEADERS)
                headers = [*(pair for pair in headers if pair[0] not in replaced), *DATA_HEADERS]
            if b"cache-control" not in given:
                # A cached redirect to the sign-in page, for example, would also reach signed-in users.
                headers.append((b"cache-control", b"no-store"))
            if secure:
                headers.append(HSTS)
            encode_headers(headers)
            message = {**message, "headers": headers}
        try:
            await send(message)
        except RuntimeError as error:
            # The client has disconnected, which the server learns in the next turn of the event loop.
            if _CLOSED not in str(error):
                raise

    return checked


def _releasing(slots: contextlib.AsyncExitStack, receive: Receive) -> Receive:
    """Release the slots when the route starts to listen to the client."""

    async def received() -> Message:
        await slots.aclose()
        return await receive()

    return received


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Replay the body as one message, then pass on further messages."""
    messages: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        for message in messages:
            return message
        return await receive()

    return replayed


def _without_body(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Send only the head of the response, then signal a disconnect to the route, which ends streams."""
    sent = asyncio.Event()

    async def received() -> Message:
        waiting = [asyncio.ensure_future(receive()), asyncio.ensure_future(sent.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting[0].done():
                return waiting[0].result()  # type: ignore[return-value]
            return {"type": "http.disconnect"}
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)

    async def sent_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            sent.set()

    return received, sent_head
