"""The statistics service: runs queries for the dashboard, exports and the Stats API."""

from __future__ import annotations

import asyncio
import copy
import datetime
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from clickhouse_connect.driver.client import Client

from collector.core.timezones import Zone, borders
from collector.sites.goals import Goal
from dashboard.analytics.aggregation import Aggregation, ResolvedQuery, combined, resolve
from dashboard.analytics.executor import WORKERS, QueryExecutor
from dashboard.analytics.fair_queue import T, lane_of
from dashboard.analytics.filters import Compare
from dashboard.analytics.funnels import Funnel
from dashboard.analytics.funnels_filter import with_funnels
from dashboard.analytics.goal_filters import patterns
from dashboard.analytics.journeys_filter import with_journeys
from dashboard.analytics.query import Query, Result
from dashboard.analytics.result_cache import Rows
from dashboard.analytics.results import Groups, build_result, read_groups
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.parameters import Statement
from dashboard.analytics.sql.rollups import STATE_SQL, SiteState, build_pages_known, parts_sql, read_state
from dashboard.analytics.sql.statement import PreparedQuery, Released, build_breakdowns, build_series, is_combinable

MAX_STATES = 100
"""Sites whose closed days are remembered; the least recently read is forgotten first."""
MANY_ROWS = 1_000
"""What has more takes so long to be read that nothing else is to wait meanwhile."""
SETTLED_SECONDS = 60
"""After so long a minute's events have been inserted."""


