"""Rate limit of beacons by client address, in bounded memory."""

from __future__ import annotations

import math

from throttled import MemoryStore, RateLimiterType, Throttled, per_sec

from collector.sites.model import Site

MOST_ADDRESSES = 50_000
"""Addresses remembered at once; the one not heard of for longest is forgotten first."""


class RateLimit:
    """Limits by address, and by address and site where the site has a limit of its own.

    `default` is beacons a second, and as many at once; 0 is off.
    """

    def __init__(self, default: int) -> None:
        self._default = default
        self._store = MemoryStore(options={"MAX_SIZE": MOST_ADDRESSES})
        self._limits: dict[int, Throttled] = {}

    def wait(self, network: str, site: Site | None, cost: int = 1) -> int:
        """Seconds that the sender at `network` should wait before its next beacon; 0 lets this one pass.

        `cost` is how many beacons it counts as, at most those of a second.
        """
        if site is None or site.rate_limit is None:
            return self._wait(self._default, network, cost)
        return self._wait(site.rate_limit, f"{site.domain} {network}", cost)

    def _wait(self, rate: int, key: str, cost: int) -> int:
        if rate == 0:
            return 0
        limit = self._limits.get(rate)
        if limit is None:
            limit = self._limits[rate] = Throttled(
                using=RateLimiterType.GCRA.value, quota=per_sec(rate, burst=rate), store=self._store
            )
        found = limit.limit(key, min(cost, rate))
        return max(1, math.ceil(found.state.retry_after)) if found.limited else 0
