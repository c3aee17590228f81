"""Components of closed days, read from the rollup table `daily` in place of events."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass

from collector.rollups.sql import EVENT_DIMENSIONS, EVERY_EVENT, REVENUE, VISIT_DIMENSIONS
from dashboard.analytics.dimensions import PART, Dimension
from dashboard.analytics.goal_filters import rollup_names
from dashboard.analytics.period import Period
from dashboard.analytics.query import Aggregation
from dashboard.analytics.sql.components import (
    COUNTS_OF_DAYS,
    ENTRIES_OF_DAYS,
    REVENUE_OF_DAYS,
    VISITS_OF_DAYS,
    component_columns,
)
from dashboard.analytics.sql.expressions import DateRanges, EventScope, clause

_DAY = datetime.timedelta(days=1)
_LANDED = frozenset({"landings", "bounces"})
_COUNTS_AND_REVENUE = COUNTS_OF_DAYS | REVENUE_OF_DAYS


@dataclass(frozen=True, slots=True)
class RollupDays:
    """The closed days of a site with the version of each that counts. `partial` ones lack properties, `unpriced` ones
    revenue."""

    versions: tuple[tuple[datetime.date, int], ...] = ()
    partial: frozenset[datetime.date] = frozenset()
    unpriced: frozenset[datetime.date] = frozenset()

    def usable_by(self, aggregation: Aggregation) -> RollupDays:
        """Those of the period whose rollups hold what the aggregation needs."""
        if not can_use_rollups(aggregation):
            return RollupDays()
        lacking = self.partial if any(each.key for each in aggregation.dimensions) else frozenset()
        lacking |= self.unpriced if "revenue" in aggregation.components else frozenset()
        return RollupDays(
            tuple(
                (day, version)
                for day, version in self.versions
                if day not in lacking and _is_whole(day, aggregation.period)
            )
        )

    def open_ranges(self, aggregation: Aggregation) -> DateRanges:
        """The other days of the period, as ranges from a first to a last date."""
        closed = {day for day, _ in self.versions}
        found: list[tuple[datetime.date, datetime.date]] = []
        for offset in range(aggregation.period.days):
            day = aggregation.period.first + offset * _DAY
            if day not in closed:
                follows = bool(found) and found[-1][1] == day - _DAY
                found.append((found.pop()[0] if follows else day, day))
        return tuple(found)


def _is_whole(day: datetime.date, period: Period) -> bool:
    """Whether all of a date is in a period."""
    cut = (day == period.first and period.start is not None) or (day == period.last and period.end is not None)
    return period.first <= day <= period.last and not cut


def can_use_rollups(aggregation: Aggregation) -> bool:
    """Whether the rollups of a day hold what is needed: no filter, and at most one dimension besides dates."""
    values = [aggregation.dimensions[index] for index in aggregation.values]
    if aggregation.filters is not None or aggregation.by_clock or len(values) > 1:
        return False
    available = {*VISITS_OF_DAYS, "revenue"}
    if values:
        (dimension,) = values
        if dimension.level == "event":
            available = {"visitors", "pageviews", "events", "visits", "revenue"}
            available |= {"readings", "engaged", "scrolled", *_LANDED} if dimension.name == "event:page" else set()
        stored = {*VISIT_DIMENSIONS, *EVENT_DIMENSIONS}
        known = all(each.name in stored or each.key for each in aggregation.parts or (dimension,))
        goals = dimension.name == "event:goal" and (dimension.goals is None or rollup_names(dimension) is not None)
        if not (known or goals):
            return False
    return aggregation.components <= available


@dataclass(frozen=True, slots=True)
class RollupQueries:
    """The subqueries of one aggregation over closed days; columns are those of `EventQueries`."""

    aggregation: Aggregation
    scope: EventScope
    closed: RollupDays

    def subqueries(self) -> list[str]:
        """What the aggregation is the sum of."""
        dimension = self._dimension
        if dimension is None or dimension.level == "visit":
            parts = [each.name for each in self.aggregation.parts]
            return [self._read(parts or [dimension.name if dimension else ""], VISITS_OF_DAYS | REVENUE_OF_DAYS)]
        if dimension.key:
            return [self._read([dimension.name], _COUNTS_AND_REVENUE), self._without_property(dimension)]
        if dimension.name == "event:goal":
            found = [self._read(["event:name"], COUNTS_OF_DAYS)]
            return [*found, *([self._read([REVENUE], REVENUE_OF_DAYS)] if self._priced else [])]
        found = [self._read([dimension.name], _COUNTS_AND_REVENUE)]
        if self.aggregation.components & _LANDED:
            found.append(self._read(["visit:entry_page"], ENTRIES_OF_DAYS))
        return found

    @property
    def _priced(self) -> bool:
        return "revenue" in self.aggregation.components

    @property
    def _dimension(self) -> Dimension | None:
        return next((self.aggregation.dimensions[index] for index in self.aggregation.values), None)

    def _read(
        self, dimensions: list[str], sql: dict[str, str], value: str = "value", also: Collection[str] = ()
    ) -> str:
        """The rows of these dimensions of the table, added up."""
        dimension, terms = self._dimension, [*also]
        if dimension is not None and dimension.name == "event:goal":
            terms.append("value != 'pageview'")
        if dimension is not None and dimension.goals is not None:
            names = rollup_names(dimension) or {}
            events = self.scope.parameters.texts(list(names))
            terms.append(f"value IN {events}")
            value = f"transform(value, {events}, {self.scope.parameters.texts(list(names.values()))}, '')"
        keys = [
            value if each.level != "time" else "dimension" if each is PART else self.scope.key(each).text
            for each in self.aggregation.dimensions
        ]
        columns = [f"{key} AS {name}" for key, name in zip(keys, self.aggregation.keys, strict=True)]
        return f"""
    SELECT {", ".join([*columns, *component_columns(self.aggregation, sql)])}
    FROM daily
    WHERE {" AND ".join([self.days(), f"dimension IN {self.scope.parameters.texts(dimensions)}", *terms])}
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _without_property(self, dimension: Dimension) -> str:
        """The days of which no event had the property: all of their events are without it."""
        own = f"SELECT day FROM daily WHERE {self.days()} AND dimension = {self.scope.parameters.text(dimension.name)}"
        return self._read([EVERY_EVENT], _COUNTS_AND_REVENUE, "''", [f"day NOT IN ({own})"])

    def days(self) -> str:
        """The condition on rows of the closed days, in the version that counts."""
        versions = self.scope.parameters.add([version for _, version in self.closed.versions], "Array(UInt64)")
        dates = self.scope.between((self.aggregation.period.first, self.aggregation.period.last))
        return f"site = {self.scope.parameters.text(self.scope.site)} AND {dates} AND version IN {versions}"
