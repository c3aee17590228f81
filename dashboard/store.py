"""Ask ClickHouse: the one way by which dashboard, exports and Stats API read events."""

from __future__ import annotations

import asyncio
import datetime
import logging
import queue
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from dashboard.answers import Answers, answer
from dashboard.exceptions import QueryError, QueryTooLarge
from dashboard.planner import batches
from dashboard.protect import Protection
from dashboard.query import Query, Result, check
from dashboard.recent import Recent, Rows
from dashboard.statements import Statement, statement
from dashboard.sums import Closed

log = logging.getLogger(__name__)

# Enforced by the engine on every client of a store.
LIMITS: dict[str, Any] = {
    "max_execution_time": 20,
    "max_result_rows": 500_000,
    "result_overflow_mode": "throw",
    "max_memory_usage": 4_000_000_000,
}

# ClickHouse's ErrorCodes.cpp: TOO_MANY_ROWS, TIMEOUT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES, MEMORY_LIMIT_EXCEEDED.
_TOO_LARGE = {158, 159, 396, 241}
# CANNOT_COMPILE_REGEXP, and Hyperscan's form of it.
_BAD_PATTERN = {427}

CURRENT_SECONDS = 300


class Store:
    """Answers queries.

    `connect` opens a read-only client with given settings; `protection` says what a site tells of small groups;
    `readers` bound how many statements run at once; an answer is given again for `fresh` seconds.
    """

    def __init__(
        self,
        connect: Callable[[dict[str, Any]], Client],
        *,
        protection: Callable[[str], Protection] = lambda _: Protection(),
        readers: int = 4,
        fresh: float = 0,
    ) -> None:
        self._protection = protection
        self._recent = Recent(fresh)
        self._stopper = connect({})
        self._stopping = ThreadPoolExecutor(1, thread_name_prefix="store-stopper")
        self._clients: queue.SimpleQueue[Client] = queue.SimpleQueue()
        for _ in range(readers):
            self._clients.put(connect(LIMITS))
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="store")

    async def run(self, queries: Sequence[Query]) -> list[Result]:
        """Answer several queries together, in order; those over the same events share one scan.

        Raises `QueryError` for one that cannot be answered as asked, `QueryTooLarge` past a limit.
        """
        checked = [check(query) for query in queries]
        answers = Answers(self._protection)
        panels = [panel for each in checked for panel in answers.asked(each)]
        sites = sorted({query.site for query in queries})
        closed = dict(zip(sites, await asyncio.gather(*map(self._closed, sites)), strict=True))
        asked_for = (statement(batch, closed[batch[0].site]) for batch in batches(panels))
        found = await asyncio.gather(*map(self._ask, asked_for))
        for asked, rows in found:
            answers.add(asked, rows)
        return [answer(each, answers) for each in checked]

    async def current_visitors(self, site: str) -> int:
        """Visitors with any event in the last five minutes, by the database's clock."""
        rows = await self._query(_CURRENT, {"site": site, "seconds": CURRENT_SECONDS})
        return int(rows[0][0])

    async def first_day(self, site: str) -> datetime.date | None:
        """The first site-local date that has an event, or None."""
        rows = await self._query(_FIRST, {"site": site})
        found: datetime.date | None = rows[0][0]
        return found

    def forget(self) -> None:
        """Events were stored: ask again. Other processes hear of them after `fresh` seconds."""
        self._recent.forget()

    def close(self) -> None:
        """Wait for what is being answered, and close the clients."""
        self._threads.shutdown()
        self._stopping.shutdown()
        self._stopper.close()
        while not self._clients.empty():
            self._clients.get().close()

    async def _closed(self, site: str) -> Closed:
        """Read before the rest: what is closed while a question is being answered still counts as it did."""
        rows = await self._query(_CLOSED, {"site": site})
        return Closed(tuple((day, version) for day, version in rows))

    async def _ask(self, asked: Statement) -> tuple[Statement, Rows]:
        return asked, await self._query(asked.sql, asked.parameters)

    async def _query(self, sql: str, parameters: dict[str, Any]) -> Rows:
        found = self._recent.get(sql, parameters)
        if found is not None:
            return found
        # By this the engine's list of running statements shows which one is ours.
        name, asked = secrets.token_hex(8), self._recent.now()
        running = self._threads.submit(self._blocking, f"WITH '{name}' AS asked_as {sql}", parameters)
        try:
            rows = await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not running.cancel():
                self._stopping.submit(self._stop, name)
            raise
        self._recent.put(sql, parameters, asked, rows)
        return rows

    def _blocking(self, sql: str, parameters: dict[str, Any]) -> Rows:
        client = self._clients.get()
        try:
            rows: Rows = client.query(sql, parameters=parameters).result_rows
        except DatabaseError as error:
            raise _told_apart(error) from error
        finally:
            self._clients.put(client)
        return rows

    def _stop(self, name: str) -> None:
        """End a statement that nobody waits for any more; a reader may end its own."""
        try:
            self._stopper.query(_STOP, parameters={"name": name})
        except DatabaseError:
            log.exception("a statement that nobody waits for could not be ended")


_CURRENT = """
SELECT uniqExact(visitor) FROM events
WHERE site = {site:String} AND visitor != 0
AND day >= toDate(now('UTC') - {seconds:UInt32}) - 1 AND ts > now('UTC') - {seconds:UInt32}"""

_CLOSED = "SELECT day, version FROM closed FINAL WHERE site = {site:String} AND NOT open ORDER BY day"

_STOP = """
KILL QUERY WHERE user = currentUser() AND query LIKE concat('%', {name:String}, '%') AND query NOT LIKE 'KILL%' ASYNC"""

_FIRST = "SELECT minOrNull(day) FROM events WHERE site = {site:String}"


def _told_apart(error: DatabaseError) -> Exception:
    if error.code in _TOO_LARGE:
        return QueryTooLarge("the query takes too long or finds too much; narrow its dates or filters")
    if error.code in _BAD_PATTERN:
        return QueryError("filters", "expected regular expressions in RE2 syntax")
    return error
