"""The SQL of panels that share a scan.

Each branch reads rows once and gives components by panel and group; `GROUPING SETS` serve several panels in one
branch. The outer query adds the branches up, puts groups in order and cuts them off.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from collector.components import COMPONENTS, Component
from dashboard.dimensions import Dimension, find_dimension
from dashboard.filters import Filter, direct_leaves
from dashboard.planner import Panel
from dashboard.sql import VISIT_KEY, Bound, Grouped, Rows, entered, speaks_of_exits
from dashboard.sums import NOTHING_CLOSED, Closed, Sums, has_sums


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters. A row is: index of its panel, its keys, its components, rows of the panel in all."""

    sql: str
    parameters: dict[str, object]
    panels: tuple[Panel, ...]
    components: tuple[str, ...]
    keys: int


def statement(panels: Sequence[Panel], closed: Closed = NOTHING_CLOSED) -> Statement:
    """One statement for panels over the same events. Days that are `closed` are answered from their sums."""
    bound = Bound()
    wanted = {name for panel in panels for name in panel.components}
    components = tuple(name for name in COMPONENTS if name in wanted)
    rows = Rows(panels[0].site, panels[0].period, bound)
    scan = _Scan(panels, rows, components, _keys(panels), closed.within(rows.period))
    sums = ", ".join(f"sum(n_{name}) AS c_{name}" for name in components)
    total = "count() OVER (PARTITION BY panel)" if any(panel.total_rows for panel in panels) else "0"
    order = next((panel.order for panel in panels if not panel.few), ())
    keys = [f"k{index}" for index in range(scan.keys)]
    sql = f"""
SELECT {", ".join(["panel", *keys])}, {sums}, {total} AS total
FROM ({" UNION ALL ".join(scan.branches())})
GROUP BY {", ".join(["panel", *keys])}
HAVING c_events > 0{_big_enough(panels)}
ORDER BY {", ".join(["panel", *order, *keys])}
LIMIT {max(panel.most for panel in panels):d} BY panel"""
    return Statement(sql, bound.values, tuple(panels), components, scan.keys)


def _big_enough(panels: Sequence[Panel]) -> str:
    """The condition that leaves out groups too small for their panel."""
    bounded = [index for index, panel in enumerate(panels) if panel.least]
    if not bounded:
        return ""
    least = f"transform(panel, {bounded}, {[panels[index].least for index in bounded]}, 0)"
    return f" AND if(c_visitors = 0, c_events, c_visitors) >= {least}"


def _keys(panels: Iterable[Panel]) -> int:
    return max(len(panel.dimensions) for panel in panels)


@dataclass(frozen=True, slots=True)
class _Set:
    """One grouping set: the panel that it serves, and what it groups by."""

    panel: int
    groups: tuple[Grouped, ...]


