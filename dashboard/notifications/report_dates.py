"""When a report is due, and of which dates it is, in the site's time zone."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.notifications.subscriptions import FREQUENCIES, Frequency
from dashboard.reports.date_range import DateRangeParams

SEND_HOUR: Final = 6
"""Hour by the site's clock from which a report is sent: the day is closed, and the working day has not begun."""
LATE_DAYS: Final[dict[Frequency, int]] = {"weekly": 3, "monthly": 7}
"""So many days after it was due a report is of no use, and is left out."""

_DAY: Final = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ReportDates:
    """The dates of one report. `due` is the Unix second from which it is sent, `until` that after which it is not."""

    frequency: Frequency
    first: datetime.date
    last: datetime.date
    due: int
    until: int

    @property
    def key(self) -> str:
        """What tells it from the site's other reports."""
        return f"{self.frequency}/{self.first}/{self.last}"

    @property
    def params(self) -> DateRangeParams:
        """The same dates as the dashboard's addresses spell them: months beside months."""
        if self.frequency == "monthly":
            return DateRangeParams(period="month", date=str(self.last))
        return DateRangeParams(period="custom", first=str(self.first), last=str(self.last))


def latest(frequency: Frequency, zone: str, now: float) -> ReportDates:
    """The report that is, or was last, due at the Unix second `now`: of the week that ended with a Sunday, or of the
    calendar month."""
    clock = ZoneInfo(zone)
    today = datetime.datetime.fromtimestamp(now, clock).date()
    begins = _begin(frequency, today)
    if _at(begins, clock) > now:
        begins = _begin(frequency, begins - _DAY)
    return _of(frequency, _begin(frequency, begins - _DAY), begins - _DAY, clock)


def read_key(key: str, zone: str) -> ReportDates:
    """The report that has this key."""
    name, first, last = key.split("/")
    frequency = next(each for each in FREQUENCIES if each == name)
    dates = datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)
    return _of(frequency, *dates, ZoneInfo(zone))


def _of(frequency: Frequency, first: datetime.date, last: datetime.date, clock: ZoneInfo) -> ReportDates:
    due, until = (_at(last + days * _DAY, clock) for days in (1, 1 + LATE_DAYS[frequency]))
    return ReportDates(frequency, first, last, due, until)


def _begin(frequency: Frequency, day: datetime.date) -> datetime.date:
    """The first date of the day's week or month."""
    return day - day.weekday() * _DAY if frequency == "weekly" else day.replace(day=1)


def _at(day: datetime.date, clock: ZoneInfo) -> int:
    return int(datetime.datetime.combine(day, datetime.time(SEND_HOUR), clock).timestamp())
