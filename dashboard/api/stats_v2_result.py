"""Results of the Stats API, version 2, as JSON."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.analytics.dimensions import PROPERTY
from dashboard.analytics.metrics import METRICS
from dashboard.analytics.query import Query, Result, Row
from dashboard.api.answer_meta import imports_meta, protection_meta
from dashboard.api.country_names import COUNTRY_NAME, country_name
from dashboard.api.stats_v2 import ParsedRequest
from dashboard.reports.comparison import paired

Number = int | float | None
_ABSOLUTE = frozenset({"bounce_rate", "conversion_rate", "group_conversion_rate", "percentage"})


def write_result(asked: ParsedRequest, result: Result, compared: Result | None) -> dict[str, Any]:
    """The body of the answer."""
    query = asked.query
    meta: dict[str, Any] = {}
    if asked.time_labels:
        meta["time_labels"] = _labels(query)
    if result.total_rows is not None:
        meta["total_rows"] = result.total_rows
    meta |= protection_meta(result) | imports_meta(result, asked=asked.imports)
    if result.property_days_left_out and any(name.startswith(PROPERTY) for name in result.dimensions):
        meta["property_days_left_out"] = result.property_days_left_out
    rows = [_row(result, row) for row in result.rows]
    if compared is not None and asked.compared is not None:
        before = _matched(query, result, asked.compared, compared)
        for row, earlier in zip(rows, before, strict=True):
            row["comparison"] = _compared_row(result, row, earlier, compared)
    for index in [index for index, name in enumerate(asked.dimensions) if name == COUNTRY_NAME]:
        for each in [*rows, *(row["comparison"] for row in rows if "comparison" in row)]:
            each["dimensions"][index] = country_name(each["dimensions"][index])
    return {"results": rows, "meta": meta, "query": _echo(asked)}


def change(metric: str, now: Number, before: Number) -> Number:
    """Difference in percent; of a rate, in percentage points. None when there is nothing to compare."""
    if now is None or before is None:
        return None
    if metric in _ABSOLUTE:
        return round(now - before, 1)
    if not before:
        return 100 if now else 0
    return round(100 * (now - before) / before)


def _row(result: Result, row: Row) -> dict[str, Any]:
    metrics = [_shown(name, value, row.currency) for name, value in zip(result.metrics, row.metrics, strict=True)]
    found: dict[str, Any] = {"metrics": metrics, "dimensions": list(row.shown)}
    if row.folded:
        found["grouped"] = True
    if row.withheld:
        found["hidden_metrics"] = [name for name in result.metrics if name in row.withheld]
    if len(row.revenue) > 1:
        # Of several currencies a metric is null: there is no number that is all of them.
        asked = [name for name in result.metrics if METRICS[name].is_revenue]
        found["revenue"] = {each.currency: {name: each.metric(name) for name in asked} for each in row.revenue}
    return found


def _shown(metric: str, value: Number, currency: str) -> Any:
    if value is None or not metric.endswith("_revenue"):
        return value
    exact = f"{value:,.2f}"
    return {"value": value, "currency": currency, "short": f"{currency} {exact}", "long": f"{currency} {exact}"}


def _matched(query: Query, result: Result, compared: Query, before: Result) -> list[Row | None]:
    """For each row, the earlier row of the same values: of times, the one at the same place in its period."""
    times = [index for index, name in enumerate(query.dimensions) if name.startswith("time")]
    moved: dict[tuple[int, str], str] = {}
    for index in times:
        step: Any = query.dimensions[index].partition(":")[2] or query.period.bucket
        pairs = paired(query.period, compared.period, step)
        moved |= {(index, label): earlier for label, earlier in pairs.items()}
    rows = {row.dimensions: row for row in before.rows}
    return [
        rows.get(
            tuple(
                moved.get((index, value), "") if index in times else value for index, value in enumerate(row.dimensions)
            )
        )
        for row in result.rows
    ]


def _compared_row(result: Result, row: dict[str, Any], earlier: Row | None, compared: Result) -> dict[str, Any]:
    # Of earlier rows that are not there some may have been folded away: what they had is unknown.
    unknown = compared.hidden or (compared.protected and any(not name.startswith("time") for name in result.dimensions))
    values: Sequence[Number] = earlier.metrics if earlier else (None if unknown else 0,) * len(result.metrics)
    now = [value["value"] if isinstance(value, dict) else value for value in row["metrics"]]
    return {
        "dimensions": list(earlier.shown if earlier else row["dimensions"]),
        "metrics": _row(compared, earlier)["metrics"] if earlier else list(values),
        "change": [
            change(name, *pair) for name, pair in zip(result.metrics, zip(now, values, strict=True), strict=True)
        ],
    }


def _labels(query: Query, place: int | None = None) -> list[str]:
    names = (
        [name for name in query.dimensions if name.startswith("time")] if place is None else [query.dimensions[place]]
    )
    step: Any = names[0].partition(":")[2]
    return query.period.buckets(step or None)


def _echo(asked: ParsedRequest) -> dict[str, Any]:
    """The query as it was understood: dates as moments."""
    query = asked.query
    zone = ZoneInfo(query.period.zone)
    begins, ends = query.period.bounds()
    include: dict[str, Any] = {
        "imports": asked.imports,
        "time_labels": asked.time_labels,
        "total_rows": query.total_rows,
    }
    if asked.comparison is not None:
        include["comparisons"] = asked.comparisons
    return {
        "site_id": query.site,
        "metrics": list(query.metrics),
        "date_range": [datetime.datetime.fromtimestamp(ts, zone).isoformat() for ts in (begins, ends - 1)],
        "dimensions": list(asked.dimensions),
        "filters": asked.filters,
        "order_by": [list(pair) for pair in query.order_by],
        "include": include,
        "pagination": {"limit": query.limit, "offset": query.offset},
    }
