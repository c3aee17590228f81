"""Subqueries that count components of events: by event, by visit, and of engagement.

Each gives the columns `k0`, `k1`, ... (the values of the dimensions, as text) and `n_COMPONENT`.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dashboard.analytics.aggregation import ALWAYS, Aggregation
from dashboard.analytics.dimensions import find_dimension
from dashboard.analytics.filters import direct_leaves
from dashboard.analytics.goal_filters import listable, scrolls
from dashboard.analytics.metrics import (
    BY_VISIT,
    EVENT_COUNTS,
    EVENTS_AND_SCROLLS,
    MONEY,
    OF_VISIT,
    PAGE_READS,
    PEOPLE,
    SOLD,
    VISIT,
    VISIT_COMPONENTS,
    VISITOR_KEY,
    WHOLE_VISITS,
    component_columns,
)
from dashboard.analytics.query import OTHER
from dashboard.analytics.small_counts import with_folded
from dashboard.analytics.sql.expressions import NO_VISIT, VISIT_ATTRIBUTES, EventScope, clause


@dataclass(frozen=True, slots=True)
class EventQueries:
    """The subqueries of one aggregation. With `min_visitors` groups by values that are smaller are folded into `OTHER`,
    and with them the next one where they would be too few (complementary suppression), unless counts are `rounded`."""

    aggregation: Aggregation
    scope: EventScope
    min_visitors: int = 0
    with_states: bool = False
    rounded: bool = False

    def subqueries(self) -> list[str]:
        """What the aggregation is the sum of."""
        if self._folds and not self.needs_told:
            return [self._folded_at_once()]
        visit_metrics, derived = self.aggregation.of_visits, any(each.derived for each in self.aggregation.dimensions)
        if self._whole_visits and not derived:
            found = [self._flat(WHOLE_VISITS)]
        elif self._by_event or not (visit_metrics or derived):
            found = [self._flat(EVENT_COUNTS), *([self._by_visit_and_event()] if visit_metrics else [])]
        else:
            found = [self._by_visit()]
        return [*found, *([self._engagement()] if self.aggregation.of_engagement else [])]

    @property
    def needs_told(self) -> bool:
        """Whether the subqueries refer to the groups that are `told`: where folding counts events or visits that are
        in several groups."""
        by_visit_too = self.aggregation.of_visits and self._by_event
        several = by_visit_too or self.aggregation.of_engagement or self._goal is not None
        return self._folds and (several or self._scrolls)

    def told(self) -> str:
        """The groups that are not folded, as an array: it is executed once, where a subquery would be planned again
        wherever it is referred to."""
        sizes = replace(
            self, aggregation=replace(self.aggregation, components=ALWAYS), min_visitors=0, with_states=True
        )
        groups, events = sizes._flat(EVENT_COUNTS), "sumIf(n_events, {})"
        if self._goal is not None:
            # An event may reach several goals.
            numbered = f"(SELECT *, rowNumberInAllBlocks() AS number FROM {self._source} WHERE {self.scope.of_days()})"
            groups = sizes._flat(EVENT_COUNTS, numbered, ["uniqExactState(number) AS numbers"])
            events = "uniqExactMergeIf(numbers, {})"
        return f"""
    SELECT groupArray(({", ".join(self.aggregation.keys)}))
    FROM ({with_folded(groups, self.aggregation, self.min_visitors, events, rounded=self.rounded)}) WHERE NOT folded"""

    def _folded_at_once(self) -> str:
        """The only subquery, its small groups folded: groups add up, and states tell their visitors apart."""
        (groups,) = replace(self, min_visitors=0, with_states=True).subqueries()
        other = self.scope.parameters.text(OTHER)
        keys = [
            f"if(folded, {other}, sized.{name})" if index in self.aggregation.values else f"sized.{name}"
            for index, name in enumerate(self.aggregation.keys)
        ]
        sums = {name: f"sum(sized.n_{name})" for name in self.aggregation.components - {"revenue"}}
        # Of folded groups nothing is told but how many paid, for complementary suppression.
        sums |= {name: f"sumMap(sized.n_{name})" for name in MONEY}
        sums |= {"visitors": "uniqExactMerge(ids)", "buyers": "uniqExactMapMerge(payers)"}
        return f"""
    SELECT {", ".join([*self._named(keys), *self._columns(sums)])}
    FROM ({with_folded(groups, self.aggregation, self.min_visitors, rounded=self.rounded)}) AS sized
    GROUP BY {", ".join(keys)}"""

    def _named(self, keys: Sequence[str]) -> list[str]:
        """The key columns, by expressions of their values."""
        return [f"{key} AS {name}" for key, name in zip(keys, self.aggregation.keys, strict=True)]

    @property
    def _scrolls(self) -> bool:
        """Whether scrolls are counted beside events."""
        return bool(scrolls(self.aggregation.filters, self.aggregation.dimensions))

    @property
    def _source(self) -> str:
        return self.scope.source(self.aggregation.dimensions)

    @property
    def _folds(self) -> bool:
        return bool(self.min_visitors and self.aggregation.values)

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
        tree, parameters = self.aggregation.filters, self.scope.parameters
        goals = [each for each in self.aggregation.dimensions if each.name == "event:goal"]
        return " AND ".join([self.scope.selected(tree, goals), *(listable(each, tree, parameters) for each in goals)])

    def _texts(self, *, of_visit: bool = False) -> list[str]:
        """The values of the dimensions on an event."""
        return [self.scope.key(each, of_visit=of_visit) for each in self.aggregation.dimensions]

    def _keys(self) -> list[str]:
        """The key columns of an event."""
        texts = self._folded(self._texts())
        if self._folds and self._goal is not None:
            groups = f"(arrayJoin({self._own_groups()}) AS own_group)"
            texts = [f"{groups if index == 0 else 'own_group'}.{index + 1}" for index in range(len(texts))]
        return self._named(texts)

    @property
    def _goal(self) -> int | None:
        """The index of the dimension whose values are the site's own goals."""
        return next((index for index, each in enumerate(self.aggregation.dimensions) if each.goals is not None), None)

    def _folded(self, texts: list[str]) -> list[str]:
        """The values of told groups, and `OTHER` in place of those that are folded."""
        if not self._folds:
            return texts
        group, other = f"({', '.join(texts)})", self.scope.parameters.text(OTHER)
        return [
            f"if({group} IN told, {text}, {other})" if index in self.aggregation.values else text
            for index, text in enumerate(texts)
        ]

    def _flat(self, sql: Mapping[str, str], source: str = "", more: Sequence[str] = ()) -> str:
        """Components of selected events, as a plain aggregation."""
        sql = {**sql, "events": EVENTS_AND_SCROLLS} if self._scrolls else sql
        return f"""
    SELECT {", ".join([*self._keys(), *self._columns(sql), *more])}
    FROM {source or self._source}
    WHERE {self.scope.of_days()} AND {self._selected}
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _by_visit(self) -> str:
        """All components, from visits that contain a selected event; each visit is in one group."""
        names = {f"g{index}": each for index, each in enumerate(self.aggregation.dimensions)}
        keys = [
            f"if(visitor = 0, {NO_VISIT[each.column]}, {VISIT_ATTRIBUTES[each.column]})"
            if each.derived
            else self.scope.key(each)
            for each in names.values()
        ]
        groups = [f"{key} AS {name}" for key, name in zip(keys, names, strict=True)]
        return f"""
    SELECT {", ".join([*self._named(self._folded([*names])), *self._columns(BY_VISIT)])}
    FROM ({self._visits(groups, [name for name, each in names.items() if not each.derived])})
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _by_visit_and_event(self) -> str:
        """Components of visits, each in the group of every selected event that it contains."""
        sql = {name: BY_VISIT[name] for name in VISIT_COMPONENTS}
        sql |= {"visits": "countIf(visitor != 0)", "entry_visits": "countIf(visitor != 0 AND landed)"}
        columns = [f"groupUniqArrayArrayIf({self._own_groups(of_visit=True)}, selected) AS own"]
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
    SELECT {", ".join([*self._named(values), *self._columns(sql)])}
    FROM ({self._visits(columns, [], self._source)}) ARRAY JOIN own AS own_group
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _own_groups(self, *, of_visit: bool = False) -> str:
        """The groups that one event is in, as an array of tuples of texts: an event that reaches several goals is in
        several, and counts once among those that are folded."""
        texts, goal = self._texts(of_visit=of_visit), self._goal
        if goal is None:
            return f"[tuple({', '.join(self._folded(texts))})]"
        names, texts[goal] = self.scope.value(self.aggregation.dimensions[goal]), "goal"
        return f"arrayDistinct(arrayMap(goal -> tuple({', '.join(self._folded(texts))}), {names}))"

    def _visits(self, columns: Sequence[str], grouped: Sequence[str], source: str = "events") -> str:
        """The subquery of visits that contain a selected event, with what all their events add up to."""
        aggregation, scope = self.aggregation, self.scope
        events = "countIf(selected)"
        if self._scrolls:
            events = "countIf(selected AND name != 'engagement') + uniqExactIf(page, selected AND name = 'engagement')"
        counts = [f"{events} AS of_events", "countIf(selected AND name = 'pageview') AS of_pageviews"]
        sums = [f"{sql} AS of_{name}" for name, sql in OF_VISIT.items()]
        if "revenue" in aggregation.components and not self._by_event:
            sold = "selected AND currency != ''"
            sums += [f"{EVENT_COUNTS[name].replace(SOLD, sold)} AS of_{name}" for name in ("revenue", "revenue_events")]
        landed = scope.entered(aggregation.filters, "entered_on")
        engaged = self._scrolls or any(each.column == "engaged" for each in aggregation.dimensions)
        read = [scope.of_days(), scope.of_visits(aggregation.filters), *([] if engaged else ["name != 'engagement'"])]
        return f"""
        WITH {self._selected} AS selected
        SELECT {", ".join([VISIT, *columns, *counts, *sums])}, max(entry_page) AS entered_on, {landed} AS landed
        FROM {source}
        WHERE {" AND ".join(read)}
        GROUP BY {", ".join([VISIT, *grouped])} HAVING countIf(selected) > 0"""

    def _engagement(self) -> str:
        """Components of engagement with the selected pages, each visit once a group."""
        read = [self.scope.of_days(), self.scope.measured(self.aggregation.filters)]
        if self._folds and self._goal is None:
            # Of the folded groups only: a page may have engagement and no selected event.
            group, selected = f"({', '.join(self._texts())})", f"{self.scope.of_days()} AND {self._selected}"
            read.append(f"{group} IN (SELECT {group} FROM {self._source} WHERE {selected})")
        return f"""
    SELECT {", ".join([*self.aggregation.keys, *self._columns(PAGE_READS)])}
    FROM (
        SELECT {", ".join([*self._keys(), VISIT])}, sum(engaged) AS of_engaged, max(scroll) AS of_scroll
        FROM {self._source}
        WHERE {" AND ".join(read)}
        GROUP BY {", ".join([*self.aggregation.keys, VISIT])})
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _columns(self, sql: Mapping[str, str]) -> list[str]:
        """The columns of the components that the subquery counts; all others are empty."""
        # By a number that is drawn anew for each statement: no id leaves ClickHouse.
        few = f"groupUniqArrayIf({self.min_visitors:d})(sipHash64(randConstant(), {VISITOR_KEY}), visitor != 0)"
        people = f"arrayMap(number -> (toString(number), 1), {few})"
        sql = {**sql, **{name: people for name, counted in PEOPLE.items() if counted in sql}}
        if not self.with_states:
            return component_columns(self.aggregation.components, sql)
        states = {"visitors": "ids"} | ({"buyers": "payers"} if "revenue" in self.aggregation.components else {})
        counted = {component: f"finalizeAggregation({state})" for component, state in states.items()}
        return [
            # The state of a count of different values tells those of several groups apart.
            *(f"{sql[component].replace('If(', 'StateIf(', 1)} AS {state}" for component, state in states.items()),
            *component_columns(self.aggregation.components, {**sql, **counted}),
        ]
