"""Subqueries that count components of events: by event, by visit, and of engagement.

Each gives the columns `k0`, `k1`, ... (the values of the dimensions, as text) and `n_COMPONENT`.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dashboard.analytics.dimensions import find_dimension
from dashboard.analytics.filters import direct_leaves
from dashboard.analytics.goal_filters import listable, scrolls
from dashboard.analytics.metrics import BASES
from dashboard.analytics.query import OTHER, Aggregation
from dashboard.analytics.sql.components import (
    BY_VISIT,
    EVENT_COUNTS,
    EVENTS_WITH_SCROLLS,
    MONEY,
    OF_VISIT,
    PAYERS,
    REVENUE_COUNTS,
    WHOLE_VISITS,
    component_columns,
)
from dashboard.analytics.sql.expressions import (
    NO_VISIT,
    VISIT,
    VISIT_ATTRIBUTES,
    VISITOR_KEY,
    EventScope,
    GroupKey,
    clause,
)

NOBODY = "CAST([], 'Array(UInt64)')"


@dataclass(frozen=True, slots=True)
class EventQueries:
    """The subqueries of one aggregation. With `min_visitors` groups that are smaller are folded into `OTHER`, and so
    are the `also_folded` ones."""

    aggregation: Aggregation
    scope: EventScope
    min_visitors: int = 0
    also_folded: Sequence[tuple[str, ...]] = ()
    with_states: bool = False

    def subqueries(self) -> list[str]:
        """What the aggregation is the sum of."""
        if self._folds and not self.needs_shown:
            return [self._folded_at_once()]
        found = []
        visit_metrics, mixed = self.aggregation.needs("visit"), self._mixed
        derived = any(each.derived for each in self.aggregation.dimensions)
        if self._whole_visits and not derived:
            found.append(self._flat(with_visits=visit_metrics))
        elif mixed or not (visit_metrics or derived):
            found += [self._flat(), *([self._by_visit_and_event()] if visit_metrics else [])]
        else:
            found.append(self._by_visit())
        return [*found, *([self._engagement()] if self.aggregation.needs("engagement") else [])]

    @property
    def needs_shown(self) -> bool:
        """Whether the subqueries refer to the groups that are `shown`: where folding counts events or visits that are
        in several groups."""
        aggregation = self.aggregation
        derived = any(each.derived for each in aggregation.dimensions)
        by_visit_too = aggregation.needs("visit") and self._mixed and (derived or not self._whole_visits)
        return self._folds and bool(
            by_visit_too
            or aggregation.needs("engagement")
            or self._goal is not None
            or scrolls(aggregation.filters, aggregation.dimensions)
        )

    def shown(self) -> str:
        """The groups of the minimum size that are not folded in addition."""
        visitors = self._counts["visitors"]
        size = f"if({visitors} = 0, {self._counts['events']}, {visitors})"
        return f"""
    SELECT {", ".join(self._named(self._texts()))}
    FROM {self._source}
    WHERE {self.scope.of_days()} AND {self._selected}
    {clause("GROUP BY", self.aggregation.keys)}
    HAVING NOT ({size} < {self.min_visitors:d}{self._or_also_folded()})"""

    def _folded_at_once(self) -> str:
        """The only subquery, its small groups folded: groups add up, and states tell their visitors apart."""
        groups = replace(self, min_visitors=0, with_states=True)
        (inner,) = groups.subqueries()
        small = f"if(n_visitors = 0, n_events, n_visitors) < {self.min_visitors:d}{self._or_also_folded()}"
        other = self.scope.parameters.text(OTHER)
        keys = [
            f"if(small, {other}, sized.{name})" if index in self.aggregation.values else f"sized.{name}"
            for index, name in enumerate(self.aggregation.keys)
        ]
        sums = [
            f"sum(sized.n_{name}) AS n_{name}" for name in sorted(self.aggregation.components - {"visitors", "revenue"})
        ]
        if "revenue" in self.aggregation.components:
            # Of folded groups nothing is told but how many paid, for complementary suppression.
            sums += [f"sumMap(sized.n_{name}) AS n_{name}" for name in MONEY if name != "buyers"]
            sums.append("CAST(uniqExactMapMerge(payers), 'Map(String, Int64)') AS n_buyers")
        return f"""
    SELECT {", ".join([*self._named(keys), *sums])}, toInt64(uniqExactMerge(ids)) AS n_visitors
    FROM (SELECT *, {small} AS small FROM ({inner})) AS sized
    GROUP BY {", ".join(keys)}"""

    def _or_also_folded(self) -> str:
        """The groups that are folded in addition. They may be thousands, one an interval: a few parameters have all."""
        if not self.also_folded:
            return ""
        values = [self.scope.parameters.texts(list(column)) for column in zip(*self.also_folded, strict=True)]
        groups = f"SELECT arrayJoin(arrayZip({', '.join(values)}))"
        return f" OR tuple({', '.join(self.aggregation.keys)}) IN ({groups})"

    def _named(self, keys: Sequence[str]) -> list[str]:
        """The key columns, by expressions of their values."""
        return [f"{key} AS {name}" for key, name in zip(keys, self.aggregation.keys, strict=True)]

    @property
    def _source(self) -> str:
        return self.scope.source(self.aggregation.dimensions)

    @property
    def _folds(self) -> bool:
        return bool(self.min_visitors and self.aggregation.values)

    @property
    def _mixed(self) -> bool:
        """Whether events are counted apart from their visits."""
        return self._by_event or "revenue" in self.aggregation.components

    @property
    def _by_event(self) -> bool:
        """Whether events of one visit may be in several groups."""
        return self.aggregation.by_clock or any(each.level == "event" for each in self.aggregation.dimensions)

    @property
    def _whole_visits(self) -> bool:
        """Whether all events of a visit are selected where one is, and are in the same group."""
        filtered = (find_dimension(leaf.dimension) for leaf in direct_leaves(self.aggregation.filters))
        return self.scope.period.whole_dates and not (self._by_event or any(each.level == "event" for each in filtered))

    @property
    def _selected(self) -> str:
        """The condition on selected events."""
        tree, dimensions = self.aggregation.filters, self.aggregation.dimensions
        goals = [each for each in dimensions if each.name == "event:goal"]
        listed = [listable(each, tree, self.scope.parameters) for each in goals]
        return " AND ".join([self.scope.selected(tree, goals), *(each for each in listed if each != "1")])

    @property
    def _counts(self) -> dict[str, str]:
        scrolled = scrolls(self.aggregation.filters, self.aggregation.dimensions)
        return EVENT_COUNTS | ({"events": EVENTS_WITH_SCROLLS} if scrolled else {})

    def _texts(self, *, of_visit: bool = False) -> list[str]:
        """The values of the dimensions on an event."""
        return [self.scope.key(each, of_visit=of_visit).text for each in self.aggregation.dimensions]

    def _keys(self) -> tuple[list[str], list[str]]:
        """The key columns, and what to group by: values as they are stored, of folded ones the texts."""
        texts = self._folded(self._texts())
        if self._folds and self._goal is not None:
            # An event that reaches several folded goals counts once among them.
            texts[self._goal] = f"arrayJoin({self._folded_goals(self._goal)})"
        if self._folds:
            return self._named(texts), self.aggregation.keys
        by = [
            name if dimension.goals is not None else self.scope.key(dimension).by
            for name, dimension in zip(self.aggregation.keys, self.aggregation.dimensions, strict=True)
        ]
        return self._named(texts), by

    @property
    def _goal(self) -> int | None:
        """The index of the dimension whose values are the site's own goals."""
        return next((index for index, each in enumerate(self.aggregation.dimensions) if each.goals is not None), None)

    def _folded(self, texts: list[str]) -> list[str]:
        """The values of shown groups, and `OTHER` in place of those that are folded."""
        if not self._folds:
            return texts
        group, other = f"({', '.join(texts)})", self.scope.parameters.text(OTHER)
        return [
            f"if({group} IN (SELECT * FROM shown), {text}, {other})" if index in self.aggregation.values else text
            for index, text in enumerate(texts)
        ]

    def _folded_goals(self, index: int) -> str:
        """The goals that an event reaches, all that are not shown as one."""
        texts = self._texts()
        texts[index] = "goal"
        names = self.scope.value(self.aggregation.dimensions[index])
        shown = f"(SELECT groupArray(({', '.join(self.aggregation.keys)})) FROM shown)"
        known = f"has({shown}, ({', '.join(texts)}))"
        return f"arrayDistinct(arrayMap(goal -> if({known}, goal, {self.scope.parameters.text(OTHER)}), {names}))"

    def _flat(self, *, with_visits: bool = False) -> str:
        """Components of selected events, as a plain aggregation."""
        columns, grouped = self._keys()
        sql = self._counts | (WHOLE_VISITS if with_visits else {})
        if "revenue" in self.aggregation.components:
            sql |= REVENUE_COUNTS
        return f"""
    SELECT {", ".join([*columns, *self.columns(sql)])}
    FROM {self._source}
    WHERE {self.scope.of_days()} AND {self._selected}
    {clause("GROUP BY", grouped)}"""

    def _by_visit(self) -> str:
        """All components, from visits that contain a selected event; each visit is in one group."""
        dimensions = self.aggregation.dimensions
        keys = [
            GroupKey(f"if(visitor = 0, {NO_VISIT[each.column]}, {VISIT_ATTRIBUTES[each.column]})", "{}")
            if each.derived
            else self.scope.key(each)
            for each in dimensions
        ]
        texts = [key.shown.format(f"g{index}") for index, key in enumerate(keys)]
        groups = [f"{key.by} AS g{index}" for index, key in enumerate(keys)]
        grouped = [f"g{index}" for index, each in enumerate(dimensions) if not each.derived]
        return f"""
    SELECT {", ".join([*self._named(self._folded(texts)), *self.columns(BY_VISIT)])}
    FROM ({self._visits(groups, grouped)})
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _by_visit_and_event(self) -> str:
        """Components of visits, each in the group of every selected event that it contains."""
        sql = {name: each for name, each in BY_VISIT.items() if BASES[name] == "visit"}
        sql |= {"visits": "countIf(visitor != 0)", "landings": "countIf(visitor != 0 AND landed)"}
        columns = [f"groupUniqArrayArrayIf({self._own_groups()}, selected) AS own"]
        names = [each.name for each in self.aggregation.dimensions]
        values = [f"own_group.{index + 1}" for index in range(len(names))]
        if "event:page" in names:
            page = names.index("event:page")
            # Of a page the bounce rate is of visits that entered on it; of folded pages, of those that entered on one.
            entered = self._folded([*values[:page], "entered_on", *values[page + 1 :]])[page]
            on_page = f"(landed AND {entered} = {values[page]})"
            if self._folds and len(self.aggregation.values) == 1:
                columns.append("groupUniqArrayIf(page, selected) AS pages")
                on_page = f"(landed AND {entered} = {values[page]} AND has(pages, entered_on))"
            sql = {name: each.replace("landed", on_page) for name, each in sql.items()}
        return f"""
    SELECT {", ".join([*self._named(values), *self.columns(sql)])}
    FROM ({self._visits(columns, [], self._source)}) ARRAY JOIN own AS own_group
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _own_groups(self) -> str:
        """The groups that one event puts its visit into, as an array of tuples of texts."""
        texts, goal = self._texts(of_visit=True), self._goal
        if goal is None:
            return f"[tuple({', '.join(self._folded(texts))})]"
        names = self._folded_goals(goal) if self._folds else self.scope.value(self.aggregation.dimensions[goal])
        texts[goal] = "each"
        if self._folds:
            other = self.scope.parameters.text(OTHER)
            texts = [
                f"if(each = {other}, {other}, {text})" if index in self.aggregation.values and index != goal else text
                for index, text in enumerate(texts)
            ]
        return f"arrayMap(each -> tuple({', '.join(texts)}), {names})"

    def _visits(self, columns: Sequence[str], grouped: Sequence[str], source: str = "events") -> str:
        """The subquery of visits that contain a selected event, with what all their events add up to."""
        aggregation, scope = self.aggregation, self.scope
        counting_scrolls = bool(scrolls(aggregation.filters, aggregation.dimensions))
        events = "countIf(selected)"
        if counting_scrolls:
            events = "countIf(selected AND name != 'engagement') + uniqExactIf(page, selected AND name = 'engagement')"
        counts = [f"{events} AS of_events", "countIf(selected AND name = 'pageview') AS of_pageviews"]
        sums = [f"{sql} AS of_{name}" for name, sql in OF_VISIT.items()]
        landed = scope.entered(aggregation.filters, "entered_on")
        engaged = counting_scrolls or any(each.column == "engaged" for each in aggregation.dimensions)
        read = [scope.of_days(), scope.of_visits(aggregation.filters), *([] if engaged else ["name != 'engagement'"])]
        return f"""
        WITH {self._selected} AS selected
        SELECT {", ".join([VISIT, *columns, *counts, *sums])}, max(entry_page) AS entered_on, {landed} AS landed
        FROM {source}
        WHERE {" AND ".join(read)}
        GROUP BY {", ".join([VISIT, *grouped])} HAVING countIf(selected) > 0"""

    def _engagement(self) -> str:
        """Components of engagement with the selected pages, each visit once a group."""
        columns, grouped = self._keys()
        read = [self.scope.of_days(), self.scope.measured(self.aggregation.filters)]
        if self._folds and self._goal is None:
            # Of the folded groups only: a page may have engagement and no selected event.
            group, selected = f"({', '.join(self._texts())})", f"{self.scope.of_days()} AND {self._selected}"
            read.append(f"{group} IN (SELECT {group} FROM {self._source} WHERE {selected})")
        sql = {"readings": "count()", "engaged": "sum(of_engaged)", "scrolled": "sum(of_scroll)"}
        return f"""
    SELECT {", ".join([*self.aggregation.keys, *self.columns(sql)])}
    FROM (
        SELECT {", ".join([*columns, VISIT])}, sum(engaged) AS of_engaged, max(scroll) AS of_scroll
        FROM {self._source}
        WHERE {" AND ".join(read)}
        GROUP BY {", ".join([*grouped, VISIT])})
    {clause("GROUP BY", self.aggregation.keys)}"""

    def columns(self, sql: dict[str, str]) -> list[str]:
        """The columns of the components that the subquery counts; all others are empty. In `ids` are the visitors:
        where small groups are folded a state; where hours may be hidden, so many as are the minimum, and in `starters`
        as many whose visits began there."""
        if self.with_states:
            states = [f"uniqExactStateIf({VISITOR_KEY}, visitor != 0) AS ids"]
            known = sql | {"visitors": "finalizeAggregation(ids)"}
            if "revenue" in self.aggregation.components:
                states.append(f"{PAYERS} AS payers")
                known |= {"buyers": "finalizeAggregation(payers)"}
            return [*states, *component_columns(self.aggregation, known)]
        if self.min_visitors and self.aggregation.by_clock and not self.aggregation.values:
            counted = f"groupUniqArrayIf({self.min_visitors:d})({VISITOR_KEY}, visitor != 0)"
            among = {"ids": "visitors" in sql}
            if self.aggregation.needs("visit"):
                among["starters"] = "visits" in sql and "visitors" not in sql
            ids = [f"{counted if here else NOBODY} AS {name}" for name, here in among.items()]
            return [*ids, *component_columns(self.aggregation, sql)]
        return component_columns(self.aggregation, sql)
