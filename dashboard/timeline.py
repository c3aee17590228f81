"""The buckets of a chart as people read them, and which of them are running or still to come."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dashboard import formats
from dashboard.period import Period


@dataclass(frozen=True, slots=True)
class Moment:
    """One bucket: `key` is the time dimension's value, `label` stands on the axis, `long` in the table."""

    key: str
    label: str
    long: str
    running: bool
    future: bool


def moments(period: Period, now: float) -> tuple[Moment, ...]:
    """The period's buckets as of the Unix second `now`."""
    local = datetime.datetime.fromtimestamp(now, ZoneInfo(period.zone)).replace(tzinfo=None)
    keys = period.buckets()
    starts = [datetime.datetime.fromisoformat(key) for key in keys]
    ends = [*starts[1:], datetime.datetime.combine(period.last + datetime.timedelta(days=1), datetime.time())]
    return tuple(
        Moment(key, *_labels(period, start), running=start <= local < end, future=local < start)
        for key, start, end in zip(keys, starts, ends, strict=True)
    )


def _labels(period: Period, start: datetime.datetime) -> tuple[str, str]:
    match period.bucket:
        case "hour" | "minute":
            time = f"{start:%H:%M}"
            return time, time if period.days == 1 else f"{formats.date(start.date(), year=False)} {time}"
        case "month":
            return f"{start:%b}", f"{start:%B %Y}"
        case "week":
            return formats.date(start.date(), year=False), f"Week of {formats.date(start.date())}"
    return formats.date(start.date(), year=False), f"{start:%a} {formats.date(start.date())}"
