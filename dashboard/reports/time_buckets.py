"""Labels of a chart's time buckets, and which of them are partial, current or future."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dashboard.analytics.period import Period
from dashboard.i18n import formatting
from dashboard.i18n.translations import _

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """One bucket: `key` is the time dimension's value, `label` stands on the axis, `long` in the table."""

    key: str
    label: str
    long: str
    first: datetime.date
    """The date that it begins on, and the `last` that it has."""
    last: datetime.date
    running: bool
    future: bool
    cut: bool
    """Whether the period has only a part of this week or month."""


def time_buckets(period: Period, now: float) -> tuple[TimeBucket, ...]:
    """The period's buckets as of the Unix second `now`."""
    local = datetime.datetime.fromtimestamp(now, ZoneInfo(period.zone)).replace(tzinfo=None)
    keys = period.buckets()
    starts = [datetime.datetime.fromisoformat(key) for key in keys]
    ends = [*starts[1:], _end(period)]
    return tuple(_moment(period, key, start, end, local) for key, start, end in zip(keys, starts, ends, strict=True))


def _end(period: Period) -> datetime.datetime:
    """When the last bucket ends, by the clock."""
    if period.bucket not in ("hour", "minute"):
        return datetime.datetime.combine(period.last + _DAY, datetime.time())
    return datetime.datetime.fromtimestamp(period.bounds()[1], ZoneInfo(period.zone)).replace(tzinfo=None)


def _moment(
    period: Period, key: str, start: datetime.datetime, end: datetime.datetime, local: datetime.datetime
) -> TimeBucket:
    first, last = _whole(period, start.date())
    # A week may have begun before the period; hours of a date that another time zone was set on may lie beside it.
    clock = period.bucket in ("hour", "minute")
    begins = start if clock else max(start, datetime.datetime.combine(period.first, datetime.time()))
    return TimeBucket(
        key,
        *_labels(period, start),
        first=begins.date(),
        last=(end - datetime.timedelta(seconds=1)).date(),
        running=begins <= local < end,
        future=local < begins,
        cut=first < period.first or last > period.last,
    )


def _whole(period: Period, day: datetime.date) -> tuple[datetime.date, datetime.date]:
    """First and last date of the whole week or month that the bucket is, or is a part of."""
    match period.bucket:
        case "week":
            monday = day - day.weekday() * _DAY
            return monday, monday + 6 * _DAY
        case "month":
            month = day.replace(day=1)
            return month, (month + 31 * _DAY).replace(day=1) - _DAY
    return day, day


def _labels(period: Period, start: datetime.datetime) -> tuple[str, str]:
    day = start.date()
    match period.bucket:
        case "hour" | "minute":
            time = f"{start:%H:%M}"
            if period.days == 1:
                return time, time
            return f"{formatting.date(day, year=False)} {time}", f"{formatting.date(day, year=False)} {time}"
        case "month":
            return formatting.month(day, long=False), formatting.month(day)
        case "week":
            return formatting.date(day, year=False), _("Week of {date}").format(date=formatting.date(day))
    return formatting.date(day, year=False), formatting.weekday(day)
