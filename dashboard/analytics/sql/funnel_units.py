"""The subquery that walks a funnel: visits, or visitors of a day, with the events by which they reached its steps."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from typing import TYPE_CHECKING

from collector.rollups.aggregates import REVENUE
from dashboard.analytics.filters import Filter, FunnelGroup, FunnelPath, FunnelWindow
from dashboard.analytics.sql.funnel_places import places

if TYPE_CHECKING:
    from dashboard.analytics.sql.expressions import EventScope

UNITS: dict[FunnelWindow, str] = {"visit": "day, visitor, visit", "day": "day, visitor"}
"""What is counted, as columns: visits, or visitors of a site-local day."""

EVENT_PLACE = (
    "bitShiftLeft(toUInt64(toUnixTimestamp(ts)), 32) + bitShiftLeft(toUInt64(least(seq, 8388607)), 9)"
    " + bitShiftLeft(toUInt64(name = 'pageview'), 8)"
)
"""The place of an event among those of its unit: its second, its position in the visit, and as the ninth bit whether it
is a pageview. The steps that it may serve are added as the eight bits below."""
_KEYS: dict[FunnelWindow, str] = {"visit": "bitXor(visitor, intHash64(visit))", "day": "visitor"}
"""A number that few units share: a set of numbers is searched faster than one of several columns."""

_NO_SALES = "CAST([], 'Array(Tuple(UInt64, UInt64, Int64))')"


def units_sql(
    path: FunnelPath, scope: EventScope, tree: Filter | None = None, *, pages: bool = False, revenue: bool = False
) -> str:
    """Units that reached the first step, of those that have an event that the filter selects. Columns: those of the
    unit; `reached`, the place of the event by which each step was reached, 0 where it was not; `waits`, the seconds to
    each step but the first; `depth`, how many steps were reached; `outcome`, of those who left the hash of the page of
    their next pageview where `pages` are wanted, of the others that of the currency of the last step where `revenue`
    is; and `paid`, its thousandths."""
    unit = UNITS[path.window]
    served = " + ".join(f"{scope.filter_sql(step)} * {1 << index:d}" for index, step in enumerate(path.steps))
    serving = "arrayFilter(e -> bitAnd(e, 255) > 0, events)" if pages and path.order != "strict" else "events"
    sale = f"({EVENT_PLACE} + served, sipHash64(currency), {REVENUE})"
    sales = f"groupArrayIf({sale}, currency != '' AND bitTest(served, {len(path.steps) - 1}))"
    read = [scope.of_visitors(), *_read(path, scope, pages=pages), scope.selecting(tree, unit)]
    walked = f"""
        WITH {served} AS served
        SELECT {unit}, groupArray({EVENT_PLACE} + served) AS events, arraySort({serving}) AS found,
            {"groupArray(sipHash64(page))" if pages else "[toUInt64(0)]"} AS pages,
            {sales if revenue else _NO_SALES} AS sales
        FROM events
        WHERE {" AND ".join(read)}
        GROUP BY {unit} HAVING max(bitTest(served, 0))"""
    # Each is a subquery's column: within one SELECT its expression would stand wherever later steps name it.
    for column in (*places(path), *_depth(path), *_outcome(path, pages=pages)):
        walked = f"""
        SELECT *, {column} FROM ({walked})"""
    return walked


def group_sql(group: FunnelGroup, scope: EventScope) -> str:
    """The condition on an event that its unit is in the group."""
    unit = UNITS[group.path.window]
    depth = f"depth {'=' if group.left else '>='} {scope.parameters.add(group.step, 'UInt8')}"
    return f"({unit}) IN (SELECT {unit} FROM ({units_sql(group.path, scope)}) WHERE {depth})"


def _read(path: FunnelPath, scope: EventScope, *, pages: bool) -> list[str]:
    """Conditions on events that matter: those that serve a step; under `strict`, and for pages, all of units that have
    the first, and of some others."""
    key, first = _KEYS[path.window], scope.filter_sql(path.steps[0])
    begun = f"{key} IN (SELECT {key} FROM events WHERE {scope.of_visitors()} AND {first})"
    return ["served > 0" if path.order != "strict" and not pages else "(name != 'engagement' OR served > 0)", begun]


def _depth(path: FunnelPath) -> list[str]:
    """What the places of the steps tell."""
    numbers = range(1, len(path.steps) + 1)
    waits = ", ".join(_wait(path, number) for number in numbers[1:])
    return [
        f"[{', '.join(f'p{number}' for number in numbers)}] AS reached, [{waits}] AS waits",
        "toUInt8(arrayCount(place -> place > 0, reached)) AS depth",
    ]


def _outcome(path: FunnelPath, *, pages: bool) -> list[str]:
    view = "arrayMin(arrayFilter(e -> e > reached[depth] AND bitTest(e, 8), events))" if pages else "toUInt64(0)"
    return [
        f"{view} AS view, arrayFirst(sale -> depth = {len(path.steps)} AND sale.1 = reached[depth], sales) AS sale",
        f"if(depth = {len(path.steps)}, sale.2, pages[indexOf(events, view)]) AS outcome, sale.3 AS paid",
    ]


def _wait(path: FunnelPath, step: int) -> str:
    """The seconds from the event that served the step before: under `strict` that right before."""
    before = f"found[indexOf(found, p{step}) - 1]" if path.order == "strict" else f"p{step - 1}"
    return f"if(p{step} > 0, toInt64(bitShiftRight(p{step}, 32)) - toInt64(bitShiftRight({before}, 32)), 0)"
