"""`python -m bench replicas`: shards with two replicas each, over ZooKeeper: what is stored, erased and left on each.

It needs a Java runtime, Debian's `libzookeeper-java`, and `pip install clickhouse-cityhash`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.erasure.stored_events import delete_stored
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import Erasure
from collector.storage.client import ClickHouse
from collector.storage.shards import Shards
from dashboard.compliance.cluster_checks import check_cluster
from tests.collector.storage.test_client import an_event
from tests.faults.server import until
from tests.real_server import CLUSTER, RealServer, free_port

SITE: Final = "site.test"
DAY: Final = datetime.date(2026, 3, 1)
VISITORS: Final = range(1, 41)
_JARS: Final = Path("/usr/share/java")
_NEEDED: Final = "zookeeper zookeeper-jute slf4j-api slf4j-nop netty-* metrics-core* snappy-java* log4j-1.2* commons-*"
_JAVA: Final = ("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_COUNT: Final = "SELECT count() FROM events WHERE visitor >= {first:UInt64} AND visitor < {end:UInt64}"

_KEPT: Final = ("old_parts_lifetime", "cleanup_delay_period", "max_cleanup_delay_period")
_PARTS: Final = """
SELECT any(data_paths)[1], (SELECT groupArray(name) FROM system.parts
                            WHERE database = currentDatabase() AND table = 'events' AND active)
FROM system.tables WHERE database = currentDatabase() AND name = 'events'"""

Row = tuple[str, object, object]
"""What was done, what has to be found on the nodes, and what was."""


@dataclass
class ReplicaServer(RealServer):
    """A server that is a replica; `zookeeper` is the port on loopback, `replicas` how many there are of each shard."""

    module: str = "bench.replica_server"
    zookeeper: int = 0
    replicas: int = 2

    def cluster(self) -> str:
        """Its part of the configuration."""
        each = [f"<replica><host>{host}</host><port>{port}</port></replica>" for host, port in self.shards]
        groups = ["".join(each[begin : begin + self.replicas]) for begin in range(0, len(each), self.replicas)]
        shards = "".join(f"<shard><internal_replication>true</internal_replication>{group}</shard>" for group in groups)
        node = f"<node><host>127.0.0.1</host><port>{self.zookeeper}</port></node>"
        # All have the same id, by which sessions of a server are told apart.
        sessions = f"<sessions_path>/sessions/{self.host}</sessions_path>"
        return (
            f"<zookeeper>{sessions}{node}</zookeeper>"
            f"<remote_servers><{CLUSTER}><secret>between the nodes</secret>{shards}</{CLUSTER}></remote_servers>"
        )


@contextlib.contextmanager
def zookeeper(directory: Path) -> Iterator[int]:
    """ZooKeeper for as long as the block lasts; yields its port."""
    port, jars = free_port(), [str(jar) for name in _NEEDED.split() for jar in sorted(_JARS.glob(f"{name}.jar"))]
    settings = {"tickTime": 500, "dataDir": directory / "data", "clientPort": port, "clientPortAddress": "127.0.0.1"}
    directory.mkdir()
    text = "".join(f"{name}={value}\n" for name, value in {**settings, "admin.enableServer": "false"}.items())
    (directory / "zoo.cfg").write_text(text)
    with (directory / "output").open("wb") as output:
        command = [*_JAVA, "-cp", ":".join(jars), "org.apache.zookeeper.server.ZooKeeperServerMain"]
        process = subprocess.Popen([*command, str(directory / "zoo.cfg")], stdout=output, stderr=output)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def replicated(directory: Path, shards: int) -> Iterator[list[ReplicaServer]]:
    """The nodes of a cluster of so many shards with two replicas, for as long as the block lasts."""
    hosts = [f"127.0.0.{number}" for number in range(1, 2 * shards + 1)]
    ports, http_port = [(host, free_port()) for host in hosts], free_port()
    with zookeeper(directory / "zookeeper") as coordination, contextlib.ExitStack() as stack:
        nodes = [
            ReplicaServer(directory / host, "none", host, ports, http_port, port, zookeeper=coordination)
            for host, port in ports
        ]
        for node in nodes:
            node.password = nodes[0].password
            stack.callback(node.kill)
            node.start()
        yield nodes


def stored_once(place: ClickHouse, shards: Shards) -> Row:
    """The same events with one token through every node."""
    events = [an_event(site=SITE, visitor=visitor) for visitor in VISITORS]
    for node in place.nodes():
        with contextlib.closing(place.on(node).client()) as client:
            ClickHouseInserter(client).insert(events, "token")
    return "the same batch through each node", len(VISITORS), sum(_left(shards, VISITORS)) // 2


def erased_without_marks(shards: Shards, victim: int, visitors: range) -> Row:
    """A replica loses its marks while the mutation waits, and is the first to go on."""
    replicas = shards.replicas[0]
    for client in replicas:
        client.command("SYSTEM STOP MERGES events")
    erased = _erased(replicas, visitors, 0.5)
    replicas[victim].command("TRUNCATE TABLE pending_erasures")
    for client in (replicas[victim], *replicas):
        client.command("SYSTEM START MERGES events")
        time.sleep(1)
    tries = 0
    while not erased and tries < 5:
        erased, tries = _erased(replicas, visitors, 20), tries + 1
    return f"an erasure, marks of replica {victim + 1} lost", [0, 0], _left(shards, visitors)


def erased_after_return(shards: Shards, node: RealServer, visitors: range) -> list[Row]:
    """A replica is killed, and started again."""
    node.kill()
    down = _erased(shards.replicas[0], visitors, 1)
    node.start()
    until("the erasure is done", lambda: _erased(shards.replicas[0], visitors, 5))
    return [
        ("an erasure with one replica killed is over", False, down),
        ("and once it is back, events of the visitor", [0, 0], _left(shards, visitors)),
    ]


def off_the_disk(shards: Shards) -> Iterator[Row]:
    """Parts that were replaced, where they are kept for a second and not for seven minutes."""
    clients = [client for replicas in shards.replicas for client in replicas]
    yield "directories of replaced parts are there at first", True, any(map(_unused, clients))
    for client in clients:
        client.command(f"ALTER TABLE events MODIFY SETTING {', '.join(f'{name} = 1' for name in _KEPT)}")
    until("they are gone", lambda: not any(map(_unused, clients)), 120)
    yield "directories of replaced parts after that", [0] * len(clients), [len(_unused(client)) for client in clients]


def _unused(client: Client) -> set[str]:
    """The directories of a node's table whose parts nobody reads any more."""
    (directory, active), *_ = client.query(_PARTS).result_rows
    return {each.name for each in Path(directory).glob("*_*_*_*")} - set(active)


