"""Hardening of the inherited process environment: environment variables, secrets, and file permissions."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import stat
import time
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Final

from collector.core.settings_table import SETTINGS

log = logging.getLogger(__name__)

PRIVATE: Final = 0o077
"""Permission bits of group and others, which nothing in the data directory has."""

SECRETS: Final = ("TYST_API_KEY", *(setting.name for setting in SETTINGS if setting.secret))
"""Variables that hold a secret, or may."""

_OF_THE_ENGINE: Final = ("CHDB_", "CLICKHOUSE_", "MALLOC_CONF", "JE_MALLOC_CONF", "_RJEM_MALLOC_CONF")
_ZONE: Final = ("TZ", "TZDIR", "TZ_DIR")


def isolate_engine(environ: MutableMapping[str, str] = os.environ) -> None:
    """Remove environment variables that change the behaviour of the embedded engine.

    It does not start when `TZ` is no IANA name; Tyst names the time zone in every query.
    """
    for name in [name for name in environ if name.startswith(_OF_THE_ENGINE) or name in _ZONE]:
        del environ[name]
    environ["TZ"] = "UTC"
    time.tzset()


def clear_secrets(names: Iterable[str] = SECRETS, environ: MutableMapping[str, str] = os.environ) -> None:
    """Remove secrets from the process environment, once the settings are read.

    Child processes do not inherit them, and `/proc/PID/environ` shows zeros: the C library points into the block that
    the kernel shows (proc(5)), unless the variable was changed since the start. The parent, such as a shell or a
    service manager, still has them.
    """
    for name in names:
        if environ.get(name):
            _overwrite(name)
        environ.pop(name, None)


def _overwrite(name: str) -> None:
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    place = library.getenv(name.encode())
    if place:
        ctypes.memset(place, 0, len(ctypes.string_at(place)))


def use_private_umask() -> None:
    """Set a umask that gives group and others no access to new files."""
    os.umask(PRIVATE)


def restrict_permissions(directory: Path) -> None:
    """Remove the access of group and others to the data directory."""
    with_rights = directory.stat().st_mode & PRIVATE if directory.is_dir() else 0
    if with_rights and directory.stat().st_uid == os.getuid():
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) & ~PRIVATE)
        log.warning(
            "the data directory was open to others; their access was removed", extra={"directory": str(directory)}
        )


def give_to_owner(directory: Path) -> None:
    """Give what root has written into the directory to whom it belongs: a service that runs as a user of its own."""
    owner = directory.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for _, folders, names, place in os.fwalk(directory):
        for name in (*folders, *names):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=place, follow_symlinks=False).st_uid == 0:
                    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=place, follow_symlinks=False)


def make_private(directory: Path) -> None:
    """Remove the access of group and others to a directory and everything in it."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~PRIVATE)
