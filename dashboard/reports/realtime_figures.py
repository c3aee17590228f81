"""The last half hour of a site: current visitors, pageviews by minute, and breakdowns.

A breakdown of a stretch of time is protected like a filtered one: small groups are folded.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from collector.core.timezones import FormerZone
from dashboard.analytics.current_visitors import current_visitors, present
from dashboard.analytics.dimensions import find_dimension
from dashboard.analytics.period import Period, parse_moments
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService

MINUTES: Final = 30
ROWS: Final = 9

BREAKDOWNS: Final = {"source": "visit:source", "page": "event:page", "country": "visit:country"}


@dataclass(frozen=True, slots=True)
class RealtimeGroup:
    """Visitors of the last half hour of one source, page or country; `value` is empty where it is not known."""

    value: str
    visitors: int


@dataclass(frozen=True, slots=True)
class Realtime:
    """The last half hour of a site. Without events, everything is zero."""

    current_visitors: int
    """Visitors of the last five minutes."""
    minutes: tuple[tuple[int, int], ...]
    """Unix second and pageviews of each of the last thirty minutes by the clock; the last is not over."""
    events: int
    """Pageviews and custom events of these."""
    sources: tuple[RealtimeGroup, ...]
    pages: tuple[RealtimeGroup, ...]
    countries: tuple[RealtimeGroup, ...]

    @property
    def pageviews(self) -> int:
        """Pageviews of the last half hour."""
        return sum(count for _, count in self.minutes)


async def realtime_figures(
    stats: StatsService, site: str, zone: str = "UTC", former: tuple[FormerZone, ...] = ()
) -> Realtime:
    """The last half hour of the site; for a guest, up to the latest step of its open day."""
    now, until = await present(stats, site, zone)
    if not until:
        # Of a day without a step nothing is released. Nor is what the half hour has of the day before: as time goes on
        # it would lose the visitors of that one by one.
        return Realtime(0, tuple((ts, 0) for ts in _starts(now + 1)), 0, (), (), ())
    queries = _queries(site, zone, former, until)
    results, current = await asyncio.gather(stats.run(queries), current_visitors(stats, site, zone))
    return _read(queries[0].period, current, results)


def _queries(site: str, zone: str, former: tuple[FormerZone, ...], until: int) -> list[Query]:
    """The half hour before a Unix second, by minute and by value."""
    begins, last = (datetime.datetime.fromtimestamp(ts, datetime.UTC) for ts in (_starts(until)[0], until - 1))
    period = parse_moments(begins, last, zone).at_site(former)
    return [
        Query(site, ("events",), period),
        Query(site, ("pageviews",), period, ("time:minute",), limit=MINUTES),
        *(Query(site, ("visitors",), period, (name,), limit=ROWS) for name in BREAKDOWNS.values()),
    ]


def _read(period: Period, current: int, results: Sequence[Result]) -> Realtime:
    """The last half hour, from the answers to its queries over that period and the current visitors."""
    whole, by_minute, *breakdowns = results
    counted = {row.dimensions[0]: int(row.metrics[0] or 0) for row in by_minute.rows}
    zone, until = ZoneInfo(period.zone), period.bounds()[1]
    minutes = ((ts, f"{datetime.datetime.fromtimestamp(ts, zone):%Y-%m-%d %H:%M:%S}") for ts in _starts(until))
    return Realtime(
        current,
        tuple((ts, counted.get(label, 0)) for ts, label in minutes),
        int(whole.rows[0].metrics[0] or 0),
        *map(_groups, breakdowns),
    )


def _starts(until: int) -> range:
    """The Unix seconds at which the minutes before `until` begin."""
    last = (until - 1) // 60 * 60
    return range(last - 60 * (MINUTES - 1), last + 60, 60)


def _groups(result: Result) -> tuple[RealtimeGroup, ...]:
    """The rows that have visitors."""
    unknown = find_dimension(result.dimensions[0]).empty
    rows = ((row.dimensions[0], int(row.metrics[0] or 0)) for row in result.rows)
    return tuple(RealtimeGroup("" if value == unknown else value, visitors) for value, visitors in rows if visitors)
