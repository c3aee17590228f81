"""Statements of aggregations: closed days from rollups and open days from events, added up, ordered and cut off.

The breakdowns of a page that differ by their dimensions alone are one statement.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.analytics.goal_filters import scrolls
from dashboard.analytics.query import OTHER, Aggregation, OrderTerm
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.components import MONEY, component_names
from dashboard.analytics.sql.events import EventQueries
from dashboard.analytics.sql.expressions import EventScope, clause
from dashboard.analytics.sql.parameters import Parameters
from dashboard.analytics.sql.rollups import RollupDays, RollupQueries, can_use_rollups


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters. Its rows are: one key a dimension, the `columns`, whether the group may be shown, the
    size and keys of the group to suppress in addition (size 0: none), and how many groups may be shown."""

    sql: str
    parameters: Mapping[str, Any]
    columns: Sequence[str]
    immutable: bool = False
    """Whether new events leave its result as it is: it reads closed days alone, in the versions that it names."""


def build_statement(
    aggregation: Aggregation,
    closed: RollupDays,
    protection: Protection,
    released: tuple[datetime.date, int] | None = None,
    also_folded: Sequence[tuple[str, ...]] = (),
) -> Statement:
    """The statement of an aggregation. Of events of the date `released` only those before its Unix second are read;
    `also_folded` groups are folded with the small ones."""
    parameters = Parameters()
    protected = protection.covers(aggregation)
    # Rollups have no visitors to fold small groups by.
    usable = RollupDays() if protected else closed.usable_by(aggregation)
    ranges = usable.open_ranges(aggregation)
    scope = EventScope(aggregation.site, aggregation.period, parameters, ranges, aggregation.parts, released)
    of_events = EventQueries(aggregation, scope, protection.min_visitors if protected else 0, also_folded)
    subqueries = RollupQueries(aggregation, scope, usable).subqueries() if usable.versions else []
    subqueries += of_events.subqueries() if scope.ranges else []
    summed = len(subqueries) > 1
    grouped = f"{clause('GROUP BY', aggregation.keys)}\nHAVING" if summed else "WHERE"
    # By hours and minutes a visit counts where it began, seen there or not.
    began = aggregation.by_clock and "visits" in aggregation.components
    counted = "(c_events > 0 OR c_visits > 0)" if began else "c_events > 0"
    return Statement(
        f"""{f"WITH shown AS ({of_events.shown()})" if of_events.needs_shown else ""}
SELECT {", ".join(_selected(aggregation, protection, protected=protected, summed=summed))}
FROM ({" UNION ALL ".join(subqueries)})
{grouped} {counted}{_large_enough(aggregation, protection)}
{clause("ORDER BY", _order(aggregation, protection))}
LIMIT {aggregation.limit:d} {"BY k0" if aggregation.parts else f"OFFSET {aggregation.offset:d}"}""".strip(),
        parameters.values,
        component_names(aggregation),
        immutable=not scope.ranges,
    )


def _selected(aggregation: Aggregation, protection: Protection, *, protected: bool, summed: bool) -> list[str]:
    sums = [
        f"{'sumMap' if name in MONEY else 'sum'}(n_{name}) AS c_{name}" if summed else f"n_{name} AS c_{name}"
        for name in component_names(aggregation)
    ]
    shown, suppressed = "1", "tuple(0)"
    if protected and aggregation.dimensions:
        shown, suppressed = _protected(aggregation, protection.min_visitors, summed=summed)
    elif (protected or protection.rounding) and not aggregation.values:
        shown = f"{SIZE} = 0 OR {SIZE} >= {protection.min_visitors:d}"
    total = "countIf(shown) OVER ()" if aggregation.total_rows else "0"
    return [
        *aggregation.keys,
        *sums,
        f"{shown} AS shown",
        f"{suppressed} AS suppressed",
        f"{total} AS total",
    ]


SIZE = "if(c_visitors = 0, c_events, c_visitors)"
"""How many people a group may be: of anonymous events each may be another one's."""


