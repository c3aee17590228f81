"""Putting statements to ClickHouse: clients with limits, threads that wait, and what was answered a moment ago."""

from __future__ import annotations

import asyncio
import logging
import queue
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from dashboard.exceptions import QueryError, QueryTooLarge
from dashboard.recent import Recent, Rows

log = logging.getLogger(__name__)

# Enforced by the engine on every client.
LIMITS: dict[str, Any] = {
    "max_execution_time": 20,
    "max_result_rows": 500_000,
    "result_overflow_mode": "throw",
    "max_memory_usage": 4_000_000_000,
}

Kind = Literal["heavy", "light", "reading"]

# What each kind of statement is quickest with.
SETTINGS: dict[Kind, dict[str, Any]] = {
    # Reads many events and counts them.
    "heavy": {},
    # Reads little.
    "light": {"max_threads": 1},
    # Hands rows over as they are: nothing is packed for a way within this process, and nothing is looked at twice to
    # read less of the rest, as that costs more than reading it.
    "reading": {
        "max_threads": 1,
        "optimize_move_to_prewhere": 0,
        "output_format_arrow_low_cardinality_as_dictionary": 1,
        "output_format_arrow_compression_method": "none",
        "output_format_parallel_formatting": 0,
    },
}

# ClickHouse's ErrorCodes.cpp: TOO_MANY_ROWS, TIMEOUT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES, MEMORY_LIMIT_EXCEEDED.
_TOO_LARGE = {158, 159, 396, 241}
# CANNOT_COMPILE_REGEXP, and Hyperscan's form of it.
_BAD_PATTERN = {427}

Given = Literal["again", "anew", "once"]
"""Whether an answer of a moment ago will do; or it is asked now, and given to others; or to nobody else."""

Ask = Callable[[Client, str, dict[str, Any]], Any]


def rows_of(client: Client, sql: str, parameters: dict[str, Any]) -> Rows:
    """The statement's rows, as Python's objects."""
    rows: Rows = client.query(sql, parameters=parameters).result_rows
    return rows


class Asker:
    """Asks. `connect` opens a read-only client with given settings; `readers` bound how many statements of a kind run
    at once; an answer is given again for `fresh` seconds."""

    def __init__(self, connect: Callable[[dict[str, Any]], Client], *, readers: int, fresh: float) -> None:
        self._recent = Recent(fresh)
        self._stopper = connect({})
        self._stopping = ThreadPoolExecutor(1, thread_name_prefix="store-stopper")
        self._clients: dict[Kind, queue.SimpleQueue[Client]] = {kind: queue.SimpleQueue() for kind in SETTINGS}
        for kind, clients in self._clients.items():
            for _ in range(readers):
                clients.put(connect(LIMITS | SETTINGS[kind]))
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="store")

    async def rows(
        self,
        sql: str,
        parameters: dict[str, Any],
        kind: Kind = "light",
        *,
        ask: Ask = rows_of,
        by: str = "",
        given: Given = "again",
    ) -> Any:
        """The statement's rows; with `ask` what that makes of its answer, which `by` tells from other uses of it.

        Raises `QueryError` for what the database cannot read, `QueryTooLarge` past a limit.
        """
        found = self._recent.get(sql + by, parameters) if given == "again" else None
        if found is not None:
            return found
        # By this the engine's list of running statements shows which one is ours.
        name, asked = secrets.token_hex(8), self._recent.now()
        running = self._threads.submit(self._wait, name, sql, parameters, kind, ask)
        try:
            rows = await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not running.cancel():
                self._stopping.submit(self._stop, name)
            raise
        if given != "once":
            self._recent.put(sql + by, parameters, asked, rows)
        return rows

    def now(self) -> float:
        """The moment, for `made`."""
        return self._recent.now()

    async def made(self, key: str, asked: float, make: Callable[[], Awaitable[Rows]]) -> Rows:
        """What `make` gives, or gave a moment ago, as it was `asked` at some moment; `key` tells it from all else."""
        found = self._recent.get(key, {})
        if found is not None:
            return found
        made = await make()
        self._recent.put(key, {}, asked, made)
        return made

    async def worked_out(self, work: Callable[[], Rows]) -> Rows:
        """What `work` gives, in one of the threads that wait for statements."""
        rows: Rows = await asyncio.wrap_future(self._threads.submit(work))
        return rows

    def _wait(self, name: str, sql: str, parameters: dict[str, Any], kind: Kind, ask: Ask) -> Any:
        client = self._clients[kind].get()
        try:
            return ask(client, f"WITH '{name}' AS asked_as {sql}", parameters)
        except DatabaseError as error:
            raise _told_apart(error) from error
        finally:
            self._clients[kind].put(client)

    def forget(self) -> None:
        """Events were stored: ask again. Other processes hear of them after `fresh` seconds."""
        self._recent.forget()

    def close(self) -> None:
        """Wait for what is being answered, and close the clients."""
        self._threads.shutdown()
        self._stopping.shutdown()
        self._stopper.close()
        for clients in self._clients.values():
            while not clients.empty():
                clients.get().close()

    def _stop(self, name: str) -> None:
        """End a statement that nobody waits for any more; a reader may end its own. The embedded engine may answer it
        all the same, by some of its rows: nobody may be given them."""
        try:
            self._stopper.query(_STOP, parameters={"name": name})
        except DatabaseError:
            log.exception("a statement that nobody waits for could not be ended")


_STOP = """
KILL QUERY WHERE user = currentUser() AND query LIKE concat('%', {name:String}, '%') AND query NOT LIKE 'KILL%' ASYNC"""


def _told_apart(error: DatabaseError) -> Exception:
    if error.code in _TOO_LARGE:
        return QueryTooLarge("the query takes too long or finds too much; narrow its dates or filters")
    if error.code in _BAD_PATTERN:
        return QueryError("filters", "expected regular expressions in RE2 syntax")
    return error
