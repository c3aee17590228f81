"""The SQL of panels that share a scan.

Each branch reads rows once and gives components by panel and group; `GROUPING SETS` serve several panels in one
branch. The outer query adds the branches up, puts groups in order and cuts them off.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from collector.components import COMPONENTS, Component
from dashboard.branches import Branch, Grouping, Scan
from dashboard.planner import Panel
from dashboard.sql import VISIT_KEY, Bound, Rows
from dashboard.sums import NOTHING_CLOSED, Closed, Sums, has_sums
from dashboard.terms import told

Part = Literal["all", "closed", "open"]
MOST_GROUPS = 10_000
"""A panel's part has one row more where it has more groups than this, and is then of no use."""


@dataclass(frozen=True, slots=True)
class Form:
    """What rows of counts are: index of the panel, as many keys as any panel has, components."""

    panels: tuple[Panel, ...]
    components: tuple[str, ...]
    keys: int


@dataclass(frozen=True, slots=True)
class Statement(Form):
    """SQL with its parameters. Its rows have at their end how many rows their panel has in all.

    A `light` one reads no events: it is quickest on one thread.
    """

    sql: str
    parameters: dict[str, object]
    light: bool = False
    part: Part = "all"


def statement(panels: Sequence[Panel], closed: Closed = NOTHING_CLOSED, part: Part = "all") -> Statement:
    """One statement for panels over the same events. Days that are `closed` are answered from their sums.

    Only a `part` of the days, the closed ones or the others, has the groups of these in no order, however small.
    """
    bound = Bound()
    wanted = {name for panel in panels for name in panel.components}
    components = tuple(name for name in COMPONENTS if name in wanted)
    rows = Rows(panels[0].site, panels[0].period, bound)
    scan, among = Scan(panels, rows, components), _keys(panels)
    sums = ", ".join(f"sum(n_{name}) AS c_{name}" for name in components)
    total = "count() OVER (PARTITION BY panel)" if any(panel.total_rows for panel in panels) else "0"
    order = [term.sql for term in next((panel.order for panel in panels if not panel.few), ())]
    branches = _branches(scan, closed.within(rows.period), part, among)
    keys = [f"k{index}" for index in range(among)]
    sql = f"""
SELECT {", ".join(["panel", *keys])}, {sums}, {total} AS total
FROM ({" UNION ALL ".join(branches)})
GROUP BY {", ".join(["panel", *keys])}
{_chosen(panels, order, keys) if part == "all" else f"LIMIT {MOST_GROUPS + 1:d} BY panel"}"""
    light = not any("FROM events" in branch for branch in branches)
    return Statement(tuple(panels), components, among, sql, bound.values, light, part)


def _chosen(panels: Sequence[Panel], order: Sequence[str], keys: Sequence[str]) -> str:
    """Which groups of each panel are wanted, and in which order."""
    return f"""HAVING c_events > 0{_big_enough(panels)}
ORDER BY {", ".join(["panel", *order, *keys])}
LIMIT {max(panel.most for panel in panels):d} BY panel"""


def _big_enough(panels: Sequence[Panel]) -> str:
    """The condition that leaves out groups too small for their panel."""
    bounded = [index for index, panel in enumerate(panels) if panel.least]
    if not bounded:
        return ""
    least = f"transform(panel, {bounded}, {[panels[index].least for index in bounded]}, 0)"
    return f" AND if(c_visitors = 0, c_events, c_visitors) >= {least}"


def _keys(panels: Iterable[Panel]) -> int:
    return max(len(panel.dimensions) for panel in panels)


def _branches(scan: Scan, closed: Closed, part: Part, keys: int) -> list[str]:
    """Every SELECT: sums of closed days, events of the others; events alone where sums do not tell."""
    found = [] if part == "closed" else [_select(each, scan.components, keys) for each in of_events(scan, closed)]
    for each, sharing in _summed(scan, closed).items() if part != "open" else ():
        if each.days:
            found += Sums(scan.panels, scan.rows, each, scan.components, keys).branches(sharing)
    return found


def of_events(scan: Scan, closed: Closed) -> list[Branch]:
    """The branches that read events: of days that are not closed, or of all where sums do not tell."""
    summed = _summed(scan, closed)
    others = set(range(len(scan.panels))).difference(*summed.values())
    found = scan.branches(sorted(others))
    for each, sharing in summed.items():
        ranges = each.open_ranges(scan.rows.period)
        found += replace(scan, rows=replace(scan.rows, ranges=ranges)).branches(sharing) if ranges else []
    return found


def _summed(scan: Scan, closed: Closed) -> dict[Closed, list[int]]:
    """The panels that sums tell of, by the days on which they do."""
    found: dict[Closed, list[int]] = {}
    for index, panel in enumerate(scan.panels):
        if closed.days and has_sums(panel):
            found.setdefault(closed.for_panel(panel), []).append(index)
    return found