class StatsService:
    """Runs queries. `connect` opens a read-only client with given settings; `protection` gives a site's protection of
    small counts, `goals` its goals, `funnels` its funnels by name; `workers` bound how many statements run at once;
    results are shared for `cache_seconds`; `clock` gives Unix seconds; `cluster` is that of the database, if any."""

    def __init__(
        self,
        connect: Callable[[dict[str, Any]], Client],
        *,
        protection: Callable[[str], Protection] = lambda _: Protection(),
        goals: Callable[[str], tuple[Goal, ...]] = lambda _: (),
        funnels: Callable[[str], Mapping[str, Funnel]] = lambda _: {},
        workers: int = WORKERS,
        cache_seconds: float = 0,
        clock: Callable[[], float] = time.time,
        cluster: str = "",
    ) -> None:
        self._parts = Statement(parts_sql(cluster))
        self.protection = protection
        self._goals = goals
        self._funnels = funnels
        self.clock = clock
        self._guest = False
        self._states: OrderedDict[str, SiteState] = OrderedDict()
        self._executor = QueryExecutor(connect, workers=workers, cache_seconds=cache_seconds)

    def as_guest(self) -> StatsService:
        """The same service for readers without an account: their open day moves in steps of new visitors, and their
        statements yield to members'."""
        found = copy.copy(self)
        found._guest = True
        return found

    async def run(self, queries: Sequence[Query]) -> list[Result]:
        """Answer several queries about one site, in order; their statements run at the same time.

        Raises `QueryError` for one that cannot be answered as asked, `QueryTooLarge` past a limit.
        """
        resolved = [await self._resolve(await self._in_steps(query)) for query in queries]
        (site,) = {query.site for query in queries}
        state = await self._state(site)
        # What a result leaves out is not in what it divides by either.
        resolved = [replace(one, left_out=state.imported_left_out(one.own())) for one in resolved]
        batches = _batches(dict.fromkeys(each for one in resolved for each in one.aggregations()))
        answers = await asyncio.gather(*(self._ask(each, state) for each in batches))

        def results() -> list[Result]:
            found = dict[Aggregation, Groups]()
            for batch, (whole, rows) in zip(batches, answers, strict=True):
                found |= read_groups(batch, whole, rows, state.protection)
            return [build_result(each, found, state) for each in resolved]

        many = sum(len(rows) for _, rows in answers) > MANY_ROWS
        return await self.computed(site, results) if many else results()

    async def prepared(self, query: Query) -> PreparedQuery:
        """What a statement of its own needs. Raises `QueryError`."""
        query = (await self._resolve(await self._in_steps(query))).query
        state, period = await self._state(query.site), query.period
        return PreparedQuery(query, state, await self.released(query.site, period.zone, period.last))

    async def computed(self, site: str, work: Callable[[], T]) -> T:
        """What `work` on rows of the site gives: what may take the processor some time, in the reader's lane."""
        return await self._executor.computed(work, lane_of(site, guest=self._guest))

    async def currencies(self, site: str) -> tuple[str, ...]:
        """The currencies in which the site has ever had revenue, as of the last query about it or of now: what a page
        need not ask for where there is none. For a guest those of closed days, as one sale may be the first in its
        currency."""
        found = (self._states.get(site) or await self._state(site)).currencies
        return tuple(currency for currency, is_closed in found.items() if is_closed or not self._guest)

    async def matching(self, site: str, patterns: Sequence[str], texts: Sequence[str]) -> frozenset[str]:
        """Those of the texts that one of the regular expressions (RE2) matches. Raises `QueryError`."""
        ((found,),) = await self.rows(Statement(_MATCHING, {"all": [*texts], "patterns": [*patterns]}), site)
        return frozenset(found)

    async def first_day(self, site: str) -> datetime.date | None:
        """The first site-local date that has had an event or was imported, or None."""
        return (await self._state(site)).first_day

    async def rows(self, statement: Statement, site: str = "", version: object = None) -> Rows:
        """The rows of a statement about a site or several, shared with others of that version of the data."""
        return await self._executor.rows(statement, version=version, lane=lane_of(site, guest=self._guest))

    def clear_cache(self) -> None:
        """Share no result of before: events were stored. Other processes notice by the newest part."""
        self._executor.clear()

    def close(self) -> None:
        """Wait for what is running, and close the clients."""
        self._executor.close()

    async def _ask(self, batch: Sequence[Aggregation], state: SiteState) -> tuple[Aggregation, Rows]:
        """The one aggregation that is asked for several, and its rows."""
        whole = combined(batch)
        if whole.by_clock and not whole.values and state.protection.covers(whole):
            who = {"people", "starters"} if whole.of_visits else {"people"}
            whole = replace(whole, components=whole.components | who)
        released = await self.released(whole.site, whole.period.zone, whole.period.last)
        statements = (build_breakdowns if whole.values else build_series)(whole, state, released)
        found = await asyncio.gather(*(self.rows(each, whole.site, state.parts) for each in statements))
        return whole, [row for rows in found for row in rows]

    async def _resolve(self, query: Query) -> ResolvedQuery:
        goals = self._goals(query.site)
        if query.filters is not None:
            filters = with_funnels(query.filters, self._funnels(query.site), goals)
            query = replace(query, filters=with_journeys(filters))
        matching: dict[Compare, Collection[str]] = {}
        for leaf in patterns(query.filters) if goals else ():
            expressions = [each if leaf.case_sensitive else f"(?i){each}" for each in leaf.values]
            matching[leaf] = await self.matching(query.site, expressions, [goal.name for goal in goals])
        return resolve(query, goals, matching)

    async def _state(self, site: str) -> SiteState:
        """The state of a site now: read before all else, so that results of before are not shared after a change."""
        ((parts,),) = await self.rows(self._parts, site, object())
        given = (parts, self._goals(site), self.protection(site))
        known = self._states.get(site)
        if known is None or (known.parts, known.goals, known.protection) != given:
            (row,) = await self.rows(Statement(STATE_SQL, {"site": site}), site, parts)
            of_pages = build_pages_known(site, row[0], given[1])
            known = read_state(given, row, await self.rows(of_pages, site, parts) if of_pages else ())
            self._states[site] = known
        self._states.move_to_end(site)
        if len(self._states) > MAX_STATES:
            self._states.popitem(last=False)
        return known

    async def released(self, site: str, zone: str, last: datetime.date = datetime.date.max) -> Released:
        """For guests, the open day and the Unix second up to which its events may be told, if it is in dates up to the
        `last`."""
        # A day stays open until its last events are stored: else these were seen to arrive after the rest, one by one.
        today = Zone(zone).date(self.clock() - SETTLED_SECONDS)
        if not self._guest or self.protection(site).min_visitors <= 1 or last < today:
            return None
        return today, await self._release_time(site, today)

    async def _in_steps(self, query: Query) -> Query:
        """For a guest, the query with an end within its last date moved to a step of that date: a comparison with as
        much of an earlier day as there is of today must not replay that day visitor by visitor."""
        period = query.period
        cut = period.start is None and period.end is not None
        if not cut or not self._guest or self.protection(query.site).min_visitors <= 1:
            return query
        begins, _ = borders(period.last, period.zone, period.former)
        step = await self._release_time(query.site, period.last, period.end)
        return replace(query, period=replace(period, end=max(step, begins)))

    async def _release_time(self, site: str, day: datetime.date, until: int | None = None) -> int:
        """The end of the day's step before the newest, as of now or of the Unix second `until`; 0 without one."""
        settled = int(self.clock()) // 60 * 60 - SETTLED_SECONDS
        settled = settled if until is None else min(settled, until)
        parameters = {"site": site, "day": day, "settled": settled, "step": self.protection(site).min_visitors}
        ((step,),) = await self.rows(Statement(_RELEASE, parameters), site)
        return int(step)


