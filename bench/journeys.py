"""What journeys cost beside one statement of top pages over the same rows: a part of `python -m bench scale`."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.measuring import Measurements, Took, measure
from bench.town import SITE, Town
from dashboard.analytics.filters import is_
from dashboard.analytics.journeys import Journey, Step
from dashboard.analytics.journeys_query import run_journey
from dashboard.analytics.metrics import VISITOR_KEY
from dashboard.analytics.period import Period
from dashboard.analytics.service import StatsService

TOP_PAGES: Final = f"""
SELECT page, uniqExact({VISITOR_KEY}) AS visitors FROM events
WHERE site = {{site:String}} AND day BETWEEN {{first:Date}} AND {{last:Date}} AND visitor != 0 AND name = 'pageview'
GROUP BY page ORDER BY visitors DESC LIMIT 10"""  # noqa: S608 - text is of our own


def measure_journeys(found: Measurements, town: Town, store: StatsService, dates: Period, times: int) -> None:
    """The statement, journeys, and the ratio of the processor's times."""
    reader = town.database.client(readonly=True, settings={"max_threads": 1})
    given = {"site": SITE, "first": dates.first, "last": dates.last}
    top = measure(lambda: reader.query(TOP_PAGES, parameters=given), times)
    found.line("30 days, top pages, one statement", top)
    asked = {
        "four columns": Journey(SITE, dates),
        "ten columns": Journey(SITE, dates, columns=10, nodes=8),
        "ten columns before a page": Journey(SITE, dates, None, "backward", Step("page", "/p0"), columns=10),
        "ten columns by section": Journey(SITE, dates, columns=10, by="section"),
        "ten columns, of visits to a page": Journey(SITE, dates, is_("event:page", "/p0"), columns=10),
    }
    for title, journey in asked.items():
        took: Took = measure(lambda journey=journey: asyncio.run(run_journey(store, journey)), times)  # type: ignore[misc] # bound at once
        found.line(f"30 days, journey, {title}", took)
        found.line(f"30 days, journey, {title}, of top pages", took.processor / max(top.processor, 0.001), "times")
    reader.close()
