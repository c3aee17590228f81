"""A ClickHouse server in a process of its own, on free ports of loopback, with a user of exactly the documented grants.

    python -m tests.real_server DIRECTORY HOST HTTP_PORT TCP_PORT

The engine is the library of an npm package, whose `clickhouse-local` has the server's handlers: HTTP, the native
protocol, users, backups, logs, `Distributed` tables. It has no Keeper, no `ON CLUSTER` and no queue of asynchronous
inserts.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "dashboard/frontend/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"
GRANTS = ROOT / "deploy" / "clickhouse-user.sql"
CLUSTER_GRANTS = ROOT / "deploy" / "clickhouse-cluster-user.sql"
CLUSTER = "two"
PATIENCE = 60.0  # seconds to start
TEST_DATABASES = "test_"
"""How names of the databases begin on which the user `tests` has the grants that `tyst` has on `tyst`."""

ADMINISTRATOR = "default"
LIMITED = "limited"
"""A user like `tests` that may not `CHECK`, and whose backups are slow."""
UNDELETING = "undeleting"
"""A user like `tests` that may change columns and nothing else of a table, so that it deletes no rows."""
_NONE: Mapping[str, object] = {}

# It sleeps for as long as it runs: `clickhouse-local` ends with its statements.
_SERVE = (
    "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT sleepEachRow(3) FROM system.numbers "
    "SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1, max_threads = 1, "
    "max_execution_time = 0 FORMAT Null"
)

_CONFIG = """\
<clickhouse>
    <logger><level>{level}</level>{log}</logger>
    <users_config>{directory}/users.xml</users_config>
    <backups><allowed_path>{directory}/backups</allowed_path></backups>
    <query_log><database>system</database><table>query_log</table></query_log>
    <mark_cache_size>67108864</mark_cache_size>
    <max_server_memory_usage>3000000000</max_server_memory_usage>
    {cluster}
</clickhouse>
"""

# The default user is the administrator. Current servers have asynchronous inserts on unless they are told otherwise.
# Administrators may set the others for all users, and answers must not change by them.
_USERS = """\
<clickhouse>
    <profiles>
        <default>
            <async_insert>1</async_insert><fsync_metadata>0</fsync_metadata>
            <join_use_nulls>1</join_use_nulls><group_by_use_nulls>1</group_by_use_nulls>
            <aggregate_functions_null_for_empty>1</aggregate_functions_null_for_empty>
            <timeout_overflow_mode>break</timeout_overflow_mode><result_overflow_mode>break</result_overflow_mode>
        </default>
        <slow><profile>default</profile><max_backup_bandwidth>100000</max_backup_bandwidth></slow>
    </profiles>
    <quotas><default></default></quotas>
    <users>
        <default><access_management>1</access_management><no_password/>{from_here}</default>
        <tyst><grants>{granted}</grants><password>{password}</password>{from_here}</tyst>
        <tests><grants>{granted_to_tests}</grants><password>{password}</password>{from_here}</tests>
        <limited><grants>{granted_to_limited}</grants><password>{password}</password>{slowly_from_here}</limited>
        <undeleting><grants>{granted_to_undeleting}</grants><password>{password}</password>{from_here}</undeleting>
    </users>
