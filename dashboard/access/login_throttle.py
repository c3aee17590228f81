"""Throttling of sign-in attempts."""

from __future__ import annotations

from collections.abc import Callable

from collector.core.rate_limits import AttemptLimit


class LoginThrottle:
    """Counts failed sign-ins for a window of time, per network, and per name from one network.

    A name alone locks nobody out: else anybody could keep `admin` from signing in. A network is an IPv4 address or an
    IPv6 /64; callers pass it as such. `clock` gives seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        per_name: int = 10,
        per_network: int = 20,
        window: float = 15 * 60,
        capacity: int = 10_000,
    ) -> None:
        self._names = AttemptLimit(clock, per_name, window, capacity)
        self._networks = AttemptLimit(clock, per_network, window, capacity)

    def wait(self, name: str, network: str) -> int:
        """Seconds until this name may be tried again from this network; 0 is now."""
        return max(self._names.wait(_from_network(name, network)), self._networks.wait(network))

    def count(self, name: str, network: str) -> None:
        """Note an attempt. Done before the password is checked, so that many at once gain nothing."""
        self._names.count(_from_network(name, network))
        self._networks.count(network)

    def reset(self, name: str, network: str) -> None:
        """Forget the attempts under this name after a successful one, and that one of the network.

        Not all of the network: who has one account could otherwise try passwords of others without end.
        """
        self._names.reset(_from_network(name, network))
        self._networks.refund(network)

    def refund(self, name: str, network: str) -> None:
        """Take back the last attempt: it was never tried."""
        self._names.refund(_from_network(name, network))
        self._networks.refund(network)


def _from_network(name: str, network: str) -> str:
    return f"{network}\0{name}"
