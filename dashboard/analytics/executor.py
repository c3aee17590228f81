"""Execution of statements: read-only clients with limits, a fair queue, and a result cache."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.core.turn_limit import TurnLimit
from dashboard.analytics.errors import classified
from dashboard.analytics.fair_queue import FairQueue, Lane, T
from dashboard.analytics.result_cache import ResultCache, Rows
from dashboard.analytics.sql.parameters import Statement

log = logging.getLogger(__name__)

WORKERS = min(4, max(2, os.cpu_count() or 2))
CACHE_SECONDS = 2.0
GUESTS_PER_TURN: Final = 2
"""Of a site, in a turn of the event loop: a thousand may wait for one statement, and each then renders its page."""
# Enforced by the engine on every client. Statements are many and short: each has one thread.
LIMITS: dict[str, Any] = {
    "max_threads": 1,
    "max_execution_time": 20,
    "max_result_rows": 500_000,
    "max_result_bytes": 64_000_000,
    "result_overflow_mode": "throw",
    "max_memory_usage": 4_000_000_000,
    # An array that a subquery counts is then a literal, which `IN` looks values up in as a set, not one by one.
    "enable_scalar_subquery_optimization": 0,
    # Or else servers up to 26.7 fail on patterns that are alternatives, one of them for what a subquery answers.
    "optimize_or_like_chain": 0,
}


class QueryExecutor:
    """Executes statements. `connect` opens a read-only client with the given settings. At most `workers` statements of
    a lane run at a time, and results are cached for `cache_seconds`."""

    def __init__(
        self, connect: Callable[[dict[str, Any]], Client], *, workers: int = WORKERS, cache_seconds: float = 0
    ) -> None:
        self._cache = ResultCache(cache_seconds)
        self._queue = FairQueue(workers)
        self._clients: queue.SimpleQueue[Client] = queue.SimpleQueue()
        for _ in range(self._queue.threads):
            self._clients.put(connect(LIMITS))
        self._guests = TurnLimit(GUESTS_PER_TURN)
        self._killer = connect({})
        self._killing = ThreadPoolExecutor(1, thread_name_prefix="analytics-kill")

    async def rows(self, statement: Statement, *, version: object = None, lane: Lane = (False, "")) -> Rows:
        """The rows of a statement. Results are cached by statement, parameters and version of the data; those of an
        immutable statement, which are the same in every version, for minutes.

        Raises `QueryError` if the database cannot parse the statement, `QueryTooLarge` beyond a limit, and `QueueFull`
        if too many statements are waiting.
        """
        # Not shared between members and guests: a member would wait in the guests' lane for a guest's statement.
        key = (lane[0], statement.sql, repr(statement.parameters), None if statement.immutable else version)
        flight = self._cache.join(key, lambda: self._begin(statement, lane), immutable=statement.immutable)
        try:
            # A statement that another reader requested first may be at the end of that reader's lane.
            self._queue.join(lane, flight.future)
            # The future is shielded, as other readers may wait for it when this one is cancelled.
            waiting = asyncio.wrap_future(flight.future)
            # Retrieve the error of a statement that nobody waits for any more, or asyncio logs it.
            waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            return await (self._guests.after(asyncio.shield(waiting), lane) if lane[0] else asyncio.shield(waiting))
        finally:
            self._cache.leave(key, flight)

    async def computed(self, work: Callable[[], T], lane: Lane = (False, "")) -> T:
        """The result of `work`, run in a thread when it is the lane's turn. Raises `QueueFull`."""
        return await asyncio.wrap_future(self._queue.submit(lane, work))

    def clear(self) -> None:
        """Clear the cache, since data has changed."""
        self._cache.clear()

    def close(self) -> None:
        """Wait for running statements, and close the clients."""
        self._queue.close()
        self._killing.shutdown()
        self._killer.close()
        while not self._clients.empty():
            self._clients.get().close()

    def _begin(self, statement: Statement, lane: Lane) -> tuple[Future[Rows], Callable[[], None]]:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("statement: %s", statement.inlined())
        # The comment identifies the statement in the engine's list of running ones.
        mark = secrets.token_hex(8)
        future = self._queue.submit(lane, lambda: self._execute(f"/* {mark} */ {statement.sql}", statement.parameters))
        return future, partial(self._cancel, mark, future)

    def _execute(self, sql: str, parameters: Mapping[str, Any]) -> Rows:
        client = self._clients.get()
        try:
            return client.query(sql, parameters=dict(parameters)).result_rows
        except DatabaseError as error:
            if found := classified(error):
                raise found from error
            raise
        finally:
            self._clients.put(client)

    def _cancel(self, mark: str, future: Future[Rows]) -> None:
        if not future.cancel():
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self._killing.submit(self._kill, mark)

    def _kill(self, mark: str) -> None:
        """Kill a statement that nobody waits for any more; the read-only user may kill its own."""
        try:
            self._killer.query(_KILL, parameters={"mark": mark})
        except DatabaseError:
            log.exception("an abandoned statement could not be ended")


_KILL = """
KILL QUERY WHERE user = currentUser() AND query LIKE concat('%', {mark:String}, '%') AND query NOT LIKE 'KILL%' ASYNC"""
