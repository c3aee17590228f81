"""View state of a request, resolved at the present time."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from collector.sites.model import Site
from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.analytics.filters import MOST_LEAVES
from dashboard.reports.date_range import DEFAULT_SPAN, DateRange, read_dates
from dashboard.reports.filter_bar import without_lost_funnels, without_lost_goals
from dashboard.reports.filter_params import MAX_CHIPS, grouped, read_filter
from dashboard.reports.panels import TABS
from dashboard.reports.view_state import ViewState, read_choice, with_base_url
from dashboard.web.app_context import Dashboard


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """Filters that one address may have: how many, of how many dimensions and operators, and how long. Every link of a
    page repeats all of them, so that a page grows with their square."""

    chips: int
    groups: int
    characters: int


MEMBER_LIMITS: Final = FilterLimits(MAX_CHIPS, MOST_LEAVES, 16_384)
GUEST_LIMITS: Final = FilterLimits(50, 10, 2_500)


async def view_state_of(dashboard: Dashboard, site: Site, request: Request, user: User) -> tuple[ViewState, DateRange]:
    """The choice and its dates. Where these cannot be shown, both are of the default, and the dates say why.

    A filter that cannot be applied is an error (400): figures without it would be those of another view.
    """
    filters = request.query_params.getlist("f")
    limits = GUEST_LIMITS if is_guest(user) else MEMBER_LIMITS
    if len(filters) > limits.chips or sum(map(len, filters)) > limits.characters:
        raise HTTPException(400)
    chips = [chip for chip in map(read_filter, filters) if chip]
    if len(chips) < len(filters) or len(grouped(chips)) > limits.groups:
        raise HTTPException(400)
    choice = with_base_url(read_choice(site.domain, request.query_params, TABS), user)
    choice = without_lost_funnels(without_lost_goals(choice, site), site, dashboard.funnels.named(site))
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    began = await dashboard.stats.first_day(site.domain) if choice.span.period == "all" else None
    dates = read_dates(choice.span, site.timezone, now, began).at_site(site.former_timezones)
    return choice.to_span(DEFAULT_SPAN) if dates.problem else choice, dates
