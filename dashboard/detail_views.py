"""All rows of one panel as a page and as a file, and values to filter by as they are typed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from collector.sites import Site
from dashboard import formats
from dashboard.breakdown import query
from dashboard.chips import key_of, known
from dashboard.choice import Choice
from dashboard.chosen import chosen
from dashboard.context import Dashboard, visible_site
from dashboard.details import all_rows, build_details, exported_columns, read_wanted
from dashboard.dimensions import PROPERTY
from dashboard.exports import Cell, csv_headers, csv_lines
from dashboard.filter_bar import ADDING, added_chip, filter_bar
from dashboard.labels import label, names
from dashboard.panels import Panel, Tab, panel_named
from dashboard.protect import OTHER
from dashboard.query import Result
from dashboard.users import User
from dashboard.wording import _, in_english

MOST_VALUES = 20
"""Values that are suggested at once."""
SEARCHED_VALUES = 2_000
"""The most frequent values are searched for them."""


async def show_details(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/details/PANEL`: all rows of a breakdown, a page at a time."""
    site, panel = _place(dashboard, request, user)
    choice, dates = await chosen(dashboard, site, request, user)
    here = f"/details/{panel.name}"
    added = after_adding(choice, request, here)
    if added is not None:
        return added
    details = await build_details(dashboard.store, choice, dates.period, panel, read_wanted(request.query_params))
    return dashboard.pages.html(
        "details.html",
        site=site,
        user=user,
        details=details,
        bar=filter_bar(choice, dashboard.segments.of(site.domain, user), user, here),
        dates=formats.dates(dates.period.first, dates.period.last),
    )


async def export_details(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/details/PANEL.csv`: the same rows, all of them, as CSV.

    A file is for programs too: its names are those of the Stats API, and its labels English, whoever reads it.
    """
    site, panel = _place(dashboard, request, user)
    choice, dates = await chosen(dashboard, site, request, user)
    blocks = all_rows(dashboard.store, choice, dates.period, panel, read_wanted(request.query_params))
    # What cannot be answered is said before the answer begins.
    tab, first = await anext(blocks)
    name = f"{site.domain}-{panel.name}-{tab.name}-{dates.period.first}-{dates.period.last}.csv"

    async def lines() -> AsyncIterator[str]:
        yield csv_lines([_heads(tab)]) + csv_lines(_cells(tab, first))
        async for _tab, block in blocks:
            yield csv_lines(_cells(tab, block))

    return StreamingResponse(lines(), headers=csv_headers(name))


async def suggest_values(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/values`: values of a dimension that have what was typed in their names, the most frequent first."""
    site = visible_site(dashboard, request, user)
    choice, dates = await chosen(dashboard, site, request, user)
    params = request.query_params
    dimension = params.get("fd", "") + (params.get("fk", "").strip() if params.get("fd") == PROPERTY else "")
    typed = params.get("fv", "").strip().casefold()
    found: list[str] = []
    if known(dimension):
        # Of everybody: what is not there under the filters in force may be what a reader wants to look for.
        asked = query(choice.only(()), dates.period, ("visitors",), (dimension,), SEARCHED_VALUES)
        (result,) = await dashboard.store.run([asked])
        values = [row.dimensions[0] for row in result.rows if row.dimensions[0] != OTHER]
        labels = dict.fromkeys(label(dimension, value) for value in values)
        labels |= dict.fromkeys(name for _value, name in names(dimension)) if typed else {}
        found = [each for each in labels if typed in each.casefold()]
    return dashboard.pages.html("_values.html", values=found[:MOST_VALUES])


def after_adding(choice: Choice, request: Request, below: str = "") -> Response | None:
    """Where the form for one more filter leads: the address that says all of it. None when it was not sent."""
    if not any(name in request.query_params for name in ADDING):
        return None
    chip = added_chip(request.query_params)
    return RedirectResponse((choice.filtered(chip) if chip else choice).href(below), 303)


def _place(dashboard: Dashboard, request: Request, user: User) -> tuple[Site, Panel]:
    site, panel = visible_site(dashboard, request, user), panel_named(request.path_params["panel"])
    if panel is None:
        raise HTTPException(404)
    return site, panel


def _heads(tab: Tab) -> list[Cell]:
    columns = exported_columns(tab)
    money = ["currency"] if any(name.endswith("_revenue") for name in columns) else []
    return [key_of(tab.dimension) or ("property" if tab.empty else tab.dimension), *columns, *money]


@in_english()
def _cells(tab: Tab, block: Result) -> list[list[Cell]]:
    columns = exported_columns(tab)
    places = [block.metrics.index(name) for name in columns] if block.rows else []
    money = any(name.endswith("_revenue") for name in columns)
    return [
        [
            _("Small groups together") if row.dimensions[0] == OTHER else tab.label(row.dimensions[0]),
            *(row.metrics[place] for place in places),
            *([row.currency] if money else []),
        ]
        for row in block.rows
    ]
