"""A spool together with the writer that drains it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from collector.core.file_locks import DataDirLock
from collector.core.metrics import Counters
from collector.core.settings import Settings
from collector.ingest.event import Event
from collector.spool.spool import Spool
from collector.spool.writer import Inserter, Writer

log = logging.getLogger(__name__)

SPOOL_FILE = "events.db"


class SpoolWorker:
    """From a slot's spool into ClickHouse. `inserted` hears of each segment that arrived there."""

    def __init__(
        self,
        slot: DataDirLock,
        settings: Settings,
        inserter: Inserter,
        counters: Counters,
        *,
        inserted: Callable[[Sequence[Event]], None],
        clock: Callable[[], float],
    ) -> None:
        self.slot = slot
        self.spool = Spool(
            slot.directory / SPOOL_FILE,
            max_bytes=settings.spool_max_bytes,
            segment_rows=settings.flush_rows,
            segment_seconds=settings.flush_seconds,
            clock=clock,
        )
        self.writer = Writer(self.spool, inserter, counters, inserted=inserted, clock=clock)

    def start(self) -> None:
        """Start spool and writer."""
        self.spool.start()
        self.writer.start()

    def stop(self, drain_seconds: float) -> None:
        """Seal, write for at most so long, and leave the slot to others. Blocking."""
        self.spool.seal()
        self.writer.stop(drain_seconds)
        self.spool.close()
        self.slot.release()
