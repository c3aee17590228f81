"""Ask ClickHouse: the one way by which dashboard, exports and Stats API read events."""

from __future__ import annotations

import asyncio
import datetime
import logging
import queue
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.goals import Goal
from collector.rollup import WITH_PROPERTIES
from dashboard.answers import Answers, answer
from dashboard.exceptions import QueryError, QueryTooLarge
from dashboard.few import MOST_FEW, Few, Many, Reading, TooMany, few
from dashboard.filters import Filter
from dashboard.goals import patterns
from dashboard.held import Groups, Held, Place, Summed, read, together
from dashboard.period import Period
from dashboard.planner import Panel, batches
from dashboard.present import CURRENT_SECONDS, STATEMENT, Present, read_present
from dashboard.properties import keys_statement
from dashboard.protect import Protection
from dashboard.query import Checked, Query, Result, check
from dashboard.recent import Recent, Rows
from dashboard.statements import Form, Part, Statement, statement
from dashboard.sums import Closed, has_sums

log = logging.getLogger(__name__)

# Enforced by the engine on every client of a store.
LIMITS: dict[str, Any] = {
    "max_execution_time": 20,
    "max_result_rows": 500_000,
    "result_overflow_mode": "throw",
    "max_memory_usage": 4_000_000_000,
    "output_format_arrow_low_cardinality_as_dictionary": 1,
}

# ClickHouse's ErrorCodes.cpp: TOO_MANY_ROWS, TIMEOUT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES, MEMORY_LIMIT_EXCEEDED.
_TOO_LARGE = {158, 159, 396, 241}
# CANNOT_COMPILE_REGEXP, and Hyperscan's form of it.
_BAD_PATTERN = {427}


@dataclass(frozen=True, slots=True)
class _State:
    """The closed days of a site, and the state of the table of sums."""

    closed: Closed
    sums: str

    def of(self, panel: Panel) -> Closed:
        """The closed days that the panel is answered from."""
        return self.closed.within(panel.period).for_panel(panel)

    def place(self, panel: Panel) -> Place:
        """Where the panel's sums are kept."""
        return Place(panel.site, panel.period.first, self.of(panel).days, panel.dimensions, self.sums)


Ask = Callable[[Client, str, dict[str, Any]], Rows]


def _rows(client: Client, sql: str, parameters: dict[str, Any]) -> Rows:
    rows: Rows = client.query(sql, parameters=parameters).result_rows
    return rows


def _parts(closed: list[Panel], open_: list[Panel]) -> list[tuple[list[Panel], Part]]:
    """What has to be asked, and of which days."""
    asked: list[tuple[list[Panel], Part]] = [(closed, "closed"), (open_, "open")]
    return [each for each in asked if each[0]]


