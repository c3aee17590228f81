"""A proxy in front of a ClickHouse server's HTTP interface that fails on demand.

refuse    nobody listens, and every connection ends
hang      requests are read and not answered
busy      503
busy-events  503 to inserts of events alone
cut       inserts are carried out, and their connection is cut before the answer
reject    inserts are answered with an error about their rows, for good
slow      every answer comes some seconds later
well      what comes is passed on
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.real_server import RealServer, real_server

INSERT: Final = re.compile(r"\s*INSERT\s+INTO\s+\S*?\b(\w+)\b", re.IGNORECASE)
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultProxy

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream)

    def finish(self) -> None:
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:  # the name that http.server calls
        """A statement in the address, or a ping."""
        self._answer()

    def do_POST(self) -> None:  # likewise
        """A statement in the body, or an insert."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
        """Nothing is logged."""

    def _answer(self) -> None:
        body = self._body()
        kind, table = self.server.kind, self._inserted_into(body)
        if kind == "slow":
            self.server.over.wait(self.server.seconds)
        elif kind == "hang":
            self.server.over.wait()
            self.close_connection = True
            return
        elif kind == "busy" or (kind == "busy-events" and table == "events"):
            self._send(503, [], b"Service Unavailable\n")
            return
        elif kind == "reject" and table:
            text = b"Code: 53. DB::Exception: the proxy was told to reject rows. (TYPE_MISMATCH)\n"
            self._send(500, [("X-ClickHouse-Exception-Code", "53")], text)
            return
        try:
            answer, content = self._forward(body)
        except (OSError, http.client.HTTPException):
            # The server is gone, perhaps in the midst of its answer, or has ended a connection that was idle.
            self._cut()
            return
        if kind == "cut" and table:
            self._cut()
            return
        self._send(answer.status, answer.getheaders(), content)

    def _inserted_into(self, body: bytes) -> str:
        """The table that the request inserts into; else empty."""
        (query,) = parse_qs(urlsplit(self.path).query).get("query", [""])
        found = INSERT.match(query or body[:200].decode(errors="replace"))
        return found[1] if found else ""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().split(b";")[0], 16):
            yield self.rfile.read(size)
            self._line()
        self._line()

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise ConnectionResetError("the client went away within its request")
        return line

    def _forward(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        self._upstream.request(self.command, self.path, body, headers)
        answer = self._upstream.getresponse()
        return answer, answer.read()

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _cut(self) -> None:
        # Linger of zero seconds: the peer sees a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


class FaultProxy(ThreadingHTTPServer):
    """The proxy, in a thread. Its listening socket can be taken away and put back."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.port: Final = int(self.server_address[1])
        self.kind, self.seconds = "well", 0.0
        self.over = threading.Event()
        self._open: set[socket.socket] = set()
        self._listening = False
        self._listen()

    def fail(self, kind: str, seconds: float = 0.0) -> None:
        """From now on fail in this way; `well` ends it, and whoever hangs is let go."""
        over, self.over = self.over, threading.Event()
        self.kind, self.seconds = kind, seconds
        over.set()
        if kind == "refuse":
            self._refuse()
        else:
            self._listen()

    def close(self) -> None:
        """End it, and every connection."""
        self.fail("refuse")

    def get_request(self) -> tuple[socket.socket, Any]:
        """Remember the connection, so that it can be ended with the others."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error here; anything else is reported."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def _refuse(self) -> None:
        if self._listening:
            self._listening = False
            self.shutdown()
            self.socket.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        if not self._listening:
            if self.socket.fileno() < 0:
                self.socket = socket.create_server(self.server_address[:2], backlog=self.request_queue_size)
            self._listening = True
            threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class FailingServer:
    """A server that a test may have fail; its DSNs are those of the proxy in front of it."""

    def __init__(self, server: RealServer) -> None:
        self.server = server
        self._proxy = FaultProxy(server.http_port)

    def database(self, name: str, **options: object) -> str:
        """A DSN of Tyst's for one of its databases."""
        return self.server.dsn(name, port=self._proxy.port, options=options)

    def fail(self, kind: str, seconds: float = 0.0) -> None:
        """From now on fail in this way, see above; `well` ends it."""
        self._proxy.fail(kind, seconds)

    def close(self) -> None:
        """End the proxy; the server goes on."""
        self._proxy.close()


@contextlib.contextmanager
def failing_server(directory: Path, *, log_level: str = "none") -> Iterator[FailingServer]:
    """A server of one's own, with its proxy, for as long as the block lasts."""
    with real_server(directory, log_level=log_level) as server, contextlib.closing(FailingServer(server)) as failing:
        yield failing
