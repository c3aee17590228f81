"""Workaround for chDB: reconnect after a failed statement, whose leftover output precedes the next result.

A statement that fails after the engine has put out some of its answer leaves that in its connection (chDB 4.4), where
it comes before the answer to the next: figures of another question, perhaps of another site. So a connection is
not used again once a statement on it has failed. A served ClickHouse keeps no such thing.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any, cast

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, ProgrammingError


def reconnect_after_error(connect: Callable[[], Client]) -> Client:
    """A client of those that `connect` opens: another one after each failure. Threads may share it."""
    return cast("Client", _Unspoilt(connect))


class _Unspoilt:
    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        self._client: Client | None = connect()
        self._lock = threading.RLock()
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            found = getattr(self._now(), name)
        return functools.partial(self._call, name) if callable(found) else found

    def close(self) -> None:
        """Close the client permanently. Idempotent."""
        with self._lock:
            self._closed = True
            if self._client is not None:
                self._client.close()

    def _now(self) -> Client:
        if self._client is None:
            if self._closed:
                raise ProgrammingError("the client is closed")
            self._client = self._connect()
        return self._client

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        # Whoever waits here for a statement that fails has its own put on the next connection.
        with self._lock:
            try:
                return getattr(self._now(), name)(*arguments, **options)
            except BaseException:
                self._renew()
                raise

    def _renew(self) -> None:
        spoilt = self._client
        if self._closed or spoilt is None:
            return
        # The engine ends with its last connection, so the next is opened before this one is closed.
        self._client = None
        with contextlib.suppress(ClickHouseError):
            self._client = self._connect()
        spoilt.close()
