"""Two shards: what is stored, closed, erased, deleted, renamed and read is what one server would have; a shard that is
down is an error, never a smaller number."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from collector.core.errors import BackupError, InsertRetryable, ServerUnsuitable
from collector.erasure.job_runner import SiteJobRunner
from collector.erasure.retention import RetentionJob
from collector.erasure.site_job import Kind, new_job
from collector.erasure.stored_events import delete_stored
from collector.ingest.event import Event
from collector.rollups.job import RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import Erasure
from collector.spool.spool import Spool
from collector.storage.backup import back_up
from collector.storage.client import ClickHouse, plain_reason
from collector.storage.cluster import Node, by_shard
from collector.storage.documents import DocumentTable
from collector.storage.mutations import MutationUnfinished, await_mutations, mutate
from collector.storage.schema import local_tables, main_tables, tables
from collector.storage.scratch_cluster import ScratchCluster
from collector.storage.shards import Shards
from dashboard.analytics.period import parse_period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.compliance.cluster_checks import check_cluster
from dashboard.compliance.cluster_copies import few_copies, misplaced, repeated
from tests.collector.storage.test_client import an_event
from tests.databases import Databases
from tests.length import long
from tests.members import alone
from tests.real_server import ADMINISTRATOR, CLUSTER, UNDELETING, RealServer, two_shards
from tests.running import Ran, tyst

SITE = "site.test"
DAY = datetime.date(2026, 3, 1)
NOW = datetime.datetime(2026, 3, 3, 12, tzinfo=datetime.UTC)
AFTER = NOW.timestamp()
VISITORS = range(1, 41)
TRIED = ("scratch tables", "shards", "repeated insert", "erasure", "replicas", "removed")
ASSUMPTIONS = ("nodes", "first node", "clocks", "missing shards", *TRIED)


@pytest.fixture
def clickhouse(sharded_databases: Databases) -> Iterator[ClickHouse]:
    """Where an empty database is, on two shards."""
    with sharded_databases.lent() as lent:
        yield lent


def some_events(site: str = SITE) -> list[Event]:
    """Of forty visitors, one event each, and three of nobody."""
    visitors = [an_event(site=site, visitor=number, page=f"/{number % 4}") for number in VISITORS]
    return [*visitors, *(an_event(site=site, visitor=0, page=f"/{number}") for number in range(3))]


def store(database: Client, token: str = "token", site: str = SITE) -> None:  # noqa: S107 - no password
    """Store these events."""
    ClickHouseInserter(database).insert(some_events(site), token)


def counts(shards: Shards, table: str = "events") -> list[int]:
    """The rows of each shard."""
    return [int(count) for (count,) in shards.rows(f"SELECT count() FROM {table}", {})]  # noqa: S608 # ours


def sites_of(database: Client) -> Sites:
    """The registry, with the site."""
    sites = Sites(DocumentTable(database, "sites", Site))
    sites.refresh()
    asyncio.run(sites.add(Site(domain=SITE)))
    return sites


def test_every_event_is_stored_once_and_each_visitor_on_one_shard(database: Client, shards: Shards) -> None:
    """Sent again under its token, nothing is added on either."""
    store(database)
    store(database)
    assert sum(counts(shards)) == len(VISITORS) + 3
    assert min(counts(shards)) > 5
    first, second = (set(node.query("SELECT visitor FROM events").result_rows) - {(0,)} for node in shards)
    assert first & second == set()


def test_an_erasure_takes_the_visitor_on_every_shard(database: Client, shards: Shards) -> None:
    """And nobody else; no marks are left."""
    store(database)
    erasures = [Erasure(SITE, DAY, visitor, 2**31) for visitor in VISITORS[:10]]
    assert sum(delete_stored(each, erasures, time.time_ns()) for each in shards.replicas) == 10
    left = "SELECT min(visitor), uniqExact(visitor) FROM events WHERE visitor != 0"
    assert database.query(left).result_rows == [(11, 30)]
    assert counts(shards, "pending_erasures") == [0, 0]


def test_a_day_is_built_on_each_shard_and_expires_on_each(database: Client, shards: Shards) -> None:
    """Its sums are those of all events, and count once both have built them."""
    store(database)
    sites = sites_of(database)
    rollup = RollupJob(database, sites, lambda: AFTER, shards=shards)
    assert rollup.close_due() == 2
    whole = "SELECT sum(visitors), sum(pageviews) FROM daily_rollup WHERE dimension = '' AND currency = ''"
    assert database.query(whole).result_rows == [(len(VISITORS), len(VISITORS) + 3)]
    assert min(counts(shards, "daily_rollup")) > 0
    later = AFTER + 3000 * 86_400
    assert RetentionJob(database, sites, lambda: later, shards=shards).keep() == 1
    assert counts(shards) == [0, 0]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("delete", {"first": DAY, "last": DAY, "field": "page", "value": "/1"}),
        ("rename", {"to": "new.test"}),
        ("remove", {}),
    ],
)
def test_a_job_on_a_site_is_done_on_every_shard(
    database: Client, shards: Shards, tmp_path: Path, kind: Kind, fields: dict[str, object]
) -> None:
    """What is deleted is gone on each, what is renamed is as often there as before; another site's events stay."""
    store(database)
    store(database, "others", "other.test")
    sites = sites_of(database)
    rollup = RollupJob(database, sites, lambda: AFTER, shards=shards)
    rollup.close_due()
    spool = Spool(tmp_path / "spool.db", max_bytes=10**7, segment_rows=100, segment_seconds=1)
    with contextlib.closing(spool):
        jobs = SiteJobRunner(database, sites, rollup, lambda: [spool], alone(database), lambda: AFTER, shards=shards)
        site = sites.get(SITE)
        assert site is not None
        jobs.enqueue(new_job(kind, site, "ada", AFTER, **fields))
        while any(job.open for job in jobs.all()):
            jobs.run_pending()
    rows = database.query("SELECT site, count() FROM events GROUP BY site").result_rows
    left = {row[0]: row[1] for row in rows}
    everything = len(VISITORS) + 3
    expected = {"delete": {SITE: everything - 11}, "rename": {"new.test": everything}}.get(kind, {})
    assert left == {"other.test": everything, **expected}


