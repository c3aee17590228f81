"""Journeys of a site's visits as a page and as CSV, and what is around one page."""

from __future__ import annotations

import datetime
from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.core.csv import BYTE_ORDER_MARK
from collector.sites.model import Site
from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.analytics.filters import LONGEST_VALUE
from dashboard.analytics.journeys import JourneyResult
from dashboard.analytics.journeys_query import run_journey
from dashboard.analytics.query import Result
from dashboard.i18n import formatting
from dashboard.reports.csv_export import csv_headers, csv_writer
from dashboard.reports.date_picker import build_menu
from dashboard.reports.date_range import DateRange
from dashboard.reports.filter_bar import filter_bar
from dashboard.reports.journey_next import HERE as AROUND
from dashboard.reports.journey_next import build_surroundings
from dashboard.reports.journey_page import COLUMN_CHOICES, HEADS, build_journey_page, table
from dashboard.reports.journey_params import HERE, read_journey_params
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, stats_for, visible_site
from dashboard.web.details import after_adding
from dashboard.web.templating import DATA_HEADERS
from dashboard.web.view_state_loader import view_state_of


async def show_journeys(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/journeys`: the steps of visits, column by column."""
    site, state, dates = await _view(dashboard, request, user)
    params = read_journey_params(request.query_params)
    within = params.within(state)
    added = after_adding(within, request, HERE)
    if added is not None:
        return added
    page = await build_journey_page(stats_for(dashboard, user), state, dates.period, params)
    return dashboard.pages.html(
        "journeys.html",
        **frame(dashboard, site, user, within, dates, HERE, page.result),
        plain=state,
        page=page,
        column_choices=COLUMN_CHOICES,
    )


async def export_journey(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/journeys.csv`: the same steps and links, as the API spells them."""
    site, state, dates = await _view(dashboard, request, user)
    params = read_journey_params(request.query_params)
    result = await run_journey(stats_for(dashboard, user), params.journey(state, dates.period))
    name = f"{site.domain}-journeys-{dates.period.first}-{dates.period.last}.csv"
    return Response(
        BYTE_ORDER_MARK + csv_writer(request).lines([HEADS, *table(result)]),
        headers={**DATA_HEADERS, **csv_headers(name)},
    )


async def show_surroundings(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/journeys/page?page=/path`: the pages before and after a page, its sources, entries and exits."""
    site, state, dates = await _view(dashboard, request, user)
    page = request.query_params.get("page", "")
    if not 0 < len(page) <= LONGEST_VALUE:
        raise HTTPException(404)
    within = replace(state, kept=(*state.kept, ("page", page)))
    added = after_adding(within, request, AROUND)
    if added is not None:
        return added
    around = await build_surroundings(stats_for(dashboard, user), state, dates.period, page)
    return dashboard.pages.html(
        "journeys_page.html",
        **frame(dashboard, site, user, within, dates, AROUND, around.after),
        plain=state,
        around=around,
    )


async def _view(dashboard: Dashboard, request: Request, user: User) -> tuple[Site, ViewState, DateRange]:
    """The site and the view of it. Journeys are compared with nothing."""
    site = visible_site(dashboard, request, user)
    state, dates = await view_state_of(dashboard, site, request, user)
    return site, state, replace(dates, before=None, compared=None)


def frame(
    dashboard: Dashboard,
    site: Site,
    user: User,
    state: ViewState,
    dates: DateRange,
    below: str,
    lacking: Result | JourneyResult,
) -> dict[str, object]:
    """What the templates of a page with filters and dates are given, for the page `below` the site's. `lacking` is an
    answer that says which days it lacks."""
    begins = lacking.events_available_from
    segments = dashboard.segments.of(site, None if is_guest(user) else user)
    return {
        "site": site,
        "user": user,
        "choice": state,
        "period": dates.period,
        "menu": build_menu(state, dates, below),
        "bar": filter_bar(state, segments, user, site, below),
        "lacking": lacking,
        "lacking_days": lacking.imported_days_left_out,
        "lacking_from": datetime.date.fromisoformat(begins) if begins not in ("", "never") else None,
        "dates": formatting.dates(dates.period.first, dates.period.last),
    }
