"""The part of the OpenAPI document on the management of sites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from collector.sites.goals import GOAL_KINDS
from collector.sites.model import Site
from dashboard.api.goals import DEFAULT_LIMIT, NewGoal
from dashboard.api.request_bodies import SITE_FIELDS

_REF = "#/components/schemas/{name}"


_URL = {"type": "string", "description": "Address from which its pages load the tag; not in lists"}


def schemas() -> dict[str, Any]:
    """A site as it is shown, as it is created and as it is changed, with what these are made of."""
    _, components = msgspec.json.schema_components([Site, NewGoal], ref_template=_REF)
    site = components["Site"]
    given = {name: schema for name, schema in site["properties"].items() if name in SITE_FIELDS}
    settings = {"type": "object", "properties": given, "additionalProperties": False}
    return components | {
        "Site": site | {"required": ["domain", "created"], "properties": site["properties"] | {"url": _URL}},
        "NewSite": settings | {"required": ["domain"]},
        "SiteChanges": settings,
        "NewGoal": {
            "anyOf": [
                components["NewGoal"] | {"required": ["site_id", "goal_type", field], "properties": properties}
                for field, properties in _goals_by_type(components["NewGoal"]["properties"])
            ]
        },
        "ListedGoal": _GOAL,
        "SiteGoal": _GOAL | {"required": ["domain", *_GOAL["required"]]},
    }


def _goals_by_type(fields: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The field that names the event or the page, and the fields of a goal of that type."""
    for kind, own, other in (("event", "event_name", "page_path"), ("page", "page_path", "event_name")):
        yield own, {name: each for name, each in fields.items() if name != other} | {"goal_type": {"const": kind}}


_GOAL: dict[str, Any] = {
    "type": "object",
    "required": ["id", "goal_type", "display_name", "event_name", "page_path", "currency"],
    "properties": {
        "domain": {"type": "string"},
        "id": {"type": "string"},
        "goal_type": {"enum": list(GOAL_KINDS)},
        "display_name": {"type": "string"},
        "event_name": {"type": ["string", "null"]},
        "page_path": {"type": ["string", "null"]},
        "currency": {"type": ["string", "null"]},
    },
}


def paths(failures: dict[str, Any]) -> dict[str, Any]:
    """The addresses of sites. `failures` are the answers that every request with a key may get."""
    site = {"$ref": _REF.format(name="Site")}
    listed = {"type": "object", "required": ["sites"], "properties": {"sites": {"type": "array", "items": site}}}
    goal = {"$ref": _REF.format(name="SiteGoal")}
    deleted = {"type": "object", "required": ["deleted"], "properties": {"deleted": {"const": True}}}
    body = {name: failures[name] for name in ("400", "413")}
    mine = {name: failures[name] for name in ("401", "404", "429")}
    everything = {name: failures[name] for name in ("401", "403", "429")}
    return {
        "/api/v1/sites": {
            "get": _operation("listSites", "Sites that the key may read", "200", listed, everything),
            "post": _operation("createSite", "Add a site", "201", site, everything | body, "NewSite"),
        },
        "/api/v1/sites/{domain}": {
            "parameters": [{"name": "domain", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": _operation("getSite", "One site with its settings", "200", site, mine),
            "put": _operation(
                "changeSite",
                "Change a site's settings; what is left out stays",
                "200",
                site,
                mine | everything | body,
                "SiteChanges",
            ),
            "delete": _operation("deleteSite", "Delete a site", "200", deleted, mine | {"400": failures["400"]}),
        },
        "/api/v1/sites/goals": {
            "get": _operation("listGoals", "Goals of a site", "200", _GOALS, mine | {"400": failures["400"]})
            | {"parameters": [_query("site_id", required=True), *map(_query, ("after", "before")), _LIMIT]},
            "put": _operation("putGoal", "Find or create a goal", "200", goal, mine | body, "NewGoal"),
        },
        "/api/v1/sites/goals/{goal_id}": {
            "parameters": [
                {"name": "goal_id", "in": "path", "required": True, "schema": {"type": "string"}},
                _query("site_id", required=True),
            ],
            "delete": _operation("deleteGoal", "Delete a goal", "200", deleted, mine | body),
        },
    }


def _query(name: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": {"type": "string"}}


_LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": DEFAULT_LIMIT}}
_CURSOR = {"type": ["string", "null"]}
_GOALS = {
    "type": "object",
    "required": ["goals", "meta"],
    "properties": {
        "goals": {"type": "array", "items": {"$ref": _REF.format(name="ListedGoal")}},
        "meta": {
            "type": "object",
            "required": ["after", "before", "limit"],
            "properties": {"after": _CURSOR, "before": _CURSOR, "limit": {"type": "integer"}},
        },
    },
}


def _operation(
    name: str, summary: str, status: str, schema: dict[str, Any], failures: dict[str, Any], body: str = ""
) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": name, "summary": summary}
    if body:
        content = {"application/json": {"schema": {"$ref": _REF.format(name=body)}}}
        found["requestBody"] = {"required": True, "content": content}
    answer = {"description": "Done", "content": {"application/json": {"schema": schema}}}
    return found | {"responses": {status: answer, **failures}}
