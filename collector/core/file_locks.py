"""Lock on the data directory, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from collector.core.errors import DataDirectoryInUse


def lock_data_dir(directory: Path) -> int:
    """Lock the data directory for this process; the lock ends with the process, or when the descriptor that is
    returned is closed. Raises `DataDirectoryInUse`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "lock"
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
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
    try:
        opened = os.open(directory / "lock", os.O_RDONLY)
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
