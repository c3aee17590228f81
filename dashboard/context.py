"""What the pages of the dashboard need to have at hand, put together once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qsl, quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from collector.address import TrustedProxies, client_address, network_of
from collector.counters import Counters
from collector.deletion import Deletions
from collector.settings import Settings
from collector.sites import Site, Sites
from collector.tally import Tally
from dashboard.analytics.realtime_query import Realtime
from dashboard.analytics.service import StatsService
from dashboard.annotations import Annotations
from dashboard.assets import Assets
from dashboard.auth import Attempts, same_origin
from dashboard.changes import Changes
from dashboard.connected import while_connected
from dashboard.doors import Doors
from dashboard.fetching import Fetcher
from dashboard.guests import is_guest
from dashboard.inspector import Inspector
from dashboard.invitations import Invitations
from dashboard.pages import Pages
from dashboard.passwords import Passwords
from dashboard.realtime import Hubs
from dashboard.segments import Segments
from dashboard.sessions import Sessions
from dashboard.shares import Shares
from dashboard.users import User, Users


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The parts that the views work with. `clock` gives Unix seconds."""

    settings: Settings
    sites: Sites
    users: Users
    passwords: Passwords
    stats: StatsService
    counters: Counters
    tally: Tally
    sessions: Sessions
    attempts: Attempts
    pages: Pages
    changes: Changes
    invitations: Invitations
    deletions: Deletions
    shares: Shares
    doors: Doors
    inspector: Inspector
    annotations: Annotations
    hubs: Hubs
    segments: Segments
    clock: Callable[[], float] = field(default=time.time)


def build_dashboard(
    settings: Settings,
    sites: Sites,
    users: Users,
    passwords: Passwords,
    stats: StatsService,
    counters: Counters,
    tally: Tally,
    secret: str,
    clock: Callable[[], float] = time.time,
    *,
    changes: Changes,
    sessions: Sessions,
    invitations: Invitations,
    deletions: Deletions,
    shares: Shares,
    annotations: Annotations,
    segments: Segments,
) -> Dashboard:
    """Put the dashboard together. `secret` signs cookies."""
    return Dashboard(
        settings=settings,
        sites=sites,
        users=users,
        passwords=passwords,
        stats=stats,
        counters=counters,
        tally=tally,
        sessions=sessions,
        attempts=Attempts(clock),
        pages=Pages(Assets()),
        changes=changes,
        invitations=invitations,
        deletions=deletions,
        shares=shares,
        annotations=annotations,
        hubs=Hubs(partial(_realtime, stats, sites)),
        segments=segments,
        doors=Doors(secret, clock),
        inspector=Inspector(Fetcher(settings.verify_networks), clock),
        clock=clock,
    )


def stats_for(dashboard: Dashboard, user: User) -> StatsService:
    """The analytics of a reader: for guests, with an open day that moves in steps."""
    return dashboard.stats.as_guest() if is_guest(user) else dashboard.stats


async def _realtime(stats: StatsService, sites: Sites, domain: str, guest: bool) -> Realtime:
    site = sites.get(domain)
    return await (stats.as_guest() if guest else stats).realtime(domain, site.timezone if site else "UTC")


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
        if request.method == "GET":
            return await shown_to(dashboard, request, user, view)
        return await view(dashboard, request, user)

    return endpoint


async def shown_to(dashboard: Dashboard, request: Request, user: User, view: View) -> Response:
    """The page; when its reader goes away first, what was asked for it is ended and nobody hears the answer."""
    try:
        return await while_connected(request, _answer(view(dashboard, request, user)))
    except ClientDisconnect:
        return Response(status_code=499)


async def _answer(page: Awaitable[Response]) -> Response:
    return await page


def _to_login(request: Request) -> Response:
    if "hx-request" in request.headers:
        # htmx would follow a redirect and put the sign-in page into the middle of this one.
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = request.method == "GET" and here != "/"
    return RedirectResponse(f"/login?{urlencode({'next': here})}" if wanted else "/login", 303)


def visible_site(dashboard: Dashboard, request: Request, user: User) -> Site:
    """The site that the address names. One that the user may not see is as absent as one that is not there."""
    name = request.path_params["domain"]
    site = dashboard.sites.get(name.lower())
    former = dashboard.sites.measured(name.lower()) if site is None and request.method == "GET" else None
    if former is not None and user.sees(former):
        # Bookmarks of a name that the site had before go on to work.
        rest = request.url.path.partition("/")[2].partition("/")[2]
        query = f"?{request.url.query}" if request.url.query else ""
        there = f"/{quote(former.domain)}{f'/{quote(rest)}' if rest else ''}{query}"
        raise HTTPException(307, headers={"location": there})
    if site is None or not user.sees(site):
        raise HTTPException(404)
    return site


def changeable_site(dashboard: Dashboard, request: Request, user: User) -> Site:
    """The same, for what only its owners and administrators may do: others are refused."""
    site = visible_site(dashboard, request, user)
    if not user.may_change(site):
        raise HTTPException(403)
    return site


def network_of_request(dashboard: Dashboard, request: Request) -> str:
    """The network that a request comes from (IPv6: the /64), for counting attempts; it stays in memory."""
    peer = request.client.host if request.client else ""
    return network_of(client_address(peer, request.headers.raw, TrustedProxies(dashboard.settings.trusted_proxies)))


@dataclass(frozen=True, slots=True)
class Post:
    """A form that was sent: by whom, and about which site, where it is about one."""

    dashboard: Dashboard
    request: Request
    user: User
    form: dict[str, str]
    site: Site | None = None

    @property
    def domain(self) -> str:
        """Name of the site; empty where it is about none."""
        return self.site.domain if self.site else ""

    async def note(self, what: str, before: object = "", after: object = "") -> None:
        """Note what it changed."""
        await self.dashboard.changes.note(self.user.name, self.domain, what, before, after)


MOST_FORM = 65_536  # bytes
MAX_FIELDS = 200


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form, the last value of each name. Raises 413 or 400 for more than any form here sends."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM:
            raise HTTPException(413)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise HTTPException(400, f"expected at most {MAX_FIELDS} fields") from None
