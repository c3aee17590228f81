"""Report and status pages of a site."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.analytics.current_visitors import current_visitors
from dashboard.analytics.period import parse_period
from dashboard.analytics.query import Query
from dashboard.i18n import formatting
from dashboard.i18n.translations import _
from dashboard.reports.drop_reasons import drops_of, trims_of
from dashboard.reports.filter_bar import filter_bar
from dashboard.reports.labels import retention_text
from dashboard.reports.received_events import received_events, received_query
from dashboard.reports.site_report import build_report
from dashboard.web.app_context import Dashboard, stats_for, visible_site
from dashboard.web.details import after_adding
from dashboard.web.templating import HEADERS, fragment_asked
from dashboard.web.view_state_loader import view_state_of


async def show_site(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE`: the report, as a fragment for htmx, else as a page."""
    site = visible_site(dashboard, request, user)
    choice, dates = await view_state_of(dashboard, site, request, user)
    added = after_adding(choice, request)
    if added is not None:
        return added
    period = dates.period
    notes = dashboard.annotations.within(site, period.first, period.last, guest=is_guest(user))
    report = await build_report(stats_for(dashboard, user), choice, dates, notes, dashboard.clock())
    bar = filter_bar(choice, dashboard.segments.of(site, None if is_guest(user) else user), user, site)
    values = {"site": site, "user": user, "report": report, "choice": choice, "bar": bar}
    names = {"dates": formatting.dates(period.first, period.last)}
    if fragment_asked(request) != "report":
        return dashboard.pages.html("site.html", **values, **names)
    # Asked for every few seconds while someone looks: what is on the screen already is not sent again.
    text = dashboard.pages.text("_report.html", **values, **names)
    version = hashlib.blake2b(text.encode(), digest_size=9).hexdigest()
    headers = {**HEADERS, "x-report": version}
    if request.headers.get("x-report") == version:
        return Response(status_code=204, headers=headers)
    return HTMLResponse(text, headers=headers)


async def show_status(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/status`: received events by day, and dropped events of 30 days by reason."""
    site = visible_site(dashboard, request, user)
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    month = replace(parse_period("30d", site.timezone, now), bucket="day")
    latest = Query(
        site=site.domain,
        metrics=("events",),
        period=parse_period("day", site.timezone, now),
        dimensions=("time:minute",),
        order_by=(("time:minute", "desc"),),
        limit=1,
    )
    result, by_day = await dashboard.stats.run([latest, received_query(site.domain, month)])
    template = "_arrivals.html" if fragment_asked(request) == "arrivals" else "status.html"
    return dashboard.pages.html(
        template,
        site=site,
        user=user,
        received=received_events(month, by_day, now.timestamp()),
        drops=drops_of(await dashboard.tally.dropped(site)),
        trims=trims_of(await dashboard.tally.trimmed(site)),
        last_event=_("today at {time}").format(time=result.rows[0].dimensions[0][11:16])
        if result.rows
        else (formatting.NOTHING if result.rounded_to else _("none today")),
        retention=retention_text(site.retention_days),
        now_visitors=await current_visitors(dashboard.stats, site.domain, site.timezone),
    )
