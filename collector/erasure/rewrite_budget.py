"""Budget for rewriting parts of the table by erasures and jobs: a leaky bucket of seconds.

A part that was rewritten stays on the disk for minutes. Whoever visits under many user agents and takes back one after
the other, or deletes one page of a site after the other, has parts with everybody's events rewritten as often: without
a budget the copies would fill the disk. So rewriting takes a twentieth of the time, beyond some seconds at once.
Erasures that wait are carried out together. Jobs have a bucket of their own: no erasure waits for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SHARE: Final = 0.05
"""Of the time."""
AT_ONCE_SECONDS: Final = 10.0
"""Of rewriting, after a while without any."""
LONGEST_WAIT: Final = 40.0
"""Seconds. What is erased has to be off the disk ten minutes later: it is for up to eight after the rewriting, and what
waits is looked for every half minute."""


class RewriteBudget:
    """A leaky bucket: rewriting fills it, and it empties with time. `monotonic` gives seconds that no setting of a
    clock changes."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.now = monotonic
        self._empty_at = 0.0
        """When the bucket is empty, by that clock."""

    @property
    def is_spent(self) -> bool:
        """Whether rewriting has to wait."""
        return self._empty_at > self.now() + AT_ONCE_SECONDS / SHARE

    def spend(self, since: float) -> None:
        """Parts were rewritten from that moment until now."""
        now = self.now()
        owed = max(self._empty_at, now) + (now - since) / SHARE
        self._empty_at = min(owed, now + AT_ONCE_SECONDS / SHARE + LONGEST_WAIT)
