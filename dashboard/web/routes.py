"""Routes of the dashboard, sign-in and the list of sites."""

from __future__ import annotations

import logging

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dashboard.access.login_throttle import safe_target, same_origin
from dashboard.access.passwords import HashingBusy
from dashboard.i18n import formatting
from dashboard.i18n.translations import _
from dashboard.web import (
    account,
    audit_log,
    chart_csv,
    consent_coverage,
    data_deletion,
    details,
    entry,
    goals,
    imports,
    install,
    members,
    realtime,
    report,
    segments,
    share_links,
    shared_dashboard,
    site_list,
    site_settings,
)
from dashboard.web import annotations as annotation_views
from dashboard.web.app_context import Dashboard, Endpoint, View, network_of_request, read_form, signed_in
from dashboard.web.language import choose_language

log = logging.getLogger(__name__)

COMPRESSED = [Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=6)]


def routes(dashboard: Dashboard) -> list[Route]:
    """Every route of the dashboard. `/{domain}` matches any first segment, so these come last."""

    def page(path: str, view: View, *methods: str) -> Route:
        return Route(path, signed_in(dashboard, view), methods=methods or ("GET",), middleware=COMPRESSED)

    def figures(path: str, view: View) -> list[Route]:
        """A view that readers without an account may have too: at public sites, and below shared links."""
        return [
            Route(f"/share/{{token}}{path}", shared_dashboard.share_link_view(dashboard, view), middleware=COMPRESSED),
            Route(f"/{{domain}}{path}", shared_dashboard.public_or_signed_in(dashboard, view), middleware=COMPRESSED),
        ]

    return [
        Route("/static/{digest}/{name:path}", dashboard.pages.assets.serve),
        Route("/login", _login(dashboard), methods=["GET", "POST"], middleware=COMPRESSED),
        Route("/logout", _logout(dashboard), methods=["POST"]),
        Route("/language", choose_language, methods=["POST"]),
        page("/", site_list.list_sites, "GET", "POST"),
        page("/account", account.account, "GET", "POST"),
        page("/users", members.users, "GET", "POST"),
        page("/changes", audit_log.all_changes),
        *entry.routes(dashboard, COMPRESSED),
        page("/sites/new", site_settings.add_site, "GET", "POST"),
        Route("/share/{token}", shared_dashboard.unlock(dashboard), methods=["POST"]),
        *figures("", report.show_site),
        *figures("/details/{panel}.csv", details.export_details),
        *figures("/details/{panel}", details.show_details),
        *figures("/values", details.suggest_values),
        page("/{domain}/segments", segments.show_segments, "GET", "POST"),
        page("/{domain}/goals", goals.show_goals, "GET", "POST"),
        *figures("/chart.csv", chart_csv.export_chart),
        *figures("/realtime", realtime.show_realtime),
        *figures("/realtime/stream", realtime.stream),
        page("/{domain}/notes", annotation_views.change_note, "POST"),
        page("/{domain}/sharing", share_links.show_sharing, "GET", "POST"),
        page("/{domain}/sharing/revoke", share_links.revoke_share, "POST"),
        page("/{domain}/consent", consent_coverage.show_consent),
        page("/{domain}/status", report.show_status),
        page("/{domain}/install", install.install),
        page("/{domain}/install/check", install.check, "POST"),
        page("/{domain}/settings", site_settings.change_site, "GET", "POST"),
        page("/{domain}/people", members.people, "GET", "POST"),
        page("/{domain}/changes", audit_log.site_changes),
        page("/{domain}/data", data_deletion.figures, "GET", "POST"),
        page("/{domain}/imports", imports.show_imports, "GET", "POST"),
        page("/{domain}/delete", data_deletion.delete_site, "POST"),
    ]


def _login(dashboard: Dashboard) -> Endpoint:
    async def login(request: Request) -> Response:
        if request.method == "POST":
            return await _sign_in(dashboard, request)
        if dashboard.sessions.user(request):
            return RedirectResponse(safe_target(request.query_params.get("next", "/")), 303)
        response = _door(dashboard, target=request.query_params.get("next", "/"))
        # While somebody types a password there is time for what the first page would have to wait for.
        response.background = BackgroundTask(dashboard.pages.prepare)
        return response

    return login


async def _sign_in(dashboard: Dashboard, request: Request) -> Response:
    if not same_origin(request.headers):
        raise HTTPException(403)
    form = await read_form(request)
    name, target = form.get("name", "").strip()[:100], form.get("next", "/")
    network = network_of_request(dashboard, request)
    wait = dashboard.attempts.wait(name, network)
    if wait:
        problem = _("Too many attempts. Try again in {time}.").format(time=formatting.waiting(wait))
        return _door(dashboard, target, name, problem, 429, {"retry-after": str(wait)})
    dashboard.attempts.count(name, network)
    user = dashboard.users.get(name)
    try:
        right = await dashboard.passwords.matches(user.password if user else None, form.get("password", ""))
    except HashingBusy as error:
        dashboard.attempts.refund(name, network)
        problem = _("Too many sign-ins at the moment. Try again in a few seconds.")
        return _door(dashboard, target, name, problem, 503, {"retry-after": str(error.retry_after)})
    if user is None or not right:
        return _door(dashboard, target, name, _("Incorrect user name or password."), 401)
    dashboard.attempts.reset(name, network)
    response = RedirectResponse(safe_target(target), 303)
    await dashboard.sessions.start(request, response, user)
    return response


def _door(
    dashboard: Dashboard,
    target: str,
    name: str = "",
    problem: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    values = {"target": safe_target(target), "name": name, "problem": problem, "user": None}
    return dashboard.pages.html("login.html", status, headers, **values)


def _logout(dashboard: Dashboard) -> Endpoint:
    async def logout(request: Request) -> Response:
        if not same_origin(request.headers):
            raise HTTPException(403)
        response = RedirectResponse("/login", 303)
        await dashboard.sessions.end(request, response)
        return response

    return logout
