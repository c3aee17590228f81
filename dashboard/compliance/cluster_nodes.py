"""Nodes of a cluster, one by one: whether each answers, its version, grants, clock and settings."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import ServerUnsuitable
from collector.storage.client import ClickHouse, plain_reason
from collector.storage.cluster import Node
from collector.storage.server_requirements import CLUSTER_GRANTS, missing_grants, require_version
from dashboard.compliance.health_report import Check

ADVICE: Final = (
    "start the node, see that TYST_CLICKHOUSE_DSN has the port and password of all of them, and run "
    "deploy/clickhouse-user.sql and deploy/clickhouse-cluster-user.sql on each"
)
_CLOCK: Final = "SELECT toFloat64(now64(6))"
_LOOKS: Final = 3
_SETTINGS: Final = {"skip_unavailable_shards": "0", "distributed_foreground_insert": "1"}
_SETTING: Final = "SELECT toString(getSetting({name:String}))"


class Examined(NamedTuple):
    """The check of all nodes, and whether each answers."""

    check: Check
    all_answer: bool


def examine_nodes(clickhouse: ClickHouse, nodes: Sequence[Node]) -> Examined:
    """Whether each node answers, is new enough and grants what is needed."""
    faults: dict[str, list[str]] = {}
    silent, versions = False, set()
    for node in nodes:
        try:
            with contextlib.closing(clickhouse.on(node).outside()) as client:
                versions.add(require_version(client))
                missing = missing_grants(client, clickhouse.database)
                missing += missing_grants(client, clickhouse.local_database, CLUSTER_GRANTS)
            if missing:
                faults.setdefault(f"the user lacks {'; '.join(missing)}", []).append(node.host)
        except ServerUnsuitable as error:
            faults.setdefault(str(error), []).append(node.host)
        except (ClickHouseError, OSError) as error:
            silent = True
            faults.setdefault(f"no answer: {plain_reason(error)}", []).append(node.host)
    if faults:
        found = "\n".join(f"{', '.join(hosts)}: {fault}" for fault, hosts in faults.items())
        advice = f"{ADVICE}\nthe other checks need every node" if silent else ADVICE
        return Examined(Check(name="nodes", state="failed", found=found, advice=advice), not silent)
    shards = len({node.shard for node in nodes})
    found = f"{len(nodes)} nodes of {shards} shards answer, ClickHouse {', '.join(sorted(versions))}, with all grants"
    return Examined(Check(name="nodes", state="ok", found=found), all_answer=True)


def clock_offsets(clickhouse: ClickHouse, nodes: Sequence[Node]) -> dict[str, float]:
    """By how many seconds each node's clock is ahead of this one, by the quickest of a few answers."""
    offsets = {}
    for node in nodes:
        with contextlib.closing(clickhouse.on(node).outside()) as client:
            offsets[node.host] = min(_looks(client))[1]
    return offsets


def _looks(client: Client) -> Iterator[tuple[float, float]]:
    for _ in range(_LOOKS):
        asked = time.time()
        told = float(client.query(_CLOCK).result_rows[0][0])
        answered = time.time()
        yield answered - asked, told - (asked + answered) / 2


def differing_settings(clickhouse: ClickHouse, nodes: Sequence[Node]) -> list[str]:
    """Settings that are not in force on a node although every statement has them, as where a profile forbids it."""
    differing = []
    for node in nodes:
        with contextlib.closing(clickhouse.on(node).outside()) as client:
            for name, wanted in _SETTINGS.items():
                value = client.query(_SETTING, parameters={"name": name}).result_rows[0][0]
                if value not in _SAME[wanted]:
                    differing.append(f"{name} is {value} on {node.host}")
    return differing


_SAME: Final = {"0": ("0", "false"), "1": ("1", "true")}
