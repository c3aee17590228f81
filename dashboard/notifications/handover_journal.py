"""Journal of what was handed over and is not yet recorded in ClickHouse: a directory with an empty file for each id.

A mail server that has said yes must be believed at once, whatever happens to this process next. Making a file takes
some microseconds, and a `kill -9` does not undo it; only a power failure asks for a sync, which takes a millisecond,
and an insert into ClickHouse takes ten.

A conversation that goes on without the process that began it holds a lock, by which the next process waits for it.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

from collector.core.file_locks import is_held, shared_lock

DIRECTORY: Final = "handed-over.d"
_LOCK: Final = ".conversations"
_PROBE: Final = ".probe"


class Handover(NamedTuple):
    """Where to note that one delivery was handed over: `entry` is its file, `lock` the one of conversations."""

    entry: Path
    lock: Path

    def note(self) -> None:
        """Note it."""
        os.close(os.open(self.entry, os.O_WRONLY | os.O_CREAT, 0o600))

    def conversation(self) -> AbstractContextManager[int]:
        """A descriptor that says that the conversation goes on, for as long as any process has it open."""
        return shared_lock(self.lock)


class HandoverJournal:
    """The ids in the data directory. Safe in threads."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / DIRECTORY
        self._path.mkdir(mode=0o700, exist_ok=True)

    @property
    def ids(self) -> tuple[str, ...]:
        """What was handed over and is not recorded."""
        return tuple(sorted(entry.name for entry in self._path.iterdir() if not entry.name.startswith(".")))

    def check_writable(self) -> None:
        """Raises `OSError` where nothing can be noted: whatever was handed over would be so again, every time."""
        probe = Handover(self._path / _PROBE, self._path / _LOCK)
        probe.note()
        probe.entry.unlink(missing_ok=True)

    def handover(self, id_: str) -> Handover:
        """Where to note the delivery of that id."""
        return Handover(self._path / id_, self._path / _LOCK)

    def conversations_go_on(self) -> bool:
        """Whether a conversation has not ended, such as one of an earlier process."""
        return is_held(self._path / _LOCK)

    def sync(self) -> None:
        """All of it is on disk when this returns."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, id_: str) -> None:
        """It is recorded. What is recorded and still there after a crash is recorded again, which changes nothing."""
        (self._path / id_).unlink(missing_ok=True)
