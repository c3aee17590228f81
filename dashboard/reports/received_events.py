"""View model of the events that a site received, by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.i18n import formatting
from dashboard.reports.svg import Bar, axis, bars
from dashboard.reports.time_buckets import time_buckets


@dataclass(frozen=True, slots=True)
class ReceivedDay:
    """One bar of the chart."""

    label: str
    count: int
    bar: Bar


@dataclass(frozen=True, slots=True)
class ReceivedEvents:
    """Pageviews and custom events by day, as the dashboard counts them."""

    days: tuple[ReceivedDay, ...]
    marks: tuple[int, int, int]
    """What stands on the vertical axis, from the top."""
    ends: tuple[str, str, str]
    """What stands on the horizontal axis."""
    today: int
    total: int


def received_query(site: str, period: Period) -> Query:
    """The question behind `received_events`."""
    return Query(site=site, metrics=("events",), period=period, dimensions=("time:day",), limit=period.days)


def received_events(period: Period, result: Result, now: float) -> ReceivedEvents:
    """Lay out the answer to `received_query`. `now` is a Unix second."""
    moments = time_buckets(period, now)
    found = {row.dimensions[0]: int(row.metrics[0] or 0) for row in result.rows}
    counts: Sequence[int] = [found.get(moment.key, 0) for moment in moments]
    marks = axis(counts)
    days = zip(moments, counts, bars(counts, top=marks[0]), strict=True)
    shown = (moments[0], moments[len(moments) // 2], moments[-1])
    return ReceivedEvents(
        days=tuple(ReceivedDay(moment.long, count, bar) for moment, count, bar in days),
        marks=marks,
        ends=(shown[0].label, shown[1].label, formatting.date(shown[2].first, year=False)),
        today=counts[-1],
        total=sum(counts),
    )
