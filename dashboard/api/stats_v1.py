"""The Stats API, version 1: parameters and responses of its endpoints."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from dashboard.analytics.dimensions import PROPERTY, find_dimension
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import Compare, Filter, Not, checked_size, every
from dashboard.analytics.metrics import find_metric
from dashboard.analytics.period import Bucket, Period, parse_period
from dashboard.analytics.query import Query, Result, marked_value
from dashboard.api.answer_meta import imports_meta
from dashboard.api.stats_v2_result import change

Parameters = Mapping[str, str]
MAX_ROWS, MAX_BUCKETS = 1000, 10_000

_COMMON = frozenset({"site_id", "period", "date", "metrics", "filters", "with_imported"})
ENDPOINTS: Mapping[str, frozenset[str]] = {
    "aggregate": _COMMON | {"compare"},
    "timeseries": _COMMON | {"interval"},
    "breakdown": _COMMON | {"property", "limit", "page"},
}
"""The parameters of each endpoint."""

# By the documentation: months for 6mo and 12mo, hours for a single day, else days.
_INTERVALS: Mapping[str, Bucket] = {"6mo": "month", "12mo": "month", "day": "hour", "yesterday": "hour", "24h": "hour"}
_WHOLE_MONTHS = ("month", "6mo", "12mo")


def check_parameters(endpoint: str, given: Sequence[tuple[str, str]]) -> None:
    """Raise `QueryError` for a parameter that the endpoint does not have, or has twice: none is ignored."""
    names = [name for name, _ in given]
    for name, value in given:
        if name not in ENDPOINTS[endpoint]:
            raise QueryError(name[:80], f"expected one of {', '.join(sorted(ENDPOINTS[endpoint]))}")
        if names.count(name) > 1:
            raise QueryError(name, "expected it once")
        if name == "with_imported" and value not in ("true", "false"):
            raise QueryError(name, "expected true or false")


def read_aggregate(site: str, given: Parameters, period: Period) -> Query:
    """One row of metrics."""
    return Query(site, _metrics(given), period, filters=read_filters(given.get("filters", "")))


def read_timeseries(site: str, given: Parameters, period: Period) -> Query:
    """Metrics by day; of 6mo and 12mo by month, of a single day by hour."""
    step = given.get("interval", _INTERVALS.get(period.name, "day"))
    if step == "date":
        step = "day"
    if step not in ("minute", "hour", "day", "week", "month"):
        raise QueryError("interval", "expected day or month")
    if period.bucket_count(cast("Bucket", step)) > MAX_BUCKETS:
        raise QueryError("interval", f"expected at most {MAX_BUCKETS} intervals in the period")
    filters = read_filters(given.get("filters", ""))
    return Query(site, _metrics(given), period, (f"time:{step}",), filters, limit=MAX_BUCKETS)


def read_breakdown(site: str, given: Parameters, period: Period) -> Query:
    """Metrics by one property."""
    name = given.get("property", "")
    if find_dimension(name, "property").level == "time":
        raise QueryError("property", "expected an event or visit dimension; intervals of time have an endpoint")
    limit, page = _number(given, "limit", 100, MAX_ROWS), _number(given, "page", 1, 10_000)
    filters = read_filters(given.get("filters", ""))
    return Query(site, _metrics(given), period, (name,), filters, limit=limit, offset=(page - 1) * limit)


def read_period(given: Parameters, zone: str, now: datetime.datetime, first_day: datetime.date | None) -> Period:
    """The parameters `period` and `date`; `month`, `6mo` and `12mo` are whole calendar months. Raises `QueryError`."""
    name, dates = given.get("period", "30d"), given.get("date", "")
    if name == "custom":
        first, _, last = dates.partition(",")
        return parse_period(name, zone, now, _date(first), _date(last))
    period = parse_period(name, zone, now, first_day if name == "all" else None, day=_date(dates) if dates else None)
    if name in _WHOLE_MONTHS:
        return replace(period, last=_month_end(period.last))
    return period


def read_filters(given: str) -> Filter | None:
    r"""`visit:country==SE|NO;event:page==/blog/*`: `;` is and, `|` or, `*` anything; `\;` and `\|` are themselves.

    Raises `QueryError` for what is no filter, or too many of them.
    """
    return checked_size(every(*(_filter(part) for part in _split(given, ";") if part.strip())), "filters")


def write_aggregate(result: Result, before: Result | None) -> dict[str, Any]:
    """Each metric with its value, and its change in percent when compared."""
    values = result.rows[0].metrics
    found: dict[str, Any] = {name: {"value": value} for name, value in zip(result.metrics, values, strict=True)}
    if before is not None:
        for name, now, earlier in zip(result.metrics, values, before.rows[0].metrics, strict=True):
            found[name]["change"] = change(name, now, earlier)
    return _answer(found, result)


def write_timeseries(query: Query, result: Result) -> dict[str, Any]:
    """Every bucket in order: counts of nothing are 0, rates of nothing null."""
    step = cast("Bucket", query.dimensions[0].removeprefix("time:"))
    rows = {row.dimensions[0]: row.metrics for row in result.rows}
    # Where the whole is hidden, so are the intervals in which nobody came.
    nothing = tuple(None if result.hidden or find_metric(name).bottom else 0 for name in query.metrics)
    found = [
        {"date": label, **dict(zip(query.metrics, rows.get(label, nothing), strict=True))}
        for label in query.period.buckets(step)
    ]
    return _answer(found, result)


def write_breakdown(result: Result) -> dict[str, Any]:
    """One object per row, with the property under its last name; the row of small groups has `grouped`."""
    name = result.dimensions[0].removeprefix(PROPERTY).removeprefix("visit:").removeprefix("event:")
    found = [
        marked_value(name, row.dimensions[0]) | dict(zip(result.metrics, row.metrics, strict=True))
        for row in result.rows
    ]
    return _answer(found, result)


def _answer(found: object, result: Result) -> dict[str, Any]:
    """The results, and where days of the period were imported what becomes of them."""
    meta = imports_meta(result, asked=False)
    return {"results": found} | ({"meta": meta} if meta else {})


def _filter(text: str) -> Filter:
    found = re.fullmatch(r"\s*([\w:.-]+?)\s*(==|!=|~)(.*)", text, re.DOTALL)
    if found is None:
        raise QueryError("filters", "expected filters such as visit:country==SE;event:page==/blog/*")
    name, operator, value = found.groups()
    find_dimension(name, "filters")
    values = tuple(re.sub(r"\\([;|])", r"\1", part) for part in _split(value.strip(), "|"))
    if operator == "~":
        return Compare("contains", name, values)
    wild = any("*" in each for each in values) and name != "event:goal"
    compare = Compare("matches", name, tuple(map(_pattern, values))) if wild else Compare("is", name, values)
    return Not(compare) if operator == "!=" else compare


def _split(text: str, separator: str) -> list[str]:
    """Parts between separators that have no backslash before them."""
    return re.split(rf"(?<!\\){re.escape(separator)}", text)


def _pattern(value: str) -> str:
    return "^" + ".*".join(re.escape(part) for part in re.split(r"\*+", value)) + "$"


def _metrics(given: Parameters) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.get("metrics", "visitors").split(","))


def _number(given: Parameters, field: str, default: int, most: int) -> int:
    text = given.get(field, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise QueryError(field, f"expected a whole number from 1 to {most}")
    return int(text)


def _month_end(day: datetime.date) -> datetime.date:
    following = day.replace(day=1) + datetime.timedelta(days=31)
    return following.replace(day=1) - datetime.timedelta(days=1)


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise QueryError("date", "expected an ISO 8601 date; for a custom period, two joined by a comma") from None
