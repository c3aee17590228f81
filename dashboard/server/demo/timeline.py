"""Timeline of the demonstration: events generated from a seed.

The timeline is a function of the plan and its anchor alone: weekdays and hours, growth, noise, a campaign. Filling
inserts a slice of it, so that a program started again adds only what has happened since, and a slice that a crash
cut short is sent again under the same tokens and stored once.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import accumulate, chain
from pathlib import Path

import msgspec

from collector.core.errors import RecordError
from collector.core.timezones import Zone
from collector.ingest.event import Event
from collector.sites.model import Site
from collector.spool.writer import Inserter
from dashboard.server.demo.profiles import (
    ARRIVALS,
    CALENDAR,
    CAMPAIGN,
    CONSENT,
    COUNTRIES,
    CURRENCIES,
    ENTRY_PAGES,
    EVIDENCE,
    WEEKDAY_DEVICES,
    WEEKEND_DEVICES,
    DemoArrival,
    WeightedChoice,
)
from dashboard.server.demo.visits import Reader, anonymous_events_of, draw_steps, events_of

DEMO_DOMAIN = "demo.localhost"
BATCH = 4_000
"""Events of one insert. With 20,000 the server keeps 15 MiB more memory."""
ASKED = "cookieconsent"
"""The evidence of visitors who answer the banner on the visit's first page."""


class DemoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How much demonstration: about `events` events over the last `days` days, drawn from `seed`."""

    events: int = 60_000
    days: int = 90
    seed: int = 1

    def site(self, now: float) -> Site:
        """The site that the demonstration is about; made at Unix second `now`."""
        return Site(
            domain=DEMO_DOMAIN,
            timezone="Europe/Stockholm",
            consent="limited",
            created=int(now),
            controller="Stilla Pottery, Visby, Sweden",
            contact="privacy@stilla.example",
            hosting="Stockholm, Sweden, run by Stilla Pottery itself",
        )


class Timeline:
    """All that happens on a demonstration site, before and after the moment it is set up (`anchor`, Unix seconds)."""

    def __init__(self, plan: DemoPlan, site: Site, anchor: int) -> None:
        self._plan = plan
        self._site = site
        self._zone = Zone(site.timezone)
        self._anchor = anchor
        self._last = self._zone.date(anchor)
        self.first = self._last - datetime.timedelta(days=plan.days - 1)
        self._visits_a_day = plan.events / (self._weights() * _events_per_visit(plan.seed))

    @property
    def begins(self) -> int:
        """Unix second of the first day's midnight."""
        return self._zone.bounds(self.first)[0]

    def between(self, since: int, until: int) -> Iterator[Event]:
        """The events from Unix second `since` until before `until`, day by day, each day in order of time."""
        day, last = self._zone.date(since), self._zone.date(until - 1)
        while day <= last:
            for event in self._day(day):
                if since <= event.ts < until:
                    yield event
            day += datetime.timedelta(days=1)

    def _weights(self) -> float:
        """The sum of all days' weights up to the anchor, the last day's only as far as it has come."""
        days = [self.first + datetime.timedelta(days=number) for number in range(self._plan.days)]
        whole = sum(self._ordinary(day) * (1 + self._campaign(day)) for day in days[:-1])
        begins, ends = self._zone.bounds(self._last)
        passed = _share_of_day(self._last, (self._anchor - begins) / (ends - begins))
        return whole + self._ordinary(self._last) * (1 + self._campaign(self._last)) * max(passed, 0.01)

    def _ordinary(self, day: datetime.date) -> float:
        """How busy a day is without a campaign; about 1."""
        grown = min(1.0, (day - self.first).days / max(1, self._plan.days - 1))
        noise = random.Random(f"{self._plan.seed} weather {day}").lognormvariate(0, 0.07)  # noqa: S311 # no secret
        days = CALENDAR.days
        return (1 + days.growth * grown) * days.weekdays[day.weekday()] * noise

    def _campaign(self, day: datetime.date) -> float:
        """Extra visits of a campaign, as a share of the ordinary ones."""
        extra = CALENDAR.campaign.extra
        number = (day - self.first).days - int(self._plan.days * CALENDAR.campaign.begins)
        return extra[number] if 0 <= number < len(extra) else 0.0

    def _agreeing(self, day: datetime.date) -> float:
        """The share of a day's visitors who agree."""
        changed = (day - self.first).days >= int(self._plan.days * CONSENT.changes)
        return CONSENT.since if changed else CONSENT.before

    def _day(self, day: datetime.date) -> list[Event]:
        random_ = random.Random(f"{self._plan.seed} {self._plan.events} {self._plan.days} {day}")  # noqa: S311
        bounds = self._zone.bounds(day)
        ordinary = self._visits_a_day * self._ordinary(day)
        events: list[Event] = []
        for arrivals, visits in ((ARRIVALS, ordinary), (CAMPAIGN, ordinary * self._campaign(day))):
            for _ in range(int(visits + random_.random())):
                events += self._person(random_, day, bounds, arrivals)
        events.sort(key=_by_time)
        return events

    def _person(
        self, random_: random.Random, day: datetime.date, bounds: tuple[int, int], arrivals: WeightedChoice[DemoArrival]
    ) -> list[Event]:
        """Everything one person does on one day, which lasts from and to the Unix seconds of `bounds`."""
        begins, ends = bounds
        reader = Reader(
            site=self._site.domain,
            day=day,
            expires=day + datetime.timedelta(days=self._site.retention_days),
            visitor=random_.getrandbits(64) or 1,
            consent=EVIDENCE.draw(random_),
            country=COUNTRIES.draw(random_),
            device=(WEEKEND_DEVICES if day.weekday() >= 5 else WEEKDAY_DEVICES).draw(random_),
        )
        agrees = random_.random() < self._agreeing(day)
        began = begins + min(
            _hours(day.weekday() >= 5).draw(random_) * 3600 + random_.randrange(3600), ends - begins - 1
        )
        events, over = _visit(random_, reader, arrivals.draw(random_), began, ends, agrees=agrees)
        if random_.random() < CALENDAR.days.second_visit:
            again = over + random_.randrange(2_400, 18_000)
            # Who has agreed is not asked again.
            known = reader._replace(consent="cookie")
            if again < ends:
                events += _visit(random_, known, DemoArrival(bounce=0.3), again, ends, agrees=agrees)[0]
        return events


