"""Fixtures that many tests share. An engine takes a second to open and one path per process: each test process
opens one, and each test gets a database of its own in it, as empty as a new one.

What uses a database runs in both modes: embedded, and served over HTTP by a server of the test process's own, or by the
one that `TYST_TEST_CLICKHOUSE_DSN` names. Some of it runs on two such servers, too, which are the shards of a cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from collector.storage.shards import Shards
from tests.databases import Databases, drop, unprepared
from tests.length import AT_LENGTH, by_length, left_out
from tests.mail_server import MailServer, mail_server
from tests.real_server import CLUSTER, RealServer, real_server, two_shards

# What is stored and read must not depend on where ClickHouse runs. Tests of pages and commands need no second round.
STORAGE = frozenset(
    {
        "collector.storage.test_client",
        "project.test_databases",
        "collector.storage.test_migrations",
        "dashboard.analytics.test_model",
        "collector.rollups.test_job",
        "collector.sites.test_registry",
        "collector.spool.test_spool",
        "dashboard.analytics.test_service",
        "collector.spool.test_writer",
        "collector.storage.test_backup",
        "collector.privacy.test_salts_clickhouse",
        "collector.storage.test_chdb_workarounds",
        "collector.erasure.test_retention",
        "collector.imports.test_export",
        "collector.imports.test_visits_of_products",
    }
)

# Of these, what is served is in the long run only: their statements are those that the others send, or take long.
SERVED_AT_LENGTH = frozenset(
    {
        "project.test_databases",
        "collector.storage.test_migrations",
        "dashboard.analytics.test_model",
        "collector.rollups.test_job",
        "dashboard.analytics.test_service",
        "collector.imports.test_export",
        "collector.imports.test_visits_of_products",
    }
)

# What is read must not depend on how many shards it is on either.
SHARDED = frozenset({"dashboard.analytics.test_model", "project.test_databases"})

COSTLY = frozenset({"databases", "embedded_engine"})
"""Fixtures by which a test takes a database for itself."""

# What takes longest is begun first, so that no process is left alone with it in the end.
LONGEST = (
    "tests/faults/test_faults.py",
    "tests/dashboard/analytics/test_model.py",
    "tests/system/test_privacy_served.py",
    "tests/collector/erasure/test_job_runner.py",
    "tests/system/test_server_mode.py",
    "tests/system/test_leaks.py",
    "tests/collector/erasure/test_subject_access.py",
    "tests/bench/test_bench.py",
    "tests/collector/storage/test_backup.py",
    "tests/dashboard/cli/test_cli.py",
    "tests/dashboard/test_surfaces.py",
    "tests/system/test_balancers.py",
    "tests/project/test_containers.py",
    "tests/project/test_wheel.py",
    "tests/dashboard/api/test_clients.py",
    "tests/collector/imports/test_bounds.py",
    "tests/dashboard/web/test_funnels.py",
    "tests/system/test_injections.py",
    "tests/dashboard/server/test_demo.py",
    "tests/browser/test_walk.py",
    "tests/browser/test_dashboard.py",
    "tests/browser/test_banners_stored.py",
    "tests/browser/test_looks.py",
    "tests/browser/test_filters_and_goals.py",
    "tests/browser/test_sharing_and_installing.py",
    "tests/browser/test_report.py",
    "tests/browser/test_snippet_banners.py",
    "tests/browser/test_journey.py",
    "tests/browser/test_trackers.py",
    "tests/browser/test_banners_firefox.py",
    "tests/browser/test_snippet_consent.py",
    "tests/browser/test_snippet_pages.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """What tests are marked with."""
    config.addinivalue_line("markers", "long: runs at length only, by `make bench ARGS=tests`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In short, without what is for the long run, but for a test that is asked for by its name. Modules in the order in
    which they are begun; within each as they were."""
    named = config.option.keyword or any("::" in name for name in config.args)
    if not AT_LENGTH and not named:
        left = [item for item in items if item.get_closest_marker("long")]
        left += left_out([item for item in items if COSTLY & {*fixtures(item)} or "/browser/" in item.nodeid])
        config.hook.pytest_deselected(items=left)
        out = set(left)
        items[:] = [item for item in items if item not in out]
    begun = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: begun.get(item.nodeid.partition("::")[0], len(begun)))


def fixtures(item: pytest.Item) -> Sequence[str]:
    """Names of the fixtures that a test gets, those of its fixtures included."""
    names: Sequence[str] = getattr(item, "fixturenames", ())
    return names


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the storage tests on both kinds of database, some on a cluster too, and all others on the embedded one."""
    name = metafunc.module.__name__.removeprefix("tests.")
    if "databases" in metafunc.fixturenames and name in STORAGE:
        kinds = ["embedded", "served", *(["sharded"] if name in SHARDED else [])]
        if name in SERVED_AT_LENGTH:
            kinds = by_length(["embedded"], kinds)
        metafunc.parametrize("databases", kinds, indirect=True)


@pytest.fixture(scope="session")
def embedded_engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """DSN of this process's one embedded engine."""
    return f"chdb://{tmp_path_factory.mktemp('engine') / 'clickhouse'}"


@pytest.fixture(scope="session")
def embedded_databases(embedded_engine: str) -> Iterator[Databases]:
    """The databases of the embedded engine."""
    yield from _databases(embedded_engine)


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """This process's one server. Whoever wants it to fail puts a `FailingServer` before it."""
    with real_server(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="session")
def served_databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """The databases of a server."""
    elsewhere = os.environ.get("TYST_TEST_CLICKHOUSE_DSN")
    yield from _databases(elsewhere or request.getfixturevalue("clickhouse_server").dsn())


@pytest.fixture(scope="session")
def clickhouse_shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealServer, RealServer]]:
    """This process's one cluster of two shards."""
    with two_shards(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(scope="session")
def sharded_databases(clickhouse_shards: tuple[RealServer, RealServer]) -> Iterator[Databases]:
    """The databases of the cluster."""
    yield from _databases(clickhouse_shards[0].dsn(), CLUSTER)


def _databases(dsn: str, cluster: str = "") -> Iterator[Databases]:
    databases = Databases(dsn, cluster)
    yield databases
    databases.close()


@pytest.fixture
def databases(request: pytest.FixtureRequest) -> Databases:
    """The databases of the kind that the test is for. Either engine, once started, is there to the end."""
    found: Databases = request.getfixturevalue(f"{getattr(request, 'param', 'embedded')}_databases")
    return found


@pytest.fixture
def engine(databases: Databases) -> str:
    """DSN of the embedded engine, or of a server, whose user has the documented grants."""
    return databases.dsn


@pytest.fixture
def clickhouse(databases: Databases) -> Iterator[ClickHouse]:
    """Where an empty database is, with the schema applied."""
    with databases.lent() as lent:
        yield lent


@pytest.fixture
def nothing_yet(engine: str) -> Iterator[ClickHouse]:
    """Where no database is yet."""
    place = unprepared(engine)
    yield place
    drop(place)


@pytest.fixture
def database(clickhouse: ClickHouse) -> Iterator[Client]:
    """A writing client to an empty database with the schema applied."""
    client = clickhouse.client()
    yield client
    client.close()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server that takes everything."""
    with mail_server() as running:
        yield running


@pytest.fixture
def shards(clickhouse: ClickHouse) -> Iterator[Shards]:
    """Clients of the nodes that have events and rollups themselves."""
    nodes = clickhouse.shards()
    yield nodes
    nodes.close()


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the server runs on."""
    return "asyncio"
