"""Visits: which events belong together, and what each adds to the sums.

A visit ends after 30 minutes without an event. It is kept in memory, by visitor; every event carries what its
visit is (id, entry page, where it came from) and additive numbers, so that sums over any events of a visit are
right without joining them: `visits` +1 on the first, `bounces` +1 on the first and -1 on the one that ends the
bounce, `seconds` since the event before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from collector.event import Event

IDLE_SECONDS = 1800


class Attribution(msgspec.Struct, frozen=True, gc=False):
    """Where a visit came from: taken from its first event, and carried by all."""

    referrer: str = ""
    source: str = ""
    channel: str = ""
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    utm_term: str = ""
    click_id: str = ""
    country: str = ""


class Visit(msgspec.Struct, gc=False):
    """A visit that goes on."""

    id: int
    """Unix second of its first event; with the visitor's id it is unique."""
    attribution: Attribution
    last: int
    """Unix second of its last event of any kind; 30 minutes later it is over."""
    counted: int
    """Unix second of its last event other than engagement."""
    entry_page: str
    bouncing: bool


class Part(msgspec.Struct, frozen=True, gc=False):
    """What one event is within its visit, and adds to it."""

    visit: int
    entry_page: str
    attribution: Attribution
    visits: int = 0
    bounces: int = 0
    seconds: int = 0


class Visits:
    """The visits of the last 30 minutes, by visitor (whose id is unrelated between sites)."""

    def __init__(self) -> None:
        self._live: OrderedDict[int, Visit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def current(self, visitor: int, ts: int) -> Visit | None:
        """The visitor's visit that goes on at `ts`, or None."""
        visit = self._live.get(visitor)
        return visit if visit is not None and ts - visit.last < IDLE_SECONDS else None

    def rename(self, before: int, after: int) -> None:
        """The visitor has a new id, as at midnight: the visit goes on under it."""
        visit = self._live.pop(before, None)
        if visit is not None:
            self._live[after] = visit

    def begin(self, visitor: int, ts: int, page: str, attribution: Attribution) -> Part:
        """The first event of a visit. `page` is its cleaned path, empty when it is no pageview."""
        self._expire(ts)
        self._live[visitor] = Visit(ts, attribution, ts, ts, page, bouncing=True)
        self._live.move_to_end(visitor)
        return Part(ts, page, attribution, visits=1, bounces=1)

    def go_on(self, visitor: int, visit: Visit, ts: int, page: str, *, ends_bounce: bool) -> Part:
        """A further event that counts: a pageview (`page` is its path) or a custom event (`page` is empty)."""
        self._live.move_to_end(visitor)
        seconds = max(0, ts - visit.counted)
        visit.last = visit.counted = max(ts, visit.counted)
        if not visit.entry_page:
            visit.entry_page = page
        bounces = -1 if ends_bounce and visit.bouncing else 0
        visit.bouncing = visit.bouncing and not ends_bounce
        return Part(visit.id, visit.entry_page, visit.attribution, bounces=bounces, seconds=seconds)

    def engage(self, visitor: int, visit: Visit, ts: int) -> Part:
        """An engagement event: it keeps the visit alive and counts for nothing else."""
        self._live.move_to_end(visitor)
        visit.last = max(ts, visit.last)
        return Part(visit.id, visit.entry_page, visit.attribution)

    def forget(self, visitor: int) -> None:
        """Drop the visitor's visit, as after an erasure or an event that could not be kept."""
        self._live.pop(visitor, None)

    def recall(self, events: Iterable[Event]) -> None:
        """Rebuild visits from stored events, in order of time, as after a restart."""
        for event in sorted(events, key=lambda event: event.ts):
            if event.visitor == 0:
                continue
            counts = event.name != "engagement"
            visit = self._live.get(event.visitor)
            if visit is None or visit.id != event.visit:
                visit = Visit(event.visit, attribution_of(event), event.ts, event.visit, "", bouncing=False)
                self._live[event.visitor] = visit
            visit.last = event.ts
            visit.counted = event.ts if counts else visit.counted
            visit.entry_page = event.entry_page or visit.entry_page
            visit.bouncing = event.bounces > 0 or (visit.bouncing and event.bounces == 0)
            self._live.move_to_end(event.visitor)

    def _expire(self, ts: int) -> None:
        """Let go of what is over, oldest first, so that memory follows the visitors of half an hour."""
        while self._live:
            visitor, visit = next(iter(self._live.items()))
            if ts - visit.last < IDLE_SECONDS:
                return
            del self._live[visitor]


def attribution_of(event: Event) -> Attribution:
    """The attribution that an event carries."""
    return Attribution(**{name: getattr(event, name) for name in Attribution.__struct_fields__})
