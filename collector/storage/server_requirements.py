"""Requirements of a ClickHouse server: its version, and the grants of the user that Tyst signs in as."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable, Sequence
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.errors import ServerUnsuitable
from collector.storage.client import ClickHouse
from collector.storage.schema import quoted

APART_SECONDS: Final = 600.0
"""Clocks that are set by anything are not as far apart."""

OLDEST: Final = (25, 8)
"""The oldest version of a server that is supported."""

GRANTS: Final = (
    *(
        f"{privilege} ON {{database}}.*"
        for privilege in ("SELECT", "INSERT", "CREATE DATABASE", "CREATE TABLE", "ALTER TABLE", "DROP DATABASE")
    ),
    *(f"{privilege} ON {{database}}.*" for privilege in ("DROP TABLE", "OPTIMIZE", "TRUNCATE", "CHECK", "BACKUP")),
    "SYSTEM MERGES ON {database}.*",
    "TABLE ENGINE ON *",
    *(
        f"SELECT ON system.{table}"
        for table in ("parts", "tables", "disks", "columns", "merges", "mutations", "backups", "processes")
    ),
    "SELECT ON system.detached_parts",
    "SELECT ON system.detached_tables",
)
"""What the user must be granted to run; `deploy/clickhouse-user.sql` grants it, and what restoring needs besides."""

CLUSTER_GRANTS: Final = (
    *(
        f"{privilege} ON {{database}}.*"
        for privilege in ("SELECT", "INSERT", "CREATE DATABASE", "CREATE TABLE", "ALTER TABLE", "DROP DATABASE")
    ),
    *(f"{privilege} ON {{database}}.*" for privilege in ("DROP TABLE", "OPTIMIZE", "TRUNCATE", "CHECK")),
    "SYSTEM MERGES ON {database}.*",
    "SHOW COLUMNS ON {database}.*",
    "SELECT ON system.clusters",
    "REMOTE ON *.*",
)
"""What it must be granted besides on each node of a cluster, where `{database}` is the one that has the rows of sharded
tables; `deploy/clickhouse-cluster-user.sql` grants it."""


_NOW: Final = "SELECT toFloat64(now64(3))"


def require_suitable(clickhouse: ClickHouse, oldest: tuple[int, int] = OLDEST) -> None:
    """Raise `ServerUnsuitable` for a server that is too old, or whose user lacks a grant."""
    with contextlib.closing(clickhouse.outside()) as client:
        require_version(client, oldest)
        missing = missing_grants(client, clickhouse.database)
    if missing:
        raise ServerUnsuitable(
            f"The user of TYST_CLICKHOUSE_DSN needs more grants: {'; '.join(missing)}. See deploy/clickhouse-user.sql."
        )


def require_version(client: Client, oldest: tuple[int, int] = OLDEST) -> str:
    """The server's version. Raises `ServerUnsuitable` for one that is too old."""
    version = str(client.command("SELECT version()"))
    if version_number(version) < oldest:
        needed = ".".join(map(str, oldest))
        raise ServerUnsuitable(f"ClickHouse {version} is too old: version {needed} or later is needed.")
    return version


def require_same_clock(client: Client, clock: Callable[[], float]) -> None:
    """Raise `ServerUnsuitable` where this machine's clock, in Unix seconds, and the server's are far apart. A collector
    that is new has nothing else to tell by that its clock is wrong, and deletes what is expired and the salts of days
    that are over, of all collectors."""
    own, other = clock(), float(client.query(_NOW).result_rows[0][0])
    apart = abs(own - other)
    if apart > APART_SECONDS:
        by = f"{apart / 86_400:,.0f} days" if apart >= 2 * 86_400 else f"{apart / 3_600:,.1f} hours"
        raise ServerUnsuitable(
            f"The clocks of this machine ({_shown(own)}) and of the ClickHouse server ({_shown(other)}) are {by} "
            "apart. Set both, for example by NTP, and start again."
        )


def _shown(at: float) -> str:
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def version_number(version: str) -> tuple[int, int]:
    """The first two numbers of a version such as 25.8.1.2."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def missing_grants(client: Client, database: str, grants: Sequence[str] = GRANTS) -> list[str]:
    """Those of `grants` that the user lacks, as they are written after `GRANT`."""
    wanted = [each.format(database=quoted(database)) for each in grants]
    return [each for each in wanted if not _is_granted(client, each)]


def _is_granted(client: Client, grant: str) -> bool:
    try:
        return bool(client.query(f"CHECK GRANT {grant}").result_rows[0][0])
    except DatabaseError:
        # A version that cannot tell says so when the grant is needed.
        return True
