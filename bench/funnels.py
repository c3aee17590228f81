"""What a funnel costs beside one statement of top pages over the same rows."""

# ruff: noqa: S608 -- text is names of our own columns
from __future__ import annotations

import asyncio
import time

from bench.measuring import Measurements, Took, measure
from bench.town import SITE, Town
from dashboard.analytics.filters import FunnelOrder
from dashboard.analytics.funnels import Funnel, path_of, read_step
from dashboard.analytics.funnels_service import FunnelQuery, run_funnel
from dashboard.analytics.metrics import VISITOR_KEY
from dashboard.analytics.period import Period
from dashboard.analytics.service import StatsService

STEPS = ("page=/p0", "page=/p1", "page=/p1*", "event=Goal 1", "page=/p2")
ORDERS: tuple[FunnelOrder, ...] = ("sequential", "strict", "any")
TOP_PAGES = f"""
SELECT page, uniqExactIf({VISITOR_KEY}, visitor != 0) AS visitors FROM events
WHERE site = {{site:String}} AND day BETWEEN {{first:Date}} AND {{last:Date}} AND name != 'engagement'
GROUP BY page ORDER BY visitors DESC LIMIT 10"""


def measure_funnels(found: Measurements, town: Town, store: StatsService, period: Period, times: int) -> None:
    """Measure a funnel of five steps in each order, as multiples of the processor's time that top pages take."""
    reader = town.database.client(readonly=True, settings={"max_threads": 1})
    dates = {"site": SITE, "first": period.first, "last": period.last}
    pages = measure(lambda: reader.query(TOP_PAGES, parameters=dates), times)
    reader.close()
    found.line("30 days, one statement of top pages", pages)
    for order in ORDERS:
        if time.monotonic() > found.ends:
            return
        funnel = Funnel(name="Bench", steps=tuple(read_step(each, "steps") for each in STEPS), order=order)
        took = _took(store, FunnelQuery(SITE, path_of(funnel, ()), period, details=False), times)
        found.line(f"30 days, a funnel of five steps, {order}", took)
        found.line(f"  times top pages, {order}", took.processor / pages.processor)
    asked = FunnelQuery(SITE, path_of(funnel, ()), period)
    found.line("30 days, the same with next pages", _took(store, asked, times))


def _took(store: StatsService, asked: FunnelQuery, times: int) -> Took:
    return measure(lambda: asyncio.run(run_funnel(store, asked)), times)
