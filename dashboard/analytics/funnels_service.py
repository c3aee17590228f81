"""Answers about funnels: how many units reached each step, where those who left went, and by a dimension."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dashboard.analytics.dimensions import find_dimension
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import Filter, FunnelPath, FunnelWindow
from dashboard.analytics.funnels_counts import FunnelDepths
from dashboard.analytics.goal_filters import currency_of, listed
from dashboard.analytics.period import Period
from dashboard.analytics.prepared_query import PreparedQuery
from dashboard.analytics.query import OTHER, Query, Revenue
from dashboard.analytics.result_cache import Rows
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.funnel_statements import FunnelStatements
from dashboard.analytics.sql.parameters import Statement


@dataclass(frozen=True, slots=True)
class FunnelQuery:
    """A funnel over a period, under a filter. `dimension` asks for a breakdown by it; `details` for revenue, and where
    those went next who left."""

    site: str
    path: FunnelPath
    period: Period
    filters: Filter | None = None
    dimension: str = ""
    details: bool = True


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """A value's units, and those of them that are done; `value` may be `OTHER`."""

    value: str
    units: int
    done: int


@dataclass(frozen=True, slots=True)
class FunnelStepCount:
    """One step. `units` reached it, `left` of them did not reach the next; None where that may not be told. `wait` is
    the median of seconds since the step before. `after` has the pages that those who left saw next, `` for none."""

    units: int | None
    left: int | None = None
    wait: float | None = None
    after: tuple[FunnelRow, ...] = ()


@dataclass(frozen=True, slots=True)
class FunnelResult:
    """The counts of a funnel, as they may be told.

    `all` are the units that the filter selects; None, with `hidden`, where they are too few. `rows` are of those who
    reached the first step by the dimension, with those who reached the last. `anonymous` events are in no unit.
    """

    window: FunnelWindow
    all: int | None
    steps: tuple[FunnelStepCount, ...]
    hidden: bool = False
    revenue: tuple[Revenue, ...] = ()
    rows: tuple[FunnelRow, ...] = ()
    anonymous: int | None = 0
    min_visitors: int = 1
    rounded_to: int = 0
    events_available_from: str = ""
    imported_days_left_out: int = 0

    @property
    def conversion(self) -> float | None:
        """Those who reached the last step, in percent of those who reached the first."""
        return share(self.steps[-1].units, self.steps[0].units)


def share(part: int | None, whole: int | None) -> float | None:
    """A part in percent, with one decimal; None where one is not told, or of nothing."""
    return round(100 * part / whole, 1) if part is not None and whole else None


async def run_funnels(stats: StatsService, queries: Iterable[FunnelQuery]) -> list[FunnelResult]:
    """Answer several questions about funnels at the same time, in order."""
    return await asyncio.gather(*(run_funnel(stats, each) for each in queries))


async def run_funnel(stats: StatsService, asked: FunnelQuery) -> FunnelResult:
    """Answer a question about a funnel. Raises `QueryError`, `QueryTooLarge`, `QueueFull`."""
    prepared = await stats.prepared(Query(asked.site, ("visitors",), asked.period, filters=asked.filters))
    return await _Answer(stats, asked, prepared).result()