def _select(branch: Branch, components: Sequence[str], keys: int) -> str:
    """SELECT what the branch takes, and zero for all other components, by its panels and keys."""
    branch = _added_up(branch) if branch.by_visit else branch
    by = list(dict.fromkeys(group.by for each in branch.groupings for group in each.groups))
    names = {group: f"g{number}" for number, group in enumerate(by)}
    taken = {each.name: _counted(each, branch) for each in branch.taken}
    columns = [f"{group} AS {name}" for group, name in names.items()]
    columns.append(f"{_panel(branch.groupings, list(names))} AS panel")
    columns += [f"{_key(branch.groupings, names, number, keys)} AS k{number}" for number in range(keys)]
    columns += [f"{taken.get(name, 'toInt64(0)')} AS n_{name}" for name in components]
    shown = ["panel", *(f"k{number}" for number in range(keys)), *(f"n_{name}" for name in components)]
    sets = ", ".join(f"({', '.join(names[group.by] for group in each.groups)})" for each in branch.groupings)
    return f"""
    SELECT {", ".join(shown)} FROM (
        WITH {branch.entered} AS entered SELECT {", ".join(columns)}
        FROM {branch.relation} WHERE {" AND ".join((*branch.among, *told(branch.where), *_in_visits(branch)))}
        GROUP BY GROUPING SETS ({sets}))"""


def _in_visits(branch: Branch) -> tuple[str, ...]:
    """That a row's visit has one that is chosen. The visitors alone first: they are one number to look up."""
    if not branch.chosen:
        return ()
    where = " AND ".join((*branch.among, *told(branch.chosen)))
    return of_chosen_visitors(branch), f"({VISIT_KEY}) IN (SELECT DISTINCT {VISIT_KEY} FROM events WHERE {where})"


def of_chosen_visitors(branch: Branch) -> str:
    """That a row's visitor has one that is chosen."""
    return f"visitor IN (SELECT visitor FROM events WHERE {' AND '.join((*branch.among, *told(branch.chosen)))})"


def _added_up(branch: Branch) -> Branch:
    """The same of rows that are one for each visit in each group."""
    by = {group.by: f"r{number}" for number, group in enumerate(branch.groupings[0].groups)}
    columns = ", ".join([*(f"{group} AS {name}" for group, name in by.items()), VISIT_KEY])
    relation = f"""(SELECT {columns}, sum(engaged) AS engaged, max(scroll) AS scroll
            FROM {branch.relation} WHERE {" AND ".join((*branch.among, *told(branch.where)))}
            GROUP BY {", ".join([*by.values(), VISIT_KEY])})"""
    groupings = tuple(
        replace(each, groups=tuple(replace(group, by=by[group.by]) for group in each.groups))
        for each in branch.groupings
    )
    return replace(branch, groupings=groupings, relation=relation, among=("1",), where=())


def _counted(component: Component, branch: Branch) -> str:
    if component.basis != "visit" or not branch.visitless:
        return f"toInt64({component.sql})"
    return f"toInt64(if(panel NOT IN ({', '.join(map(str, sorted(branch.visitless)))}), {component.sql}, 0))"


def _key(groupings: Sequence[Grouping], names: dict[str, str], number: int, keys: int) -> str:
    """What the groups of each panel have as their key of that number."""
    shown = [(each.panel, each.groups[number]) for each in groupings if number < len(each.groups)]
    texts = list(dict.fromkeys(names[group.by] for _, group in shown if group.text)) if keys == 1 else []
    cases = [
        f"panel = {panel}, {group.shown.format(names[group.by])}"
        for panel, group in shown
        if not (texts and group.text)
    ]
    if texts:
        # All but the one that is grouped by are empty.
        text = f"concat({', '.join(f'toString({name})' for name in texts)}, '')"
        return f"multiIf({', '.join(cases)}, {text})" if cases else text
    return f"multiIf({', '.join(cases)}, '')" if cases else "''"


def _panel(groupings: Sequence[Grouping], by: list[str]) -> str:
    """Which panel a grouped row belongs to: `grouping` has a bit, the first highest, for each column left out."""
    if len(groupings) == 1:
        return f"toUInt8({groupings[0].panel})"
    masks = []
    for each in groupings:
        grouped = {group.by for group in each.groups}
        masks.append(sum(1 << (len(by) - 1 - place) for place, name in enumerate(by) if name not in grouped))
    named = ", ".join(f"g{number}" for number in range(len(by)))
    places = ", ".join(str(each.panel) for each in groupings)
    return f"toUInt8(transform(grouping({named}), [{', '.join(map(str, masks))}], [{places}], 255))"
