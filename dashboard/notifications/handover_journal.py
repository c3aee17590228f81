"""Journal of what was handed over and is not yet recorded in ClickHouse: a file of ids.

A mail server that has said yes must be believed at once, whatever happens to this process next. A line is one write(2)
of some microseconds, which a `kill -9` does not undo; only a power failure asks for a sync, which takes a millisecond,
and an insert into ClickHouse takes ten.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Final

FILE: Final = "handed-over"


class HandoverJournal:
    """The ids in the data directory's file. Safe in threads."""

    def __init__(self, directory: Path) -> None:
        path = directory / FILE
        self._lock = threading.Lock()
        # Open for good: between a mail server's yes and the line there is to be nothing else.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        weakref.finalize(self, os.close, self._file)
        self._ids = dict.fromkeys(path.read_text().split())

    @property
    def ids(self) -> tuple[str, ...]:
        """What was handed over and is not recorded, in order."""
        return tuple(self._ids)

    def add(self, id_: str) -> None:
        """Note that it was handed over."""
        with self._lock:
            # The line before may have been cut off with a process.
            os.write(self._file, f"\n{id_}\n".encode())
            self._ids[id_] = None

    def sync(self) -> None:
        """All of it is on disk when this returns."""
        os.fsync(self._file)

    def remove(self, id_: str) -> None:
        """It is recorded. What is recorded and still in the file after a crash is recorded again, which changes
        nothing."""
        with self._lock:
            self._ids.pop(id_, None)
            if not self._ids:
                os.ftruncate(self._file, 0)
