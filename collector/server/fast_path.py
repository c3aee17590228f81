"""Fast path of beacons: a complete request received in one read skips uvicorn's request cycle.

What uvicorn does for a request (its cycle, events, checks of every header) takes longer than all that the collector
does with a beacon. So a whole beacon, received in one piece on a connection with nothing else under way, goes straight
to the endpoint. Everything else takes the ordinary path, and reaches the same endpoint.

The response, too, goes straight to the socket where it is one of `CONSTANT_RESPONSES`, whose bytes are made when this
module is imported. Every other response (a receipt, several drop reasons, a validation error) is sent by uvicorn's own
cycle, as on the ordinary path: no byte of a request can reach the socket from here.
"""

from __future__ import annotations

import asyncio
import http
from functools import partial
from typing import Any, Final, Protocol

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from collector.core.response_headers import Header, encode_headers
from collector.server.header_timeout import MAX_FIELDS, HeaderTimeoutProtocol
from collector.server.responses import CONSTANT_RESPONSES, FAILED, BeaconResponse, ResponseCallback, send_response

PATH = b"/api/event"
MOST_BODY = 16 * 1024


def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode()


def _rest(response: BeaconResponse, *headers: Header) -> bytes:
    return encode_headers((*response.headers, *headers)) + b"\r\n" + response.body


# Before and after the fields that the server itself adds; the second one closes the connection.
_ENCODED: Final = {
    response: (_status_line(response.status), _rest(response), _rest(response, (b"connection", b"close")))
    for response in CONSTANT_RESPONSES
}


class BeaconHandler(Protocol):
    """The part of the event endpoint that the fast path calls."""

    def enqueue_beacon(self, scope: Scope, body: bytes, answer: ResponseCallback) -> None:
        """Take a beacon that is whole, and answer it once. Of the scope, `headers` and `client` are there."""


class _Unheard:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nothing to do."""


class _Cycle:
    """State of a request on the fast path, as uvicorn's protocol expects it."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")
    message_event = _Unheard()

    def __init__(self) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True


class FastPathProtocol(HeaderTimeoutProtocol):
    """HTTP protocol with the fast path, if the application has `beacons`; else the ordinary protocol."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._beacons: BeaconHandler | None = getattr(self.app, "beacons", None)
        self._body: list[bytes] | None = None
        # The last response, the server's own fields in that second, and both encoded.
        self._sent: tuple[BeaconResponse, list[Header], bytes] | None = None
        self._idle_since = 0.0
        self._idle: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._body is not None:
            # It has not come in one piece: from here on it takes the ordinary path.
            body, self._body = b"".join(self._body), None
            self._take_ordinary_path()
            if body:
                super().on_body(body)

    def on_message_begin(self) -> None:
        # The scope is made when it is known to be needed.
        self.url, self.headers, self.expect_100_continue, self.oversize = b"", [], False, False
        self.start_timer()

    def on_headers_complete(self) -> None:
        if self._beacons is not None and self._is_fast():
            self.stop_timer()
            self._body = []
        else:
            self._take_ordinary_path()

    def _take_ordinary_path(self) -> None:
        """As if the request had been one of the server's own from the start."""
        url, headers, expects, oversize = self.url, self.headers, self.expect_100_continue, self.oversize
        super().on_message_begin()
        self.url, self.expect_100_continue, self.oversize = url, expects, oversize
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._body is not None:
            self._body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._body is None or self._beacons is None:
            super().on_message_complete()
            return
        body, self._body = b"".join(self._body), None
        cycle = _Cycle()
        # Requests that follow on this connection wait for it, in the server's own queue.
        self.cycle = cycle  # type: ignore[assignment]
        scope = {"type": "http", "headers": self.headers, "client": self.client}
        try:
            self._beacons.enqueue_beacon(scope, body, partial(self._respond, cycle))
        except Exception:
            # As on the ordinary path: what broke is in the log, and nobody else is disturbed.
            self.logger.exception("a beacon could not be answered")
            self._respond(cycle, FAILED)

    def _is_fast(self) -> bool:
        """Whether the request, whose header fields are whole, may be a beacon that comes in one piece."""
        if self.url != PATH or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if self.oversize or len(self.headers) > MAX_FIELDS:
            return False
        if self.flow.write_paused:
            return False  # the ordinary path waits until the client reads its responses
        if self.expect_100_continue or not self.parser.should_keep_alive():
            return False
        if self.parser.should_upgrade() or (self.cycle is not None and not self.cycle.response_complete):
            return False
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and int(value) <= MOST_BODY
        return False

    def _respond(self, cycle: _Cycle, response: BeaconResponse) -> None:
        if self.transport.is_closing():
            cycle.response_complete = True
            return
        encoded = _ENCODED.get(response)
        if encoded is None:
            self._respond_ordinarily(cycle, response)
            return
        cycle.response_complete = True
        self.transport.write(self._encoded(response, encoded, keep_alive=cycle.keep_alive))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _respond_ordinarily(self, cycle: _Cycle, response: BeaconResponse) -> None:
        """Have uvicorn send the response, which checks every field."""
        ordinary = RequestResponseCycle(
            scope={"type": "http", "method": "POST", "path": PATH.decode(), "headers": []},  # type: ignore[typeddict-item]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=cycle.keep_alive,
            on_response=self.on_response_complete,
        )
        ordinary.more_body = False
        if self.cycle is cycle:  # type: ignore[comparison-overlap]
            self.cycle = ordinary

        async def respond(_: Scope, __: Receive, send: Send) -> None:
            await send_response(send, response)

        self._start_asgi_task(ordinary, respond)  # type: ignore[arg-type]

    def _encoded(self, response: BeaconResponse, parts: tuple[bytes, bytes, bytes], *, keep_alive: bool) -> bytes:
        own = self.server_state.default_headers
        status_line, rest, closing = parts
        if not keep_alive:
            return b"".join((status_line, encode_headers(own), closing))
        sent = self._sent
        # Most responses are the same one, and the server's own fields change once a second.
        if sent is not None and sent[0] is response and sent[1] is own:
            return sent[2]
        encoded = b"".join((status_line, encode_headers(own), rest))
        self._sent = (response, own, encoded)
        return encoded

    def on_response_complete(self) -> None:
        """As the server's own, which sets a timer at each answer and ends it at each request: two calls into the loop
        for a beacon. Here one timer looks now and then whether the connection has been idle for as long as it may."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_if_idle)

    def _look_if_idle(self) -> None:
        self._idle = None
        if self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            return  # its answer looks again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle = self.loop.call_later(left, self._look_if_idle)
