"""Public path: operation below a path of another website, as with `TYST_PUBLIC_URL=https://example.com/stats`.

Routes, templates and handlers know paths from `/` only. Here the public path is taken from what requests ask for,
unless the proxy has done so, and put before every path that a response leads to.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.web.edge import OPERATORS_OWN

# The attributes by which a page leads to another address of this server. Within a value quotes are escaped.
_LINKS: Final = re.compile(
    r"""((?:href|src|action|hx-get|hx-post|data-live|data-script|data-stream|data-world|data-zoom)=")(?=/(?!/))"""
)
_COOKIE_PATH: Final = re.compile(rb"(?<=; Path=)(?=/\w)", re.IGNORECASE)


def below(path: str, html: str) -> str:
    """A page, or a part of one, whose links lead below `path`."""
    return _LINKS.sub(rf"\g<1>{path}", html) if path else html


class BelowPath:
    """ASGI middleware for `path`, such as `/stats`."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_below(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [self._header(*each) for each in message.get("headers", ())]}
            await send(message)

        await self._app(self._stripped(scope), receive, send_below)

    def _stripped(self, scope: Scope) -> Scope:
        path: str = scope.get("path", "")
        if path != self._path and not path.startswith(f"{self._path}/"):
            return scope
        stripped = path.removeprefix(self._path) or "/"
        # A proxy that takes the path away refuses these below it, and would pass them on below the path twice.
        return scope if stripped in OPERATORS_OWN else {**scope, "path": stripped}

    def _header(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        lower, path = name.lower(), self._path.encode()
        if lower == b"location" and value.startswith(b"/") and not _starts_with(value, path):
            return name, path + value
        # Cookies for `/` stay so: only these can have the prefix `__Host-`.
        return name, _COOKIE_PATH.sub(path, value) if lower == b"set-cookie" else value


def _starts_with(value: bytes, path: bytes) -> bool:
    return value == path or value.startswith((path + b"/", path + b"?", b"//"))
