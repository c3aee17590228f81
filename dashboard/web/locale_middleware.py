"""Locale middleware: the language of a request, from a cookie or `Accept-Language`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.access.cookies import read_cookie
from dashboard.i18n.translations import ENGLISH, Translations, shipped, using

COOKIE: Final = "tyst_language"
_LONGEST: Final = 200
"""Characters of `Accept-Language` that are read."""


def preferred(accepted: str, known: Iterable[str]) -> str:
    """The first of the browser's languages that is known, else English (`Accept-Language`, RFC 9110, 12.5.4)."""
    names = {code.lower().replace("_", "-"): code for code in known}
    wanted = []
    for part in accepted[:_LONGEST].split(","):
        name, _separator, quality = part.strip().replace(" ", "").partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.lower()))
        except ValueError:
            continue
    # Sorting is stable: of equal ones the browser's order decides.
    for rank, name in sorted(wanted, key=lambda pair: pair[0]):
        found = names.get(name) or names.get(name.partition("-")[0])
        if rank < 0 and found:
            return found
    return ENGLISH


class LocaleMiddleware:
    """ASGI middleware that sets the language of a request: the one chosen by cookie, else the browser's preference."""

    def __init__(self, app: ASGIApp, translations: Translations | None = None) -> None:
        self._app = app
        self._catalogues = translations or shipped()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the language for this request alone."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = self._catalogues.names
        chosen = read_cookie(scope, COOKIE)
        code = chosen if chosen in known else preferred(Headers(scope=scope).get("accept-language", ""), known)
        with using(code, self._catalogues):
            await self._app(scope, receive, send)
