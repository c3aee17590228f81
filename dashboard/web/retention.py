"""`/SITE/retention`: why visitors are not recognized across days, and how many return within the day."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from dashboard.access.users import User
from dashboard.reports.retention import build_retention, retention_queries
from dashboard.web.app_context import Dashboard, stats_for, visible_site
from dashboard.web.details import after_adding
from dashboard.web.journeys import frame
from dashboard.web.view_state_loader import view_state_of

HERE = "/retention"


async def show_retention(dashboard: Dashboard, request: Request, user: User) -> Response:
    """The page, under any filters and over any dates."""
    site = visible_site(dashboard, request, user)
    state, found = await view_state_of(dashboard, site, request, user)
    added = after_adding(state, request, HERE)
    if added is not None:
        return added
    by = found.period.bucket if found.period.bucket in ("day", "week", "month") else "day"
    dates = replace(found, period=replace(found.period, bucket=by), before=None, compared=None)
    results = await stats_for(dashboard, user).run(retention_queries(state, dates.period))
    report = build_retention(state, dates.period, results, dashboard.clock())
    return dashboard.pages.html(
        "retention.html", **frame(dashboard, site, user, state, dates, HERE, report.by_time), report=report
    )
