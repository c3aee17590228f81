"""Random events as the collector stores them: people with visits at any hour, and what they do in these.

Small on purpose: most groups have a handful of visitors, so that some are hidden. People come back with other sources,
look at several pages, pay in several currencies, do two things within one second, and stay past midnight (then the
next day's visit begins); some visits begin with a custom event, and some events are anonymous.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from collector.ingest.event import Event

SITE = "example.com"
ZONE = "Europe/Stockholm"
FIRST = datetime.date(2026, 10, 20)
"""The autumn change of clocks, on 25 October, is among the dates."""
PAGES = ("/", "/a", "/b", "/b/c", "/Ö")
EVENTS = ("Signup", "Download")

# Of the person, who is the same for a day; and of each visit.
_OWN: dict[str, tuple[str, ...]] = {
    "country": ("SE", "SE", "NO", "DE", ""),
    "browser": ("Firefox", "Chrome", "Chrome"),
    "browser_version": ("120", "121"),
    "os": ("Windows", "Linux", "iOS"),
    "os_version": ("", "11"),
    "device": ("desktop", "mobile", ""),
    "size": ("xs", "xl", ""),
    "consent": ("granted", "tcf"),
}
_ARRIVAL: dict[str, tuple[str, ...]] = {
    "source": ("", "Google", "Bing", "news.example"),
    "channel": ("", "Organic Search", "Referral"),
    "referrer": ("", "google.com", "news.example/a"),
    "utm_source": ("", "mail"),
    "utm_medium": ("", "", "cpc"),
    "utm_campaign": ("", "spring", "Spring", "a;b"),
    "utm_content": ("", "a"),
    "utm_term": ("", "b"),
    "click_id": ("", "(gclid)"),
}
_BEGINNINGS = ("pageview", "pageview", "pageview", "pageview", "Download")
_STEPS = ("pageview", "pageview", "pageview", *EVENTS, "engagement", "engagement")


def random_events(seed: int, days: int, visitors: int, *, zone: str = ZONE, site: str = SITE) -> list[Event]:
    """So many visitors on each of the days from `FIRST`, and a third as many anonymous events; in order of time."""
    chance = random.Random(seed)  # noqa: S311 - a made-up town
    found: list[Event] = []
    for number in range(days):
        day = FIRST + datetime.timedelta(days=number)
        for _ in range(visitors):
            own: dict[str, Any] = {name: chance.choice(values) for name, values in _OWN.items()}
            own["datacenter"] = chance.random() < 0.2
            person = _Person(chance, site, zone, chance.randrange(1, 2**64), own)
            moments = sorted(person.moment(day) for _ in range(chance.choice((1, 1, 2))))
            # Visits of one person are half an hour apart at least.
            found += [event for at in _apart(moments, 6 * 3600) for event in person.visit(at)]
        anonymous = _Person(chance, site, zone, 0, {"consent": "none", "device": chance.choice(("mobile", "desktop"))})
        found += [
            anonymous.event(anonymous.moment(day), 0, 0, "pageview", chance.choice(PAGES)) for _ in range(visitors // 3)
        ]
    return sorted(found, key=lambda event: (event.ts, event.visitor, event.seq))


def _apart(moments: list[int], seconds: int) -> list[int]:
    return [at for number, at in enumerate(moments) if not number or at - moments[number - 1] > seconds]


@dataclass
class _Person:
    chance: random.Random
    site: str
    zone: str
    visitor: int
    own: dict[str, Any]

    def moment(self, day: datetime.date) -> int:
        """Any second of the local date."""
        begins, ends = (
            int(datetime.datetime.combine(each, datetime.time(), ZoneInfo(self.zone)).timestamp())
            for each in (day, day + datetime.timedelta(days=1))
        )
        return self.chance.randrange(begins, ends)

    def visit(self, ts: int) -> Iterator[Event]:
        """One stay; a visit, or two where it lasts past midnight."""
        arrival = {name: self.chance.choice(values) for name, values in _ARRIVAL.items()}
        visitor, visit, seq, entry, bouncing, counted = self.visitor, ts, 0, "", True, ts
        day = self._day(ts)
        for step in range(self.chance.choice((1, 1, 2, 3, 5, 8))):
            ts += self.chance.choice((0, 1, self.chance.randrange(0, 1800))) if step else 0
            if self._day(ts) != day:
                day, visitor, visit, seq, bouncing = self._day(ts), self.chance.randrange(1, 2**64), ts, 0, True
                arrival = dict.fromkeys(_ARRIVAL, "")
                counted, entry = ts, ""
            name = self.chance.choice(_STEPS if seq else _BEGINNINGS)
            page = self.chance.choice(PAGES)
            # The first pageview is the entry, not a second step.
            steps_on, seq = name != "pageview" or bool(entry), seq + 1
            entry = entry or (page if name == "pageview" else "")
            changes: dict[str, Any] = {"entry_page": entry, "seq": seq}
            if seq == 1:
                changes |= {"visits": 1, "bounces": 1}
            elif name == "engagement":
                changes |= {"engaged": self.chance.randrange(0, 60_000), "scroll": self.chance.randrange(0, 101)}
            else:
                changes |= {"seconds": ts - counted, "bounces": -1 if bouncing and steps_on else 0}
                bouncing = bouncing and not steps_on
            counted = counted if name == "engagement" else ts
            yield self.event(ts, visitor, visit, name, page, **arrival, **changes, **self._paid(name))

    def event(self, ts: int, visitor: int, visit: int, name: str, page: str, **columns: Any) -> Event:
        """One row."""
        return Event(
            site=self.site, day=self._day(ts), ts=ts, visitor=visitor, visit=visit, name=name, page=page,
            hostname="example.com" if ts % 3 else "shop.example.com", expires=datetime.date(2100, 1, 1),
            **{**self.own, **columns},
        )  # fmt: skip

    def _paid(self, name: str) -> dict[str, Any]:
        if name not in EVENTS:
            return {}
        currency = self.chance.choice(("SEK", "SEK", "EUR", "")) if name == "Signup" else ""
        amount = Decimal(self.chance.randrange(1, 50_000)) / 1000 if currency else Decimal(0)
        props = self.chance.choice(({}, {"plan": "pro"}, {"plan": "free", "x": "1"}))
        return {"props": props, "currency": currency, "revenue": amount}

    def _day(self, ts: int) -> datetime.date:
        return datetime.datetime.fromtimestamp(ts, ZoneInfo(self.zone)).date()
