"""Full table of a panel as page and CSV, and suggestions of filter values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.csv import BYTE_ORDER_MARK, Cell, CsvWriter
from collector.sites.model import Site
from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.analytics.dimensions import PROPERTY
from dashboard.analytics.filters import LONGEST_VALUE
from dashboard.analytics.period import Period
from dashboard.analytics.query import MAX_LIMIT, MAX_OFFSET, Result
from dashboard.analytics.service import StatsService
from dashboard.i18n import formatting
from dashboard.i18n.translations import _, in_english, plural
from dashboard.reports.breakdown import row_label
from dashboard.reports.csv_export import csv_headers, csv_writer
from dashboard.reports.details import MOST_ROWS, all_rows, build_details, exported_columns, read_wanted
from dashboard.reports.filter_bar import ADDING, added_filter, filter_bar
from dashboard.reports.filter_params import key_of, known
from dashboard.reports.labels import label, names
from dashboard.reports.panel_queries import query
from dashboard.reports.panels import Panel, Tab, panel_named
from dashboard.reports.revenue import revenue_cells, revenue_columns, without_revenue
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, network_of_request, stats_for, visible_site
from dashboard.web.table_export import TableResponse
from dashboard.web.templating import DATA_HEADERS
from dashboard.web.view_state_loader import view_state_of

MOST_VALUES = 20
"""Values that are suggested at once."""
FIRST_VALUES = 2_000
"""The most frequent values are searched first; of most sites these are all."""
MOST_BLOCKS, MOST_BLOCKS_OF_GUEST = 101, 2
"""Statements for one search at most: members find every value, guests one of the 12,000 most frequent."""


async def show_details(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/details/PANEL`: all rows of a breakdown, a page at a time."""
    site, panel = _place(dashboard, request, user)
    choice, dates = await view_state_of(dashboard, site, request, user)
    here = f"/details/{panel.name}"
    added = after_adding(choice, request, here)
    if added is not None:
        return added
    async with dashboard.exports.page(site.domain, guest=is_guest(user)):
        details = await build_details(
            stats_for(dashboard, user), choice, dates, panel, read_wanted(request.query_params)
        )
    return dashboard.pages.html(
        "details.html",
        site=site,
        user=user,
        details=details,
        bar=filter_bar(choice, dashboard.segments.of(site, user), user, site, here),
        dates=formatting.dates(dates.period.first, dates.period.last),
    )


