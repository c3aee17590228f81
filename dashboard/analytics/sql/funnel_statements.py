"""Statements about a funnel: all units, how far they came, what they did next, revenue, and by a dimension."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collector.rollups.aggregates import REVENUE
from dashboard.analytics.dimensions import Dimension
from dashboard.analytics.filters import Filter, FunnelPath
from dashboard.analytics.goal_filters import listable
from dashboard.analytics.metrics import VISITOR_KEY
from dashboard.analytics.query import OTHER
from dashboard.analytics.sql.expressions import EventScope
from dashboard.analytics.sql.funnel_units import EVENT_PLACE, UNITS, units_sql

MOST_ROWS = 10_000
"""Rows of one breakdown."""


@dataclass(frozen=True, slots=True)
class FunnelStatements:
    """The statements of one funnel, under a filter."""

    path: FunnelPath
    scope: EventScope
    tree: Filter | None

    @property
    def _unit(self) -> str:
        return UNITS[self.path.window]

    def _units(self) -> str:
        return units_sql(self.path, self.scope, self.tree)

    def totals(self) -> str:
        """All units that the filter selects, their visitors, and the anonymous events."""
        whole = self.tree is None and self.scope.period.whole_dates and self.path.window == "visit"
        units = "sum(visits)" if whole else f"uniqExactIf(({self._unit}), visitor != 0)"
        return f"""
SELECT toInt64({units}), uniqExactIf({VISITOR_KEY}, visitor != 0), countIf(visitor = 0)
FROM events WHERE {self.scope.of_days()} AND {self.scope.selected(self.tree)}"""

    def depths(self) -> str:
        """Units by how many steps they reached, from 1; visitors by the depths of their units, as bits; and the median
        wait before each step but the first, among those who reached it."""
        steps = range(1, len(self.path.steps) + 1)
        counted = ", ".join(f"countIf(depth = {step})" for step in steps)
        waited = ", ".join(f"groupArrayIf(waits[{step - 1}], depth >= {step}) AS w{step}" for step in steps[1:])
        medians = ", ".join(f"quantileExactInclusiveArray(0.5)(w{step})" for step in steps[1:])
        return f"""
SELECT sumForEach(units), sumMap(map(depths, toUInt64(1))), [{medians}]
FROM (
    SELECT [{counted}] AS units, groupBitOr(bitShiftLeft(toUInt16(1), depth)) AS depths, {waited}
    FROM ({self._units()})
    GROUP BY day, visitor)"""

    def all_depths(self) -> str:
        """Visitors by the depths of their units, as bits, those of depth 0 included."""
        return f"""
SELECT depths, count()
FROM (
    SELECT groupBitOr(bitShiftLeft(toUInt16(1), depth)) AS depths
    FROM (
        SELECT DISTINCT {self._unit} FROM events
        WHERE {self.scope.of_visitors()} AND {self.scope.selected(self.tree)}) AS every
    LEFT JOIN ({self._units()}) AS walked USING ({self._unit})
    GROUP BY day, visitor)
GROUP BY depths"""

    def revenue(self) -> str:
        """By currency, what the events by which the last step was reached have brought in, how many of them have
        revenue, and their visitors."""
        last = len(self.path.steps)
        return f"""
SELECT toString(currency), sum({REVENUE}), count(), uniqExact({VISITOR_KEY})
FROM events
WHERE {self.scope.of_visitors()} AND currency != '' AND ({self._unit}, bitShiftRight({EVENT_PLACE}, 8)) IN (
    SELECT {self._unit}, bitShiftRight(reached[{last}], 8) FROM ({self._units()}) WHERE depth = {last})
GROUP BY currency ORDER BY currency"""

    def next_pages(self, least: int, folded: Sequence[tuple[int, str]]) -> str:
        """Of those who left at a step, by the step: the page of their next pageview, `` for none."""
        later = "arrayFilter(page -> bitShiftRight(page, 72) > bitShiftRight(reached[depth], 8), pages)"
        units = units_sql(self.path, self.scope, self.tree, pages=True)
        rows = f"""
        SELECT depth AS part, text AS value, {self._unit}, toUInt8(0) AS done
        FROM (
            SELECT {self._unit}, depth, toUInt64(arrayMin({later})) AS id
            FROM ({units}) WHERE depth < {len(self.path.steps)}) AS walked
        LEFT ANY JOIN (
            SELECT sipHash64(page) AS id, toString(any(page)) AS text
            FROM events WHERE {self.scope.of_visitors()} AND name = 'pageview' GROUP BY id) AS names USING (id)"""
        return self._folded(rows, least, folded)

    def breakdown(self, least: int, folded: Sequence[tuple[int, str]], dimension: Dimension) -> str:
        """By each value that selected events have: units that reached the first step, and those that reached all."""
        goals = [dimension] if dimension.name == "event:goal" else []
        selected = " AND ".join(
            [
                self.scope.selected(self.tree, goals),
                *(listable(each, self.tree, self.scope.parameters) for each in goals),
            ]
        )
        rows = f"""
        SELECT toUInt8(0) AS part, value, {self._unit}, depth = {len(self.path.steps)} AS done
        FROM (
            SELECT DISTINCT {self._unit}, {self.scope.key(dimension).text} AS value
            FROM {self.scope.source([dimension])}
            WHERE {self.scope.of_visitors()} AND {selected}) AS valued
        INNER JOIN ({self._units()}) AS walked USING ({self._unit})"""
        return self._folded(rows, least, folded)

    def _folded(self, rows: str, least: int, folded: Sequence[tuple[int, str]]) -> str:
        """Units by part and value, those of small groups and the `folded` ones together: of each row, units, those
        that are done, and the visitors of these and of the others."""
        parameters = self.scope.parameters
        other = parameters.text(OTHER)
        few = f"BETWEEN 1 AND {least - 1:d}"
        small = f"finalizeAggregation(doers) {few} OR finalizeAggregation(leavers) {few}"
        if folded:
            parts = parameters.add([part for part, _ in folded], "Array(UInt8)")
            values = parameters.texts([value for _, value in folded])
            small += f" OR (part, value) IN (SELECT arrayJoin(arrayZip({parts}, {values})))"
        key = f"({self._unit})"
        return f"""
SELECT part, if(small, {other}, value) AS name, uniqExactMerge(units), uniqExactMerge(dones),
    uniqExactMerge(doers), uniqExactMerge(leavers)
FROM (
    SELECT *, {small} AS small
    FROM (
        SELECT part, value, uniqExactState({key}) AS units, uniqExactStateIf({key}, done) AS dones,
            uniqExactStateIf({VISITOR_KEY}, done) AS doers, uniqExactStateIf({VISITOR_KEY}, NOT done) AS leavers
        FROM ({rows})
        GROUP BY part, value))
GROUP BY part, name
ORDER BY part, uniqExactMerge(units) DESC, name
LIMIT {MOST_ROWS} BY part"""
