"""Throttling of sign-in attempts."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable


class LoginThrottle:
    """Counts failed sign-ins for a window of time, per network, and per name from one network.

    A name alone locks nobody out: else anybody could keep `admin` from signing in. A network is an IPv4 address or an
    IPv6 /64; callers pass it as such. In memory and bounded. Names and networks are kept only as hashes under a key
    that dies with the process. `clock` gives seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        per_name: int = 10,
        per_network: int = 20,
        window: float = 15 * 60,
        capacity: int = 20_000,
    ) -> None:
        self._clock = clock
        self._limits = {"name": per_name, "network": per_network}
        self._window = window
        self._capacity = capacity
        self._key = secrets.token_bytes(32)
        self._failures: OrderedDict[bytes, deque[float]] = OrderedDict()

    @property
    def held(self) -> int:
        """How many names and networks are tracked at present."""
        return len(self._failures)

    def wait(self, name: str, network: str) -> int:
        """Seconds until this name may be tried again from this network; 0 is now."""
        return max(self._wait(kind, value) for kind, value in _counted(name, network))

    def count(self, name: str, network: str) -> None:
        """Note an attempt. Done before the password is checked, so that many at once gain nothing."""
        for kind, value in _counted(name, network):
            key = self._hashed(kind, value)
            times = self._failures.setdefault(key, deque(maxlen=self._limits[kind]))
            times.append(self._clock())
            self._failures.move_to_end(key)
        while len(self._failures) > self._capacity:
            self._failures.popitem(last=False)

    def reset(self, name: str, network: str) -> None:
        """Forget the attempts under this name after a successful one, and that one of the network.

        Not all of the network: who has one account could otherwise try passwords of others without end.
        """
        under_name, of_network = _counted(name, network)
        self._failures.pop(self._hashed(*under_name), None)
        times = self._failures.get(self._hashed(*of_network))
        if times:
            times.pop()

    def refund(self, name: str, network: str) -> None:
        """Take back the last attempt: it was never tried."""
        for kind, value in _counted(name, network):
            times = self._failures.get(self._hashed(kind, value))
            if times:
                times.pop()

    def _wait(self, kind: str, value: str) -> int:
        times = self._failures.get(self._hashed(kind, value))
        if times is None or len(times) < self._limits[kind]:
            return 0
        return max(0, math.ceil(times[0] + self._window - self._clock()))

    def _hashed(self, kind: str, value: str) -> bytes:
        text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16, key=self._key).digest()


def _counted(name: str, network: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """What an attempt counts for, by kind of limit."""
    return ("name", f"{network}\0{name}"), ("network", network)
