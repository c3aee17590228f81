"""CSV export of the chart: every metric by bucket, with the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from collector.core.csv import BYTE_ORDER_MARK, Cell
from dashboard.access.users import User
from dashboard.analytics.query import Result
from dashboard.i18n.formatting import Value
from dashboard.reports.chart_metrics import COUNTS
from dashboard.reports.comparison import paired
from dashboard.reports.csv_export import csv_headers, csv_writer
from dashboard.reports.date_range import DateRange
from dashboard.reports.overview import compared_in_chart, names_of, overview_queries
from dashboard.reports.revenue import REVENUE_MEASURES, revenue_cells, revenue_columns, without_revenue
from dashboard.reports.time_buckets import time_buckets
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, stats_for, visible_site
from dashboard.web.templating import DATA_HEADERS
from dashboard.web.view_state_loader import view_state_of


async def export_chart(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/chart.csv`: one row a bucket, as long as it is not still to come."""
    site = visible_site(dashboard, request, user)
    choice, dates = await view_state_of(dashboard, site, request, user)
    stats = stats_for(dashboard, user)
    currencies = await stats.currencies(site.domain)
    results = await stats.run(overview_queries(choice, dates, every=True, with_revenue=bool(currencies)))
    rows = chart_rows(choice, dates, results, currencies, dashboard.clock())
    text = BYTE_ORDER_MARK + csv_writer(request).lines(rows)
    name = f"{site.domain}-{dates.period.first}-{dates.period.last}.csv"
    return Response(text, headers={**DATA_HEADERS, **csv_headers(name)})


def chart_rows(
    state: ViewState, dates: DateRange, results: Sequence[Result], currencies: Sequence[str], now: float
) -> list[Sequence[Cell]]:
    """The answers to `overview_queries`, of every metric, as a table with its heads."""
    names = (*names_of(state), *revenue_columns(REVENUE_MEASURES, currencies))
    period, before = dates.period, compared_in_chart(state, dates)
    compared_names = ("compared_with", *(f"compared_{name}" for name in names)) if before else ()
    rows: list[Sequence[Cell]] = [(period.bucket, *names, *compared_names)]
    pairs = paired(period, before, period.bucket) if before else {}
    values, nothing = _by_time(results[1], currencies), _nothing(names, results[1])
    values_before = _by_time(results[3], currencies) if before else {}
    nothing_before = _nothing(names, results[3]) if before else ()
    for moment in time_buckets(period, now):
        if moment.future:
            break
        past = pairs.get(moment.key, "")
        compared = (past, *values_before.get(past, nothing_before)) if past else (None,) * len(compared_names)
        rows.append((moment.key, *values.get(moment.key, nothing), *compared))
    return rows


def _nothing(names: Sequence[str], result: Result) -> tuple[Value, ...]:
    """The cells of a bucket in which nobody came: which these are is not told where the others are hidden."""
    return tuple(0 if name in COUNTS and not result.hidden else None for name in names)


def _by_time(result: Result, currencies: Sequence[str]) -> Mapping[str, Sequence[Value]]:
    names = without_revenue(result.metrics)
    return {
        row.dimensions[0]: (*row.metrics[: len(names)], *revenue_cells(row, REVENUE_MEASURES, currencies))
        for row in result.rows
    }
