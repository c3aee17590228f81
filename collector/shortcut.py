"""The short way of a beacon: from the socket to the endpoint without the machinery between server and application.

What uvicorn does for a request (its cycle, events, checks of every header) takes longer than all that the collector
does with a beacon. So a whole beacon, come in one piece on a connection with nothing else under way, goes straight
to the endpoint, and its answer straight to the socket. Everything else goes the ordinary way, and to the same
endpoint: which way a beacon went cannot be told from its answer.
"""

from __future__ import annotations

import http
from functools import partial
from typing import Any, Protocol

from starlette.types import Scope

from collector.patience import PatientProtocol
from collector.reply import Answer, Reply

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


class _Cycle:
    """A beacon under way, as the server looks at it: it waits for it, and queues what comes after it."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self.message_event = _Unheard()


class _Unheard:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nothing to do."""


class ShortcutProtocol(PatientProtocol):
    """The protocol of a server whose application has `beacons`; without it, it is that of any other."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._beacons: Beacons | None = getattr(self.app, "beacons", None)
        self._body: list[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._body is not None:
            # It has not come in one piece: from here on it goes the ordinary way.
            body, self._body = b"".join(self._body), None
            super().on_headers_complete()
            if body:
                super().on_body(body)

    def on_headers_complete(self) -> None:
        if self._beacons is not None and self._is_short():
            self.calm()
            self._body = []
        else:
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
        return any(
            name == b"content-length" and value.isdigit() and int(value) <= MOST_BODY for name, value in self.headers
        )

    def _answer(self, cycle: _Cycle, reply: Reply) -> None:
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        status, body, headers = reply
        parts = [_STATUS_LINES[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        self.transport.write(b"".join((*parts, b"\r\n", body)))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
