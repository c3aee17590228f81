"""Answers of the last moment: many readers of one page ask the same within a second."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Sequence[Any]]
MOST_ENTRIES, MOST_ROWS = 256, 2_000


class Recent:
    """Rows by statement and parameters, for `seconds`: no longer than events may take to be inserted. 0 keeps none.

    A statement names the builds of the closed days that it reads, so that a new build is another statement.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], tuple[float, Rows]] = OrderedDict()
        self._changed = -math.inf

    def get(self, sql: str, parameters: Mapping[str, Any]) -> Rows | None:
        """The rows, if they were found a moment ago."""
        with self._lock:
            found = self._held.get((sql, repr(parameters)))
        return found[1] if found is not None and self._clock() - found[0] < self._seconds else None

    def put(self, sql: str, parameters: Mapping[str, Any], asked: float, rows: Rows) -> None:
        """Keep rows that were asked for at `asked` by this clock; the oldest make room."""
        if self._seconds <= 0 or len(rows) > MOST_ROWS:
            return
        with self._lock:
            if asked <= self._changed:
                return
            self._held[sql, repr(parameters)] = (asked, rows)
            self._held.move_to_end((sql, repr(parameters)))
            while len(self._held) > MOST_ENTRIES:
                self._held.popitem(last=False)

    def forget(self) -> None:
        """Events were stored: what was found before may have changed."""
        with self._lock:
            self._held.clear()
            self._changed = self._clock()

    def now(self) -> float:
        """What its clock shows."""
        return self._clock()
