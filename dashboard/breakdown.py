"""A panel's rows and the filters in force, as values that a template only has to lay out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard import formats
from dashboard.charts import share
from dashboard.choice import DIMENSIONS, METRICS, OPERATORS, Chip, Choice, chosen_filter
from dashboard.formats import Value
from dashboard.panels import Panel, Tab, tabs_by_dimension
from dashboard.period import Period
from dashboard.protect import OTHER
from dashboard.query import Query, Result, Row

ROWS = 9
"""Rows of a panel."""

TOTALS = tuple(METRICS)
COLUMNS = {**METRICS, "events": "Events"}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a panel; `href` filters by it and is "" where that is not possible."""

    label: str
    href: str
    texts: tuple[str, ...]
    """Values of the tab's columns."""
    percent: str
    bar: float
    """Width of the bar behind it, 0 to 100."""


@dataclass(frozen=True, slots=True)
class TabLink:
    """A tab's name and address."""

    title: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A panel with its open tab's rows."""

    panel: Panel
    tab: Tab
    links: tuple[TabLink, ...]
    lines: tuple[Line, ...]
    more: str
    """Address of all rows, "" when these are all."""

    @property
    def heading(self) -> str:
        """Head of the first column."""
        return DIMENSIONS[self.tab.dimension]

    @property
    def columns(self) -> tuple[str, ...]:
        """Heads of the columns of values."""
        return tuple(COLUMNS[metric] for metric in self.tab.columns)


@dataclass(frozen=True, slots=True)
class ChipLink:
    """Active filters of one operator and dimension, and the address without them."""

    dimension: str
    operator: str
    values: tuple[str, ...]
    href: str


def query(
    choice: Choice,
    period: Period,
    metrics: tuple[str, ...],
    dimensions: tuple[str, ...] = (),
    limit: int = 1,
    offset: int = 0,
) -> Query:
    """A question under the choice's filters; rows by value have the largest first, rows by time the earliest."""
    timed = bool(dimensions) and dimensions[0].startswith("time:")
    return Query(
        site=choice.domain,
        metrics=metrics,
        period=period,
        dimensions=dimensions,
        filters=chosen_filter(choice.chips),
        # Rows of the same count need an order of their own, or pages of rows would overlap.
        order_by=() if timed or not dimensions else ((metrics[0], "desc"), (dimensions[0], "asc")),
        limit=limit,
        offset=offset,
    )


def rows_query(choice: Choice, period: Period, tab: Tab, rows: int, offset: int = 0) -> Query:
    """The question behind a tab, for so many rows that can be shown."""
    # A few more than are shown: hidden values take places too.
    limit = rows + len(tab.hidden) + (not tab.nothing)
    return query(choice, period, tab.columns, (tab.dimension,), limit, offset)


def totals(result: Result) -> Sequence[Value]:
    """The metrics of a question without dimensions."""
    return result.rows[0].metrics if result.rows else (None,) * len(result.metrics)


def breakdown(
    choice: Choice,
    panel: Panel,
    tab: Tab,
    part: Result,
    whole: Mapping[str, Value],
    *,
    rows: int = ROWS,
    below: str = "",
) -> Breakdown:
    """Lay out one tab's answer. `whole` has the totals that shares are of; `below` is the page it stands on."""
    shown = sorted((row for row in part.rows if tab.shows(row.dimensions[0])), key=_folded)
    most = max((row.metrics[0] or 0 for row in shown), default=0)
    return Breakdown(
        panel=panel,
        tab=tab,
        links=tuple(_tab_link(choice, panel, tab, index, below) for index in range(len(panel.tabs))),
        lines=tuple(_line(choice, tab, row, most, whole[tab.columns[0]]) for row in shown[:rows]),
        more=choice.href(f"/details/{panel.name}") if len(shown) > rows and not below else "",
    )


def chip_links(choice: Choice, below: str = "") -> tuple[ChipLink, ...]:
    """The active filters, alternatives of one dimension together."""
    tabs = dict(tabs_by_dimension())
    groups: dict[tuple[str, str], list[Chip]] = {}
    for chip in choice.chips:
        groups.setdefault((chip.operator, chip.dimension), []).append(chip)
    return tuple(
        ChipLink(
            dimension=DIMENSIONS[dimension],
            operator=OPERATORS[chips[0].operator],
            values=tuple(tabs[dimension].label(chip.value) if dimension in tabs else chip.value for chip in chips),
            href=choice.without(*chips).href(below),
        )
        for (_, dimension), chips in groups.items()
    )


def _tab_link(choice: Choice, panel: Panel, open_: Tab, index: int, below: str) -> TabLink:
    tab = panel.tabs[index]
    return TabLink(tab.title, choice.to_tab(panel.name, tab.name if index else "").href(below), tab is open_)


def _folded(row: Row) -> bool:
    return row.dimensions[0] == OTHER


def _line(choice: Choice, tab: Tab, row: Row, most: Value, whole: Value) -> Line:
    value, folded = row.dimensions[0], _folded(row)
    return Line(
        label="Small groups together" if folded else tab.label(value),
        href="" if folded else choice.filtered(Chip("is", tab.dimension, value)).href(),
        texts=tuple(
            formats.metric_text(metric, number, short=True)
            for metric, number in zip(tab.columns, row.metrics, strict=True)
        ),
        percent=formats.percent(share(row.metrics[0], whole)),
        bar=share(row.metrics[0], most),
    )
