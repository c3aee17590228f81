"""From queries to statements: what is asked together is answered by one scan.

A query needs panels: its own groups, and the wholes that its percentages divide by. Panels over the same events become
one statement. In it each branch gives components of some panels; the outer query adds them up by panel and group.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dashboard.dimensions import CURRENCY, Dimension
from dashboard.filters import Filter, without
from dashboard.metrics import Metric
from dashboard.period import Period
from dashboard.query import Checked

# Rows that are fetched where the database cannot put them in order: the biggest groups.
UNORDERED_ROWS = 20_000

# What every panel has: whether a group is there at all, and how big it is.
ALWAYS = frozenset({"events", "visitors"})

# How many buckets a day can have at most, of each kind.
_PER_DAY = {"minute": 1500, "hour": 26, "day": 1, "week": 1 / 7, "month": 1 / 28}


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an order: the key of a number, or a component, or one component divided by another."""

    way: str
    top: str = ""
    bottom: str = ""
    key: int = -1

    @property
    def sql(self) -> str:
        """As the database orders by it."""
        if self.key >= 0:
            return f"k{self.key} {self.way}"
        value = f"c_{self.top} / nullIf(c_{self.bottom}, 0)" if self.bottom else f"c_{self.top}"
        return f"{value} {self.way} NULLS LAST"

    def value(self, key: tuple[str, ...], components: Mapping[str, int]) -> str | float | None:
        """What a group is ordered by."""
        if self.key >= 0:
            return key[self.key]
        top = components[self.top]
        if not self.bottom:
            return top
        return top / components[self.bottom] if components[self.bottom] else None


BIGGEST = (Term("desc", "visitors"),)

Scan = tuple[str, Period, Filter | None]
Place = tuple[str, Period, Filter | None, tuple[Dimension, ...], tuple[Term, ...]]


@dataclass(frozen=True, slots=True)
class Panel:
    """Components by groups: `order` is by which component ratios and keys the database puts them in order."""

    site: str
    period: Period
    filters: Filter | None
    dimensions: tuple[Dimension, ...]
    components: frozenset[str]
    order: tuple[Term, ...] = BIGGEST
    rows: int = UNORDERED_ROWS
    total_rows: bool = False
    least: int = 0
    """Groups of fewer visitors (without any: events) are of no use."""

    @property
    def scan(self) -> Scan:
        """What it has in common with panels that can share its scan."""
        return self.site, self.period, self.filters

    @property
    def place(self) -> Place:
        """What tells it from other panels; components and number of rows can be widened to serve several queries."""
        return *self.scan, self.dimensions, self.order

    @property
    def most(self) -> int:
        """How many rows to fetch: as many as are wanted, or as its dates can have buckets."""
        if not self.few:
            return self.rows
        return math.prod(math.ceil(self.period.days * _PER_DAY[each.column]) + 2 for each in self.dimensions)

    @property
    def few(self) -> bool:
        """Whether its groups are few enough to take them all, in any order."""
        return all(dimension.level == "time" for dimension in self.dimensions)


def whole(checked: Checked, metric: Metric) -> tuple[Filter | None, tuple[Dimension, ...]]:
    """Filters and dimensions of what the metric divides by."""
    filters, dimensions = checked.query.filters, checked.dimensions
    if metric.whole == "currency":
        return filters, (*dimensions, CURRENCY)
    if metric.whole == "all":
        return filters, ()
    filters = without(filters, "event:goal")
    if metric.whole == "unconverted":
        return filters, ()
    return filters, tuple(dimension for dimension in dimensions if dimension.name != "event:goal")


def top_of(checked: Checked, metric: Metric) -> str:
    """The component above the line. Of events, visits are counted as those that contain one."""
    return "seen" if metric.name == "visits" and checked.eventful else metric.top


def panels_of(checked: Checked) -> list[Panel]:
    """The query's own panel, then one for each whole that its metrics divide by. All of them say how big a group is."""
    plain = {metric.bottom for metric in checked.metrics if metric.bottom and not metric.whole}
    components = {*ALWAYS, *plain, *(top_of(checked, metric) for metric in checked.metrics)} - {"revenue"}
    wholes = [whole_panel(checked, metric) for metric in checked.metrics if metric.whole]
    return [replace(own_panel(checked), components=frozenset(components)), *wholes]


def own_panel(checked: Checked) -> Panel:
    """The panel of the query's own groups."""
    query, order = checked.query, _order(checked)
    panel = Panel(query.site, query.period, query.filters, checked.dimensions, ALWAYS, total_rows=query.total_rows)
    if panel.few:
        return panel
    return panel if order is None else replace(panel, order=order, rows=query.limit + query.offset)


def whole_panel(checked: Checked, metric: Metric) -> Panel:
    """The panel of what the metric divides by."""
    filters, dimensions = whole(checked, metric)
    query = checked.query
    wanted = {"revenue", "sales"} if metric.whole == "currency" else {metric.bottom}
    return Panel(query.site, query.period, filters, dimensions, ALWAYS | wanted)


def _order(checked: Checked) -> tuple[Term, ...] | None:
    """Order as expressions over components and keys; None where a metric is known only afterwards."""
    names = [dimension.name for dimension in checked.dimensions]
    metrics = {metric.name: metric for metric in checked.metrics}
    terms = []
    for name, way in checked.order_by:
        if name in names:
            terms.append(Term(way, key=names.index(name)))
            continue
        metric = metrics[name]
        if metric.whole in ("group", "currency"):
            return None
        # Over a whole that all groups share, the order is that of the numerator.
        terms.append(Term(way, top_of(checked, metric), "" if metric.whole else metric.bottom))
    return tuple(terms)


def batches(panels: Iterable[Panel], *, ordered: bool = True) -> list[list[Panel]]:
    """Panels that may share a statement: over the same events, and, if the database is to put them in order, in one
    that suits all of them."""
    found: list[list[Panel]] = []
    for panel in panels:
        for batch in found:
            if batch[0].scan == panel.scan and _alike(batch, panel) and (not ordered or _fits(batch, panel)):
                _join(batch, panel)
                break
        else:
            found.append([panel])
    return found


def _alike(batch: Sequence[Panel], panel: Panel) -> bool:
    """Whether all mean the same by goals: a statement lists them in one way."""
    dimensions = (each for every in (*batch, panel) for each in every.dimensions)
    return len({each.goals for each in dimensions if each.name == "event:goal"}) <= 1


def _fits(batch: Sequence[Panel], panel: Panel) -> bool:
    return panel.few or {each.order for each in batch if not each.few} <= {panel.order}


def _join(batch: list[Panel], panel: Panel) -> None:
    """Add the panel; one over the same groups is widened instead."""
    for index, each in enumerate(batch):
        if each.place == panel.place:
            batch[index] = replace(
                each,
                components=each.components | panel.components,
                rows=max(each.rows, panel.rows),
                total_rows=each.total_rows or panel.total_rows,
                least=min(each.least, panel.least),
            )
            return
    batch.append(panel)
