"""Limit on log lines about what may happen again and again, such as while a database does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LOG_SECONDS: Final = 60.0
"""Minimum interval between two lines."""


class LogLimit:
    """Counts occurrences, and says when a line about them is due. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unreported = 0
        self._reported = -LOG_SECONDS

    def count(self) -> int:
        """Count one. Returns how many there were since the last line, where one is due, and else 0."""
        self._unreported += 1
        now = self._clock()
        if now - self._reported < LOG_SECONDS:
            return 0
        due, self._reported, self._unreported = self._unreported, now, 0
        return due
