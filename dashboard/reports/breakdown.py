"""View model of a panel: the rows of a breakdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from dashboard.analytics.dimensions import PROPERTY
from dashboard.analytics.query import Result, Row
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Value
from dashboard.i18n.translations import N_, _
from dashboard.reports.availability import NO_IMPORTED_DAYS, ImportedDays, imported_days
from dashboard.reports.chart_metrics import MEASURES
from dashboard.reports.filter_params import PAGES, FilterParam, dimension_title
from dashboard.reports.panel_queries import columns_of
from dashboard.reports.panels import Panel, Tab
from dashboard.reports.revenue import has_cents, is_revenue, revenue_text, without_revenue
from dashboard.reports.svg import percentage, share
from dashboard.reports.view_state import ViewState

ROWS = 9
"""Rows of a panel."""

HEADS: Final = {
    **MEASURES,
    "conversion_rate": N_("CR"),
    "group_conversion_rate": N_("CR"),
    "total_revenue": N_("Revenue"),
    "average_revenue": N_("Average order"),
}
_OF_GOALS: Final = {"visitors": N_("Unique"), "events": N_("Total")}

SHARE: Final = "share"
"""What sorting by the share of the whole is called; its order is that of the first column."""

Way = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class ColumnHeader:
    """Head of a column; where rows can be sorted by it, the address that does, and how they are sorted now."""

    title: str
    name: str = ""
    href: str = ""
    sorted: Literal["", "ascending", "descending"] = ""

    @property
    def is_revenue(self) -> bool:
        """Whether its cells are amounts, a line for each currency."""
        return is_revenue(self.name)


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """One row of a panel; `href` filters by it, or no longer, and is "" where that is not possible."""

    label: str
    href: str
    active: bool
    """Whether it is filtered by already."""
    texts: tuple[str, ...]
    """Values of the columns."""
    percent: str
    bar: float
    """Width of the bar behind it, 0 to 100."""
    value: str = ""
    """The value that it stands for, "" for small groups together; `count` is what its bar shows."""
    count: Value = 0
    open: str = ""
    """The address of the page itself, where the row is of one that can be opened."""


@dataclass(frozen=True, slots=True)
class TabLink:
    """Title and URL of a tab."""

    title: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A panel with its open tab's rows. `choices` are what the open tab itself offers: campaign tags, properties."""

    panel: Panel
    tab: Tab
    links: tuple[TabLink, ...]
    choices: tuple[TabLink, ...]
    heading: ColumnHeader
    columns: tuple[ColumnHeader, ...]
    share: ColumnHeader
    lines: tuple[BreakdownRow, ...]
    details: str
    """Address of all rows with all columns."""
    hidden: bool = False
    """Whether it has too few visitors to be shown."""
    imported: ImportedDays = NO_IMPORTED_DAYS
    days_left_out: int = 0
    """Days that had too many properties for sums by them."""

    @property
    def title(self) -> str:
        """What the rows are."""
        tab = _(self.tab.group) + ": " + _(self.tab.title) if self.tab.group else _(self.tab.title)
        return f"{_(self.panel.title)}: {tab}"


def shown_rows(tab: Tab, rows: Iterable[Row]) -> list[Row]:
    """The rows of the tab; folded groups come last. One of anonymous events alone, of which the tab counts nothing, is
    left out."""
    if tab.empty:
        return []
    return sorted((row for row in rows if tab.shows(row.dimensions[0]) and _counted(row)), key=lambda row: row.folded)


def _counted(row: Row) -> bool:
    return any(row.metrics) or bool(row.revenue or row.withheld)


