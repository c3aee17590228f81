"""The list of sites: search, pagination, and figures of all shown sites from one statement."""

# ruff: noqa: S608 -- text is a statement of our own; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.sites.registry import Site
from dashboard.access.users import User
from dashboard.analytics.period import parse_period
from dashboard.analytics.small_counts import Protection, protection_of
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Change
from dashboard.reports.comparison import same_length
from dashboard.reports.svg import Sparkline, sparkline
from dashboard.web.app_context import Dashboard

SITES_PER_PAGE: Final = 50
DAYS: Final = 15
"""Days of the line; the last seven are compared with the seven before."""


@dataclass(frozen=True, slots=True)
class SiteCard:
    """One site in the list: visitors today, the last fifteen days as a line, and the last seven days; None where these
    are too few to be told (`strict`).

    `change` compares these with as much of the seven days before, as the site's own page does.
    """

    domain: str
    href: str
    today: int | None
    week: int | None
    change: Change | None
    spark: Sparkline
    now_visitors: int | None
    busy: bool
    """Whether anybody came at all in these days."""


@dataclass(frozen=True, slots=True)
class SitePage:
    """A page of the list. `previous` and `next` are addresses, "" where there is no such page."""

    cards: tuple[SiteCard, ...]
    search: str
    first: int
    last: int
    total: int
    previous: str
    next: str

    @property
    def searchable(self) -> bool:
        """Whether there are more sites than one sees at once, or they have been searched."""
        return bool(self.search) or self.total > SITES_PER_PAGE


async def list_sites(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/`: the sites that the user sees, those with `q` in their names, page `page` of them."""
    search = request.query_params.get("q", "").strip().lower()
    number = _page_number(request.query_params.get("page", "1"))
    sites = [site for site in dashboard.sites.all() if user.sees(site)]
    found = [site for site in sites if search in site.domain]
    first = (number - 1) * SITES_PER_PAGE
    if first and first >= len(found):
        raise HTTPException(404)
    shown = found[first : first + SITES_PER_PAGE]
    now = dashboard.clock()
    counted = await _counted(dashboard, shown, now) if shown else {}
    protection = protection_of(dashboard.sites)
    page = SitePage(
        cards=tuple(_card(site, counted.get(site.domain, {}), now, protection(site.domain)) for site in shown),
        search=search,
        first=min(first + 1, len(found)),
        last=first + len(shown),
        total=len(found),
        previous=_href(search, number - 1) if number > 1 else "",
        next=_href(search, number + 1) if first + SITES_PER_PAGE < len(found) else "",
    )
    return dashboard.pages.html("sites.html", page=page, empty=not sites, user=user)


def _page_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:9]) >= 1 and len(text) < 7):
        raise HTTPException(404)
    return int(text)


def _href(search: str, number: int) -> str:
    given = {"q": search, "page": str(number) if number > 1 else ""}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"/?{query}" if query else "/"


async def _counted(dashboard: Dashboard, sites: Sequence[Site], now: float) -> Mapping[str, Mapping[str, int]]:
    """Visitors of each site by date, until the time of day a week ago (`until`), and in the last minutes (`now`)."""
    given = _parameters(sites, now)
    found: dict[str, dict[str, int]] = {}
    for site, part, visitors in await dashboard.stats.rows(STATEMENT, given):
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


def _card(site: Site, counted: Mapping[str, int], now: float, protection: Protection) -> SiteCard:
    today = datetime.datetime.fromtimestamp(now, ZoneInfo(site.timezone)).date()
    dates = [today - datetime.timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    days = [counted.get(str(date), 0) for date in dates]
    week = protection.visitors_told(sum(days[-7:]))
    before = protection.visitors_told(sum(days[-14:-8]) + counted.get("until", 0))
    return SiteCard(
        domain=site.domain,
        href=f"/{site.domain}",
        today=protection.visitors_told(days[-1]),
        week=week,
        change=formatting.change("visitors", week, before),
        spark=sparkline([protection.visitors_told(count) or 0 for count in days], 240, 48),
        now_visitors=protection.visitors_told(counted.get("now", 0)),
        busy=any(days),
    )


_CLOSED = """SELECT site, day, version FROM closed FINAL
        WHERE site IN {sites:Array(String)} AND day >= {first:Date} AND NOT open"""
STATEMENT: Final = f"""
SELECT site, toString(day) AS part, sum(visitors) AS visitors FROM daily
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
