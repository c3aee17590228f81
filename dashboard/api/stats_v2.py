"""The JSON of the Stats API, version 2: read a query, write its result.

The language is that of Plausible's Stats API v2, so that the field's clients work unchanged.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from collector.core.timezones import FormerZone
from dashboard.analytics.dimensions import PROPERTY
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import parse_filters
from dashboard.analytics.metrics import METRICS
from dashboard.analytics.period import Period, parse_moments, parse_period
from dashboard.analytics.query import MAX_LIMIT, Query, Result, Row
from dashboard.api.country_names import COUNTRY, COUNTRY_NAME, country_name
from dashboard.reports.comparison import paired, same_length

Number = int | float | None
KEYS = ("site_id", "metrics", "date_range", "dimensions", "filters", "order_by", "include", "pagination")
INCLUDES = ("imports", "time_labels", "total_rows", "comparisons")
MODES = ("previous_period", "year_over_year", "custom")
_ABSOLUTE = frozenset({"bounce_rate", "conversion_rate", "group_conversion_rate", "percentage"})


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A query with what its answer should include. `comparison` is the period to compare with, or None; it was asked
    for as `comparisons`."""

    query: Query
    time_labels: bool = False
    imports: bool = False
    filters: Sequence[Any] = ()
    comparison: Period | None = None
    comparisons: Any = None
    dimensions: tuple[str, ...] = ()
    """As they were asked for."""

    def at_site(self, former: tuple[FormerZone, ...]) -> ParsedRequest:
        """The same at a site that had other time zones before."""
        query = replace(self.query, period=self.query.period.at_site(former))
        return replace(self, query=query, comparison=self.comparison.at_site(former) if self.comparison else None)

    @property
    def compared(self) -> Query | None:
        """The query that the comparison needs: all groups, whatever their order."""
        if self.comparison is None:
            return None
        return replace(self.query, period=self.comparison, limit=MAX_LIMIT, offset=0, total_rows=False)


def read_query(
    body: Mapping[str, Any], zone: str, now: datetime.datetime, first_day: datetime.date | None
) -> ParsedRequest:
    """Read the body of a request about a site in `zone`; its filters name dimensions alone. Raises `QueryError` naming
    the key that is wrong."""
    for key in body:
        if key not in KEYS:
            raise QueryError(str(key)[:80], f"expected one of {', '.join(KEYS)}")
    period = read_dates(body.get("date_range"), zone, now, first_day)
    include = _object(body.get("include", {}), "include", INCLUDES)
    limit, offset = _pagination(body.get("pagination", {}))
    dimensions = _names(body.get("dimensions", []), "dimensions")
    query = Query(
        site=str(body["site_id"]),
        metrics=_names(body.get("metrics"), "metrics"),
        period=period,
        dimensions=tuple(COUNTRY if name == COUNTRY_NAME else name for name in dimensions),
        filters=parse_filters(body.get("filters") or []),
        order_by=_order(body.get("order_by") or []),
        limit=limit,
        offset=offset,
        total_rows=_flag(include, "total_rows"),
    )
    labels = _flag(include, "time_labels")
    if labels and not any(name.startswith("time") for name in query.dimensions):
        raise QueryError("include.time_labels", "needs a time dimension")
    comparison = _comparison(include.get("comparisons"), period, zone, now)
    imports, filters = _flag(include, "imports"), body.get("filters") or []
    return ParsedRequest(query, labels, imports, filters, comparison, include.get("comparisons"), dimensions)


def read_dates(given: Any, zone: str, now: datetime.datetime, first_day: datetime.date | None) -> Period:
    """Read a `date_range`: a name, or a pair of dates or of times. Raises `QueryError`."""
    match given:
        case str():
            return parse_period(given, zone, now, first_day if given == "all" else None)
        case [str(first), str(last)]:
            start, end = _date(first), _date(last)
            if start and end:
                return parse_period("custom", zone, now, start, end)
            return parse_moments(_moment(first, zone), _moment(last, zone), zone)
    raise QueryError("date_range", "expected a name such as 7d, or a pair of ISO 8601 dates or times")


