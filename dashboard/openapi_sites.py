"""The management of sites described in OpenAPI 3.1, from the types that are read and stored."""

from __future__ import annotations

from typing import Any

import msgspec

from collector.sites import Site
from dashboard.bodies import SITE_FIELDS

_REF = "#/components/schemas/{name}"


def schemas() -> dict[str, Any]:
    """A site as it is shown, as it is created and as it is changed, with what these are made of."""
    _, components = msgspec.json.schema_components([Site], ref_template=_REF)
    site = components["Site"]
    given = {name: schema for name, schema in site["properties"].items() if name in SITE_FIELDS}
    settings = {"type": "object", "properties": given, "additionalProperties": False}
    return components | {
        "Site": site | {"required": ["domain", "created"]},
        "NewSite": settings | {"required": ["domain"]},
        "SiteChanges": settings,
    }


def paths(failures: dict[str, Any]) -> dict[str, Any]:
    """The addresses of sites. `failures` are the answers that every request with a key may get."""
    site = {"$ref": _REF.format(name="Site")}
    listed = {"type": "object", "required": ["sites"], "properties": {"sites": {"type": "array", "items": site}}}
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
