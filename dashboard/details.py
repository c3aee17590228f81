"""All rows of one breakdown, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.breakdown import TOTALS, Breakdown, ChipLink, breakdown, chip_links, query, rows_query, totals
from dashboard.choice import Choice
from dashboard.panels import Panel
from dashboard.period import Period
from dashboard.store import Store

ROWS = 50


@dataclass(frozen=True, slots=True)
class Details:
    """One page of all rows; `previous` and `next` are addresses, "" where there is no such page."""

    choice: Choice
    period: Period
    breakdown: Breakdown
    chips: tuple[ChipLink, ...]
    page: int
    previous: str
    next: str


async def build_details(store: Store, choice: Choice, period: Period, panel: Panel, page: int) -> Details:
    """All rows of the panel's open tab, `ROWS` a page, from page 1."""
    tab = panel.tab(choice.tab(panel.name))
    rows = rows_query(choice, period, tab, ROWS + 1, offset=(page - 1) * ROWS)
    all_, part = await store.run([query(choice, period, TOTALS), rows])
    whole = dict(zip(TOTALS, totals(all_), strict=True))
    here = f"/details/{panel.name}"
    more = len(part.rows) > ROWS
    return Details(
        choice=choice,
        period=period,
        breakdown=breakdown(choice, panel, tab, part, whole, rows=ROWS, below=here),
        chips=chip_links(choice, here),
        page=page,
        previous=choice.href(here, page=str(page - 1)) if page > 1 else "",
        next=choice.href(here, page=str(page + 1)) if more else "",
    )