def imports_meta(result: Result, *, asked: bool) -> dict[str, Any]:
    """What becomes of imported days, as Plausible says it, with how many there are; those that are left out also as
    pairs of first and last date."""
    if not (result.imported or result.imported_left_out):
        return {"imports_included": False, "imports_skip_reason": "no_imported_data"} if asked else {}
    meta: dict[str, Any] = {
        "imports_included": not result.imported_left_out,
        "imported_days": len(result.imported),
        "imported_days_left_out": len(result.imported_left_out),
    }
    if result.imported_left_out:
        meta |= {
            "imports_skip_reason": "unsupported_query",
            "imports_warning": LEFT_OUT,
            "imported_dates_left_out": [
                [first.isoformat(), last.isoformat()] for first, last in result.left_out_ranges()
            ],
        }
    return meta


LEFT_OUT: Final = "Imported days have daily sums, to which this query cannot be applied; they are left out."


def write_result(asked: ParsedRequest, result: Result, compared: Result | None) -> dict[str, Any]:
    """The body of the answer."""
    query = asked.query
    meta: dict[str, Any] = {}
    if asked.time_labels:
        meta["time_labels"] = _labels(query)
    if result.total_rows is not None:
        meta["total_rows"] = result.total_rows
    if result.hidden:
        meta |= {"hidden": True, "min_visitors": result.min_visitors}
    if result.rounded_to:
        meta["rounded_to"] = result.rounded_to
    if result.events_available_from:
        meta["events_available_from"] = result.events_available_from
    meta |= imports_meta(result, asked=asked.imports)
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


def _comparison(given: Any, period: Period, zone: str, now: datetime.datetime) -> Period | None:
    if given is None:
        return None
    asked = _object(given, "include.comparisons", ("mode", "date_range", "match_day_of_week"))
    if asked.get("mode") not in MODES:
        raise QueryError("include.comparisons.mode", f"expected one of {', '.join(MODES)}")
    aligned = asked.get("match_day_of_week", False)
    if not isinstance(aligned, bool):
        raise QueryError("include.comparisons.match_day_of_week", "expected true or false")
    if asked["mode"] == "custom":
        before = read_dates(asked.get("date_range"), zone, now, None)
    elif "date_range" in asked:
        raise QueryError("include.comparisons.date_range", "is only for the mode custom")
    else:
        before = period.previous() if asked["mode"] == "previous_period" else period.year_before()
    if aligned:
        # The nearest shift that puts the same weekday first.
        before = before.moved((period.first.weekday() - before.first.weekday() + 3) % 7 - 3)
    return same_length(period, before, now.timestamp())


def _pagination(given: Any) -> tuple[int, int]:
    page = _object(given, "pagination", ("limit", "offset"))
    limit, offset = page.get("limit", MAX_LIMIT), page.get("offset", 0)
    if not _is_number(limit) or not _is_number(offset):
        raise QueryError("pagination", "expected whole numbers")
    return limit, offset


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _order(given: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(given, list):
        raise QueryError("order_by", "expected a list of pairs")
    for pair in given:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise QueryError("order_by", 'expected pairs such as ["visitors", "desc"]')
    return tuple((name, way) for name, way in given)


def _names(given: Any, field: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise QueryError(field, "expected a list of names")
    return tuple(given)


def _object(given: Any, field: str, keys: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise QueryError(field, "expected an object")
    for key in given:
        if key not in keys:
            raise QueryError(f"{field}.{str(key)[:80]}", f"expected one of {', '.join(keys)}")
    return given


def _flag(given: Mapping[str, Any], key: Literal["imports", "time_labels", "total_rows"]) -> bool:
    value = given.get(key, False)
    if not isinstance(value, bool):
        raise QueryError(f"include.{key}", "expected true or false")
    return value


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return None


def _moment(text: str, zone: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise QueryError("date_range", "expected two ISO 8601 dates, or two times") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
