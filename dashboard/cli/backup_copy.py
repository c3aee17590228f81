"""Copy of a backup in the data directory, where the engine may read it.

Root copies for a service that runs as a user of its own, who owns the data directory and may put links in the way. So
everything is written below directories that are open already, and given away when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple


class Owner(NamedTuple):
    """Who gets what is written."""

    user: int
    group: int


def copy_backup(backup: Path, data_dir: Path, name: str) -> None:
    """Copy the files of a backup to `backups/NAME` in the data directory. A backup has no links, and no devices: they
    are left out. Raises `OSError`."""
    status = data_dir.stat()
    owner = Owner(status.st_uid, status.st_gid) if os.geteuid() == 0 else None
    with _opened(backup) as source, _opened(data_dir) as data:
        with contextlib.suppress(FileExistsError):
            os.mkdir("backups", 0o700, dir_fd=data)
        if owner:
            os.chown("backups", *owner, dir_fd=data, follow_symlinks=False)
        with _opened("backups", within=data) as backups:
            os.mkdir(name, 0o700, dir_fd=backups)
            with _opened(name, within=backups, links=False) as copy:
                if os.fstat(copy).st_uid != os.geteuid():
                    raise PermissionError(errno.EPERM, "another directory was put in its place")
                _copy(source, copy, owner)


def _copy(source: int, copy: int, owner: Owner | None) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                os.mkdir(entry.name, 0o700, dir_fd=copy)
                with (
                    _opened(entry.name, within=source, links=False) as inner,
                    _opened(entry.name, within=copy, links=False) as made,
                ):
                    _copy(inner, made, owner)
            elif entry.is_file(follow_symlinks=False):
                with _file(entry.name, "rb", source) as read, _file(entry.name, "xb", copy) as written:
                    shutil.copyfileobj(read, written)
                    if owner:
                        os.fchown(written.fileno(), *owner)
    if owner:
        os.fchown(copy, *owner)


@contextlib.contextmanager
def _opened(directory: Path | str, *, within: int | None = None, links: bool = True) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | (0 if links else os.O_NOFOLLOW), dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _file(name: str, mode: str, within: int) -> IO[bytes]:
    def opener(path: str, flags: int) -> int:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=within)

    return open(name, mode, opener=opener)  # relative to a directory that is open
