"""View model of the chart of a site's report: one metric over time, and its bucket widths and notes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from dashboard.analytics.period import Period
from dashboard.analytics.query import Result
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Value
from dashboard.i18n.translations import _
from dashboard.reports.annotations import Annotation
from dashboard.reports.chart_metrics import COUNTS, by_time
from dashboard.reports.date_range import BUCKET_HEADS, BUCKET_TITLES, COMPARISONS, DateRange
from dashboard.reports.revenue import is_revenue, revenue_by_time
from dashboard.reports.svg import LineDrawing, lines
from dashboard.reports.time_buckets import TimeBucket
from dashboard.reports.view_state import ViewState


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
    hidden: bool = False
    """Whether the value is hidden for privacy."""


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


def zoomed(state: ViewState, period: Period, moment: TimeBucket) -> str:
    """The address of the view of the bucket's dates; "" where that is no narrower, and for what is still to come."""
    if period.days == 1 or moment.future or (moment.first, moment.last) == (period.first, period.last):
        return ""
    if moment.first == moment.last:
        return state.to_day(str(moment.first)).href()
    return state.to_period("custom", str(moment.first), str(moment.last)).href()


def build_chart(
    state: ViewState,
    dates: DateRange,
    points: tuple[Point, ...],
    notes: Sequence[Annotation],
    title: str,
    currency: str,
) -> Chart:
    """Lay the chart out; `title` is that of its metric."""
    period, before = dates.period, dates.before
    drawn = lines(
        [point.value for point in points],
        [point.before for point in points],
        running=any(point.running and point.value is not None for point in points),
    )
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


def build_points(
    metric: str,
    currency: str,
    now: Series,
    before: Series,
    pairs: Mapping[str, str],
    notes: Sequence[Annotation],
    hrefs: Sequence[str],
) -> tuple[Point, ...]:
    """The buckets of the metric, each with the one it is compared with; `hrefs` are the addresses of their dates."""
    (shown, series), (earlier, series_before) = now, before
    others = {moment.key: moment for moment in earlier}
    values, values_before = (_by_time(each, metric, currency) for each in (series, series_before))
    noted = _noted(shown, notes)
    hidden = _hidden(series, metric, shown)
    hidden_before = _hidden(series_before, metric, earlier)
    # Rates and durations of nothing are unknown; counts of nothing are zero.
    absent = 0 if metric in COUNTS or metric == "total_revenue" else None
    nothing, nothing_before = (None if each.hidden else absent for each in (series, series_before))
    cents = formatting.has_cents((*values.values(), *values_before.values()))
    text = partial(formatting.metric_text, metric, currency=currency, cents=cents)
    points = []
    for index, moment in enumerate(shown):
        value = None if moment.future else values.get(moment.key, nothing)
        past = others.get(pairs.get(moment.key, ""))
        before_value = None if past is None or past.future else values_before.get(past.key, nothing_before)
        points.append(
            Point(
                label=moment.label,
                long=moment.long,
                value=value,
                before=before_value,
                text=_("Hidden") if moment.key in hidden else text(value),
                before_text=_("Hidden") if past is not None and past.key in hidden_before else text(before_value),
                before_long=past.long if past else "",
                running=moment.running,
                cut=moment.cut,
                notes=tuple(noted.get(index, ())),
                first=moment.first,
                last=moment.last,
                href=hrefs[index],
                hidden=moment.key in hidden,
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


def _hidden(result: Result, metric: str, moments: Sequence[TimeBucket]) -> frozenset[str]:
    """The buckets that have too few visitors to be shown, or whose metric is withheld; all that are not still to come,
    where none is shown."""
    if result.hidden:
        return frozenset(moment.key for moment in moments if not moment.future)
    return frozenset(row.dimensions[0] for row in result.rows if row.hidden or metric in row.withheld)


def _by_time(result: Result, metric: str, currency: str) -> Mapping[str, Value]:
    if not result.rows:
        return {}
    if is_revenue(metric):
        return revenue_by_time(result, metric, currency)
    place = result.metrics.index(by_time(metric))
    return {row.dimensions[0]: row.metrics[place] for row in result.rows}
