"""Several workers and a ClickHouse server: one `tyst serve --workers 2` in processes of its own, over the stand-in."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from tests.faults.rounds import DRAIN_SECONDS
from tests.faults.server import Serve, until
from tests.standin import StandInProcess, standin

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PASSWORD = "s3cret-of-the-server"
ADMIN_PASSWORD = "a quiet password"


@pytest.fixture(scope="module")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProcess]:
    """The stand-in, with a password."""
    with standin(tmp_path_factory.mktemp("clickhouse"), user="tyst", password=PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def server(clickhouse_server: StandInProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Two workers, ready, with one site."""
    serve = Serve(
        tmp_path_factory.mktemp("serve"),
        clickhouse_server.database("stats"),
        workers=2,
        environ={"TYST_ADMIN_PASSWORD": ADMIN_PASSWORD},
    )
    serve.start()
    try:
        until("all workers answer", lambda: serve.metrics().get("tyst_workers_answering") == 2)
        serve.tyst("site", "add", "site.test", "--consent", "exempt")
        yield serve
    finally:
        serve.kill()


@pytest.fixture
def stored(clickhouse_server: StandInProcess) -> Iterator[Client]:
    """What is in ClickHouse."""
    client = ClickHouse.at(clickhouse_server.database("stats")).client()
    yield client
    client.close()


def send(serve: Serve, path: str, address: str, **more: Any) -> httpx.Response:
    """One beacon over a connection of its own, which either worker may get."""
    body = {"n": "pageview", "u": f"https://site.test{path}", "d": "site.test", **more}
    headers = {"user-agent": FIREFOX, "x-forwarded-for": address}
    return httpx.post(f"http://127.0.0.1:{serve.port}/api/event", json=body, headers=headers, timeout=30)


def known_to_all(serve: Serve) -> None:
    """Wait until both workers know the site."""

    def known() -> bool:
        return all("x-tyst-dropped" not in send(serve, "/known", f"198.51.100.{n}").headers for n in range(8))

    until("both workers know the site", known)


def rows(serve: Serve, client: Client, prefix: str) -> list[tuple[Any, ...]]:
    """Visitors, visits, bounces and events of the pages below `prefix`, once everything is in ClickHouse."""
    until("nothing waits", serve.well)
    found = client.query(
        "SELECT uniqExact(visitor), sum(visits), sum(bounces), count() FROM events"
        " WHERE startsWith(page, {prefix:String})",
        parameters={"prefix": prefix},
    ).result_rows
    return [tuple(row) for row in found]


def test_one_visitor_is_one_visit_whichever_worker_is_reached(server: Serve, stored: Client) -> None:
    """Ten visitors, four pages each, every page over a new connection: ten visits, none of them a bounce."""
    known_to_all(server)
    for page in range(4):
        for visitor in range(10):
            assert send(server, f"/visit/{page}", f"192.0.2.{visitor}").status_code == 202
    assert rows(server, stored, "/visit/") == [(10, 10, 0, 40)]


def test_the_same_beacon_is_stored_once_whichever_worker_is_reached(server: Serve, stored: Client) -> None:
    """A retry comes over another connection."""
    known_to_all(server)
    for _ in range(8):
        assert send(server, "/once/a", "192.0.2.77", q="the-same").status_code == 202
    assert rows(server, stored, "/once/") == [(1, 1, 1, 1)]


def test_metrics_are_sums_and_by_worker(server: Serve) -> None:
    """Both workers have visitors, and the sums are theirs."""
    known_to_all(server)
    before = server.metrics()["tyst_accepted_total"]
    for visitor in range(20):
        send(server, "/counted", f"203.0.113.{visitor}")
    assert server.metrics()["tyst_accepted_total"] == before + 20
    text = server.get("/metrics?per=worker")[1]
    shares = [float(line.split()[1]) for line in text.splitlines() if line.startswith("tyst_accepted_total{")]
    assert len(shares) == 2
    assert min(shares) > 0
    assert sum(shares) == before + 20


