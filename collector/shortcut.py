"""The short way of a beacon: from the socket to the endpoint without the machinery between server and application.

What uvicorn does for a request (its cycle, events, checks of every header) takes longer than all that the collector
does with a beacon. So a whole beacon, come in one piece on a connection with nothing else under way, goes straight
to the endpoint, and its answer straight to the socket. Everything else goes the ordinary way, and to the same
endpoint: which way a beacon went cannot be told from its answer.
"""

from __future__ import annotations

import asyncio
import http
from functools import partial
from typing import Any, Protocol

from starlette.types import Scope

from collector.patience import PatientProtocol
from collector.reply import Answer, Header, Reply

PATH = b"/api/event"
MOST_BODY = 16 * 1024


_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_FAILED: Reply = (
    500,
    b"Internal Server Error",
    [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"21")],
)


class Beacons(Protocol):
    """The endpoint, as the short way needs it."""

    def take_posted(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """Take a beacon that is whole, and answer it once. Of the scope, `headers` and `client` are there."""


class _Unheard:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nothing to do."""


class _Cycle:
    """A beacon under way, as the server looks at it: it waits for it, and queues what comes after it."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")
    message_event = _Unheard()

    def __init__(self) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True


class ShortcutProtocol(PatientProtocol):
    """The protocol of a server whose application has `beacons`; without it, it is that of any other."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._beacons: Beacons | None = getattr(self.app, "beacons", None)
        self._body: list[bytes] | None = None
        # What was answered last, in which second of the server, and how that looks on the wire.
        self._said: tuple[Reply, list[Header], bytes] | None = None
        self._idle_since = 0.0
        self._idle: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._body is not None:
            # It has not come in one piece: from here on it goes the ordinary way.
            body, self._body = b"".join(self._body), None
            self._go_the_ordinary_way()
            if body:
                super().on_body(body)

    def on_message_begin(self) -> None:
        # The scope is made when it is known to be needed.
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.begun()

    def on_headers_complete(self) -> None:
        if self._beacons is not None and self._is_short():
            self.calm()
            self._body = []
        else:
            self._go_the_ordinary_way()

    def _go_the_ordinary_way(self) -> None:
        """As if the request had been one of the server's own from the start."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
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
            self._beacons.take_posted(scope, body, partial(self._answer, cycle))
        except Exception:
            # As in the ordinary way: what broke is in the log, and nobody else is disturbed.
            self.logger.exception("a beacon could not be answered")
            self._answer(cycle, _FAILED)

    def _is_short(self) -> bool:
        """Whether the request, whose header fields are whole, may be a beacon that comes in one piece."""
        if self.url != PATH or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if self.expect_100_continue or not self.parser.should_keep_alive() or self.parser.should_upgrade():
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and int(value) <= MOST_BODY
        return False

    def _answer(self, cycle: _Cycle, reply: Reply) -> None:
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        if cycle.keep_alive:
            self.transport.write(self._on_the_wire(reply))
        else:
            status, body, headers = reply
            self.transport.write(self._on_the_wire((status, body, [*headers, (b"connection", b"close")])))
            self.transport.close()
        self.on_response_complete()

    def _on_the_wire(self, reply: Reply) -> bytes:
        defaults = self.server_state.default_headers
        said = self._said
        # Most answers are the same one, and the server's own headers change once a second.
        if said is not None and said[0] is reply and said[1] is defaults:
            return said[2]
        status, body, headers = reply
        parts = [_STATUS_LINES[status]]
        for name, value in (*defaults, *headers):
            parts += (name, b": ", value, b"\r\n")
        text = b"".join((*parts, b"\r\n", body))
        self._said = (reply, defaults, text)
        return text

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