def fill(
    plan: DemoPlan,
    site: Site,
    inserter: Inserter,
    directory: Path,
    now: float,
    report: Callable[[int], None] = lambda events: None,  # noqa: ARG005 # nobody needs to know
) -> int:
    """Bring the demonstration up to `now`; returns how many events were inserted. Blocking.

    What has been filled is noted in `directory`. `report` is told the number of events after each batch. Raises
    `RecordError` when the directory holds a demonstration of another plan, `InsertError` from `inserter`.
    """
    note = _read_note(directory) or Note(plan=plan, anchor=int(now))
    if note.plan != plan:
        raise RecordError(
            "demo",
            f"{directory} already holds one of {note.plan.events:,} events over {note.plan.days} days "
            f"with seed {note.plan.seed}. For another one set TYST_DATA_DIR to an empty directory.",
        )
    timeline = Timeline(plan, site, note.anchor)
    since = note.until or timeline.begins
    inserted = 0
    # First the slice that a crash may have cut short, exactly as it was begun, then what has happened since.
    for until in sorted({note.pending, int(now) + 1}):
        if until <= since:
            continue
        note = msgspec.structs.replace(note, pending=until)
        _write_note(directory, note)
        for number, batch in enumerate(_batches(timeline.between(since, until))):
            inserter.insert(batch, f"demo {plan.seed} {plan.events} {plan.days} {since} {until} {number}")
            inserted += len(batch)
            report(inserted)
        note = msgspec.structs.replace(note, until=until)
        _write_note(directory, note)
        since = until
    return inserted


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the data directory remembers of a demonstration: `until` is filled, `pending` was begun."""

    plan: DemoPlan
    anchor: int
    until: int = 0
    pending: int = 0


def _read_note(directory: Path) -> Note | None:
    path = directory / "demo.json"
    return msgspec.json.decode(path.read_bytes(), type=Note) if path.is_file() else None


def _write_note(directory: Path, note: Note) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    new = directory / "demo.json.new"
    new.write_bytes(msgspec.json.encode(note))
    new.replace(directory / "demo.json")


def _batches(events: Iterable[Event]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    for event in events:
        batch.append(event)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _visit(
    random_: random.Random, reader: Reader, arrival: DemoArrival, began: int, ends: int, *, agrees: bool
) -> tuple[list[Event], int]:
    """The events of one visit that keeps within its day, as what would come after `ends` is not done, and the Unix
    second of its last."""
    entry = arrival.landing or ENTRY_PAGES.draw(random_)
    currency = CURRENCIES.get(reader.country, CURRENCIES[""])
    steps = [step for step in draw_steps(random_, began, arrival, entry, currency) if step.ts < ends]
    over = steps[-1].ts
    if not agrees:
        return anonymous_events_of(reader, arrival, steps), over
    # Who is asked has opened a page before the answer, and nothing tells that this was the same person.
    asked = anonymous_events_of(reader, arrival, steps[:1]) if reader.consent == ASKED else []
    return [*asked, *events_of(reader, arrival, steps)], over


def _by_time(event: Event) -> int:
    return event.ts


@lru_cache
def _hours(weekend: bool) -> WeightedChoice[int]:
    return WeightedChoice({hour: float(share) for hour, share in enumerate(_shares(weekend=weekend))})


def _shares(*, weekend: bool) -> tuple[int, ...]:
    return CALENDAR.hours.weekend if weekend else CALENDAR.hours.weekday


def _share_of_day(day: datetime.date, passed: float) -> float:
    """Share of a day's visits that have begun when the share `passed` of its time has."""
    hours = _shares(weekend=day.weekday() >= 5)
    sums = list(accumulate(chain([0], hours)))
    whole, part = divmod(passed * 24, 1)
    return (sums[int(whole)] + part * hours[min(int(whole), 23)]) / sums[-1]


@lru_cache
def _events_per_visit(seed: int) -> float:
    """Mean number of events of a person's day, from a sample."""
    random_ = random.Random(seed)  # noqa: S311 # no secret
    sample = 4_000
    agreeing = CONSENT.before * CONSENT.changes + CONSENT.since * (1 - CONSENT.changes)
    asked = CONSENT.evidence[ASKED] / sum(CONSENT.evidence.values())
    total = 0.0
    for _ in range(sample):
        steps = draw_steps(random_, 0, ARRIVALS.draw(random_), ENTRY_PAGES.draw(random_))
        views = sum(step.name == "pageview" for step in steps)
        total += agreeing * (len(steps) + asked) + (1 - agreeing) * views
    return total / sample * (1 + CALENDAR.days.second_visit)
