"""What installations of 1, 10 and 100 G events a month need, from measured costs and the assumptions written here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from collector.ingest.visit_recall import LIMITS, MOST_COLLECTORS, RECALLS

MONTH: Final = 30.44 * 86_400
SEGMENT_BYTES: Final = 8 << 20
"""A segment is sealed at this size, however young it is."""
WINDOW: Final = 100_000
"""Blocks that `events` remembers, on each shard."""
DELAYED_PARTS: Final = 1_000
"""Parts of a month from which on ClickHouse holds inserts up (`parts_to_delay_insert`)."""
INSERT_SECONDS, DELAY_SECONDS = 0.1, 1.0
"""A segment's insert, by the clock; and one that is held up (`max_delay_to_insert`)."""
SPOOL_BYTES: Final = 1 << 30
"""`TYST_SPOOL_MAX_BYTES` as it is unless it is set."""


@dataclass(frozen=True)
class Costs:
    """Measured costs. Processor time is of one core, in microseconds per event or milliseconds per question."""

    collector: float
    """Accepting an event, up to ClickHouse's answer."""
    insert: float
    """What ClickHouse does for an event that it is given, first merges included."""
    idle: float
    """Milliseconds a second of ClickHouse for each collector, whatever comes."""
    merge: float
    """Merging an event once."""
    close: float
    """Building the sums of its day, per event."""
    closed_page: float
    """A site's page of 30 closed days."""
    open_page: float
    """The same of the open day, per million events of that day and site."""
    shard_insert: float
    """Milliseconds that an insert costs more for each further shard that it is split between."""
    shard_page: float
    """What a site's page of 30 closed days costs more for each further shard."""
    recall: float
    """Looking once for the visits that go on, per million events of the day so far."""
    event_bytes: float
    daily_bytes: float
    """On disk, per event."""
    spool_bytes: float


@dataclass(frozen=True)
class Assumptions:
    """What nobody can measure here."""

    peak: float = 4.0
    """The busiest second, in averages of the month."""
    busy: float = 0.7
    """Share of a collector's core that the peak may take; a collector is one core."""
    spare: float = 0.125
    """Collectors beyond that, of which at least one."""
    cores: int = 16
    """Of a node of ClickHouse."""
    replicas: int = 2
    """Each of which inserts, or merges, all events of its shard."""
    writing: float = 0.25
    """Share of a node's cores that inserts and merges may take at the peak; the rest is for questions and closing."""
    shard_bytes: float = 4e12
    """Disk of a node."""
    months: int = 25
    merges: float = 4.0
    """How often an event is merged in its life: ten parts into one, from a segment to a part of tens of gigabytes."""
    closing: float = 0.5
    """Share of a node's cores that closing takes, of all shards at a time."""
    zone_share: float = 0.5
    """Events whose day ends in the same hour: those of one time zone."""


