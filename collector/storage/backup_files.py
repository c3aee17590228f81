"""Backups as directories: names that commands give them, whether one is whole, and what is left of interrupted ones."""

from __future__ import annotations

import datetime
import re
import secrets
import shutil
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

METADATA: Final = ".backup"
"""The file in which ClickHouse lists what is in a backup, once that is whole."""

_WRITTEN: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_COPIED: Final = re.compile(r"restore-[0-9a-f]{8}")


def new_backup_name() -> str:
    """Name of a backup that is to be moved elsewhere."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def new_copy_name() -> str:
    """Name of the copy of one that is to be restored."""
    return f"restore-{secrets.token_hex(4)}"


def is_whole(backup: Path) -> bool:
    """Whether each file that the backup lists is there with all of its bytes. ClickHouse (26.9) calls one written whose
    files a full disk has left empty."""
    try:
        listed = ElementTree.parse(backup / METADATA).findall("contents/file")  # noqa: S314 # written by the engine
        return bool(listed) and all(_is_there(backup, each) for each in listed)
    except (OSError, ElementTree.ParseError, ValueError):
        return False


def _is_there(backup: Path, listed: ElementTree.Element) -> bool:
    size = int(listed.findtext("size", "0"))
    # A file that is the same as another one is written once.
    place = listed.findtext("data_file") or listed.findtext("name") or ""
    return not size or (backup / place).stat().st_size == size


def remove_interrupted(directory: Path) -> None:
    """Remove what interrupted commands have left: it would still have what is erased. Nobody may be writing there."""
    for place in directory.iterdir() if directory.is_dir() else ():
        broken = _WRITTEN.fullmatch(place.name) and not (place / METADATA).is_file()
        if (broken or _COPIED.fullmatch(place.name)) and not place.is_symlink():
            shutil.rmtree(place, ignore_errors=True)


def remove_unknown(directory: Path, name: str) -> None:
    """Remove a backup whose command has gone before it was written: nobody knows of it, and it would go on having what
    is erased from now on."""
    if _WRITTEN.fullmatch(name):
        shutil.rmtree(directory / name, ignore_errors=True)
