"""Statements of aggregations: series of days or of hours, whose rows are to be added up, and breakdowns by values.

The breakdowns of a page that differ by their dimensions alone are one statement.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from dataclasses import dataclass

from dashboard.analytics.aggregation import Aggregation, OrderTerm
from dashboard.analytics.goal_filters import listable, scrolls
from dashboard.analytics.metrics import AMOUNTS, MONEY, component_names
from dashboard.analytics.query import Query
from dashboard.analytics.small_counts import SIZE, Protection, is_other, revenue_limits, withheld
from dashboard.analytics.sql.events import EventQueries
from dashboard.analytics.sql.expressions import DateRanges, EventScope, clause
from dashboard.analytics.sql.parameters import Parameters, Statement
from dashboard.analytics.sql.rollups import RollupQueries, SiteState, can_use_rollups

Released = tuple[datetime.date, int] | None
"""A date, and the Unix second that its events are read up to."""


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A resolved query, with the site's state, and for guests what is released."""

    query: Query
    state: SiteState
    released: Released

    def scope(self) -> EventScope:
        """The events that it reads, with parameters of its own."""
        return EventScope(self.query.site, self.query.period, Parameters(), released=self.released)

    def events_available_from(self) -> str:
        """The first date that still has events, where an earlier one of the range had some; else empty."""
        return self.state.events_of(self.state.within(self.query.period).values())


def build_series(aggregation: Aggregation, state: SiteState, released: Released) -> list[Statement]:
    """The statements whose rows add up to an aggregation without values: one key a dimension, and the components.
    Closed days are apart, as new events do not change them."""
    usable, found = state.usable_by(aggregation), []
    if usable:
        scope = _scope(aggregation)
        (sql,) = RollupQueries(aggregation, scope, usable.values()).subqueries()
        found.append(Statement(sql.strip(), scope.parameters.values, immutable=True))
    if ranges := aggregation.period.ranges(usable):
        scope = _scope(aggregation, ranges, released)
        sql = " UNION ALL ".join(EventQueries(aggregation, scope, state.protection.min_visitors).subqueries())
        found.append(Statement(sql.strip(), scope.parameters.values))
    return found


def build_breakdowns(aggregation: Aggregation, state: SiteState, released: Released) -> list[Statement]:
    """The statement of a breakdown by values. Its rows are one key a dimension, the components, the limits of revenue,
    whether the group may be shown, and how many may be."""
    protection, protected = state.protection, state.protection.covers(aggregation)
    # Rollups have no visitors to fold small groups by.
    usable = {} if protected else state.usable_by(aggregation)
    ranges = aggregation.period.ranges(usable)
    scope = _scope(aggregation, ranges, released)
    rounded = bool(protection.rounding)
    of_events = EventQueries(aggregation, scope, protection.min_visitors if protected else 0, rounded=rounded)
    subqueries = RollupQueries(aggregation, scope, usable.values()).subqueries() if usable else []
    subqueries += of_events.subqueries() if ranges else []
    summed = len(subqueries) > 1
    sums = [
        f"{'sumMap' if name in MONEY else 'sum'}(n_{name}) AS c_{name}" if summed else f"n_{name} AS c_{name}"
        for name in component_names(aggregation.components)
    ]
    limits, shown = [], "1"
    if protected:
        shown = f"NOT ({withheld(aggregation, protection.min_visitors, rounded=rounded)})"
        limits = [] if rounded else revenue_limits(aggregation, protection.min_visitors)
    # By hours and minutes a visit counts where it began, seen there or not.
    began = aggregation.by_clock and "visits" in aggregation.components
    grouped = f"{clause('GROUP BY', aggregation.keys)} HAVING" if summed else "WHERE"
    groups = f"""
SELECT {", ".join([*aggregation.keys, *sums, *limits, f"{shown} AS shown"])}
FROM ({" UNION ALL ".join(subqueries)})
{grouped} {"(c_events > 0 OR c_visits > 0)" if began else "c_events > 0"}"""
    if protection.strict and not protected:
        # They cannot be folded, as rollups have no visitors to tell apart.
        groups += f" AND {SIZE} >= {protection.min_visitors:d}"
    # What is shown may follow from all groups, and window functions cannot be within each other.
    total = "countIf(shown) OVER ()" if aggregation.total_rows else "0"
    sql = f"""
{f"WITH ({of_events.told()}) AS told" if of_events.needs_told else ""}
SELECT *, {total} AS total FROM ({groups})
ORDER BY {", ".join(_order(aggregation, protection))}
LIMIT {aggregation.limit:d} {"BY k0" if aggregation.parts else f"OFFSET {aggregation.offset:d}"}"""
    return [Statement(sql.strip(), scope.parameters.values, immutable=not ranges)]


