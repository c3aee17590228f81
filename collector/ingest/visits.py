"""Visits (sessions): assignment of events to visits, and the counters that each event adds.

A visit ends after 30 minutes without an event, and with the site-local day, since visitor ids change daily: nothing
of one day is stored with another. Visits are tracked in memory, by visitor. Every event carries its visit's id, entry
page and attribution, and additive counters, so that sums over a visit's events need no join: `visits` +1 on the first,
`bounces` +1 on the first and -1 on the one that ends the bounce, `seconds` since the previous event. `seq` numbers the
events of a visit in order of arrival, which timestamps do not give within one second.
"""

from __future__ import annotations

import ipaddress
import sys
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from collector.ingest.event import Event

IDLE_SECONDS = 1800


class Attribution(msgspec.Struct, frozen=True, gc=False):
    """Acquisition dimensions of a visit: taken from its first event, carried by all."""

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

    @property
    def size(self) -> int:
        """Bytes of the texts in memory."""
        return sum(map(sys.getsizeof, msgspec.structs.astuple(self)))


class Visit(msgspec.Struct, gc=False):
    """An open visit (session)."""

    id: int
    """Unix second of its first event; with the visitor's id it is unique."""
    attribution: Attribution
    last: int
    """Unix second of its last event of any kind; 30 minutes later it is over."""
    counted: int
    """Unix second of its last event other than engagement."""
    entry_page: str
    bouncing: bool
    seq: int
    """Position of its last event."""
    network: int
    """Keyed hash of the visitor's network, valid within this process."""
    bytes: int = 0
    """Memory used."""


class EventInVisit(msgspec.Struct, frozen=True, gc=False):
    """An event's number within its visit, and what it adds to the visit's counters."""

    visit: int
    entry_page: str
    attribution: Attribution
    seq: int = 0
    visits: int = 0
    bounces: int = 0
    seconds: int = 0


MAX_VISITS = 500_000
MAX_BYTES = 256 << 20
"""Beyond either, the oldest visit of the network with the most visits is closed first, so that a flood of invented
visits evicts its own."""

MAX_PER_NETWORK = 5_000
"""Beyond this, a new visit of a network closes its oldest."""

# Struct, entries of three dictionaries; measured with tracemalloc.
_VISIT_BYTES = 650
# Interned attributions: most visits have one of a few.
_MOST_SHARED = 4_000


