"""What funnels and journeys cost beside one statement of top pages: a part of `python -m bench scale`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from bench.measuring import Measurements, alternately
from bench.town import SITE, Town
from dashboard.analytics.filters import is_
from dashboard.analytics.funnels import ORDERS, Funnel, path_of, read_step
from dashboard.analytics.funnels_service import FunnelQuery, run_funnel
from dashboard.analytics.journeys import Journey, JourneyPath, Step
from dashboard.analytics.journeys_query import run_journey
from dashboard.analytics.metrics import VISITOR_KEY
from dashboard.analytics.period import Period
from dashboard.analytics.service import StatsService

DAYS: Final = 30
"""Dates that have all of the events."""
MOST_OF_FUNNEL: Final = 5
MOST_OF_JOURNEY: Final = 8
STEPS: Final = ("page=/p0", "page=/p1", "page=/p1*", "event=Goal 1", "page=/p2")
TOP_PAGES: Final = f"""
SELECT page, uniqExact({VISITOR_KEY}) AS visitors FROM events
WHERE site = {{site:String}} AND day BETWEEN {{first:Date}} AND {{last:Date}} AND visitor != 0 AND name = 'pageview'
GROUP BY page ORDER BY visitors DESC LIMIT 10"""  # noqa: S608 - text is of our own


def measure_paths(found: Measurements, town: Town, store: StatsService, period: Period, times: int) -> None:
    """The statement, funnels of five steps and journeys over the same rows, in turns, as multiples of its processor
    time."""
    reader = town.database.client(readonly=True, settings={"max_threads": 1})
    given = {"site": SITE, "first": period.first, "last": period.last}
    funnels = _funnels(store, period, details=False) | _funnels(store, period, details=True)
    journeys = _journeys(store, period)
    top = {"top pages, one statement": lambda: reader.query(TOP_PAGES, parameters=given)}
    took = alternately(top | funnels | journeys, times)
    reader.close()
    (pages,) = (took[title] for title in top)
    found.line(*top, pages)
    for works, most in ((funnels, MOST_OF_FUNNEL), (journeys, MOST_OF_JOURNEY)):
        for title in works:
            found.times(title, took[title], pages, most if found.millions >= 1 else math.inf)


def _funnels(store: StatsService, period: Period, *, details: bool) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {}
    for order in ORDERS:
        funnel = Funnel(name="Bench", steps=tuple(read_step(each, "steps") for each in STEPS), order=order)
        asked = FunnelQuery(SITE, path_of(funnel, ()), period, details=details)
        title = f"a funnel, {order}{', with next pages' if details else ''}"
        found[title] = lambda asked=asked: asyncio.run(run_funnel(store, asked))  # type: ignore[misc] # bound at once
    return found


def _journeys(store: StatsService, period: Period) -> dict[str, Callable[[], object]]:
    asked = {
        "four columns": Journey(SITE, period),
        "ten columns": Journey(SITE, period, columns=10, nodes=8),
        "ten columns before a page": Journey(SITE, period, None, JourneyPath("backward", Step("page", "/p0")), 10),
        "ten columns by section": Journey(SITE, period, None, JourneyPath(by="section"), 10),
        "ten columns, of visits to a page": Journey(SITE, period, is_("event:page", "/p0"), columns=10),
    }
    return {
        f"a journey, {title}": lambda each=each: asyncio.run(run_journey(store, each))  # type: ignore[misc] # bound at once
        for title, each in asked.items()
    }
