"""Two collectors with data directories of their own over one ClickHouse server, behind nginx."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from tests.fault_proxy import FailingServer
from tests.faults.collectors import Collectors, collectors
from tests.faults.rounds import DRAIN_SECONDS
from tests.faults.server import Serve, until
from tests.length import long
from tests.real_server import RealServer

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ADMIN_PASSWORD = "a quiet password"


@pytest.fixture(scope="module")
def database(clickhouse_server: RealServer) -> Iterator[FailingServer]:
    """The server, that fails when it is told to."""
    with contextlib.closing(FailingServer(clickhouse_server)) as failing:
        yield failing


@pytest.fixture(scope="module")
def server(database: FailingServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collectors]:
    """Two collectors, ready, with one site."""
    dsn = database.database("test_stats")
    environ = {"TYST_ADMIN_PASSWORD": ADMIN_PASSWORD}
    with collectors(tmp_path_factory.mktemp("serve"), dsn, environ=environ) as running:
        running.tyst("site", "add", "site.test", "--consent", "exempt")
        yield running


@pytest.fixture
def stored(clickhouse_server: RealServer) -> Iterator[Client]:
    """What is in ClickHouse."""
    client = ClickHouse.at(clickhouse_server.dsn("test_stats")).client()
    yield client
    client.close()


def send(serve: Serve, path: str, address: str, **more: Any) -> httpx.Response:
    """One beacon over a connection of its own."""
    body = {"n": "pageview", "u": f"https://site.test{path}", "d": "site.test", **more}
    headers = {"user-agent": FIREFOX, "x-forwarded-for": address}
    return httpx.post(f"http://127.0.0.1:{serve.port}/api/event", json=body, headers=headers, timeout=30)


def erase(serve: Serve, address: str) -> httpx.Response:
    """The visitor has everything erased."""
    headers = {"user-agent": FIREFOX, "x-forwarded-for": address}
    return httpx.delete(f"http://127.0.0.1:{serve.port}/api/me?d=site.test", headers=headers, timeout=60)


def known_to_all(serve: Collectors) -> None:
    """Wait until both collectors know the site."""

    def known() -> bool:
        return all("x-tyst-dropped" not in send(each, "/known", "198.51.100.1").headers for each in serve.each)

    until("both collectors know the site", known)


def rows(serve: Collectors, client: Client, prefix: str) -> list[tuple[Any, ...]]:
    """Visitors, visits, bounces and events of the pages below `prefix`, once everything is in ClickHouse."""
    until("nothing waits", serve.well)
    found = client.query(
        "SELECT uniqExact(visitor), sum(visits), sum(bounces), count() FROM events"
        " WHERE startsWith(page, {prefix:String})",
        parameters={"prefix": prefix},
    ).result_rows
    return [tuple(row) for row in found]


def test_one_visitor_is_one_visit(server: Collectors, stored: Client) -> None:
    """Ten visitors, four pages each, every page over a new connection: ten visits, and both collectors have some."""
    known_to_all(server)
    for page in range(4):
        for visitor in range(10):
            assert send(server, f"/visit/{page}", f"192.0.2.{visitor}").status_code == 202
    assert rows(server, stored, "/visit/") == [(10, 10, 0, 40)]
    assert all(each.metrics()["tyst_accepted_total"] > 1 for each in server.each)


def test_the_same_beacon_is_stored_once(server: Collectors, stored: Client) -> None:
    """A retry comes over another connection."""
    known_to_all(server)
    for _ in range(8):
        assert send(server, "/once/a", "192.0.2.77", q="the-same").status_code == 202
    assert rows(server, stored, "/once/") == [(1, 1, 1, 1)]


@long
def test_a_network_of_ipv6_reaches_one_collector(server: Collectors) -> None:
    """Whichever of its addresses a browser takes for the day."""
    known_to_all(server)

    def accepted() -> list[float]:
        return [each.metrics()["tyst_accepted_total"] for each in server.each]

    grew = set()
    for network in range(24):
        before = accepted()
        for host in ("1", "b:c:d", "beef:0:1"):
            assert send(server, "/ipv6", f"2001:db8:0:{network:x}::{host}").status_code == 202
        grew.add(tuple(now - was for now, was in zip(accepted(), before, strict=True)))
    assert grew == {(3.0, 0.0), (0.0, 3.0)}


@long
def test_a_dead_collector_comes_back_with_its_spool(
    server: Collectors, database: FailingServer, stored: Client
) -> None:
    """What it had acknowledged while ClickHouse was away gets in once, and the visits go on as the same ones."""
    known_to_all(server)
    until("nothing waits", server.well)
    database.fail("busy")
    for visitor in range(12):
        assert send(server, "/taken/1", f"192.0.2.{100 + visitor}").status_code == 202
    for each in server.each:
        each.kill()
        database.fail("well")
        each.start()
        until("all collectors answer", server.answers)
    for visitor in range(12):
        assert send(server, "/taken/2", f"192.0.2.{100 + visitor}").status_code == 202
    assert rows(server, stored, "/taken/") == [(12, 12, 0, 24)]


def test_an_erasure_reaches_what_another_collector_holds(
    server: Collectors, database: FailingServer, stored: Client
) -> None:
    """Beacons at one, while ClickHouse is away; the erasure at the other. Another visitor's events stay."""
    known_to_all(server)
    until("nothing waits", server.well)
    first, second = server.each
    database.fail("busy")
    for number in range(3):
        assert send(first, f"/mine/{number}", "203.0.113.7").status_code == 202
        assert send(first, f"/theirs/{number}", "203.0.113.8").status_code == 202
    answer = erase(second, "203.0.113.7")
    assert (answer.status_code, answer.json()["complete"]) == (202, False)
    database.fail("well")
    until("others' events arrive", lambda: rows(server, stored, "/theirs/")[0][3] == 3)
    until("the visitor's are gone", lambda: rows(server, stored, "/mine/")[0][3] == 0)
    until("the erasure is complete", lambda: "erasures were completed" in second.log())
    assert rows(server, stored, "/mine/")[0][3] == 0


