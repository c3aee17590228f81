"""Statements about a funnel: all units, how far they came, what they did next or paid, and by a dimension."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.analytics.dimensions import Dimension
from dashboard.analytics.filters import Filter, FunnelPath
from dashboard.analytics.goal_filters import listable
from dashboard.analytics.metrics import VISITOR_KEY
from dashboard.analytics.query import OTHER
from dashboard.analytics.sql.expressions import EventScope
from dashboard.analytics.sql.funnel_units import UNITS, units_sql

MOST_ROWS = 10_000
"""Rows of one breakdown."""
OTHER_ID = 1
"""In place of the hash of a page or a currency: those of few visitors."""


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

    def others(self, least: int) -> str:
        """Visitors with a unit that did not reach the first step, by the numbers that `walks` has: `least` at most."""
        first = f"{self.scope.of_visitors()} AND {self.scope.filter_sql(self.path.steps[0])}"
        return f"""
SELECT {_numbers(f"groupUniqArray({least:d})({VISITOR_KEY})")}
FROM events
WHERE {self.scope.of_visitors()} AND {self.scope.selected(self.tree)}
    AND ({self._unit}) NOT IN (SELECT {self._unit} FROM events WHERE {first})"""

    def walks(self, least: int, *, pages: bool, revenue: bool) -> str:
        """How far units came that reached the first step.

        Of each step one row that is `whole`: the units that reached it and no further, and their visitors as numbers,
        all of them or `least`. Of step 0 the median wait before each step but the first, among those who reached it.
        Besides, where wanted, rows of each step by the page of the next pageview, `` for none, and of the last step by
        currency, with its thousandths. Those of fewer than `least` visitors are one row.
        """
        later = range(2, len(self.path.steps) + 1)
        states = "".join(f", quantileExactInclusiveStateIf(0.5)(waits[{n - 1}], depth >= {n}) AS w{n}" for n in later)
        medians = ", ".join(f"quantileExactInclusiveMerge(0.5)(w{n})" for n in later)
        units = units_sql(self.path, self.scope, self.tree, pages=pages, revenue=revenue)
        texts = [*(["page"] if pages else []), *(["currency"] if revenue else [])] or ["''"]
        named = " UNION ALL ".join(
            f"SELECT DISTINCT {text} AS text FROM events WHERE {self.scope.of_days()}" for text in texts
        )
        return f"""
SELECT depth, whole, if(id = {OTHER_ID:d}, {self.scope.parameters.text(OTHER)}, text) AS name, units,
    {_numbers("some")} AS people, waits, thousandths
FROM (
    SELECT depth, id, grouping(id) > 0 AS whole, sum(counted) AS units, sum(sold) AS thousandths,
        groupUniqArrayArray({least:d})(few) AS some, [{medians}] AS waits
    FROM (
        SELECT depth, if(length(few) < {least:d}, {OTHER_ID:d}, outcome) AS id, count() AS counted, sum(paid) AS sold,
            groupUniqArray({least:d})({VISITOR_KEY}) AS few{states}
        FROM ({units})
        GROUP BY depth, outcome)
    GROUP BY GROUPING SETS ((depth, id), (depth), ())) AS steps
LEFT ANY JOIN (SELECT sipHash64(text) AS id, toString(text) AS text FROM ({named})) AS names USING (id)
WHERE whole OR {pages or revenue:d}
ORDER BY depth, whole, units DESC, name
LIMIT {MOST_ROWS} BY depth, whole"""

    def breakdown(self, least: int, folded: Sequence[str], dimension: Dimension, *, rounded: bool) -> str:
        """By each value that selected events have: units that reached the first step, those that reached all, and the
        visitors of these and of the others. Values of small groups, and the `folded` ones, are one; where counts are
        `rounded`, of those of which either side has to be large."""
        parameters, key = self.scope.parameters, f"({self._unit})"
        goals = [dimension] if dimension.name == "event:goal" else []
        selected = [self.scope.selected(self.tree, goals), *(listable(each, self.tree, parameters) for each in goals)]
        few = f"BETWEEN 1 AND {least - 1:d}"
        small = f"finalizeAggregation(doers) {few} OR finalizeAggregation(leavers) {few}"
        if rounded:
            small = f"greatest(finalizeAggregation(doers), finalizeAggregation(leavers)) < {least:d}"
        if folded:
            small += f" OR value IN {parameters.texts(list(folded))}"
        return f"""
SELECT if(small, {parameters.text(OTHER)}, value) AS name, uniqExactMerge(units), uniqExactMerge(dones),
    uniqExactMerge(doers), uniqExactMerge(leavers)
FROM (
    SELECT *, {small} AS small
    FROM (
        SELECT value, uniqExactState({key}) AS units, uniqExactStateIf({key}, done) AS dones,
            uniqExactStateIf({VISITOR_KEY}, done) AS doers, uniqExactStateIf({VISITOR_KEY}, NOT done) AS leavers
        FROM (
            SELECT value, {self._unit}, depth = {len(self.path.steps)} AS done
            FROM (
                SELECT DISTINCT {self._unit}, {self.scope.key(dimension)} AS value
                FROM {self.scope.source([dimension])}
                WHERE {self.scope.of_visitors()} AND {" AND ".join(selected)}) AS valued
            INNER JOIN ({self._units()}) AS walked USING ({self._unit}))
        GROUP BY value))
GROUP BY name
ORDER BY uniqExactMerge(units) DESC, name
LIMIT {MOST_ROWS}"""


def _numbers(visitors: str) -> str:
    """Numbers of visitors that lead back to none."""
    return f"arrayMap(key -> sipHash64(key), {visitors})"
