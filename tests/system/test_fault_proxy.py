"""A ClickHouse server that fails: the inserter tells what may be tried again, and no error shows a password."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httpclient import HttpClient
from urllib3 import Timeout

from collector.core.errors import DatabaseUnreachable, InsertRefused, InsertRetryable
from collector.server.collector import prepared
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from tests.collector.storage.test_client import an_event
from tests.fault_proxy import FailingServer
from tests.real_server import RealServer, real_server


@pytest.fixture(scope="module")
def running(clickhouse_server: RealServer) -> Iterator[FailingServer]:
    """The server, that fails when it is told to."""
    with contextlib.closing(FailingServer(clickhouse_server)) as failing:
        yield failing


@pytest.fixture
def place(running: FailingServer, request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    """A database of its own for each test."""
    running.fail("well")
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    yield ClickHouse.at(running.database(f"test_{name}"))
    running.fail("well")


@pytest.fixture
def client(place: ClickHouse) -> Iterator[Client]:
    """A client of it, with the schema applied."""
    client = place.prepare()
    yield client
    client.close()


@contextlib.contextmanager
def impatient(client: Client) -> Iterator[None]:
    """Give up at once on answers that do not come. Answers that do may take their time on a busy machine."""
    assert isinstance(client, HttpClient)
    patient, client.timeout = client.timeout, Timeout(read=0.2)
    try:
        yield
    finally:
        client.timeout = patient


def count(client: Client) -> int:
    """Rows of `events`."""
    return int(client.query("SELECT count() FROM events").result_rows[0][0])


@pytest.mark.parametrize(("kind", "stored"), [("refuse", 0), ("hang", 0), ("busy", 0), ("cut", 1)])
def test_what_may_succeed_later_is_tried_again_and_stored_once(
    running: FailingServer, client: Client, kind: str, stored: int
) -> None:
    """Also when the insert took effect and only its answer was lost."""
    inserter = ClickHouseInserter(client)
    running.fail(kind)
    with impatient(client) if kind == "hang" else contextlib.nullcontext(), pytest.raises(InsertRetryable):
        inserter.insert([an_event()], "token")
    running.fail("well")
    assert count(client) == stored
    inserter.insert([an_event()], "token")
    assert count(client) == 1


def test_rejected_rows_are_refused_for_good(running: FailingServer, client: Client) -> None:
    """And only inserts are."""
    running.fail("reject")
    with pytest.raises(InsertRefused, match="53"):
        ClickHouseInserter(client).insert([an_event()], "token")
    assert count(client) == 0


def test_what_was_stored_survives_kill_nine(tmp_path: Path) -> None:
    """And its token with it: sent again it adds nothing."""
    with real_server(tmp_path) as server:
        client = ClickHouse.at(server.dsn("tyst")).prepare()
        ClickHouseInserter(client).insert([an_event()], "token")
        server.kill()
        server.start()
        ClickHouseInserter(client).insert([an_event()], "token")
        assert count(client) == 1


@pytest.mark.parametrize("kind", ["wrong password", "refuse", "busy", "hang"])
def test_no_error_shows_the_password(running: FailingServer, place: ClickHouse, kind: str) -> None:
    """Neither the one that it is nor one that it is not."""
    wrong, password = kind == "wrong password", running.server.password
    where = ClickHouse(place.dsn.replace(password, f"not-{password}"), place.database) if wrong else place
    if kind == "hang":
        # Nobody answers, however long it is waited for.
        where = ClickHouse.at(f"{place.dsn}?send_receive_timeout=1")
    if not wrong:
        running.fail(kind)
    with pytest.raises(DatabaseUnreachable) as raised:
        prepared(where, patience=0)
    assert "ClickHouse" in str(raised.value)
    assert password not in str(raised.value) + repr(raised.value) + repr(where)
    assert "@" not in str(raised.value)
