"""Limits on a connection: time, size and number of header fields (slow-loris protection), responses left unread, and
pipelined requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from collector.core.log_limit import LogLimit
from collector.core.metrics import Counters
from collector.core.response_headers import DATA_HEADERS, Header
from collector.server.upgrades import UpgradeProtocol

log = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
"""From connecting, or the first byte of a later request, to the end of its header fields."""
MOST_HEAD: Final = 64 * 1024
"""Bytes of a request's header fields, and of all else that is not body, such as trailers."""
MAX_FIELD: Final = 16 * 1024
"""Bytes of one header field, and of the request's target."""
MAX_FIELDS: Final = 100
WRITE_SECONDS: Final = 60.0
"""For which a client may leave the socket's buffers full of responses without reading any."""
MAX_PIPELINED: Final = 100
"""Requests of a connection that wait for the response to an earlier one. Browsers and proxies pipeline none."""


class MalformedRequests:
    """Counts invalid HTTP requests, and logs at most one line a minute. `clock` returns seconds."""

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._lines = LogLimit(clock)

    def count(self, kind: str) -> None:
        """Count a request of that kind: `malformed` or `upgrade`."""
        self._counters.fault(kind)
        if requests := self._lines.count():
            log.warning("malformed requests were refused", extra={"requests": requests})


async def _too_large(_: Scope, __: Receive, send: Send) -> None:
    """The response to header fields beyond the limits (RFC 6585, 5)."""
    body = b"Request header fields are too large.\n"
    headers: list[Header] = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *DATA_HEADERS,
    ]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class HeaderTimeoutProtocol(UpgradeProtocol):
    """Uvicorn's HTTP protocol with limits on header fields and trailers, unread responses and pipelined requests.

    Uvicorn alone waits indefinitely for an incomplete request (slow loris) and for a client that does not read, buffers
    header fields and pipelined requests without limit, and logs each malformed request. Bodies are limited by their
    readers.
    """

    head_seconds = HEAD_SECONDS
    write_seconds = WRITE_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._malformed: MalformedRequests | None = getattr(self.app, "malformed", None)
        self._patience: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._outside_body = 0
        """Bytes received since the header fields were complete, or since the last piece of a body."""
        self.oversize = False
        """Whether the current request's header fields exceed the limits."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is None:
            # It was reset before it was accepted: nobody is there, and limits go by address.
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_timer()
        self._stop_write_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._outside_body += len(data)
        try:
            if self.parse(data):
                self._note("upgrade")
        except httptools.HttpParserError:
            self._note("malformed")
            self.send_400_response("Invalid HTTP request received.")
            return
        if self.transport.is_closing():
            return
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.close()
        elif self._outside_body > MOST_HEAD:
            # Header fields, a trailer or a chunk extension without end: the parser buffers a field until it ends, and
            # copies all of it at each read.
            self.transport.close()
        elif self._in_head and self._patience is None:
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.oversize = False
        self.start_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: unused, and uvicorn would buffer them without limit
        if len(name) + len(value) > MAX_FIELD:
            self.oversize = True
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.stop_timer()
        if not (self.oversize or len(self.headers) > MAX_FIELDS or len(self.url) > MAX_FIELD):
            super().on_headers_complete()
            return
        app, self.app = self.app, _too_large
        self.url = b"/"
        try:
            # Not answered again without an upgrade, for which it may ask.
            HttpToolsProtocol.on_headers_complete(self)
        finally:
            self.app = app

    def on_body(self, body: bytes) -> None:
        self._outside_body = 0
        super().on_body(body)

    def start_timer(self) -> None:
        """The header fields of a request begin."""
        self._in_head = True

    def stop_timer(self) -> None:
        """Stop the timer: the header fields are complete."""
        self._in_head, self._outside_body = False, 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def new_cycle(self) -> RequestResponseCycle:
        """A cycle of uvicorn's for a request that is complete, whose response needs nothing of the request."""
        cycle = RequestResponseCycle(
            scope={"type": "http", "method": "POST", "path": "/", "headers": []},  # type: ignore[typeddict-item]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        return cycle

    def on_response_complete(self) -> None:
        """As the server's own, which sets a timer at each response and ends it at each request: two calls into the loop
        for a beacon. Here one timer checks now and then whether the connection has been idle for as long as it may."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._idle_timer = None
        if self._in_head or (self.cycle is not None and not self.cycle.response_complete):
            return  # its response sets the timer again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_later(left, self._close_if_idle)

    def _note(self, kind: str) -> None:
        if self._malformed is not None:
            self._malformed.count(kind)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(self.head_seconds, self.transport.close)
