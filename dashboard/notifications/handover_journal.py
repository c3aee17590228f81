"""Journal of what was handed over and is not yet recorded in ClickHouse: a file of ids, synced line by line.

A mail server that has said yes must be believed at once, whatever happens to this process next: one line and one fsync
take less than a millisecond, an insert into ClickHouse ten.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

FILE: Final = "handed-over"


class HandoverJournal:
    """The ids in the data directory's file. Blocking, and safe in threads."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._ids = dict.fromkeys(self._path.read_text().split() if self._path.exists() else [])

    @property
    def ids(self) -> tuple[str, ...]:
        """What was handed over and is not recorded, in order."""
        return tuple(self._ids)

    def add(self, id_: str) -> None:
        """Note that it was handed over; on disk when this returns."""
        with self._lock:
            self._ids[id_] = None
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                # The line before may have been cut off with a process.
                os.write(descriptor, f"\n{id_}\n".encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, id_: str) -> None:
        """It is recorded. What is recorded and still in the file after a crash is recorded again, which changes
        nothing."""
        with self._lock:
            self._ids.pop(id_, None)
            if not self._ids:
                self._path.write_text("")