def _scope(aggregation: Aggregation, ranges: DateRanges = (), released: Released = None) -> EventScope:
    parts = tuple(each.dimensions[0] for each in aggregation.parts)
    return EventScope(aggregation.site, aggregation.period, Parameters(), ranges, parts, released)


def _order(aggregation: Aggregation, protection: Protection) -> list[str]:
    """The terms of the order: groups that are folded come last. Of several breakdowns each has an order of its own."""
    terms = [is_other(aggregation)] if protection.covers(aggregation) else []
    rounding, least = protection.rounding, protection.least_divisor(aggregation)
    orders = [each.order for each in aggregation.parts] or [aggregation.order]
    for same in zip(*orders, strict=True):
        first, *others = (_term(term, rounding, least, 1 if aggregation.parts else term.key) for term in same)
        names = (part.dimensions[0].name for part in aggregation.parts[1:])
        cases = [f"k0 = '{name}', {each}" for name, each in zip(names, others, strict=True) if each != first]
        ordered = f"multiIf({', '.join([*cases, first])})" if cases else first
        terms.append(f"{ordered} {'DESC' if same[0].descending else 'ASC'} NULLS LAST")
    return [*terms, *aggregation.keys]


def _term(term: OrderTerm, rounding: int, least: int, key: int) -> str:
    """The expression of one term of the order. Where counts are rounded, so is the order by them; rates that divide by
    fewer than `least` are withheld, and have no place in it."""
    if term.key >= 0:
        return f"k{key}"

    def count(name: str) -> str:
        if rounding and name in AMOUNTS:
            return f"c_{name} * {count(AMOUNTS[name])} / greatest(c_{AMOUNTS[name]}, 1)"
        return f"intDiv(c_{name} + {rounding // 2:d}, {rounding:d})" if rounding else f"c_{name}"

    if not term.bottom:
        return count(term.top)
    value = f"greatest({count(term.top)}, 0) / nullIf(greatest({count(term.bottom)}, 0), 0)"
    known = value if term.unknown_last else f"ifNull({value}, 0)"
    return f"if(c_{term.bottom} BETWEEN 1 AND {least - 1:d}, NULL, {known})" if least else known


def is_combinable(aggregation: Aggregation) -> bool:
    """Whether a breakdown may be combined with others: by one stored column, or by custom events as goals, from its
    first row. Under a goal of scrolls small groups are folded by a subquery, which ClickHouse 26.9 cannot plan over
    `ARRAY JOIN`."""
    if len(aggregation.dimensions) != 1 or not (aggregation.filters or can_use_rollups(aggregation)):
        return False
    (dimension,) = aggregation.dimensions
    plain = dimension.level != "time" and not (dimension.derived or dimension.key or dimension.name == "event:name")
    if dimension.name == "event:goal":
        plain = dimension.goals is None and listable(dimension, aggregation.filters, Parameters()) != "1"
    if scrolls(aggregation.filters, aggregation.dimensions) or any(term.bottom for term in aggregation.order):
        return False
    first = not aggregation.offset and not aggregation.total_rows
    return plain and first and aggregation.components <= {"visitors", "events", "pageviews", "revenue"}
