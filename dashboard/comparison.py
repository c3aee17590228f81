"""What the figures are held against, so that a day that is not over does not look like a fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.formats import Value
from dashboard.measures import COUNTS, OF_VISITS
from dashboard.query import Result
from dashboard.timeline import Moment

Totals = Mapping[str, Value]


def measured(names: Sequence[str], values: Sequence[Value]) -> Totals:
    """Totals by metric; where nothing was counted, a rate of it is no measure."""
    given = dict(zip(names, values, strict=True))
    if any(given.get(metric) for metric in COUNTS):
        return given
    return {metric: 0 if metric in COUNTS else None for metric in names}


def so_far(
    names: Sequence[str], shown: Sequence[Moment], earlier: Sequence[Moment], now: Result, before: Result
) -> tuple[Totals, Totals]:
    """Today's whole hours, and the same number of the other day's, put together.

    Someone who stays beyond the hour counts in each of their hours, on both sides alike: the change is fair, though
    the sums are no visitors of the day. What cannot be put together from hours is None.
    """
    over = sum(1 for moment in shown if not moment.future and not moment.running)
    return _together(names, now, shown[:over]), _together(names, before, earlier[:over])


def _together(names: Sequence[str], result: Result, hours: Sequence[Moment]) -> Totals:
    wanted = {moment.key for moment in hours}
    rows = [dict(zip(names, row.metrics, strict=True)) for row in result.rows if row.dimensions[0] in wanted]
    visits = sum(row["visits"] or 0 for row in rows)

    def total(metric: str) -> Value:
        if metric in COUNTS:
            return sum(row[metric] or 0 for row in rows)
        if metric in OF_VISITS and visits:
            return sum((row[metric] or 0) * (row["visits"] or 0) for row in rows) / visits
        return None

    return {metric: total(metric) for metric in names}
