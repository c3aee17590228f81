"""Locks on the data directory, which end with the process that holds them.

With an embedded database one process has the whole directory. With a ClickHouse server there may be several
workers; each has one of the slots 1, 2, …, with a spool of its own. The slot of a dead worker is free again, and
whoever takes it over finds there what the other had acknowledged.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from collector.core.errors import DataDirectoryInUse

SPOOL = "spool"


@dataclass(slots=True)
class DataDirLock:
    """A lock on the data directory, held until it is released or the process ends."""

    number: int
    directory: Path
    _lock: int

    def release(self) -> None:
        """Let others have it."""
        os.close(self._lock)


def lock_data_dir(directory: Path, *, shared: bool = False) -> int:
    """Lock the data directory for this process, or share it with others that share it; the lock ends with the
    process. Raises `DataDirectoryInUse`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(directory / "lock", fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    if lock is None:
        raise DataDirectoryInUse(str(directory), _holder(directory / "lock"))
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def claim_worker_slot(directory: Path, slots: int) -> DataDirLock:
    """The first free slot of so many. Raises `DataDirectoryInUse` when other workers have them all."""
    for number in range(1, slots + 1):
        slot = _claim(directory, number)
        if slot is not None:
            return slot
    raise DataDirectoryInUse(str(directory), None)


def claim_abandoned_slots(directory: Path, slots: int) -> list[DataDirLock]:
    """Slots beyond the first `slots` that nobody works on: more workers ran here before."""
    places = (directory / SPOOL).iterdir() if (directory / SPOOL).is_dir() else ()
    numbers = sorted(int(place.name) for place in places if place.name.isdecimal())
    claimed = [_claim(directory, number) for number in numbers if number > slots]
    return [slot for slot in claimed if slot is not None]


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """A lock between processes, held during the block. Blocking."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _claim(directory: Path, number: int) -> DataDirLock | None:
    place = directory / SPOOL / str(number)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(place / "lock", fcntl.LOCK_EX)
    return None if lock is None else DataDirLock(number, place, lock)


def _lock(path: Path, kind: int) -> int | None:
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened


def _holder(path: Path) -> int | None:
    text = path.read_text(errors="replace").strip()
    return int(text) if text.isdecimal() else None
