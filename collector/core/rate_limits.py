"""Limits on how often something may be done: requests at a steady rate, and attempts within a window of time."""

from __future__ import annotations

import datetime
import hashlib
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from throttled import MemoryStore, RateLimiterType, Throttled, per_duration


class RateUse(NamedTuple):
    """What a request leaves of its key's limit. Times are in seconds."""

    remaining: int
    reset: int
    """Until the whole limit is there again."""
    wait: int
    """Until the next request would pass; 0 lets this one pass."""


class RequestRates:
    """Requests of each key at a steady rate (GCRA): so many in `seconds`, and as many at once. In memory, of the
    `most_keys` last heard of."""

    def __init__(self, seconds: float, most_keys: int) -> None:
        self._per = datetime.timedelta(seconds=seconds)
        self._store = MemoryStore(options={"MAX_SIZE": most_keys})
        self._limits: dict[int, Throttled] = {}

    def spend(self, key: str, limit: int, cost: int = 1) -> RateUse:
        """Count a request of a key that may have `limit` in the time. It counts as `cost`, at most as all of these."""
        throttled = self._limits.get(limit)
        if throttled is None:
            quota = per_duration(self._per, limit, burst=limit)
            throttled = self._limits[limit] = Throttled(
                using=RateLimiterType.GCRA.value, quota=quota, store=self._store
            )
        found = throttled.limit(key, min(cost, limit))
        wait = max(1, math.ceil(found.state.retry_after)) if found.limited else 0
        return RateUse(found.state.remaining, math.ceil(found.state.reset_after), wait)


class AttemptLimit:
    """Attempts of each key, `most` of them in a `window` of seconds.

    In memory and bounded; keys are kept only as hashes under a secret that dies with the process. `clock` gives
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
