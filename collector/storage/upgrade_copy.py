"""A copy of an embedded database as it was before an upgrade, kept until the upgrade is through.

ClickHouse never changes the data files of a part: these are linked, which takes neither time nor room. What it appends
to, or puts something else in the place of, is copied, and so is all of a database that is a disk of its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import UpgradeFailed

_LINKED = re.compile(r".*\.(bin|c?mrk\d*|c?idx\d*)")
_TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"


def copy_before_upgrade(directory: Path) -> Path:
    """Where the copy of a database is, while there is one: on its disk, also where a link leads there."""
    directory = directory.resolve()
    return directory.with_name(f"{directory.name}.before-upgrade")


@contextlib.contextmanager
def kept_until_upgraded(client: Client, directory: Path, explain: Callable[[Exception], str]) -> Iterator[None]:
    """Keep what is in `directory` until the block, which upgrades it, is through. Raises `UpgradeFailed` where it
    fails, with what `explain` says of it; the next attempt keeps the same copy, and goes on where this one stopped."""
    copy = copy_before_upgrade(directory)
    try:
        if not copy.exists():
            _set_merges(client, "STOP")
            _copy(directory, copy)
            _set_merges(client, "START")
        yield
    except (ClickHouseError, OSError) as error:
        raise UpgradeFailed(explain(error), directory, copy) from None
    remove_copies(directory)


def remove_copies(directory: Path) -> None:
    """Remove what there is of copies, also of a process that was killed: what is erased from now on must not stay
    there."""
    copy = copy_before_upgrade(directory)
    for each in (copy, _unfinished(copy)):
        if each.is_dir():
            shutil.rmtree(each)


def _unfinished(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}.tmp")


def _set_merges(client: Client, to: str) -> None:
    for (table,) in client.query(_TABLES).result_rows:
        client.command(f"SYSTEM {to} MERGES {{table:Identifier}}", parameters={"table": table})


def _copy(directory: Path, copy: Path) -> None:
    unfinished = _unfinished(copy)
    shutil.rmtree(unfinished, ignore_errors=True)
    for place, directories, names in os.walk(directory):
        to = unfinished / Path(place).relative_to(directory)
        to.mkdir(mode=0o700)
        for name in (*directories, *names):
            # Outdated parts are cleaned up meanwhile.
            with contextlib.suppress(FileNotFoundError):
                _copy_entry(Path(place, name), to / name)
    unfinished.rename(copy)


def _copy_entry(source: Path, to: Path) -> None:
    if source.is_symlink():
        to.symlink_to(source.readlink())
    elif not source.is_dir() and not (_LINKED.fullmatch(source.name) and _link(source, to)):
        shutil.copy2(source, to)


def _link(source: Path, to: Path) -> bool:
    """Whether it is linked; of another disk it cannot be."""
    try:
        os.link(source, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True