def test_a_dead_workers_spool_is_taken_over(server: Serve, clickhouse_server: StandInProcess, stored: Client) -> None:
    """What it had acknowledged while ClickHouse was away gets in once, and the visit goes on as the same one."""
    known_to_all(server)
    until("nothing waits", server.well)
    clickhouse_server.fail("busy")
    for visitor in range(12):
        assert send(server, "/taken/1", f"192.0.2.{100 + visitor}").status_code == 202
    for worker in (0, 1):
        server.kill_a_worker(worker)
        until("a worker is missed", lambda: server.metrics().get("tyst_workers_answering") != 2, 10)
        clickhouse_server.fail("well")
        until("all workers answer", lambda: server.metrics().get("tyst_workers_answering") == 2)
    for visitor in range(12):
        assert send(server, "/taken/2", f"192.0.2.{100 + visitor}").status_code == 202
    assert rows(server, stored, "/taken/") == [(12, 12, 0, 24)]


def test_salts_are_shared_and_in_no_backup(server: Serve, stored: Client) -> None:
    """One salt per date in the table; a backup has every other table."""
    dates = stored.query("SELECT date, uniqExact(salt) FROM salts GROUP BY date ORDER BY date").result_rows
    assert len(dates) >= 2
    assert {count for _, count in dates} == {1}
    done = json.loads(server.tyst("backup", str(server.directory / "backup-1"), "--json"))
    tables = {name for (name,) in stored.query("SELECT name FROM system.tables WHERE database = 'stats'").result_rows}
    assert "events" in done["tables"]
    assert set(done["tables"]) <= tables - {"salts"}


def test_readiness_speaks_for_all_workers(server: Serve, clickhouse_server: StandInProcess) -> None:
    """With the number of the worker whose problem it is."""
    known_to_all(server)
    clickhouse_server.fail("busy")
    send(server, "/late", "192.0.2.1")
    until("/readyz tells of it", lambda: "does not take events" in server.problems())
    assert server.problems().startswith("Worker ")
    clickhouse_server.fail("well")
    until("all is well again", server.well)


def test_signing_in_while_clickhouse_is_away_asks_for_patience(
    server: Serve, clickhouse_server: StandInProcess
) -> None:
    """A page that says so in words, and when to come back; then it works."""
    form = {"name": "admin", "password": ADMIN_PASSWORD}

    def sign_in() -> httpx.Response:
        url = f"http://127.0.0.1:{server.port}/login"
        return httpx.post(url, data=form, headers={"sec-fetch-site": "same-origin"}, timeout=60)

    clickhouse_server.fail("refuse")
    answer = sign_in()
    clickhouse_server.fail("well")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "The database is not responding" in answer.text
    until("signing in works again", lambda: sign_in().status_code == 303)
    until("all is well again", server.well)


def test_a_body_in_pieces_arrives_whole(server: Serve, stored: Client) -> None:
    """Also at a worker that has to pass it on."""
    known_to_all(server)
    body = json.dumps({"n": "pageview", "u": "https://site.test/pieces", "d": "site.test"}).encode()
    for visitor in range(6):
        with contextlib.closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
            head = f"POST /api/event HTTP/1.1\r\nHost: site.test\r\nUser-Agent: {FIREFOX}\r\nConnection: close\r\n"
            head += f"X-Forwarded-For: 192.0.2.{visitor}\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:20])
            connection.sendall(body[20:])
            assert connection.recv(100).startswith(b"HTTP/1.1 202")
    assert rows(server, stored, "/pieces")[0][3] == 6


def test_no_log_and_no_file_has_the_password(server: Serve) -> None:
    """After all of the above: not in the log, not in the data directory."""
    assert "started" in server.log()
    assert PASSWORD not in server.log()
    files = [path for path in Path(server.directory / "data").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_a_worker_that_waits_for_clickhouse_can_be_stopped(tmp_path: Path) -> None:
    """SIGTERM ends it at once: it has begun nothing yet."""
    with standin(tmp_path / "clickhouse") as clickhouse:
        serve = Serve(tmp_path / "serve", clickhouse.database("stats"), workers=2)
        serve.start()
        try:
            until("all workers answer", lambda: serve.metrics().get("tyst_workers_answering") == 2)
            clickhouse.fail("refuse")
            serve.kill_a_worker(0)
            until("the new worker waits", lambda: "is not responding; waiting" in serve.log())
            assert serve.terminate() < DRAIN_SECONDS
        finally:
            if serve.process is not None and serve.process.poll() is None:
                serve.kill()
