"""The aggregations that a query is answered from, once every name in it is looked up."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from collector.sites.goals import Goal
from dashboard.analytics.dimensions import ONLY_FILTERS, PART, VALUE, Dimension, find_dimension
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import Filter, direct_leaves, every, is_, without
from dashboard.analytics.goal_filters import Matching, listed, with_goals
from dashboard.analytics.metrics import PAGE_READS, VISIT_COMPONENTS, Metric, check_needs, find_metric
from dashboard.analytics.period import MAX_BUCKETS, Bucket, Period
from dashboard.analytics.query import MAX_DIMENSIONS, MAX_LIMIT, MAX_METRICS, MAX_OFFSET, Query


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One term of an order: the key of that index, or a component, or one component divided by another."""

    descending: bool
    top: str = ""
    bottom: str = ""
    unknown_last: bool = False
    key: int = -1


@dataclass(frozen=True, slots=True)
class Aggregation:
    """Components by groups, over a period: what one statement answers.

    `components` always has `visitors` and `events`, the size of a group; `revenue` adds revenue by currency.
    """

    site: str
    period: Period
    filters: Filter | None
    dimensions: tuple[Dimension, ...]
    components: frozenset[str]
    order: tuple[OrderTerm, ...] = ()
    limit: int = MAX_LIMIT
    offset: int = 0
    total_rows: bool = False
    parts: tuple[Aggregation, ...] = ()
    """Of several breakdowns in one: these. Its own dimensions are then `PART` and `VALUE`."""
    left_out: frozenset[datetime.date] = frozenset()
    """Imported days whose sums are not to be counted: what it is the denominator of has none of them."""

    @property
    def values(self) -> tuple[int, ...]:
        """Indexes of the dimensions that are not time."""
        return tuple(index for index, each in enumerate(self.dimensions) if each.level != "time")

    @property
    def keys(self) -> list[str]:
        """Names of the columns that the values of the dimensions are in."""
        return [f"k{index}" for index in range(len(self.dimensions))]

    @property
    def by_clock(self) -> bool:
        """Whether it is grouped by hours or minutes."""
        return any(each.column in ("hour", "minute") for each in self.dimensions)

    @property
    def of_visits(self) -> bool:
        """Whether any component is counted over visits."""
        return not VISIT_COMPONENTS.isdisjoint(self.components)

    @property
    def of_engagement(self) -> bool:
        """Whether any component is counted over engagement."""
        return not PAGE_READS.keys().isdisjoint(self.components)


def combined(aggregations: Sequence[Aggregation]) -> Aggregation:
    """One aggregation for several that are asked together: by day, or a breakdown by all of their dimensions."""
    first = aggregations[0]
    components = frozenset[str]().union(*(each.components for each in aggregations))
    if not first.values:
        dimensions = first.dimensions if first.by_clock else (find_dimension("time:day"),)
        return replace(first, dimensions=dimensions, components=components)
    if len(aggregations) == 1:
        return first
    return replace(
        first,
        dimensions=(PART, VALUE),
        components=components,
        limit=max(each.limit for each in aggregations),
        parts=tuple({each.dimensions: each for each in aggregations}.values()),
    )


