"""Requests of the Stats API, version 2, read from their JSON.

The language is that of Plausible's Stats API v2, so that the field's clients work unchanged.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from zoneinfo import ZoneInfo

from collector.core.timezones import FormerZone
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import parse_filters
from dashboard.analytics.period import Period, parse_moments, parse_period
from dashboard.analytics.query import MAX_LIMIT, Query
from dashboard.api.country_names import COUNTRY, COUNTRY_NAME
from dashboard.reports.comparison import overlap, same_length, same_weekday

KEYS = ("site_id", "metrics", "date_range", "dimensions", "filters", "order_by", "include", "pagination")
INCLUDES = ("imports", "time_labels", "total_rows", "comparisons")
MODES = ("previous_period", "year_over_year", "custom")


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
        before = same_weekday(period, before)
    if overlap(period, before):
        raise QueryError("include.comparisons", "expected a period that does not overlap date_range")
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
