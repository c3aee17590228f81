"""The questions of the model, asked of the code: as a `Query` of the store, as JSON of the Stats API v2."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.analytics.filters import parse_filters
from dashboard.analytics.period import parse_moments, parse_period
from dashboard.analytics.query import Query, Row
from tests.model import REVENUE, Cells, Question

_NEVER = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def query_of(question: Question, limit: int = 10_000) -> Query:
    """The query that a store answers."""
    if question.start is None or question.end is None:
        period = parse_period("custom", question.zone, _NEVER, question.first, question.last)
    else:
        start, end = (datetime.datetime.fromtimestamp(ts, datetime.UTC) for ts in (question.start, question.end - 1))
        period = parse_moments(start, end, question.zone)
    filters = parse_filters(list(question.filters))
    return Query(question.site, question.metrics, period, question.dimensions, filters, limit=limit)


def body_of(question: Question, limit: int = 10_000) -> dict[str, Any]:
    """The body of a request to `/api/v2/query`."""
    dates = [str(question.first), str(question.last)]
    if question.start is not None and question.end is not None:
        zone = ZoneInfo(question.zone)
        dates = [datetime.datetime.fromtimestamp(ts, zone).isoformat() for ts in (question.start, question.end - 1)]
    return {
        "site_id": question.site,
        "metrics": list(question.metrics),
        "date_range": dates,
        "dimensions": list(question.dimensions),
        "filters": list(question.filters),
        "pagination": {"limit": limit},
    }


def cells(asked: Question, row: Row) -> Cells:
    """The metrics of a row, revenue by currency as the model has it."""
    return tuple(
        tuple((each.currency, each.metric(name)) for each in row.revenue) if name in REVENUE else value
        for name, value in zip(asked.metrics, row.metrics, strict=True)
    )
