"""Visitors of the last minutes."""

from __future__ import annotations

from typing import Final

from dashboard.analytics.service import StatsService
from dashboard.analytics.sql.parameters import Statement

CURRENT_SECONDS: Final = 300
"""How long a visitor is a current one."""


async def current_visitors(stats: StatsService, site: str, zone: str = "UTC") -> int:
    """Visitors with an event in the last five minutes."""
    now, until = await present(stats, site, zone)
    if until <= now - CURRENT_SECONDS:
        # A step of long ago is not the present.
        return 0
    bounds = {"site": site, "since": until - CURRENT_SECONDS, "until": until}
    ((visitors,),) = await stats.rows(Statement(_CURRENT, bounds), site)
    return stats.protection(site).count(visitors)


async def present(stats: StatsService, site: str, zone: str) -> tuple[int, int]:
    """The Unix second now, and the one before which events are told: for a guest, of the latest step."""
    now, released = int(stats.clock()), await stats.released(site, zone)
    return now, released[1] if released else now + 1


_CURRENT = """
SELECT uniqExactIf(visitor, visitor != 0) FROM events
WHERE site = {site:String} AND day >= toDate(toDateTime({since:Int64}, 'UTC')) - 1
    AND toUnixTimestamp(ts) >= {since:Int64} AND toUnixTimestamp(ts) < {until:Int64}"""