ALWAYS = frozenset({"events", "visitors"})


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """A query whose every name was found in the tables."""

    query: Query
    metrics: tuple[Metric, ...]
    dimensions: tuple[Dimension, ...]
    order_by: tuple[tuple[str, str], ...]
    left_out: frozenset[datetime.date] = frozenset()
    """Imported days that its result leaves out, and what it divides by as well."""

    @property
    def ordered_here(self) -> bool:
        """Whether the order is known only once other results are: then all rows are fetched and sorted in `results`."""
        late = {each.name for each in self.metrics if each.is_revenue or each.denominator in ("group", "page")}
        return any(name in late for name, _ in self.order_by)

    def own(self) -> Aggregation:
        """The aggregation of the query's own groups."""
        query = self.query
        bottoms = (each.bottom for each in self.metrics if each.bottom and not (each.denominator or each.is_revenue))
        components = ALWAYS.union((each.top for each in self.metrics), bottoms)
        found = Aggregation(query.site, query.period, query.filters, self.dimensions, components)
        if self.ordered_here:
            return replace(found, order=(OrderTerm(descending=True, top="visitors"),), total_rows=query.total_rows)
        order = tuple(self._term(name, way == "desc") for name, way in self.order_by)
        return replace(found, order=order, limit=query.limit, offset=query.offset, total_rows=query.total_rows)

    def others(self, metric: Metric) -> list[Aggregation]:
        """The aggregations that a metric needs besides: of what it divides by, for a goal also of all visitors and of
        those who reached it; or of the query's groups under a further filter, for whom it holds and for whom not."""
        if metric.narrowed:
            own, conditions = self.own(), [is_(metric.narrowed, value) for value in ("true", "false")]
            own = replace(own, components=ALWAYS, total_rows=False)
            return [replace(own, filters=every(own.filters, each)) for each in conditions]
        if not metric.denominator:
            return []
        query = self.query
        without_goals = tuple(each for each in self.dimensions if each.name != "event:goal")
        dimensions = {"page": (find_dimension("event:page"),), "group": without_goals}.get(metric.denominator, ())
        filters = query.filters if metric.denominator in ("all", "page") else without(query.filters, "event:goal")
        order, components = (OrderTerm(descending=True, top="visitors"),), ALWAYS | {metric.bottom}
        found = Aggregation(query.site, query.period, filters, dimensions, components, order, left_out=self.left_out)
        if metric.needs != "goal":
            return [found]
        whole = replace(found, dimensions=())
        return [found, whole, replace(whole, filters=query.filters)]

    def aggregations(self) -> list[Aggregation]:
        """All that the query needs, its own first."""
        return [self.own(), *(each for metric in self.metrics for each in self.others(metric))]

    def _term(self, name: str, descending: bool) -> OrderTerm:
        names = [each.name for each in self.dimensions]
        if name in names:
            return OrderTerm(descending, key=names.index(name))
        metric = find_metric(name)
        # Over a denominator that all groups share, the order is that of the numerator.
        return OrderTerm(descending, metric.top, "" if metric.denominator else metric.bottom, bool(metric.needs))


def resolve(query: Query, goals: tuple[Goal, ...] = (), matching: Matching | None = None) -> ResolvedQuery:
    """Look every name up, goals among the site's own (`with_goals`). Raises `QueryError` naming the field."""
    metrics = tuple(map(find_metric, query.metrics))
    if not 1 <= len(metrics) <= MAX_METRICS:
        raise QueryError("metrics", f"expected one to {MAX_METRICS} metrics")
    names = tuple(f"time:{query.period.bucket}" if name == "time" else name for name in query.dimensions)
    if len(names) > MAX_DIMENSIONS or len(set(names)) < len(names):
        raise QueryError("dimensions", f"expected at most {MAX_DIMENSIONS} different dimensions")
    dimensions = tuple(map(find_dimension, names))
    for name in ONLY_FILTERS.keys() & {*names}:
        raise QueryError("dimensions", f"{name} is for filters alone")
    for each in dimensions:
        if each.level == "time" and query.period.bucket_count(cast("Bucket", each.column)) > MAX_BUCKETS:
            raise QueryError("dimensions", f"expected at most {MAX_BUCKETS} intervals in the period")
    filtered = tuple(find_dimension(leaf.dimension, "filters") for leaf in direct_leaves(query.filters))
    if any(each.level == "time" for each in filtered):
        raise QueryError("filters", "expected event or visit dimensions")
    for metric in metrics:
        check_needs(metric, dimensions, filtered)
    if not 1 <= query.limit <= MAX_LIMIT or not 0 <= query.offset <= MAX_OFFSET:
        raise QueryError("pagination", f"expected a limit of 1 to {MAX_LIMIT} and an offset of 0 to {MAX_OFFSET}")
    resolved = replace(query, filters=query.filters and with_goals(query.filters, goals, matching or {}))
    shown = tuple(listed(dimension, resolved.filters, goals) for dimension in dimensions)
    return ResolvedQuery(resolved, metrics, shown, _order(query, names))


def _order(query: Query, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not query.order_by:
        times = tuple((name, "asc") for name in names if name.startswith("time:"))
        return (*times, (query.metrics[0], "desc"))
    order = tuple((f"time:{query.period.bucket}" if name == "time" else name, way) for name, way in query.order_by)
    if len({name for name, _ in order}) < len(order):
        # Each term may be a sort of all rows.
        raise QueryError("order_by", "expected each metric and dimension once")
    for name, way in order:
        if name not in names and name not in query.metrics:
            raise QueryError("order_by", f"{name[:80]!r} is none of the query's metrics and dimensions")
        if way not in ("asc", "desc"):
            raise QueryError("order_by", "expected asc or desc")
    return order
