"""Metrics of the query language: one table from metric to the components that it is computed from, and one from
component to SQL, over events, over visits, over engagement and over closed days.

A component is an integer that a statement counts; a metric is a component, or one divided by another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from collector.rollups.aggregates import REVENUE
from dashboard.analytics.dimensions import Dimension
from dashboard.analytics.errors import QueryError

Denominator = Literal["", "all", "unconverted", "group", "page"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table of metrics: `scale` x `top` / `bottom`, rounded to `digits`.

    `denominator` says that `bottom` comes from another result: that of the query without its dimensions (`all`),
    without these and its goals (`unconverted`), of the same group without goals (`group`), or of the page of that path
    (`page`). `narrowed` is a dimension whose value `true` is added to the filters for `top`.
    """

    name: str
    top: str
    bottom: str
    meaning: str
    scale: float = 1
    digits: int = 0
    denominator: Denominator = ""
    needs: str = ""
    narrowed: str = ""

    @property
    def is_revenue(self) -> bool:
        """Whether it is counted by currency."""
        return self.top == "revenue"


_METRICS = (
    Metric("visitors", "visitors", "", "Unique visitors; a visitor is new each site-local day."),
    Metric("visits", "visits", "", "Visits: they end after 30 minutes without an event."),
    Metric("pageviews", "pageviews", "", "Pages viewed."),
    Metric("events", "events", "", "Pageviews and custom events."),
    Metric("views_per_visit", "views", "visits", "Pageviews divided by visits.", digits=2),
    Metric("bounce_rate", "bounces", "entry_visits", "Visits with one pageview and nothing else, in percent.", 100),
    Metric("visit_duration", "seconds", "visits", "Average seconds from a visit's first event to its last."),
    Metric(
        "percentage", "visitors", "visitors",
        "Share of the query's visitors, in percent.", 100, 1, "all", "dimensions",
    ),
    Metric(
        "conversion_rate", "visitors", "visitors",
        "Share of all visitors who reached the goal, in percent.", 100, 1, "unconverted", "goal",
    ),
    Metric(
        "group_conversion_rate", "visitors", "visitors",
        "Share of the group's visitors who reached the goal, in percent.", 100, 1, "group", "goal",
    ),
    Metric(
        "time_on_page", "engagement_ms", "page_reads",
        "Average seconds that a visit looked at the page.", 0.001, needs="page",
    ),
    Metric(
        "scroll_depth", "scroll_depth_sum", "page_reads",
        "Average of each visit's deepest scroll, in percent.", needs="page",
    ),
    Metric(
        "exit_rate", "exits", "visit_pageviews",
        "Visits that ended on the page, in percent of its pageviews.", 100, 1, "page", "exit_page",
    ),
    Metric(
        "returning_visitors",
        "visitors",
        "",
        "Visitors with two or more visits on a site-local day.",
        needs="time",
        narrowed="visit:returning",
    ),
    Metric(
        "returning_rate",
        "visitors",
        "visitors",
        "Returning visitors in percent of visitors.",
        100,
        1,
        needs="time",
        narrowed="visit:returning",
    ),
    Metric("total_revenue", "revenue", "", "Revenue of the selected events.", 0.001, 3, needs="currency"),
    Metric(
        "average_revenue", "revenue", "revenue_events",
        "Revenue per event with revenue.", 0.001, 3, needs="currency",
    ),
)  # fmt: skip
METRICS: dict[str, Metric] = {metric.name: metric for metric in _METRICS}


def find_metric(name: str, field: str = "metrics") -> Metric:
    """The metric of that name. Raises `QueryError` naming `field` when there is none."""
    found = METRICS.get(name)
    if found is None:
        raise QueryError(field, f"{name[:80]!r} is none of {', '.join(METRICS)}")
    return found


def check_needs(metric: Metric, dimensions: Sequence[Dimension], filtered: Sequence[Dimension]) -> None:
    """Raise `QueryError` where the dimensions of a query, and those of its filters, lack what a metric needs."""
    names = {dimension.name for dimension in (*dimensions, *filtered)}
    if metric.needs == "dimensions" and not dimensions:
        raise QueryError("metrics", f"{metric.name} needs at least one dimension")
    if metric.needs == "time" and any(dimension.level != "time" for dimension in dimensions):
        # By values: the filter `visit:returning` with the metric `visitors`.
        raise QueryError("metrics", f"{metric.name} has no dimensions but time; filter by {metric.narrowed} instead")
    if metric.needs in ("goal", "page") and f"event:{metric.needs}" not in names:
        raise QueryError("metrics", f"{metric.name} needs event:{metric.needs} as a dimension or filter")
    if metric.needs == "exit_page":
        if [each.name for each in dimensions] != ["visit:exit_page"]:
            raise QueryError("metrics", f"{metric.name} needs visit:exit_page as the only dimension")
        if any(each.level == "event" for each in filtered):
            raise QueryError("metrics", f"{metric.name} cannot be filtered by event dimensions")


def ratio(metric: Metric, top: int | None, bottom: int | None) -> int | float | None:
    """The metric's value from its components; None where there is nothing to divide by."""
    if top is None:
        return None
    if not metric.bottom:
        return round(top * metric.scale, metric.digits) if metric.scale != 1 else top
    if not bottom or bottom < 0:
        return None if metric.denominator or metric.needs else 0
    # Rows of earlier releases have visits that go on past midnight, whose bounce may end a day after it was counted.
    value = round(max(0.0, metric.scale * top / bottom), metric.digits)
    return value if metric.digits else int(value)


