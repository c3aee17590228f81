"""The last half hour of a site: current visitors, pageviews by minute, and breakdowns, in one statement.

A breakdown of a stretch of time is protected like a filtered one: small groups are folded.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboard.analytics.query import OTHER
from dashboard.analytics.small_counts import Protection

CURRENT_SECONDS: Final = 300
MINUTES: Final = 30
ROWS: Final = 9

BREAKDOWNS: Final = {"source": "visit:source", "page": "event:page", "country": "visit:country"}
_SECONDS: Final = 60 * MINUTES


CURRENT_SQL: Final = f"""
SELECT uniqExactIf(visitor, visitor != 0) FROM events
WHERE site = {{site:String}} AND day >= toDate(toDateTime({{until:Int64}} - {CURRENT_SECONDS}, 'UTC')) - 1
    AND toUnixTimestamp(ts) >= {{until:Int64}} - {CURRENT_SECONDS} AND toUnixTimestamp(ts) < {{until:Int64}}"""
"""The statement of the visitors of the five minutes before `until`."""


def current_visitors(visitors: int, protection: Protection, *, now: int, until: int) -> int | None:
    """The visitors of the last five minutes as they are told; a step of long ago is not the present."""
    if until <= now - CURRENT_SECONDS:
        return 0
    return protection.visitors_told(visitors)


def realtime_sql(min_visitors: int) -> str:
    """The statement. It reads the half hour before `until`; groups of fewer than `min_visitors` are one."""
    m = max(1, min_visitors)
    return f"""
WITH
    recent AS (
        SELECT intDiv(toUnixTimestamp(ts), 60) * 60 AS minute, source, page, country, visitor, name,
            visitor != 0 AND toUnixTimestamp(ts) >= {{until:Int64}} - {CURRENT_SECONDS} AS current
        FROM events
        WHERE site = {{site:String}} AND day >= toDate(toDateTime({{until:Int64}} - {_SECONDS}, 'UTC')) - 1
            AND toUnixTimestamp(ts) >= intDiv({{until:Int64}} - 1, 60) * 60 - {_SECONDS - 60}
            AND toUnixTimestamp(ts) < {{until:Int64}}),
    rows AS (
        SELECT each.1 AS part, each.2 AS value, visitor FROM (
            SELECT visitor, arrayJoin(
                [('source', toString(source)), ('page', toString(page)), ('country', toString(country))]) AS each
            FROM recent WHERE name != 'engagement')),
    shown AS (
        SELECT part, value FROM (
            SELECT part, value, group_size, min(group_size) OVER (PARTITION BY part) AS smallest,
                uniqExactArray(ids) OVER smaller AS visitors_before, sum(events) OVER smaller AS events_before
            FROM (
                SELECT part, value, count() AS events, uniqExactIf(visitor, visitor != 0) AS visitors,
                    if(visitors = 0, events, visitors) AS group_size,
                    groupUniqArrayIf({m:d})(visitor, visitor != 0) AS ids
                FROM rows GROUP BY part, value)
            WINDOW smaller AS (
                PARTITION BY part ORDER BY group_size, value ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))
        WHERE group_size >= {m:d}
            AND (smallest >= {m:d} OR if(visitors_before = 0, events_before, visitors_before) >= {m:d}))
SELECT '' AS part, '' AS value, uniqExactIf(visitor, current) AS visitors,
    countIf(name = 'pageview') AS pageviews, countIf(name != 'engagement') AS events
FROM recent
UNION ALL
SELECT 'minute', toString(minute), uniqExactIf(visitor, visitor != 0 AND name != 'engagement'),
    countIf(name = 'pageview'), countIf(name != 'engagement')
FROM recent GROUP BY minute
UNION ALL
SELECT part, told, visitors, 0, events FROM (
    SELECT part, if((part, value) IN (SELECT * FROM shown), value, '{OTHER}') AS told,
        uniqExactIf(visitor, visitor != 0) AS visitors, count() AS events
    FROM rows GROUP BY part, told
    HAVING if(visitors = 0, events, visitors) >= {m:d}
    ORDER BY part, told = '{OTHER}', visitors DESC, told
    LIMIT {ROWS:d} BY part)"""


@dataclass(frozen=True, slots=True)
class RealtimeGroup:
    """Visitors of the last half hour of one source, page or country; `value` is empty where it is not known."""

    value: str
    visitors: int


@dataclass(frozen=True, slots=True)
class Realtime:
    """The last half hour of a site. Without events, everything is zero."""

    current_visitors: int | None
    """Visitors of the last five minutes; None where too few to be told (`strict`)."""
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


def read_realtime(rows: Iterable[Sequence[Any]], protection: Protection, *, now: int, until: int) -> Realtime:
    """The last half hour before `until`, from the rows of the statement; `now` is a Unix second."""
    current: int | None = 0
    events, minutes = 0, dict[int, int]()
    groups: dict[str, list[RealtimeGroup]] = {name: [] for name in BREAKDOWNS}
    for part, value, visitors, pageviews, counted in rows:
        reported = protection.reported({"visitors": visitors, "pageviews": pageviews, "events": counted})
        if part == "minute":
            minutes[int(value)] = reported["pageviews"]
        elif part:
            groups[part].append(RealtimeGroup(value, reported["visitors"]))
        else:
            current = current_visitors(visitors, protection, now=now, until=until)
            events = reported["events"]
    for each in groups.values():
        each.sort(key=lambda group: (group.value == OTHER, -group.visitors, group.value))
    last = (until - 1) // 60 * 60
    return Realtime(
        current_visitors=current,
        minutes=tuple((start, minutes.get(start, 0)) for start in range(last - 60 * (MINUTES - 1), last + 60, 60)),
        events=events,
        sources=tuple(each for each in groups["source"] if each.visitors),
        pages=tuple(each for each in groups["page"] if each.visitors),
        countries=tuple(each for each in groups["country"] if each.visitors),
    )
