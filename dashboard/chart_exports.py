"""The chart's numbers as CSV: every metric of the view by bucket, and those of the comparison beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from dashboard.choice import Choice
from dashboard.chosen import chosen
from dashboard.context import Dashboard, visible_site
from dashboard.exports import Cell, csv_headers, csv_lines
from dashboard.formats import Value
from dashboard.measures import COUNTS
from dashboard.overview import names_of, overview_queries
from dashboard.query import Result
from dashboard.spans import Dates
from dashboard.timeline import moments
from dashboard.users import User


async def export_chart(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/chart.csv`: one row a bucket, as long as it is not still to come."""
    site = visible_site(dashboard, request, user)
    choice, dates = await chosen(dashboard, site, request, user)
    results = await dashboard.store.run(overview_queries(choice, dates, every=True))
    text = chart_csv(choice, dates, results, dashboard.clock())
    name = f"{site.domain}-{dates.period.first}-{dates.period.last}.csv"
    return Response(text, headers=csv_headers(name))


def chart_csv(choice: Choice, dates: Dates, results: Sequence[Result], now: float) -> str:
    """The answers to `overview_queries`, of every metric, as CSV (RFC 4180)."""
    names = names_of(choice)
    period, before = dates.period, dates.before
    compared_names = ("compared_with", *(f"compared_{name}" for name in names)) if before else ()
    rows: list[Sequence[Cell]] = [(period.bucket, *names, *compared_names)]
    earlier = moments(before, now) if before else ()
    values, values_before = _by_time(results[1]), _by_time(results[3]) if before else {}
    for index, moment in enumerate(moments(period, now)):
        if moment.future:
            break
        past = earlier[index] if index < len(earlier) else None
        compared = (past.key, *values_before.get(past.key, _nothing(names))) if past else ()
        rows.append((moment.key, *values.get(moment.key, _nothing(names)), *compared))
    return csv_lines(rows)


def _nothing(names: Sequence[str]) -> tuple[Value, ...]:
    return tuple(0 if name in COUNTS else None for name in names)


def _by_time(result: Result) -> Mapping[str, Sequence[Value]]:
    return {row.dimensions[0]: row.metrics for row in result.rows}
