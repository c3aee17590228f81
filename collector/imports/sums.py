"""Daily sums of a file, as rows for the rollup table."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from collector.rollups.sql import EVERY_EVENT, VISIT_DIMENSIONS

TOTAL: Final = ""
"""The dimension of a day's totals."""
MADE: Final = "made"
"""The dimension of counts that totals are made of where no file has them; it is not kept."""
NO_VALUE: Final = ""
EVENT_NAME: Final = "event:name"
HOSTNAME: Final = "event:hostname"


class Sum(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """Counts of one value of a dimension on one day. Values that come several times are added up."""

    day: datetime.date
    dimension: str
    value: str
    currency: str = ""
    visitors: int = 0
    visits: int = 0
    """Visits that began; of an `event:` dimension visits with such an event."""
    pageviews: int = 0
    custom_events: int = 0
    """Events other than page views."""
    pageviews_without_visit: int = 0
    """Page views without a visit."""
    bounces: int = 0
    seconds: int = 0
    page_reads: int = 0
    engagement_ms: int = 0
    scroll_depth_sum: int = 0
    revenue: int = 0
    """Thousandths of the currency's unit."""
    revenue_events: int = 0


COLUMNS: Final = Sum.__struct_fields__
COUNTS: Final = COLUMNS[4:]

Day = dict[str, Sum]
"""Sums of all values of one day, by dimension."""

# Every visit has one of each, so that their sums are the day's; the first that a file has is taken. Devices, browsers
# and systems are part of who a visitor is: even their visitors add up.
_IN_PLACE_OF_TOTALS: Final = (
    "visit:device", "visit:browser", "visit:os", "visit:entry_page", "visit:source", "visit:exit_page", "visit:channel",
    "visit:country", MADE,
)  # fmt: skip


def by_day(rows: Iterable[Sum]) -> dict[datetime.date, Day]:
    """Sums of days by dimension, from one row each."""
    days: dict[datetime.date, Day] = defaultdict(dict)
    for row in rows:
        days[row.day][row.dimension] = row
    return days


def totals(day: datetime.date, sums: Day) -> Sum:
    """The totals of a day, where a file does not have them made of what it has."""
    if TOTAL in sums:
        told = sums[TOTAL]
        # Some totals have no page views; the pages do.
        views = told.pageviews or (sums["event:page"].pageviews if "event:page" in sums else 0)
        return msgspec.structs.replace(told, pageviews=views)
    found = next((sums[name] for name in _IN_PLACE_OF_TOTALS if name in sums), None)
    pages = sums.get("event:page")
    base = found or pages or Sum(day=day, dimension=TOTAL, value=NO_VALUE)
    pageviews = base.pageviews or next((sums[each].pageviews for each in ("event:page", MADE) if each in sums), 0)
    # Of pages the visits of all are no sum of visits: a visit has several.
    visits = 0 if base is pages else base.visits
    visitors = min(base.visitors, visits) if visits else base.visitors
    return msgspec.structs.replace(
        base,
        dimension=TOTAL,
        value=NO_VALUE,
        pageviews=pageviews,
        visits=visits,
        visitors=visitors,
        page_reads=0,
        engagement_ms=0,
        scroll_depth_sum=0,
    )


def completion(day: datetime.date, sums: Day) -> Iterator[Sum]:
    """The rows that a day lacks: its totals, its page views as an event, and in each dimension of visits what is left
    of the totals, which no value has been given to."""
    custom = sums[EVENT_NAME].custom_events if EVENT_NAME in sums else 0
    whole = totals(day, sums)
    if TOTAL not in sums:
        yield msgspec.structs.replace(whole, custom_events=custom)
    else:
        events, views = max(custom - whole.custom_events, 0), whole.pageviews - sums[TOTAL].pageviews
        if events or views:
            yield Sum(day=day, dimension=TOTAL, value=NO_VALUE, custom_events=events, pageviews=views)
    seen = Sum(
        day=day, dimension=EVENT_NAME, value="pageview",
        visitors=whole.visitors, visits=whole.visits, pageviews=whole.pageviews,
    )  # fmt: skip
    if whole.pageviews:
        yield seen
    every = max(custom, whole.custom_events)
    yield msgspec.structs.replace(seen, dimension=EVERY_EVENT, value=NO_VALUE, custom_events=every)
    if HOSTNAME not in sums:
        yield msgspec.structs.replace(seen, dimension=HOSTNAME, value=NO_VALUE, custom_events=every)
    for dimension in VISIT_DIMENSIONS:
        rest = _rest(dimension, whole, sums.get(dimension))
        if rest is not None:
            yield rest


def _rest(dimension: str, whole: Sum, told: Sum | None) -> Sum | None:
    value = "imported" if dimension == "visit:consent" else NO_VALUE
    if told is None:
        return msgspec.structs.replace(whole, dimension=dimension, value=value)
    left = {name: max(getattr(whole, name) - getattr(told, name), 0) for name in COUNTS}
    if told.pageviews == 0:
        # Older exports have no page views by dimension: those of the day belong to its values, not to the rest.
        left["pageviews"] = 0
    left |= {"visitors": min(left["visitors"], left["visits"]), "custom_events": 0}
    if not left["visits"] and not left["pageviews_without_visit"]:
        return None
    return Sum(day=whole.day, dimension=dimension, value=value, **left)
