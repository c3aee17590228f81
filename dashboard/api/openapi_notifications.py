"""The part of the OpenAPI document on reports by mail and alerts."""

from __future__ import annotations

from typing import Any

import msgspec

from dashboard.api.alerts import NewAlert, NewChannel, ShownAlert, ShownChannel
from dashboard.api.report_subscriptions import NewSubscription, ShownSubscription

_REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_DOMAIN = {"name": "domain", "in": "path", "required": True, "schema": _TEXT}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_DELETED = {"type": "object", "required": ["deleted"], "properties": {"deleted": {"const": True}}}
_SENT = {"type": "object", "required": ["sent"], "properties": {"sent": {"const": True}}}


def schemas() -> dict[str, Any]:
    """Recipients, alerts and channels, as they are shown and added."""
    kinds = [ShownSubscription, NewSubscription, ShownAlert, NewAlert, ShownChannel, NewChannel]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return components


def paths(failures: dict[str, Any]) -> dict[str, Any]:
    """The addresses of these. `failures` are the answers that every request with a key may get."""
    mine = {status: failures[status] for status in ("401", "404", "429")}
    body = {status: failures[status] for status in ("400", "413")}
    refused = {"502": failures["400"] | {"description": "It was not taken by whom it was sent to"}}
    return {
        **_reports(mine, body, refused),
        **_alerts(mine, body),
        **_channels("/api/v1/sites/{domain}", [_DOMAIN], "Site", mine, body, refused),
        **_channels("/api/v1", [], "Operator", mine | {"403": failures["403"]}, body, refused),
    }


def _alerts(mine: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    base = "/api/v1/sites/{domain}/alerts"
    return {
        base: {
            "parameters": [_DOMAIN],
            "get": _operation("listAlerts", "Alerts of a site", "200", _list("alerts", "ShownAlert"), mine),
            "post": _operation("addAlert", "Add an alert", "201", _named("ShownAlert"), mine | body, "NewAlert"),
        },
        f"{base}/{{id}}": {
            "parameters": [_DOMAIN, _ID],
            "delete": _operation("deleteAlert", "Remove an alert", "200", _DELETED, mine | body),
        },
    }


def _channels(
    above: str,
    parameters: list[dict[str, Any]],
    whose: str,
    mine: dict[str, Any],
    body: dict[str, Any],
    refused: dict[str, Any],
) -> dict[str, Any]:
    base, shown = f"{above}/channels", _list("channels", "ShownChannel")
    made = {"allOf": [_named("ShownChannel"), {"properties": {"secret": _TEXT}}]}
    return {
        base: {
            "parameters": parameters,
            "get": _operation(f"list{whose}Channels", "Channels of alerts", "200", shown, mine),
            "post": _operation(f"add{whose}Channel", "Add a channel", "201", made, mine | body, "NewChannel"),
        },
        f"{base}/{{id}}": {
            "parameters": [*parameters, _ID],
            "delete": _operation(f"delete{whose}Channel", "Remove a channel", "200", _DELETED, mine | body),
        },
        f"{base}/{{id}}/test": {
            "parameters": [*parameters, _ID],
            "post": _operation(f"test{whose}Channel", "Send a trial", "200", _SENT, mine | body | refused),
        },
    }


def _reports(mine: dict[str, Any], body: dict[str, Any], refused: dict[str, Any]) -> dict[str, Any]:
    base = "/api/v1/sites/{domain}/reports"
    return {
        base: {
            "parameters": [_DOMAIN],
            "get": _operation(
                "listReports", "Recipients of a site's reports", "200", _list("reports", "ShownSubscription"), mine
            ),
            "post": _operation(
                "addReport", "Add a recipient", "201", _named("ShownSubscription"), mine | body, "NewSubscription"
            ),
        },
        f"{base}/{{id}}": {
            "parameters": [_DOMAIN, _ID],
            "delete": _operation("deleteReport", "Remove a recipient", "200", _DELETED, mine | body),
        },
        f"{base}/{{id}}/send": {
            "parameters": [_DOMAIN, _ID],
            "post": _operation("sendReport", "Send the latest report once more", "200", _SENT, mine | body | refused),
        },
    }


def _named(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def _list(field: str, kind: str) -> dict[str, Any]:
    items = {"type": "array", "items": _named(kind)}
    return {"type": "object", "required": [field], "properties": {field: items}}


def _operation(
    name: str, summary: str, status: str, schema: dict[str, Any], failures: dict[str, Any], body: str = ""
) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": name, "summary": summary}
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _named(body)}}}
    answer = {"description": "Done", "content": {"application/json": {"schema": schema}}}
    return found | {"responses": {status: answer, **failures}}
