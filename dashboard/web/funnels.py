"""Funnels of a site: their list, and the page and file of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.core.csv import BYTE_ORDER_MARK, Cell
from collector.sites.model import Site
from dashboard.access.users import User
from dashboard.analytics.funnels import Funnel, lost_goals, path_of
from dashboard.analytics.funnels_service import FunnelQuery, FunnelResult, run_funnel, run_funnels, share
from dashboard.analytics.period import Period
from dashboard.analytics.property_keys import property_keys
from dashboard.analytics.query import OTHER
from dashboard.analytics.service import StatsService
from dashboard.i18n import formatting
from dashboard.i18n.translations import _, in_english
from dashboard.reports.csv_export import csv_headers, csv_writer
from dashboard.reports.date_picker import build_menu
from dashboard.reports.date_range import DateRange
from dashboard.reports.filter_bar import filter_bar
from dashboard.reports.filter_params import chosen_filter
from dashboard.reports.funnel_report import (
    ORDERS,
    WINDOWS,
    FunnelReport,
    breakdown_groups,
    build_funnel_report,
    read_dimension,
)
from dashboard.reports.labels import label
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, stats_for, visible_site
from dashboard.web.details import after_adding
from dashboard.web.templating import DATA_HEADERS
from dashboard.web.view_state_loader import view_state_of

MOST_COUNTED = 12
"""Funnels of the list whose conversion is counted."""
MOST_KEYS = 20
"""Properties to break a funnel down by."""


async def show_funnels(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/funnels`: the list, with the conversion of each over the period."""
    site = visible_site(dashboard, request, user)
    state, dates = await view_state_of(dashboard, site, request, user)
    stats, funnels = stats_for(dashboard, user), dashboard.funnels.of(site)
    countable = [each for each in funnels if not lost_goals(each, site.goals)][:MOST_COUNTED]
    results = await run_funnels(stats, [_query(site, each, state, dates.period, details=False) for each in countable])
    counted = {
        each.id: build_funnel_report(state, each, result) for each, result in zip(countable, results, strict=True)
    }
    return dashboard.pages.html(
        "funnels.html",
        site=site,
        user=user,
        choice=state,
        menu=build_menu(state.to_comparison("none"), replace(dates, before=None), "/funnels"),
        period=dates.period,
        dates=formatting.dates(dates.period.first, dates.period.last),
        funnels=[(each, state.href(f"/funnels/{each.id}"), counted.get(each.id)) for each in funnels],
        lost={each.id: lost_goals(each, site.goals) for each in funnels},
        orders=ORDERS,
        windows=WINDOWS,
    )


async def show_funnel(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/funnels/ID`: one funnel over the dates and under the filters of the address."""
    site, funnel = _place(dashboard, request, user)
    state, dates = await view_state_of(dashboard, site, request, user)
    by = read_dimension(request.query_params.get("by", ""))
    here, below = _staying(state, by), f"/funnels/{funnel.id}"
    added = after_adding(here, request, below)
    if added is not None:
        return added
    stats, lost = stats_for(dashboard, user), lost_goals(funnel, site.goals)
    report = None if lost else await _report(stats, site, funnel, state, dates, by)
    keys = await property_keys(stats, site.domain, dates.period)
    return dashboard.pages.html(
        "funnel.html",
        site=site,
        user=user,
        choice=here,
        funnel=funnel,
        report=report,
        lost=lost,
        menu=build_menu(here, dates, below, compared=bool(report and report.compared)),
        period=dates.period,
        dates=formatting.dates(dates.period.first, dates.period.last),
        bar=filter_bar(here, dashboard.segments.of(site, user), user, site, below),
        back=state.href("/funnels"),
        below=below,
        groups=breakdown_groups(keys[:MOST_KEYS]),
        export=here.href(f"{below}.csv"),
        hidden=state.hidden_form_fields(),
    )


async def export_funnel(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/funnels/ID.csv`: its steps, or the rows of its breakdown, by the names of the API."""
    site, funnel = _place(dashboard, request, user)
    state, dates = await view_state_of(dashboard, site, request, user)
    if lost_goals(funnel, site.goals):
        raise HTTPException(404)
    by = read_dimension(request.query_params.get("by", ""))
    asked = _query(site, funnel, state, dates.period, by=by)
    result = await run_funnel(stats_for(dashboard, user), asked)
    rows = _breakdown_cells(result, by) if by else _step_cells(funnel, result)
    name = f"{site.domain}-funnel-{funnel.name}-{dates.period.first}-{dates.period.last}.csv"
    text = BYTE_ORDER_MARK + csv_writer(request).lines(rows)
    return Response(text, headers={**DATA_HEADERS, **csv_headers(name)})


def _place(dashboard: Dashboard, request: Request, user: User) -> tuple[Site, Funnel]:
    site = visible_site(dashboard, request, user)
    funnel = dashboard.funnels.get(site, request.path_params["funnel"])
    if funnel is None:
        raise HTTPException(404)
    return site, funnel


def _staying(state: ViewState, by: str) -> ViewState:
    """The choice with links that keep the breakdown."""
    return replace(state, kept=(*state.kept, ("by", by))) if by else state


async def _report(
    stats: StatsService, site: Site, funnel: Funnel, state: ViewState, dates: DateRange, by: str
) -> FunnelReport:
    """The funnel over the period, beside the one that it is compared with."""
    queries = [_query(site, funnel, state, dates.period, by=by)]
    if dates.compared is not None:
        queries.append(_query(site, funnel, state, dates.compared, details=False))
    result, *before = await run_funnels(stats, queries)
    below = f"/funnels/{funnel.id}"
    return build_funnel_report(state, funnel, result, before[0] if before else None, by=by, below=below)


def _query(
    site: Site, funnel: Funnel, state: ViewState, period: Period, *, by: str = "", details: bool = True
) -> FunnelQuery:
    path = path_of(funnel, site.goals)
    return FunnelQuery(site.domain, path, period, chosen_filter(state.chips), by, details=details)


def _step_cells(funnel: Funnel, result: FunnelResult) -> Sequence[Sequence[Cell]]:
    unit = "visits" if funnel.window == "visit" else "visitors"
    currencies = [each.currency for each in result.revenue]
    heads = ["step", "kind", "match", unit, "share_of_all", "share_of_first", "share_of_previous", "left",
             "median_seconds", *(f"total_revenue_{each}" for each in currencies)]  # fmt: skip
    rows: list[Sequence[Cell]] = [heads, [0, "all", "", result.all, *[None] * (len(heads) - 4)]]
    before = None
    for number, (step, each) in enumerate(zip(funnel.steps, result.steps, strict=True), 1):
        revenue = [each.total for each in result.revenue] if number == len(funnel.steps) else [None] * len(currencies)
        shares = [share(each.units, whole) for whole in (result.all, result.steps[0].units, before)]
        rows.append([number, step.kind, step.label, each.units, *shares, each.left, each.wait, *revenue])
        before = each.units
    return rows


@in_english()
def _breakdown_cells(result: FunnelResult, by: str) -> Sequence[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = [[by, "entered", "completed", "conversion_rate"]]
    for row in result.rows:
        name = _("Other (grouped for privacy)") if row.value == OTHER else label(by, row.value)
        rows.append([name, row.units, row.done, share(row.done, row.units)])
    return rows