def test_a_reset_reaches_what_another_collector_holds(
    server: Collectors, database: FailingServer, stored: Client
) -> None:
    """What was accepted before is deleted, although it comes into ClickHouse afterwards."""
    known_to_all(server)
    until("nothing waits", server.well)
    first, second = server.each
    second.tyst("site", "add", "reset.test", "--consent", "exempt")

    def beacon(serve: Serve) -> httpx.Response:
        return send(serve, "/before", "203.0.113.9", d="reset.test", u="https://reset.test/before")

    until("it is known", lambda: all("x-tyst-dropped" not in beacon(each).headers for each in server.each))
    assert beacon(second).status_code == 202
    database.fail("busy-events")
    assert beacon(first).status_code == 202
    url = f"http://127.0.0.1:{second.port}/api/v1/sites/reset.test/reset"
    key = json.loads((second.data_dir / "server.json").read_text())["key"]
    done = httpx.post(url, headers={"authorization": f"Bearer {key}"}, json={"confirm": "reset.test"}, timeout=60)
    assert done.status_code == 202, done.text
    database.fail("well")

    def jobs_left() -> int:
        query = "SELECT countIf(JSONExtractUInt(record, 'finished') = 0) FROM site_jobs FINAL WHERE NOT deleted"
        return int(stored.query(query).result_rows[0][0])

    until("the reset is complete", lambda: jobs_left() == 0)
    until("nothing waits", server.well)
    assert stored.query("SELECT count() FROM events WHERE site = 'reset.test'").result_rows == [(0,)]


def test_commands_name_the_other_collectors(server: Collectors) -> None:
    """With their state; one that runs cannot be removed."""
    (other,) = json.loads(server.each[0].tyst("collector", "list", "--json"))
    assert (other["name"], other["alive"]) == ("c2", True)
    with pytest.raises(AssertionError, match="c2 is no other collector that has stopped"):
        server.each[0].tyst("collector", "remove", "c2")


