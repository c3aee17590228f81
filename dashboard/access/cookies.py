"""Cookies of the dashboard, with the name prefixes of RFC 6265bis, 4.1.3.

Over https a cookie is `Secure` and has the prefix `__Host-`, or `__Secure-` if it is limited to a path. Over http, as
on localhost, it has neither.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Scope

from collector.ingest.cookies import cookie_value


def read_cookie(scope: Scope, name: str, path: str = "/") -> str:
    """The value of a cookie set by `set_cookie` for `path`; empty without one."""
    return cookie_value(scope["headers"], _name(scope, name, path))


def set_cookie(scope: Scope, response: Response, name: str, value: str, *, max_age: int, path: str = "/") -> None:
    """Set an HttpOnly cookie for `max_age` seconds."""
    response.set_cookie(
        _name(scope, name, path),
        value,
        max_age=max_age,
        path=path,
        httponly=True,
        samesite="lax",
        secure=scope["scheme"] == "https",
    )


def delete_cookie(scope: Scope, response: Response, name: str) -> None:
    """Delete a cookie."""
    response.delete_cookie(_name(scope, name, "/"), httponly=True, samesite="lax", secure=scope["scheme"] == "https")


def _name(scope: Scope, name: str, path: str) -> str:
    if scope["scheme"] != "https":
        return name
    return f"__Host-{name}" if path == "/" else f"__Secure-{name}"