@dataclass(frozen=True, slots=True)
class _Scan:
    """The branches of one statement."""

    panels: Sequence[Panel]
    rows: Rows
    components: tuple[str, ...]
    keys: int
    closed: Closed

    def branches(self) -> list[str]:
        """Every branch's SELECT: sums of closed days, events of the others; events alone where sums do not tell."""
        summed = [index for index, panel in enumerate(self.panels) if self.closed.days and has_sums(panel)]
        others = [index for index in range(len(self.panels)) if index not in summed]
        found = self._from_events(others, self.rows)
        if summed:
            found += Sums(self.panels, self.rows, self.closed, self.components, self.keys).branches(summed)
            ranges = self.closed.open_ranges(self.rows.period)
            if ranges:
                found += self._from_events(summed, replace(self.rows, ranges=ranges))
        return found

    def _from_events(self, indexes: list[int], rows: Rows) -> list[str]:
        scan = replace(self, rows=rows)
        found = []
        for exits, goals in sorted({self._source(self.panels[index]) for index in indexes}):
            sharing = [index for index in indexes if self._source(self.panels[index]) == (exits, goals)]
            found.append(scan._selected(sharing, exits=exits, goals=goals))
        for index in indexes:
            if self._has(self.panels[index], "visit") and not self._flat(self.panels[index]):
                found.append(scan._visits(index))
            if self._has(self.panels[index], "reading"):
                found.append(scan._readings(index))
        return found

    @property
    def _filter(self) -> Filter | None:
        return self.panels[0].filters

    def _has(self, panel: Panel, basis: str) -> bool:
        return any(COMPONENTS[name].basis == basis for name in panel.components)

    def _source(self, panel: Panel) -> tuple[bool, bool]:
        """Whether a panel needs exit pages, and whether only custom events are its groups."""
        leaves = {leaf.dimension for leaf in direct_leaves(self._filter)}
        goals = any(each.name == "event:goal" for each in panel.dimensions) and "event:goal" not in leaves
        return speaks_of_exits(self._filter, *panel.dimensions), goals

    def _flat(self, panel: Panel) -> bool:
        """Whether the selected events are all events of their visits, and fall into the same groups as these."""
        filtered = (find_dimension(leaf.dimension) for leaf in direct_leaves(self._filter))
        return not any(each.level == "event" for each in (*filtered, *panel.dimensions)) and not any(
            each.column in ("hour", "minute") for each in panel.dimensions
        )

    def _selected(self, sharing: list[int], *, exits: bool, goals: bool) -> str:
        """Components of the events that the filter selects; of whole visits too, for panels where that is the same."""
        sets = [_Set(index, self._groups(self.panels[index].dimensions)) for index in sharing]
        flat = [index for index in sharing if self._flat(self.panels[index])]
        where = [self.rows.where(), "name != 'engagement'", self.rows.holds(self._filter)]
        if goals:
            where.append("name != 'pageview'")
        taken = {name: f"toInt64({component.sql})" for name, component in self._of("event")}
        if flat:
            among = f"panel IN ({', '.join(map(str, flat))})"
            taken |= {name: f"toInt64(if({among}, {component.sql}, 0))" for name, component in self._of("visit")}
        return self._branch(sets, taken, self.rows.relation(exits=exits), " AND ".join(where))

    def _visits(self, index: int) -> str:
        """Components of all events of the visits that contain a selected one."""
        panel = self.panels[index]
        own = [each for each in panel.dimensions if each.level == "event" and not each.entered]
        columns = [f"{self.rows.value(each)} AS own{number}" for number, each in enumerate(own)]
        source = self.rows.relation(exits=speaks_of_exits(None, *panel.dimensions))
        matched = self.rows.visits_with(self._filter, *columns)
        groups = tuple(
            Grouped(f"own{own.index(each)}") if each in own else self.rows.grouped(each, of_visit=True)
            for each in panel.dimensions
        )
        taken = {name: f"toInt64({component.sql})" for name, component in self._of("visit")}
        where = f"{self.rows.where()} AND name != 'engagement' AND visitor != 0"
        relation = f"(SELECT * FROM {source} INNER JOIN ({matched}) AS matched USING ({VISIT_KEY}))"
        return self._branch([_Set(index, groups)], taken, relation, where)

    def _readings(self, index: int) -> str:
        """Components of the engagement that was measured on the selected pages."""
        panel = self.panels[index]
        groups = self._groups(panel.dimensions)
        by = ", ".join(f"{group.by} AS r{number}" for number, group in enumerate(groups))
        source = self.rows.relation(exits=speaks_of_exits(self._filter, *panel.dimensions))
        each = ", ".join([*(f"r{number}" for number in range(len(groups))), VISIT_KEY])
        inner = f"""(SELECT {by + "," if by else ""} {VISIT_KEY}, sum(engaged) AS engaged, max(scroll) AS scroll
            FROM {source} WHERE {self.rows.where()} AND name = 'engagement' AND visitor != 0
            AND {self.rows.holds(self._filter)} GROUP BY {each})"""
        taken = {name: f"toInt64({component.sql})" for name, component in self._of("reading")}
        named = tuple(Grouped(f"r{number}", group.shown) for number, group in enumerate(groups))
        return self._branch([_Set(index, named)], taken, inner, "1")

    def _groups(self, dimensions: Sequence[Dimension]) -> tuple[Grouped, ...]:
        return tuple(self.rows.grouped(dimension) for dimension in dimensions)

    def _of(self, basis: str) -> list[tuple[str, Component]]:
        return [(name, COMPONENTS[name]) for name in self.components if COMPONENTS[name].basis == basis]

    def _branch(self, sets: Sequence[_Set], taken: dict[str, str], relation: str, where: str) -> str:
        """SELECT the components `taken`, and zero for all others, by the sets' panels and keys."""
        by = list(dict.fromkeys(group.by for each in sets for group in each.groups))
        names = {group: f"g{number}" for number, group in enumerate(by)}
        columns = [f"{group} AS {name}" for group, name in names.items()]
        columns.append(f"{_panel(sets, list(names))} AS panel")
        columns += [f"{self._key(sets, names, number)} AS k{number}" for number in range(self.keys)]
        columns += [f"{taken.get(name, 'toInt64(0)')} AS n_{name}" for name in self.components]
        entry = self.rows.holds(entered(self._filter)) if "landings" in taken or "bounces" in taken else "1"
        shown = ["panel", *(f"k{number}" for number in range(self.keys)), *(f"n_{name}" for name in self.components)]
        grouping = ", ".join(f"({', '.join(names[group.by] for group in each.groups)})" for each in sets)
        return f"""
    SELECT {", ".join(shown)} FROM (
        WITH {entry} AS entered SELECT {", ".join(columns)}
        FROM {relation} WHERE {where}
        GROUP BY GROUPING SETS ({grouping}))"""

    def _key(self, sets: Sequence[_Set], names: dict[str, str], number: int) -> str:
        """What the groups of each panel have as their key of that number."""
        cases = [
            f"panel = {each.panel}, {each.groups[number].shown.format(names[each.groups[number].by])}"
            for each in sets
            if number < len(each.groups)
        ]
        return f"multiIf({', '.join(cases)}, '')" if cases else "''"


def _panel(sets: Sequence[_Set], by: list[str]) -> str:
    """Which panel a grouped row belongs to: `grouping` has a bit, the first highest, for each column left out."""
    if len(sets) == 1:
        return f"toUInt8({sets[0].panel})"
    masks = []
    for each in sets:
        grouped = {group.by for group in each.groups}
        masks.append(sum(1 << (len(by) - 1 - place) for place, name in enumerate(by) if name not in grouped))
    named = ", ".join(f"g{number}" for number in range(len(by)))
    places = ", ".join(str(each.panel) for each in sets)
    return f"toUInt8(transform(grouping({named}), [{', '.join(map(str, masks))}], [{places}], 255))"
