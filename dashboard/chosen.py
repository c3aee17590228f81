"""What an address of a site's figures asks for, understood as of now."""

from __future__ import annotations

import datetime

from starlette.requests import Request

from collector.sites import Site
from dashboard.choice import Choice, read_choice
from dashboard.context import Dashboard
from dashboard.filter_bar import without_lost_goals
from dashboard.guests import placed
from dashboard.panels import TABS
from dashboard.spans import DEFAULT_SPAN, Dates, read_dates
from dashboard.users import User


async def chosen(dashboard: Dashboard, site: Site, request: Request, user: User) -> tuple[Choice, Dates]:
    """The choice and its dates. Where these cannot be shown, both are of the default, and the dates say why."""
    choice = placed(read_choice(site.domain, request.query_params, TABS), user)
    choice = without_lost_goals(choice, site)
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    began = await dashboard.store.first_day(site.domain) if choice.span.period == "all" else None
    dates = read_dates(choice.span, site.timezone, now, began)
    return choice.to_span(DEFAULT_SPAN) if dates.problem else choice, dates
