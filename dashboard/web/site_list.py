"""The list of sites: search, order, pins, pagination, and counts of all of them from one statement."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordGone
from collector.sites.model import Site
from dashboard.access.users import User
from dashboard.analytics.small_counts import Protection
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Change
from dashboard.i18n.translations import N_, _
from dashboard.reports.svg import Sparkline, sparkline
from dashboard.web.app_context import Dashboard, read_form
from dashboard.web.site_counts import DAYS, count_visitors
from dashboard.web.site_order import natural_order

SITES_PER_PAGE: Final = 50
SITES_AT_A_GLANCE: Final = 6
MOST_COUNTED: Final = 1_000
"""Sites that are counted together, for totals and orders by counts."""
SORTS: Final = {"": N_("Name"), "today": N_("Today"), "week": N_("Last 7 days"), "change": N_("Weekly growth")}


@dataclass(frozen=True, slots=True)
class SiteCard:
    """One site in the list: visitors today, the last fifteen days as a line, and the last seven days.

    `change` compares these with as much of the seven days before, as the site's own page does.
    """

    domain: str
    href: str
    today: int
    week: int
    change: Change | None
    spark: Sparkline
    now_visitors: int
    busy: bool
    """Whether anybody came at all in these days."""
    pinned: bool
    growth: float
    """The week by the one before, to sort by; 1 is no change."""


@dataclass(frozen=True, slots=True)
class SiteTotals:
    """Visitors of all found sites together."""

    sites: int
    today: int
    week: int


@dataclass(frozen=True, slots=True)
class SortLink:
    """One order of the list."""

    title: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class SitePage:
    """A page of the list. `previous` and `next` are addresses, "" where there is no such page."""

    pinned: tuple[SiteCard, ...]
    """Sites that the user has pinned; they come first, and on the first page only."""
    cards: tuple[SiteCard, ...]
    totals: SiteTotals | None
    """None for more sites than are counted at once."""
    sorts: tuple[SortLink, ...]
    sort: str
    search: str
    first: int
    last: int
    total: int
    previous: str
    next: str

    @property
    def searchable(self) -> bool:
        """Whether there are more sites than one sees at a glance, or they have been searched."""
        return bool(self.search) or self.total > SITES_AT_A_GLANCE


async def list_sites(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/`: the sites that the user sees, those with `q` in their names, page `page` of them, in the order of `sort`."""
    if request.method == "POST":
        return await _pin(dashboard, request, user)
    search = request.query_params.get("q", "").strip().lower()
    number = _page_number(request.query_params.get("page", "1"))
    sites = [site for site in dashboard.sites.all() if user.sees(site)]
    found = sorted((site for site in sites if search in site.domain), key=lambda site: natural_order(site.domain))
    countable = len(found) <= MOST_COUNTED
    sort = request.query_params.get("sort", "") if countable else ""
    sort = sort if sort in SORTS else ""
    cards = await _cards(dashboard, found, user) if countable else []
    pinned = [card for card in cards if card.pinned]
    others = sorted((card for card in cards if not card.pinned), key=_ORDERS[sort])
    first = (number - 1) * SITES_PER_PAGE
    count = len(others) if countable else len(found)
    if first and first >= count:
        raise HTTPException(404)
    reach = slice(first, first + SITES_PER_PAGE)
    shown = others[reach] if countable else await _cards(dashboard, found[reach], user)
    page = SitePage(
        pinned=tuple(sorted(pinned, key=_ORDERS[sort])) if number == 1 else (),
        cards=tuple(shown),
        totals=_totals(cards) if countable else None,
        sorts=tuple(SortLink(_(title), _href(search, 1, name), name == sort) for name, title in SORTS.items()),
        sort=sort,
        search=search,
        first=min(first + 1, count),
        last=first + len(shown),
        total=count,
        previous=_href(search, number - 1, sort) if number > 1 else "",
        next=_href(search, number + 1, sort) if first + SITES_PER_PAGE < count else "",
    )
    return dashboard.pages.html("sites.html", page=page, empty=not sites, user=user)


async def _pin(dashboard: Dashboard, request: Request, user: User) -> Response:
    """Pin a site, or no longer; then the list again."""
    form = await read_form(request)
    site = dashboard.sites.get(form.get("site", ""))
    if site is None or not user.sees(site):
        raise HTTPException(404)
    with contextlib.suppress(RecordGone):
        await dashboard.users.update(user.name, lambda each: each.with_pin_toggled(site.id))
    sort = form.get("sort", "")
    return RedirectResponse(_href(form.get("q", ""), 1, sort if sort in SORTS else ""), 303)


async def _cards(dashboard: Dashboard, sites: Sequence[Site], user: User) -> list[SiteCard]:
    now = dashboard.clock()
    counted = await count_visitors(dashboard, sites, now) if sites else {}
    return [_card(site, counted.get(site.domain, {}), now, Protection.of(site), user) for site in sites]


def _totals(cards: Sequence[SiteCard]) -> SiteTotals:
    return SiteTotals(
        sites=len(cards),
        today=sum(card.today for card in cards),
        week=sum(card.week for card in cards),
    )


_ORDERS: Final[Mapping[str, Callable[[SiteCard], tuple[float, list[str | int]]]]] = {
    "": lambda card: (0, natural_order(card.domain)),
    "today": lambda card: (-card.today, natural_order(card.domain)),
    "week": lambda card: (-card.week, natural_order(card.domain)),
    "change": lambda card: (-card.growth, natural_order(card.domain)),
}


def _page_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:9]) >= 1 and len(text) < 7):
        raise HTTPException(404)
    return int(text)


def _href(search: str, number: int, sort: str = "") -> str:
    given = {"q": search, "sort": sort, "page": str(number) if number > 1 else ""}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"/?{query}" if query else "/"


def _card(site: Site, counted: Mapping[str, int], now: float, protection: Protection, user: User) -> SiteCard:
    today = datetime.datetime.fromtimestamp(now, ZoneInfo(site.timezone)).date()
    dates = [today - datetime.timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    days = [counted.get(str(date), 0) for date in dates]
    told = [protection.count(count) for count in days]
    week = protection.count(sum(days[-7:]))
    before = protection.count(sum(days[-14:-8]) + counted.get("until", 0))
    return SiteCard(
        domain=site.domain,
        href=f"/{site.domain}",
        today=told[-1],
        week=week,
        change=formatting.change("visitors", week, before),
        spark=sparkline(told, 240, 48),
        now_visitors=protection.count(counted.get("now", 0)),
        busy=any(told),
        pinned=site.id in user.pins,
        growth=week / before if week and before else float(bool(week)),
    )
