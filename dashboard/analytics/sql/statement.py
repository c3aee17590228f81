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
from dashboard.analytics.sql.components import MONEY, MONEY_LIMITS, component_names
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
    groups = f"""
SELECT {", ".join(_selected(aggregation, protection, protected=protected, summed=summed))}
FROM ({" UNION ALL ".join(subqueries)})
{grouped} {counted}{_large_enough(aggregation, protection)}"""
    if aggregation.total_rows:
        # What is shown may follow from all groups, and window functions cannot be within each other.
        groups = f"\nSELECT *, countIf(shown) OVER () AS total FROM ({groups})"
    return Statement(
        f"""{f"WITH shown AS ({of_events.shown()})" if of_events.needs_shown else ""}{groups}
{clause("ORDER BY", _order(aggregation, protection))}
LIMIT {aggregation.limit:d} {"BY k0" if aggregation.parts else f"OFFSET {aggregation.offset:d}"}""".strip(),
        parameters.values,
        [*component_names(aggregation), *_money_limits(aggregation, protection)],
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
    return [
        *aggregation.keys,
        *sums,
        *(f"{sql} AS {name}" for name, sql in _money_limits(aggregation, protection).items()),
        f"{shown} AS shown",
        f"{suppressed} AS suppressed",
        *([] if aggregation.total_rows else ["0 AS total"]),
    ]


SIZE = "if(c_visitors = 0, c_events, c_visitors)"
"""How many people a group may be: of anonymous events each may be another one's."""


def _protected(aggregation: Aggregation, minimum: int, *, summed: bool) -> tuple[str, str]:
    """Whether a group may be shown, and which other one to suppress (complementary suppression).

    Where all hidden groups together are below the minimum, subtraction from the total would reveal them, unless the
    smallest shown one is folded with them: where they have visitors one that has visitors, as more anonymous events
    would hide nobody. Where no other group has visitors, the total is below the minimum, and so all is hidden.
    """
    keys = aggregation.keys
    group = f"({', '.join([SIZE, *keys])})"
    if aggregation.values:
        times = [key for index, key in enumerate(keys) if index not in aggregation.values]
        within = f"OVER ({clause('PARTITION BY', times)})"
        other = _other(aggregation)
        small = f"{other} AND {SIZE} BETWEEN 1 AND {minimum - 1:d}"
        visitors = f"max(if({small}, c_visitors, 0)) {within}"
        smallest = f"if({visitors} > 0, minIf({group}, NOT {other} AND c_visitors > 0) {within}, "
        smallest += f"minIf({group}, NOT {other}) {within})"
        alone = f"{visitors} > 0 AND countIf(NOT {other} AND c_visitors > 0) {within} = 0"
        nothing = f"({', '.join(['0', *([repr('')] * len(keys))])})"
        withheld = f"{other} AND {SIZE} < {minimum:d} OR {alone}"
        if times and not aggregation.parts:
            withheld += f" OR {_with_other_intervals(aggregation, minimum, small, group)}"
        return (
            f"NOT ({withheld})",
            f"if(max({small}) {within}, {smallest}, {nothing})",
        )
    small, some, people = f"({SIZE} BETWEEN 1 AND {minimum - 1:d})", f"{SIZE} > 0", "c_visitors > 0"
    visitors, further = f"sumIf(c_visitors, {small}) OVER ()", "0"
    if aggregation.by_clock:
        if aggregation.needs("visit"):
            # Visits count where they began, also where no event of theirs is selected: they are a group of their own.
            began = "length(groupUniqArrayArray(starters))"
            small, some = f"({small} OR {began} BETWEEN 1 AND {minimum - 1:d})", f"({some} OR {began} > 0)"
            people = f"{people} AND {began} > 0"
            further = f"uniqExactArrayIf(groupUniqArrayArray(starters), {small}) OVER ()"
        # Unlike those of days, visitors of hours may be the same.
        ids = "groupUniqArrayArray(ids)" if summed else "ids"
        visitors = f"uniqExactArrayIf({ids}, {small}) OVER ()"
    large = f"{some} AND NOT {small}"
    hidden = f"if({visitors} = 0, sumIf(c_events, {small}) OVER (), {visitors})"
    few = f"({hidden} BETWEEN 1 AND {minimum - 1:d} OR {further} BETWEEN 1 AND {minimum - 1:d})"
    known = f"({visitors} > 0 OR {further} > 0)"
    smallest = f"if({known}, minIf({group}, {large} AND {people}) OVER (), minIf({group}, {large}) OVER ())"
    alone = f"{known} AND countIf({large} AND {people}) OVER () = 0"
    return f"NOT {some} OR ({large} AND NOT ({few} AND ({group} = {smallest} OR {alone})))", "tuple(0)"


def _with_other_intervals(aggregation: Aggregation, minimum: int, small: str, group: str) -> str:
    """Whether a group is withheld with folds of intervals that have nothing else to fold: where these are together
    below the minimum, they would be what is left when all rows are taken from the total."""
    # Visitors of hours may be the same, unlike those of days.
    visitors = f"{'maxIf' if aggregation.by_clock else 'sumIf'}(c_visitors, {small}) OVER ()"
    hidden = f"if({visitors} = 0, sumIf(c_events, {small}) OVER (), {visitors})"
    told = f"NOT ({_other(aggregation)} AND {SIZE} < {minimum:d})"
    smallest = f"if({visitors} = 0, minIf({group}, {told}) OVER (), minIf({group}, {told} AND c_visitors > 0) OVER ())"
    alone = f"{visitors} > 0 AND countIf({told} AND c_visitors > 0) OVER () = 0"
    return f"({hidden} BETWEEN 1 AND {minimum - 1:d} AND ({group} = {smallest} OR {alone}))"


def _money_limits(aggregation: Aggregation, protection: Protection) -> dict[str, str]:
    """By currency, the most buyers that a group has whose revenue is not told, and the fewest that one has whose
    revenue would be, for complementary suppression of revenue. Nothing where all of it is told."""
    if "revenue" not in aggregation.components or not aggregation.dimensions or not protection.covers(aggregation):
        return {}
    m = f"{protection.min_visitors:d}"
    within, other = "OVER ()", "0"
    if aggregation.values:
        times = [key for index, key in enumerate(aggregation.keys) if index not in aggregation.values]
        within, other = f"OVER ({clause('PARTITION BY', times)})", _other(aggregation)
    untold = f"maxMap(mapFilter((currency, buyers) -> buyers > 0 AND ({other} OR buyers < {m}), c_buyers)) {within}"
    told = f"minMap(mapFilter((currency, buyers) -> NOT ({other}) AND buyers >= {m}, c_buyers)) {within}"
    return dict(zip(MONEY_LIMITS, (untold, told), strict=True))


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
    return plain and first and aggregation.components <= {"visitors", "events", "pageviews", "revenue"}
