"""A spool together with the writer that drains it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from collector.core.metrics import Counters
from collector.core.settings import Settings
from collector.ingest.event import Event
from collector.spool.spool import Spool
from collector.spool.writer import Inserter, Writer

log = logging.getLogger(__name__)

SPOOL, SPOOL_FILE = "spool", "events.db"


def spool_files(data_dir: Path) -> list[Path]:
    """The file of this process's spool, then those of further worker processes of an earlier release."""
    places = (data_dir / SPOOL).iterdir() if (data_dir / SPOOL).is_dir() else ()
    numbers = sorted(int(place.name) for place in places if place.name.isdecimal() and (place / SPOOL_FILE).is_file())
    return [data_dir / SPOOL / str(number) / SPOOL_FILE for number in [1, *(each for each in numbers if each > 1)]]


class SpoolWorker:
    """From a spool into ClickHouse. `inserted` hears of each segment that arrived there."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        inserter: Inserter,
        counters: Counters,
        *,
        inserted: Callable[[Sequence[Event]], None],
        clock: Callable[[], float],
        withhold: bool = False,
    ) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.spool = Spool(
            path,
            max_bytes=settings.spool_max_bytes,
            segment_rows=settings.flush_rows,
            segment_seconds=settings.flush_seconds,
            clock=clock,
            withhold=withhold,
        )
        self.writer = Writer(self.spool, inserter, counters, inserted=inserted, clock=clock)

    def start(self) -> None:
        """Start spool and writer."""
        self.spool.start()
        self.writer.start()

    def stop(self, drain_seconds: float) -> None:
        """Seal, write for at most so long, and close the file. Blocking."""
        self.spool.seal()
        self.writer.stop(drain_seconds)
        self.spool.close()
