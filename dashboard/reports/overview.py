"""View model of the top of a site's report: headline metrics and the chart."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Change, Value
from dashboard.i18n.translations import _
from dashboard.reports.annotations import Annotation
from dashboard.reports.breakdown import NO_IMPORTED_DAYS, ImportedDays, available_from, imported_days, query
from dashboard.reports.chart_metrics import COUNTS, MEASURES, by_time, chart_metrics_of
from dashboard.reports.comparison import Totals, measured, paired
from dashboard.reports.date_range import BUCKET_HEADS, BUCKET_TITLES, COMPARISONS, DateRange
from dashboard.reports.revenue import (
    REVENUE_MEASURES,
    RevenueTotal,
    currency_of_chart,
    is_revenue,
    revenue_by_time,
    revenue_totals,
)
from dashboard.reports.svg import LineDrawing, lines
from dashboard.reports.time_buckets import TimeBucket, time_buckets
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
class Point:
    """One bucket of the chart, and of the table in its place. `value` is None for what is still to come."""

    label: str
    long: str
    value: Value
    before: Value
    text: str
    before_text: str
    before_long: str
    """What it is compared with."""
    running: bool
    """Whether the bucket is not over yet."""
    cut: bool
    """Whether the period has only a part of it."""
    notes: tuple[str, ...]
    first: datetime.date
    last: datetime.date
    href: str
    """The view of these dates alone, by finer steps; "" where there is none."""
    imported: bool = False
    """Whether figures of it were imported."""


@dataclass(frozen=True, slots=True)
class BucketWidth:
    """A width of the chart's buckets, and the URL that selects it."""

    name: str
    title: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric over time. `before_title` names what it is compared with, "" when that is nothing."""

    metric: str
    title: str
    heading: str
    before_title: str
    before_dates: str
    points: tuple[Point, ...]
    steps: tuple[BucketWidth, ...]
    notes: tuple[Annotation, ...]
    lines: LineDrawing
    """The same drawn, for paper."""
    marks: tuple[str, str, str]
    """What stands on its vertical axis, from the top."""
    zoom: str
    """Address of the view of some of the dates, with FIRST and LAST in their places; "" for a single day."""

    @property
    def noted(self) -> bool:
        """Whether any bucket has a note."""
        return any(point.notes for point in self.points)


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
        for whole, period in ((dates.period, dates.period), (dates.compared, dates.before))
        if whole is not None and period is not None
        for each in (
            query(state, whole, names),
            query(state, period, timed, (f"time:{period.bucket}",), MOST_BUCKETS),
        )
    ]


def build_overview(
    state: ViewState, dates: DateRange, results: Sequence[Result], notes: Sequence[Annotation], now: float
) -> Overview:
    """Lay out the answers to `overview_queries`. `now` is a Unix second."""
    names = names_of(state)
    nothing = Result(names, ())
    all_, series = results[:2]
    all_before, series_before = results[2:] if dates.before else (nothing, nothing)
    before = dates.before if _counted(all_before) else None
    currency = currency_of_chart(all_, state.currency) if is_revenue(state.metric) else ""
    revenue = revenue_totals(all_, all_before if before else None)
    shown = time_buckets(dates.period, now)
    earlier = time_buckets(before, now) if before else ()
    whole = measured(names, all_)
    compared = measured(names, all_before) if before else dict.fromkeys(names)
    withheld = all_.rows[0].withheld if all_.rows else frozenset[str]()
    pairs = paired(dates.period, before, dates.period.bucket) if before else {}
    zoomed = [_zoomed(state, dates.period, moment) for moment in shown]
    points = _points(state.metric, currency, (shown, series), (earlier, series_before), pairs, notes, zoomed)
    title = next((each.title for each in revenue if (each.metric, each.currency) == (state.metric, currency)), "")
    return Overview(
        figures=(
            *(_figure(state, metric, whole[metric], compared[metric], withheld) for metric in names),
            *(_revenue_figure(state, each, currency) for each in revenue),
        ),
        chart=_chart(state, replace(dates, before=before), points, notes, title or _(_TITLES[state.metric]), currency),
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


def _zoomed(state: ViewState, period: Period, moment: TimeBucket) -> str:
    """The address of the view of the bucket's dates; "" where that is no narrower, and for what is still to come."""
    if period.days == 1 or moment.future or (moment.first, moment.last) == (period.first, period.last):
        return ""
    if moment.first == moment.last:
        return state.to_day(str(moment.first)).href()
    return state.to_period("custom", str(moment.first), str(moment.last)).href()


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


