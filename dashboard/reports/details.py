"""View model of a breakdown's full table: searched, sorted and paged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from starlette.datastructures import QueryParams

from dashboard.analytics.filters import Compare, every
from dashboard.analytics.period import Period
from dashboard.analytics.query import MAX_LIMIT, MAX_OFFSET, Query, Result, Row
from dashboard.analytics.service import StatsService
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Change
from dashboard.reports.breakdown import SHARE, Breakdown, ColumnHeader, Way, breakdown, shown_rows
from dashboard.reports.date_picker import PeriodMenu, build_menu
from dashboard.reports.date_range import DateRange
from dashboard.reports.filter_bar import FilterLink, filter_links
from dashboard.reports.labels import names
from dashboard.reports.panel_queries import TOTALS, columns_of, metrics_of, open_tabs, query, totals
from dashboard.reports.panels import Panel, Tab
from dashboard.reports.view_state import ViewState

ROWS: Final = 50
"""Rows of a page. Blocks of `MAX_LIMIT` rows are asked for, and hold whole pages."""
MOST_PAGES: Final = 10_000
MOST_ROWS: Final = MAX_OFFSET + MAX_LIMIT
"""Rows of an export."""


@dataclass(frozen=True, slots=True)
class DetailsOptions:
    """Which rows a reader asks for: `search` in their labels, by which column and which way, which page of them.

    `by` is a metric, the share, or the dimension itself; "" is the tab's own order.
    """

    search: str = ""
    by: str = ""
    way: Way = "desc"
    page: int = 1

    def extra(self, **other: str) -> dict[str, str]:
        """What an address says of it besides the choice; `other` takes its place."""
        said = {"q": self.search, "by": self.by, "way": "asc" if self.by and self.way == "asc" else ""} | other
        return {name: value for name, value in said.items() if value}


def read_wanted(params: QueryParams) -> DetailsOptions:
    """The options in a URL; invalid ones are the defaults."""
    page = params.get("page", "1")
    return DetailsOptions(
        params.get("q", "").strip(),
        params.get("by", "")[:400],
        "asc" if params.get("way") == "asc" else "desc",
        min(max(int(page), 1), MOST_PAGES) if page.isascii() and page.isdigit() and len(page) < 9 else 1,
    )


@dataclass(frozen=True, slots=True)
class Details:
    """One page of all rows; `previous` and `next` are addresses, "" where there is no such page."""

    choice: ViewState
    menu: PeriodMenu
    period: Period
    breakdown: Breakdown
    changes: Mapping[str, Change]
    """How the first metric of a row's value moved since the period that is compared with, where that is known."""
    chips: tuple[FilterLink, ...]
    wanted: DetailsOptions
    first: int
    """Number of the page's first row, from 1; `last` is that of its last, `total` of all that there are."""
    last: int
    total: int
    previous: str
    next: str
    export: str
    """Address of all of them as CSV."""
    hidden: tuple[tuple[str, str], ...]
    """Fields that the form to search keeps."""


async def build_details(
    stats: StatsService, state: ViewState, dates: DateRange, panel: Panel, options: DetailsOptions
) -> Details:
    """The requested page of the panel's open tab."""
    period = dates.period
    (tab,) = await open_tabs(stats, state, period, (panel,))
    options = replace(options, by=_known(tab, options.by))
    offset = (options.page - 1) * ROWS
    all_, part = await _found(stats, state, period, tab, options, offset - offset % MAX_LIMIT)
    rows = _sorted(tab, _matching(tab, part.rows, options.search), options)
    begins = offset % MAX_LIMIT
    here = f"/details/{panel.name}"
    # Hidden rows of a bigger answer are not looked for: the number is then that of all.
    total = len(rows) if (part.total_rows or 0) <= MAX_LIMIT else part.total_rows or 0
    whole = dict(zip(TOTALS, totals(all_), strict=True))
    most = max((row.metrics[0] or 0 for row in rows), default=0)
    page = rows[begins : begins + ROWS]
    earlier = await _earlier(stats, state, dates, tab) if page else None
    return Details(
        choice=state,
        menu=build_menu(state, dates, here, compared=bool(earlier and (earlier.rows or earlier.hidden))),
        period=period,
        changes=_changes(part, page, earlier),
        breakdown=breakdown(
            state,
            panel,
            tab,
            replace(part, rows=page),
            whole,
            rows=ROWS,
            below=here,
            most=most,
            head=lambda title, name: _head(
                state, here, replace(options, by=options.by or part.metrics[0]), title, name
            ),
        ),
        chips=filter_links(state, here),
        wanted=options,
        first=min(offset + 1, total),
        last=min(offset + len(page), total),
        total=total,
        previous=state.href(here, **options.extra(page=str(options.page - 1))) if options.page > 1 else "",
        next=state.href(here, **options.extra(page=str(options.page + 1))) if offset + ROWS < total else "",
        export=state.href(f"{here}.csv", **options.extra()),
        hidden=(*state.hidden_form_fields(), *((name, value) for name, value in options.extra(q="").items())),
    )


