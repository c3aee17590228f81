"""What the pages of the dashboard need to have at hand, put together once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.counters import Counters
from collector.settings import Settings
from collector.sites import Site, Sites
from collector.tally import Tally
from dashboard.assets import Assets
from dashboard.auth import Attempts, Sessions, same_origin
from dashboard.pages import Pages
from dashboard.store import Store
from dashboard.users import Passwords, User, Users


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The parts that the views work with. `clock` gives Unix seconds."""

    settings: Settings
    sites: Sites
    users: Users
    passwords: Passwords
    store: Store
    counters: Counters
    tally: Tally
    sessions: Sessions
    attempts: Attempts
    pages: Pages
    clock: Callable[[], float] = field(default=time.time)


def build_dashboard(
    settings: Settings,
    sites: Sites,
    users: Users,
    passwords: Passwords,
    store: Store,
    counters: Counters,
    tally: Tally,
    secret: str,
    clock: Callable[[], float] = time.time,
) -> Dashboard:
    """Put the dashboard together. `secret` signs the sign-in cookies."""
    return Dashboard(
        settings=settings,
        sites=sites,
        users=users,
        passwords=passwords,
        store=store,
        counters=counters,
        tally=tally,
        sessions=Sessions(users, secret),
        attempts=Attempts(clock),
        pages=Pages(Assets()),
        clock=clock,
    )


View = Callable[[Dashboard, Request, User], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def signed_in(dashboard: Dashboard, view: View) -> Endpoint:
    """The view for users who are signed in; others are sent to sign in, and come back."""

    async def endpoint(request: Request) -> Response:
        user = dashboard.sessions.user(request)
        if user is None:
            return _to_login(request)
        if request.method == "POST" and not same_origin(request.headers):
            raise HTTPException(403)
        return await view(dashboard, request, user)

    return endpoint


def _to_login(request: Request) -> Response:
    if "hx-request" in request.headers:
        # htmx would follow a redirect and put the sign-in page into the middle of this one.
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = request.method == "GET" and here != "/"
    return RedirectResponse(f"/login?{urlencode({'next': here})}" if wanted else "/login", 303)


def visible_site(dashboard: Dashboard, request: Request, user: User) -> Site:
    """The site that the address names. One that the user may not see is as absent as one that is not there."""
    site = dashboard.sites.get(request.path_params["domain"].lower())
    if site is None or not user.sees(site.domain):
        raise HTTPException(404)
    return site


MOST_FORM = 65_536  # bytes


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form, the last value of each name. Raises 413 for more than any form here sends."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM:
            raise HTTPException(413)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200))
