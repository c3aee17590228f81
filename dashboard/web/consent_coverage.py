"""`/SITE/consent`: how much consent hides. Pageviews counted with consent beside those that were only counted, by day
and by page, with the share of the whole that consent covers."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from dashboard.access.users import User
from dashboard.analytics.period import Period, parse_period
from dashboard.analytics.query import Query, Result
from dashboard.i18n import formatting
from dashboard.reports.filter_params import FilterParam
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, visible_site

WITHOUT = "none"
"""The kind of evidence that a bare count carries."""
IMPORTED = "imported"
"""What stands in its place where another product counted."""

MOST_PAGES = 50
MOST_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Coverage:
    """Pageviews under one name: with consent, and without."""

    name: str
    consented: int
    bare: int
    told: bool = True
    """False where the consenting visitors are too few for the site's smallest group; then only the sum is told."""

    @property
    def day(self) -> datetime.date:
        """Its name, where that is a date."""
        return datetime.date.fromisoformat(self.name)

    @property
    def share(self) -> str:
        """The share with consent, as text; a dash where nothing was counted."""
        whole = self.consented + self.bare
        return formatting.percent(round(100 * self.consented / whole)) if whole and self.told else formatting.NOTHING


async def show_consent(dashboard: Dashboard, request: Request, user: User) -> Response:
    """The page: thirty days, day by day and page by page."""
    site = visible_site(dashboard, request, user)
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    period = parse_period("30d", site.timezone, now)
    queries = [_query(site.domain, period, *names) for name in ("time:day", "event:page") for names in _both(name)]
    all_days, split_days, all_pages, split_pages = await dashboard.stats.run(queries)
    days = {each.name[:10]: each for each in coverage(all_days, split_days)}
    shown = [days.get(day, Coverage(day, 0, 0)) for day in reversed(period.buckets("day"))]
    pages = sorted(coverage(all_pages, split_pages), key=lambda each: (-each.consented - each.bare, each.name))
    if not any(day.bare or not day.told for day in shown):
        # Without a bare count on any day there is none on any page: nothing is told by saying so.
        pages = [replace(each, told=True) for each in pages]
    return dashboard.pages.html(
        "consent.html",
        site=site,
        user=user,
        total=Coverage("", sum(each.consented for each in shown), sum(each.bare for each in shown)),
        days=shown,
        pages=pages[:MOST_PAGES],
        links={each.name: _figures_of(site.domain, each.name) for each in pages[:MOST_PAGES]},
    )


def _figures_of(domain: str, page: str) -> str:
    """The address of the figures of one page, over the same thirty days."""
    return ViewState(domain).filtered(FilterParam("is", "event:page", page)).href()


def _both(dimension: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (dimension,), (dimension, "visit:consent")


def _query(domain: str, period: Period, *dimensions: str) -> Query:
    return Query(
        site=domain,
        metrics=("pageviews",),
        period=period,
        dimensions=dimensions,
        order_by=(("pageviews", "desc"),),
        limit=MOST_ROWS,
    )


def coverage(whole: Result, split: Result) -> list[Coverage]:
    """Both lanes of each name: from its pageviews altogether, and from those by kind of evidence.

    Where any of these is folded away as a small group, the name is not split: the other one would tell it.
    """
    bare: dict[str, int] = {}
    known: dict[str, int] = {}
    imported: dict[str, int] = {}
    for row in split.rows:
        name, count = row.dimensions[0], int(row.metrics[0] or 0)
        if row.dimensions[1] == IMPORTED:
            # Under which consent another product counted, nobody knows.
            imported[name] = count
            continue
        known[name] = known.get(name, 0) + count
        if row.dimensions[1] == WITHOUT:
            bare[name] = count
    found = []
    for row in whole.rows:
        (name,), count = row.dimensions, int(row.metrics[0] or 0)
        count -= imported.get(name, 0)
        # Rounded parts add up to about the whole.
        told = known.get(name, 0) > count - max(1, 2 * split.rounded_to)
        found.append(Coverage(name, max(0, count - bare.get(name, 0)) if told else count, bare.get(name, 0), told))
    return found
