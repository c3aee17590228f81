"""Throttling of sign-in attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from collector.core.rate_limits import AttemptLimit

OF_NAME: Final = 10
OF_NETWORK: Final = 20
"""Failed sign-ins in a window from one network: under one name, and in all."""
WINDOW: Final = 15 * 60
CAPACITY: Final = 10_000


class LoginThrottle:
    """Limits failed sign-ins by network, and by name and network.

    Not by name alone, as anybody could then keep `admin` from signing in. A network is an IPv4 address or an IPv6 /64;
    callers pass it as such. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._names = AttemptLimit(clock, OF_NAME, WINDOW, CAPACITY)
        self._networks = AttemptLimit(clock, OF_NETWORK, WINDOW, CAPACITY)

    def wait(self, name: str, network: str) -> int:
        """Seconds until this name may be tried again from this network; 0 is now."""
        return max(self._names.wait(_from_network(name, network)), self._networks.wait(network))

    def count(self, name: str, network: str) -> None:
        """Count an attempt, before the password is checked: else many at once would all be checked."""
        self._names.count(_from_network(name, network))
        self._networks.count(network)

    def reset(self, name: str, network: str) -> None:
        """After a successful sign-in, forget the attempts under this name and that one of the network.

        The network's others count on: else the owner of one account could try passwords of others without limit.
        """
        self._names.reset(_from_network(name, network))
        self._networks.refund(network)

    def refund(self, name: str, network: str) -> None:
        """Take back the last attempt, whose password was not checked."""
        self._names.refund(_from_network(name, network))
        self._networks.refund(network)


def _from_network(name: str, network: str) -> str:
    return f"{network}\0{name}"
