"""The dashboard's addresses, and the pages that are about no site in particular: signing in, the list of sites."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import anyio.to_thread
from clickhouse_connect.driver.exceptions import OperationalError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from collector.clickhouse import plain_reason
from collector.sites import Site
from dashboard import (
    account_views,
    annotation_views,
    changes_views,
    chart_exports,
    consent_views,
    detail_views,
    entry_views,
    figures_views,
    formats,
    goal_views,
    install_views,
    people_views,
    realtime_views,
    segment_views,
    setup_views,
    share_views,
    sharing_views,
    site_views,
)
from dashboard.auth import safe_target, same_origin
from dashboard.bearer import explained
from dashboard.charts import Sparkline, sparkline
from dashboard.context import Dashboard, Endpoint, View, address_of, read_form, signed_in
from dashboard.formats import Change
from dashboard.language_views import choose_language
from dashboard.pages import error_page
from dashboard.period import parse_period
from dashboard.query import Query, Result
from dashboard.tables import load_arrow
from dashboard.users import User
from dashboard.wording import _

log = logging.getLogger(__name__)

COMPRESSED = [Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=6)]


def routes(dashboard: Dashboard) -> list[Route]:
    """Every address of the dashboard. `/{domain}` takes any first part, so these come after all others."""

    def page(path: str, view: View, *methods: str) -> Route:
        return Route(path, signed_in(dashboard, view), methods=methods or ("GET",), middleware=COMPRESSED)

    def figures(path: str, view: View) -> list[Route]:
        """A view that readers without an account may have too: at public sites, and below secret links."""
        return [
            Route(f"/share/{{token}}{path}", share_views.shared(dashboard, view), middleware=COMPRESSED),
            Route(f"/{{domain}}{path}", share_views.opened(dashboard, view), middleware=COMPRESSED),
        ]

    return [
        Route("/static/{digest}/{name:path}", dashboard.pages.assets.serve),
        Route("/login", _login(dashboard), methods=["GET", "POST"], middleware=COMPRESSED),
        Route("/logout", _logout(dashboard), methods=["POST"]),
        Route("/language", choose_language, methods=["POST"]),
        page("/", list_sites),
        page("/account", account_views.account, "GET", "POST"),
        page("/users", people_views.users, "GET", "POST"),
        page("/changes", changes_views.all_changes),
        *entry_views.routes(dashboard, COMPRESSED),
        page("/sites/new", setup_views.add_site, "GET", "POST"),
        Route("/share/{token}", share_views.unlock(dashboard), methods=["POST"]),
        *figures("", site_views.show_site),
        *figures("/details/{panel}.csv", detail_views.export_details),
        *figures("/details/{panel}", detail_views.show_details),
        *figures("/values", detail_views.suggest_values),
        page("/{domain}/segments", segment_views.show_segments, "GET", "POST"),
        page("/{domain}/goals", goal_views.show_goals, "GET", "POST"),
        *figures("/chart.csv", chart_exports.export_chart),
        *figures("/realtime", realtime_views.show_realtime),
        *figures("/realtime/stream", realtime_views.stream),
        page("/{domain}/notes", annotation_views.change_note, "POST"),
        page("/{domain}/sharing", sharing_views.show_sharing, "GET", "POST"),
        page("/{domain}/sharing/revoke", sharing_views.revoke_share, "POST"),
        page("/{domain}/consent", consent_views.show_consent),
        page("/{domain}/status", site_views.show_status),
        page("/{domain}/install", install_views.install),
        page("/{domain}/install/check", install_views.check, "POST"),
        page("/{domain}/settings", setup_views.change_site, "GET", "POST"),
        page("/{domain}/people", people_views.people, "GET", "POST"),
        page("/{domain}/changes", changes_views.site_changes),
        page("/{domain}/data", figures_views.figures, "GET", "POST"),
        page("/{domain}/delete", figures_views.delete_site, "POST"),
    ]


def error_handlers(dashboard: Dashboard) -> Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """What the application answers in place of a page: for `Starlette(exception_handlers=...)`."""

    async def explain(request: Request, error: Exception) -> Response:
        if isinstance(error, OperationalError):
            log.warning("ClickHouse does not answer a page", extra={"reason": plain_reason(error)})
            error = HTTPException(503, headers={"retry-after": "5"})
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        if request.url.path.startswith("/api/"):
            return explained(HTTPStatus(status), headers)
        return error_page(dashboard.pages, status, headers, user=dashboard.sessions.user(request))

    return {HTTPException: explain, OperationalError: explain, 500: explain}


def _login(dashboard: Dashboard) -> Endpoint:
    async def login(request: Request) -> Response:
        if request.method == "POST":
            return await _sign_in(dashboard, request)
        if dashboard.sessions.user(request):
            return RedirectResponse(safe_target(request.query_params.get("next", "/")), 303)
        response = _door(dashboard, target=request.query_params.get("next", "/"))
        # While somebody types a password there is time for what the first page would have to wait for.
        response.background = BackgroundTask(_prepare, dashboard)
        return response

    return login


def _prepare(dashboard: Dashboard) -> None:
    dashboard.pages.prepare()
    load_arrow()


async def _sign_in(dashboard: Dashboard, request: Request) -> Response:
    if not same_origin(request.headers):
        raise HTTPException(403)
    form = await read_form(request)
    name, target = form.get("name", "").strip()[:100], form.get("next", "/")
    address = address_of(dashboard, request)
    wait = dashboard.attempts.wait(name, address)
    if wait:
        problem = _("Too many attempts. Try again in {time}.").format(time=formats.waiting(wait))
        return _door(dashboard, target, name, problem, 429, {"retry-after": str(wait)})
    dashboard.attempts.count(name, address)
    user = dashboard.users.get(name)
    right = await anyio.to_thread.run_sync(dashboard.passwords.right, user, form.get("password", ""))
    if user is None or not right:
        return _door(dashboard, target, name, _("That user name and password do not belong together."), 401)
    dashboard.attempts.forgive(name, address)
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


@dataclass(frozen=True, slots=True)
class Card:
    """One site in the list: visitors today, the last fourteen days as a line, the last seven against those before."""

    domain: str
    href: str
    today: int
    week: int
    change: Change | None
    spark: Sparkline
    now_visitors: int
    busy: bool
    """Whether anybody came at all in these days."""


CARD_DAYS = 15


async def list_sites(dashboard: Dashboard, _: Request, user: User) -> Response:
    """`/`: every site that the user sees."""
    sites = [site for site in dashboard.sites.all() if user.sees(site.domain)]
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    results = await dashboard.store.run([_card_query(site, now) for site in sites]) if sites else []
    cards = [
        _card(site, query, result, await dashboard.store.current_visitors(site.domain))
        for site, result in zip(sites, results, strict=True)
        for query in (_card_query(site, now),)
    ]
    return dashboard.pages.html("sites.html", cards=cards, user=user)


def _card_query(site: Site, now: datetime.datetime) -> Query:
    today = parse_period("day", site.timezone, now).first
    first = today - datetime.timedelta(days=CARD_DAYS - 1)
    period = parse_period("custom", site.timezone, now, first, today)
    return Query(site=site.domain, metrics=("visitors",), period=period, dimensions=("time:day",), limit=CARD_DAYS)


def _card(site: Site, query: Query, result: Result, now_visitors: int) -> Card:
    by_day = {row.dimensions[0]: int(row.metrics[0] or 0) for row in result.rows}
    days = [by_day.get(day, 0) for day in query.period.buckets("day")]
    # Whole days only: a day that has just begun always looks like a fall.
    before, week = sum(days[-15:-8]), sum(days[-8:-1])
    return Card(
        domain=site.domain,
        href=f"/{site.domain}",
        today=days[-1],
        week=week,
        change=formats.change("visitors", week, before),
        spark=sparkline(days, 240, 48),
        now_visitors=now_visitors,
        busy=any(days),
    )
