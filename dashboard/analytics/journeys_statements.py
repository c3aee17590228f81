"""Statements of journeys: the steps of each column, and how visits go from one column to the next.

A step is a hash, 0 beyond the end of a visit, until it is named; arrays of numbers are twice as fast as arrays of text.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dashboard.analytics.goal_filters import scrolls
from dashboard.analytics.journeys import Journey, Step
from dashboard.analytics.metrics import VISIT, VISITOR_KEY
from dashboard.analytics.prepared_query import PreparedQuery
from dashboard.analytics.sql.expressions import EventScope
from dashboard.analytics.sql.parameters import Statement

END_ID: Final = 0
OTHER_ID: Final = 1
"""Numbers of what is no step, in place of hashes."""
_SECTION: Final = r"^(/[^/]+/).*$"


def build_steps(journey: Journey, prepared: PreparedQuery) -> Statement:
    """The statement of the most visited steps of each column, and the end.

    Its rows are: column from 1, number of the step, whether it is a custom event, its name.
    """
    paths = _Paths(journey, prepared)
    return Statement(
        f"""
SELECT column, id, is_event, text
FROM (
    SELECT column, id, count() AS visits
    FROM ({paths.sql()}) ARRAY JOIN path AS id, arrayEnumerate(path) AS column
    GROUP BY column, id) AS counted
LEFT ANY JOIN ({paths.names()}) AS names USING (id)
ORDER BY column, id = {END_ID:d}, visits DESC, is_event, text
LIMIT {journey.nodes:d} BY column, id = {END_ID:d}""",
        paths.scope.parameters.values,
    )


def build_flows(journey: Journey, prepared: PreparedQuery, named: Sequence[Sequence[int]]) -> Statement:
    """The statement of how many visits go from which step of a column to which of the next. `named` are the numbers of
    the steps of each column; all others are one.

    Its rows are: column of the first step from 1, the two steps, visits, and their visitors by numbers that mean
    nothing elsewhere: all of them, or as many as the minimum of a group.
    """
    paths = _Paths(journey, prepared)
    ids = paths.scope.parameters.add([list(each) for each in named], "Array(Array(UInt64))")
    named_path = f"arrayMap((id, ids) -> if(has(ids, id), id, {OTHER_ID:d}), path, arraySlice({ids}, 1, length(path)))"
    return Statement(
        f"""
SELECT column, source, target, visits, arrayMap(key -> indexOf(every, key), keys) AS people
FROM (
    SELECT *, groupUniqArrayArray(keys) OVER () AS every
    FROM (
        SELECT column, source, target, count() AS visits,
            groupUniqArray({prepared.protection.min_visitors:d})({VISITOR_KEY}) AS keys
        FROM (SELECT day, visitor, {named_path} AS nodes FROM ({paths.sql()}))
        ARRAY JOIN arrayPopBack(nodes) AS source, arrayPopFront(nodes) AS target, range(1, length(nodes)) AS column
        GROUP BY column, source, target))""",
        paths.scope.parameters.values,
    )


@dataclass(slots=True)
class _Paths:
    """The subquery of the selected visits with their steps from the anchor on, repeats merged."""

    journey: Journey
    prepared: PreparedQuery
    scope: EventScope = field(init=False)

    def __post_init__(self) -> None:
        self.scope = self.prepared.scope()

    def sql(self) -> str:
        """Rows of a visit and its `path`: the steps from the anchor on and the end of the visit, as many as there are
        columns."""
        filters, period = self.prepared.query.filters, self.prepared.query.period
        read = [self.scope.of_days(), "visitor != 0", self.scope.of_visits(filters)]
        # A scroll that reaches a goal is no event, but may be what is filtered by.
        read += [] if scrolls(filters, ()) else ["name != 'engagement'"]
        having = [f"countIf({self.scope.selected(filters)}) > 0"] if filters or not period.whole_dates else []
        having += [self._chosen(number, step) for number, step in enumerate(self.journey.choices, start=1) if step]
        sort, first = ("arraySort", "First") if self.journey.direction == "forward" else ("arrayReverseSort", "Last")
        anchor = "notEmpty(steps)"
        if self.journey.anchor is not None:
            anchor = f"array{first}Index(id -> id = {self._number(self.journey.anchor)}, steps)"
        return f"""
        SELECT {VISIT}, arrayCompact(arrayMap(step -> toUInt64(step), {sort}({self._collected()}))) AS steps,
            {anchor} AS at, arraySlice(arrayPushBack(steps, {END_ID:d}), at, {self.journey.columns:d}) AS path
        FROM events WHERE {" AND ".join(read)}
        GROUP BY {VISIT} HAVING {" AND ".join(["at > 0", *having])}"""

    def names(self) -> str:
        """The subquery of what each number stands for."""
        return f"""
    SELECT id, is_event, toString(if(is_event, any_name, any_page)) AS text
    FROM (
        SELECT {self._id()} AS id, any(name) AS any_name, any({self._page()}) AS any_page,
            any_name != 'pageview' AS is_event
        FROM events WHERE {self.scope.of_days()} AND visitor != 0 AND name != 'engagement' GROUP BY id)"""

    def _collected(self) -> str:
        """The steps of a visit, each behind its place: one array of numbers is sorted much faster than two."""
        step = f"bitShiftLeft(toUInt128(seq), 64) + {self._id()}"
        if not self.journey.pages_only and not scrolls(self.prepared.query.filters, ()):
            return f"groupArray({step})"
        return f"groupArrayIf({step}, {self._is_step()})"

    def _chosen(self, column: int, step: Step) -> str:
        return f"(length(path) >= {column:d} AND path[{column:d}] = {self._number(step)})"

    def _is_step(self) -> str:
        if not self.journey.pages_only:
            return "name != 'engagement'"
        anchor = self.journey.anchor
        if anchor is None or anchor.kind != "event":
            return "name = 'pageview'"
        return f"(name = 'pageview' OR name = {self.scope.parameters.text(anchor.name)})"

    def _page(self) -> str:
        if self.journey.by == "page":
            return "page"
        return f"replaceRegexpOne(page, {self.scope.parameters.text(_SECTION)}, {self.scope.parameters.text(_STARRED)})"

    def _id(self) -> str:
        return f"if(name = 'pageview', sipHash64({self._page()}), sipHash64(name, 1))"

    def _number(self, step: Step) -> str:
        if step.kind == "end":
            return f"{END_ID:d}"
        name = self.scope.parameters.text(step.name)
        return f"sipHash64({name})" if step.kind == "page" else f"sipHash64({name}, 1)"


_STARRED: Final = r"\1*"
