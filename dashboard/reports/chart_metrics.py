"""Metrics of the chart, their names, and which of them a view has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from dashboard.i18n.translations import N_

MEASURES: Final = {
    "visitors": N_("Visitors"),
    "visits": N_("Visits"),
    "pageviews": N_("Pageviews"),
    "views_per_visit": N_("Views per visit"),
    "bounce_rate": N_("Bounce rate"),
    "visit_duration": N_("Visit duration"),
    "events": N_("Events"),
    "conversion_rate": N_("Conversion rate"),
    "time_on_page": N_("Time on page"),
    "scroll_depth": N_("Scroll depth"),
}
DEFAULT_MEASURE: Final = "visitors"

COUNTS: Final = frozenset({"visitors", "visits", "pageviews", "events"})
"""Metrics that are sums."""
OF_VISITS: Final = frozenset({"views_per_visit", "bounce_rate", "visit_duration"})
"""Metrics that are means over visits; the others are means over something else."""

_REPLACED: Final[Mapping[str, Mapping[str, str]]] = {
    "event:goal": {"pageviews": "conversion_rate"},
    "event:page": {"views_per_visit": "time_on_page", "visit_duration": "scroll_depth"},
}
"""Metrics that a filter by a goal or a page puts in the place of others, so that every view has as many."""


def chart_metrics_of(dimensions: Collection[str]) -> tuple[str, ...]:
    """The metrics of a view that is filtered by these dimensions, in order."""
    replaced = {old: new for name, pairs in _REPLACED.items() if name in dimensions for old, new in pairs.items()}
    special = {new for pairs in _REPLACED.values() for new in pairs.values()}
    return tuple(replaced.get(name, name) for name in MEASURES if name not in special)


def by_time(metric: str) -> str:
    """The metric to ask for in each bucket: there a rate is of the bucket's own visitors."""
    return "group_conversion_rate" if metric == "conversion_rate" else metric