def breakdown(
    state: ViewState,
    panel: Panel,
    tab: Tab,
    part: Result,
    whole: Mapping[str, Value],
    *,
    rows: int = ROWS,
    below: str = "",
    most: Value = None,
    head: Callable[[str, str], ColumnHeader] = ColumnHeader,
) -> Breakdown:
    """Lay out one tab's answer. `whole` has the totals that shares are of; `below` is the page it stands on, where all
    columns are shown; `most` is what the longest bar stands for; `head` makes the head of a column of its title and
    its metric."""
    shown = shown_rows(tab, part.rows)
    columns = _with_values(shown, columns_of(tab, wide=bool(below)))
    most = most or max((row.metrics[0] or 0 for row in shown), default=0)
    cents = {name: has_cents(shown[:rows], name) for name in columns if is_revenue(name)}
    return Breakdown(
        panel=panel,
        tab=tab,
        links=tuple(_tab_links(state, panel, tab, below)),
        choices=tuple(_choices(state, panel, tab, below)),
        heading=head(_("Property") if tab.empty else dimension_title(tab.dimension), tab.dimension),
        columns=tuple(head(column_title(tab, metric), metric) for metric in columns),
        share=head(_(HEADS[tab.share]) if tab.share else "%", tab.share or SHARE),
        lines=tuple(_line(state, tab, part, row, columns, cents, most, whole) for row in shown[:rows]),
        details=state.href(f"/details/{panel.name}") if shown and not below else "",
        hidden=part.hidden,
        imported=imported_days(part),
        days_left_out=part.property_days_left_out if tab.dimension.startswith(PROPERTY) else 0,
    )


def column_title(tab: Tab, metric: str) -> str:
    """Head of a column of values, in the reader's language."""
    return _(_OF_GOALS.get(metric, HEADS[metric]) if tab.share else HEADS[metric])


def _with_values(rows: Sequence[Row], columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns without those of revenue where there is none."""
    return columns if any(row.revenue for row in rows) else without_revenue(columns)


def _tab_links(state: ViewState, panel: Panel, open_: Tab, below: str) -> Iterable[TabLink]:
    """The tabs of the head; those of one group are one, which is any of them."""
    groups: set[str] = set()
    for index, tab in enumerate(panel.tabs):
        if tab.group in groups:
            continue
        groups |= {tab.group} - {""}
        current = tab.name == open_.name or bool(tab.group and tab.group == open_.group)
        href = state.to_tab(panel.name, tab.name if index else "").href(below)
        yield TabLink(_(tab.group or tab.title), href, current)


def _choices(state: ViewState, panel: Panel, open_: Tab, below: str) -> Iterable[TabLink]:
    for tab in panel.tabs:
        if tab.group and tab.group == open_.group:
            yield TabLink(_(tab.title), state.to_tab(panel.name, tab.name).href(below), tab.name == open_.name)
    for key in open_.keys:
        yield TabLink(key, state.to_key(key).href(below), open_.dimension.endswith(f":{key}"))


def _page_url(domain: str, dimension: str, path: str) -> str:
    """The address of a page by its path; "" for what is no page, or was stored without a part of its path."""
    if dimension not in PAGES or not path.startswith("/") or "/:" in path:
        return ""
    return f"https://{domain}{quote(path, safe='/?&=%')}"


def row_label(tab: Tab, row: Row) -> str:
    """How a row is called; a value that reads like the row of small groups stands in quotation marks."""
    grouped = _("Other (grouped for privacy)")
    if row.folded:
        return grouped
    name = tab.label(row.dimensions[0])
    return f"“{name}”" if name == grouped else name


def told_share(rate: Value, exact: float) -> Value:
    """A share as it is read: of one number of visitors `rate` is `exact` with one decimal, and is not rounded again."""
    return exact if rate is not None and round(exact, 1) == rate else rate


def _line(
    state: ViewState,
    tab: Tab,
    part: Result,
    row: Row,
    columns: Iterable[str],
    cents: Mapping[str, bool],
    most: Value,
    whole: Mapping[str, Value],
) -> BreakdownRow:
    value, folded = row.dimensions[0], row.folded
    values = dict(zip(part.metrics, row.metrics, strict=True))
    chip = FilterParam("is", tab.dimension, value)
    active = chip in state.chips
    narrowed = state.without(chip) if active else state.filtered(chip)
    first = row.metrics[0]
    exact = percentage(first, whole.get(part.metrics[0]))
    return BreakdownRow(
        label=row_label(tab, row),
        href="" if folded else narrowed.href(),
        active=active,
        texts=tuple(
            _("Hidden")
            # What small groups paid is told of none of them.
            if name in row.withheld or (folded and is_revenue(name) and part.protected)
            else revenue_text(row, name, cents=cents[name])
            if is_revenue(name)
            else formatting.metric_text(name, values[name], short=True)
            for name in columns
        ),
        percent=_("Hidden")
        if tab.share in row.withheld
        else formatting.percent(told_share(values[tab.share], exact) if tab.share else exact),
        bar=share(first, most),
        value="" if folded else value,
        count=first,
        open=_page_url(state.domain, tab.dimension, value),
    )