class Store:
    """Answers queries.

    `connect` opens a read-only client with given settings; `protection` says what a site tells of small groups, `goals`
    which it has; `readers` bound how many statements run at once; an answer is given again for `fresh` seconds; up to
    `most_few` events are counted in this process.
    """

    def __init__(
        self,
        connect: Callable[[dict[str, Any]], Client],
        *,
        protection: Callable[[str], Protection] = lambda _: Protection(),
        goals: Callable[[str], tuple[Goal, ...]] = lambda _: (),
        readers: int = 4,
        fresh: float = 0,
        most_few: int = MOST_FEW,
    ) -> None:
        self._protection = protection
        self._goals = goals
        self._recent = Recent(fresh)
        self._held = Held()
        self._many = Many()
        self._most_few = most_few
        self._stopper = connect({})
        self._stopping = ThreadPoolExecutor(1, thread_name_prefix="store-stopper")
        self._clients: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self._light: queue.SimpleQueue[Client] = queue.SimpleQueue()
        for _ in range(readers):
            self._clients.put(connect(LIMITS))
            self._light.put(connect(LIMITS | {"max_threads": 1}))
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="store")

    async def run(self, queries: Sequence[Query]) -> list[Result]:
        """Answer several queries together, in order; those over the same events share one scan.

        Raises `QueryError` for one that cannot be answered as asked, `QueryTooLarge` past a limit.
        """
        checked = [await self._checked(query) for query in queries]
        answers = Answers(self._protection)
        panels = [panel for each in checked for panel in answers.asked(each)]
        sites = sorted({query.site for query in queries})
        closed = dict(zip(sites, await asyncio.gather(*map(self._closed, sites)), strict=True))
        summed: list[Panel] = []
        others: list[Panel] = []
        for panel in panels:
            (summed if self._from_held(panel, closed[panel.site]) else others).append(panel)
        split = (self._split(batch, closed[batch[0].site], answers) for batch in batches(summed, ordered=False))
        few = (self._add_few(batch, closed[batch[0].site], answers) for batch in batches(others, ordered=False))
        left = await asyncio.gather(*split, *few)
        for batch in batches(panel for each in left for panel in each):
            await self._add(batch, closed[batch[0].site], answers)
        return [answer(each, answers) for each in checked]

    async def property_keys(self, site: str, period: Period, filters: Filter | None = None) -> list[str]:
        """Keys of the properties of the events that the filters choose, the most frequent first.

        Of a filtered view, those that fewer visitors gave than may be told apart are left out.
        """
        asked = Query(site=site, metrics=("events",), period=period, filters=filters)
        checked, protection = await self._checked(asked), self._protection(site)
        protected = filters is not None or protection.strict
        rows = await self._query(*keys_statement(checked, protection.least if protected else 1))
        return [key for (key,) in rows]

    async def current_visitors(self, site: str) -> int:
        """Visitors with any event in the last five minutes, by the database's clock."""
        rows = await self._query(_CURRENT, {"site": site, "seconds": CURRENT_SECONDS})
        return int(rows[0][0])

    async def present(self, site: str) -> Present:
        """The last half hour of the site, in one statement, by the database's clock."""
        rows = await self._query(STATEMENT, {"site": site, "seconds": CURRENT_SECONDS})
        return read_present(site, rows, self._protection(site))

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
        for clients in (self._clients, self._light):
            while not clients.empty():
                clients.get().close()

    async def _checked(self, query: Query) -> Checked:
        goals = self._goals(query.site)
        names = [goal.name for goal in goals]
        matching = {}
        for leaf in patterns(query.filters) if goals else ():
            expressions = [each if leaf.case_sensitive else f"(?i){each}" for each in leaf.values]
            rows = await self._query(_MATCHING, {"names": names, "patterns": expressions})
            matching[leaf] = frozenset(rows[0][0])
        return check(query, goals, matching)

    async def _closed(self, site: str) -> _State:
        """Read before the rest: what is closed while a question is being answered still counts as it did."""
        rows = await self._query(_CLOSED, {"site": site})
        bare = frozenset(day for day, _, form, _ in rows if form != WITH_PROPERTIES)
        return _State(Closed(tuple((day, version) for day, version, _, _ in rows), bare), rows[0][3] if rows else "")

    def _from_held(self, panel: Panel, state: _State) -> bool:
        """Whether the sums of the panel's closed days are kept, or could be."""
        if not has_sums(panel) or not state.of(panel).days:
            return False
        found = self._held.get(state.place(panel), panel.components)
        return found is None or found.groups is not None

    async def _split(self, panels: Sequence[Panel], state: _State, answers: Answers) -> list[Panel]:
        """Answer panels from the sums that are kept and the events of other days; returns those with too many groups
        for that."""
        places = {panel: state.place(panel) for panel in panels}
        wanted: dict[Place, Panel] = {}
        for panel, place in places.items():
            # The same groups in another order are asked for once.
            more = wanted[place].components if place in wanted else frozenset()
            wanted[place] = replace(panel, components=panel.components | more)
        held = {place: self._held.get(place, panel.components) for place, panel in wanted.items()}
        missing = {place: self._held.missing(place, wanted[place]) for place in wanted if held[place] is None}
        open_ = {place: panel for place, panel in wanted.items() if state.of(panel).open_ranges(panel.period)}
        asked = _parts([*missing.values()], [*open_.values()])
        opened: dict[Place, Groups | None] = {place: {} for place in wanted}
        answered = await asyncio.gather(*(self._part(each, state, part) for each, part in asked))
        for (_, part), (each, rows) in zip(asked, answered, strict=True):
            if part == "open":
                opened |= {place: groups for place, (_, groups) in zip(open_, read(each, rows), strict=True)}
                continue
            for place, (wide, groups) in zip(missing, read(each, rows), strict=True):
                found = held[place] = Summed(wide.components, groups)
                self._held.put(place, found)
        left = []
        for panel, place in places.items():
            sums, groups = held[place], opened[place]
            if sums is None or sums.groups is None or groups is None:
                left.append(panel)
            else:
                answers.put(panel, *together(panel, sums, groups))
        return left

    async def _add_few(self, panels: Sequence[Panel], state: _State, answers: Answers) -> list[Panel]:
        """Answer panels whose events are few; returns them where they are not."""
        counted = await self._counted(panels, state, "all")
        found = [*read(*counted)] if counted else []
        if not found or any(groups is None for _, groups in found):
            return [*panels]
        for panel, groups in found:
            answers.put(panel, *together(panel, Summed(panel.components, {}), groups or {}))
        return []

    async def _add(self, panels: Sequence[Panel], state: _State, answers: Answers) -> None:
        """Answer panels by one statement."""
        answers.add(*await self._ask(statement(panels, state.closed)))

    async def _part(self, panels: Sequence[Panel], state: _State, part: Part) -> tuple[Form, Rows]:
        """The rows of the panels' closed days, or of the others."""
        counted = await self._counted(panels, state, part) if part == "open" else None
        return counted or await self._ask(statement(panels, state.closed, part))

    async def _counted(self, panels: Sequence[Panel], state: _State, part: Part) -> tuple[Form, Rows] | None:
        """The panels' rows, counted here; None where there are too many events for that."""
        asked = few(panels, state.closed, part, self._most_few) if self._most_few else None
        if asked is None or any(map(self._many.known, asked.readings)):
            return None
        # The first alone: where it finds too much there is no need of the others.
        first, *others = asked.readings
        try:
            counted = [await self._count(asked, first)]
            counted += await asyncio.gather(*(self._count(asked, each) for each in others))
        except TooMany:
            return None
        return asked, asked.together(counted)

    async def _count(self, asked: Few, reading: Reading) -> Rows:
        def counted(client: Client, sql: str, parameters: dict[str, Any]) -> Rows:
            return asked.count(reading, client.query_arrow(sql, parameters=parameters))

        try:
            # The same rows may be counted by other groups.
            return await self._query(reading.sql, reading.parameters, light=False, ask=counted, by=repr(asked.panels))
        except TooMany:
            self._many.note(reading)
            raise

    async def _ask(self, asked: Statement) -> tuple[Statement, Rows]:
        return asked, await self._query(asked.sql, asked.parameters, light=asked.light)

    async def _query(
        self, sql: str, parameters: dict[str, Any], *, light: bool = True, ask: Ask = _rows, by: str = ""
    ) -> Rows:
        found = self._recent.get(sql + by, parameters)
        if found is not None:
            return found
        # By this the engine's list of running statements shows which one is ours.
        name, asked = secrets.token_hex(8), self._recent.now()
        clients = self._light if light else self._clients
        running = self._threads.submit(self._blocking, f"WITH '{name}' AS asked_as {sql}", parameters, clients, ask)
        try:
            rows = await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if not running.cancel():
                self._stopping.submit(self._stop, name)
            raise
        self._recent.put(sql + by, parameters, asked, rows)
        return rows

    def _blocking(
        self, sql: str, parameters: dict[str, Any], clients: queue.SimpleQueue[Client], ask: Ask = _rows
    ) -> Rows:
        client = clients.get()
        try:
            rows = ask(client, sql, parameters)
        except DatabaseError as error:
            raise _told_apart(error) from error
        finally:
            clients.put(client)
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

# The names of a table's parts are its state: a part never changes, and no name is given twice.
_CLOSED = """
SELECT day, version, form, (
    SELECT hex(sipHash128(arraySort(groupArray(name)))) FROM system.parts
    WHERE active AND database = currentDatabase() AND table = 'daily'
) AS state
FROM closed FINAL WHERE site = {site:String} AND NOT open ORDER BY day"""

_MATCHING = """
SELECT arrayFilter(
    each -> arrayExists(pattern -> match(each, pattern), {patterns:Array(String)}), {names:Array(String)}
)"""

_STOP = """
KILL QUERY WHERE user = currentUser() AND query LIKE concat('%', {name:String}, '%') AND query NOT LIKE 'KILL%' ASYNC"""

_FIRST = "SELECT minOrNull(day) FROM events WHERE site = {site:String}"


def _told_apart(error: DatabaseError) -> Exception:
    if error.code in _TOO_LARGE:
        return QueryTooLarge("the query takes too long or finds too much; narrow its dates or filters")
    if error.code in _BAD_PATTERN:
        return QueryError("filters", "expected regular expressions in RE2 syntax")
    return error
