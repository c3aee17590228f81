"""View model of the retention page: visitors who return within the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.analytics.filters import every, is_
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _
from dashboard.reports.counted_list import CountedList, counted_rows
from dashboard.reports.filter_params import FilterParam, chosen_filter, dimension_title
from dashboard.reports.stacked_chart import StackedChart, stacked_chart
from dashboard.reports.time_buckets import TimeBucket, time_buckets
from dashboard.reports.view_state import ViewState

METRICS: Final = ("visitors", "returning_visitors", "returning_rate")
LISTS: Final = {
    "visit:source": N_("Sources of returning visitors"),
    "visit:entry_page": N_("Entry pages of returning visitors"),
}
ROWS: Final = 9
RETURNING: Final = FilterParam("is", "visit:returning", "true")
_LABELS: Final = 5


@dataclass(frozen=True, slots=True)
class ReturningInterval:
    """One bucket of time: visitors, those of them who returned, and the share; as texts."""

    moment: TimeBucket
    visitors: str
    returning: str
    percent: str
    label: str
    """On the axis; "" where there is no room."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """Everything on the page. Texts are "" where they are withheld."""

    visitors: str
    returning: str
    percent: str
    figures: str
    """Address of the dashboard filtered by returning visitors."""
    intervals: tuple[ReturningInterval, ...]
    chart: StackedChart
    lists: tuple[CountedList, ...]
    by_time: Result


def retention_queries(state: ViewState, period: Period) -> list[Query]:
    """What `build_retention` needs answered, in order."""
    filters, time = chosen_filter(state.chips), f"time:{period.bucket}"
    returning = every(filters, is_("visit:returning", "true"))
    return [
        Query(state.domain, METRICS, period, (), filters),
        Query(state.domain, METRICS, period, (time,), filters, limit=1000),
        *(Query(state.domain, ("visitors",), period, (name,), returning, limit=ROWS) for name in LISTS),
    ]


def build_retention(state: ViewState, period: Period, results: Sequence[Result], now: float) -> RetentionReport:
    """Lay out the answers to `retention_queries`."""
    total, by_time, *lists = results
    visitors, returning, rate = total.rows[0].metrics
    buckets = {row.dimensions[0]: row.metrics for row in by_time.rows}
    nothing = (None,) * len(METRICS) if by_time.hidden else (0, 0, None)
    moments = [moment for moment in time_buckets(period, now) if not moment.future]
    stacks = []
    for moment in moments:
        all_, some, _rate = buckets.get(moment.key, nothing)
        stacks.append((some or 0, max(0, (all_ or 0) - (some or 0))))
    narrowed = state.filtered(RETURNING)
    return RetentionReport(
        visitors=_number(visitors),
        returning=_number(returning),
        percent="–" if visitors == 0 else "" if rate is None else formatting.percent(rate),
        figures=narrowed.href(),
        intervals=tuple(
            _interval(moment, buckets.get(moment.key, nothing), _axis(number, len(moments)))
            for number, moment in enumerate(moments)
        ),
        chart=stacked_chart(stacks),
        lists=tuple(
            _list(narrowed, name, each, told=returning is not None) for each, name in zip(lists, LISTS, strict=True)
        ),
        by_time=by_time,
    )


def _list(state: ViewState, dimension: str, result: Result, *, told: bool) -> CountedList:
    """Returning visitors by a dimension; hidden where their number is not `told`, as the rows add up to it."""
    rows = counted_rows(state, result) if told else ()
    return CountedList(_(LISTS[dimension]), dimension_title(dimension), rows, result.hidden or not told, "", dimension)


def _axis(number: int, count: int) -> bool:
    """Whether there is room for a label."""
    return number % (-(-count // _LABELS) or 1) == 0


def _interval(moment: TimeBucket, metrics: Sequence[int | float | None], labelled: bool) -> ReturningInterval:
    visitors, returning, rate = metrics
    return ReturningInterval(
        moment,
        _number(visitors),
        _number(returning),
        "" if rate is None else formatting.percent(rate),
        moment.label if labelled else "",
    )


def _number(value: int | float | None) -> str:
    return "" if value is None else formatting.number(value)
