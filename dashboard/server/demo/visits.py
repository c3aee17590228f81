"""A generated visit of the demonstration: pages, reading times and actions."""

from __future__ import annotations

import datetime
import math
import random
from decimal import Decimal
from typing import NamedTuple

from collector.ingest.event import NO_DECIMAL, Event
from dashboard.server.demo.profiles import (
    NEXT_PAGES,
    PRODUCTS,
    WEBSITE,
    DemoArrival,
    DemoDevice,
    WeightedChoice,
)

# A visit ends after this many seconds without an event, so pages are never read for longer.
LONGEST_READ = 1_500
PAGES_AT_MOST = 14

# Of those who are still there, how many leave after each page.
LEAVE = 0.27

SEATS = WeightedChoice(WEBSITE.workshops.seats)
PLACES = WeightedChoice(WEBSITE.newsletter.places)
ELSEWHERE = WeightedChoice(WEBSITE.journal.links)


class Reader(NamedTuple):
    """Who visits: the columns that all events of one person's day share."""

    site: str
    day: datetime.date
    expires: datetime.date
    visitor: int
    consent: str
    country: str
    device: DemoDevice


class VisitAction(NamedTuple):
    """One thing done in a visit, before the visit's own columns are known."""

    ts: int
    name: str
    page: str
    engaged: int = 0
    scroll: int = 0
    props: dict[str, str] = {}  # noqa: RUF012 # never changed; as in Event
    revenue: Decimal = NO_DECIMAL
    currency: str = ""


def draw_steps(
    random_: random.Random, began: int, arrival: DemoArrival, entry: str, currency: str = "EUR"
) -> list[VisitAction]:
    """What one visit, which pays in `currency`, does from Unix second `began` on, in order of time."""
    steps: list[VisitAction] = []
    page, ts, product = entry, began, ""
    bounced = random_.random() < arrival.bounce
    for number in range(PAGES_AT_MOST):
        steps.append(VisitAction(ts, "pageview", page))
        read = _reading_time(random_, bounced=bounced)
        steps += _engagement(random_, page, ts, read)
        if bounced:
            break
        actions = _actions(random_, page, ts, read, currency)
        product = page if any(each.name == "Add to Cart" for each in actions) else product
        steps += actions
        if page == WEBSITE.till.steps[-1]:
            steps.append(_purchase(ts + 1, page, product, currency))
        following = _next_page(random_, page, product, first=not number)
        on_the_way = following in WEBSITE.till.steps
        if number and not on_the_way and random_.random() < LEAVE:
            break
        page, ts = following, ts + read
    steps.sort(key=_by_time)
    return steps


def events_of(reader: Reader, arrival: DemoArrival, steps: list[VisitAction]) -> list[Event]:
    """The events of one visit, with its additive columns: sums over any of them count visits, bounces, seconds."""
    began = steps[0].ts
    shared = {**reader._asdict(), **reader.device._asdict(), **arrival._asdict()}
    for name in ("bounce", "landing"):
        del shared[name]
    shared.update(hostname=reader.site, visit=began, entry_page=steps[0].page)
    events = []
    previous, bounces = began, 1
    for number, (ts, name, page, engaged, scroll, props, revenue, currency) in enumerate(steps):
        counts = name != "engagement"
        # The first event makes a bounce, the next one that counts ends it.
        bounce = 1 if number == 0 else -1 if counts and bounces else 0
        bounces += bounce if number else 0
        seconds = ts - previous if counts else 0
        previous += seconds
        events.append(
            Event(
                **shared,
                ts=ts,
                name=name,
                page=page,
                visits=int(number == 0),
                bounces=bounce,
                seconds=seconds,
                engaged=engaged,
                scroll=scroll,
                props=props,
                revenue=revenue,
                currency=currency,
                seq=number + 1,
            )
        )
    return events


def anonymous_events_of(reader: Reader, arrival: DemoArrival, steps: list[VisitAction]) -> list[Event]:
    """What is counted of a visit without consent: page, minute, referring host and device type of each pageview."""
    host = arrival.referrer.partition("/")[0]
    return [
        Event(
            site=reader.site,
            day=reader.day,
            ts=step.ts // 60 * 60,
            visitor=0,
            visit=0,
            name="pageview",
            consent="none",
            hostname=reader.site,
            page=step.page,
            referrer="" if number else host,
            device=reader.device.device,
            expires=reader.expires,
        )
        for number, step in enumerate(step for step in steps if step.name == "pageview")
    ]


def _by_time(step: VisitAction) -> int:
    return step.ts


def _next_page(random_: random.Random, page: str, product: str, *, first: bool) -> str:
    """Where a visitor goes from a page: on the way to the till, or anywhere else."""
    till, chance = WEBSITE.till, random_.random()
    place = till.steps.index(page) + 1 if page in till.steps else 0
    if product and (page == product or place) and place < len(till.steps) and chance < till.onwards[place]:
        return till.steps[place]
    if (first or page == till.shop) and page not in WEBSITE.prices and chance < till.to_product:
        return PRODUCTS.draw(random_)
    while (following := NEXT_PAGES.draw(random_)) == page:
        pass
    return following


def _reading_time(random_: random.Random, *, bounced: bool) -> int:
    """Seconds on one page: most read for half a minute, some for long."""
    middle = 14 if bounced else 42
    return min(LONGEST_READ, 2 + int(middle * math.exp(random_.gauss(0, 1))))


def _engagement(random_: random.Random, page: str, ts: int, read: int) -> list[VisitAction]:
    """What the snippet sends when a page that was read for three seconds or more is left."""
    if read < 3 or random_.random() < 0.2:
        return []
    engaged = int(read * 1000 * random_.uniform(0.45, 0.98))
    scroll = 5 + int(95 * random_.random() ** 0.6)
    return [VisitAction(ts + read, "engagement", page, engaged, scroll)]


def _actions(random_: random.Random, page: str, ts: int, read: int, currency: str) -> list[VisitAction]:
    """Custom events on a page: baskets, bookings, sign-ups, links out."""
    chance = random_.random()
    done = ts + max(1, read // 2)
    if page in WEBSITE.prices and chance < WEBSITE.till.to_basket:
        return [VisitAction(done, "Add to Cart", page, props=_product(page))]
    workshops, journal = WEBSITE.workshops, WEBSITE.journal
    if page.startswith(workshops.below) and chance < workshops.booked:
        seats = SEATS.draw(random_)
        props = {"workshop": page.rpartition("/")[2], "seats": seats}
        paid = workshops.price[currency] * int(seats)
        return [VisitAction(done, "Booking", page, props=props, revenue=paid, currency=currency)]
    if chance > 1 - WEBSITE.newsletter.signed_up:
        return [VisitAction(done, "Newsletter Signup", page, props={"place": PLACES.draw(random_)})]
    if page.startswith(journal.below) and chance > 1 - journal.followed:
        return [VisitAction(done, "Outbound Link: Click", page, props={"url": ELSEWHERE.draw(random_)})]
    return []


def _purchase(ts: int, page: str, product: str, currency: str) -> VisitAction:
    price = WEBSITE.prices[product][currency]
    return VisitAction(ts, "Purchase", page, props=_product(product), revenue=price, currency=currency)


def _product(page: str) -> dict[str, str]:
    return {"product": page.rpartition("/")[2]}
