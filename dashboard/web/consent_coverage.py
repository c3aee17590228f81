"""`/SITE/consent`: how many pageviews came with which consent, over time and by page, source and country."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.reports.consent_coverage import build_consent_report, consent_queries
from dashboard.reports.date_picker import build_menu
from dashboard.reports.filter_params import FilterParam
from dashboard.reports.labels import retention_text
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, visible_site
from dashboard.web.view_state_loader import view_state_of

HERE = "/consent"


async def show_consent(dashboard: Dashboard, request: Request, user: User) -> Response:
    """The page, over the last thirty days or the dates of the address."""
    site = visible_site(dashboard, request, user)
    chosen, dates = await view_state_of(dashboard, site, request, user)
    state = chosen.only(())
    results = await dashboard.stats.run(consent_queries(site, dates))
    period = dates.period
    notes = dashboard.annotations.within(site, period.first, period.last)
    report = build_consent_report(site, dates, results, notes, dashboard.clock())
    return dashboard.pages.html(
        "consent.html",
        retention=retention_text(site.retention_days),
        site=site,
        user=user,
        report=report,
        choice=state,
        menu=build_menu(state, dates, HERE, compared=report.compared),
        period=period,
        dates=formatting.dates(period.first, period.last),
        compared=formatting.dates(dates.before.first, dates.before.last) if dates.before else "",
        ends=[formatting.percent(each) for each in (100, 0)],
        links={each.name: _figures_of(state, each.name) for each in report.pages},
    )


def _figures_of(state: ViewState, page: str) -> str:
    """The address of the figures of one page, over the same dates."""
    return state.filtered(FilterParam("is", "event:page", page)).href()
