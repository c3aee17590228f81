"""What becomes of a beacon at each of its sites."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from collector.core.errors import SpoolFull, SpoolUnavailable
from collector.spool.deduplication import idempotency_key

Problem = SpoolFull | SpoolUnavailable
"""Why an event could not be stored now."""


@dataclass(slots=True)
class BeaconOutcome:
    """What becomes of a beacon at each of its sites; `settled` is called once, when that of the last is known."""

    waiting: int
    settled: Callable[[Problem | None, list[str]], None]
    dropped: list[str] = field(default_factory=list)
    """The reasons, of those sites that do not keep it."""
    error: Problem | None = None

    def settle(self, error: Problem | None) -> None:
        """One more site has its event on disk, has dropped it, or has failed."""
        self.waiting -= 1
        self.error = self.error or error
        if not self.waiting:
            self.settled(self.error, self.dropped)


def keys_of_sites(once: bytes | None, sites: tuple[str, ...]) -> Iterable[tuple[str, int]]:
    """Each site of a beacon, with the key that tells whether it has the event already; 0 without one.

    Each of several sites has a key of its own: one may have kept what another asked for again with a receipt.
    """
    if once is None:
        return [(site, 0) for site in sites]
    if len(sites) == 1:
        return [(sites[0], idempotency_key(once))]
    return [(site, idempotency_key(once + b" " + site.encode())) for site in sites]