def test_a_sign_in_holds_at_each_collector(server: Collectors) -> None:
    """The secret is the same, and the session is in ClickHouse."""
    first, second = (f"http://127.0.0.1:{each.port}" for each in server.each)
    form = {"name": "admin", "password": ADMIN_PASSWORD}
    answer = httpx.post(f"{first}/login", data=form, headers={"sec-fetch-site": "same-origin"}, timeout=60)
    assert answer.status_code == 303
    cookie = "; ".join(each.split(";")[0] for each in answer.headers.get_list("set-cookie"))

    def opened() -> bool:
        return httpx.get(f"{second}/", headers={"cookie": cookie}, timeout=60).status_code == 200

    until("the other knows the session", opened)


@long
def test_collectors_that_start_at_once_agree_from_the_first_beacon(database: FailingServer, tmp_path: Path) -> None:
    """The same visitor has the same id at both, and keeps it."""
    dsn = database.database("test_fresh")
    with collectors(tmp_path, dsn) as running:
        running.tyst("site", "add", "site.test", "--consent", "exempt")
        known_to_all(running)
        for each in running.each:
            assert send(each, "/first", "192.0.2.5").status_code == 202
        with contextlib.closing(ClickHouse.at(dsn).client()) as client:
            assert rows(running, client, "/first")[0][0] == 1


def test_salts_are_shared_and_in_no_backup(server: Collectors, stored: Client) -> None:
    """One salt per date in the table; a backup has every other table."""
    dates = stored.query("SELECT date, count() FROM salts GROUP BY date ORDER BY date").result_rows
    assert len(dates) >= 2
    assert {count for _, count in dates} == {1}
    done = json.loads(server.tyst("backup", str(server.directory / "backup-1"), "--json"))
    found = stored.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    tables = {name for (name,) in found}
    assert "events" in done["tables"]
    assert set(done["tables"]) <= tables - {"salts", "collectors"}


def test_signing_in_while_clickhouse_is_away_asks_for_patience(server: Collectors, database: FailingServer) -> None:
    """A page that says so in words, and when to come back; then it works."""
    form = {"name": "admin", "password": ADMIN_PASSWORD}

    def sign_in() -> httpx.Response:
        url = f"http://127.0.0.1:{server.each[0].port}/login"
        return httpx.post(url, data=form, headers={"sec-fetch-site": "same-origin"}, timeout=60)

    database.fail("refuse")
    answer = sign_in()
    database.fail("well")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "The database is not responding" in answer.text
    until("signing in works again", lambda: sign_in().status_code == 303)
    until("all is well again", server.well)


def test_no_log_and_no_file_has_the_password(server: Collectors, database: FailingServer) -> None:
    """After all of the above: not in the log, not in the data directory."""
    assert "started" in server.log()
    assert database.server.password not in server.log()
    files = [path for path in server.directory.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if database.server.password.encode() in path.read_bytes()]


def test_a_collector_with_another_secret_is_refused(server: Collectors, tmp_path: Path) -> None:
    """With a sentence that says what to do."""
    assert server.dsn
    stranger = Serve(tmp_path, server.dsn, environ={"TYST_SECRET_KEY": "another"})
    stranger.start()
    stranger.ended()
    assert stranger.process is not None
    assert stranger.process.returncode == 1
    assert "Set TYST_SECRET_KEY to the same value" in stranger.log()
    assert "Traceback" not in stranger.log()


def test_a_collector_that_waits_for_clickhouse_can_be_stopped(clickhouse_server: RealServer, tmp_path: Path) -> None:
    """SIGTERM ends it at once: it has begun nothing yet."""
    with contextlib.closing(FailingServer(clickhouse_server)) as clickhouse:
        clickhouse.fail("refuse")
        serve = Serve(tmp_path / "serve", clickhouse.database("test_away"))
        serve.start()
        try:
            until("it waits", lambda: "is not responding; waiting" in serve.log())
            assert serve.terminate() < DRAIN_SECONDS
        finally:
            serve.close()
