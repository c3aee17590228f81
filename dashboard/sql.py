"""From the query language to ClickHouse expressions. Values are always bound; only names of our own tables are text."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from collector.patterns import expression
from dashboard.bound import Bound as Bound  # part of `Rows`
from dashboard.dimensions import Dimension, find_dimension
from dashboard.filters import All, Compare, Done, Either, Filter, Not
from dashboard.goals import any_reached, countable, names_reached
from dashboard.period import Period
from dashboard.terms import AllOf, AnyOf, AtExit, OfVisit, Opposite, Term
from dashboard.worked import among, before, joined, on_days, opposite, since

VISIT_KEY = "day, visitor, visit"
AT_PAGE = "concat(reverse(reinterpretAsFixedString(toUInt32(ts))), page)"
"""Four bytes of the time, then the page: the greatest of these is found sooner than the page of the greatest pair."""


Days = tuple[tuple[datetime.date, datetime.date], ...]


@dataclass(frozen=True, slots=True)
class Grouped:
    """How a dimension is grouped by, and how its group is shown: `{}` stands for the grouped value.

    Where a set does not group by it, a `text` is empty; what is no text is a number of days or of `seconds`.
    """

    by: str
    shown: str = "toString({})"
    text: bool = True
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """The events of a site and period, before any filter of the query; of the period's `ranges` only, when given."""

    site: str
    period: Period
    bound: Bound
    ranges: Days = ()

    @property
    def days(self) -> Days:
        """The ranges of dates, the last one included in each."""
        return self.ranges or ((self.period.first, self.period.last),)

    def where(self) -> str:
        """Site, dates and moments."""
        return " AND ".join(self.terms())

    def terms(self) -> tuple[str, ...]:
        """The same, each by itself."""
        bound, period = self.bound, self.period
        days = " OR ".join(f"day BETWEEN {bound.add(a, 'Date')} AND {bound.add(b, 'Date')}" for a, b in self.days)
        terms = [of_site(self.site, bound), on_days(f"({days})", self.days)]
        if period.start is not None:
            terms.append(since(f"toUnixTimestamp(ts) >= {bound.add(period.start, 'Int64')}", period.start))
        if period.end is not None:
            terms.append(before(f"toUnixTimestamp(ts) < {bound.add(period.end, 'Int64')}", period.end))
        return tuple(terms)

    def of_whole_days(self) -> Rows:
        """The events of all of the days that these lie on."""
        return Rows(self.site, _whole_days(self.period), self.bound, self.ranges)

    def relation(self, *, exits: bool) -> str:
        """What to select from: the events, with their visit's exit page where they are grouped by it."""
        if not exits:
            return "events"
        return f"""(
            SELECT * FROM events LEFT ANY JOIN ({self._exits()}) AS exits USING ({VISIT_KEY})
            WHERE {self.where()}
        ) AS events"""

    def _exits(self) -> str:
        """The exit pages of visits that viewed any page on their day."""
        return f"""
                SELECT {VISIT_KEY}, substring(max({AT_PAGE}), 5) AS exit_page FROM events
                WHERE {self.of_whole_days().where()} AND name = 'pageview' AND visitor != 0
                GROUP BY {VISIT_KEY}"""

    def holds(self, tree: Filter | None) -> str:
        """The filter, as an expression over one event."""
        match tree:
            case None:
                return "1"
            case Compare():
                return self._compare(tree)
            case All(parts):
                return joined("AND", [self.holds(part) for part in parts])
            case Either(parts):
                return joined("OR", [self.holds(part) for part in parts])
            case Not(part):
                return opposite(self.holds(part))
            case Done(part):
                return f"({VISIT_KEY}) IN ({self.visits_with(part)})"

    def term(self, tree: Filter | None) -> Term:
        """The filter, where this process has all rows of the visits: what it says of a row as an expression, and what
        it says of visits as what that means for their rows."""
        match tree:
            case All(parts):
                return _joined(AllOf, "AND", tuple(map(self.term, parts)))
            case Either(parts):
                return _joined(AnyOf, "OR", tuple(map(self.term, parts)))
            case Not(part):
                term = self.term(part)
                return opposite(term) if isinstance(term, str) else Opposite(term)
            case Done(part):
                return OfVisit((*self.terms(), countable(part, (), self.bound), "visitor != 0", self.term(part)))
            case Compare(dimension=name, goals=None) if name == EXIT_PAGE:
                dimension = find_dimension(name, "filters")
                return AtExit(self._of_value("page", dimension, tree), self._of_value("''", dimension, tree))
        return self.holds(tree)

    def visits_with(self, tree: Filter | None, *columns: str, dimensions: Iterable[Dimension] = ()) -> str:
        """The visits that have an event for which the filter holds, with `columns`: its values of `dimensions`."""
        selected = ", ".join((VISIT_KEY, *columns))
        counted = countable(tree, dimensions, self.bound)
        return (
            f"SELECT DISTINCT {selected} FROM events "
            f"WHERE {self.where()} AND {counted} AND visitor != 0 AND {self.holds(tree)}"
        )

    def grouped(self, dimension: Dimension, *, of_visit: bool = False) -> Grouped:
        """How to group by a dimension: of the event, or of the visit that it belongs to."""
        if dimension.level == "time":
            return self._time(dimension.column, of_visit=of_visit)
        if of_visit and dimension.entered:
            return Grouped(dimension.entered)
        return Grouped(self.value(dimension))

    def value(self, dimension: Dimension) -> str:
        """The dimension's value on one event."""
        if dimension.key:
            return f"props[{self.bound.text(dimension.key)}]"
        if dimension.goals is not None:
            return names_reached(dimension, self.bound)
        return GOAL if dimension.name == "event:goal" else dimension.column

    def _time(self, step: str, *, of_visit: bool) -> Grouped:
        if step == "day":
            return Grouped("day", text=False)
        if step == "week":
            return Grouped(f"greatest(toMonday(day), {self.bound.add(self.period.first, 'Date')})", text=False)
        if step == "month":
            return Grouped("toStartOfMonth(day)", text=False)
        seconds = 3600 if step == "hour" else 60
        begins = self.bound.add(self.period.bounds()[0], "UInt32")
        moment = f"toDateTime(greatest(visit, {begins}), 'UTC')" if of_visit else "ts"
        # By the wall clock, so that the hour that is shown twice in autumn is one group, as it is one label.
        local = f"toUnixTimestamp({moment}) + timezoneOffset(toTimeZone({moment}, {self.bound.text(self.period.zone)}))"
        shown = f"formatDateTime(toDateTime({{}} * {seconds}, 'UTC'), '%F %T')"
        return Grouped(f"intDiv({local}, {seconds})", shown, text=False, seconds=seconds)

    def _compare(self, leaf: Compare) -> str:
        if leaf.goals is not None:
            return any_reached(leaf.goals, self.bound)
        dimension = find_dimension(leaf.dimension, "filters")
        if dimension.name == EXIT_PAGE:
            return self._left_from(dimension, leaf)
        return self._of_value(self.value(dimension), dimension, leaf)

    def _left_from(self, dimension: Dimension, leaf: Compare) -> str:
        """Whether the page that the visit was left from compares. Visits that viewed none have an empty one."""
        holds = self._of_value("exit_page", dimension, leaf)
        found = f"({VISIT_KEY}) IN (SELECT {VISIT_KEY} FROM ({self._exits()}) WHERE {holds})"
        if leaf.operator == "is" and "" not in dimension.stored(leaf.values):
            return found
        none = f"({VISIT_KEY}) NOT IN (SELECT {VISIT_KEY} FROM ({self._exits()}))"
        empty = self._of_value("''", dimension, leaf)
        return f"({found} OR {empty} AND {none})"

    def _of_value(self, value: str, dimension: Dimension, leaf: Compare) -> str:
        if leaf.operator == "is":
            return self._is(value, dimension, leaf)
        if leaf.operator == "contains":
            return self._contains(value, leaf)
        case = "" if leaf.case_sensitive else "(?i)"
        return "(" + " OR ".join(f"match({value}, {self.bound.text(case + each)})" for each in leaf.values) + ")"

    def _is(self, value: str, dimension: Dimension, leaf: Compare) -> str:
        patterns = [each for each in leaf.values if dimension.name == "event:goal" and _is_page_pattern(each)]
        values = dimension.stored(tuple(each for each in leaf.values if each not in patterns))
        exact = self.bound.texts(values)
        if leaf.case_sensitive and value.isidentifier() and not patterns:
            return among(f"({value} IN {exact})", value, values)
        if leaf.case_sensitive:
            terms = [f"{value} IN {exact}"]
        else:
            terms = [f"has(arrayMap(each -> lowerUTF8(each), {exact}), lowerUTF8({value}))"]
        terms += [f"match({value}, {self.bound.text(expression(each))})" for each in patterns]
        return "(" + " OR ".join(terms) + ")"

    def _contains(self, value: str, leaf: Compare) -> str:
        if "" in leaf.values:
            return "1"
        search = "multiSearchAny" if leaf.case_sensitive else "multiSearchAnyCaseInsensitiveUTF8"
        return f"{search}({value}, {self.bound.texts(list(leaf.values))})"


