"""The subquery that walks visits: the steps of each from where a journey begins, repeats merged.

A step is a hash, 0 beyond the end of a visit; arrays of numbers are twice as fast as arrays of text.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboard.analytics.journeys import Choice, JourneyPath, OtherThan, Step
from dashboard.analytics.metrics import VISIT

if TYPE_CHECKING:
    from dashboard.analytics.sql.expressions import EventScope

END_ID: Final = 0
OTHER_ID: Final = 1
"""Numbers of what is no step, in place of hashes."""
_SECTION, _STARRED = r"(?s)^(/[^/]+/).*$", r"\1*"
_KEY = "bitXor(visitor, intHash64(visit))"
"""A number that few visits share: a set of numbers is searched faster than one of several columns."""


@dataclass(frozen=True, slots=True)
class JourneyPaths:
    """The steps of visits by a path, in statements of a scope."""

    path: JourneyPath
    scope: EventScope

    def sql(
        self, columns: int, read: Sequence[str] = (), having: Sequence[str] = (), *, engagement: bool = False
    ) -> str:
        """Rows of a visit and its `path`: the steps from the anchor on and the end of the visit, as many as there are
        columns. Of visits that meet the conditions `having`; `read` are conditions on their events, and `engagement`
        whether these may use it."""
        read = [self.scope.of_days(), "visitor != 0", *read, *self._passing()]
        read += [] if engagement else ["name != 'engagement'"]
        chosen = [self._chosen(number, each) for number, each in enumerate(self.path.choices, start=1) if each]
        sort, first = ("arraySort", "First") if self.path.direction == "forward" else ("arrayReverseSort", "Last")
        anchor = "notEmpty(steps)"
        if self.path.anchor is not None:
            anchor = f"array{first}Index(id -> id = {self._number(self.path.anchor)}, steps)"
        # Their places stand before the steps: one array of numbers is sorted much faster than two.
        step = f"bitShiftLeft(toUInt128(seq), 64) + {self.id()}"
        every = not engagement and not self.path.pages_only
        collected = f"groupArray({step})" if every else f"groupArrayIf({step}, {self._is_step()})"
        # What is chosen is a condition on a subquery's column: one on its groups is not found by shards in a filter.
        return f"""
    SELECT {VISIT}, path
    FROM (
        SELECT *, {anchor} AS at, arraySlice(arrayPushBack(steps, {END_ID:d}), at, {columns:d}) AS path
        FROM (
            SELECT {VISIT}, arrayCompact(arrayMap(step -> toUInt64(step), {sort}({collected}))) AS steps
            FROM events WHERE {" AND ".join(read)}
            GROUP BY {VISIT} HAVING {" AND ".join(having) or "1"}))
    WHERE {" AND ".join(["at > 0", *chosen])}"""

    def names(self) -> str:
        """The subquery of what each number stands for."""
        events = f"FROM events WHERE {self.scope.of_days()}"
        page = self._page()
        return f"""
    SELECT sipHash64({page}) AS id, 0 AS is_event, toString({page}) AS text FROM (SELECT DISTINCT page {events})
    UNION ALL SELECT sipHash64(name, 1), 1, toString(name) FROM (SELECT DISTINCT name {events})"""

    def id(self) -> str:
        """The number of an event's step."""
        return f"if(name = 'pageview', sipHash64({self._page()}), sipHash64(name, 1))"

    def _passing(self) -> list[str]:
        """The condition on an event that its visit, and few others, takes a step that all of them take."""
        steps = [self.path.anchor, *self.path.choices]
        step = next((each for each in steps if each and not isinstance(each, OtherThan) and each.kind != "end"), None)
        if step is None:
            return []
        name = self.scope.parameters.text(step.name)
        taken = f"name = 'pageview' AND {self._page()} = {name}" if step.kind == "page" else f"name = {name}"
        return [f"{_KEY} IN (SELECT {_KEY} FROM events WHERE {self.scope.of_days()} AND visitor != 0 AND {taken})"]

    def _chosen(self, column: int, choice: Choice) -> str:
        step = f"path[{column:d}]"
        if isinstance(choice, OtherThan):
            steps = ", ".join(map(self._number, choice.steps))
            return f"(length(path) < {column:d} OR NOT has([{steps}], {step}))"
        return f"(length(path) >= {column:d} AND {step} = {self._number(choice)})"

    def _is_step(self) -> str:
        if not self.path.pages_only:
            return "name != 'engagement'"
        anchor = self.path.anchor
        if anchor is None or anchor.kind != "event":
            return "name = 'pageview'"
        return f"(name = 'pageview' OR name = {self.scope.parameters.text(anchor.name)})"

    def _page(self) -> str:
        if self.path.by == "page":
            return "page"
        return f"replaceRegexpOne(page, {self.scope.parameters.text(_SECTION)}, {self.scope.parameters.text(_STARRED)})"

    def _number(self, step: Step) -> str:
        if step.kind == "end":
            return f"{END_ID:d}"
        name = self.scope.parameters.text(step.name)
        return f"sipHash64({name})" if step.kind == "page" else f"sipHash64({name}, 1)"


def visits_sql(path: JourneyPath, scope: EventScope) -> str:
    """The condition on an event that its visit takes the steps of a path."""
    paths = JourneyPaths(path, scope).sql(max(1, len(path.choices)))
    return f"({VISIT}) IN (SELECT {VISIT} FROM ({paths}))"