async def export_details(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/details/PANEL.csv`: the same rows, all of them, as CSV.

    A file is for programs too: its names are those of the Stats API, and its labels English, whoever reads it.
    """
    site, panel = _place(dashboard, request, user)
    choice, dates = await view_state_of(dashboard, site, request, user)
    reader = network_of_request(dashboard, request) if is_guest(user) else user.name
    async with await dashboard.exports.acquire(reader, guest=is_guest(user)) as slot:
        stats = stats_for(dashboard, user)
        blocks = all_rows(stats, choice, dates.period, panel, read_wanted(request.query_params))
        currencies = await stats.currencies(site.domain)
        # What cannot be answered is said before the answer begins.
        tab, first = await anext(blocks)
        name = f"{site.domain}-{panel.name}-{tab.name}-{dates.period.first}-{dates.period.last}.csv"
        parts = _lines(csv_writer(request), tab, first, blocks, currencies)
        return TableResponse(parts, {**DATA_HEADERS, **csv_headers(name)}, slot.pop_all())


async def _lines(
    writer: CsvWriter, tab: Tab, first: Result, blocks: AsyncIterator[tuple[Tab, Result]], currencies: Sequence[str]
) -> AsyncIterator[str]:
    heads = _heads(tab, currencies)
    yield BYTE_ORDER_MARK + writer.lines([heads])
    for chunk in writer.chunks(_hidden_cells(heads, first) or _cells(tab, first, currencies)):
        yield chunk
    async for _tab, block in blocks:
        for chunk in writer.chunks(_cells(tab, block, currencies)):
            yield chunk
    if (first.total_rows or 0) > MOST_ROWS:
        yield writer.lines([_cut_cells(heads, first.total_rows or 0)])


async def suggest_values(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/values`: values of a dimension that have what was typed in their names, the most frequent first."""
    site = visible_site(dashboard, request, user)
    choice, dates = await view_state_of(dashboard, site, request, user)
    params = request.query_params
    dimension = params.get("fd", "") + (params.get("fk", "").strip() if params.get("fd") == PROPERTY else "")
    typed = params.get("fv", "").strip().casefold()
    found: dict[str, None] = {}
    if known(dimension):
        blocks = MOST_BLOCKS_OF_GUEST if is_guest(user) else MOST_BLOCKS
        async with dashboard.exports.page(site.domain, guest=is_guest(user)):
            async for value in _all_values(stats_for(dashboard, user), choice, dates.period, dimension, blocks):
                name = label(dimension, value)
                if typed in name.casefold():
                    found[name] = None
                    if len(found) == MOST_VALUES:
                        break
        found |= {name: None for _value, name in names(dimension) if typed and typed in name.casefold()}
    return dashboard.pages.html("_values.html", values=list(found)[:MOST_VALUES])


async def _all_values(
    stats: StatsService, state: ViewState, period: Period, dimension: str, blocks: int
) -> AsyncIterator[str]:
    """The values, the most frequent first; read in blocks, for as long as somebody looks for more.

    Of everybody: what is not there under the filters in force may be what a reader wants to look for.
    """
    offset, total, limit = 0, 1, FIRST_VALUES
    while offset < min(total, MAX_OFFSET) and blocks:
        blocks -= 1
        asked = query(state.only(()), period, ("visitors",), (dimension,), limit, offset)
        (result,) = await stats.run([replace(asked, total_rows=True)])
        for row in result.rows:
            if not row.folded:
                yield row.dimensions[0]
        offset, total, limit = offset + limit, result.total_rows or 0, MAX_LIMIT


def after_adding(state: ViewState, request: Request, below: str = "") -> Response | None:
    """Where the form for one more filter leads: the address that says all of it. None when it was not sent."""
    if not any(name in request.query_params for name in ADDING):
        return None
    chip = added_filter(request.query_params)
    if chip is None and len(request.query_params.get("fv", "").strip()) > LONGEST_VALUE:
        raise HTTPException(400)
    return RedirectResponse((state.filtered(chip) if chip else state).href(below), 303)


def _place(dashboard: Dashboard, request: Request, user: User) -> tuple[Site, Panel]:
    site, panel = visible_site(dashboard, request, user), panel_named(request.path_params["panel"])
    if panel is None:
        raise HTTPException(404)
    return site, panel


def _heads(tab: Tab, currencies: Sequence[str]) -> list[Cell]:
    columns = exported_columns(tab)
    first = key_of(tab.dimension) or ("property" if tab.empty else tab.dimension)
    return [first, *without_revenue(columns), *revenue_columns(columns, currencies)]


@in_english()
def _hidden_cells(heads: Sequence[Cell], block: Result) -> list[list[Cell]]:
    if not block.hidden:
        return []
    text = plural("Hidden: fewer than {count} visitor", "Hidden: fewer than {count} visitors", block.min_visitors)
    return [[text.format(count=block.min_visitors), *[None] * (len(heads) - 1)]]


@in_english()
def _cut_cells(heads: Sequence[Cell], total: int) -> list[Cell]:
    """The last row of a file that does not have all rows."""
    text = _("Incomplete: the first {count} of {total} rows. Choose fewer dates or a filter.")
    return [text.format(count=MOST_ROWS, total=total), *[None] * (len(heads) - 1)]


@in_english()
def _cells(tab: Tab, block: Result, currencies: Sequence[str]) -> list[list[Cell]]:
    columns = exported_columns(tab)
    places = [block.metrics.index(name) for name in without_revenue(columns)] if block.rows else []
    return [
        [
            row_label(tab, row),
            *(row.metrics[place] for place in places),
            *revenue_cells(row, columns, currencies),
        ]
        for row in block.rows
    ]