</clickhouse>
"""
_FROM_HERE = "<networks><ip>127.0.0.0/8</ip></networks><profile>{profile}</profile><quota>default</quota>"


@dataclass
class RealServer:
    """A running server. `log_level` is that of its own text log, `server.log`; `shards` are hosts and native ports of
    the cluster that it is in, if any, whose HTTP ports are the same."""

    directory: Path
    log_level: str = "none"
    host: str = "127.0.0.1"
    shards: Sequence[tuple[str, int]] = ()
    http_port: int = 0
    tcp_port: int = 0
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    module: str = "tests.real_server"
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, where it was started before on the ports that it had, and wait until it answers."""
        if not LIBRARY.exists():
            where = LIBRARY.relative_to(ROOT)
            raise RuntimeError(f"{where} is missing: `make unit` or `npm ci` in dashboard/frontend installs it")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.http_port, self.tcp_port = self.http_port or free_port(), self.tcp_port or free_port()
        self._configure()
        command = [sys.executable, "-m", self.module, str(self.directory)]
        address = [self.host, str(self.http_port), str(self.tcp_port)]
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen([*command, *address], cwd=ROOT, stdout=output, stderr=output)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"ClickHouse did not start: {(self.directory / 'output').read_text()[-2_000:]}")
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether `GET /ping` is answered."""
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        return False

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def dsn(self, database: str = "", *, user: str = "", port: int = 0, options: Mapping[str, object] = _NONE) -> str:
        """A DSN of Tyst's, by default with the user that has the documented grants on `database`."""
        user = user or ("tests" if database.startswith(TEST_DATABASES) or not database else "tyst")
        who = user if user == ADMINISTRATOR else f"{user}:{self.password}"
        query = f"?{urlencode(options)}" if options else ""
        return f"http://{who}@{self.host}:{port or self.http_port}/{database}{query}"

    def _configure(self) -> None:
        both = bool(self.shards)
        tests = documented_grants(f"{TEST_DATABASES}*", cluster=both)
        users = _USERS.format(
            password=self.password,
            from_here=_FROM_HERE.format(profile="default"),
            slowly_from_here=_FROM_HERE.format(profile="slow"),
            granted=_queries(documented_grants(cluster=both)),
            granted_to_tests=_queries(tests),
            granted_to_undeleting=_queries(each.replace(" ALTER,", " ALTER COLUMN,") for each in tests),
            granted_to_limited=_queries(each.replace(" CHECK,", "") for each in tests),
        )
        # The engine writes everything into a log that it is given.
        log = f"<log>{self.directory}/server.log</log>" if self.log_level == "trace" else ""
        config = _CONFIG.format(level=self.log_level, log=log, directory=self.directory, cluster=self.cluster())
        for name, text in (("users.xml", users), ("config.xml", config)):
            (self.directory / name).write_text(text)

    def cluster(self) -> str:
        """The part of the configuration that says which nodes there are."""
        node = "<shard><replica><host>{}</host><port>{}</port></replica></shard>"
        nodes = "".join(node.format(host, port) for host, port in self.shards)
        # Statements that go from node to node are those of the user who asked.
        secret = "<secret>between the nodes</secret>"
        if not nodes:
            return ""
        return f"<remote_servers><{CLUSTER}>{secret}{nodes}</{CLUSTER}></remote_servers>"


@contextlib.contextmanager
def two_shards(directory: Path) -> Iterator[tuple[RealServer, RealServer]]:
    """Two servers that are the shards of a cluster, for as long as the block lasts."""
    hosts = ("127.0.0.1", "127.0.0.2")
    http_port, password = free_port(), secrets.token_hex(8)
    # A server takes for itself whatever has an address of its machine and its own native port.
    shards = [(host, free_port()) for host in hosts]
    first, second = (
        RealServer(directory / host, "none", host, shards, http_port=http_port, tcp_port=port, password=password)
        for host, port in shards
    )
    try:
        first.start()
        second.start()
        yield first, second
    finally:
        first.kill()
        second.kill()


@contextlib.contextmanager
def real_server(directory: Path, *, log_level: str = "none") -> Iterator[RealServer]:
    """A server for as long as the block lasts."""
    server = RealServer(directory, log_level)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def documented_grants(databases: str = "tyst", *, cluster: bool = False) -> list[str]:
    """What the documentation has an administrator grant, for `databases` in the place of `tyst`."""
    documents = [GRANTS, CLUSTER_GRANTS] if cluster else [GRANTS]
    text = "".join(document.read_text() for document in documents)
    granted = re.findall(r"^(GRANT .+) TO tyst;$", text, flags=re.MULTILINE)
    # What begins like one of the databases, such as those that are restored, is among the others already.
    renamed = [re.sub(r"\btyst(_restored_\*|_scratch_\*|_local)?\.\*", f"{databases}.*", each) for each in granted]
    return granted if databases == "tyst" else renamed


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def _queries(grants: Iterable[str]) -> str:
    return "".join(f"<query>{each}</query>" for each in grants)


def main(directory: str, host: str, http_port: str, tcp_port: str) -> int:
    """Serve until the process is ended, or whoever started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    arguments = ["clickhouse", "--config-file", f"{directory}/config.xml", "--path", f"{directory}/data"]
    arguments += ["--listen_host", host, "--http_port", http_port, "--tcp_port", tcp_port, "--query", _SERVE]
    encoded = [argument.encode() for argument in arguments]
    return int(ctypes.CDLL(str(LIBRARY)).chdb_query_cmdline(len(encoded), (ctypes.c_char_p * len(encoded))(*encoded)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