def _protected(aggregation: Aggregation, minimum: int, *, summed: bool) -> tuple[str, str]:
    """Whether a group may be shown, and which other one to suppress (complementary suppression).

    Where all hidden groups together are below the minimum, subtraction from the total would reveal them, unless the
    smallest shown one is folded with them.
    """
    keys = aggregation.keys
    if aggregation.values:
        times = [key for index, key in enumerate(keys) if index not in aggregation.values]
        within = f"OVER ({clause('PARTITION BY', times)})"
        small = f"{_other(aggregation)} AND {SIZE} BETWEEN 1 AND {minimum - 1:d}"
        smallest = f"minIf(({', '.join([SIZE, *keys])}), NOT {_other(aggregation)}) {within}"
        nothing = f"({', '.join(['0', *([repr('')] * len(keys))])})"
        return (
            f"NOT ({_other(aggregation)} AND {SIZE} < {minimum:d})",
            f"if(max({small}) {within}, {smallest}, {nothing})",
        )
    small = f"{SIZE} BETWEEN 1 AND {minimum - 1:d}"
    visitors = f"sumIf(c_visitors, {small}) OVER ()"
    if aggregation.by_clock:
        # Unlike those of days, visitors of hours may be the same.
        ids = "groupUniqArrayArray(ids)" if summed else "ids"
        visitors = f"uniqExactArrayIf({ids}, {small}) OVER ()"
    hidden = f"if({visitors} = 0, sumIf(c_events, {small}) OVER (), {visitors})"
    group = f"({', '.join([SIZE, *keys])})"
    smallest = f"{group} = minIf({group}, {SIZE} >= {minimum:d}) OVER ()"
    suppressed_too = f"{hidden} BETWEEN 1 AND {minimum - 1:d} AND {smallest}"
    return f"{SIZE} = 0 OR ({SIZE} >= {minimum:d} AND NOT ({suppressed_too}))", "tuple(0)"


def _other(aggregation: Aggregation) -> str:
    return f"k{aggregation.values[0]} = '{OTHER}'"


def _large_enough(aggregation: Aggregation, protection: Protection) -> str:
    """Under `strict` small groups of unprotected breakdowns are left out, too; they cannot be folded, as rollups have
    no visitors to tell apart."""
    if not protection.strict or not aggregation.values or protection.covers(aggregation):
        return ""
    return f" AND {SIZE} >= {protection.min_visitors:d}"


def _order(aggregation: Aggregation, protection: Protection) -> list[str]:
    """The terms of the order within a period."""
    last = [_other(aggregation)] if protection.covers(aggregation) and aggregation.values else []
    return [*last, *(_term(each, protection.rounding) for each in aggregation.order), *aggregation.keys]


def _term(term: OrderTerm, rounding: int) -> str:
    """One term of the order. Where counts are rounded, so is the order by them."""
    way = "DESC" if term.descending else "ASC"
    if term.key >= 0:
        return f"k{term.key} {way}"

    def count(name: str) -> str:
        return f"intDiv(c_{name} + {rounding // 2:d}, {rounding:d})" if rounding else f"c_{name}"

    if not term.bottom:
        return f"{count(term.top)} {way}"
    value = f"greatest({count(term.top)}, 0) / nullIf(greatest({count(term.bottom)}, 0), 0)"
    return f"{value} {way} NULLS LAST" if term.unknown_last else f"ifNull({value}, 0) {way}"


def is_combinable(aggregation: Aggregation) -> bool:
    """Whether a breakdown may be combined with others: by one stored column, from its first row.

    Under a goal of scrolls small groups are folded by a subquery, which ClickHouse 26.9 cannot plan over `ARRAY JOIN`.
    """
    if len(aggregation.dimensions) != 1 or not (aggregation.filters or can_use_rollups(aggregation)):
        return False
    (dimension,) = aggregation.dimensions
    plain = dimension.level != "time" and not (dimension.derived or dimension.key or dimension.name == "event:goal")
    first = not aggregation.offset and not aggregation.total_rows
    if scrolls(aggregation.filters, aggregation.dimensions):
        return False
    return plain and first and aggregation.components <= {"visitors", "events", "pageviews"}
