"""The dashboard's services, built once, and the guards of its pages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from collector.core.app_secret import Secrets
from collector.core.metrics import Counters
from collector.core.settings import Settings
from collector.enrichment.client_ip import TrustedProxies, client_address, network_of
from collector.erasure.job_runner import SiteJobRunner
from collector.imports.imports import Imports
from collector.server.drop_statistics import DropStatistics
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.access.csrf import same_origin
from dashboard.access.guests import is_guest
from dashboard.access.login_throttle import LoginThrottle
from dashboard.access.one_time_links import Invitations
from dashboard.access.openid.sign_in import OpenIdSignIn, openid_sign_in
from dashboard.access.passkeys.service import Passkeys, passkeys_at
from dashboard.access.passwords import Passwords
from dashboard.access.pending_sign_in import PendingSignIns
from dashboard.access.recent_authentication import RecentAuthentication
from dashboard.access.sessions import Sessions
from dashboard.access.share_access import ShareAccess
from dashboard.access.share_links import ShareLinks
from dashboard.access.two_factor import TwoFactorAuth
from dashboard.access.users import User, Users
from dashboard.analytics.client_disconnect import while_connected
from dashboard.analytics.fair_queue import set_reader
from dashboard.analytics.service import StatsService
from dashboard.compliance.site_check.fetcher import Fetcher
from dashboard.compliance.site_check.inspector import Inspector
from dashboard.notifications.services import Notifications
from dashboard.reports.annotations import Annotations
from dashboard.reports.funnels import Funnels
from dashboard.reports.realtime_figures import Realtime, realtime_figures
from dashboard.reports.realtime_hub import RealtimeHub
from dashboard.reports.segments import Segments
from dashboard.web.table_export import ExportSlots
from dashboard.web.templating import Pages


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Services of the dashboard's views. `clock` gives Unix seconds."""

    settings: Settings
    sites: Sites
    users: Users
    passwords: Passwords
    stats: StatsService
    counters: Counters
    tally: DropStatistics
    sessions: Sessions
    attempts: LoginThrottle
    """Passwords tried."""
    probes: LoginThrottle
    """Links and answers of the provider that were good for nothing. Counted apart: any page can have a browser open
    them, and that must not keep its network from signing in."""
    pages: Pages
    changes: AuditLog
    invitations: Invitations
    deletions: SiteJobRunner
    shares: ShareLinks
    doors: ShareAccess
    inspector: Inspector
    annotations: Annotations
    hubs: RealtimeHub
    segments: Segments
    funnels: Funnels
    keys: ApiKeys
    imports: Imports
    pending: PendingSignIns
    two_factor: TwoFactorAuth
    recent: RecentAuthentication
    notifications: Notifications
    exports: ExportSlots
    passkeys: Passkeys | None
    """Passkeys; None where the public address allows none."""
    openid: OpenIdSignIn | None
    """Sign-in by OpenID Connect; None where no provider is set."""
    clock: Callable[[], float] = field(default=time.time)


def build_dashboard(
    settings: Settings,
    sites: Sites,
    users: Users,
    passwords: Passwords,
    stats: StatsService,
    counters: Counters,
    drop_statistics: DropStatistics,
    secrets: Secrets,
    clock: Callable[[], float] = time.time,
    *,
    audit_log: AuditLog,
    sessions: Sessions,
    invitations: Invitations,
    jobs: SiteJobRunner,
    shares: ShareLinks,
    annotations: Annotations,
    segments: Segments,
    funnels: Funnels,
    keys: ApiKeys,
    imports: Imports,
    two_factor: TwoFactorAuth,
    notifications: Notifications,
    pages: Pages,
) -> Dashboard:
    """Put the dashboard together. `secrets` sign cookies."""
    return Dashboard(
        settings=settings,
        sites=sites,
        users=users,
        passwords=passwords,
        stats=stats,
        counters=counters,
        tally=drop_statistics,
        sessions=sessions,
        attempts=LoginThrottle(clock),
        probes=LoginThrottle(clock),
        pages=pages,
        changes=audit_log,
        invitations=invitations,
        deletions=jobs,
        shares=shares,
        annotations=annotations,
        hubs=RealtimeHub(partial(_realtime, stats, sites)),
        segments=segments,
        funnels=funnels,
        keys=keys,
        imports=imports,
        pending=PendingSignIns(users, secrets, clock),
        two_factor=two_factor,
        exports=ExportSlots(),
        passkeys=passkeys_at(settings.public_url, users, secrets, clock),
        recent=RecentAuthentication(sessions, secrets, clock),
        openid=openid_sign_in(settings, users, secrets, clock),
        doors=ShareAccess(secrets, clock),
        notifications=notifications,
        inspector=Inspector(Fetcher(settings.verify_networks), clock),
        clock=clock,
    )


