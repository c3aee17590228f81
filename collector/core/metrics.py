"""Counters of the collector: plain integers on the hot path, exposed as Prometheus text.

Nothing here knows an address or a user agent; a drop is counted by a site's own id, as another may get its name, and by
a reason from a closed set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Reason = Literal[
    "consent", "gpc", "dnt", "bot", "prefetch", "unknown_site", "excluded", "spam_referrer", "datacenter", "rate"
]
REASONS: tuple[Reason, ...] = get_args(Reason)

TrimmedKey = Literal["n", "u", "d", "r", "p", "$", "e", "sd", "h", "i", "z", "w", "c", "k", "q"]
TRIMMED_KEYS: tuple[TrimmedKey, ...] = get_args(TrimmedKey)
"""Keys of a beacon whose values may be truncated or left out."""

DropCounts = Counter[tuple[str, Reason, str]]
"""How many, by id of the site, reason and kind of bot."""

TrimCounts = Counter[tuple[str, TrimmedKey]]
"""How many, by id of the site and by the key of the part that was cut or left out."""

Gauges = Callable[[], dict[str, tuple[str, float]]]
"""Gauges read at each scrape: name to (help, value)."""


class Counters:
    """Counts since the process started."""

    def __init__(self) -> None:
        self._accepted: Counter[str] = Counter()
        self._dropped = DropCounts()
        self._trimmed = TrimCounts()
        self._faults: Counter[str] = Counter()
        self._gauges: list[Gauges] = []
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.insert_seconds = Histogram(
            "tyst_insert_seconds",
            "Time that ClickHouse took for one segment.",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.queue_seconds = Histogram(
            "tyst_queue_seconds",
            "Time from the first event of a segment to its being in ClickHouse.",
            registry=self.registry,
            buckets=(0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600),
        )

    def accept(self, site: str) -> None:
        """Count a stored event of the site of that id."""
        self._accepted[site] += 1

    def drop(self, site: str, reason: Reason, kind: str = "") -> None:
        """Count a dropped event of the site of that id; `kind` is the kind of bot. Unknown sites have none."""
        self._dropped[site, reason, kind] += 1

    def trim(self, site: str, key: TrimmedKey) -> None:
        """Count a truncated or omitted part of a stored event of the site of that id."""
        self._trimmed[site, key] += 1

    def fault(self, kind: str) -> None:
        """One request or insert went wrong: `invalid`, `too_large`, `spool_full`, `insert_retryable`, …"""
        self._faults[kind] += 1

    def accepted(self, site: str) -> int:
        """Number of stored events of the site of that id since start."""
        return self._accepted[site]

    def drops(self, site: str) -> dict[str, int]:
        """Numbers of dropped events of the site of that id since start, by reason."""
        counts: Counter[str] = Counter()
        for (name, reason, _), count in self.dropped().items():
            if name == site:
                counts[reason] += count
        return {reason: counts[reason] for reason in REASONS if counts[reason]}

    def bots(self, site: str) -> dict[str, int]:
        """Events of the site of that id that were dropped as a bot's since start, by kind of bot."""
        return {kind: count for (name, _, kind), count in self.dropped().items() if name == site and kind}

    def dropped(self) -> DropCounts:
        """Numbers of dropped events of all sites since start; a copy."""
        return self._dropped.copy()

    def trimmed(self) -> TrimCounts:
        """Numbers of truncated or omitted parts of stored events since start, of all sites; a copy."""
        return self._trimmed.copy()

    def watch(self, gauges: Gauges) -> None:
        """Also show these gauges."""
        self._gauges.append(gauges)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at each scrape."""
        accepted = CounterMetricFamily("tyst_accepted", "Events kept since start.")
        accepted.add_metric([], sum(self._accepted.values()))
        yield accepted
        dropped = CounterMetricFamily("tyst_dropped", "Events not kept since start, by reason.", labels=["reason"])
        for reason in REASONS:
            dropped.add_metric([reason], sum(n for (_, named, _), n in self._dropped.items() if named == reason))
        yield dropped
        trimmed = CounterMetricFamily(
            "tyst_trimmed", "Parts of kept events that were cut or left out since start, by key.", labels=["key"]
        )
        for key in TRIMMED_KEYS:
            trimmed.add_metric([key], sum(n for (_, named), n in self._trimmed.items() if named == key))
        yield trimmed
        faults = CounterMetricFamily("tyst_faults", "Requests and inserts that went wrong, by kind.", labels=["kind"])
        for kind, count in sorted(self._faults.items()):
            faults.add_metric([kind], count)
        yield faults
        for gauges in self._gauges:
            for name, (help_, value) in gauges().items():
                yield GaugeMetricFamily(name, help_, value)
