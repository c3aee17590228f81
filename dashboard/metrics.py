"""What a query may count: one table from metric to components.

A metric is a component, or one divided by another; components are integers that add up over days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dashboard.exceptions import QueryError

Whole = Literal["", "all", "unconverted", "group", "currency"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table of metrics: `scale` × `top` ÷ `bottom`, rounded to `digits`.

    `whole` says that `bottom` is taken from another result: that of the query without its dimensions (`all`), without
    these and its goals (`unconverted`), or of the same group without goals (`group`). A metric by `currency` is known
    only where all of the group's revenue is in one currency.
    """

    name: str
    top: str
    bottom: str
    meaning: str
    scale: float = 1
    digits: int = 0
    whole: Whole = ""
    needs: str = ""


_METRICS = (
    Metric("visitors", "visitors", "", "Unique visitors; a visitor is new each site-local day."),
    Metric("visits", "entries", "", "Visits: they end after 30 minutes without an event."),
    Metric("pageviews", "pageviews", "", "Pages viewed."),
    Metric("events", "events", "", "Pageviews and custom events."),
    Metric("views_per_visit", "views", "entries", "Pageviews divided by visits.", digits=2),
    Metric("bounce_rate", "bounces", "landings", "Visits with one pageview and nothing else, in percent.", 100),
    Metric("visit_duration", "seconds", "entries", "Average seconds from a visit's first event to its last."),
    Metric(
        "percentage", "visitors", "visitors", "Share of the query's visitors, in percent.", 100, 1, "all", "dimensions"
    ),
    Metric(
        "conversion_rate",
        "visitors",
        "visitors",
        "Share of all visitors who reached the goal, in percent.",
        100,
        1,
        "unconverted",
        "goal",
    ),
    Metric(
        "group_conversion_rate",
        "visitors",
        "visitors",
        "Share of the group's visitors who reached the goal, in percent.",
        100,
        1,
        "group",
        "goal",
    ),
    Metric(
        "time_on_page", "engaged", "readings", "Average seconds that a visit looked at the page.", 0.001, needs="page"
    ),
    Metric("scroll_depth", "scrolled", "readings", "Average of each visit's deepest scroll, in percent.", needs="page"),
    Metric("total_revenue", "revenue", "", "Revenue of the goal.", 0.001, 3, "currency", "goal"),
    Metric("average_revenue", "revenue", "sales", "Revenue per sale.", 0.001, 3, "currency", "goal"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _METRICS}


def find_metric(name: str, field: str = "metrics") -> Metric:
    """The metric of that name. Raises `QueryError` naming `field` when there is none."""
    found = METRICS.get(name)
    if found is None:
        raise QueryError(field, f"{name[:80]!r} is none of {', '.join(METRICS)}")
    return found


def ratio(metric: Metric, top: int | None, bottom: int | None) -> int | float | None:
    """The metric's value from its components; None where there is nothing to divide."""
    if top is None:
        return None
    if not metric.bottom:
        return round(top * metric.scale, metric.digits) if metric.scale != 1 else top
    if not bottom or bottom < 0:
        return None if metric.whole or metric.needs else 0
    # A visit that goes on past midnight may end its bounce a day after it was counted.
    value = round(max(0.0, metric.scale * top / bottom), metric.digits)
    return value if metric.digits else int(value)
