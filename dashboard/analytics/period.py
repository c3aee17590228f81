"""Periods of queries in the site's time zone, and the buckets of their charts.

A period is whole site-local dates, or an exact stretch of time within them. Dates follow the zone's clock: a date
has 23 or 25 hours where clocks change.
"""

from __future__ import annotations

import datetime
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo

from collector.core.timezones import FormerZone, Zone, borders
from dashboard.analytics.errors import QueryError
from dashboard.i18n.translations import N_

Bucket = Literal["minute", "hour", "day", "week", "month"]
BUCKETS: tuple[Bucket, ...] = ("minute", "hour", "day", "week", "month")

NAMES = (
    "day",
    "yesterday",
    "24h",
    "7d",
    "28d",
    "30d",
    "91d",
    "month",
    "6mo",
    "12mo",
    "year",
    "all",
    "custom",
)

MAX_BUCKETS = 50_000
"""Buckets of one result: a month of minutes."""

# How far back "all" reaches when nobody says when the site began.
_LONGEST_YEARS = 10

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """The dates from `first` to `last`, both included, by the clock of `zone`.

    `bucket` is the step of its chart. `start` and `end` are set where the period is no whole number of dates:
    Unix seconds, from the first included to the first that is not. `end` alone ends within its last date.
    """

    name: str
    zone: str
    first: datetime.date
    last: datetime.date
    bucket: Bucket = "day"
    start: int | None = None
    end: int | None = None
    former: tuple[FormerZone, ...] = ()
    """Time zones that the site had before: dates of then have the borders that they had."""

    @property
    def days(self) -> int:
        """Number of dates."""
        return (self.last - self.first).days + 1

    @property
    def whole_dates(self) -> bool:
        """Whether it is a whole number of dates."""
        return self.start is None and self.end is None

    def ranges(self, without: Container[datetime.date] = ()) -> tuple[tuple[datetime.date, datetime.date], ...]:
        """The dates but for some, as first and last of those that follow each other."""
        dates = (self.first + number * _DAY for number in range(self.days))
        return ranges(day for day in dates if day not in without)

    def previous(self) -> Period:
        """The stretch of the same length that ends where this one begins."""
        if self.start is None or self.end is None:
            return self.moved(-self.days)
        return _between(self.start - (self.end - self.start), self.start, self.zone, self.bucket)

    def moved(self, days: int) -> Period:
        """The same stretch, so many days later."""
        if self.start is None or self.end is None:
            return replace(self, name="custom", first=self.first + days * _DAY, last=self.last + days * _DAY)
        return _between(self.start + days * 86_400, self.end + days * 86_400, self.zone, self.bucket)

    def year_before(self) -> Period:
        """The same dates one year earlier; 29 February becomes 28 February."""
        first, last = _year_earlier(self.first), _year_earlier(self.last)
        if self.start is None or self.end is None:
            return replace(self, name="custom", first=first, last=last)
        start = _seconds(_year_earlier_moment(self.start, self.zone))
        return _between(start, start + (self.end - self.start), self.zone, self.bucket)

    def buckets(self, bucket: Bucket | None = None) -> list[str]:
        """Labels of the buckets, in order: what the time dimension of that bucket has as values.

        Dates are `YYYY-MM-DD`, hours and minutes `YYYY-MM-DD HH:MM:SS` by the zone's clock. A week that began before
        the period is labelled with the period's first date. The hour that an autumn clock shows twice is one bucket.
        Raises `QueryError` for more than `MAX_BUCKETS`.
        """
        step = bucket or self.bucket
        if self.bucket_count(step) > MAX_BUCKETS:
            raise QueryError("date_range", N_("expected fewer intervals in the period"))
        if step in ("hour", "minute"):
            return list(dict.fromkeys(self._clock_labels(3600 if step == "hour" else 60)))
        return [str(self.date_label(day, step)) for day in self._bucket_starts(step)]

    def bucket_count(self, bucket: Bucket) -> int:
        """How many buckets it has at most, without listing them."""
        if bucket in ("hour", "minute"):
            begins, ends = self.bounds()
            return -(-(ends - begins) // (3600 if bucket == "hour" else 60)) + (not self.whole_dates)
        return {"week": self.days // 7 + 2, "month": self.days // 28 + 2}.get(bucket, self.days)

    def bounds(self) -> tuple[int, int]:
        """Unix seconds of its first moment, and of the first moment after it."""
        begins = borders(self.first, self.zone, self.former)[0] if self.start is None else self.start
        return begins, borders(self.last, self.zone, self.former)[1] if self.end is None else self.end

    def at_site(self, former: tuple[FormerZone, ...]) -> Period:
        """The same at a site that had other time zones before. A stretch of time may be on other dates by these."""
        if not former:
            return self
        if self.start is None or self.end is None:
            return replace(self, former=former)
        zones = [Zone(each.timezone) for each in former]
        first = min(self.first, *(zone.date(self.start) for zone in zones))
        return replace(
            self, former=former, first=first, last=max(self.last, *(zone.date(self.end - 1) for zone in zones))
        )

    def until(self, moment: int) -> Period:
        """The part of it before a Unix second; all of it where it ends earlier."""
        begins, ends = self.bounds()
        if not begins < moment < ends:
            return self
        return replace(self, last=Zone(self.zone).date(moment - 1), end=moment)

    def _bucket_starts(self, step: str) -> Iterator[datetime.date]:
        """The first date of each bucket that the period has."""
        day = self.first
        while day <= self.last:
            yield day
            match step:
                case "week":
                    day += (7 - day.weekday()) * _DAY
                case "month":
                    day = (day.replace(day=1) + 31 * _DAY).replace(day=1)
                case _:
                    day += _DAY

    def date_label(self, day: datetime.date, step: str) -> datetime.date:
        """The first date of the day's bucket: day, week or month."""
        if step == "week":
            return max(day - day.weekday() * _DAY, self.first)
        return day.replace(day=1) if step == "month" else day

    def _clock_labels(self, step: int) -> Iterator[str]:
        zone = ZoneInfo(self.zone)
        begins, ends = self.bounds()
        # Clocks change by quarters of an hour at the finest, and change within an hour in a few places.
        for ts in range(begins, ends, min(step, 900)):
            local = datetime.datetime.fromtimestamp(ts, zone)
            cut = local.replace(minute=0, second=0) if step == 3600 else local.replace(second=0)
            yield cut.strftime("%Y-%m-%d %H:%M:%S")


def ranges(days: Iterable[datetime.date]) -> tuple[tuple[datetime.date, datetime.date], ...]:
    """Days as first and last of those that follow each other."""
    found: list[tuple[datetime.date, datetime.date]] = []
    for day in sorted(days):
        follows = bool(found) and found[-1][1] == day - _DAY
        found.append((found.pop()[0] if follows else day, day))
    return tuple(found)


def parse_period(
    name: str,
    zone: str,
    now: datetime.datetime,
    start: datetime.date | None = None,
    end: datetime.date | None = None,
    day: datetime.date | None = None,
) -> Period:
    """The period `name` as of `now` (with a time zone of its own) at a site whose time zone is `zone`.

    `start` and `end` are the dates of `custom`; `start` alone says when `all` begins (without it, ten years back).
    Names are relative to `day`, which is today when absent. Raises `QueryError`.
    """
    today = now.astimezone(_zone(zone)).date()
    relative = day or today
    if not EARLIEST <= relative <= LATEST:
        raise QueryError("date_range", _REACH)
    if name == "custom":
        return _custom(zone, start, end)
    if name == "24h":
        moment = _seconds(now)
        return replace(_between(moment - 86_400, moment, zone, "hour"), name="24h")
    if name == "all":
        first = start or _year_earlier(relative, _LONGEST_YEARS)
        return _checked(Period("all", zone, first, max(first, relative), _fitting((relative - first).days + 1)))
    first, last, bucket = _named(name, relative)
    return _checked(Period(name, zone, first, last, bucket))


def parse_moments(start: datetime.datetime, end: datetime.datetime, zone: str) -> Period:
    """The stretch from the second of `start` to the one of `end`, both included. Raises `QueryError`."""
    _zone(zone)
    begins, ends = _seconds(start), _seconds(end) + 1
    if begins >= ends:
        raise QueryError("date_range", "expected the first time to be before the second")
    return _checked(_between(begins, ends, zone, _fitting(-(-(ends - begins) // 86_400))))


def _named(name: str, day: datetime.date) -> tuple[datetime.date, datetime.date, Bucket]:
    month = day.replace(day=1)
    match name:
        case "day":
            return day, day, "hour"
        case "yesterday":
            return day - _DAY, day - _DAY, "hour"
        case "7d" | "28d" | "30d" | "91d":
            return day - (int(name[:-1]) - 1) * _DAY, day, "day"
        case "month":
            return month, day, "day"
        case "6mo" | "12mo":
            return _months_earlier(month, int(name[:-2]) - 1), day, "month"
        case "year":
            return day.replace(month=1, day=1), day, "month"
    raise QueryError("date_range", f"expected one of {', '.join(NAMES)}, or two dates")


def _custom(zone: str, start: datetime.date | None, end: datetime.date | None) -> Period:
    if start is None or end is None:
        raise QueryError("date_range", N_("expected a first and a last date"))
    if start > end:
        raise QueryError("date_range", "expected the first date to be before the last")
    return _checked(Period("custom", zone, start, end, _fitting((end - start).days + 1)))


def _fitting(days: int) -> Bucket:
    if days <= 1:
        return "hour"
    return "day" if days <= 92 else "month"


def _between(start: int, end: int, zone: str, bucket: Bucket) -> Period:
    clock = Zone(zone)
    try:
        first, last = clock.date(start), clock.date(end - 1)
    except (ValueError, OverflowError, OSError):
        raise QueryError("date_range", _REACH) from None
    return Period("custom", zone, first, last, bucket, start, end)


def _checked(period: Period) -> Period:
    """Dates outside those of the column `day` would wrap around in it."""
    if not EARLIEST <= period.first <= period.last <= LATEST:
        raise QueryError("date_range", _REACH)
    return period


EARLIEST, LATEST = datetime.date(1971, 1, 1), datetime.date(2148, 12, 31)
_REACH = N_("expected dates from 1971-01-01 to 2148-12-31")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(Zone(name).name)
    except ValueError as error:
        raise QueryError("timezone", str(error)) from None


def _seconds(moment: datetime.datetime) -> int:
    return int(moment.timestamp() // 1)


def _months_earlier(month: datetime.date, count: int) -> datetime.date:
    years, index = divmod(month.year * 12 + month.month - 1 - count, 12)
    return datetime.date(years, index + 1, 1)


def _year_earlier(day: datetime.date, years: int = 1) -> datetime.date:
    if (day.month, day.day) == (2, 29):
        day -= _DAY
    return day.replace(year=max(1, day.year - years))


def _year_earlier_moment(ts: int, zone: str) -> datetime.datetime:
    local = datetime.datetime.fromtimestamp(ts, ZoneInfo(zone))
    return datetime.datetime.combine(_year_earlier(local.date()), local.time(), local.tzinfo)
