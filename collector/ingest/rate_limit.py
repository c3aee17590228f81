"""Rate limit of beacons by client address."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from collector.core.rate_limits import RequestRates
from collector.sites.model import Site

MOST_ADDRESSES = 50_000
"""Addresses remembered at once; the least recent one is forgotten first."""


class RateLimit:
    """Limits by address, and by address and site where the site has a limit of its own.

    `default` is beacons a second, and as many at once; 0 is off. `clock` gives nanoseconds.
    """

    def __init__(self, default: int, clock: Callable[[], int] = monotonic_ns) -> None:
        self._default = default
        self._rates = RequestRates(seconds=1, most_keys=MOST_ADDRESSES, clock=clock)

    def wait(self, network: str, site: Site | None, cost: int = 1) -> int:
        """Seconds that the sender at `network` should wait before its next beacon; 0 lets this one pass.

        `cost` is how many beacons it counts as, at most those of a second.
        """
        if site is None or site.rate_limit is None:
            rate, key = self._default, network
        else:
            rate, key = site.rate_limit, f"{site.domain} {network}"
        return self._rates.spend(key, rate, cost).wait if rate else 0
