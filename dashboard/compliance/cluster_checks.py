"""Checks of what Tyst assumes of a ClickHouse cluster, by inserts and an erasure in a scratch database.

They go through the code that stores and erases events: what it needs of a cluster is tried, not described again.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import TystError
from collector.erasure.stored_events import delete_stored
from collector.ingest.event import Event
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import Erasure
from collector.storage.client import ClickHouse, plain_reason
from collector.storage.cluster import Node, by_shard
from collector.storage.mutations import MutationUnfinished
from collector.storage.schema import quoted
from collector.storage.scratch_cluster import ScratchCluster
from dashboard.compliance.cluster_copies import Copies, Row, counted, few_copies, misplaced, repeated
from dashboard.compliance.cluster_nodes import clock_offsets, differing_settings, examine_nodes
from dashboard.compliance.health_report import Check

SITE: Final = "scratch.invalid"
DAY: Final = datetime.date(2026, 1, 1)
VISITORS: Final = range(1, 1001)
ERASED: Final = VISITORS[:100]
CLOCK_SECONDS: Final = 1.0
ERASURE_SECONDS: Final = 300.0

_CLUSTER: Final = (
    "TYST_CLICKHOUSE_CLUSTER has to be a name of remote_servers, and TYST_CLICKHOUSE_DSN to name its first node"
)
_SETTINGS: Final = (
    "take these settings, and their constraints, out of the profile of the user: figures would be those of a part"
)
_GRANTS: Final = "run deploy/clickhouse-cluster-user.sql on every node; replicas need ClickHouse Keeper"
_SHARDS: Final = (
    "have the same remote_servers on every node, with a secret, and for replicas internal_replication; two nodes on "
    "one machine need different native ports"
)
_QUORUM: Final = "see system.replicas and Keeper on every node: what is acknowledged has to outlive the loss of a node"
_REPEATED: Final = "do not use this cluster: a batch that is sent again would be counted twice"
_ERASURE: Final = (
    "do not use this cluster for visitors: what they withdraw would stay. See system.mutations, latest_fail_reason"
)
_WITHOUT_REPLICAS: Final = (
    "none. With replicas also checked: an insert is on most replicas of its shard when it returns, a control record on "
    "most nodes, and an erasure is done on every replica"
)
_ROWS: Final = "SELECT visitor, if(visitor = 0, page, ''), count() FROM events GROUP BY ALL"
_SITES: Final = "SELECT id, '', count() FROM sites GROUP BY ALL"
_OF: Final = "SELECT count() FROM events WHERE visitor IN {visitors:Array(UInt64)}"


_Batches = dict[Node, list[Event]]
"""What is inserted through each node: of the same visitors, and of nobody."""


class _Unmet(TystError):
    """An assumption does not hold; the text says what was found."""


class _Assumption(NamedTuple):
    """What is assumed, and what to do where it does not hold. `found` says what holds, or raises `_Unmet`."""

    name: str
    found: Callable[[], str]
    advice: str


def check_cluster(clickhouse: ClickHouse) -> Iterator[Check]:
    """Check the cluster that `clickhouse` is on. Nothing of it is left in the end but what a failed check names."""
    try:
        nodes = clickhouse.nodes()
    except (ClickHouseError, OSError, TystError) as error:
        yield Check(name="cluster", state="failed", found=plain_reason(error), advice=_CLUSTER)
        return
    examined = examine_nodes(clickhouse, nodes)
    yield examined.check
    if not examined.all_answer:
        return
    yield _met(_Assumption("first node", lambda: _first_node(clickhouse, nodes), _CLUSTER))
    yield _met(_Assumption("clocks", lambda: _clocks(clickhouse, nodes), "let every node keep time by NTP"))
    yield _met(_Assumption("missing shards", lambda: _settings(clickhouse, nodes), _SETTINGS))
    yield from _with_tables(ScratchCluster(clickhouse, nodes))


def _with_tables(scratch: ScratchCluster) -> Iterator[Check]:
    try:
        checks = [_met(_Assumption("scratch tables", lambda: _created(scratch), _GRANTS))]
        if checks[0].state == "ok":
            checks += [_met(each) for each in _assumptions(scratch)]
    finally:
        left = scratch.drop()
    yield from checks
    if not scratch.nodes[0].replicated:
        yield Check(name="replicas", state="ok", found=_WITHOUT_REPLICAS)
    yield _dropped(scratch, left)


def _assumptions(scratch: ScratchCluster) -> list[_Assumption]:
    batches = {node: _some_events(number) for number, node in enumerate(scratch.nodes)}
    found = [_Assumption("shards", lambda: _stored(scratch, batches), _SHARDS)]
    if scratch.nodes[0].replicated:
        found.append(_Assumption("control tables", lambda: _control_record(scratch), _QUORUM))
    found.append(_Assumption("repeated insert", lambda: _stored_once(scratch, batches), _REPEATED))
    found.append(_Assumption("erasure", lambda: _erased(scratch), _ERASURE))
    return found


def _met(assumption: _Assumption) -> Check:
    try:
        return Check(name=assumption.name, state="ok", found=assumption.found())
    except (ClickHouseError, OSError, TystError) as error:
        return Check(name=assumption.name, state="failed", found=plain_reason(error), advice=assumption.advice)


def _first_node(clickhouse: ClickHouse, nodes: list[Node]) -> str:
    clickhouse.layout()
    return f"{nodes[0].host} is the one of the DSN"


def _clocks(clickhouse: ClickHouse, nodes: list[Node]) -> str:
    offsets = clock_offsets(clickhouse, nodes)
    early, late = min(offsets, key=offsets.__getitem__), max(offsets, key=offsets.__getitem__)
    apart = offsets[late] - offsets[early]
    if apart > CLOCK_SECONDS:
        raise _Unmet(f"{late} is {apart:.3f} s ahead of {early}")
    return f"at most {apart:.3f} s apart"


def _settings(clickhouse: ClickHouse, nodes: list[Node]) -> str:
    differing = differing_settings(clickhouse, nodes)
    if differing:
        raise _Unmet("; ".join(differing))
    return "a shard that does not answer is an error on every node (skip_unavailable_shards = 0)"


def _created(scratch: ScratchCluster) -> str:
    scratch.create()
    return f"created in {' and '.join(scratch.names)}"


def _stored(scratch: ScratchCluster, batches: _Batches) -> str:
    for node, events in batches.items():
        ClickHouseInserter(scratch.client(node)).insert(events, _token(node))
        fault = few_copies(_copies(scratch))
        if fault:
            raise _Unmet(fault)
    rows = _rows(batches)
    fault = misplaced(_copies(scratch), rows)
    if fault:
        raise _Unmet(fault)
    shards = len({node.shard for node in scratch.nodes})
    quorum = ", on most replicas of it when the insert returned" if scratch.nodes[0].replicated else ""
    return f"{rows.total():,} rows on {shards} shards, through each node the same visitors on the same one{quorum}"


def _control_record(scratch: ScratchCluster) -> str:
    columns = ["id", "record", "version", "deleted"]
    scratch.client(scratch.nodes[0]).insert("sites", [[SITE, "{}", 1, 0]], column_names=columns)
    rows = {node: scratch.client(node).query(_SITES).result_rows for node in scratch.nodes}
    fault = few_copies({node._replace(shard=1): counted(found) for node, found in rows.items()})
    if fault:
        raise _Unmet(fault)
    return "on most nodes when the insert returned"


def _stored_once(scratch: ScratchCluster, batches: _Batches) -> str:
    first, *_ = scratch.nodes
    for node in scratch.nodes:
        ClickHouseInserter(scratch.client(node)).insert(batches[first], _token(first))
    fault = repeated(_copies(scratch), _rows(batches))
    if fault:
        raise _Unmet(fault)
    return f"with the same token through each of {len(scratch.nodes)} nodes, stored once"


def _erased(scratch: ScratchCluster) -> str:
    until = int(time.time()) + 1
    erasures = [Erasure(SITE, DAY, visitor, until) for visitor in ERASED]
    asked = {"visitors": list(ERASED)}
    if not any(rows[0][0] for rows in scratch.local_rows(_OF, asked).values()):
        raise _Unmet("no events were there to erase")
    for replicas in by_shard(scratch.nodes):
        _erase_on(scratch, replicas, erasures)
    left = _left(scratch, asked)
    if left:
        raise _Unmet(f"events are left: {', '.join(f'{count} on {host}' for host, count in left.items())}")
    others = {int(visitor) for copy in _copies(scratch).values() for visitor, _ in copy} - {0}
    if len(others) != len(VISITORS) - len(ERASED):
        raise _Unmet(f"{len(others)} of {len(VISITORS) - len(ERASED)} other visitors are left")
    return f"0 events of {len(ERASED)} visitors are left on {len(scratch.nodes)} nodes"


def _left(scratch: ScratchCluster, asked: Mapping[str, list[int]]) -> dict[str, int]:
    """How many events the nodes still have of whom was erased."""
    rows = scratch.local_rows(_OF, asked)
    return {node.host: int(found[0][0]) for node, found in rows.items() if found[0][0]}


def _erase_on(scratch: ScratchCluster, replicas: list[Node], erasures: list[Erasure]) -> None:
    deadline = time.monotonic() + ERASURE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(MutationUnfinished):
            delete_stored([scratch.local_client(node) for node in replicas], erasures, time.time_ns())
            return
    raise _Unmet(f"{' and '.join(node.host for node in replicas)} have not finished it in {ERASURE_SECONDS:,.0f} s")


def _some_events(batch: int) -> list[Event]:
    now = int(time.time())
    named = [(visitor, "/") for visitor in VISITORS]
    unnamed = [(0, f"/{batch}/{number}") for number in range(20)]
    return [
        Event(
            site=SITE,
            day=DAY,
            ts=now,
            visitor=visitor,
            visit=now if visitor else 0,
            name="pageview",
            consent="granted" if visitor else "none",
            page=page,
            expires=DAY + datetime.timedelta(days=1),
        )
        for visitor, page in [*named, *unnamed]
    ]


def _dropped(scratch: ScratchCluster, left: list[str]) -> Check:
    if not left:
        return Check(name="removed", state="ok", found="the scratch tables are gone from every node")
    drops = " ".join(f"DROP DATABASE IF EXISTS {quoted(name)} SYNC;" for name in scratch.names)
    return Check(
        name="removed", state="failed", found=f"still there on {', '.join(left)}", advice=f"run there: {drops}"
    )


def _rows(batches: _Batches) -> Counter[Row]:
    every = [event for events in batches.values() for event in events]
    return Counter((str(event.visitor), "" if event.visitor else event.page) for event in every)


def _token(node: Node) -> str:
    return f"check {node.host}"


def _copies(scratch: ScratchCluster) -> Copies:
    return {node: counted(rows) for node, rows in scratch.local_rows(_ROWS, {}).items()}
