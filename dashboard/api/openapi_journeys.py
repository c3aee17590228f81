"""The part of the OpenAPI document on journeys."""

from __future__ import annotations

from typing import Any, Final

from dashboard.analytics.journeys import FEWEST_COLUMNS, MOST_COLUMNS, MOST_OF_NEXT

PATH: Final = "/api/v1/sites/{domain}/journeys"
DIRECTIONS, GROUPINGS, FORMATS = ("forward", "backward"), ("page", "section"), ("json", "csv")
FIELDS: Final = (
    "date_range", "filters", "direction", "anchor", "choices", "columns", "nodes", "by", "pages_only", "format",
)  # fmt: skip


def paths(dates: dict[str, Any], failures: dict[str, Any]) -> dict[str, Any]:
    """The part of the OpenAPI document. `dates` is the schema of a range, `failures` are the answers of all routes."""
    step = {"type": ["string", "null"], "pattern": "^(page:.+|event:.+|end)$"}
    some = {"type": "array", "items": {**step, "type": "string"}, "minItems": 1, "maxItems": MOST_OF_NEXT + 1}
    other = {"type": "object", "additionalProperties": False, "properties": {"not": some}, "required": ["not"]}
    fields: dict[str, Any] = {
        "date_range": dates,
        "filters": {"type": "array", "items": {"$ref": "#/components/schemas/Filter"}},
        "direction": {"enum": [*DIRECTIONS]},
        "anchor": step,
        "choices": {"type": "array", "items": {"anyOf": [step, other]}, "maxItems": MOST_COLUMNS},
        "columns": {"type": "integer", "minimum": FEWEST_COLUMNS, "maximum": MOST_COLUMNS},
        "nodes": {"type": "integer", "minimum": 1, "maximum": MOST_OF_NEXT},
        "by": {"enum": [*GROUPINGS]},
        "pages_only": {"type": "boolean"},
        "format": {"enum": [*FORMATS]},
    }
    body = {"type": "object", "additionalProperties": False, "properties": fields}
    answer = {
        "description": "Visits by step of each column, and the links between columns",
        "content": {"application/json": {"schema": _ANSWER}, "text/csv": {"schema": {"type": "string"}}},
    }
    answers = {"200": answer, **{status: failures[status] for status in ("400", "401", "404", "422", "429")}}
    asked = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in FIELDS]
    domain = {"name": "domain", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        PATH: {
            "parameters": [domain],
            "get": {"operationId": "getJourneys", "summary": "What visits do next", "parameters": asked,
                    "responses": answers},
            "post": {"operationId": "journeys", "summary": "What visits do next",
                     "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                     "responses": answers | {"413": failures["413"]}},
        }
    }  # fmt: skip


_VISITS: Final = {"type": ["integer", "null"]}
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["visits", "columns", "links", "meta"],
    "properties": {
        "visits": _VISITS,
        "columns": {
            "type": "array",
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["step", "visits"],
                    "properties": {"step": {"type": "string"}, "visits": _VISITS},
                },
            },
        },
        "links": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["column", "step", "next_step", "visits"],
                "properties": {
                    "column": {"type": "integer"},
                    "step": {"type": "string"},
                    "next_step": {"type": "string"},
                    "visits": _VISITS,
                },
            },
        },
        "meta": {"type": "object"},
    },
}
