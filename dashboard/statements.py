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
from dashboard.dimensions import Dimension, find_dimension
from dashboard.filters import Filter, direct_leaves
from dashboard.goals import COUNTED, countable, listable, scrolls
from dashboard.planner import Panel
from dashboard.sql import VISIT_KEY, Bound, Grouped, Rows, entered, speaks_of_exits
from dashboard.sums import NOTHING_CLOSED, Closed, Sums, has_sums

Part = Literal["all", "closed", "open"]
MOST_GROUPS = 10_000
"""A panel's part has one row more where it has more groups than this, and is then of no use."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters. A row is: index of its panel, its keys, its components, rows of the panel in all.

    A `light` one reads no events: it is quickest on one thread.
    """

    sql: str
    parameters: dict[str, object]
    panels: tuple[Panel, ...]
    components: tuple[str, ...]
    keys: int
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
    scan = _Scan(panels, rows, components, _keys(panels), closed.within(rows.period), part)
    sums = ", ".join(f"sum(n_{name}) AS c_{name}" for name in components)
    total = "count() OVER (PARTITION BY panel)" if any(panel.total_rows for panel in panels) else "0"
    order = [term.sql for term in next((panel.order for panel in panels if not panel.few), ())]
    branches = scan.branches()
    keys = [f"k{index}" for index in range(scan.keys)]
    sql = f"""
SELECT {", ".join(["panel", *keys])}, {sums}, {total} AS total
FROM ({" UNION ALL ".join(branches)})
GROUP BY {", ".join(["panel", *keys])}
{_chosen(panels, order, keys) if part == "all" else f"LIMIT {MOST_GROUPS + 1:d} BY panel"}"""
    light = not any("FROM events" in branch for branch in branches)
    return Statement(sql, bound.values, tuple(panels), components, scan.keys, light, part)


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
    part: Part = "all"

    def branches(self) -> list[str]:
        """Every branch's SELECT: sums of closed days, events of the others; events alone where sums do not tell."""
        summed = [index for index, panel in enumerate(self.panels) if self.closed.days and has_sums(panel)]
        others = [index for index in range(len(self.panels)) if index not in summed]
        found = self._from_events(others, self.rows)
        by_closed: dict[Closed, list[int]] = {}
        for index in summed:
            by_closed.setdefault(self.closed.for_panel(self.panels[index]), []).append(index)
        for closed, sharing in by_closed.items():
            if closed.days and self.part != "open":
                found += Sums(self.panels, self.rows, closed, self.components, self.keys).branches(sharing)
            ranges = closed.open_ranges(self.rows.period)
            if ranges and self.part != "closed":
                found += self._from_events(sharing, replace(self.rows, ranges=ranges))
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
        """Whether a panel needs exit pages, and whether only events that reach goals are in its groups."""
        goals = any(each.name == "event:goal" for each in panel.dimensions)
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
        if exits and not speaks_of_exits(self._filter) and self._exits_alone(sharing):
            return self._exits(sets, flat=bool(flat))
        shown = [each for each in self.panels[sharing[0]].dimensions if goals and each.name == "event:goal"]
        where = [self.rows.where(), countable(self._filter, shown, self.rows.bound), self.rows.holds(self._filter)]
        where += [listable(each, self._filter, self.rows.bound) for each in shown]
        taken = {name: f"toInt64({component.sql})" for name, component in self._of("event")}
        if "events" in taken and scrolls(self._filter, shown):
            taken["events"] = f"toInt64({COUNTED})"
        if flat:
            # Those whose visits are not these events' either have them from another branch, or do not ask.
            others = [index for index in sharing if index not in flat and self._has(self.panels[index], "visit")]
            one = f"toInt64(if(panel NOT IN ({', '.join(map(str, others))}), {{}}, 0))" if others else "toInt64({})"
            taken |= {name: one.format(component.sql) for name, component in self._of("visit")}
        return self._branch(sets, taken, self.rows.relation(exits=exits), " AND ".join(where))

    def _exits_alone(self, sharing: list[int]) -> bool:
        """Whether visits need be told apart by nothing but their exit page, and dates."""
        dimensions = (each for index in sharing for each in self.panels[index].dimensions)
        alone = all(each.column in ("day", "week", "month", "exit_page") for each in dimensions)
        return alone and not scrolls(self._filter, ())

    def _exits(self, sets: Sequence[_Set], *, flat: bool) -> str:
        """What `_selected` gives, from visits instead of events: each visit's exit page comes from the same scan."""
        chosen = f"{self.rows.where()} AND name != 'engagement' AND {self.rows.holds(self._filter)}"
        # All events of a visit are looked at, as its exit page may be none of the selected.
        among = f"AND visitor IN (SELECT visitor FROM events WHERE {chosen})" if self._filter else ""
        counts = {
            "pageviews": "countIf(chosen AND name = 'pageview')",
            "events": "countIf(chosen)",
            "began": "sumIf(visits, chosen)",
            "bounced": "sumIf(bounces, chosen)",
            "lasted": "sumIf(seconds, chosen)",
            "sales": "countIf(chosen AND currency != '')",
            "revenue": "sumIf(toInt64(revenue * 1000), chosen)",
        }
        each = ", ".join(f"{sql} AS of_{name}" for name, sql in counts.items())
        visits = f"""(
            WITH ({chosen}) AS chosen
            SELECT {VISIT_KEY}, argMaxIf(page, (ts, page), name = 'pageview' AND visitor != 0) AS exit_page, {each}
            FROM events WHERE {self.rows.of_whole_days().where()} {among}
            GROUP BY {VISIT_KEY} HAVING of_events > 0
        )"""
        summed = {
            **{name: f"sum(of_{name})" for name in ("pageviews", "events", "sales", "revenue")},
            "entries": "sum(of_began)",
            "landings": "sum(of_began)",
            "bounces": "sum(of_bounced)",
            "seconds": "sum(of_lasted)",
            "views": "sumIf(of_pageviews, visitor != 0)",
        }
        own = {name: component.sql for name, component in (*self._of("event"), *(self._of("visit") if flat else ()))}
        return self._branch(sets, {name: f"toInt64({summed.get(name, sql)})" for name, sql in own.items()}, visits, "1")

    def _visits(self, index: int) -> str:
        """Components of all events of the visits that contain a selected one."""
        panel = self.panels[index]
        own = [each for each in panel.dimensions if each.level == "event" and not each.entered]
        columns = [f"{self.rows.value(each)} AS own{number}" for number, each in enumerate(own)]
        source = self.rows.relation(exits=speaks_of_exits(None, *panel.dimensions))
        matched = self.rows.visits_with(self._filter, *columns, dimensions=panel.dimensions)
        groups = tuple(
            Grouped(f"own{own.index(each)}") if each in own else self.rows.grouped(each, of_visit=True)
            for each in panel.dimensions
        )
        taken = {name: f"toInt64({component.sql})" for name, component in self._of("visit")}
        where = f"{self.rows.where()} AND name != 'engagement' AND visitor != 0"
        if not own:
            # The visitors alone first: that is one number to look up for each event.
            visitors = f"visitor IN (SELECT visitor FROM ({matched}))"
            return self._branch(
                [_Set(index, groups)], taken, source, f"{where} AND {visitors} AND ({VISIT_KEY}) IN ({matched})"
            )
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
        named = tuple(Grouped(f"r{number}", group.shown, group.text) for number, group in enumerate(groups))
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
        shown = [(each.panel, each.groups[number]) for each in sets if number < len(each.groups)]
        texts = list(dict.fromkeys(names[group.by] for _, group in shown if group.text)) if self.keys == 1 else []
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