@dataclass(frozen=True)
class Size:
    """An installation, by events a month and the flush interval of its collectors."""

    month: float
    flush: float
    costs: Costs
    given: Assumptions = field(default_factory=Assumptions)

    @property
    def peak(self) -> float:
        """Events of the busiest second."""
        return self.month / MONTH * self.given.peak

    @property
    def collectors(self) -> int:
        """Those that the peak needs."""
        return max(1, math.ceil(self.peak * self.costs.collector / 1e6 / self.given.busy))

    @property
    def spare(self) -> int:
        """Collectors that may be missing at the peak."""
        return max(1, math.ceil(self.collectors * self.given.spare))

    @property
    def disk(self) -> float:
        """Bytes of one copy."""
        return self.month * self.given.months * (self.costs.event_bytes + self.costs.daily_bytes)

    @property
    def writing(self) -> float:
        """Cores that collectors, inserts and merges take at the peak, of one copy."""
        return self._written + (self.shards - 1) * self._split

    @property
    def _written(self) -> float:
        """Cores that these would take on one shard."""
        events = self.peak * (self.costs.insert + self.costs.merge * self.given.merges) / 1e6
        return events + (self.collectors + self.spare) * self.costs.idle / 1e3

    @property
    def _split(self) -> float:
        """Cores that each further shard adds, as every insert makes a part there too."""
        return self.inserts * self.costs.shard_insert / 1e3

    @property
    def shards(self) -> int:
        """By what they write and by what they hold. Raises `ValueError` where more shards would not help, as inserts
        are too many to be split."""
        each = self.given.cores * self.given.writing - self._split
        if each <= 0:
            raise ValueError(f"{self.inserts:.0f} inserts a second take all of a shard's cores that may write")
        by_cores = (self._written - self._split) / each
        return max(1, math.ceil(max(by_cores, self.disk / self.given.shard_bytes)))

    @property
    def page(self) -> float:
        """Milliseconds of processor time for a site's page of 30 closed days, of all shards together."""
        return self.costs.closed_page + (self.shards - 1) * self.costs.shard_page

    @property
    def closing(self) -> float:
        """Seconds by the clock to close a day of the largest time zone."""
        work = self.month / 30.44 * self.given.zone_share * self.costs.close / 1e6
        return work / (self.shards * self.given.cores * self.given.closing)

    @property
    def segment_seconds(self) -> float:
        """Seconds of a collector's events that are one insert at the peak."""
        each = self.peak / self.collectors * self.costs.spool_bytes
        return min(self.flush, SEGMENT_BYTES / each)

    @property
    def inserts(self) -> float:
        """Inserts a second at the peak; each makes a part on every shard."""
        return self.collectors / self.segment_seconds

    @property
    def recall(self) -> float:
        """Share of all shards' cores for half a minute, when a collector ends, to look for visits that go on; 0 where
        it is not done, or given up as one look needs more than it may."""
        others = self.collectors + self.spare - 1
        look = self.month / 30.44 * self.costs.recall / 1e9
        if others >= MOST_COLLECTORS or look > LIMITS["max_execution_time"] * LIMITS["max_threads"] * self.shards:
            return 0.0
        return len(RECALLS) * others * look / (RECALLS[-1] * self.shards * self.given.cores)


@dataclass
class Simulation:
    """A shard and the collectors before it, second by second at the peak, while ClickHouse is away for some time.

    Parts: each insert makes one on every shard; as soon as ten of a level are there and a merge is free, they become
    one of the next level, which takes the measured time for each event. What waits in the spools is inserted in
    segments that are as large as they may be, one after the other by each collector, as fast as twice the cores of
    `writing` allow; where a shard has 1,000 parts ClickHouse holds each insert up for a second.
    """

    size: Size
    outage: int = 600
    seconds: int = 3_600
    fan_in: int = 10
    merging: int = 8
    """Merges at a time: half of the cores."""
    most_parts: int = 0
    most_spool: float = 0.0
    """Bytes of one collector."""
    drained: int = 0
    """Seconds after the outage until nothing waits."""

    def run(self) -> Simulation:
        """Play it."""
        size = self.size
        rate = size.peak / size.shards
        per_segment = SEGMENT_BYTES / size.costs.spool_bytes / size.shards
        most = size.given.cores * size.given.writing * 2 / ((size.costs.insert + size.costs.merge) / 1e6)
        begins, waiting, insert = self.seconds // 4, 0.0, 0.0
        parts: dict[int, list[float]] = {}
        merges: list[tuple[float, int, float]] = []
        for second in range(self.seconds):
            waiting += rate
            if not begins <= second < begins + self.outage:
                took = DELAY_SECONDS if self._parts(parts, merges) >= DELAYED_PARTS else INSERT_SECONDS
                taken = min(waiting, max(most, rate), max(rate, size.collectors / took * per_segment))
                insert += taken / per_segment if taken > rate else size.inserts
                waiting -= taken
                for _ in range(int(insert)):
                    parts.setdefault(0, []).append(taken / max(1, int(insert)))
                insert -= int(insert)
            if second >= begins + self.outage and waiting > rate:
                self.drained = second - begins - self.outage + 1
            merges = self._merge(second, parts, merges)
            held = waiting * size.shards * size.costs.spool_bytes / size.collectors
            self.most_spool = max(self.most_spool, held)
            self.most_parts = max(self.most_parts, self._parts(parts, merges))
        return self

    def _parts(self, parts: dict[int, list[float]], merges: list[tuple[float, int, float]]) -> int:
        """Those that are there, also while they are being merged."""
        return sum(map(len, parts.values())) + self.fan_in * len(merges)

    def _merge(
        self, second: int, parts: dict[int, list[float]], merges: list[tuple[float, int, float]]
    ) -> list[tuple[float, int, float]]:
        going = []
        for ends, level, rows in merges:
            if ends <= second:
                parts.setdefault(level, []).append(rows)
            else:
                going.append((ends, level, rows))
        for level in sorted(parts):
            while len(parts[level]) >= self.fan_in and len(going) < self.merging:
                rows = sum(parts[level][: self.fan_in])
                del parts[level][: self.fan_in]
                going.append((second + rows * self.size.costs.merge / 1e6, level + 1, rows))
        return going


