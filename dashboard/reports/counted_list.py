"""Lists of values with one count each: sources and pages beside a report that is not a breakdown."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.analytics.query import OTHER, Result
from dashboard.i18n import formatting
from dashboard.i18n.translations import _
from dashboard.reports.filter_params import FilterParam
from dashboard.reports.labels import label
from dashboard.reports.svg import percentage, share
from dashboard.reports.view_state import ViewState


@dataclass(frozen=True, slots=True)
class CountedRow:
    """A value with its count, its bar's width in percent, its share, where it leads ("" is nowhere), and what its
    icon is of ("" is none)."""

    label: str
    count: int
    bar: float
    href: str = ""
    percent: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class CountedList:
    """Rows of values of `dimension` that `heading` names, or `hidden` where too few visitors would be told; `of` says
    what is counted."""

    title: str
    heading: str
    rows: tuple[CountedRow, ...]
    hidden: bool = False
    of: str = ""
    dimension: str = ""


def counted_row(name: str, count: int, whole: int, href: str, value: str = "") -> CountedRow:
    """A row whose bar and share are its part of `whole`."""
    return CountedRow(name, count, share(count, whole), href, formatting.percent(percentage(count, whole)), value)


def counted_rows(state: ViewState, result: Result, whole: int | None = None) -> tuple[CountedRow, ...]:
    """The rows of a breakdown by one dimension, which narrow the filters of `state`.

    Shares are of `whole`; without it bars are parts of the largest row.
    """
    (dimension,) = result.dimensions
    counts = [(row.dimensions[0], int(row.metrics[0] or 0)) for row in result.rows if not row.hidden]
    most = max((count for _value, count in counts), default=0)

    def row(value: str, count: int) -> CountedRow:
        folded = value == OTHER
        name = _("Other (grouped for privacy)") if folded else label(dimension, value)
        href = "" if folded else state.filtered(FilterParam("is", dimension, value)).href()
        return counted_row(name, count, most if whole is None else whole, href, value)

    return tuple(row(value, count) for value, count in counts)
