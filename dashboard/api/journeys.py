"""Journeys over the API: `GET|POST /api/v1/sites/DOMAIN/journeys`, as JSON or CSV.

`GET` has in its query what `POST` has in its body, lists as JSON text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.analytics.client_disconnect import while_connected
from dashboard.analytics.errors import QueryError
from dashboard.analytics.journeys import (
    COLUMNS,
    MOST_OF_NEXT,
    NODES,
    Choice,
    Journey,
    JourneyPath,
    JourneyResult,
    OtherThan,
    Step,
    read_step,
)
from dashboard.analytics.journeys_query import anonymous_pageviews, run_journey
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.api.answer_meta import protection_meta
from dashboard.api.auth import json_answer
from dashboard.api.key_handlers import RouteHandler, answered
from dashboard.api.openapi_journeys import DIRECTIONS, FIELDS, FORMATS, GROUPINGS, PATH
from dashboard.api.stats import StatsApi, read_body
from dashboard.reports.csv_export import csv_headers, csv_writer
from dashboard.reports.journey_page import HEADS, table

_JSON: Final = frozenset({"filters", "choices", "columns", "nodes", "pages_only"})
"""Fields that are JSON in a query, and `date_range` where it is a list."""


def routes(api: StatsApi) -> list[Route]:
    """The routes, beside those of the Stats API."""
    return [Route(PATH, answered(_handler(api)), methods=["GET", "POST"])]


def _handler(api: StatsApi) -> RouteHandler:
    async def journeys(request: Request) -> Response:
        """`GET|POST /api/v1/sites/DOMAIN/journeys`."""
        given = await read_body(request) if request.method == "POST" else _of_query(request)
        for name in given:
            if name not in FIELDS:
                raise QueryError(str(name)[:80], f"expected one of {', '.join(FIELDS)}")
        site, query = await api.selection(request, request.path_params["domain"], given)
        chosen = _one_of(given, "format", FORMATS)
        result, anonymous = await while_connected(request, _answer(api.stats, read_journey(given, query), query))
        if chosen == "csv":
            text = csv_writer(request).lines([HEADS, *table(result)])
            return Response(text, headers=csv_headers(f"{site.domain}-journeys.csv"))
        return json_answer(shown(result, anonymous))

    return journeys


async def _answer(stats: StatsService, journey: Journey, query: Query) -> tuple[JourneyResult, int | None]:
    result, (anonymous, _) = await asyncio.gather(run_journey(stats, journey), anonymous_pageviews(stats, query))
    return result, anonymous


def read_journey(given: Mapping[str, Any], query: Query) -> Journey:
    """The journey of a body, over the dates and filters of a query. Raises `QueryError` naming the field."""
    anchor, choices = given.get("anchor"), given.get("choices", [])
    if not isinstance(choices, list):
        raise QueryError("choices", "expected a list of steps, each of a column, or null")
    pages_only = given.get("pages_only", False)
    if not isinstance(pages_only, bool):
        raise QueryError("pages_only", "expected true or false")
    return Journey(
        query.site,
        query.period,
        query.filters,
        JourneyPath(
            "backward" if _one_of(given, "direction", DIRECTIONS) == "backward" else "forward",
            _step(anchor, "anchor"),
            tuple(map(_choice, choices)),
            "section" if _one_of(given, "by", GROUPINGS) == "section" else "page",
            pages_only,
        ),
        _number(given, "columns", COLUMNS),
        _number(given, "nodes", NODES),
    )


def shown(result: JourneyResult, anonymous: int | None) -> dict[str, Any]:
    """The answer: visits by step of each column, and the links between columns, which are numbered from 1."""
    meta = {"unit": "visits", "anonymous_events_left_out": anonymous, **protection_meta(result)}
    if result.links_hidden:
        meta["links_hidden"] = True
    if result.imported_days_left_out:
        meta["imported_days_left_out"] = result.imported_days_left_out
    return {
        "visits": result.visits,
        "columns": [[{"step": str(node.step), "visits": node.visits} for node in nodes] for nodes in result.columns],
        "links": [
            {"column": each.column + 1, "step": str(each.source), "next_step": str(each.target), "visits": each.visits}
            for each in result.links
        ],
        "meta": meta,
    }


def _of_query(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name == "separator":
            continue  # of CSV
        found[name] = text
        if name in _JSON or text.startswith("["):
            try:
                found[name] = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError):
                raise QueryError(name[:80], "expected JSON") from None
    return found


def _step(given: Any, field: str) -> Step | None:
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise QueryError(field, "expected page:/path, event:NAME, end or null")
    return read_step(given, field)


def _choice(given: Any) -> Choice | None:
    match given:
        case {"not": [*steps]} if len(given) == 1 and 0 < len(steps) <= MOST_OF_NEXT + 1 and all(steps):
            return OtherThan(tuple(step for step in (_step(each, "choices") for each in steps) if step))
        case dict():
            raise QueryError("choices", 'expected {"not": ["page:/path", "end"]}')
    return _step(given, "choices")


def _one_of(given: Mapping[str, Any], field: str, names: tuple[str, ...]) -> str:
    value = given.get(field, names[0])
    if value not in names:
        raise QueryError(field, f"expected {' or '.join(names)}")
    return str(value)


def _number(given: Mapping[str, Any], field: str, usual: int) -> int:
    value = given.get(field, usual)
    if not isinstance(value, int) or isinstance(value, bool):
        raise QueryError(field, "expected a whole number")
    return value
