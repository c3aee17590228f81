"""Request bodies of the management API, JSON or forms, read into types; errors name the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from collector.sites.hostnames import host_entry
from collector.sites.model import Site
from dashboard.access.api_keys import Right
from dashboard.access.users import Role
from dashboard.api.auth import ApiError

MOST_BODY = 65_536  # bytes
SITE_FIELDS = tuple(
    name for name in Site.__struct_fields__ if name not in ("id", "created", "aliases", "former_timezones")
)
LISTS = frozenset({"sites", "hostnames", "excluded_paths", "excluded_countries", "query_keys", "hidden_paths"})

T = TypeVar("T", bound=msgspec.Struct)


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates a user."""

    name: str
    password: str
    role: Role = "viewer"
    sites: tuple[str, ...] = ()
    roles: dict[str, Role] = {}


class UserChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that changes a user; what is left out stays."""

    password: str | None = None
    role: Role | None = None
    sites: tuple[str, ...] | None = None
    roles: dict[str, Role] | None = None


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that creates a key."""

    sites: tuple[str, ...] = ()
    right: Right = "read"
    name: str = ""
    expires: str = ""
    """Last day on which it is good, or `never`; without one, a year from now."""


async def read_fields(request: Request) -> dict[str, Any]:
    """The body's fields, from JSON or from a form as Plausible's clients send it. Raises `ApiError`."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MOST_BODY:
        raise ApiError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"expected a body of known length, at most {MOST_BODY} bytes"
        )
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        try:
            form = await request.form(max_files=0)
        except HTTPException:
            raise ApiError(HTTPStatus.BAD_REQUEST, "body", "expected a form") from None
        return {name: form.getlist(name) if name in LISTS else form[name] for name in form}
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ApiError(HTTPStatus.BAD_REQUEST, "body", "expected a JSON object") from None


def read_site(before: Site, fields: Mapping[str, Any]) -> Site:
    """The site with `fields` in place of what it has. Raises `ApiError`."""
    for name in fields:
        if name not in SITE_FIELDS:
            raise ApiError(HTTPStatus.BAD_REQUEST, name, f"is no setting of a site; known: {', '.join(SITE_FIELDS)}")
    site = read_as({**msgspec.structs.asdict(before), **fields}, Site)
    if "hostnames" in fields and not all(map(host_entry, site.hostnames)):
        raise ApiError(HTTPStatus.BAD_REQUEST, "hostnames", "expected hosts such as www.example.com or *.example.com")
    return site


def read_as(fields: Mapping[str, Any], kind: type[T]) -> T:
    """The fields as a value of type `kind`. Raises `ApiError` naming the field that cannot be read."""
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        path = re.search(r" - at `\$\.(\w+)", text)
        name = re.search(r"(?:required|unknown) field `(\w+)`", text)
        field = path[1] if path else name[1] if name else "body"
        reason = "is required" if "required field" in text else text.partition(" - at ")[0].replace("`", "")
        if path and name:
            reason = f"{name[1]} {reason}" if reason == "is required" else reason
        raise ApiError(HTTPStatus.BAD_REQUEST, field, reason[:1].lower() + reason[1:]) from None
