"""The part of an answer that comes from closed days: their sums in `daily`, in place of their events."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from collector.components import COMPONENTS
from collector.rollup import COLUMNS, EVENT_DIMENSIONS, VISIT_DIMENSIONS
from dashboard.period import Period
from dashboard.planner import Panel
from dashboard.sql import Rows

_DAY = datetime.timedelta(days=1)
_DATES = ("day", "week", "month")


@dataclass(frozen=True, slots=True)
class Closed:
    """The closed days of a site, with the version of each that counts."""

    days: tuple[tuple[datetime.date, int], ...]

    def within(self, period: Period) -> Closed:
        """Those of a period; none where it is a stretch of time, as sums are of whole days."""
        if period.start is not None or period.end is not None:
            return NOTHING_CLOSED
        return Closed(tuple((day, version) for day, version in self.days if period.first <= day <= period.last))

    def open_ranges(self, period: Period) -> tuple[tuple[datetime.date, datetime.date], ...]:
        """The period's other days, as few stretches from a first to a last date."""
        found: list[tuple[datetime.date, datetime.date]] = []
        next_open = period.first
        for day, _ in sorted(self.days):
            if next_open < day:
                found.append((next_open, day - _DAY))
            next_open = day + _DAY
        if next_open <= period.last:
            found.append((next_open, period.last))
        return tuple(found)


NOTHING_CLOSED = Closed(())


def has_sums(panel: Panel) -> bool:
    """Whether the sums of a day hold what the panel needs: no filter, one dimension besides dates."""
    others = [each.name for each in panel.dimensions if each.column not in _DATES]
    if panel.filters is not None or len(others) > 1:
        return False
    name = others[0] if others else ""
    own_visits = name in ("event:hostname", "event:name", "event:goal")
    for component in panel.components:
        basis = COMPONENTS[component].basis
        if (basis == "reading" and name != "event:page") or (basis == "visit" and own_visits):
            return False
        if component not in COLUMNS and component != "landings":
            return False
    return not name or name in VISIT_DIMENSIONS or name in EVENT_DIMENSIONS or name == "event:goal"


@dataclass(frozen=True, slots=True)
class Sums:
    """Branches that read `daily`."""

    panels: Sequence[Panel]
    rows: Rows
    closed: Closed
    components: tuple[str, ...]
    keys: int

    def branches(self, indexes: Sequence[int]) -> list[str]:
        """One SELECT for all panels of the same form; one more where visit metrics are of the entry page."""
        found = []
        for shape, sharing in self._shapes(indexes).items():
            wanted = {name for index in sharing for name in self.panels[index].components}
            found.append(self._branch(shape, {_summed(self.panels[index]): index for index in sharing}, wanted))
        for index in indexes:
            panel = self.panels[index]
            visit = {name for name in panel.components if COMPONENTS[name].basis == "visit"}
            if visit and _summed(panel) == "event:page":
                found.append(self._branch(_shape(panel), {"visit:entry_page": index}, visit))
        return found

    def _shapes(self, indexes: Sequence[int]) -> dict[tuple[str, ...], list[int]]:
        """Panels by their form. Each form costs a scan of its own, so that what can be one form is."""
        shapes: dict[tuple[str, ...], list[int]] = {}
        for index in indexes:
            shapes.setdefault(_shape(self.panels[index]), []).append(index)
        named = {_summed(self.panels[index]) for index in shapes.get(("value",), ())}
        if ("goal",) in shapes and "event:name" not in named:
            shapes[("goal",)] += shapes.pop(("value",), [])
        values = next((shape for shape in (("goal",), ("value",)) if shape in shapes), None)
        # The whole site is the one value, which is empty, of the empty dimension.
        if values and () in shapes:
            shapes[values] += shapes.pop(())
        return shapes

    def _branch(self, shape: tuple[str, ...], panels: dict[str, int], taken: Collection[str]) -> str:
        bound, period = self.rows.bound, self.rows.period
        dimensions = bound.texts(list(panels))
        places = bound.add(list(panels.values()), "Array(UInt8)")
        keys = [self._key(step) for step in shape] + ["''"] * (self.keys - len(shape))
        sums = [f"{_sum(name) if name in taken else 'toInt64(0)'} AS n_{name}" for name in self.components]
        named = [f"{key} AS k{number}" for number, key in enumerate(keys)]
        versions = bound.add([version for _, version in self.closed.days], "Array(UInt64)")
        goals = "AND NOT (dimension = 'event:name' AND value = 'pageview')" if "goal" in shape else ""
        grouped = ", ".join(["dimension", *(f"k{number}" for number in range(len(shape)))])
        return f"""
    SELECT transform(dimension, {dimensions}, {places}, toUInt8(255)) AS panel, {", ".join([*named, *sums])}
    FROM daily
    WHERE site = {bound.text(self.rows.site)} AND dimension IN {dimensions}
    AND day BETWEEN {bound.add(period.first, "Date")} AND {bound.add(period.last, "Date")}
    AND version IN {versions} {goals}
    GROUP BY {grouped}"""

    def _key(self, step: str) -> str:
        if step == "day":
            return "toString(day)"
        if step == "week":
            return f"toString(greatest(toMonday(day), {self.rows.bound.add(self.rows.period.first, 'Date')}))"
        return "toString(toStartOfMonth(day))" if step == "month" else "value"


def _summed(panel: Panel) -> str:
    """The dimension of `daily` that holds the panel's groups."""
    name = next((each.name for each in panel.dimensions if each.column not in _DATES), "")
    return "event:name" if name == "event:goal" else name


def _shape(panel: Panel) -> tuple[str, ...]:
    """What the panel's keys are, in order."""
    return tuple(
        each.column if each.level == "time" else "goal" if each.name == "event:goal" else "value"
        for each in panel.dimensions
    )


def _sum(component: str) -> str:
    return f"toInt64(sum({'entries' if component == 'landings' else component}))"
