"""View model of the top of a site's report: headline metrics, and what the chart is built from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Change, Value
from dashboard.i18n.translations import _
from dashboard.reports.annotations import Annotation
from dashboard.reports.availability import NO_IMPORTED_DAYS, ImportedDays, available_from, imported_days
from dashboard.reports.chart import Chart, build_chart, build_points, zoomed
from dashboard.reports.chart_metrics import MEASURES, by_time, chart_metrics_of
from dashboard.reports.comparison import Totals, measured, paired
from dashboard.reports.date_range import DateRange
from dashboard.reports.panel_queries import query
from dashboard.reports.revenue import (
    REVENUE_MEASURES,
    RevenueTotal,
    currency_of_chart,
    is_revenue,
    revenue_totals,
)
from dashboard.reports.time_buckets import time_buckets
from dashboard.reports.view_state import ViewState

MOST_BUCKETS = 5_000
_TITLES = {**MEASURES, **REVENUE_MEASURES}


@dataclass(frozen=True, slots=True)
class Figure:
    """A headline metric; `href` shows it in the chart. Revenue is one for each `currency`."""

    metric: str
    title: str
    text: str
    full: str
    change: Change | None
    href: str
    current: bool
    currency: str = ""

    @property
    def key(self) -> str:
        """What tells it from all others of the page."""
        return f"{self.metric}-{self.currency}" if self.currency else self.metric


@dataclass(frozen=True, slots=True)
class Overview:
    """Figures and chart. `whole` has the totals that shares are of."""

    figures: tuple[Figure, ...]
    chart: Chart
    whole: Totals
    live: bool
    """Whether the present is in the period, so that it is worth asking again."""
    compared: bool
    """Whether there is anything to compare with."""
    hidden: bool
    """Whether the view has too few visitors to be shown."""
    rounded_to: int
    """The multiple that every count is rounded to; 0 where counts are exact."""
    events_available_from: datetime.date | None
    """The first date that still has events, where the view needs events of earlier ones."""
    imported: ImportedDays = NO_IMPORTED_DAYS

    @property
    def empty(self) -> bool:
        """Whether nothing at all was counted."""
        return not self.hidden and all(figure.full in ("0", formatting.NOTHING) for figure in self.figures)


def names_of(state: ViewState) -> tuple[str, ...]:
    """The metrics of the view."""
    return chart_metrics_of({chip.dimension for chip in state.chips})


def overview_queries(
    state: ViewState, dates: DateRange, *, every: bool = False, with_revenue: bool = False
) -> list[Query]:
    """What `build_overview` needs answered, in order: totals and buckets; then the same of the comparison. With
    `every`, the buckets have every metric; `with_revenue` says that the site has any."""
    names = (*names_of(state), *(REVENUE_MEASURES if with_revenue else ()))
    timed = tuple(map(by_time, names if every else (state.metric,)))
    return [
        each
        for whole, period in ((dates.period, dates.period), (dates.compared, compared_in_chart(state, dates)))
        if whole is not None and period is not None
        for each in (
            query(state, whole, names),
            query(state, period, timed, (f"time:{period.bucket}",), MOST_BUCKETS),
        )
    ]


def compared_in_chart(state: ViewState, dates: DateRange) -> Period | None:
    """The earlier period of the chart. Of a filtered view it ends where the comparison ends: an interval as a whole,
    beside totals that have a part of it, would tell of the few who came in either part."""
    return dates.compared if state.chips else dates.before


def build_overview(
    state: ViewState, dates: DateRange, results: Sequence[Result], notes: Sequence[Annotation], now: float
) -> Overview:
    """Lay out the answers to `overview_queries`. `now` is a Unix second."""
    names = names_of(state)
    nothing = Result(names, ())
    all_, series = results[:2]
    all_before, series_before = results[2:] if dates.before else (nothing, nothing)
    before = compared_in_chart(state, dates) if _counted(all_before) else None
    currency = currency_of_chart(all_, state.currency) if is_revenue(state.metric) else ""
    revenue = revenue_totals(all_, all_before if before else None)
    shown = time_buckets(dates.period, now)
    earlier = time_buckets(before, now) if before else ()
    whole = measured(names, all_)
    compared = measured(names, all_before) if before else dict.fromkeys(names)
    withheld = all_.rows[0].withheld if all_.rows else frozenset[str]()
    pairs = paired(dates.period, before, dates.period.bucket) if before else {}
    hrefs = [zoomed(state, dates.period, moment) for moment in shown]
    points = build_points(state.metric, currency, (shown, series), (earlier, series_before), pairs, notes, hrefs)
    title = next((each.title for each in revenue if (each.metric, each.currency) == (state.metric, currency)), "")
    return Overview(
        figures=(
            *(_figure(state, metric, whole[metric], compared[metric], withheld) for metric in names),
            *(_revenue_figure(state, each, currency) for each in revenue),
        ),
        chart=build_chart(
            state, replace(dates, before=before), points, notes, title or _(_TITLES[state.metric]), currency
        ),
        whole=whole,
        live=any(moment.running for moment in shown),
        compared=before is not None,
        hidden=all_.hidden,
        rounded_to=all_.rounded_to,
        events_available_from=available_from(all_, series),
        imported=imported_days(all_, series),
    )


def _counted(result: Result) -> bool:
    """Whether anything was counted in the period, or too little to be told."""
    return result.hidden or any(any(row.metrics) for row in result.rows)


def _figure(state: ViewState, metric: str, whole: Value, before: Value, withheld: frozenset[str]) -> Figure:
    hidden = _("Hidden") if metric in withheld else ""
    return Figure(
        metric=metric,
        title=_(MEASURES[metric]),
        text=hidden or formatting.metric_text(metric, whole, short=True),
        full=hidden or formatting.metric_text(metric, whole),
        change=formatting.change(metric, whole, before),
        href=state.to_metric(metric).href(),
        current=state.metric == metric,
    )


def _revenue_figure(state: ViewState, total: RevenueTotal, charted: str) -> Figure:
    text = formatting.metric_text(total.metric, total.now, currency=total.currency)
    return Figure(
        metric=total.metric,
        title=total.title,
        text=text,
        full=text,
        change=formatting.change(total.metric, total.now, total.before),
        href=state.to_metric(total.metric, total.currency).href(),
        current=state.metric == total.metric and charted == total.currency,
        currency=total.currency,
    )