def stats_for(dashboard: Dashboard, user: User) -> StatsService:
    """The analytics of a reader: for guests, with an open day that moves in steps."""
    return dashboard.stats.as_guest() if is_guest(user) else dashboard.stats


async def _realtime(stats: StatsService, sites: Sites, domain: str, guest: bool) -> Realtime:
    # For all who listen, whoever was first.
    set_reader("")
    site, reader = sites.get(domain), stats.as_guest() if guest else stats
    zones = (site.timezone, site.former_timezones) if site else ()
    return await realtime_figures(reader, domain, *zones)


View = Callable[[Dashboard, Request, User], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


TWO_FACTOR_PATH: Final = "/account/two-factor"
PASSKEYS_PATH: Final = "/account/passkeys"


def signed_in(dashboard: Dashboard, view: View) -> Endpoint:
    """Require a signed-in user; others are redirected to the sign-in page and back. Who has to set up two-factor
    authentication is led there from every page but that of passkeys, which do as well."""

    async def endpoint(request: Request) -> Response:
        found = dashboard.sessions.current(request)
        if found is None:
            return _to_login(request)
        user, session = found
        set_reader(user.name)
        if dashboard.two_factor.is_due(user, session) and request.url.path not in (TWO_FACTOR_PATH, PASSKEYS_PATH):
            return _to_whole_page(request, TWO_FACTOR_PATH)
        if request.method == "POST" and not same_origin(request.headers):
            raise HTTPException(403)
        if request.method == "GET":
            return await may_view(dashboard, request, user, view)
        return await view(dashboard, request, user)

    return endpoint


async def may_view(dashboard: Dashboard, request: Request, user: User, view: View) -> Response:
    """The page; when its reader goes away first, what was asked for it is ended and nobody hears the answer."""
    try:
        return await while_connected(request, _answer(view(dashboard, request, user)))
    except ClientDisconnect:
        return Response(status_code=499)


async def _answer(page: Awaitable[Response]) -> Response:
    return await page


def _to_login(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = request.method == "GET" and here != "/"
    return _to_whole_page(request, f"/login?{urlencode({'next': here})}" if wanted else "/login")


def _to_whole_page(request: Request, address: str) -> Response:
    if "hx-request" in request.headers:
        # htmx would follow a redirect and put that page into the middle of this one.
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    return RedirectResponse(address, 303)


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
    """The client's network (IPv6: the /64) for rate limits; held in memory only."""
    peer = request.client.host if request.client else ""
    return network_of(client_address(peer, request.headers.raw, TrustedProxies(dashboard.settings.trusted_proxies)))


@dataclass(frozen=True, slots=True)
class FormPost:
    """A submitted form, with its user and, where it concerns one, its site."""

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
FORM_SECONDS = 10.0
"""For which a form may arrive whose body was not read before the view."""


async def read_form(request: Request, *, seconds: float = FORM_SECONDS) -> dict[str, str]:
    """The fields of a posted form, the last value of each name. Raises 413 or 400 for more than any form here sends,
    and 408 for one that does not arrive in time."""
    body = b""
    try:
        with anyio.fail_after(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_FORM:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408, headers={"connection": "close"}) from None
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise HTTPException(400, f"expected at most {MAX_FIELDS} fields") from None