@dataclass(frozen=True, slots=True)
class _Answer:
    stats: StatsService
    asked: FunnelQuery
    prepared: PreparedQuery

    @property
    def _protection(self) -> Protection:
        return self.prepared.protection

    async def result(self) -> FunnelResult:
        (units, visitors, anonymous), (depths, waits) = await asyncio.gather(self._totals(), self._depths())
        depths = await self._with_others(depths, units, visitors)
        told = depths.told(self._protection.min_visitors)
        found = FunnelResult(
            window=self.asked.path.window,
            all=self._told(depths.reached(0), 0, told),
            steps=tuple(self._step(depths, step, told, wait) for step, wait in enumerate([None, *waits], 1)),
            hidden=not told,
            anonymous=self._anonymous(anonymous),
            min_visitors=self._protection.min_visitors,
            rounded_to=self._protection.rounding,
            events_available_from=self.prepared.events_available_from(),
            imported_days_left_out=self.prepared.imported_days(),
        )
        return await self._with_details(found, depths, told)

    async def _with_details(self, found: FunnelResult, depths: FunnelDepths, told: list[int]) -> FunnelResult:
        """The result with what may be told of revenue, next pages, and the values of the dimension."""
        last = depths.steps
        wanted = self.asked.details
        revenue, after, rows = await asyncio.gather(
            self._revenue() if wanted and last in told and depths.reached(last) else _nothing(),
            self._next_pages() if wanted and told else _nothing(),
            self._breakdown() if self.asked.dimension and {1, last} <= {*told} else _nothing(),
        )
        steps = tuple(
            replace(each, after=tuple(row for part, row in after if part == step)) if each.left is not None else each
            for step, each in enumerate(found.steps, 1)
        )
        return replace(found, revenue=tuple(revenue), steps=steps, rows=tuple(row for _, row in rows))

    def _step(self, depths: FunnelDepths, step: int, told: list[int], wait: float | None) -> FunnelStepCount:
        units, following = self._told(depths.reached(step), step, told), None
        if step < depths.steps:
            following = self._told(depths.reached(step + 1), step + 1, told)
        left = units - following if units is not None and following is not None else None
        return FunnelStepCount(units, left, wait if units else None)

    def _told(self, count: int, step: int, told: list[int]) -> int | None:
        return self._protection.reported({"units": count})["units"] if step in told else None

    def _anonymous(self, events: int) -> int | None:
        """Anonymous events; each may be another person's."""
        if 0 < events < self._protection.min_visitors:
            return None
        return self._protection.reported({"events": events})["events"]

    async def _totals(self) -> tuple[int, int, int]:
        ((units, visitors, anonymous),) = await self._rows(FunnelStatements.totals)
        return units, visitors, anonymous

    async def _depths(self) -> tuple[FunnelDepths, list[float]]:
        """How far units came that reached the first step, and their median waits; of those that did not, nothing is
        known yet."""
        ((units, visitors, waits),) = await self._rows(FunnelStatements.depths)
        return FunnelDepths((0, *(units or [0] * len(self.asked.path.steps))), visitors), waits

    async def _with_others(self, depths: FunnelDepths, units: int, visitors: int) -> FunnelDepths:
        """The depths with the units that did not reach the first step. Visitors of whom other visits did are looked up
        only where they decide whether these are enough."""
        begun = sum(depths.visitors.values())
        known = {**depths.visitors, 1: visitors - begun}
        every = FunnelDepths((max(0, units - depths.reached(1)), *depths.units[1:]), known)
        if not every.units[0] or visitors - begun >= self._protection.min_visitors or self.asked.path.window == "day":
            return every
        return replace(every, visitors=dict(await self._rows(FunnelStatements.all_depths)))  # type: ignore[arg-type]

    async def _revenue(self) -> list[Revenue]:
        """What the last step brought in, in the currencies that enough visitors paid in; of a goal with a currency, in
        that one."""
        if not await self.stats.currencies(self.asked.site):
            return []
        asked = currency_of((), (), self.asked.path.steps[-1])
        return [
            Revenue(currency, thousandths / 1000, round(thousandths / 1000 / revenue_events, 3))
            for currency, thousandths, revenue_events, buyers in await self._rows(FunnelStatements.revenue)
            if asked in ("", currency) and buyers >= self._protection.min_visitors
        ]

    async def _next_pages(self) -> list[tuple[int, FunnelRow]]:
        return await self._folded(FunnelStatements.next_pages)

    async def _breakdown(self) -> list[tuple[int, FunnelRow]]:
        dimension = find_dimension(self.asked.dimension)
        if dimension.level == "time" or dimension.column == "funnel":
            raise QueryError("dimension", "expected an event or visit dimension")
        dimension = listed(dimension, self.prepared.query.filters, self.prepared.goals)
        found = await self._folded(partial(FunnelStatements.breakdown, dimension=dimension))
        return [(part, replace(row, value=dimension.label(row.value))) for part, row in found]

    async def _folded(self, statement: Callable[..., str]) -> list[tuple[int, FunnelRow]]:
        """Rows by part, small ones folded. Where the fold is too small itself, the next smallest rows join it."""
        least = self._protection.min_visitors
        folded: tuple[tuple[int, str], ...] = ()
        while True:
            rows = await self._rows(partial(statement, least=least, folded=folded))
            few = {part: sizes for part, name, _, _, *sizes in rows if name == OTHER and _few(least, *sizes)}
            further = [each for part in sorted(few) for each in _joining(part, few[part], rows, least)]
            if not further:
                break
            folded += tuple(further)
        told = [row for row in rows if row[0] not in few]
        told.sort(key=lambda row: row[1] == OTHER)
        return [(part, FunnelRow(name, *self._reported(units, done))) for part, name, units, done, *_ in told]

    def _reported(self, *counts: int) -> list[int]:
        return [self._protection.reported({"units": count})["units"] for count in counts]

    async def _rows(self, statement: Callable[[FunnelStatements], str]) -> Rows:
        scope = self.prepared.scope()
        sql = statement(FunnelStatements(self.asked.path, scope, self.prepared.query.filters))
        return await self.stats.prepared_rows(self.prepared, Statement(sql, scope.parameters.values))


async def _nothing() -> list[Any]:
    return []


def _few(least: int, *sizes: int) -> bool:
    return any(0 < size < least for size in sizes)


def _joining(part: int, fold: Sequence[int], rows: Rows, least: int) -> list[tuple[int, str]]:
    """The rows to fold next, from the smallest, of equal ones the first by value: up to the first that has whom the
    fold has too few of. A row has enough of either side or nobody: few steps are taken, however many rows there are."""
    lacking = [side for side, size in enumerate(fold) if _few(least, size)]
    found = []
    for _, name, sizes in sorted((units, name, sizes) for own, name, units, _, *sizes in rows if own == part):
        if name != OTHER:
            found.append((part, name))
            if any(sizes[side] for side in lacking):
                break
    return found
