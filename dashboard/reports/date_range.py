"""Date ranges that a reader can choose, with chart buckets, comparison, previous and next range."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import Final
from zoneinfo import ZoneInfo

from collector.core.timezones import FormerZone
from dashboard.analytics.errors import QueryError
from dashboard.analytics.period import BUCKETS, EARLIEST, Bucket, Period, parse_period
from dashboard.i18n.translations import N_, _
from dashboard.reports.comparison import calendar_before, overlap, same_length, same_weekday


@dataclass(frozen=True, slots=True)
class PeriodOption:
    """One entry of the menu of periods; `key` on the keyboard chooses it."""

    title: str
    key: str


PERIODS: Final = {
    "day": PeriodOption(N_("Today"), "D"),
    "yesterday": PeriodOption(N_("Yesterday"), "E"),
    "7d": PeriodOption(N_("Last 7 days"), "W"),
    "28d": PeriodOption(N_("Last 28 days"), "F"),
    "30d": PeriodOption(N_("Last 30 days"), "T"),
    "91d": PeriodOption(N_("Last 91 days"), "N"),
    "month": PeriodOption(N_("Month to date"), "M"),
    "last_month": PeriodOption(N_("Last month"), "P"),
    "year": PeriodOption(N_("Year to date"), "Y"),
    "12mo": PeriodOption(N_("Last 12 months"), "L"),
    "all": PeriodOption(N_("All time"), "A"),
    "custom": PeriodOption(N_("Custom dates"), "C"),
}
DEFAULT_PERIOD: Final = "30d"
GROUPED: Final = (
    ("day", "yesterday"),
    ("7d", "28d", "30d", "91d"),
    ("month", "last_month", "year", "12mo"),
    ("all",),
)
"""The menu's entries, in parts; dates of one's own come last."""

BUCKET_TITLES: Final = {"hour": N_("By hour"), "day": N_("By day"), "week": N_("By week"), "month": N_("By month")}
BUCKET_HEADS: Final = {"hour": N_("Hour"), "day": N_("Day"), "week": N_("Week"), "month": N_("Month")}

COMPARISONS: Final = {
    "previous": N_("Previous period"),
    "year": N_("Year over year"),
    "custom": N_("Custom dates"),
    "none": N_("No comparison"),
}
DEFAULT_COMPARISON: Final = "previous"

# From how many dates to how many each step is of use.
_SENSIBLE: Final[dict[Bucket, tuple[int, int]]] = {
    "hour": (1, 14),
    "day": (2, 762),
    "week": (14, 4_000),
    "month": (45, 24_000),
}

MAX_CHART_BUCKETS: Final = 800
"""Of a comparison: as many as any period has by the steps above. Every one is laid out and drawn."""

_DAY: Final = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DateRangeParams:
    """What an address says of dates: the name of a period; `first` and `last` of a custom one; and `date`, in place of
    today, for those that a name counts back from. All are as they were written, ISO 8601."""

    period: str = DEFAULT_PERIOD
    first: str = ""
    last: str = ""
    date: str = ""
    bucket: str = ""
    compare: str = DEFAULT_COMPARISON
    compare_first: str = ""
    compare_last: str = ""
    weekday: bool = False
    """Whether the comparison begins on the same day of the week."""


DEFAULT_SPAN: Final = DateRangeParams()


@dataclass(frozen=True, slots=True)
class DateRange:
    """A span, understood. `before` is what it is compared with, and `compared` as much of it as there is of the period
    by now; the two spans are a step back and one forward."""

    period: Period
    before: Period | None
    compared: Period | None
    buckets: tuple[Bucket, ...]
    """The steps that the chart can have."""
    earlier: DateRangeParams | None
    later: DateRangeParams | None
    problem: str = ""
    """What was wrong with the dates that were asked for."""

    def at_site(self, former: tuple[FormerZone, ...]) -> DateRange:
        """The same at a site that had other time zones before."""
        before = self.before.at_site(former) if self.before else None
        compared = self.compared.at_site(former) if self.compared else None
        return replace(self, period=self.period.at_site(former), before=before, compared=compared)


def read_dates(params: DateRangeParams, zone: str, now: datetime.datetime, began: datetime.date | None) -> DateRange:
    """The dates of `params` as of `now` at a site in `zone` whose first event was on `began`.

    Dates that cannot be shown are explained in `problem`, and the default stands in their place.
    """
    today = now.astimezone(ZoneInfo(zone)).date()
    try:
        period = _period(params, zone, now, today, began)
        before = _before(params, period, zone, now)
        buckets, bucket = _buckets(params, period, before)
    except QueryError as error:
        plain = read_dates(DEFAULT_SPAN, zone, now, began)
        return replace(plain, problem=_("Those dates cannot be shown: {reason}.").format(reason=_(error.expected)))
    period = replace(period, bucket=bucket)
    before = replace(before, bucket=bucket) if before else None
    return DateRange(
        period,
        before,
        same_length(period, before, now.timestamp()) if before else None,
        buckets,
        *_steps(params, period, today),
    )


def _buckets(params: DateRangeParams, period: Period, before: Period | None) -> tuple[tuple[Bucket, ...], Bucket]:
    """The steps that the chart can have, and the one that it has. Raises `QueryError` where it would have too many."""
    buckets = offered(period)
    if not buckets:
        raise QueryError("date_range", N_("expected a shorter period"))
    bucket = next((each for each in buckets if each == params.bucket), _fitting(period, buckets))
    if before is not None and before.bucket_count(bucket) > MAX_CHART_BUCKETS:
        raise QueryError("compare", N_("expected a shorter period to compare with"))
    return buckets, bucket


def offered(period: Period) -> tuple[Bucket, ...]:
    """The steps that make sense over so many dates, the finest first."""
    return tuple(step for step in BUCKETS if step in _SENSIBLE and _in(period.days, *_SENSIBLE[step]))


def _in(days: int, least: int, most: int) -> bool:
    return least <= days <= most


def _fitting(period: Period, buckets: tuple[Bucket, ...]) -> Bucket:
    return period.bucket if period.bucket in buckets else buckets[0]


def _period(
    params: DateRangeParams, zone: str, now: datetime.datetime, today: datetime.date, began: datetime.date | None
) -> Period:
    if params.period == "custom":
        first, last = _date(params.first), _date(params.last)
        if first and last and first > last:
            first, last = last, first
        return parse_period("custom", zone, now, first, last)
    if params.period == "all":
        return parse_period("all", zone, now, min(began or today, today))
    day = _date(params.date)
    if params.date and day is None:
        raise QueryError("date_range", N_("expected a date such as 2026-01-31"))
    day = min(day, today) if day else today
    if params.period == "last_month":
        day = day.replace(day=1) - _DAY
    return parse_period("month" if params.period == "last_month" else params.period, zone, now, day=day)


def _before(params: DateRangeParams, period: Period, zone: str, now: datetime.datetime) -> Period | None:
    if params.compare == "none" or period.name == "all":
        return None
    if params.compare == "custom":
        first, last = _date(params.compare_first), _date(params.compare_last)
        if first and last and first > last:
            first, last = last, first
        before = parse_period("custom", zone, now, first, last)
        if overlap(period, before):
            raise QueryError("compare", N_("expected dates outside the period to compare with"))
        return before
    before = period.year_before() if params.compare == "year" else calendar_before(period)
    if before.first < EARLIEST + 14 * _DAY or overlap(period, before):
        return None
    return same_weekday(period, before) if params.weekday else before


def _steps(
    params: DateRangeParams, period: Period, today: datetime.date
) -> tuple[DateRangeParams | None, DateRangeParams | None]:
    if params.period == "all":
        return None, None
    back = _to(params, period, period.first - _DAY, today)
    return back, None if period.last >= today else _to(params, period, _next_end(period), today)


def _to(params: DateRangeParams, period: Period, end: datetime.date, today: datetime.date) -> DateRangeParams:
    """The span of the same kind that ends on `end`."""
    if params.period == "custom":
        first = end - (period.days - 1) * _DAY
        return replace(params, first=str(first), last=str(end))
    name = {"yesterday": "day", "last_month": "month"}.get(params.period, params.period)
    return replace(params, period=name, first="", last="", date="" if end >= today else str(end))


def _next_end(period: Period) -> datetime.date:
    """The last date of the stretch that follows."""
    begins = period.last + _DAY
    months = {"month": 1, "year": 12, "12mo": 12}.get(period.name)
    if months is None:
        return period.last + period.days * _DAY
    return _months_later(begins.replace(day=1), months) - _DAY


def _months_later(month: datetime.date, count: int) -> datetime.date:
    years, index = divmod(month.year * 12 + month.month - 1 + count, 12)
    return datetime.date(years, index + 1, 1)


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
