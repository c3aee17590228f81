"""Results of queries: from the rows of statements to metrics, as a site's protection allows."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dashboard.analytics.aggregation import Aggregation, ResolvedQuery
from dashboard.analytics.dimensions import Dimension
from dashboard.analytics.goal_filters import currency_of
from dashboard.analytics.metrics import METRICS, MONEY, Metric, component_names, ratio
from dashboard.analytics.query import OTHER, Result, Revenue, Row
from dashboard.analytics.result_cache import Rows
from dashboard.analytics.small_counts import Components, Counts, Key, Protection, hidden_buckets
from dashboard.analytics.sql.rollups import SiteState

Money = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Group:
    """Components of one group, and revenue, events with revenue and their visitors by currency. Revenue in `untold`
    currencies is withheld, as it would tell that of a few (complementary suppression)."""

    components: Components
    money: Money
    hidden: bool
    untold: frozenset[str] = frozenset()


@dataclass(slots=True)
class Groups:
    """The groups of an aggregation, in order, and how many there are in all."""

    groups: dict[Key, Group] = field(default_factory=dict)
    total: int = 0

    def part(self, aggregation: Aggregation) -> Groups:
        """The groups of one of several breakdowns in one."""
        name = aggregation.dimensions[0].name
        own = [(key[1:], group) for key, group in self.groups.items() if key[0] == name]
        return Groups(dict(own[: aggregation.limit]))


def read_groups(
    batch: Sequence[Aggregation], whole: Aggregation, rows: Rows, protection: Protection
) -> dict[Aggregation, Groups]:
    """The groups of aggregations, from the rows of the one that was asked for all of them."""
    if not whole.values:
        return {each: _read_buckets(each, whole, rows, protection) for each in batch}
    found = _read_breakdown(whole, rows, protection)
    return {each: found.part(each) if whole.parts else found for each in batch}


def _read_breakdown(aggregation: Aggregation, rows: Rows, protection: Protection) -> Groups:
    """The groups, from the rows of the statement of a breakdown."""
    found = Groups()
    names, keys = component_names(aggregation.components), len(aggregation.dimensions)
    for *row, shown, total in rows:
        counts = dict(zip(names, row[keys:], strict=False))
        money = {name: counts.pop(name) for name in MONEY if name in counts}
        most, least = row[keys + len(names) :] or ({}, {})
        untold = _untold(money, most, least, protection.min_visitors)
        if shown or not protection.rounding:
            found.groups[tuple(row[:keys])] = Group(protection.reported(counts), money, not shown, untold)
        found.total = total
    return found


def _read_buckets(aggregation: Aggregation, whole: Aggregation, rows: Rows, protection: Protection) -> Groups:
    """The groups by time or of all time, from the rows of an aggregation by days, hours or minutes."""
    buckets, hidden, minimum = _sums(aggregation, whole, rows), set[Key](), protection.min_visitors
    covered = protection.covers(aggregation) and not protection.rounding
    suppressing = covered and bool(aggregation.dimensions)
    if protection.rounding:
        buckets = {key: each for key, each in buckets.items() if protection.tells(each[0])}
    elif covered:
        hidden = hidden_buckets(buckets, minimum, suppressing=suppressing)
    buyers = [each for _, money in buckets.values() for each in money["buyers"].items()] if suppressing else []
    # Of equal names a dictionary keeps the last: the most of those with too few, and the fewest of the others.
    most = dict(sorted((name, count) for name, count in buyers if 0 < count < minimum))
    least = dict(sorted(((name, count) for name, count in buyers if count >= minimum), reverse=True))
    groups = {
        key: Group(protection.reported(counts), money, key in hidden, _untold(money, most, least, minimum))
        for key, (counts, money) in buckets.items()
    }
    return Groups(groups)


def _sums(aggregation: Aggregation, whole: Aggregation, rows: Rows) -> dict[Key, Counts]:
    """The sums of rows by the aggregation's keys. By hours and minutes a visit counts where it began, seen there or
    not."""
    names, keys = component_names(whole.components), len(whole.dimensions)
    counts: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    maps: defaultdict[Key, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in rows:
        key = tuple(row[:keys]) if whole.by_clock else _dates(aggregation, row[0])
        for name, count in zip(names, row[keys:], strict=True):
            if isinstance(count, int):
                counts[key][name] += count
            else:
                maps[key][name].update(count)
    began = aggregation.by_clock and "visits" in aggregation.components
    return {
        key: (found, maps[key])
        for key, found in counts.items()
        if found["events"] > 0 or (began and found["visits"] > 0)
    }


def _dates(aggregation: Aggregation, day: str) -> Key:
    date = datetime.date.fromisoformat(day)
    return tuple(str(aggregation.period.date_label(date, each.column)) for each in aggregation.dimensions)


def _untold(money: Money, most: Mapping[str, int], least: Mapping[str, int], minimum: int) -> frozenset[str]:
    """The currencies in which a group's revenue is withheld with that of groups of too few buyers, as there is none
    other with fewer buyers: `most` is what the greatest group has whose revenue is not told, `least` the smallest whose
    revenue would be. Buyers of several groups may be the same, so that those groups are not added up."""
    buyers = money.get("buyers", {})
    return frozenset(name for name, few in most.items() if few < minimum and buyers.get(name) == least.get(name))


def build_result(resolved: ResolvedQuery, found: Mapping[Aggregation, Groups], state: SiteState) -> Result:
    """The result of a query, from the groups of its aggregations."""
    query, own, protection = resolved.query, resolved.own(), state.protection
    groups = found[own].groups or ({} if resolved.dimensions else {(): Group({}, {}, hidden=False)})
    read = RowReader(
        resolved,
        protection,
        protection.covers(own),
        protection.least_divisor(own),
        {metric.name: [found[each] for each in resolved.others(metric)] for metric in resolved.metrics},
    )
    shown = {key: group for key, group in groups.items() if not group.hidden}
    read = replace(read, suppressed={each.name: read.suppressed_rates(each, shown) for each in resolved.metrics})
    # What is too small is no row by value, and a hidden one by time; but none where all are: they tell when few came.
    named = bool(own.values or (resolved.dimensions and read.protected and not shown))
    rows = [read.row(key, group) for key, group in groups.items() if not (named and group.hidden)]
    if resolved.ordered_here or not named:
        for name, way in reversed(resolved.order_by):
            _sort(resolved, rows, name, descending=way == "desc")
        rows.sort(key=lambda row: row.folded)
        rows = rows[query.offset : query.offset + query.limit]
    if read.by_goal:  # the place of a row that is not told would tell of it
        rows.sort(key=lambda row: (row.folded, len(row.withheld) == len(row.metrics)))
    labels = (tuple(map(Dimension.label, resolved.dimensions, row.dimensions)) for row in rows)
    return Result(
        metrics=query.metrics,
        dimensions=query.dimensions,
        rows=[replace(row, dimensions=each) for row, each in zip(rows, labels, strict=True)],
        total_rows=(found[own].total if named else len(groups)) if query.total_rows else None,
        hidden=all(row.hidden for row in rows) and any(group.hidden for group in groups.values()),
        protected=read.protected or bool(protection.rounding),
        min_visitors=protection.min_visitors,
        rounded_to=protection.rounding,
        events_available_from=max(map(state.available_from, resolved.aggregations())),
        imported=state.imported(query.period) - resolved.left_out,
        imported_left_out=resolved.left_out,
        property_days_left_out=len(state.without_properties(own)),
    )


@dataclass(frozen=True, slots=True)
class RowReader:
    """Makes rows of the groups of a query. `others` are the groups that its metrics need besides, by their names
    (`ResolvedQuery.others`); `protected` says whether small groups are hidden, and with them rates that tell of fewer
    than `least`."""

    resolved: ResolvedQuery
    protection: Protection
    protected: bool
    least: int
    others: Mapping[str, Sequence[Groups]]
    suppressed: Mapping[str, Collection[Key]] = field(default_factory=dict)

    @property
    def by_goal(self) -> bool:
        return any(each.name == "event:goal" for each in self.resolved.dimensions)

    def row(self, key: Key, group: Group) -> Row:
        """The row of a group. Of a goal that few did not reach nothing is told, as other rows divide by the same."""
        if group.hidden:
            return Row(key, (None,) * len(self.resolved.metrics), hidden=True)
        revenue = self._revenue(key, group)
        only = revenue[0] if len(revenue) == 1 else None
        values, withheld = list[int | float | None](), set[str]()
        for metric in self.resolved.metrics:
            top, bottom = self._top(metric, key, group), self._bottom(metric, key, group)
            if metric.is_revenue:
                values.append(only.metric(metric.name) if only else None)
            elif self.by_goal and metric.denominator and 0 < (bottom or 0) - (top or 0) < self.least:
                return Row(key, (None,) * len(self.resolved.metrics), withheld=frozenset(self.resolved.query.metrics))
            elif top is None or 0 < (bottom or 0) < self.least or key in self.suppressed[metric.name]:
                values.append(None)
                withheld.add(metric.name)
            else:
                values.append(ratio(metric, top, bottom))
        return Row(key, tuple(values), only.currency if only else "", revenue=revenue, withheld=frozenset(withheld))

    def suppressed_rates(self, metric: Metric, shown: Mapping[Key, Group]) -> Collection[Key]:
        """The groups whose rate of a goal is withheld: of which few did not reach it; of the others that with fewest,
        where few are left of all (complementary suppression); all, where few are left of whom all divide by."""
        if metric.needs != "goal" or self.by_goal:
            return ()
        whole, reached = (sum(map(_visitors, each.groups.values())) for each in self.others[metric.name][1:])
        bottoms = {key: self._bottom(metric, key, each) for key, each in shown.items()}
        left = {key: bottom - _visitors(shown[key]) for key, bottom in bottoms.items() if bottom}
        few = [key for key, count in left.items() if 0 < count < self.least]
        if metric.denominator == "unconverted":
            return shown if 0 < whole - reached < self.least else few
        told = sorted((count, key) for key, count in left.items() if key not in few)
        rest = whole - reached - sum(count for count, _ in told)
        return [*few, *([key for count, key in told if count][:1] if 0 < rest < self.least else [])]

    def _bottom(self, metric: Metric, key: Key, group: Group) -> int | None:
        """What a metric of a group divides by; None where that is nothing or not known."""
        if not metric.denominator:
            return group.components.get(metric.bottom)
        pairs = zip(key, self.resolved.dimensions, strict=True)
        without_goals = tuple(value for value, each in pairs if each.name != "event:goal")
        divisor = {"page": key, "group": without_goals}.get(metric.denominator, ())
        found = self.others[metric.name][0].groups.get(divisor)
        return None if found is None or found.hidden else found.components.get(metric.bottom)

    def _top(self, metric: Metric, key: Key, group: Group) -> int | None:
        """What a metric of a group counts. Under a further filter None where that is hidden, or where those are who are
        left: they follow from the group's."""
        if not metric.narrowed:
            return group.components.get(metric.top, 0)
        groups = [each.groups.get(key) for each in self.others[metric.name]]
        if any(each is not None and each.hidden for each in groups):
            return None
        return groups[0].components[metric.top] if groups[0] is not None else 0

    def _revenue(self, key: Key, group: Group) -> tuple[Revenue, ...]:
        """A group's revenue in each currency that may be told, by the currencies' codes; of goals that have been given
        a currency, in that one."""
        if not any(metric.is_revenue for metric in self.resolved.metrics) or OTHER in key:
            return ()
        # Where small groups are hidden, enough visitors must have paid in a currency: these cut groups further.
        minimum = self.protection.min_visitors if self.protected else 0
        paid, sold = group.money.get("revenue", {}), group.money.get("revenue_events", {})
        asked = currency_of(self.resolved.dimensions, key, self.resolved.query.filters)
        if asked and asked not in paid:
            return (Revenue.of(asked, 0, 0),)
        return tuple(
            Revenue.of(currency, self.protection.amount(amount, sold[currency]), events)
            for currency, amount in sorted(paid.items())
            if asked in ("", currency) and currency not in group.untold
            if (events := self.protection.count(sold[currency]))
            and (group.money["buyers"].get(currency, 0) or events) >= minimum
        )


def _visitors(group: Group) -> int:
    return group.components.get("visitors", 0)


def _sort(resolved: ResolvedQuery, rows: list[Row], name: str, *, descending: bool) -> None:
    """Sort stably, so that sorting by the last term of an order first gives the whole of it. None comes last."""
    names = [dimension.name for dimension in resolved.dimensions]
    if name in names:
        rows.sort(key=lambda row: row.dimensions[names.index(name)], reverse=descending)
        return
    main, index = _main_currency(rows), resolved.query.metrics.index(name)

    def place(row: Row) -> tuple[bool, float]:
        amounts = (each.metric(name) for each in row.revenue if each.currency == main)
        value = next(amounts, None) if METRICS[name].is_revenue else row.metrics[index]
        return value is None, -(value or 0) if descending else value or 0

    rows.sort(key=place)


def _main_currency(rows: Sequence[Row]) -> str:
    """The currency that most rows have revenue in, of equal ones the first by its code: rows are sorted by it."""
    counts = Counter(each.currency for row in rows for each in row.revenue if each.total)
    return min(counts, key=lambda currency: (-counts[currency], currency), default="")
