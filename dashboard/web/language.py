"""`POST /language`: set the language of this browser."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dashboard.access.cookies import delete_cookie, set_cookie
from dashboard.access.csrf import parts_of, safe_target, same_origin
from dashboard.i18n.translations import languages
from dashboard.web.app_context import read_form
from dashboard.web.locale_middleware import COOKIE

YEAR: Final = 365 * 24 * 3600  # seconds


async def choose_language(request: Request) -> Response:
    """Store the chosen language in a cookie, and return to the page."""
    if not same_origin(request.headers):
        raise HTTPException(403)
    form = await read_form(request)
    response = RedirectResponse(_came_from(request), 303)
    remember_language(request, response, form.get("language", ""))
    return response


def remember_language(request: Request, response: Response, code: str) -> None:
    """Store the reader's language in a cookie; an unknown one deletes the cookie."""
    if code in languages():
        set_cookie(request.scope, response, COOKIE, code, max_age=YEAR)
    else:
        delete_cookie(request.scope, response, COOKIE)


def _came_from(request: Request) -> str:
    """Path and query of the page of this server that the request was sent from, else the first page."""
    page = parts_of(request.headers.get("referer", ""))
    if page.netloc != request.headers.get("host", ""):
        return "/"
    return safe_target(f"{page.path}?{page.query}" if page.query else page.path)
