"""Fixtures that many tests share. An engine takes a second to open and one path per process: each test process
opens one, and each test gets a database of its own in it.

What uses a database runs in both modes: embedded, and served over HTTP by a stand-in, or, where
`TYST_TEST_CLICKHOUSE_DSN` names one, by a real server.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from collector.clickhouse import ClickHouse
from tests.standin import standin

_numbers = itertools.count(1)


# What is stored and read must not depend on where ClickHouse runs. Tests of pages and commands need no second round.
STORAGE = frozenset(
    {
        "test_clickhouse",
        "test_migrations",
        "test_model",
        "test_rollup",
        "test_sites",
        "test_store",
        "test_writer",
        "test_backup",
        "test_table_salts",
        "test_retention",
    }
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the storage tests on both kinds of database, and all others on the embedded one."""
    if "engine" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in STORAGE:
        metafunc.parametrize("engine", ["embedded", "served"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def embedded_engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """DSN of this process's one embedded engine."""
    return f"chdb://{tmp_path_factory.mktemp('engine') / 'clickhouse'}"


@pytest.fixture(scope="session")
def engine(
    request: pytest.FixtureRequest, embedded_engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """DSN of the embedded engine, or of a server."""
    server = os.environ.get("TYST_TEST_CLICKHOUSE_DSN")
    if getattr(request, "param", "embedded") == "embedded":
        yield embedded_engine
    elif server:
        yield server
    else:
        with standin(tmp_path_factory.mktemp("served")) as running:
            yield running.dsn


@pytest.fixture
def clickhouse(engine: str) -> ClickHouse:
    """Where a fresh, empty database is, with the schema not yet applied."""
    return ClickHouse(dsn=engine, database=f"test_{next(_numbers)}_{secrets.token_hex(4)}")


@pytest.fixture
def database(clickhouse: ClickHouse) -> Iterator[Client]:
    """A writing client to a fresh database with the schema applied."""
    client = clickhouse.prepare()
    yield client
    client.command("DROP DATABASE {name:Identifier} SYNC", parameters={"name": clickhouse.database})
    client.close()


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"
