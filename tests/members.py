"""Collectors that share a database, for tests of what waits for them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable
from pathlib import Path

from clickhouse_connect.driver.client import Client

from collector.core.app_secret import Secrets
from collector.storage.membership import Membership


def alone(client: Client) -> Membership:
    """The only collector of an embedded database."""
    directory = Path(tempfile.mkdtemp(prefix="tyst-member-"))
    return Membership(client, directory, name="", secrets=("",), held=frozenset, shared=False)


def member(
    client: Client,
    directory: Path,
    *,
    name: str = "",
    secrets: Secrets = ("the same for all",),
    held: Callable[[], frozenset[Hashable]] = frozenset,
    uncommitted: Callable[[], float] = lambda: 0.0,
    monotonic: Callable[[], float] = lambda: 0.0,
) -> Membership:
    """One of several collectors; it has joined."""
    directory.mkdir(exist_ok=True)
    joined = Membership(
        client, directory, name=name, secrets=secrets, held=held, shared=True, uncommitted=uncommitted,
        commit_seconds=0, monotonic=monotonic,
    )  # fmt: skip
    joined.join()
    return joined