VISIT = "day, visitor, visit"
VISITOR_KEY = "bitXor(visitor, intHash64(toUInt64(day)))"
"""One number per visitor and day: identifiers of different days are unrelated, and so must equal ones be."""
SOLD = "currency != ''"
MONEY = ("revenue", "revenue_events", "buyers")
"""Revenue in thousandths of its unit, events with revenue and their visitors: components that are by currency."""
PEOPLE = {"people": "visitors", "starters": "visits"}
"""Who was seen, and whose visits began there, beside the component that counts them: by numbers that each statement
draws anew, so that they tell nobody apart elsewhere, and no more of a group than its minimum."""

EVENT_COUNTS = {
    "visitors": f"uniqExactIf({VISITOR_KEY}, visitor != 0)",
    "pageviews": "countIf(name = 'pageview')",
    "events": "count()",
    "visit_pageviews": "countIf(name = 'pageview' AND visitor != 0)",
    "revenue": f"sumMapIf(map(toString(currency), {REVENUE}), {SOLD})",
    "revenue_events": f"sumMapIf(map(toString(currency), toInt64(1)), {SOLD})",
    "buyers": f"uniqExactMapIf(map(toString(currency), {VISITOR_KEY}), {SOLD} AND visitor != 0)",
}
EVENTS_AND_SCROLLS = f"countIf(name != 'engagement') + uniqExactIf(({VISIT}, page), name = 'engagement')"
OF_VISIT = {
    "visits": "sum(visits)",
    "exits": "sum(visits)",
    "views": "countIf(name = 'pageview' AND visitor != 0)",
    "seconds": "sum(seconds)",
    "bounces": "sum(bounces)",
}
# Of visits all of whose events are selected, the numbers that each event adds to its visit simply add up.
WHOLE_VISITS = EVENT_COUNTS | OF_VISIT | {"entry_visits": "sum(visits)"}
BY_VISIT = {
    "visitors": EVENT_COUNTS["visitors"],
    "pageviews": "sum(of_pageviews)",
    "events": "sum(of_events)",
    "visit_pageviews": "sumIf(of_pageviews, visitor != 0)",
    "visits": "sum(of_visits)",
    "exits": "sum(of_exits)",
    "views": "sum(of_views)",
    "seconds": "sum(of_seconds)",
    "entry_visits": "sumIf(of_visits, landed)",
    "bounces": "sumIf(of_bounces, landed)",
    "revenue": "sumMap(of_revenue)",
    "revenue_events": "sumMap(of_revenue_events)",
    "buyers": (
        f"uniqExactMapIf(mapApply((currency, sold) -> (currency, {VISITOR_KEY}), of_revenue_events), visitor != 0)"
    ),
}
AMOUNTS = {"seconds": "visits", "engagement_ms": "page_reads", "scroll_depth_sum": "page_reads"}
"""Components that are no counts, beside the count of what they are added up over."""
PAGE_READS = {"page_reads": "count()", "engagement_ms": "sum(of_engaged)", "scroll_depth_sum": "sum(of_scroll)"}
"""Components that are counted over engagement with the selected pages."""
VISIT_COMPONENTS = frozenset({*OF_VISIT, "entry_visits"})
"""Those that are counted over all events of the visits that contain a selected event; the rest are over selected
events. docs/metrics.md defines them."""

_REVENUE_OF_DAYS = {
    "revenue": f"sumMapIf(map(toString(currency), revenue), {SOLD})",
    "revenue_events": f"sumMapIf(map(toString(currency), toInt64(revenue_events)), {SOLD})",
}
# Of whole days every visit lands on a page that is asked for: entry visits are visits.
VISITS_OF_DAYS = {name: f"sum({name})" for name in ("visitors", "pageviews", "events", "seconds", "bounces")}
VISITS_OF_DAYS |= {
    "views": "sum(visit_pageviews)",
    "visits": "sum(visits)",
    "exits": "sum(visits)",
    "entry_visits": "sum(visits)",
} | _REVENUE_OF_DAYS
COUNTS_OF_DAYS = {
    name: f"sum({name})"
    for name in ("visitors", "pageviews", "events", "page_reads", "engagement_ms", "scroll_depth_sum")
}
COUNTS_OF_DAYS |= {"visits": "sum(visits_with_event)", "visit_pageviews": "sum(pageviews)"} | _REVENUE_OF_DAYS
ENTRIES_OF_DAYS = {"entry_visits": "sum(visits)", "bounces": "sum(bounces)"}


def component_names(components: Collection[str]) -> list[str]:
    """Names of the columns of components: revenue is three."""
    return [*sorted({*components} - {"revenue"}), *(MONEY if "revenue" in components else ())]


def component_columns(components: Collection[str], sql: Mapping[str, str]) -> list[str]:
    """One column for each: `sql` has those that a subquery counts; all others are empty."""
    return [
        f"CAST({sql.get(name, 'map()')}, 'Map(String, Int64)') AS n_{name}"
        if name in MONEY or name in PEOPLE
        else f"toInt64({sql.get(name, '0')}) AS n_{name}"
        for name in component_names(components)
    ]
