"""Alert conditions: whether a rule's occasion is there, by the site's figures."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from collector.sites.model import Site
from dashboard.analytics.current_visitors import current_visitors
from dashboard.analytics.filters import Compare, Filter
from dashboard.analytics.period import Period, parse_moments, parse_period
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from dashboard.analytics.sql.parameters import Statement
from dashboard.notifications.alert_rules import AlertRule
from dashboard.notifications.occasion import Occasion
from dashboard.notifications.unusual import WEEKS, unusual, usual
from dashboard.reports.consent_coverage import WITH, WITHOUT
from dashboard.reports.consent_splits import total_split

DROP_HOURS: Final = 12
SETTLED_SECONDS: Final = 120
"""After so long an hour's events are stored."""
CONSENT_DAYS: Final = 28
_HOUR: Final = 3_600


class AlertConditions:
    """Evaluates rules with a member's figures: they decide, and what is told of them is protected."""

    def __init__(self, stats: StatsService) -> None:
        self._stats = stats

    async def occasion(self, rule: AlertRule, site: Site, now: float) -> Occasion | None:
        """What the rule is for, where it is so at the Unix second `now`."""
        match rule.kind:
            case "spike":
                return await self._spike(rule, site)
            case "drop":
                return await self._drop(rule, site, now)
            case "unusual":
                return await self._unusual(site, now)
            case "goal":
                return await self._goal(rule, site, now)
            case "silence":
                return await self._silence(rule, site, now)
        return await self._consent(rule, site, now)

    async def _spike(self, rule: AlertRule, site: Site) -> Occasion | None:
        visitors = await current_visitors(self._stats, site.domain, site.timezone)
        if visitors < max(rule.threshold, site.min_visitors):
            return None
        return Occasion(kind="spike", value=visitors, threshold=rule.threshold)

    async def _drop(self, rule: AlertRule, site: Site, now: float) -> Occasion | None:
        if now < rule.created + DROP_HOURS * _HOUR:
            return None
        (visitors,) = await self._visitors(site, [_stretch(now - DROP_HOURS * _HOUR, now, site)])
        return Occasion(kind="drop", threshold=rule.threshold) if visitors < rule.threshold else None

    async def _unusual(self, site: Site, now: float) -> Occasion | None:
        """The last hour that is over, beside the same hour of the weeks before by the site's clock."""
        zone = ZoneInfo(site.timezone)
        last = datetime.datetime.fromtimestamp(now - SETTLED_SECONDS, zone).replace(minute=0, second=0, microsecond=0)
        begins = [last - datetime.timedelta(hours=1, weeks=week) for week in range(WEEKS + 1)]
        began = await self._stats.first_day(site.domain)
        hours = [each for each in begins if began is not None and each.date() > began]
        if not hours:
            return None
        value, *before = await self._visitors(
            site, [_stretch(each.timestamp(), each.timestamp() + _HOUR, site) for each in hours]
        )
        found = unusual(value, before)
        if found is None:
            return None
        known = usual(before)
        return Occasion(
            kind="unusual_spike" if found == "spike" else "unusual_drop",
            value=value if value == 0 or value >= site.min_visitors else None,
            low=known.low,
            high=known.high,
            weeks=known.weeks,
            hour=hours[0].isoformat(),
        )

    async def _goal(self, rule: AlertRule, site: Site, now: float) -> Occasion | None:
        today = _day(site, now)
        if rule.fired and _day(site, rule.fired) == today:
            return None
        query = self._query(site, "events", _dates(site, today, today, now), Compare("is", "event:goal", (rule.goal,)))
        (result,) = await self._stats.run([query])
        # A group below the minimum is hidden, and nobody is told that it is there.
        reached = 0 if result.hidden or not result.rows else int(result.rows[0].metrics[0] or 0)
        if reached < rule.threshold:
            return None
        return Occasion(kind="goal", value=reached, threshold=rule.threshold, goal=rule.goal)

    async def _silence(self, rule: AlertRule, site: Site, now: float) -> Occasion | None:
        seconds = rule.threshold * _HOUR
        if now < rule.created + seconds or await self._stats.first_day(site.domain) is None:
            return None
        received = Statement(_RECEIVED, {"site": site.domain, "since": int(now - seconds)})
        ((some,),) = await self._stats.rows(received, site.domain)
        return None if some else Occasion(kind="silence", threshold=rule.threshold)

    async def _consent(self, rule: AlertRule, site: Site, now: float) -> Occasion | None:
        if site.consent == "required":
            return None
        yesterday = _day(site, now) - datetime.timedelta(days=1)
        day = _dates(site, yesterday, yesterday, now)
        before = _dates(site, yesterday - datetime.timedelta(days=CONSENT_DAYS), yesterday - datetime.timedelta(1), now)
        asked = [self._query(site, "pageviews", each, kind) for each in (day, before) for kind in (None, WITH, WITHOUT)]
        results = await self._stats.run(asked)
        share, share_before = _share(results[:3]), _share(results[3:])
        if share is None or share_before is None or share_before - share < rule.threshold:
            return None
        return Occasion(kind="consent", threshold=rule.threshold, low=share, high=share_before)

    async def _visitors(self, site: Site, periods: Sequence[Period]) -> list[int]:
        results = await self._stats.run([self._query(site, "visitors", each) for each in periods])
        return [int(result.rows[0].metrics[0] or 0) if result.rows else 0 for result in results]

    def _query(self, site: Site, metric: str, period: Period, filters: Filter | None = None) -> Query:
        return Query(site.domain, (metric,), period, (), filters, (), 1)


# Of few visitors events were received, too, where `strict` tells them as nobody.
_RECEIVED: Final = """
SELECT count() > 0 FROM events
WHERE site = {site:String} AND day >= toDate(toDateTime({since:Int64}, 'UTC')) - 1
    AND toUnixTimestamp(ts) >= {since:Int64}"""


def _share(results: Sequence[Result]) -> int | None:
    ratio = total_split(*results).ratio
    return None if ratio is None else round(100 * ratio)


def _stretch(start: float, end: float, site: Site) -> Period:
    """The whole seconds from `start` to the one before `end`."""
    first, last = (datetime.datetime.fromtimestamp(int(at), datetime.UTC) for at in (start, end - 1))
    return parse_moments(first, last, site.timezone).at_site(site.former_timezones)


def _dates(site: Site, first: datetime.date, last: datetime.date, now: float) -> Period:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    period = parse_period("custom", site.timezone, moment, first, last)
    return replace(period, bucket="day").at_site(site.former_timezones)


def _day(site: Site, now: float) -> datetime.date:
    return datetime.datetime.fromtimestamp(now, ZoneInfo(site.timezone)).date()