@long
def test_a_shard_that_is_down_is_an_error(tmp_path: Path) -> None:
    """Nothing is answered without its events, and inserts are tried again until it is back."""
    with two_shards(tmp_path) as (first, second):
        place = ClickHouse.at(first.dsn("tyst"), cluster=CLUSTER)
        with contextlib.closing(place.prepare()) as client:
            store(client)
            scratch = ScratchCluster(place, place.nodes())
            scratch.create()
            second.kill()
            assert scratch.drop() == [second.host]
            nodes = next(each for each in check_cluster(place) if each.state == "failed")
            assert f"{second.host}: no answer" in nodes.found
            assert "start the node" in nodes.advice
            with pytest.raises(ClickHouseError) as raised:
                client.query("SELECT count() FROM events")
            assert "All connection tries failed" in plain_reason(raised.value)
            stats = StatsService(
                lambda limits: place.client(readonly=True, settings=limits), workers=1, cluster=CLUSTER
            )
            with contextlib.closing(stats), pytest.raises(OperationalError, match="a node of the ClickHouse cluster"):
                asyncio.run(stats.run([Query(SITE, ("visitors",), parse_period("custom", "UTC", NOW, DAY, DAY))]))
            with pytest.raises(InsertRetryable):
                store(client, "another")
            second.start()
            store(client, "another")
            assert client.query("SELECT count() FROM events").result_rows == [(2 * len(some_events()),)]
            assert scratch.drop() == []
            # As where its configuration has the shards in another order.
            second.kill()
            second.shards = second.shards[::-1]
            second.start()
            shards = next(each for each in check_cluster(place) if each.name == "shards")
            assert "rows of 1000 visitors are on more than one shard" in shards.found
            assert "the same remote_servers on every node" in shards.advice
            assert scratch_databases(first, second) == []


