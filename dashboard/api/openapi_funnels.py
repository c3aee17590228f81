"""The part of the OpenAPI document on funnels."""

from __future__ import annotations

from typing import Any

import msgspec

from dashboard.analytics.dimensions import DIMENSIONS
from dashboard.analytics.period import NAMES
from dashboard.api.funnels import UNITS, NewFunnel

_REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_COUNT = {"type": ["integer", "null"]}
_NUMBER = {"type": ["number", "null"]}
_SHOWN = {"$ref": _REF.format(name="Funnel")}
_RESULTS = {"$ref": _REF.format(name="FunnelResults")}


def schemas() -> dict[str, Any]:
    """A funnel as it is saved and shown, and its results."""
    _, components = msgspec.json.schema_components([NewFunnel], ref_template=_REF)
    new = components["NewFunnel"]
    shown = new | {"required": ["id", "name", "steps", "order", "window"]}
    return components | {"Funnel": shown, "FunnelResults": _results()}


def paths(failures: dict[str, Any]) -> dict[str, Any]:
    """The addresses of funnels. `failures` are the answers that every request with a key may get."""
    mine = {status: failures[status] for status in ("401", "404", "429")}
    body = {status: failures[status] for status in ("400", "413")}
    listed = {"type": "object", "required": ["funnels"], "properties": {"funnels": {"type": "array", "items": _SHOWN}}}
    deleted = {"type": "object", "required": ["deleted"], "properties": {"deleted": {"const": True}}}
    counted = {"type": "object", "required": ["funnel"], "properties": {"funnel": _SHOWN}}
    base = "/api/v1/sites/{domain}/funnels"
    given = {"application/json": {"schema": {"$ref": _REF.format(name="NewFunnel")}}}
    return {
        base: {
            "parameters": [_path("domain")],
            "get": _operation("listFunnels", "Funnels of a site", {"200": _json(listed)} | mine),
            "post": _operation(
                "saveFunnel",
                "Save a funnel; with an id, in place of the one that has it",
                {"200": _json(_SHOWN), "201": _json(_SHOWN)} | mine | body,
            )
            | {"requestBody": {"required": True, "content": given}},
        },
        f"{base}/{{funnel}}": {
            "parameters": [_path("domain"), _path("funnel")],
            "get": _operation(
                "getFunnel",
                "How many visits, or visitors, reached each step",
                {"200": _json({"allOf": [counted, _RESULTS]})}
                | mine
                | {name: failures[name] for name in ("400", "422")},
            )
            | {
                "parameters": [
                    _query("date_range", {"anyOf": [{"enum": [name for name in NAMES if name != "custom"]}, _DATES]}),
                    _query("filters", _TEXT),
                    _query(
                        "dimension", {"anyOf": [{"enum": _VALUES}, {"type": "string", "pattern": "^event:props:.+"}]}
                    ),
                    _query("compare", {"const": "previous_period"}),
                ]
            },
            "delete": _operation("deleteFunnel", "Delete a funnel", {"200": _json(deleted)} | mine),
        },
    }


_DATES = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d,\d{4}-\d\d-\d\d$"}
_VALUES = [name for name in DIMENSIONS if not name.startswith("time")]


def _results() -> dict[str, Any]:
    pages = _object(page={"type": ["string", "null"]}, count={"type": "integer"})
    step = _object(
        count=_COUNT,
        share_of_all=_NUMBER,
        share_of_first=_NUMBER,
        share_of_previous=_NUMBER,
        left=_COUNT,
        median_seconds=_NUMBER,
        next_pages={"type": "array", "items": pages},
    )
    row = _object(value=_TEXT, entered={"type": "integer"}, completed={"type": "integer"}, conversion_rate=_NUMBER)
    amount = _object(total={"type": "number"}, average=_NUMBER)
    counts: dict[str, Any] = {
        "unit": {"enum": list(UNITS.values())},
        "all": _COUNT,
        "conversion_rate": _NUMBER,
        "steps": {"type": "array", "items": step},
        "revenue": {"type": "object", "additionalProperties": amount},
        "rows": {"type": "array", "items": row},
        "meta": {"type": "object"},
    }
    required = _object(**counts)
    return required | {"properties": counts | {"comparison": required}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _operation(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": responses}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}
