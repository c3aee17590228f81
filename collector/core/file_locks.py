"""Locks on files, which end with the processes that hold them: the one of the data directory, and shared ones."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.core.errors import DataDirectoryInUse


def lock_data_dir(directory: Path) -> int:
    """Lock the data directory for this process; the lock ends with the process, or when the descriptor that is
    returned is closed. Raises `DataDirectoryInUse`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "lock"
    # Not what a link leads to: whoever it belongs to may have root write there.
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise DataDirectoryInUse(str(directory), _holder(path)) from None
    os.ftruncate(opened, 0)
    os.pwrite(opened, str(os.getpid()).encode(), 0)
    return opened


def is_locked(directory: Path) -> bool:
    """Whether a running process has the data directory. Raises `OSError` when its lock cannot be read."""
    return is_held(directory / "lock")


@contextmanager
def shared_lock(path: Path) -> Iterator[int]:
    """Hold a lock together with others, for as long as any process has the descriptor open that is yielded."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_SH)
        yield opened
    finally:
        os.close(opened)


def is_held(path: Path) -> bool:
    """Whether any process holds the lock of that file, shared or not. Raises `OSError` when it cannot be read."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False


def _holder(path: Path) -> int | None:
    text = path.read_text(errors="replace").strip()
    return int(text) if text.isdecimal() else None
