"""The pages of one site: its figures, all rows of a breakdown, and what arrives."""

from __future__ import annotations

import datetime
import hashlib

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from collector.sites import Site
from dashboard import formats
from dashboard.choice import METRICS, PERIODS, Choice, read_choice
from dashboard.context import Dashboard, visible_site
from dashboard.details import build_details
from dashboard.drops import drops_of
from dashboard.exceptions import QueryError
from dashboard.pages import HEADERS, fragment_asked
from dashboard.panels import TABS, panel_named
from dashboard.period import Period, parse_period
from dashboard.query import Query
from dashboard.report import build_report
from dashboard.users import User

MOST_PAGES = 10_000


async def show_site(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE`: the report, alone when htmx asks for it, else in its page."""
    site = visible_site(dashboard, request, user)
    choice, period, problem = _chosen(dashboard, site, request)
    report = await build_report(dashboard.store, choice, period, dashboard.clock())
    values = {"site": site, "user": user, "report": report, "choice": choice, "problem": problem}
    names = {"periods": PERIODS, "metrics": METRICS, "dates": formats.dates(period.first, period.last)}
    if fragment_asked(request) != "report":
        return dashboard.pages.html("site.html", **values, **names)
    # Asked for every few seconds while someone looks: what is on the screen already is not sent again.
    text = dashboard.pages.text("_report.html", **values, **names)
    version = hashlib.blake2b(text.encode(), digest_size=9).hexdigest()
    headers = {**HEADERS, "x-report": version}
    if request.headers.get("x-report") == version:
        return Response(status_code=204, headers=headers)
    return HTMLResponse(text, headers=headers)


async def show_details(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/details/PANEL`: all rows of a breakdown, a page at a time."""
    site = visible_site(dashboard, request, user)
    panel = panel_named(request.path_params["panel"])
    if panel is None:
        raise HTTPException(404)
    choice, period, _ = _chosen(dashboard, site, request)
    page = request.query_params.get("page", "1")
    number = min(max(int(page), 1), MOST_PAGES) if page.isascii() and page.isdigit() else 1
    details = await build_details(dashboard.store, choice, period, panel, number)
    return dashboard.pages.html(
        "details.html", site=site, user=user, details=details, dates=formats.dates(period.first, period.last)
    )


async def show_status(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/status`: what arrived since the program started, and what was not kept in 30 days and why."""
    site = visible_site(dashboard, request, user)
    accepted = dashboard.counters.accepted(site.domain)
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    latest = Query(
        site=site.domain,
        metrics=("events",),
        period=parse_period("day", site.timezone, now),
        dimensions=("time:minute",),
        order_by=(("time:minute", "desc"),),
        limit=1,
    )
    (result,) = await dashboard.store.run([latest])
    template = "_arrivals.html" if fragment_asked(request) == "arrivals" else "status.html"
    return dashboard.pages.html(
        template,
        site=site,
        user=user,
        accepted=accepted,
        drops=drops_of(await dashboard.tally.of(site.domain)),
        last_event=f"today at {result.rows[0].dimensions[0][11:16]}" if result.rows else "none today",
        now_visitors=await dashboard.store.current_visitors(site.domain),
    )


def _chosen(dashboard: Dashboard, site: Site, request: Request) -> tuple[Choice, Period, str]:
    """The choice, its period, and what was wrong with the dates that were asked for, "" when nothing was."""
    choice = read_choice(site.domain, request.query_params, TABS)
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    first, last = _date(choice.first), _date(choice.last)
    if choice.period == "custom" and first and last and first > last:
        choice, first, last = choice.to_period("custom", choice.last, choice.first), last, first
    try:
        return choice, parse_period(choice.period, site.timezone, now, first, last), ""
    except QueryError as error:
        plain = choice.to_period("30d")
        return plain, parse_period("30d", site.timezone, now), f"Those dates cannot be shown: {error.expected}."


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
