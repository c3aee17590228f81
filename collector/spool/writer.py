"""Writer of sealed segments into ClickHouse, with retries.

What ClickHouse may take later is retried, with pauses that grow to ten seconds; what it refuses for good is set
aside in the spool and reported, and the next segment has its turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from collector.core.errors import InsertRefused, InsertRetryable
from collector.core.metrics import Counters
from collector.ingest.event import Event
from collector.spool.spool import Spool, SpoolSegment

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
LONG_SECONDS = 5.0
"""An insert that takes longer is reported as a problem."""


class Inserter(Protocol):
    """Where segments go: ClickHouse, or memory in tests."""

    def insert(self, events: Sequence[Event], token: str) -> None:
        """Store `events` durably, once per `token`. Raises `InsertRetryable` or `InsertRefused`."""
        ...


class Writer:
    """Moves sealed segments from the spool to an inserter, in a thread of its own.

    `inserted` is called with each segment's events once they are in; `clock` gives Unix time.
    """

    def __init__(
        self,
        spool: Spool,
        inserter: Inserter,
        counters: Counters,
        *,
        inserted: Callable[[Sequence[Event]], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._inserter = inserter
        self._counters = counters
        self._inserted = inserted
        self._clock = clock
        self._stop = threading.Event()
        self._pause = FIRST_PAUSE
        self._thread = threading.Thread(target=self._run, name="tyst-writer", daemon=True)
        self._problem: str | None = None
        self._asked: float | None = None

    @property
    def problem(self) -> str | None:
        """Why the last insert did not succeed, or that ClickHouse has not answered one for long; else None."""
        asked = self._asked
        waited = time.monotonic() - asked if asked is not None else 0.0
        if waited > LONG_SECONDS:
            return f"it has not answered for {waited:.0f} s"
        return self._problem

    def start(self) -> None:
        """Start the writer's thread."""
        self._thread.start()

    def stop(self, drain_seconds: float) -> None:
        """Insert sealed segments for at most `drain_seconds`, then stop. The rest stays in the spool.

        An insert that hangs is not waited for: its segment is sent again, by its token, after the next start.
        """
        deadline = time.monotonic() + drain_seconds
        while self._spool.waiting() and self.problem is None and time.monotonic() < deadline:
            self._stop.wait(0.01)
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(max(0.5, deadline - time.monotonic()))

    def write(self, segment: SpoolSegment) -> bool:
        """Try to insert one segment. Returns whether it is off the writer's hands: in, or set aside."""
        began = time.perf_counter()
        self._asked = time.monotonic()
        try:
            events = self._spool.read(segment)
            if events:
                self._inserter.insert(events, segment.token)
        except InsertRetryable as error:
            self._counters.fault("insert_retryable")
            if self._problem is None:
                log.warning("ClickHouse did not accept a segment", extra={"reason": error.reason, "rows": segment.rows})
            self._problem = error.reason
            return False
        except (InsertRefused, ValueError) as error:
            # What cannot be read would be as damaged the next time, and keep all others waiting.
            reason = error.reason if isinstance(error, InsertRefused) else "its events were damaged on the disk"
            self._counters.fault("insert_refused")
            log.error("a segment was quarantined", extra={"reason": reason, "rows": segment.rows})
            self._spool.quarantine(segment, reason)
            self._problem = None
            return True
        finally:
            self._asked = None
        self._counters.insert_seconds.observe(time.perf_counter() - began)
        self._counters.queue_seconds.observe(max(0.0, self._clock() - segment.began))
        if self._problem is not None:
            log.info("ClickHouse accepts segments again")
            self._problem = None
        self._spool.acknowledge(segment)
        self._inserted(events)
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            segment = self._spool.next_segment(timeout=0.25)
            if segment is None:
                continue
            self._spool.wait_answered()
            try:
                written = self.write(segment)
            except Exception:  # the thread must outlive whatever a disk or a driver comes up with
                log.exception("unexpected error in the writer")
                self._problem = "unexpected error; see the log"
                written = False
            if written:
                self._pause = FIRST_PAUSE
            else:
                self._stop.wait(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
