"""Deduplication window: idempotency keys of the last ten minutes, in bounded memory.

A key is 64 bits of a hash of the beacon's random value. Nine thousand beacons a second leave five million keys in
ten minutes; in Python's own sets these are 400 MB. Here they lie in plain arrays, 12 bytes a key: a table with open
addressing for each few minutes.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from secrets import randbelow

ONCE_SECONDS = 600
"""A beacon sent again within this time is stored once."""

# A table takes keys for so long; so a key is remembered for ten to fifteen minutes.
_TURN_SECONDS = ONCE_SECONDS / 2
_FEWEST_SLOTS = 1 << 12
_MOST_SLOTS = 1 << 22
_FULL = 0.65


def idempotency_key(once: bytes) -> int:
    """A beacon's random value as 64 bits, never 0."""
    return int.from_bytes(blake2b(once, digest_size=8).digest(), "little") or 1


def pack(keys: Iterable[int]) -> bytes:
    """Keys as they lie on disk: eight bytes each."""
    return array("Q", keys).tobytes()


def unpack(packed: bytes) -> array[int]:
    """The keys that were packed."""
    keys = array("Q")
    keys.frombytes(packed)
    return keys


@dataclass(slots=True)
class _Table:
    """Keys by open addressing: a key's slot is its remainder, or the next free one. 0 is a free slot.

    Senders choose what is hashed. So the number of slots, somewhat below `size`, is odd and nobody's to know: keys that
    were sought out to have one slot in common have different ones.
    """

    began: float
    size: int
    used: int = 0
    slots: int = field(init=False, repr=False)
    keys: array[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.slots = self.size - 1 - 2 * randbelow(self.size // 8)
        self.keys = array("Q", [0]) * self.slots

    @property
    def full(self) -> bool:
        return self.used >= self.slots * _FULL

    def add(self, key: int) -> None:
        keys, slot = self.keys, key % self.slots
        while keys[slot]:
            slot = slot + 1 if slot + 1 < self.slots else 0
        keys[slot] = key
        self.used += 1


class DeduplicationWindow:
    """The keys of ten to fifteen minutes. `stored` are those of an earlier process, packed; `now` is Unix time.

    Any thread may ask; one thread adds.
    """

    def __init__(self, stored: Iterable[bytes] = (), now: float = 0.0) -> None:
        self._last = now
        self._tables: deque[_Table] = deque([_Table(now, _FEWEST_SLOTS)])
        for packed in stored:
            self.add(filter(None, unpack(packed)), now)

    def __contains__(self, key: int) -> bool:
        for table in tuple(self._tables):
            keys, slots = table.keys, table.slots
            slot = key % slots
            while found := keys[slot]:
                if found == key:
                    return True
                slot = slot + 1 if slot + 1 < slots else 0
        return False

    def __len__(self) -> int:
        return sum(table.used for table in tuple(self._tables))

    @property
    def bytes(self) -> int:
        """Memory used, in bytes."""
        return 8 * sum(table.slots for table in tuple(self._tables))

    def add(self, keys: Iterable[int], now: float) -> None:
        """Remember `keys`, and forget what is too old."""
        self._forget(now)
        for key in keys:
            if self._tables[-1].full:
                self._tables.append(_Table(now, min(self._tables[-1].size * 4, _MOST_SLOTS)))
            self._tables[-1].add(key)

    def _forget(self, now: float) -> None:
        if now < self._last:
            # The clock stepped back: ages go on from here, so that nothing is kept for longer.
            step = self._last - now
            for table in self._tables:
                table.began -= step
        self._last = now
        newest = self._tables[-1]
        if now - newest.began >= _TURN_SECONDS:
            self._tables.append(_Table(now, newest.size if newest.used > newest.size / 8 else _FEWEST_SLOTS))
        # The newest key of a table is at most as old as the table after it.
        while len(self._tables) > 1 and now - self._tables[1].began >= ONCE_SECONDS:
            self._tables.popleft()
