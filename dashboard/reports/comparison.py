"""Comparison of periods: the same elapsed part of both, bucket beside bucket."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.analytics.period import Bucket, Period
from dashboard.analytics.query import Result
from dashboard.i18n.formatting import Value
from dashboard.reports.chart_metrics import COUNTS

Totals = Mapping[str, Value]

_DAY: Final = datetime.timedelta(days=1)
_MONTHS: Final = {"month": 1, "6mo": 6, "12mo": 12, "year": 12}


def measured(names: Sequence[str], result: Result) -> Totals:
    """Totals by metric; where nothing was counted, a rate of it is no measure. Of a hidden group none is known."""
    if result.hidden or not result.rows:
        return dict.fromkeys(names) if result.hidden else {metric: 0 if metric in COUNTS else None for metric in names}
    given = {name: value for name, value in zip(result.metrics, result.rows[0].metrics, strict=True) if name in names}
    if any(given.get(metric) for metric in COUNTS):
        return given
    return {metric: 0 if metric in COUNTS else None for metric in names}


def calendar_before(period: Period) -> Period:
    """The dates before a named period: of one that begins with a month the same dates of the month, half-year or year
    before, so that months stand beside months, and whole months beside whole ones; of others, and where the two would
    overlap, the dates right before."""
    months = _MONTHS.get(period.name)
    before = period.previous()
    if months is None:
        return before
    aligned = before.moved((_months_before(period.first, months) - before.first).days)
    next_ = period.last + _DAY
    if next_.day == 1:
        return replace(aligned, last=_months_before(next_, months) - _DAY)
    return aligned if aligned.last < period.first else before


def overlap(period: Period, before: Period) -> bool:
    """Whether the two have a moment in common. Such are not compared: what one has besides the other, a hidden day of a
    filtered view, would be told by their difference."""
    begins, ends = period.bounds()
    first, last = before.bounds()
    return first < ends and begins < last


def same_weekday(period: Period, before: Period) -> Period:
    """`before` with the nearest move that lets both begin on the same day of the week, but not into `period`."""
    moved = before.moved((period.first.weekday() - before.first.weekday() + 3) % 7 - 3)
    return moved.moved(-7) if overlap(period, moved) and not overlap(period, before) else moved


def _months_before(first: datetime.date, months: int) -> datetime.date:
    """The first of the month so many months before."""
    year, index = divmod(first.year * 12 + first.month - 1 - months, 12)
    return datetime.date(year, index + 1, 1)


def same_length(period: Period, before: Period, now: float) -> Period:
    """As much of `before` as there is of `period` at the Unix second `now`, by the clock on the same day of it.

    A period that is over, or has not begun, is compared as a whole.
    """
    begins, ends = period.bounds()
    if not begins <= now < ends:
        return before
    if period.start is not None:
        return before.until(before.bounds()[0] + int(now) - begins + 1)
    zone = ZoneInfo(period.zone)
    local = datetime.datetime.fromtimestamp(int(now) + 1, zone)
    day = before.first + (local.date() - period.first)
    return before.until(int(datetime.datetime.combine(day, local.time(), zone).timestamp()))


def paired(period: Period, before: Period, bucket: Bucket) -> dict[str, str]:
    """The labels of `period`, each with the label of `before` at the same position.

    Hours and minutes are paired by the clock, also on days that lack some; dates of the year before by the calendar;
    all others by their place.
    """
    labels, earlier = period.buckets(bucket), before.buckets(bucket)
    if bucket in ("hour", "minute"):
        shift = _begins(period) - _begins(before)
        if shift % _DAY == datetime.timedelta():
            moved = {label: str(datetime.datetime.fromisoformat(label) - shift) for label in labels}
            return _known(moved, earlier)
    if bucket == "day" and before.first == period.year_before().first:
        return _known({label: f"{int(label[:4]) - _years(period, before)}{label[4:]}" for label in labels}, earlier)
    return dict(zip(labels, earlier, strict=False))


def _known(moved: Mapping[str, str], earlier: Sequence[str]) -> dict[str, str]:
    there = set(earlier)
    return {label: other for label, other in moved.items() if other in there}


def _years(period: Period, before: Period) -> int:
    return period.first.year - before.first.year


def _begins(period: Period) -> datetime.datetime:
    """The moment that it begins, by its own clock."""
    return datetime.datetime.fromtimestamp(period.bounds()[0], ZoneInfo(period.zone)).replace(tzinfo=None)
