"""The last half hour of a site: who is there now, pageviews by minute, and where they come from and read.

All of it is one statement. What is told of small groups is told as everywhere else.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboard.dimensions import find_dimension
from dashboard.period import Period
from dashboard.planner import ALWAYS, Panel
from dashboard.protect import OTHER, Components, Groups, Protection, protect

CURRENT_SECONDS: Final = 300
MINUTES: Final = 30
ROWS: Final = 9

PARTS: Final = {"source": "visit:source", "page": "event:page", "country": "visit:country"}

STATEMENT: Final = """
SELECT part, value, visitors, pageviews, events, toUnixTimestamp(now('UTC')) FROM (
    SELECT
        multiIf(grouping(minute) = 0, 'minute', grouping(source) = 0, 'source',
                grouping(page) = 0, 'page', grouping(country) = 0, 'country', '') AS part,
        multiIf(part = 'minute', toString(minute), part = 'source', toString(source),
                part = 'page', page, part = 'country', toString(country), '') AS value,
        if(part = '', uniqExactIf(visitor, visitor != 0 AND current),
           uniqExactIf(visitor, visitor != 0 AND name != 'engagement')) AS visitors,
        countIf(name = 'pageview') AS pageviews,
        countIf(name != 'engagement') AS events
    FROM (
        WITH toStartOfMinute(now('UTC')) - INTERVAL 29 MINUTE AS began
        SELECT toUnixTimestamp(toStartOfMinute(ts)) AS minute, ts > now('UTC') - {seconds:UInt32} AS current,
               source, page, country, visitor, name
        FROM events WHERE site = {site:String} AND day >= toDate(began) - 1 AND ts >= began
    )
    GROUP BY GROUPING SETS ((), (minute), (source), (page), (country))
)
ORDER BY part, visitors DESC, events DESC, value
LIMIT 1000 BY part"""


@dataclass(frozen=True, slots=True)
class Group:
    """Visitors of the last half hour of one source, page or country; `value` is empty where it is not known."""

    value: str
    visitors: int


@dataclass(frozen=True, slots=True)
class Present:
    """What can be told of a site's present. Without events, everything is zero."""

    now: int
    """Visitors of the last five minutes."""
    minutes: tuple[tuple[int, int], ...]
    """Unix second and pageviews of each of the last thirty minutes by the clock; the last is not over."""
    events: int
    """Pageviews and custom events of these."""
    sources: tuple[Group, ...]
    pages: tuple[Group, ...]
    countries: tuple[Group, ...]

    @property
    def pageviews(self) -> int:
        """Pageviews of the last half hour."""
        return sum(count for _, count in self.minutes)


def read_present(site: str, rows: Iterable[Sequence[Any]], protection: Protection) -> Present:
    """The present from the rows of the statement."""
    parts: dict[str, Groups] = {name: {} for name in ("", "minute", *PARTS)}
    moment = 0
    for part, value, visitors, pageviews, events, now in rows:
        parts[part][(value,)] = {"visitors": visitors, "pageviews": pageviews, "events": events}
        moment = now
    if protection.strict:
        parts |= {name: _protected(site, parts[name], protection, moment) for name in ("", "minute")}
    whole: Components = parts[""].get(("",), {})
    minutes = {int(value): counts["pageviews"] for (value,), counts in parts["minute"].items() if value != OTHER}
    last = moment // 60 * 60
    sources, pages, countries = (_groups(site, name, parts[name], protection, moment) for name in PARTS)
    return Present(
        now=whole.get("visitors", 0),
        minutes=tuple((start, minutes.get(start, 0)) for start in range(last - 60 * (MINUTES - 1), last + 60, 60)),
        events=whole.get("events", 0),
        sources=sources,
        pages=pages,
        countries=countries,
    )


def _groups(site: str, part: str, groups: Groups, protection: Protection, moment: int) -> tuple[Group, ...]:
    """Groups as they may be told: those of a stretch of time are protected, whether filtered or not."""
    told = groups if protection.least <= 1 else _protected(site, groups, protection, moment, PARTS[part])
    found = [Group(value, counts["visitors"]) for (value,), counts in told.items() if counts["visitors"]]
    return tuple(sorted(found, key=lambda group: (group.value == OTHER, -group.visitors, group.value))[:ROWS])


def _protected(site: str, groups: Groups, protection: Protection, moment: int, dimension: str = "") -> Groups:
    day = datetime.datetime.fromtimestamp(moment, datetime.UTC).date()
    period = Period("custom", "UTC", day, day, "minute", moment - 60 * MINUTES, moment)
    by = find_dimension(dimension or "time:minute")
    return protect(groups, Panel(site, period, None, (by,), ALWAYS), protection, lambda _: {})
