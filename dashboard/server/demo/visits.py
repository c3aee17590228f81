"""A generated visit of the demonstration: pages, reading times and actions."""

from __future__ import annotations

import datetime
import math
import random
from decimal import Decimal
from typing import NamedTuple

from collector.ingest.event import NO_DECIMAL, Event
from dashboard.server.demo.profiles import NEXT_PAGES, DemoArrival, DemoDevice, WeightedChoice

# A visit ends after this many seconds without an event, so pages are never read for longer.
LONGEST_READ = 1_500
PAGES_AT_MOST = 14

# Of those who are still there, how many leave after each page.
LEAVE = 0.27

PRICES = {
    "/demo/shop/mug-blue": "24.00",
    "/demo/shop/bowl-large": "58.00",
    "/demo/shop/teapot": "96.00",
    "/demo/shop/plate-set": "129.00",
    "/demo/shop/vase-tall": "74.50",
    "/demo/shop/mug-ash": "26.00",
    "/demo/shop/espresso-cups": "44.00",
    "/demo/shop/gift-card": "50.00",
}
SEAT = Decimal("65.00")
SEATS = WeightedChoice({1: 0.55, 2: 0.34, 3: 0.07, 4: 0.04})
PLACES = WeightedChoice({"footer": 0.62, "popup": 0.23, "journal": 0.15})
ELSEWHERE = WeightedChoice(
    {
        "https://www.instagram.com/": 0.44,
        "https://museum.example/ceramics": 0.31,
        "https://clay.example/suppliers": 0.25,
    }
)


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


def draw_steps(random_: random.Random, began: int, arrival: DemoArrival, entry: str) -> list[VisitAction]:
    """What one visit does from Unix second `began` on, in order of time."""
    steps: list[VisitAction] = []
    page, ts = entry, began
    bounced = random_.random() < arrival.bounce
    for number in range(PAGES_AT_MOST):
        steps.append(VisitAction(ts, "pageview", page))
        read = _reading_time(random_, bounced=bounced)
        steps += _engagement(random_, page, ts, read)
        if not bounced:
            steps += _actions(random_, page, ts, read)
        if bounced or (number and random_.random() < LEAVE):
            break
        page, ts = _next_page(random_, page), ts + read
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


def _by_time(step: VisitAction) -> int:
    return step.ts


def _next_page(random_: random.Random, page: str) -> str:
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


def _actions(random_: random.Random, page: str, ts: int, read: int) -> list[VisitAction]:
    """Custom events on a page: baskets and purchases, bookings, sign-ups, links out."""
    chance = random_.random()
    done = ts + max(1, read // 2)
    if page in PRICES and chance < 0.16:
        product = {"product": page.removeprefix("/demo/shop/")}
        steps = [VisitAction(done, "Add to Cart", page, props=product)]
        if chance < 0.05:
            steps.append(
                VisitAction(ts + read, "Purchase", page, props=product, revenue=Decimal(PRICES[page]), currency="EUR")
            )
        return steps
    if page.startswith("/demo/workshops") and chance < 0.035:
        seats = SEATS.draw(random_)
        props = {"workshop": page.rpartition("/")[2], "seats": str(seats)}
        return [VisitAction(done, "Booking", page, props=props, revenue=SEAT * seats, currency="EUR")]
    if chance > 0.985:
        return [VisitAction(done, "Newsletter Signup", page, props={"place": PLACES.draw(random_)})]
    if page.startswith("/demo/journal") and chance > 0.93:
        return [VisitAction(done, "Outbound Link: Click", page, props={"url": ELSEWHERE.draw(random_)})]
    return []