# A goal is a custom event, or the view of a page.
GOAL = "if(name = 'pageview', concat('Visit ', page), toString(name))"


EXIT_PAGE, EXIT_COLUMN = "visit:exit_page", "exit_page"


def entered(tree: Filter | None) -> Filter | None:
    """What the filter says of pages, said of the page on which the visit began."""
    match tree:
        case Compare(operator, "event:page", values, case):
            return Compare(operator, "visit:entry_page", values, case)
        case Not(Compare(dimension="event:page") as leaf):
            inner = entered(leaf)
            return None if inner is None else Not(inner)
        case All(parts):
            kept = tuple(part for part in map(entered, parts) if part is not None)
            return All(kept) if kept else None
    return None


def of_site(site: str, bound: Bound) -> str:
    """That an event is the site's."""
    return f"site = {bound.text(site)}"


def _joined(kind: type[AllOf] | type[AnyOf], word: Literal["AND", "OR"], parts: tuple[Term, ...]) -> Term:
    """As one expression, where all of them are expressions."""
    texts = [part for part in parts if isinstance(part, str)]
    return joined(word, texts) if len(texts) == len(parts) else kind(parts)


def _whole_days(period: Period) -> Period:
    return Period(period.name, period.zone, period.first, period.last, period.bucket)


def _is_page_pattern(goal: str) -> bool:
    return goal.startswith("Visit ") and "*" in goal
