"""A query is a value: what to count, over which dates, by what, of which events, in what order, how much of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from collector.goals import Goal
from dashboard.dimensions import Dimension, find_dimension
from dashboard.exceptions import QueryError
from dashboard.filters import Filter, direct_leaves
from dashboard.goals import Matching, listed, with_goals
from dashboard.metrics import Metric, find_metric
from dashboard.period import Period

MOST_DIMENSIONS, MOST_METRICS = 5, 20
DEFAULT_LIMIT, MOST_LIMIT, MOST_OFFSET = 100, 10_000, 1_000_000

__all__ = ["Query", "QueryError", "Result", "Row", "check"]


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the store, in names of the tables `METRICS` and `DIMENSIONS`; `time` is the period's bucket.

    `order_by` is pairs of a metric or dimension of the query and `asc` or `desc`; without it, time ascending and then
    the first metric descending. `total_rows` asks how many rows there are before `limit` and `offset`.
    """

    site: str
    metrics: tuple[str, ...]
    period: Period
    dimensions: tuple[str, ...] = ()
    filters: Filter | None = None
    order_by: tuple[tuple[str, str], ...] = ()
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    total_rows: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Values of the query's dimensions, and of its metrics; None where there is nothing to divide.

    `currency` is that of the row's revenue; with several currencies there is none, and revenue is None.
    """

    dimensions: tuple[str, ...]
    metrics: tuple[int | float | None, ...]
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer: rows in order. Without dimensions there is always exactly one."""

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    total_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A query whose every name was found in the tables."""

    query: Query
    metrics: tuple[Metric, ...]
    dimensions: tuple[Dimension, ...]
    order_by: tuple[tuple[str, str], ...]

    @property
    def eventful(self) -> bool:
        """Whether it selects or groups events themselves, not whole visits."""
        return any(dimension.level == "event" for dimension in (*self.dimensions, *_filtered(self.query.filters)))


def check(query: Query, goals: tuple[Goal, ...] = (), matching: Matching | None = None) -> Checked:
    """Look every name up, goals among the site's own (`with_goals`). Raises `QueryError` naming the field."""
    metrics = tuple(find_metric(name) for name in query.metrics)
    if not 1 <= len(metrics) <= MOST_METRICS:
        raise QueryError("metrics", f"expected one to {MOST_METRICS} metrics")
    names = tuple(f"time:{query.period.bucket}" if name == "time" else name for name in query.dimensions)
    if len(names) > MOST_DIMENSIONS or len(set(names)) < len(names):
        raise QueryError("dimensions", f"expected at most {MOST_DIMENSIONS} different dimensions")
    dimensions = tuple(find_dimension(name) for name in names)
    filtered = tuple(_filtered(query.filters))
    for metric in metrics:
        _check_needs(metric, dimensions, filtered)
    if not 1 <= query.limit <= MOST_LIMIT or not 0 <= query.offset <= MOST_OFFSET:
        raise QueryError("pagination", f"expected a limit of 1 to {MOST_LIMIT} and an offset of 0 to {MOST_OFFSET}")
    asked = replace(query, filters=with_goals(query.filters, goals, matching or {}))
    shown = tuple(listed(dimension, asked.filters, goals) for dimension in dimensions)
    return Checked(asked, metrics, shown, _order(query, names))


def _filtered(tree: Filter | None) -> Iterable[Dimension]:
    return (find_dimension(leaf.dimension, "filters") for leaf in direct_leaves(tree))


def _check_needs(metric: Metric, dimensions: tuple[Dimension, ...], filtered: tuple[Dimension, ...]) -> None:
    names = {dimension.name for dimension in (*dimensions, *filtered)}
    if metric.needs == "dimensions" and not dimensions:
        raise QueryError("metrics", f"{metric.name} needs at least one dimension")
    if metric.needs == "goal" and "event:goal" not in names:
        raise QueryError("metrics", f"{metric.name} needs event:goal as a dimension or filter")
    if metric.needs == "page" and "event:page" not in names:
        raise QueryError("metrics", f"{metric.name} needs event:page as a dimension or filter")


def _order(query: Query, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not query.order_by:
        times = tuple((name, "asc") for name in names if name.startswith("time:"))
        return (*times, (query.metrics[0], "desc"))
    order = tuple((f"time:{query.period.bucket}" if name == "time" else name, way) for name, way in query.order_by)
    for name, way in order:
        if name not in names and name not in query.metrics:
            raise QueryError("order_by", f"{name[:80]!r} is none of the query's metrics and dimensions")
        if way not in ("asc", "desc"):
            raise QueryError("order_by", "expected asc or desc")
    return order
