"""The part of an answer that comes from closed days: their sums in `daily`, in place of their events."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from collector.building import COLUMNS, EVENT_DIMENSIONS, EVERY_EVENT, REVENUE, VISIT_DIMENSIONS
from collector.components import COMPONENTS
from dashboard.dimensions import CURRENCY, Dimension
from dashboard.goals import summed_names
from dashboard.period import Period
from dashboard.planner import Panel
from dashboard.sql import Rows

_DAY = datetime.timedelta(days=1)
_DATES = ("day", "week", "month")


@dataclass(frozen=True, slots=True)
class Closed:
    """The closed days of a site, with the version of each that counts; `bare` ones have no sums by property."""

    days: tuple[tuple[datetime.date, int], ...]
    bare: frozenset[datetime.date] = frozenset()

    def for_panel(self, panel: Panel) -> Closed:
        """Those whose sums hold what the panel needs."""
        if not self.bare or not (_property(panel) or _by_currency(panel)):
            return self
        return Closed(tuple((day, version) for day, version in self.days if day not in self.bare))

    def within(self, period: Period) -> Closed:
        """Those of a period; none where it is a stretch of time, as sums are of whole days."""
        if period.start is not None or period.end is not None:
            return NOTHING_CLOSED
        within = tuple((day, version) for day, version in self.days if period.first <= day <= period.last)
        return Closed(within, self.bare)

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
    others = [each.name for each in panel.dimensions if each.column not in _DATES and each != CURRENCY]
    if panel.filters is not None or len(others) > 1:
        return False
    name = others[0] if others else ""
    if _by_currency(panel):
        return name == "event:goal" and _plain(panel) and panel.components <= _OF_REVENUE
    own_visits = name in ("event:hostname", "event:name", "event:goal") or _property(panel) != ""
    for component in panel.components:
        basis = COMPONENTS[component].basis
        if (basis == "reading" and name != "event:page") or (basis == "visit" and own_visits):
            return False
        if component not in COLUMNS and component != "landings":
            return False
    if panel.components & {"revenue", "sales"}:
        return False
    if name == "event:goal":
        return _plain(panel)
    return not name or name in VISIT_DIMENSIONS or name in EVENT_DIMENSIONS or _property(panel) != ""


_OF_REVENUE = {"visitors", "seen", "pageviews", "events", "revenue", "sales"}


def _plain(panel: Panel) -> bool:
    """Whether each of its goals is all events of one name."""
    return all(each.goals is None or summed_names(each) is not None for each in panel.dimensions)


def _property(panel: Panel) -> str:
    """The dimension of a property that it is by; empty when it is by none."""
    return next((each.name for each in panel.dimensions if each.key), "")


def _by_currency(panel: Panel) -> bool:
    return CURRENCY in panel.dimensions


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
        alone = [index for index in indexes if _property(self.panels[index]) or self._of_entries(index)]
        for index in alone:
            panel = self.panels[index]
            of_visits = self._of_entries(index)
            found.append(self._branch(_shape(panel), {summed(panel): index}, panel.components - of_visits))
            if of_visits:
                found.append(self._branch(_shape(panel), {"visit:entry_page": index}, of_visits))
        for shape, sharing in self._shapes([index for index in indexes if index not in alone]).items():
            wanted = {name for index in sharing for name in self.panels[index].components}
            found.append(self._branch(shape, {summed(self.panels[index]): index for index in sharing}, wanted))
        return found

    def _of_entries(self, index: int) -> frozenset[str]:
        """What a panel by page takes from the sums by entry page."""
        panel = self.panels[index]
        if summed(panel) != "event:page":
            return frozenset()
        return frozenset(name for name in panel.components if COMPONENTS[name].basis == "visit")

    def _shapes(self, indexes: Sequence[int]) -> dict[tuple[str, ...], list[int]]:
        """Panels by their form. Each form costs a scan of its own, so that what can be one form is."""
        shapes: dict[tuple[str, ...], list[int]] = {}
        for index in indexes:
            shapes.setdefault(_shape(self.panels[index]), []).append(index)
        named = {summed(self.panels[index]) for index in shapes.get(("value",), ())}
        if ("goal",) in shapes and "event:name" not in named:
            shapes[("goal",)] += shapes.pop(("value",), [])
        values = next((shape for shape in (("goal",), ("value",)) if shape in shapes), None)
        # The whole site is the one value, which is empty, of the empty dimension.
        if values and () in shapes:
            shapes[values] += shapes.pop(())
        return shapes

    def _branch(self, shape: tuple[str, ...], panels: dict[str, int], taken: Collection[str]) -> str:
        bound, period = self.rows.bound, self.rows.period
        dimensions, places = list(panels), list(panels.values())
        named_events = REVENUE if "currency" in shape else "event:name"
        names = goals_of(self.panels[panels[named_events]]) if "goal" in shape else None
        keys = [self._key(step, names, named_events) for step in shape] + ["''"] * (self.keys - len(shape))
        versions = bound.add([version for _, version in self.closed.days], "Array(UInt64)")
        source = f"""
    FROM daily
    WHERE site = {bound.text(self.rows.site)}
    AND day BETWEEN {bound.add(period.first, "Date")} AND {bound.add(period.last, "Date")}
    AND version IN {versions}"""
        where = "1"
        if "goal" in shape:
            counted = "value != 'pageview'" if names is None else f"value IN {bound.texts(list(names))}"
            where = f"(dimension != '{named_events}' OR {counted})"
        if "property" in shape:
            # On days without a row of the property's, no event had it.
            (name,) = dimensions
            own = f"dimension = {bound.text(name)}"
            where = f"({own} OR day NOT IN (SELECT day {source} AND {own}))"
            dimensions, places = [name, EVERY_EVENT], places * 2
        among = bound.texts(dimensions)
        # By date there are fewer groups than rows; else the outer query groups them soon enough.
        early = any(step in _DATES for step in shape)
        one = "toInt64(sum({}))" if early else "toInt64({})"
        sums = [
            f"{one.format('entries' if name == 'landings' else name) if name in taken else 'toInt64(0)'} AS n_{name}"
            for name in self.components
        ]
        named = [f"{key} AS k{number}" for number, key in enumerate(keys)]
        grouped = ", ".join(["dimension", *(f"k{number}" for number in range(len(shape)))])
        return f"""
    SELECT transform(dimension, {among}, {bound.add(places, "Array(UInt8)")}, toUInt8(255)) AS panel,
        {", ".join([*named, *sums])} {source} AND dimension IN {among} AND {where}
    {f"GROUP BY {grouped}" if early else ""}"""

    def _key(self, step: str, names: dict[str, str] | None, named_events: str) -> str:
        """The key of one step; `names` are the goals' by those of the events that reach them, if they have any."""
        if step == "goal" and names:
            bound = self.rows.bound
            goal = f"transform(value, {bound.texts(list(names))}, {bound.texts(list(names.values()))}, '')"
            return f"if(dimension = '{named_events}', {goal}, value)"
        if step == "currency":
            return "toString(currency)"
        if step == "day":
            return "toString(day)"
        if step == "week":
            return f"toString(greatest(toMonday(day), {self.rows.bound.add(self.rows.period.first, 'Date')}))"
        return "toString(toStartOfMonth(day))" if step == "month" else "value"


def summed(panel: Panel) -> str:
    """The dimension of `daily` that holds the panel's groups."""
    if _by_currency(panel):
        return REVENUE
    name = next((each.name for each in panel.dimensions if each.column not in _DATES), "")
    return "event:name" if name == "event:goal" else name


def goals_of(panel: Panel) -> dict[str, str] | None:
    """Names of the goals that the panel lists, by those of their events; None where these are the goals."""
    return next((summed_names(each) for each in panel.dimensions if each.goals is not None), None)


def _shape(panel: Panel) -> tuple[str, ...]:
    """What the panel's keys are, in order."""
    return tuple(map(_step, panel.dimensions))


def _step(dimension: Dimension) -> str:
    if dimension.level == "time":
        return dimension.column
    if dimension == CURRENCY:
        return "currency"
    return "property" if dimension.key else "goal" if dimension.name == "event:goal" else "value"
