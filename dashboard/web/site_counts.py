"""Visitors of several sites, from one statement."""

# ruff: noqa: S608 -- text is a statement of our own; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

from collector.sites.model import Site
from dashboard.analytics.period import parse_period
from dashboard.analytics.sql.parameters import Statement
from dashboard.reports.comparison import same_length
from dashboard.web.app_context import Dashboard

DAYS: Final = 15
"""Days that are counted: the last seven, the seven before, and one more for the line to begin with."""


async def count_visitors(dashboard: Dashboard, sites: Sequence[Site], now: float) -> Mapping[str, Mapping[str, int]]:
    """Visitors of each site by date, until the time of day a week ago (`until`), and in the last minutes (`now`)."""
    given = _parameters(sites, now)
    found: dict[str, dict[str, int]] = {}
    for site, part, visitors in await dashboard.stats.rows(Statement(STATEMENT, given)):
        found.setdefault(site, {})[part] = visitors
    return found


def _parameters(sites: Sequence[Site], now: float) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    weeks = [parse_period("7d", site.timezone, moment) for site in sites]
    # As much of the week before as there is of this one.
    cut = [same_length(week, week.previous(), now) for week in weeks]
    todays = [week.last for week in weeks]
    return {
        "sites": [site.domain for site in sites],
        "first": min(todays) - datetime.timedelta(days=DAYS - 1),
        "cut_days": [each.last for each in cut],
        "cuts": [each.bounds()[1] for each in cut],
        "now": int(now),
    }


_CLOSED = """SELECT site, day, version FROM daily_status FINAL
        WHERE site IN {sites:Array(String)} AND day >= {first:Date} AND NOT reopened"""
STATEMENT: Final = f"""
SELECT site, toString(day) AS part, sum(visitors) AS visitors FROM daily_rollup
WHERE site IN {{sites:Array(String)}} AND dimension = '' AND day >= {{first:Date}}
    AND (site, day, version) IN ({_CLOSED})
GROUP BY site, day
UNION ALL
SELECT site, toString(day), uniqExactIf(visitor, visitor != 0) FROM events
WHERE site IN {{sites:Array(String)}} AND day >= {{first:Date}} AND name != 'engagement'
    AND (site, day) NOT IN (SELECT site, day FROM ({_CLOSED}))
GROUP BY site, day
UNION ALL
SELECT site, 'until', uniqExactIf(visitor, visitor != 0) FROM events
WHERE site IN {{sites:Array(String)}} AND name != 'engagement'
    AND (site, day) IN (SELECT arrayJoin(arrayZip({{sites:Array(String)}}, {{cut_days:Array(Date)}})))
    AND toUnixTimestamp(ts) < transform(toString(site), {{sites:Array(String)}}, {{cuts:Array(UInt32)}}, toUInt32(0))
GROUP BY site
UNION ALL
SELECT site, 'now', uniqExactIf(visitor, visitor != 0) FROM events
WHERE site IN {{sites:Array(String)}} AND day >= toDate(toDateTime({{now:UInt32}}, 'UTC')) - 1
    AND toUnixTimestamp(ts) > {{now:UInt32}} - 300
GROUP BY site"""
"""Visitors of several sites: by date, of closed days from the rollup table; until a moment of one date; and now."""
