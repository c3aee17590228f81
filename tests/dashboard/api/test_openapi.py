"""The OpenAPI document describes the API: no route is forgotten."""

from __future__ import annotations

from dashboard.api.openapi import document
from tests.system.test_roles import API

METHODS = ("get", "post", "put", "delete")
OF_THE_COMMANDS = {
    ("POST", "/api/v1/sites/{domain}/reset"),
    ("POST", "/api/v1/sites/{domain}/notice"),
    ("POST", "/api/v1/sites/{domain}/preview"),
    ("POST", "/api/v1/verify"),
    ("GET", "/api/v1/audit"),
    ("POST", "/api/v1/audit/search"),
    ("GET", "/api/v1/users"),
    ("POST", "/api/v1/users"),
    ("PUT", "/api/v1/users/{name}"),
    ("DELETE", "/api/v1/users/{name}"),
    ("DELETE", "/api/v1/users/{name}/sessions"),
    ("DELETE", "/api/v1/users/{name}/two-factor"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys"),
    ("DELETE", "/api/v1/keys/{id}"),
    ("GET", "/api/v1/status"),
    ("POST", "/api/v1/backups"),
    ("POST", "/api/v1/backups/restore"),
    ("POST", "/api/v1/rollup"),
    ("POST", "/api/v1/spool/retry"),
    ("POST", "/api/v1/mail/test"),
    ("GET", "/api/v1/collectors"),
    ("DELETE", "/api/v1/collectors/{name}"),
}
"""What the commands of `tyst` ask of the server that they belong to."""


def test_every_route_of_the_api_is_described() -> None:
    """But those that only the commands of the same version use."""
    routes = {(method, path) for table in API.values() for path, methods in table.items() for method in methods.split()}
    described = {
        (method.upper(), path) for path, each in document()["paths"].items() for method in METHODS if method in each
    }
    assert described == routes - OF_THE_COMMANDS
    assert routes >= OF_THE_COMMANDS


def test_every_reference_leads_somewhere() -> None:
    """Each schema that the document refers to is in it."""
    found = document()

    def references(part: object) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*map(references, part.values()))
        return set[str]().union(*map(references, part)) if isinstance(part, list) else set()

    schemas = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert references(found) <= schemas
