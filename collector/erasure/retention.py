"""Retention: raw events are deleted when their site's retention ends, and never before their day is rolled up.

Every quarter of an hour the rows are deleted whose site-local day of expiry, their column `expires`, has come, if the
sums of their day are built; two days later they go whatever happens. A site whose retention has changed has its rows'
`expires` written anew, so that old rows follow too. The same for what else is kept for a time only: revocations, counts
of drops, the list of changes. No table has a TTL, and nothing is deleted while the clock cannot be believed.
"""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Callable, Iterator

from clickhouse_connect.driver.client import Client

from collector.core.clock_monitor import uptime
from collector.sites.registry import Sites
from collector.storage.mutations import mutate
from collector.storage.shards import Shards

log = logging.getLogger(__name__)

PASS_SECONDS = 900
"""Between two looks at the table."""

_DAY = datetime.timedelta(days=1)

_OTHERS = {
    "revoked_receipts": "day + INTERVAL 3 DAY",
    "dropped_events": "day + INTERVAL 13 MONTH",
    "trims": "day + INTERVAL 13 MONTH",
    "audit_log": "toDate(at) + INTERVAL 25 MONTH",
}
"""Retention of other tables."""

_STALE = """
SELECT site, min(expires - day) AS least, max(expires - day) AS most FROM events GROUP BY site"""
_KEPT = "transform(site, {sites:Array(String)}, {days:Array(UInt16)}, toUInt16(0))"
_RENEW = f"""
ALTER TABLE events UPDATE expires = day + {_KEPT} WHERE site IN {{sites:Array(String)}} AND expires != day + {_KEPT}"""
_EXPIRED = """
SELECT DISTINCT site, day, expires FROM events WHERE expires <= {latest:Date}"""
_CLOSED = "SELECT site, day FROM daily_status FINAL WHERE NOT reopened"
_DELETE = """
ALTER TABLE events DELETE IN PARTITION {month:UInt32}
WHERE (site, day) IN {days:Array(Tuple(String, Date))} AND expires <= {latest:Date}"""
_ANY = "SELECT 1 FROM {table:Identifier}"
_CLEAR = "ALTER TABLE {table:Identifier} DELETE"


class RetentionJob:
    """Keeps the retention of all sites. Blocking; `clock` gives Unix seconds, `since_boot` seconds that only go
    forward, `client` writes. Nothing is deleted while `may_delete` says no."""

    def __init__(
        self,
        client: Client,
        sites: Sites,
        clock: Callable[[], float],
        *,
        since_boot: Callable[[], float] = uptime,
        may_delete: Callable[[], bool] = lambda: True,
        shards: Shards | None = None,
    ) -> None:
        self._client = client
        self._shards = shards or Shards([client])
        self._sites = sites
        self._clock = clock
        self._since_boot = since_boot
        self._may_delete = may_delete
        self._next = -math.inf

    def run_due(self) -> None:
        """Delete expired data, if the next run is due."""
        if self._since_boot() >= self._next:
            self._next = self._since_boot() + PASS_SECONDS
            self.keep()

    def keep(self) -> int:
        """Apply changed retentions, then delete what is expired; returns from how many days of sites."""
        self._renew()
        if not self._may_delete():
            return 0
        self._expire_others()
        return self._expire()

    def _renew(self) -> None:
        """Rows that were stored under another retention follow the one that their site has now. Of all sites at once:
        what is rewritten has the rows of others, too."""
        changed = {}
        for domain, least, most in self._client.query(_STALE).result_rows:
            site = self._sites.get(domain)
            if site is not None and (least, most) != (site.retention_days, site.retention_days):
                changed[domain] = site.retention_days
        if changed:
            self._shards.mutate("events", _RENEW, {"sites": list(changed), "days": list(changed.values())})
        for domain, days in changed.items():
            log.info("a changed retention was applied", extra={"site": domain, "days": days})

    def _expire_others(self) -> None:
        today = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()
        for table, until in _OTHERS.items():
            over = f"{until} <= {{today:Date}}"
            parameters = {"table": table, "today": today}
            if self._client.query(f"{_ANY} WHERE {over} LIMIT 1", parameters=parameters).result_rows:
                mutate(self._client, table, f"{_CLEAR} WHERE {over}", parameters)

    def _expire(self) -> int:
        # The farthest zone is fourteen hours ahead of UTC.
        latest = datetime.datetime.fromtimestamp(self._clock() + 14 * 3600, datetime.UTC).date()
        expired = self._client.query(_EXPIRED, parameters={"latest": latest}).result_rows
        if not expired:
            return 0
        closed = {(site, day) for site, day in self._client.query(_CLOSED).result_rows}
        over = sorted({(site, day) for site, day, expires in expired if self._is_over(site, day, expires, closed)})
        for month, days in _by_month(over):
            self._shards.mutate("events", _DELETE, {"month": month, "days": days, "latest": latest})
        if over:
            log.info("expired events were deleted", extra={"days": len(over)})
        return len(over)

    def _is_over(
        self, domain: str, day: datetime.date, expires: datetime.date, closed: set[tuple[str, datetime.date]]
    ) -> bool:
        site, today = self._sites.get(domain), datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()
        if site is None:
            # A site that is no longer measured has no days to close.
            return expires + _DAY <= today
        return expires + 2 * _DAY <= today or (
            expires <= self._sites.zone(site).date(self._clock()) and (domain, day) in closed
        )


def _by_month(over: list[tuple[str, datetime.date]]) -> Iterator[tuple[int, list[tuple[str, datetime.date]]]]:
    months = sorted({day.year * 100 + day.month for _, day in over})
    for month in months:
        yield month, [(site, day) for site, day in over if day.year * 100 + day.month == month]
