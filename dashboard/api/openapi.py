"""The OpenAPI 3.1 document, generated from the tables and types of the API."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.analytics.dimensions import DIMENSIONS, ONLY_FILTERS
from dashboard.analytics.filters import DEEPEST, LONGEST_VALUE, MOST_VALUES
from dashboard.analytics.metrics import METRICS
from dashboard.analytics.period import NAMES
from dashboard.analytics.query import MAX_DIMENSIONS, MAX_LIMIT, MAX_METRICS, MAX_OFFSET
from dashboard.api import openapi_funnels, openapi_imports, openapi_journeys, openapi_notifications, openapi_sites
from dashboard.api.country_names import COUNTRY_NAME
from dashboard.api.stats_v2 import MODES
from dashboard.reports.segment_filters import SEGMENT

_TIME = [name for name in DIMENSIONS if name.startswith("time:")]
_FILTERED = [*(name for name in DIMENSIONS if not name.startswith("time:")), COUNTRY_NAME]
_PROPERTY = {"type": "string", "pattern": "^event:props:.{1,300}$"}


def routes() -> list[Route]:
    """The route of the document, which is public."""
    described = msgspec.json.encode(document())

    async def describe(_: Request) -> Response:
        """`GET /api/openapi.json`."""
        return Response(described, media_type="application/json", headers={"Cache-Control": "no-store"})

    return [Route("/api/openapi.json", describe, methods=["GET"])]


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tyst API", "version": "2", "description": "Your sites and their statistics."},
        "security": [{"key": []}],
        "paths": {
            "/api/v2/query": {"post": _query()},
            "/api/v1/stats/realtime/visitors": {
                "get": _get("Visitors of the last five minutes", [], {"type": "integer"})
            },
            "/api/v1/stats/aggregate": {"get": _get("Metrics of a period", [*_PERIOD, _COMPARE], _RESULTS)},
            "/api/v1/stats/timeseries": {"get": _get("Metrics by time", [*_PERIOD, _INTERVAL], _RESULTS)},
            "/api/v1/stats/breakdown": {"get": _get("Metrics by a property", [*_PERIOD, *_PAGE], _RESULTS)},
            **openapi_sites.paths(_FAILURES),
            **openapi_imports.paths(_FAILURES),
            **openapi_funnels.paths(_FAILURES),
            **openapi_notifications.paths(_FAILURES),
            **openapi_journeys.paths(_DATES, _FAILURES),
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Query": _query_schema(),
                "Filter": _filter_schema(),
                "Error": _ERROR,
                "Answer": _ANSWER,
                **openapi_sites.schemas(),
                **openapi_imports.schemas(),
                **openapi_funnels.schemas(),
                **openapi_notifications.schemas(),
            },
        },
    }


def _query() -> dict[str, Any]:
    return {
        "operationId": "query",
        "summary": "Query statistics",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Query"}}},
        },
        "responses": _responses({"$ref": "#/components/schemas/Answer"}) | {"413": _FAILURES["413"]},
    }


def _get(summary: str, parameters: list[dict[str, Any]], schema: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "parameters": [_SITE, *parameters], "responses": _responses(schema)}


def _responses(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "200": {
            "description": "The answer",
            "headers": _QUOTA,
            "content": {"application/json": {"schema": schema}},
        },
        **{status: _FAILURES[status] for status in ("400", "401", "404", "422", "429")},
    }


def _failure(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _query_schema() -> dict[str, Any]:
    dimension = {"anyOf": [{"enum": ["time", *_TIME, *_FILTERED]}, _PROPERTY]}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["site_id", "metrics", "date_range"],
        "properties": {
            "site_id": {"type": "string", "minLength": 1},
            "metrics": {"type": "array", "items": {"enum": list(METRICS)}, "minItems": 1, "maxItems": MAX_METRICS},
            "date_range": _DATES,
            "dimensions": {"type": "array", "items": dimension, "maxItems": MAX_DIMENSIONS, "uniqueItems": True},
            "filters": {"type": "array", "items": {"$ref": "#/components/schemas/Filter"}},
            "order_by": {"type": "array", "items": _ORDER},
            "include": _INCLUDE,
            "pagination": _PAGINATION,
        },
    }


def _filter_schema() -> dict[str, Any]:
    """Comparisons, and what combines them."""
    inner = {"$ref": "#/components/schemas/Filter"}
    values = {
        "type": "array",
        "items": {"type": "string", "maxLength": LONGEST_VALUE},
        "minItems": 1,
        "maxItems": MOST_VALUES,
    }
    operators = ["is", "is_not", "contains", "contains_not", "matches", "matches_not"]
    case = {
        "type": "object",
        "properties": {"case_sensitive": {"type": "boolean"}},
        "required": ["case_sensitive"],
        "additionalProperties": False,
    }
    return {
        "description": f"At most {DEEPEST} within each other.",
        "anyOf": [
            _tuple({"enum": operators}, {"anyOf": [{"enum": _FILTERED}, _PROPERTY]}, values, case, least=3),
            _tuple({"enum": ["is", "is_not"]}, {"enum": [SEGMENT, *ONLY_FILTERS]}, values),
            _tuple({"enum": ["and", "or"]}, {"type": "array", "items": inner, "minItems": 1}),
            _tuple({"enum": ["not", "has_done", "has_not_done"]}, inner),
        ],
    }


def _tuple(*items: dict[str, Any], least: int | None = None) -> dict[str, Any]:
    return {"type": "array", "prefixItems": list(items), "items": False, "minItems": least or len(items)}


def _parameter(name: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


_QUOTA = {
    "RateLimit-Policy": {"description": "Quota of the key: `q` requests in `w` seconds", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "What is left: `r` requests, all of it again in `t` seconds",
        "schema": {"type": "string"},
    },
}
_RETRY = {"Retry-After": {"description": "Seconds to wait", "required": True, "schema": {"type": "string"}}}
_FAILURES = {
    "400": _failure("A field is wrong; the error names it"),
    "401": _failure("No valid key"),
    "403": _failure("The key may not do this"),
    "404": _failure("No such site, or not for this key"),
    "413": _failure("The body is too large"),
    "422": _failure("Asks for too much at once"),
    "429": _failure("The key's quota is used up") | {"headers": _QUOTA | _RETRY},
}
_TEXT = {"type": "string"}
_DATE = {"type": "string", "format": "date"}
_MOMENT = {"type": "string", "format": "date-time"}
_DATES = {
    "anyOf": [{"enum": [name for name in NAMES if name != "custom"]}, _tuple(_DATE, _DATE), _tuple(_MOMENT, _MOMENT)]
}
_ORDER = _tuple(_TEXT, {"enum": ["asc", "desc"]})
_PAGINATION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        "offset": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET},
    },
}
_COMPARISONS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["mode"],
    "properties": {"mode": {"enum": list(MODES)}, "date_range": _DATES, "match_day_of_week": {"type": "boolean"}},
}
_INCLUDE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "imports": {"type": "boolean"},
        "time_labels": {"type": "boolean"},
        "total_rows": {"type": "boolean"},
        "comparisons": _COMPARISONS,
    },
}
_ERROR = {
    "type": "object",
    "required": ["error", "errors"],
    "properties": {
        "error": _TEXT,
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
    },
}
_VALUE = {"type": ["number", "null", "object"]}
_ANSWER = {
    "type": "object",
    "required": ["results", "meta", "query"],
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["metrics", "dimensions"],
                "properties": {
                    "metrics": {"type": "array", "items": _VALUE},
                    "dimensions": {"type": "array", "items": _TEXT},
                    "revenue": {"type": "object", "additionalProperties": {"type": "object"}},
                    "grouped": {"const": True},
                    "hidden_metrics": {"type": "array", "items": {"type": "string"}},
                    "comparison": {"type": "object"},
                },
            },
        },
        "meta": {"type": "object"},
        "query": {"type": "object"},
    },
}
_RESULTS = {"type": "object", "required": ["results"], "properties": {"results": {"type": ["array", "object"]}}}
_NAMES = "|".join(METRICS)
_SITE = _parameter("site_id", _TEXT, required=True)
_PERIOD = [
    _parameter("period", {"enum": list(NAMES)}),
    _parameter("date", _TEXT),
    _parameter("metrics", {"type": "string", "pattern": rf"^\s*({_NAMES})\s*(,\s*({_NAMES})\s*)*$"}),
    _parameter("filters", _TEXT),
    _parameter("with_imported", {"type": "boolean"}),
]
_COMPARE = _parameter("compare", {"const": "previous_period"})
_INTERVAL = _parameter("interval", {"enum": ["minute", "hour", "day", "date", "week", "month"]})
_PAGE = [
    _parameter("property", {"anyOf": [{"enum": [*DIMENSIONS]}, _PROPERTY]}, required=True),
    _parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}),
    _parameter("page", {"type": "integer", "minimum": 1, "maximum": 10_000}),
]
