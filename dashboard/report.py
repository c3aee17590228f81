"""Everything a site page shows, as values that the template only has to lay out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard import formats
from dashboard.breakdown import ROWS, TOTALS, Breakdown, ChipLink, breakdown, chip_links, query, rows_query, totals
from dashboard.choice import METRICS, Choice
from dashboard.comparison import COUNTS, Totals, measured, so_far
from dashboard.formats import Change, Value
from dashboard.panels import PANELS
from dashboard.period import Period
from dashboard.query import Result
from dashboard.store import Store
from dashboard.timeline import Moment, moments

MOST_BUCKETS = 5_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the top figures; `href` draws it in the chart."""

    metric: str
    title: str
    text: str
    full: str
    change: Change | None
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket of the chart, and of the table in its place. `value` is None for what is still to come."""

    label: str
    long: str
    value: Value
    before: Value
    text: str
    before_text: str
    running: bool
    """Whether the bucket is not over yet."""


@dataclass(frozen=True, slots=True)
class Report:
    """A site page's figures, chart and panels for one choice."""

    choice: Choice
    period: Period
    now_visitors: int
    figures: tuple[Figure, ...]
    points: tuple[Point, ...]
    breakdowns: tuple[Breakdown, ...]
    chips: tuple[ChipLink, ...]
    live: bool
    """Whether the period contains the present day, so that it is worth asking again."""

    @property
    def empty(self) -> bool:
        """Whether nothing at all was counted."""
        return all(figure.full in ("0", formats.NOTHING) for figure in self.figures)


async def build_report(store: Store, choice: Choice, period: Period, now: float) -> Report:
    """Ask for everything at once and lay it out. `now` is a Unix second."""
    before = period.previous()
    timed = (f"time:{period.bucket}",)
    tabs = [panel.tab(choice.tab(panel.name)) for panel in PANELS]
    asked = [
        query(choice, period, TOTALS),
        query(choice, before, TOTALS),
        query(choice, period, TOTALS, timed, MOST_BUCKETS),
        query(choice, before, TOTALS, timed, MOST_BUCKETS),
        *(rows_query(choice, period, tab, ROWS + 1) for tab in tabs),
    ]
    all_, all_before, series, series_before, *parts = await store.run(asked)
    shown, earlier = moments(period, now), moments(before, now)
    whole, whole_before = measured(totals(all_)), measured(totals(all_before))
    compared = so_far(shown, earlier, series, series_before) if _running_day(shown, period) else (whole, whole_before)
    return Report(
        choice=choice,
        period=period,
        now_visitors=await store.current_visitors(choice.domain),
        figures=_figures(choice, whole, *compared),
        points=_points(choice.metric, shown, earlier, series, series_before),
        breakdowns=tuple(
            breakdown(choice, panel, tab, part, whole) for panel, tab, part in zip(PANELS, tabs, parts, strict=True)
        ),
        chips=chip_links(choice),
        live=any(moment.running for moment in shown),
    )


def _running_day(shown: Sequence[Moment], period: Period) -> bool:
    return period.days == 1 and any(moment.running for moment in shown)


def _figures(choice: Choice, whole: Totals, now: Totals, before: Totals) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            metric=metric,
            title=METRICS[metric],
            text=formats.metric_text(metric, whole[metric], short=True),
            full=formats.metric_text(metric, whole[metric]),
            change=formats.change(metric, now[metric], before[metric]),
            href=choice.to_metric(metric).href(),
            current=choice.metric == metric,
        )
        for metric in TOTALS
    )


def _points(
    metric: str, shown: Sequence[Moment], earlier: Sequence[Moment], now: Result, before: Result
) -> tuple[Point, ...]:
    values, values_before = _by_time(now, metric), _by_time(before, metric)
    # Rates and durations of nothing are unknown; counts of nothing are zero.
    absent = 0 if metric in COUNTS else None
    points = []
    for index, moment in enumerate(shown):
        value = None if moment.future else values.get(moment.key, absent)
        past = values_before.get(earlier[index].key, absent) if index < len(earlier) else None
        points.append(
            Point(
                label=moment.label,
                long=moment.long,
                value=value,
                before=past,
                text=formats.metric_text(metric, value),
                before_text=formats.metric_text(metric, past),
                running=moment.running,
            )
        )
    return tuple(points)


def _by_time(result: Result, metric: str) -> Mapping[str, Value]:
    place = TOTALS.index(metric)
    return {row.dimensions[0]: row.metrics[place] for row in result.rows}
