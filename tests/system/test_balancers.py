"""nginx, HAProxy and Caddy with the configurations of `deploy/` in front of two collectors."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from uvicorn import Config

from collector.storage.client import ClickHouse
from tests.balancers import BALANCERS, balancing
from tests.databases import Databases
from tests.faults.server import Serve, free_port, until
from tests.launcher import ROOT
from tests.length import by_length, long

DOWN_SECONDS = 1.0


@pytest.fixture(scope="module")
def pair(served_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Serve]]:
    """Two collectors over one server, with a site."""
    dsn = f"{served_databases.dsn.rstrip('/')}/test_{secrets.token_hex(6)}"
    directory = tmp_path_factory.mktemp("collectors")
    environ = {"TYST_SECRET_KEY": "the same for both"}
    each = [Serve(directory / name, dsn, environ={**environ, "TYST_COLLECTOR": name}) for name in ("c1", "c2")]
    try:
        for serve in each:
            serve.start()
        for serve in each:
            until("a collector answers", serve.answers)
        until("commands find it", (each[0].data_dir / "server.json").exists)
        each[0].tyst("site", "add", "site.test", "--consent", "exempt")
        time.sleep(2.5)
        yield each
    finally:
        for serve in each:
            serve.close()


@long
@pytest.mark.parametrize("name", BALANCERS)
def test_an_idle_connection_is_closed_by_the_balancer(name: str, pair: list[Serve], tmp_path: Path) -> None:
    """Before a collector closes it: a request that crosses with that gets no answer, the collector is taken for dead,
    and a beacon of its visitors may be stored twice."""
    port = free_port()
    with balancing(BALANCERS[name], tmp_path / name, [each.port for each in pair], port):
        until("it answers", lambda: _answers(port))
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(lambda _: _answers(port), range(32)))
        idle = time.monotonic()
        until("no connection is idle", lambda: not _connections([each.port for each in pair]))
        assert time.monotonic() - idle < Config("").timeout_keep_alive - 0.3


def _connections(ports: list[int]) -> list[str]:
    """The lines of established TCP connections to ports of loopback."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [there for _, _, there, state, *_ in lines if state == "01" and int(there.split(":")[1], 16) in ports]


@long
@pytest.mark.parametrize("name", BALANCERS)
def test_a_collector_is_killed_and_no_beacon_is_lost(name: str, pair: list[Serve], tmp_path: Path) -> None:
    """While eight visitors send: all are acknowledged, as the snippet tries again, and stored once."""
    port, log, killed = free_port(), tmp_path / "sent", pair[len(name) % 2]
    with balancing(BALANCERS[name], tmp_path / name, [each.port for each in pair], port):
        until("it answers", lambda: _answers(port))
        client = subprocess.Popen(
            [sys.executable, "tests/faults/client.py", str(port), name, str(log), "0.05", "127.0.7"], cwd=ROOT
        )
        with _ended(client):
            until("beacons are acknowledged", lambda: log.exists() and log.stat().st_size > 0)
            killed.kill()
            time.sleep(DOWN_SECONDS)
            killed.start()
            until("it answers again", killed.answers)
    until("nothing waits", lambda: all(serve.well() for serve in pair))
    sent = [line.split()[:2] for line in log.read_text().splitlines()]
    assert len(sent) > 16
    assert {mark for mark, _ in sent} == {"+"}
    assert pair[0].dsn
    with contextlib.closing(ClickHouse.at(pair[0].dsn).client()) as stored:
        rows = stored.query(
            "SELECT page, count() FROM events WHERE startsWith(page, {prefix:String}) GROUP BY page",
            parameters={"prefix": f"/{name}/"},
        ).result_rows
    assert {str(page): int(count) for page, count in rows} == Counter(path for _, path in sent)


SAME = [
    ("2001:db8::1", "2001:db8:0:0:a::"),
    ("2001:db8::a:b:c:d", "2001:db8::1"),
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:1:2:3"),
    ("2001::5:a:b:c:d", "2001:0:0:5::1"),
    ("2001:db8:1::1", "2001:db8:1:0:9:8:7:6"),
    ("::5:a:b:c:d", "0:0:0:5::1"),
    ("::7:5:a:b:c:d", "0:0:7:5::1"),
]
"""Addresses of one /64, as they are written."""


@pytest.mark.parametrize("name", by_length([*BALANCERS][1:2], [*BALANCERS]))
def test_visitors_are_routed_by_network(name: str, tmp_path: Path) -> None:
    """Each address of IPv4, and each /64 of IPv6 however it is written, reaches one collector, and each has some."""
    with contextlib.ExitStack() as running:
        ports = [running.enter_context(_named(letter)) for letter in "abc"]
        port = free_port()
        running.enter_context(balancing(BALANCERS[name], tmp_path, ports, port, claimed=True))
        until("it answers", lambda: _answers(port))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

            def reached(address: str) -> str:
                return client.get("/healthz", headers={"x-forwarded-for": address}).text

            assert [(one, other) for one, other in SAME if reached(one) != reached(other)] == []
            for addresses in ("198.51.100.{}", "2001:db8:0:{}::1"):
                assert {reached(addresses.format(number)) for number in range(60)} == set("abc")
                assert len({reached(addresses.format(7)) for _ in range(5)}) == 1


@contextlib.contextmanager
def _named(name: str) -> Iterator[int]:
    """A server that answers with its name; its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name that http.server calls
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(name.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextlib.contextmanager
def _ended(client: subprocess.Popen[bytes]) -> Iterator[None]:
    """The client sends while the block lasts, and then ends what it has begun."""
    try:
        yield
    finally:
        client.send_signal(signal.SIGTERM)
        client.wait(300)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False
