"""Rate limits: requests at a steady rate, and attempts within a window of time."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Final, NamedTuple

_SECOND: Final = 1_000_000_000


class RateUse(NamedTuple):
    """State of a key's limit after a request. Times are in seconds."""

    remaining: int
    reset: int
    """Until the whole limit is available again."""
    wait: int
    """Until the next request would pass; 0 lets this one pass."""


class RequestRates:
    """Rate limit by key: a limit of requests in `seconds`, which may also come as one burst (generic cell rate
    algorithm, ITU-T I.371, annex A).

    In memory: of the `most_keys` most recent keys, each until its whole limit is available again. `clock` gives
    nanoseconds, whose sums are exact. It is on the path of every beacon.
    """

    def __init__(self, seconds: int, most_keys: int, clock: Callable[[], int] = monotonic_ns) -> None:
        self._window = seconds * _SECOND
        self._most_keys = most_keys
        self._clock = clock
        # The time, by key, at which its whole limit is available again.
        self._restored: OrderedDict[str, int] = OrderedDict()

    @property
    def held(self) -> int:
        """How many keys are tracked at present."""
        return len(self._restored)

    def spend(self, key: str, limit: int, cost: int = 1) -> RateUse:
        """Count a request of a key as `cost` of its `limit` requests in the time, at most as all of them."""
        now = self._clock()
        while self._restored and next(iter(self._restored.values())) <= now:
            self._restored.popitem(last=False)
        each = max(1, self._window // limit)
        used, needed = max(0, self._restored.get(key, now) - now), each * min(cost, limit)
        wait = used + needed - self._window
        if wait <= 0:
            used += needed
            self._restored[key] = now + used
            self._restored.move_to_end(key)
            if len(self._restored) > self._most_keys:
                self._restored.popitem(last=False)
        return RateUse((self._window - used) // each, _whole_seconds(used), _whole_seconds(max(0, wait)))


def _whole_seconds(nanoseconds: int) -> int:
    return -(-nanoseconds // _SECOND)


class AttemptLimit:
    """Limit by key of `most` attempts in a `window` of seconds.

    In memory and bounded. Keys are stored as hashes only, keyed with a random secret of the process. `clock` gives
    seconds.
    """

    def __init__(self, clock: Callable[[], float], most: int, window: float, capacity: int = 20_000) -> None:
        self._clock = clock
        self._most = most
        self._window = window
        self._capacity = capacity
        self._secret = secrets.token_bytes(32)
        self._attempts: OrderedDict[bytes, deque[float]] = OrderedDict()

    @property
    def held(self) -> int:
        """How many keys are tracked at present."""
        return len(self._attempts)

    def wait(self, key: str) -> int:
        """Seconds until another attempt may be made; 0 is now."""
        times = self._attempts.get(self._hashed(key))
        if times is None or len(times) < self._most:
            return 0
        left = times[0] + self._window - self._clock()
        # More than the window is left where the clock was set back since.
        return math.ceil(left) if 0 < left <= self._window else 0

    def count(self, key: str) -> None:
        """Note an attempt."""
        hashed = self._hashed(key)
        self._attempts.setdefault(hashed, deque(maxlen=self._most)).append(self._clock())
        self._attempts.move_to_end(hashed)
        while len(self._attempts) > self._capacity:
            self._attempts.popitem(last=False)

    def refund(self, key: str) -> None:
        """Take back the last attempt."""
        times = self._attempts.get(self._hashed(key))
        if times:
            times.pop()

    def reset(self, key: str) -> None:
        """Forget all attempts of the key."""
        self._attempts.pop(self._hashed(key), None)

    def _hashed(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, key=self._secret).digest()