class VisitTracker:
    """Open visits of the last 30 minutes, by visitor id (which differs between sites).

    Number and memory are limited. A network is an IPv4 /24 or an IPv6 /56, represented by a keyed hash.
    """

    def __init__(
        self, *, max_visits: int = MAX_VISITS, max_bytes: int = MAX_BYTES, max_per_network: int = MAX_PER_NETWORK
    ) -> None:
        self._live: OrderedDict[int, Visit] = OrderedDict()
        self._max_visits = max_visits
        self._max_bytes = max_bytes
        self._max_per_network = max_per_network
        self._networks = _Networks()
        self._shared: dict[Attribution, Attribution] = {}
        self.bytes = 0
        """Memory used by all visits."""
        self.closed_early = 0
        """Visits closed by a limit since start."""

    def __len__(self) -> int:
        return len(self._live)

    def current(self, visitor: int, ts: int) -> Visit | None:
        """The visitor's open visit at `ts`, or None."""
        visit = self._live.get(visitor)
        return visit if visit is not None and ts - visit.last < IDLE_SECONDS else None

    def last_event(self, visitor: int) -> int:
        """Unix second of the last event of the visitor's visit, 0 without one."""
        visit = self._live.get(visitor)
        return visit.last if visit is not None else 0

    def begin(self, visitor: int, ts: int, page: str, attribution: Attribution, *, network: str = "") -> EventInVisit:
        """The first event of a visit. `page` is its cleaned path, empty when it is no pageview; `network` is that of
        the request, by `network_of`."""
        self._expire(ts)
        share = _number_of(network) if network else visitor
        self._put(visitor, Visit(ts, self._share(attribution), ts, ts, page, bouncing=True, seq=1, network=share))
        self._bound()
        return EventInVisit(ts, page, attribution, seq=1, visits=1, bounces=1)

    def extend(self, visitor: int, visit: Visit, ts: int, page: str, *, ends_bounce: bool) -> EventInVisit:
        """A further event that counts: a pageview (`page` is its path) or a custom event (`page` is empty)."""
        self._live.move_to_end(visitor)
        seconds = max(0, ts - visit.counted)
        visit.seq += 1
        visit.last = visit.counted = max(ts, visit.counted)
        if page and not visit.entry_page:
            visit.entry_page = page
            more = sys.getsizeof(page)
            visit.bytes += more
            self.bytes += more
        bounces = -1 if ends_bounce and visit.bouncing else 0
        visit.bouncing = visit.bouncing and not ends_bounce
        return EventInVisit(visit.id, visit.entry_page, visit.attribution, visit.seq, bounces=bounces, seconds=seconds)

    def record_engagement(self, visitor: int, visit: Visit, ts: int) -> EventInVisit:
        """Record an engagement event, which extends the visit and adds nothing else."""
        self._live.move_to_end(visitor)
        visit.last = max(ts, visit.last)
        visit.seq += 1
        return EventInVisit(visit.id, visit.entry_page, visit.attribution, visit.seq)

    def discard(self, visitor: int) -> None:
        """Forget the visitor's visit, as after an erasure or a failed write."""
        visit = self._live.pop(visitor, None)
        if visit is not None:
            self.bytes -= visit.bytes
            self._networks.remove(visit.network, visitor)

    def restore(self, events: Iterable[Event]) -> None:
        """Rebuild visits from stored events, in order of time, as after a restart."""
        for event in sorted(events, key=lambda event: (event.ts, event.seq)):
            # Engagement that came when no visit was open belongs to none.
            if event.visitor == 0 or event.visit == 0:
                continue
            counts = event.name != "engagement"
            visit = self._live.get(event.visitor)
            if visit is None or visit.id != event.visit:
                came = self._share(attribution_of(event))
                # The network is unknown after a restart: treat each visitor as a network.
                visit = Visit(
                    event.visit, came, event.ts, event.visit, event.entry_page, bouncing=False, seq=0,
                    network=event.visitor,
                )  # fmt: skip
                self._put(event.visitor, visit)
            visit.last = event.ts
            # Rows of earlier releases have no position: they are counted.
            visit.seq = max(visit.seq, event.seq) if event.seq else visit.seq + 1
            visit.counted = event.ts if counts else visit.counted
            visit.entry_page = event.entry_page or visit.entry_page
            visit.bouncing = event.bounces > 0 or (visit.bouncing and event.bounces == 0)
            self._live.move_to_end(event.visitor)
        self._bound()

    def take_over(self, visitor: int, visit: Visit) -> None:
        """Go on with a visit as it is stored, unless what is known here is as new."""
        own = self._live.get(visitor)
        if own is not None:
            if (own.last, own.seq) >= (visit.last, visit.seq):
                return
            visit.network = own.network
        visit.attribution = self._share(visit.attribution)
        self._put(visitor, visit)
        self._bound()

    def _put(self, visitor: int, visit: Visit) -> None:
        self.discard(visitor)
        visit.bytes = _VISIT_BYTES + sys.getsizeof(visit.entry_page)
        if visit.attribution not in self._shared:
            # Counted with the visit that brought it.
            self._shared[visit.attribution] = visit.attribution
            visit.bytes += visit.attribution.size
        self._live[visitor] = visit
        self.bytes += visit.bytes
        if self._networks.add(visit.network, visitor) > self._max_per_network:
            self._close(visit.network)

    def _share(self, attribution: Attribution) -> Attribution:
        """The interned equal attribution, if there is one."""
        if len(self._shared) >= _MOST_SHARED:
            self._shared.clear()
        return self._shared.get(attribution, attribution)

    def _bound(self) -> None:
        while len(self._live) > self._max_visits or (self.bytes > self._max_bytes and len(self._live) > 1):
            self._close(self._networks.biggest())

    def _close(self, network: int) -> None:
        self.discard(self._networks.oldest(network))
        self.closed_early += 1

    def _expire(self, ts: int) -> None:
        """Let go of what is over, oldest first, so that memory follows the visitors of half an hour."""
        while self._live:
            visitor, visit = next(iter(self._live.items()))
            if ts - visit.last < IDLE_SECONDS:
                return
            self.discard(visitor)


class _Networks:
    """Index of live visits by network: visitors in order of their visits' start, and the network with the most visits.
    Every method takes constant time."""

    def __init__(self) -> None:
        self._visitors: dict[int, dict[int, None]] = {}
        self._with: dict[int, OrderedDict[int, None]] = {}
        """Networks by how many visits they have. The first is looked for again and again: a plain dictionary would go
        through the places of all that were removed before it."""
        self._most = 0

    def add(self, network: int, visitor: int) -> int:
        """Add a visit; returns the network's number of visits."""
        visitors = self._visitors.setdefault(network, {})
        self._move(network, len(visitors), len(visitors) + 1)
        visitors[visitor] = None
        return len(visitors)

    def remove(self, network: int, visitor: int) -> None:
        """Remove an ended visit."""
        visitors = self._visitors[network]
        self._move(network, len(visitors), len(visitors) - 1)
        del visitors[visitor]
        if not visitors:
            del self._visitors[network]

    def oldest(self, network: int) -> int:
        """The visitor whose visit began first."""
        return next(iter(self._visitors[network]))

    def biggest(self) -> int:
        """A network with the most visits."""
        return next(iter(self._with[self._most]))

    def _move(self, network: int, before: int, after: int) -> None:
        if before:
            same = self._with[before]
            del same[network]
            if not same:
                del self._with[before]
        if after:
            self._with.setdefault(after, OrderedDict())[network] = None
        self._most = max(self._most, after) if self._most in self._with or after > before else after


def _number_of(network: str) -> int:
    """Keyed hash of a network: of IPv4 of its /24, of IPv6 of its /56, each /64 of which one client may have. `hash`
    has a random key in each process."""
    if ":" in network:
        network = str(int(ipaddress.IPv6Address(network.partition("/")[0])) >> 72)
    return hash(network.rpartition(".")[0] if "." in network else network)


def attribution_of(event: Event) -> Attribution:
    """The attribution that an event carries."""
    return Attribution(**{name: getattr(event, name) for name in Attribution.__struct_fields__})
