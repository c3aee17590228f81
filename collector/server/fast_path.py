"""Fast path of beacons: a complete request received in one read skips uvicorn's request cycle.

What uvicorn does for a request (scope, task, checks of every header) takes longer than all that the collector does with
a beacon. So a whole beacon, received in one piece on a connection with nothing else under way, goes straight to the
endpoint. Everything else takes the ordinary path, and reaches the same endpoint. `TYST_FAST_PATH=off` has all of them
take it.

The response goes straight to the socket where it is one of `CONSTANT_RESPONSES`, a closed set of values made at import;
every other one is sent by uvicorn's cycle. So no byte of a request can reach the socket from here.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from collector.core.response_headers import Header
from collector.server.event_endpoint import EventEndpoint
from collector.server.header_timeout import MAX_FIELDS, HeaderTimeoutProtocol
from collector.server.responses import CONSTANT_RESPONSES, FAILED, BeaconResponse, encode_response, send_response

PATH: Final = b"/api/event"
MOST_BODY: Final = 16 * 1024


class FastPathProtocol(HeaderTimeoutProtocol):
    """HTTP protocol with the fast path, if the application has `beacons`; else the ordinary protocol."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._beacons: EventEndpoint | None = getattr(self.app, "beacons", None)
        self._body: list[bytes] | None = None
        # The last response, the server's own fields at that time, and both encoded.
        self._last: tuple[BeaconResponse, list[Header], bytes] | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._body is not None:
            # It has not come in one piece.
            body, self._body = b"".join(self._body), None
            self._take_ordinary_path()
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
        # Requests that follow on this connection wait for it, in the server's own queue.
        self.cycle = cycle = self.new_cycle()
        scope = {"type": "http", "headers": self.headers, "client": self.client}
        try:
            self._beacons.enqueue_beacon(scope, body, partial(self._respond, cycle))
        except Exception:
            # As on the ordinary path: what broke is in the log, and nobody else is disturbed.
            self.logger.exception("a beacon could not be answered")
            self._respond(cycle, FAILED)

    def _take_ordinary_path(self) -> None:
        """As if the request had been one of the server's own from the start."""
        url, headers, expects, oversize = self.url, self.headers, self.expect_100_continue, self.oversize
        super().on_message_begin()
        self.url, self.expect_100_continue, self.oversize = url, expects, oversize
        self.headers += headers
        super().on_headers_complete()

    def _is_fast(self) -> bool:
        """Whether the request, whose header fields are whole, may be a beacon that comes in one piece."""
        if self.url != PATH or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if self.oversize or len(self.headers) > MAX_FIELDS or self.expect_100_continue:
            return False
        # The ordinary path waits until the client reads its responses, and until earlier ones are sent.
        if self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete):
            return False
        if self.parser.should_upgrade() or not self.parser.should_keep_alive():
            return False
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return length.isdigit() and int(length) <= MOST_BODY

    def _respond(self, cycle: RequestResponseCycle, response: BeaconResponse) -> None:
        if response not in CONSTANT_RESPONSES or not cycle.keep_alive:
            self._start_asgi_task(cycle, partial(_send, response))
            return
        cycle.response_complete = True
        if not self.transport.is_closing():
            self.transport.write(self._encoded(response))
            self.on_response_complete()

    def _encoded(self, response: BeaconResponse) -> bytes:
        own = self.server_state.default_headers
        # Most responses are the same one, and the server's own fields change once a second.
        if self._last is None or self._last[0] is not response or self._last[1] is not own:
            self._last = (response, own, encode_response(response, own))
        return self._last[2]


async def _send(response: BeaconResponse, _: Scope, __: Receive, send: Send) -> None:
    await send_response(send, response)