def _chart(
    state: ViewState,
    dates: DateRange,
    points: tuple[Point, ...],
    notes: Sequence[Annotation],
    title: str,
    currency: str,
) -> Chart:
    period, before = dates.period, dates.before
    drawn = lines([point.value for point in points], [point.before for point in points])
    marks = (
        formatting.metric_text(state.metric, mark, short=True, currency=currency)
        for mark in (drawn.top, drawn.top / 2, 0)
    )
    return Chart(
        metric=state.metric,
        title=title,
        heading=_(BUCKET_HEADS[period.bucket]),
        before_title=_(COMPARISONS[state.span.compare]) if before else "",
        before_dates=formatting.dates(before.first, before.last) if before else "",
        points=points,
        steps=tuple(
            BucketWidth(step, _(BUCKET_TITLES[step]), state.to_bucket(step).href(), step == period.bucket)
            for step in dates.buckets
        ),
        notes=tuple(notes),
        lines=drawn,
        marks=cast("tuple[str, str, str]", tuple(marks)),
        zoom=state.to_period("custom", "FIRST", "LAST").href() if period.days > 1 else "",
    )


Series = tuple[Sequence[TimeBucket], Result]


def _points(
    metric: str,
    currency: str,
    now: Series,
    before: Series,
    pairs: Mapping[str, str],
    notes: Sequence[Annotation],
    zoomed: Sequence[str],
) -> tuple[Point, ...]:
    (shown, series), (earlier, series_before) = now, before
    others = {moment.key: moment for moment in earlier}
    values, values_before = (_by_time(each, metric, currency) for each in (series, series_before))
    noted = _noted(shown, notes)
    hidden, hidden_before = _hidden(series, metric), _hidden(series_before, metric)
    # Rates and durations of nothing are unknown; counts of nothing are zero.
    absent = 0 if metric in COUNTS or metric == "total_revenue" else None
    points = []
    for index, moment in enumerate(shown):
        value = None if moment.future else values.get(moment.key, absent)
        past = others.get(pairs.get(moment.key, ""))
        before_value = None if past is None or past.future else values_before.get(past.key, absent)
        points.append(
            Point(
                label=moment.label,
                long=moment.long,
                value=value,
                before=before_value,
                text=_("Hidden") if moment.key in hidden else formatting.metric_text(metric, value, currency=currency),
                before_text=_("Hidden")
                if past is not None and past.key in hidden_before
                else formatting.metric_text(metric, before_value, currency=currency),
                before_long=past.long if past else "",
                running=moment.running,
                cut=moment.cut,
                notes=tuple(noted.get(index, ())),
                first=moment.first,
                last=moment.last,
                href=zoomed[index],
                imported=any(moment.first <= day <= moment.last for day in series.imported | series.imported_left_out),
            )
        )
    return tuple(points)


def _noted(shown: Sequence[TimeBucket], notes: Sequence[Annotation]) -> Mapping[int, list[str]]:
    """Texts of the notes by the place of the bucket that has their date."""
    found: dict[int, list[str]] = {}
    for note in notes:
        place = next((index for index, moment in enumerate(shown) if moment.first <= note.day <= moment.last), None)
        if place is not None:
            found.setdefault(place, []).append(note.text)
    return found


def _hidden(result: Result, metric: str) -> frozenset[str]:
    """The buckets that have too few visitors to be shown, or whose metric is withheld."""
    return frozenset(row.dimensions[0] for row in result.rows if row.hidden or metric in row.withheld)


def _by_time(result: Result, metric: str, currency: str) -> Mapping[str, Value]:
    if not result.rows:
        return {}
    if is_revenue(metric):
        return revenue_by_time(result, metric, currency)
    place = result.metrics.index(by_time(metric))
    return {row.dimensions[0]: row.metrics[place] for row in result.rows}