def scratch_databases(*servers: RealServer) -> list[str]:
    """Those that a check has left on any of the servers."""
    found = []
    for server in servers:
        with contextlib.closing(ClickHouse.at(server.dsn(user=ADMINISTRATOR)).outside()) as client:
            rows = client.query("SELECT name FROM system.databases WHERE name LIKE '%scratch%'").result_rows
        found += [name for (name,) in rows]
    return found


def test_the_check_of_a_cluster_finds_all_well(
    clickhouse_shards: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    """Each assumption has a line; nothing is left on the nodes. Without the cluster's name it says what to set."""
    dsn = clickhouse_shards[0].dsn("test_checked")

    def check(**settings: str) -> Ran:
        return tyst("check", "--cluster", "--json", directory=tmp_path, TYST_CLICKHOUSE_DSN=dsn, **settings)

    ran = check(TYST_CLICKHOUSE_CLUSTER=CLUSTER)
    assert {each["name"]: each["state"] for each in ran.json} == dict.fromkeys(ASSUMPTIONS, "ok")
    assert ran.status == 0
    assert scratch_databases(*clickhouse_shards) == []
    unset = check()
    assert unset.status == 2
    assert "set TYST_CLICKHOUSE_CLUSTER to the cluster's name" in unset.err


def test_the_check_of_a_cluster_says_what_does_not_hold(
    clickhouse_shards: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    """Here the user may not delete rows. What to do stands below; nothing is left on the nodes."""
    dsn = clickhouse_shards[0].dsn("test_checked", user=UNDELETING)
    settings = {"TYST_CLICKHOUSE_DSN": dsn, "TYST_CLICKHOUSE_CLUSTER": CLUSTER}
    ran = tyst("check", "--cluster", directory=tmp_path, **settings)
    failed = [line for line in ran.out.splitlines() if line.startswith("FAILED")]
    assert [line.split()[1] for line in failed] == ["nodes", "erasure"]
    assert "ALTER TABLE ON `test_checked_local`.*" in failed[0]
    assert "ALTER DELETE" in failed[1]
    assert "what they withdraw would stay" in ran.out
    assert ran.status == 1
    assert scratch_databases(*clickhouse_shards) == []


def test_of_replicas_most_have_to_have_every_row() -> None:
    """And no row may be on two shards, on none, or twice on one."""
    first, second, third = (Node(1, replica, f"host-{replica}", replicated=True) for replica in (1, 2, 3))
    other = Node(2, 1, "other", replicated=True)
    a, b, c = ((name, "") for name in "abc")
    whole, part = {a: 1, b: 1}, {a: 1}
    assert few_copies({first: whole, second: whole, third: {}, other: {c: 1}}) == ""
    few = "1 of 3 replicas have all rows of shard 1, 2 should"
    assert few_copies({first: whole, second: part, third: {}, other: {c: 1}}) == few
    assert misplaced({first: whole, second: part, other: {c: 1}}, {a: 1, b: 1, c: 1}) == ""
    assert misplaced({first: whole, other: {b: 1}}, {a: 2, b: 2, c: 1}) == (
        "2 of 5 rows are on no shard; rows of 1 visitors are on more than one shard"
    )
    assert misplaced({first: whole, other: {}}, whole) == "no row came to shard 2"
    assert repeated({first: {a: 2, b: 1}, second: part}, {a: 2, b: 1}) == ""
    again = "rows that were inserted once and stored again: 2 on host-2"
    assert repeated({first: whole, second: {a: 3}}, whole) == again


def test_a_cluster_that_the_server_does_not_know_is_refused(clickhouse_shards: tuple[RealServer, RealServer]) -> None:
    """With the setting that names it."""
    place = ClickHouse.at(clickhouse_shards[0].dsn("test_nowhere"), cluster="nowhere")
    with pytest.raises(ServerUnsuitable, match="no cluster nowhere: see TYST_CLICKHOUSE_CLUSTER"):
        place.prepare()


def test_another_node_than_the_first_is_refused(clickhouse_shards: tuple[RealServer, RealServer]) -> None:
    """The other nodes have no sites, users and locks of records."""
    first, second = clickhouse_shards
    assert ClickHouse.at(first.dsn("elsewhere"), cluster=CLUSTER).layout()
    with pytest.raises(ServerUnsuitable, match=r"has to name 127\.0\.0\.1, the first node"):
        ClickHouse.at(second.dsn("elsewhere"), cluster=CLUSTER).layout()


def test_a_backup_of_a_cluster_is_refused(clickhouse: ClickHouse) -> None:
    """With what to do instead."""
    with pytest.raises(BackupError, match=r"docs/scale\.md"):
        back_up(clickhouse, "backup")


def test_a_mutation_is_not_over_while_a_replica_has_not_done_it(shards: Shards) -> None:
    """Here it goes from neither node to the other: each has to be asked for it."""
    first, second = shards
    for node in shards:
        node.command("CREATE TABLE scratch_waits (x UInt64) ENGINE = MergeTree ORDER BY x")
        node.command("INSERT INTO scratch_waits VALUES (1)")
    delete = "ALTER TABLE scratch_waits DELETE WHERE x = {x:UInt64}"
    with pytest.raises(MutationUnfinished):
        mutate(first, "scratch_waits", delete, {"x": 1}, others=[second], patience=1)
    mutate(second, "scratch_waits", delete, {"x": 1})
    await_mutations(first, "scratch_waits", others=[second])
    assert counts(shards, "scratch_waits") == [0, 0]
    shards.command("DROP TABLE scratch_waits")


def test_marks_are_on_every_replica(shards: Shards) -> None:
    """Those that a statement makes on the first are inserted at the others; a row on any of them is found."""
    first, second = shards
    replicas = Shards([first], [[second]])
    replicas.mark(
        "pending_delete_values", "INSERT INTO pending_delete_values VALUES ({batch:UInt64}, '/a')", {"batch": 5}
    )
    assert counts(shards, "pending_delete_values") == [1, 1]
    second.command("INSERT INTO pending_delete_values VALUES (6, '/b')")
    assert replicas.any_has("SELECT count() FROM pending_delete_values WHERE batch = 6", {})
    assert not replicas.any_has("SELECT count() FROM pending_delete_values WHERE batch = 7", {})
    replicas.on_replicas("ALTER TABLE pending_delete_values DELETE WHERE batch <= 6", {})
    assert counts(shards, "pending_delete_values") == [0, 0]


def test_of_replicas_one_of_each_shard_is_asked() -> None:
    """What is done on one is done on the others; a day that each built would count as often."""
    nodes = [Node(shard, replica, f"{shard}-{replica}", replicated=True) for shard in (1, 2) for replica in (1, 2, 3)]
    assert [[node.host for node in replicas][:2] for replicas in by_shard(nodes)] == [["1-1", "1-2"], ["2-1", "2-2"]]
    assert by_shard(nodes[1:])[0][0].host == "1-2"


def test_statements_for_replicas_are_ones_that_the_engine_reads(database: Client) -> None:
    """By its parser. Replicas of a shard share a path in Keeper, and all nodes that of what is everywhere."""
    first, second = (Node(shard, 2, f"host-{shard}", replicated=True) for shard in (1, 2))
    for node in (first, second):
        made = [*local_tables("tyst", node), *main_tables("tyst", "tyst_local", CLUSTER, node)]
        for table in made:
            assert database.query("SELECT formatQuery({sql:String})", parameters={"sql": table.statement}).result_rows
        by_name = {table.name: table.statement for table in local_tables("tyst", node)}
        assert f"ReplicatedMergeTree('/tyst/tyst/events/0{node.shard}', '{node.host}')" in by_name["events"]
        assert "non_replicated" not in by_name["events"]
    everywhere = [table for table in tables() if table.placement == "everywhere"]
    assert len(everywhere) > 10
    for table in everywhere:
        assert f"'/tyst/tyst/{table.name}/all'" in table.replicated("tyst", first).statement