def _batches(needed: Iterable[Aggregation]) -> list[list[Aggregation]]:
    """Aggregations that are asked together: those of all time and by dates that differ only by components are asked by
    day, and breakdowns that differ only by dimensions, components, orders and limits are one."""
    found: dict[Aggregation, list[Aggregation]] = {}
    for each in needed:
        shape = each
        if is_combinable(each):
            shape = replace(each, dimensions=(), components=frozenset(), order=(), limit=0)
            same = (other for other in found.get(shape, ()) if other.dimensions == each.dimensions)
            if any(other.order != each.order for other in same):
                shape = each
        elif not each.values:
            dimensions = each.dimensions if each.by_clock else ()
            # Of hours those that visits began in are protected, where these are counted.
            components = frozenset({"visits"} if each.by_clock and each.of_visits else ())
            shape = Aggregation(each.site, each.period, each.filters, dimensions, components, left_out=each.left_out)
        found.setdefault(shape, []).append(each)
    return list(found.values())


# A step ends with a full minute by which visitors of the minimum came and did more than read on since the day before.
# Anonymous events hide none: they count until a visitor sends anything. Told is the step before the newest, so that
# what the day's end adds is of the minimum, too. All processes agree, as it follows from the stored events alone.
_RELEASE = """
SELECT arrayFold(
    (state, ends, added, same) -> if(same * state.1 + added >= {step:UInt64},
        (toUInt64(0), ends, state.2), (same * state.1 + added, state.2, state.3)),
    groupArray(ends), groupArray(if(seen = 0, anonymous, people)), groupArray(seen = 0 OR seen > sent),
    (toUInt64(0), toUInt64(0), toUInt64(0))).3
FROM (
    SELECT ends, countIf(came) AS people, countIf(visitor != 0) AS sent, sum(sent) OVER upto AS seen,
        sumIf(size, visitor = 0) AS anonymous
    FROM (
        SELECT visitor, visitor != 0 AND name != 'engagement' AS came, count() AS size,
            (intDiv(toUnixTimestamp(min(ts)), 60) + 1) * 60 AS ends FROM events
        WHERE site = {site:String} AND day = {day:Date} GROUP BY visitor, came, if(visitor = 0, toUnixTimestamp(ts), 0))
    WHERE ends <= {settled:Int64} GROUP BY ends WINDOW upto AS (ORDER BY ends) ORDER BY ends)"""

_MATCHING = """
SELECT arrayFilter(text -> arrayExists(pattern -> match(text, pattern), {patterns:Array(String)}), {all:Array(String)})
"""
