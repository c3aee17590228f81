"""Turns templates into answers: one environment, one set of security headers."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from dashboard import formats
from dashboard.assets import Assets
from dashboard.users import User

TEMPLATES = Path(__file__).resolve().parent / "templates"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    # A page holds an account's figures, and the same address answers whole pages and fragments.
    "cache-control": "private, no-store",
    "vary": "cookie, hx-request, hx-target",
}


class Pages:
    """Renders templates with what every page needs at hand."""

    def __init__(self, assets: Assets) -> None:
        self.assets = assets
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["static_url"] = assets.url
        self._environment.filters.update(number=formats.number, compact=formats.compact)

    def text(self, template: str, **values: Any) -> str:
        """The template with these values, as text."""
        return self._environment.get_template(template).render(**values)

    def html(
        self, template: str, status: int = 200, headers: Mapping[str, str] | None = None, /, **values: Any
    ) -> HTMLResponse:
        """The template with these values, as an answer with every security header."""
        return HTMLResponse(self.text(template, **values), status, headers={**HEADERS, **(headers or {})})


def fragment_asked(request: Request) -> str:
    """The id of the element that htmx will replace, or "" when a whole page is asked for."""
    if request.headers.get("hx-request") != "true" or "hx-history-restore-request" in request.headers:
        return ""
    return request.headers.get("hx-target", "")


EXPLANATIONS: Final = {
    403: ("This is not yours to open", "You are signed in, but your account has no right to this."),
    404: ("Nothing here", "There is no such page, or your account does not see it."),
    405: ("Not like that", "This address does not take that kind of request."),
    413: ("Too much at once", "The form was larger than anything this page asks for."),
    429: ("Too many attempts", "Take a pause, then try again."),
    500: ("Something broke", "It is not your fault. What went wrong is in the server's log."),
    503: ("One moment", "The database does not answer right now. Nothing is lost; try again shortly."),
}


def error_page(
    pages: Pages, status: int, headers: Mapping[str, str] | None = None, user: User | None = None
) -> HTMLResponse:
    """A page that says what went wrong, in words, and where to go from there."""
    title, text = EXPLANATIONS.get(status, (HTTPStatus(status).phrase, "The request could not be answered."))
    return pages.html("error.html", status, headers, title=title, text=text, code=status, user=user)
