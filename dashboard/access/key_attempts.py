"""Rate limit of unknown API keys by network: each costs a lookup in the database."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from collector.core.rate_limits import AttemptLimit
from collector.enrichment.client_ip import network_of

UNKNOWN_KEYS: Final = 60
"""Unknown keys a minute from one network."""

MOST_KEYS: Final = 10_000
"""Valid keys remembered at once, as hashes; the least recently used one is forgotten first."""


def peer_network(scope: Scope) -> str:
    """The network of the connection itself."""
    client = scope.get("client")
    return network_of(client[0]) if client else ""


class KeyAttempts:
    """Limits attempts with unknown keys by network. Keys that this process has found valid are not limited.

    `network` gives the network of a request's sender, and `clock` seconds. Keys are passed as hashes.
    """

    def __init__(
        self, network: Callable[[Scope], str] = peer_network, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._network = network
        self._tried = AttemptLimit(clock, UNKNOWN_KEYS, window=60)
        self._good: OrderedDict[str, None] = OrderedDict()

    def is_good(self, key: str) -> bool:
        """Whether the key was valid when it was last looked up."""
        return key in self._good

    def begin(self, key: str, scope: Scope) -> int:
        """Count an attempt; returns the seconds until the next is allowed, or 0 if this one is."""
        if self.is_good(key):
            return 0
        network = self._network(scope)
        wait = self._tried.wait(network)
        if not wait:
            self._tried.count(network)
        return wait

    def succeed(self, key: str, scope: Scope) -> None:
        """Record that the key is valid, and refund the attempt."""
        if key not in self._good:
            self._tried.refund(self._network(scope))
        self.remember(key)

    def forget(self, key: str) -> None:
        """Record that the key is not valid any more."""
        self._good.pop(key, None)

    def remember(self, key: str) -> None:
        """Record that the key is valid."""
        self._good[key] = None
        self._good.move_to_end(key)
        if len(self._good) > MOST_KEYS:
            self._good.popitem(last=False)