def _erased(replicas: Sequence[Client], visitors: range, patience: float) -> bool:
    erasures = [Erasure(SITE, DAY, visitor, 2**31) for visitor in visitors]
    with contextlib.suppress(ClickHouseError, OSError):
        delete_stored(replicas, erasures, time.time_ns(), patience=patience)
        return True
    return False


def _left(shards: Shards, visitors: range) -> list[int]:
    given = {"first": visitors.start, "end": visitors.stop}
    every = [client for replicas in shards.replicas for client in replicas]
    return [int(client.query(_COUNT, parameters=given).result_rows[0][0]) for client in every]


def run(directory: Path, shards: int) -> Iterator[Row]:
    """Everything, on so many shards."""
    with replicated(directory, shards) as nodes:
        place = ClickHouse.at(nodes[0].dsn("tyst"), cluster=CLUSTER)
        for check in check_cluster(place):
            yield f"tyst check --cluster: {check.name}", "ok", check.state if check.state == "ok" else check.found
        place.prepare().close()
        with contextlib.closing(place.shards()) as clients:
            yield stored_once(place, clients)
            if shards == 1:
                yield erased_without_marks(clients, 1, range(1, 6))
                yield erased_without_marks(clients, 0, range(6, 11))
                yield from erased_after_return(clients, nodes[1], range(11, 16))
                yield "others on each replica", [25, 25], _left(clients, range(16, 41))
                yield from off_the_disk(clients)


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 if something was found that must not be."""
    if not list(_JARS.glob("zookeeper.jar")) or importlib.util.find_spec("clickhouse_cityhash") is None:
        print("it needs: apt-get install libzookeeper-java default-jre-headless; pip install clickhouse-cityhash")
        return 2
    parser = argparse.ArgumentParser(prog="python -m bench replicas", description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2])
    wrong = 0
    for shards in parser.parse_args(arguments).shards:
        print(f"| {shards} shards of two replicas | expected | found |\n| --- | --- | --- |")
        with tempfile.TemporaryDirectory() as directory:
            for what, expected, found in run(Path(directory), shards):
                wrong += found != expected
                print(f"| {what} | {expected} | {found} |", flush=True)
    return int(wrong > 0)
