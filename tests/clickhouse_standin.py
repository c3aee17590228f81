"""A stand-in for a ClickHouse server: its HTTP protocol over an embedded engine, failing on demand.

    python -m tests.clickhouse_standin DIRECTORY [--port N] [--user NAME --password WORD]

It prints its two ports as JSON: `{"port": …, "control": …}`. On the first it speaks as much of ClickHouse's HTTP
interface as clickhouse-connect uses: the query in the body, in `query` or before the rows of an insert; settings,
`database` and `param_*` in the address; compressed bodies; errors with their code in a header. On the second
`POST /KIND?inserts=1&seconds=S` makes it fail from then on, and `POST /well` makes it well:

    refuse    nobody listens
    hang      requests are read and not answered
    busy      503
    busy-events  503 to inserts of events alone
    cut       inserts are carried out, and their connection is cut before the answer
    reject    inserts are answered with an error about their rows, for good
    slow      every answer comes `seconds` later
    exit      the process ends at once, as from kill -9
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

# What the HTTP interface reads for itself; everything else in the address is a setting of the query.
TRANSPORT = frozenset(
    {"query", "database", "query_id", "session_id", "compress", "wait_end_of_query", "buffer_size", "role"}
    | {"client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms"}
    | {"enable_http_compression", "cancel_http_readonly_queries_on_client_close", "quota_key", "user", "password"}
)
INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(.+?)\s+FORMAT\s+(\w+)\s*\n", re.IGNORECASE | re.DOTALL)
INSERT_EVENTS = re.compile(rb"\s*INSERT\s+INTO\s+\S*\bevents\b", re.IGNORECASE)


class Fault:
    """What is wrong at the moment; `kind` is empty when nothing is."""

    def __init__(self) -> None:
        self.kind = ""
        self.seconds = 0.0
        self.over = threading.Event()

    def begin(self, kind: str, seconds: float) -> None:
        """From now on fail in this way."""
        self.end()
        self.over = threading.Event()
        self.kind, self.seconds = kind, seconds

    def end(self) -> None:
        """Be well; whoever hangs is let go."""
        self.kind = ""
        self.over.set()


class Engine:
    """The embedded engine; each query has a connection, and so settings, of its own."""

    def __init__(self, directory: Path, backups: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "standin.xml"
        config.write_text(
            "<clickhouse><logger><level>none</level></logger>"
            # As servers have it unless somebody turns it off.
            "<query_log><database>system</database><table>query_log</table></query_log>"
            f"<backups><allowed_path>{backups}</allowed_path></backups></clickhouse>"
        )
        self._address = f"{directory / 'engine'}?config-file={config}"
        # One connection stays open, and with it the engine.
        self._first = self._connect()

    def _connect(self) -> Any:
        connect: Any = chdb.connect
        return connect(self._address)

    def run(
        self, query: bytes, format_: str, database: str, settings: dict[str, str], parameters: dict[str, str]
    ) -> bytes:
        """The query's result. Raises `RuntimeError` with the engine's message."""
        with contextlib.closing(self._connect()) as connection:
            if database:
                connection.query(f"USE `{database}`")
            for name, value in sorted(settings.items(), key=lambda setting: setting[0] == "readonly"):
                quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                connection.query(f"SET {name} = '{quoted}'")
            insert = INSERT.match(query)
            if insert is None:
                result = connection.query(query.decode("utf-8", "surrogateescape"), format_, params=parameters)
                return bytes(result.bytes() or b"")
            with tempfile.NamedTemporaryFile(suffix=".native") as file:
                file.write(query[insert.end() :])
                file.flush()
                connection.query(
                    f"INSERT INTO {insert[1].decode()} FROM INFILE '{file.name}' FORMAT {insert[2].decode()}"
                )
            return b""


def _fields(kind: str, body: bytes) -> dict[str, str]:
    """The fields of a form in several parts (RFC 7578)."""
    form = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    parts = form.get_payload()
    return {
        str(part.get_param("name", header="content-disposition")): bytes(part.get_payload(decode=True)).decode()
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, Message)
    }


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: StandIn
    disable_nagle_algorithm = True

    def do_GET(self) -> None:  # the name that http.server calls
        """A query in the address, or a ping."""
        self._answer(b"")

    def do_POST(self) -> None:  # likewise
        """A query in the body, or an insert."""
        self._answer(self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
        """Nothing is logged."""

    def _answer(self, body: bytes) -> None:
        address = urlsplit(self.path)
        given = dict(parse_qsl(address.query, keep_blank_values=True))
        if self.headers.get("Content-Type", "").startswith("multipart/form-data"):
            # So the driver sends parameters that are too long for an address.
            given |= _fields(self.headers["Content-Type"], body)
            body = b""
        query = given.pop("query", "").encode() + (b"\n" if "query" in self.path and body else b"") + body
        inserts = bool(INSERT.match(query))
        fault, server = self.server.fault, self.server
        kind = fault.kind
        if kind == "slow":
            fault.over.wait(fault.seconds)
        elif kind == "hang":
            fault.over.wait()
            self.close_connection = True
            return
        elif kind == "busy" or (kind == "busy-events" and INSERT_EVENTS.match(query)):
            self._send(503, b"Service Unavailable\n", {})
            return
        elif kind == "reject" and inserts:
            self._send_error("Code: 53. DB::Exception: the stand-in was told to reject rows. (TYPE_MISMATCH)")
            return
        if address.path == "/ping":
            self._send(200, b"Ok.\n", {})
            return
        if not self._may_enter():
            self._send_error("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)", 403)
            return
        try:
            result = server.engine.run(query, "TabSeparated", given.pop("database", ""), *_sorted_out(given))
        except RuntimeError as error:
            self._send_error(str(error))
            return
        if kind == "cut" and inserts:
            self._cut()
            return
        named = re.search(rb"\bFORMAT\s+(\w+)\s*;?\s*\Z", query, re.IGNORECASE)
        reads = re.match(rb"\s*(SELECT|WITH|SHOW|DESCRIBE|EXISTS)", query, re.IGNORECASE)
        format_ = {"X-ClickHouse-Format": named[1].decode() if named else "TabSeparated"} if reads else {}
        self._send(200, result, {"X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Summary": "{}", **format_})

    def _may_enter(self) -> bool:
        if not self.server.credentials:
            return True
        expected = base64.b64encode(self.server.credentials.encode()).decode()
        return self.headers.get("Authorization", "") == f"Basic {expected}"

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        encoding = self.headers.get("Content-Encoding", "")
        if encoding == "lz4":
            return bytes(lz4.frame.decompress(body))
        if encoding:
            raise ValueError(f"the stand-in does not know the encoding {encoding}")
        return body

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

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_error(self, message: str, status: int = 500) -> None:
        found = re.search(r"Code: (\d+)", message)
        at = message.find("Code: ")
        code = found[1] if found else "1002"
        self._send(status, message[max(0, at) :].encode() + b"\n", {"X-ClickHouse-Exception-Code": code})

    def _cut(self) -> None:
        # Linger of zero seconds: the peer sees a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def _sorted_out(given: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Settings, and parameters of the query."""
    parameters = {name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")}
    settings = {name: value for name, value in given.items() if name not in TRANSPORT and not name.startswith("param_")}
    return settings, parameters


class StandIn(ThreadingHTTPServer):
    """The server. Its listening socket can be taken away and put back."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, engine: Engine, credentials: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.engine = engine
        self.credentials = credentials
        self.fault = Fault()
        self._open: set[socket.socket] = set()
        self._listening = True

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
        """A client that goes away is no error here; anything else is told."""
        if not isinstance(sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def refuse(self) -> None:
        """Stop to listen, and end every connection."""
        if self._listening:
            self._listening = False
            self.shutdown()
            self.socket.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def listen_again(self) -> None:
        """Put the listening socket back."""
        if not self._listening:
            self.socket = socket.create_server(self.server_address[:2], reuse_port=False, backlog=128)
            self._listening = True
            threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Control(BaseHTTPRequestHandler):
    """Where the tests say what is to go wrong."""

    standin: StandIn

    def do_POST(self) -> None:  # the name that http.server calls
        """Begin or end a fault."""
        address = urlsplit(self.path)
        kind = address.path.strip("/")
        seconds = float(dict(parse_qsl(address.query)).get("seconds", "0"))
        if kind == "exit":
            os._exit(137)
        if kind == "refuse":
            self.standin.fault.end()
            self.standin.refuse()
        else:
            self.standin.listen_again()
            if kind == "well":
                self.standin.fault.end()
            else:
                self.standin.fault.begin(kind, seconds)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
        """Nothing is logged."""


def main() -> None:
    """Serve until the process is ended, or whoever started it is gone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    given = parser.parse_args()
    engine = Engine(given.directory, given.directory / "backups")
    standin = StandIn(given.port, engine, f"{given.user}:{given.password}" if given.user else "")
    control = type("Control", (Control,), {"standin": standin})
    controls = ThreadingHTTPServer(("127.0.0.1", 0), control)
    threading.Thread(target=standin.serve_forever, args=(0.05,), daemon=True).start()
    threading.Thread(target=controls.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps({"port": standin.server_address[1], "control": controls.server_address[1]}) + "\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)


if __name__ == "__main__":
    main()
