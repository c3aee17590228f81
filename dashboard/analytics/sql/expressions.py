"""ClickHouse expressions of filters and dimensions. Values are bound; only names of our own tables are text."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from collector.core.timezones import zone_offsets
from collector.core.wildcards import expression
from collector.rollups.sql import PLACED_PAGE, of_last_page
from dashboard.analytics.dimensions import Dimension, find_dimension
from dashboard.analytics.filters import And, Compare, Filter, HasDone, Not, Or
from dashboard.analytics.goal_filters import any_reached, countable, names_reached
from dashboard.analytics.metrics import VISIT
from dashboard.analytics.period import Period
from dashboard.analytics.sql.funnel_units import group_sql
from dashboard.analytics.sql.journey_paths import visits_sql
from dashboard.analytics.sql.parameters import Parameters

DateRanges = tuple[tuple[datetime.date, datetime.date], ...]

VISIT_ATTRIBUTES = {
    "entry_page": "max(entry_page)",
    "exit_page": of_last_page(f"maxIf({PLACED_PAGE}, name = 'pageview')"),
    "engaged": "if(max(engaged) > 0 OR max(scroll) > 0 OR uniqExactIf(page, name = 'pageview') > 1, 'true', 'false')",
}
"""Attributes that follow from all events of a visit, as aggregates over them."""
NO_VISIT = {"entry_page": "''", "exit_page": "''", "engaged": "'false'"}


@dataclass(frozen=True, slots=True)
class EventScope:
    """The events that a statement reads: a site's, of the dates of the period or of `ranges` of these only.

    `released` is a date and a Unix second: of events of that date only earlier ones are read.
    """

    site: str
    period: Period
    parameters: Parameters
    ranges: DateRanges = ()
    parts: tuple[Dimension, ...] = ()
    released: tuple[datetime.date, int] | None = None

    def of_days(self) -> str:
        """The condition on site and dates: all events of the visits in question meet it."""
        ranges = self.ranges or ((self.period.first, self.period.last),)
        terms = [f"site = {self.parameters.text(self.site)}", f"({' OR '.join(map(self.between, ranges))})"]
        if self.released is not None:
            day, until = self.parameters.add(self.released[0], "Date"), self.parameters.add(self.released[1], "Int64")
            terms.append(f"(day < {day} OR toUnixTimestamp(ts) < {until})")
        return " AND ".join(terms)

    def of_visitors(self) -> str:
        """The same, without anonymous events and what is outside the times of the period."""
        return " AND ".join([self.of_days(), "visitor != 0", *self._moments()])

    def selecting(self, tree: Filter | None, unit: str) -> str:
        """The condition on events that their unit, such as a visit by its columns, has a selected event."""
        if tree is None or (unit == VISIT and _of_whole_visits(tree)):
            return self.filter_sql(tree)
        return f"({unit}) IN (SELECT {unit} FROM events WHERE {self.of_visitors()} AND {self.selected(tree)})"

    def selected(self, tree: Filter | None, dimensions: Sequence[Dimension] = ()) -> str:
        """The condition on an event to be selected: within the times of the period, and by every filter."""
        return " AND ".join([countable(tree, dimensions, self.parameters), *self._moments(), self.filter_sql(tree)])

    def measured(self, tree: Filter | None) -> str:
        """The condition on engagement with selected pages."""
        return " AND ".join(["name = 'engagement' AND visitor != 0", *self._moments(), self.filter_sql(tree)])

    def filter_sql(self, tree: Filter | None) -> str:
        """The filter, as a condition on one event."""
        match tree:
            case None:
                return "1"
            case Compare():
                return self._compare(tree)
            case And(parts) | Or(parts):
                return f"({(' AND ' if isinstance(tree, And) else ' OR ').join(map(self.filter_sql, parts))})"
            case Not(part):
                return f"(NOT {self.filter_sql(part)})"
            case HasDone(part):
                found = f"{countable(part, (), self.parameters)} AND {self.filter_sql(part)}"
                return f"({VISIT}) IN (SELECT {VISIT} FROM events WHERE {self.of_days()} AND visitor != 0 AND {found})"

    def entered(self, tree: Filter | None, column: str) -> str:
        """The condition that the page in `column` matches the filter's page conditions."""
        match tree:
            case Compare(dimension="event:page"):
                return self._matches(column, find_dimension("visit:entry_page"), tree)
            case Not(Compare(dimension="event:page") as leaf):
                return f"(NOT {self.entered(leaf, column)})"
            case And(parts):
                return f"({' AND '.join(self.entered(part, column) for part in parts)})"
        return "1"

    def of_visits(self, tree: Filter | None) -> str:
        """Conditions of the filter that all events of a selected visit meet, to read fewer of the others."""
        parts = tree.parts if isinstance(tree, And) else (tree,)
        terms = [self.filter_sql(part) for part in parts if _of_whole_visits(part)]
        return " AND ".join(terms) or "1"

    def visit_attributes(self, columns: Sequence[str]) -> str:
        """The subquery of every visit with attributes that follow from all its events."""
        attributes = ", ".join(f"{VISIT_ATTRIBUTES[each]} AS visit_{each}" for each in columns)
        return f"SELECT {VISIT}, {attributes} FROM events WHERE {self.of_days()} AND visitor != 0 GROUP BY {VISIT}"

    def source(self, dimensions: Sequence[Dimension]) -> str:
        """The table of events, with attributes of visits where dimensions need them."""
        if self.parts:
            return f"events ARRAY JOIN arrayConcat({', '.join(map(self._part, self.parts))}) AS each"
        columns = [each.column for each in dimensions if each.derived]
        if not columns:
            return "events"
        visits = self.visit_attributes(columns)
        return f"(SELECT * FROM events LEFT ANY JOIN ({visits}) AS visits USING ({VISIT}) WHERE {self.of_days()})"

    def _part(self, dimension: Dimension) -> str:
        """The name and value of one of several dimensions, in an array; without goals a site has its custom events."""
        name, goal = self.parameters.text(dimension.name), dimension.name == "event:goal"
        pair = f"[({name}, toString({'name' if goal else self.value(dimension)}))]"
        return f"if(name = 'pageview', [], {pair})" if goal else pair

    def key(self, dimension: Dimension, *, of_visit: bool = False) -> str:
        """The value of a dimension as text, which ClickHouse groups by as what it is made of: of an event, or of the
        beginning of its visit where it is a time of the day."""
        match dimension.column:
            case "part" | "value":
                return "each.1" if dimension.column == "part" else "each.2"
            case "day":
                return "toString(day)"
            case "week":
                return f"toString(greatest(toMonday(day), {self.parameters.add(self.period.first, 'Date')}))"
            case "month":
                return "toString(toStartOfMonth(day))"
            case "hour" | "minute":
                return self._clock_key(3600 if dimension.column == "hour" else 60, of_visit=of_visit)
        value = self.value(dimension)
        return f"toString({value if dimension.goals is None else f'arrayJoin({value})'})"

    def value(self, dimension: Dimension) -> str:
        """The value of a dimension on one event; of the site's own goals, an array."""
        if dimension.key:
            return f"props[{self.parameters.text(dimension.key)}]"
        if dimension.goals is not None:
            return names_reached(dimension, self.parameters)
        if dimension.name == "event:goal":
            return "if(name = 'pageview', concat('Visit ', page), toString(name))"
        if dimension.derived:
            return f"if(visitor = 0, {NO_VISIT[dimension.column]}, visit_{dimension.column})"
        if dimension.column == "returning":
            return self._returning()
        return "toString(datacenter)" if dimension.column == "datacenter" else dimension.column

    def between(self, dates: tuple[datetime.date, datetime.date]) -> str:
        """The condition that a day is one from the first date to the last."""
        return f"day BETWEEN {self.parameters.add(dates[0], 'Date')} AND {self.parameters.add(dates[1], 'Date')}"

    def _returning(self) -> str:
        """Whether an event is of a visitor with several visits that day."""
        several = f"""
        SELECT day, visitor FROM events WHERE {self.of_days()} AND visitor != 0 AND name != 'engagement'
        GROUP BY day, visitor HAVING min(visit) < max(visit)"""
        return f"if(visitor != 0 AND (day, visitor) IN ({several}), 'true', 'false')"

    def _moments(self) -> list[str]:
        """Conditions of a period that is no whole number of dates."""
        bounds = ((">=", self.period.start), ("<", self.period.end))
        return [
            f"toUnixTimestamp(ts) {operator} {self.parameters.add(moment, 'Int64')}"
            for operator, moment in bounds
            if moment is not None
        ]

    def _clock_key(self, seconds: int, *, of_visit: bool) -> str:
        moment = "toUnixTimestamp(ts)"
        if of_visit:
            moment = f"greatest(visit, {self.parameters.add(self.period.bounds()[0], 'UInt32')})"
        # Offsets are bound: the database may have other rules than `zoneinfo`, by which dates and labels are.
        offsets = zone_offsets(self.period.zone, *self.period.bounds())
        *found, last = (self.parameters.add(offset, "Int32") for _, offset in offsets)
        until = (self.parameters.add(begins, "Int64") for begins, _ in offsets[1:])
        terms = [f"{moment} < {before}, {offset}" for before, offset in zip(until, found, strict=True)]
        # By the wall clock, so that the hour that is shown twice in autumn is one group, as it is one label.
        offset = f"multiIf({', '.join([*terms, last])})" if terms else last
        return f"toString(toDateTime(intDiv({moment} + {offset}, {seconds}) * {seconds}, 'UTC'))"

    def _compare(self, leaf: Compare) -> str:
        if leaf.goals is not None:
            return any_reached(leaf.goals, self.parameters)
        if leaf.funnels is not None:
            return f"({' OR '.join(group_sql(each, self) for each in leaf.funnels) or '0'})"
        if leaf.journeys is not None:
            return f"({' OR '.join(visits_sql(each, self) for each in leaf.journeys)})"
        dimension = find_dimension(leaf.dimension, "filters")
        if not dimension.derived:
            return self._matches(self.value(dimension), dimension, leaf)
        column, visits = dimension.column, self.visit_attributes([dimension.column])
        matching = self._matches(f"visit_{column}", dimension, leaf)
        found = f"({VISIT}) IN (SELECT {VISIT} FROM ({visits}) WHERE {matching})"
        return f"if(visitor = 0, {self._matches(NO_VISIT[column], dimension, leaf)}, {found})"

    def _matches(self, value: str, dimension: Dimension, leaf: Compare) -> str:
        if leaf.operator == "is":
            return self._is(value, dimension, leaf)
        if leaf.operator == "contains":
            if "" in leaf.values:
                return "1"
            search = "multiSearchAny" if leaf.case_sensitive else "multiSearchAnyCaseInsensitiveUTF8"
            return f"{search}({value}, {self.parameters.texts(list(leaf.values))})"
        case = "" if leaf.case_sensitive else "(?i)"
        terms = [f"match({value}, {self.parameters.text(case + each)})" for each in leaf.values]
        return f"({' OR '.join(terms)})"

    def _is(self, value: str, dimension: Dimension, leaf: Compare) -> str:
        goal = dimension.name == "event:goal"
        patterns = [each for each in leaf.values if goal and each.startswith("Visit ") and "*" in each]
        values = dimension.stored(tuple(each for each in leaf.values if each not in patterns))
        if leaf.case_sensitive and len(values) == 1:
            terms = [f"{value} = {self.parameters.text(values[0])}"]
        elif leaf.case_sensitive:
            terms = [f"{value} IN {self.parameters.texts(values)}"] if values else []
        else:
            terms = [f"has(arrayMap(each -> lowerUTF8(each), {self.parameters.texts(values)}), lowerUTF8({value}))"]
        terms += [f"match({value}, {self.parameters.text(expression(each))})" for each in patterns]
        return f"({' OR '.join(terms)})"


def clause(words: str, terms: Sequence[str]) -> str:
    """A clause of a statement with its terms, such as `GROUP BY a, b`; without any there is none."""
    return f"{words} {', '.join(terms)}" if terms else ""


def _of_whole_visits(tree: Filter | None) -> bool:
    """Whether a filter speaks only of columns that are the same on all events of a visit."""
    match tree:
        case Compare(dimension=name):
            dimension = find_dimension(name)
            return dimension.level == "visit" and not dimension.derived
        case And(parts) | Or(parts):
            return all(map(_of_whole_visits, parts))
        case Not(part):
            return _of_whole_visits(part)
    return False