async def all_rows(
    stats: StatsService, state: ViewState, period: Period, panel: Panel, options: DetailsOptions
) -> AsyncIterator[tuple[Tab, Result]]:
    """Every row that is wanted, in blocks: what the pages of details show, without pages. Beyond `MOST_ROWS` there are
    none; `total_rows` of a block says how many there would be."""
    (tab,) = await open_tabs(stats, state, period, (panel,))
    options = replace(options, by=_known(tab, options.by))
    offset, total = 0, 1
    while offset < min(total, MOST_ROWS):
        _all, part = await _found(stats, state, period, tab, options, offset)
        total, offset = part.total_rows or 0, offset + MAX_LIMIT
        yield tab, replace(part, rows=_sorted(tab, _matching(tab, part.rows, options.search), options))


async def _found(
    stats: StatsService, state: ViewState, period: Period, tab: Tab, options: DetailsOptions, offset: int
) -> tuple[Result, Result]:
    """The totals, and a block of rows in order from `offset` on.

    Rows are searched here, by their labels: a filter would have small counts rounded that are not rounded otherwise.
    Only where they are too many for one block the database searches.
    """
    whole = query(state, period, TOTALS)
    if tab.empty:
        (all_,) = await stats.run([whole])
        return all_, replace(all_, rows=[], total_rows=0)
    rows = _rows_query(state, period, tab, options, offset)
    all_, part = await stats.run([whole, rows])
    if options.search and (part.total_rows or 0) > MAX_LIMIT:
        searched = every(rows.filters, Compare("contains", tab.dimension, (options.search,), case_sensitive=False))
        (part,) = await stats.run([replace(rows, filters=searched)])
    return all_, part


async def _earlier(stats: StatsService, state: ViewState, dates: DateRange, tab: Tab) -> Result | None:
    """The first metric by value in the period that is compared with; None where nothing is compared."""
    if dates.compared is None or tab.empty:
        return None
    metrics = metrics_of(tab, wide=True)[:1]
    (result,) = await stats.run([query(state, dates.compared, metrics, (tab.dimension,), MAX_LIMIT)])
    return result


def _changes(part: Result, page: Sequence[Row], earlier: Result | None) -> Mapping[str, Change]:
    """The changes of the rows of a page. A value that may be among small groups, or beyond the rows, is not known."""
    if earlier is None or not earlier.rows:
        return {}
    before = {row.dimensions[0]: row.metrics[0] for row in earlier.rows}
    known = {row.dimensions[0]: row.metrics[0] for row in page if not row.folded}
    changes = {value: formatting.change(part.metrics[0], now, before.get(value)) for value, now in known.items()}
    return {value: change for value, change in changes.items() if change}


def _rows_query(state: ViewState, period: Period, tab: Tab, options: DetailsOptions, offset: int) -> Query:
    metrics = metrics_of(tab, wide=True)
    by = metrics[0] if options.by in ("", SHARE) else options.by
    order = ((by, options.way), *(((tab.dimension, "asc"),) if by != tab.dimension else ()))
    asked = query(state, period, metrics, (tab.dimension,), MAX_LIMIT, offset)
    return replace(asked, order_by=order, total_rows=True)


def _known(tab: Tab, by: str) -> str:
    return by if by in (*metrics_of(tab, wide=True), tab.dimension, SHARE) else ""


def _matching(tab: Tab, rows: Sequence[Row], search: str) -> list[Row]:
    shown, wanted = shown_rows(tab, rows), search.casefold()
    return [row for row in shown if wanted in tab.label(row.dimensions[0]).casefold()] if wanted else shown


def _sorted(tab: Tab, rows: list[Row], options: DetailsOptions) -> list[Row]:
    """Rows are in order already, but where their labels are not their values."""
    if options.by != tab.dimension or not any(names(tab.dimension)):
        return rows
    return sorted(rows, key=lambda row: tab.label(row.dimensions[0]).casefold(), reverse=options.way == "desc")


def _head(state: ViewState, here: str, options: DetailsOptions, title: str, name: str) -> ColumnHeader:
    """The head of a column: a click sorts by it, another one the other way round."""
    current = name == options.by
    first: Way = "asc" if ":" in name else "desc"
    other: Way = "asc" if options.way == "desc" else "desc"
    href = state.href(here, **replace(options, by=name, way=other if current else first).extra())
    return ColumnHeader(title, name, href, ("ascending" if options.way == "asc" else "descending") if current else "")


def exported_columns(tab: Tab) -> tuple[str, ...]:
    """The metrics of an export, in order."""
    return tuple(dict.fromkeys((*columns_of(tab, wide=True), *((tab.share,) if tab.share else ()))))
