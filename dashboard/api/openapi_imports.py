"""The part of the OpenAPI document on imports and exports."""

from __future__ import annotations

from typing import Any

import msgspec

from collector.imports.detection import FORMATS
from dashboard.api.imports import MODES, ShownImport

_REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_DOMAIN = {"name": "domain", "in": "path", "required": True, "schema": _TEXT}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_SHOWN = {"$ref": _REF.format(name="ShownImport")}
_BINARY = {"type": "string", "format": "binary"}


def schemas() -> dict[str, Any]:
    """An import as it is shown, with its report."""
    _, components = msgspec.json.schema_components([ShownImport], ref_template=_REF)
    return components


def paths(failures: dict[str, Any]) -> dict[str, Any]:
    """The addresses of imports and exports. `failures` are the answers that every request with a key may get."""
    mine = {status: failures[status] for status in ("400", "401", "404", "429")}
    exact = mine | {"403": failures["403"]}
    listed = {"type": "object", "required": ["imports"], "properties": {"imports": {"type": "array", "items": _SHOWN}}}
    deleted = {"type": "object", "required": ["deleted"], "properties": {"deleted": {"const": True}}}
    base = "/api/v1/sites/{domain}"
    return {
        f"{base}/imports": {
            "parameters": [_DOMAIN],
            "get": _operation("listImports", "Imports of a site", {"200": _json(listed)} | exact),
            "post": _operation("addImport", "Import files of another product", {**_taken(), **mine})
            | {
                "parameters": [
                    _choice("mode", list(MODES)),
                    _choice("format", ["auto", *(each.name for each in FORMATS)]),
                    {"name": "log_format", "in": "query", "schema": {"type": "string"}},
                    {"name": "name", "in": "query", "schema": _TEXT},
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "multipart/form-data": {
                            "schema": {"type": "object", "properties": {"file": {"type": "array", "items": _BINARY}}}
                        },
                        "application/octet-stream": {"schema": _BINARY},
                    },
                },
            },
        },
        f"{base}/imports/{{id}}": {
            "parameters": [_DOMAIN, _ID],
            "delete": _operation("deleteImport", "Remove an import with its figures", {"200": _json(deleted)} | mine),
        },
        f"{base}/imports/{{id}}/confirm": {
            "parameters": [_DOMAIN, _ID],
            "post": _operation("confirmImport", "Make a checked import count", {"200": _json(_SHOWN)} | mine),
        },
        f"{base}/export": {
            "parameters": [_DOMAIN],
            "get": _operation(
                "exportDaily", "Daily figures as CSV tables", {"200": _content("application/zip", _BINARY)} | exact
            ),
        },
        f"{base}/export/events": {
            "parameters": [_DOMAIN, _choice("format", ["jsonl", "parquet"])],
            "get": _operation(
                "exportEvents",
                "Events within retention",
                {"200": _content("application/x-ndjson", _TEXT, **{"application/vnd.apache.parquet": _BINARY})} | mine,
            ),
        },
    }


def _taken() -> dict[str, Any]:
    return {"200": _json(_SHOWN), "201": _json(_SHOWN)}


def _choice(name: str, values: list[str]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"enum": values}}


def _operation(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": responses}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return _content("application/json", schema)


def _content(media: str, schema: dict[str, Any], **others: dict[str, Any]) -> dict[str, Any]:
    found = {media: schema, **others}
    return {"description": "Done", "content": {name: {"schema": each} for name, each in found.items()}}