SIZES: Final = ((1e9, 1.0), (1e10, 1.0), (1e11, 5.0))
"""Events a month, and seconds between a collector's inserts."""


def sizes(costs: Costs) -> list[Size]:
    """The installations of the table."""
    return [Size(month, flush, costs) for month, flush in SIZES]


def table(costs: Costs) -> Iterator[tuple[str, ...]]:
    """Rows of the capacity table, the heading first."""
    each = sizes(costs)
    yield "events a month", *(f"{size.month / 1e9:,.0f} G" for size in each)
    yield "peak per second", *(f"{size.peak:,.0f}" for size in each)
    yield "collectors, one core each, and spare", *(f"{size.collectors} + {size.spare}" for size in each)
    yield "disk for 25 months, one copy", *(f"{size.disk / 1e12:,.2f} TB" for size in each)
    yield "cores that write, one copy", *(f"{size.writing:,.1f}" for size in each)
    yield "shards x 2 replicas (16 cores)", *(f"{size.shards}" for size in each)
    yield "closing a day of half the events, wall", *(f"{size.closing:,.0f} s" for size in each)
    yield "a site's page of 30 closed days, all shards", *(f"{size.page:,.0f} ms" for size in each)
    yield "flush interval", *(f"{size.flush:g} s" for size in each)


def simulated(costs: Costs) -> Iterator[tuple[str, ...]]:
    """Rows of the simulation, the heading first: an hour at the peak, ten minutes of which ClickHouse is away."""
    played = [Simulation(size).run() for size in sizes(costs)]
    yield "events a month", *(f"{each.size.month / 1e9:,.0f} G" for each in played)
    yield "inserts a second, each a part on every shard", *(f"{each.size.inserts:,.1f}" for each in played)
    yield (
        "most parts of a month on a shard (inserts are delayed at 1,000)",
        *(f"{each.most_parts:,}" for each in played),
    )
    yield "inserts are remembered for", *(f"{WINDOW / each.size.inserts / 3600:,.1f} h" for each in played)
    yield (
        "largest spool of a collector (bound by default: 1.1 GB)",
        *(f"{each.most_spool / 1e9:,.2f} GB" for each in played),
    )
    yield (
        "an outage that fills it",
        *(
            f"{SPOOL_BYTES * each.size.collectors / each.size.peak / each.size.costs.spool_bytes / 60:,.0f} min"
            for each in played
        ),
    )
    yield "what had waited is stored after", *(f"{each.drained:,} s" for each in played)
    yield (
        "cores for half a minute when a collector ends, for visits that go on",
        *(f"{each.size.recall:.0%}" if each.size.recall else "none, visits are split" for each in played),
    )
