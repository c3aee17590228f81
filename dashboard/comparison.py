"""What the figures are held against, so that a day that is not over does not look like a fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.breakdown import TOTALS
from dashboard.formats import Value
from dashboard.query import Result
from dashboard.timeline import Moment

COUNTS = ("visitors", "visits", "pageviews")
"""Metrics that are sums; the others are means over visits."""

Totals = Mapping[str, Value]


def measured(values: Sequence[Value]) -> Totals:
    """Totals by metric; where nothing was counted, a rate of it is no measure."""
    given = dict(zip(TOTALS, values, strict=True))
    if any(given[metric] for metric in COUNTS):
        return given
    return {metric: 0 if metric in COUNTS else None for metric in TOTALS}


def so_far(shown: Sequence[Moment], earlier: Sequence[Moment], now: Result, before: Result) -> tuple[Totals, Totals]:
    """Today's whole hours, and the same number of yesterday's, put together.

    Someone who stays beyond the hour counts in each of their hours, on both sides alike: the change is fair, though
    the sums are no visitors of the day.
    """
    over = sum(1 for moment in shown if not moment.future and not moment.running)
    return _together(now, shown[:over]), _together(before, earlier[:over])


def _together(result: Result, hours: Sequence[Moment]) -> Totals:
    wanted = {moment.key for moment in hours}
    rows = [dict(zip(TOTALS, row.metrics, strict=True)) for row in result.rows if row.dimensions[0] in wanted]
    visits = sum(row["visits"] or 0 for row in rows)
    sums: dict[str, Value] = {metric: sum(row[metric] or 0 for row in rows) for metric in COUNTS}
    means: dict[str, Value] = {
        metric: sum((row[metric] or 0) * (row["visits"] or 0) for row in rows) / visits if visits else None
        for metric in TOTALS
        if metric not in COUNTS
    }
    return {metric: {**sums, **means}[metric] for metric in TOTALS}
