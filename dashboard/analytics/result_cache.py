"""Cache of results for a few seconds, with a single flight: concurrent readers of one page share its statements."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

Rows = Sequence[Sequence[Any]]
MAX_ENTRIES, MAX_ROWS, MAX_CHARACTERS = 256, 2_000, 250_000
"""Results that are kept, and the rows and characters of one of them: a value may have thousands."""
IMMUTABLE_SECONDS = 300
"""For how long results that no new event changes are shared, unless sharing is off."""


@dataclass(slots=True)
class Flight:
    """One execution of a statement, and how many wait for it. `cancel` ends it."""

    future: Future[Rows]
    started: float
    cancel: Callable[[], None]
    immutable: bool
    readers: int = 0


class ResultCache:
    """Flights by key, for `seconds` after their start; 0 shares only those under way. Failed ones are not kept. The key
    of `immutable` ones names all that their results depend on, such as the versions of closed days."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.RLock()
        self._flights: OrderedDict[object, Flight] = OrderedDict()

    def join(
        self, key: object, start: Callable[[], tuple[Future[Rows], Callable[[], None]]], *, immutable: bool = False
    ) -> Flight:
        """The flight of that key, begun by `start` unless there is one; `leave` it when done waiting."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is None or self._stale(flight):
                future, cancel = start()
                flight = self._flights[key] = Flight(future, self._clock(), cancel, immutable)
                self._flights.move_to_end(key)
                future.add_done_callback(lambda _: self._done(key, flight))
                while len(self._flights) > MAX_ENTRIES:
                    self._flights.popitem(last=False)
            flight.readers += 1
            return flight

    def leave(self, key: object, flight: Flight) -> None:
        """Unsubscribe a reader; the last one cancels a running statement."""
        with self._lock:
            flight.readers -= 1
            abandoned = flight.readers == 0 and not flight.future.done()
            if abandoned:
                self._remove(key, flight)
        if abandoned:
            flight.cancel()

    def clear(self) -> None:
        """Share nothing that was begun before and that new events change."""
        with self._lock:
            for key in [key for key, flight in self._flights.items() if not flight.immutable]:
                del self._flights[key]

    def _stale(self, flight: Flight) -> bool:
        seconds = IMMUTABLE_SECONDS if flight.immutable and self._seconds else self._seconds
        return flight.future.done() and self._clock() - flight.started >= seconds

    def _done(self, key: object, flight: Flight) -> None:
        failed = flight.future.cancelled() or flight.future.exception() is not None
        rows = () if failed else flight.future.result()
        if failed or self._seconds <= 0 or len(rows) > MAX_ROWS or len(repr(rows)) > MAX_CHARACTERS:
            with self._lock:
                self._remove(key, flight)

    def _remove(self, key: object, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
