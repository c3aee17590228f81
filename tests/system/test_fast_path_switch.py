"""With the fast path and without it a served collector answers alike."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from pathlib import Path

from tests.served import CHROME, Served, served

BEACONS: tuple[dict[str, str], ...] = (
    {"n": "pageview", "u": "https://site.test/", "d": "site.test", "c": "granted"},
    {"n": "pageview", "u": "https://site.test/", "d": "site.test"},
    {"n": "pageview", "u": "https://other.test/", "d": "other.test"},
    {"n": "", "u": "https://site.test/", "d": "site.test"},
    {},
)


def response_on(connection: socket.socket) -> list[bytes]:
    """The lines of one response, without the moment, and its body."""
    with connection.makefile("rb") as received:
        lines = list(iter(received.readline, b"\r\n"))
        length = next(int(line.split()[1]) for line in lines if line.startswith(b"content-length:"))
        return [*(line for line in lines if not line.startswith(b"date:")), received.read(length)]


def responses(server: Served) -> list[list[bytes]]:
    """The response to each beacon."""
    found = []
    for beacon in BEACONS:
        body = json.dumps(beacon).encode()
        head = f"POST /api/event HTTP/1.1\r\nHost: a\r\nUser-Agent: {CHROME}\r\nContent-Length: {len(body)}\r\n"
        with closing(socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 30)) as connection:
            connection.sendall(f"{head}\r\n".encode() + body)
            found.append(response_on(connection))
    return found


def test_the_fast_path_can_be_turned_off(tmp_path: Path) -> None:
    """Every byte of the responses but the date is the same."""
    both = []
    for switch in ("on", "off"):
        with served(tmp_path / switch, TYST_FAST_PATH=switch) as server:
            server.add_site("site.test")
            both.append(responses(server))
    assert both[0] == both[1]
    assert both[0][0][0] == b"HTTP/1.1 202 Accepted\r\n"
