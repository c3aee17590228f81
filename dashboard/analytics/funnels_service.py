"""Answers about funnels: how many units reached each step, where those who left went, and by a dimension."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dashboard.analytics.dimensions import ONLY_FILTERS, find_dimension
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import Filter, FunnelPath, FunnelWindow
from dashboard.analytics.funnels_counts import FunnelDepths, FunnelWalks, read_walks
from dashboard.analytics.goal_filters import currency_of, listed
from dashboard.analytics.period import Period
from dashboard.analytics.query import OTHER, Query, Revenue
from dashboard.analytics.result_cache import Rows
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.funnel_statements import FunnelStatements
from dashboard.analytics.sql.parameters import Statement
from dashboard.analytics.sql.statement import PreparedQuery


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
        return self.prepared.state.protection

    @property
    def _rounded(self) -> bool:
        return bool(self._protection.rounding)

    async def result(self) -> FunnelResult:
        (units, visitors, anonymous), walks = await asyncio.gather(self._totals(), self._walks())
        depths = await self._with_others(walks.depths, units, visitors)
        if self._rounded:
            # Of rounded counts no small group follows; who has reached a step with too few is as nobody.
            depths = depths.without_few(self._protection.min_visitors)
        told = depths.told(1 if self._rounded else self._protection.min_visitors)
        found = FunnelResult(
            window=self.asked.path.window,
            all=self._told(depths.reached(0), 0, told),
            steps=tuple(self._step(depths, walks, step, told) for step in range(1, depths.steps + 1)),
            hidden=not told,
            anonymous=self._anonymous(anonymous),
            min_visitors=self._protection.min_visitors,
            rounded_to=self._protection.rounding,
            events_available_from=self.prepared.events_available_from(),
            imported_days_left_out=len(self.prepared.state.imported(self.prepared.query.period)),
        )
        last = depths.steps
        revenue = self._revenue(walks) if last in told else ()
        rows = await self._breakdown() if self.asked.dimension and {1, last} <= {*told} else ()
        return replace(found, revenue=tuple(revenue), rows=tuple(rows))

    def _step(self, depths: FunnelDepths, walks: FunnelWalks, step: int, told: list[int]) -> FunnelStepCount:
        units, following = self._told(depths.reached(step), step, told), None
        if step < depths.steps:
            following = self._told(depths.reached(step + 1), step + 1, told)
        left = units - following if units is not None and following is not None else None
        after = walks.next_pages(step, self._protection.min_visitors, rounded=self._rounded) if left is not None else []
        return FunnelStepCount(
            units,
            left,
            walks.waits[step - 2] if units and step > 1 else None,
            tuple(FunnelRow(page, *self._reported(counted, 0)) for page, counted in after),
        )

    def _told(self, count: int, step: int, told: list[int]) -> int | None:
        return self._protection.count(count) if step in told else None

    def _anonymous(self, events: int) -> int | None:
        """Anonymous events; each may be another person's."""
        if 0 < events < self._protection.min_visitors and not self._rounded:
            return None
        return self._protection.count(events)

    async def _totals(self) -> tuple[int, int, int]:
        ((units, visitors, anonymous),) = await self._rows(FunnelStatements.totals)
        return units, visitors, anonymous

    async def _walks(self) -> FunnelWalks:
        """How far units came that reached the first step."""
        details = self.asked.details
        statement = partial(
            FunnelStatements.walks,
            least=self._protection.min_visitors,
            pages=details,
            revenue=details and bool(await self.stats.currencies(self.asked.site)),
        )
        return read_walks(await self._rows(statement), len(self.asked.path.steps))

    async def _with_others(self, depths: FunnelDepths, units: int, visitors: int) -> FunnelDepths:
        """The depths with the units that did not reach the first step. Whose they are is looked up only where they may
        be too few."""
        least, begun = self._protection.min_visitors, depths.reached(1)
        if visitors - begun < least and units > begun:
            ((people,),) = await self._rows(partial(FunnelStatements.others, least=least))
        else:
            people = range(-least if units > begun else 0, 0)
        return FunnelDepths((max(0, units - begun), *depths.units[1:]), (frozenset(people), *depths.people[1:]))

    def _revenue(self, walks: FunnelWalks) -> list[Revenue]:
        """What the last step brought in, in the currencies that enough visitors paid in; of a goal with a currency, in
        that one."""
        asked = currency_of((), (), self.asked.path.steps[-1])
        return [
            Revenue.of(
                each.name, self._protection.amount(each.thousandths, each.units), self._protection.count(each.units)
            )
            for each in walks.sales(self._protection.min_visitors, rounded=self._rounded)
            if asked in ("", each.name)
        ]

    async def _breakdown(self) -> list[FunnelRow]:
        dimension = find_dimension(self.asked.dimension)
        if dimension.level == "time" or dimension.name in ONLY_FILTERS:
            raise QueryError("dimension", "expected an event or visit dimension")
        dimension = listed(dimension, self.prepared.query.filters, self.prepared.state.goals)
        least = self._protection.min_visitors
        folded: tuple[str, ...] = ()
        while True:
            statement = partial(
                FunnelStatements.breakdown, dimension=dimension, least=least, folded=folded, rounded=self._rounded
            )
            rows = await self._rows(statement)
            fold = next((sizes for name, _, _, *sizes in rows if name == OTHER), ())
            further = [] if self._rounded else _joining(fold, rows, least)
            if not further:
                break
            folded += tuple(further)
        if self._rounded:
            rows = [(*row[:2], row[2] if row[3] >= least else 0) for row in rows if max(row[3:5]) >= least]
        elif _few(least, *fold):
            return []
        rows = sorted(rows, key=lambda row: row[0] == OTHER)
        return [FunnelRow(dimension.label(name), *self._reported(units, done)) for name, units, done, *_ in rows]

    def _reported(self, *counts: int) -> list[int]:
        return [*map(self._protection.count, counts)]

    async def _rows(self, statement: Callable[[FunnelStatements], str]) -> Rows:
        scope = self.prepared.scope()
        sql = statement(FunnelStatements(self.asked.path, scope, self.prepared.query.filters))
        return await self.stats.rows(
            Statement(sql, scope.parameters.values), self.asked.site, self.prepared.state.parts
        )


def _few(least: int, *sizes: int) -> bool:
    return any(0 < size < least for size in sizes)


def _joining(fold: Sequence[int], rows: Rows, least: int) -> list[str]:
    """Values to fold as well where the fold has too few who are done, or who are not: from the smallest, of equal ones
    the first by value, up to the first that has whom it lacks. A value has enough of either side or nobody: few steps
    are taken, however many there are."""
    lacking = [side for side, size in enumerate(fold) if _few(least, size)]
    found = []
    for _, name, sizes in sorted((units, name, sizes) for name, units, _, *sizes in rows if lacking and name != OTHER):
        found.append(name)
        if any(sizes[side] for side in lacking):
            break
    return found
