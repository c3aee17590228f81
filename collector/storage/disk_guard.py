"""Guard of ClickHouse's disk space: pauses merges when space is low, and repairs data parts that a full disk broke.

ClickHouse (26.9) that meets a full disk can leave a part whose files are empty and call it good; so does a merge, in
the place of parts that were whole, and so does an insert, also one that it says it could not do. A table that is loaded
anew puts such a part aside, and takes what a merge was made of in its place, as long as that is kept: some minutes
(`old_parts_lifetime`). So from the first doubt on merges rest, the parts written meanwhile are checked, and a table
with a broken one is loaded anew at once, for a disk may stay full for long. What an insert brought, nobody else has,
and ClickHouse remembers its token: the inserter has to look for its rows, now and whenever later it sends a segment
whose first sending came to an unknown end. That inserts have been broken is therefore remembered for good.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

log = logging.getLogger(__name__)

# Little is a twentieth of the disk, but at least 32 and at most 256 MiB; enough is twice that.
LITTLE_BYTES = 256 << 20
LEAST_BYTES = 32 << 20
LITTLE_SHARE = 20

# Parts of so many seconds before a doubt are looked at too: it may come late, or ClickHouse's clock be behind.
_BEFORE = 600

_FREE = """
SELECT min(unreserved_space),
       min(least({little:UInt64}, greatest({least:UInt64}, intDiv(total_space, {share:UInt64}))))
FROM system.disks"""
_TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
_WRITTEN = """
SELECT table, name, toUnixTimestamp(modification_time) FROM system.parts
WHERE database = currentDatabase() AND active AND toUnixTimestamp(modification_time) >= {since:UInt32}"""
_MERGING = "SELECT count() FROM system.merges WHERE database = currentDatabase()"
_INSERTED = """
SELECT table, name, toUnixTimestamp(modification_time) FROM system.parts
WHERE database = currentDatabase() AND table = 'events' AND active AND level = 0
      AND (modification_time >= now() - {before:UInt32} OR toUnixTimestamp(modification_time) >= {since:UInt32})"""
_PUT_ASIDE = """
SELECT table, name, level FROM system.detached_parts
WHERE database = currentDatabase() AND reason = 'broken-on-start'
      AND toUnixTimestamp(modification_time) >= {since:UInt32}"""
_DETACHED = "SELECT table FROM system.detached_tables WHERE database = currentDatabase() AND NOT is_permanently"
# The part's name cannot be bound; the engine makes such names of letters, digits, dashes and underscores.
_STOP_MERGES = "SYSTEM STOP MERGES {table:Identifier}"
_CHECK = "CHECK TABLE {{table:Identifier}} PART '{part}'"
_PART = re.compile(r"[\w-]+\Z")


def is_disk_full(error: Exception) -> bool:
    """Whether a disk had no room, of ClickHouse or of this process."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "No space left" in str(error) or getattr(error, "code", None) == _NOT_ENOUGH_SPACE


class DataPart(NamedTuple):
    """A part of a table, and when it was written, in Unix time: a name may come again."""

    table: str
    name: str
    written: int


class DiskSpaceGuard:
    """One process looks after the disk; every one that inserts asks. `marker` is a file that is there while
    something may be broken, so that a process that comes later knows."""

    def __init__(self, client: Client, marker: Path) -> None:
        self._client = client
        self._marker = marker
        self._broke = marker.with_suffix(".broke")
        self._problem: str | None = None
        self._seen_whole: set[DataPart] = set()

    @property
    def problem(self) -> str | None:
        """What is wrong and what to do, in sentences; None when nothing is."""
        if self._problem is None and self.in_doubt:
            return "ClickHouse had no room on its disk for a moment. What that may have broken is looked for."
        return self._problem

    def report_low_space(self) -> None:
        """There is little room, if only for a moment."""
        if not self._marker.exists():
            self._marker.touch()

    def enough(self) -> bool:
        """Whether there is room for an insert; also where the user may not ask."""
        return self._unless_refused(self._free_is_enough, refused=True)

    def _free_is_enough(self) -> bool:
        free, little = self._free()
        return free >= little

    @property
    def in_doubt(self) -> bool:
        """Whether something may be broken."""
        return self._marker.exists()

    def on_insert_error(self, error: Exception) -> None:
        """An insert failed: it may have met a full disk, and left something broken all the same."""
        with contextlib.suppress(ClickHouseError, OSError):
            if is_disk_full(error) or not self.enough():
                self.report_low_space()

    @property
    def breaks_inserts(self) -> bool:
        """Whether a full disk has ever broken an insert here. Raises `ClickHouseError`."""
        return self._broke.exists() or self._unless_refused(self._note_broken_inserts, refused=False)

    def broken_insert(self) -> bool:
        """Whether there is a part that an insert has left broken, in the last minutes or since the first doubt."""
        since = self._suspected_since() if self.in_doubt else _NEVER
        asked = {"since": since, "before": _BEFORE}

        def broken() -> bool:
            rows = self._client.query(_INSERTED, parameters=asked).result_rows
            return any(not self._whole(part) for part in map(DataPart._make, rows))

        return self._unless_refused(broken, refused=False)

    def reload(self) -> None:
        """Reload the table `events` without parts that failed inserts broke. Raises `ClickHouseError`."""
        self._load_anew("events")

    def repair_before_start(self) -> None:
        """Where an earlier process left off with something broken, have every table readable. Blocking."""
        self._load_detached()
        if self.in_doubt:
            self._each(_STOP_MERGES)
            self._reload_broken()

    def check(self) -> None:
        """Pause or resume merges, and repair. Blocking; failures are retried at the next check."""
        free, little = self._free()
        if free < little:
            self.report_low_space()
        if self.in_doubt:
            self.pause_merges(free)
            if self.repaired() and free > 2 * little:
                self.resume_merges()

    def _free(self) -> tuple[int, int]:
        """Bytes free, and how few are little."""
        asked = {"little": LITTLE_BYTES, "least": LEAST_BYTES, "share": LITTLE_SHARE}
        free, little = self._client.query(_FREE, parameters=asked).result_rows[0]
        return free, little

    def pause_merges(self, free: int) -> None:
        # Every time, for a table that is loaded anew, and a server that is started anew, let them run.
        self._each(_STOP_MERGES)
        if self._problem is None:
            log.warning("low disk space for ClickHouse; merges are paused", extra={"bytes": free})
        room = f"ClickHouse has little room on its disk ({free >> 20} MiB)"
        self._problem = f"{room}. Make some: merges rest, and inserts when it is less."

    def repaired(self) -> bool:
        """Whether nothing is broken; what is, is mended, and looked at once more next time."""
        self._load_detached()
        if self._client.query(_MERGING).result_rows[0][0]:
            # Told to stop, one that has nearly ended goes on, and may yet put what it wrote without room in its place.
            return False
        return not self._reload_broken()

    def resume_merges(self) -> None:
        self._each("SYSTEM START MERGES {table:Identifier}")
        self._note_broken_inserts()
        self._drop_put_aside()
        self._marker.unlink(missing_ok=True)
        self._problem = None
        self._seen_whole.clear()
        log.info("disk space for ClickHouse is sufficient again")

    def _reload_broken(self) -> bool:
        """Load the tables anew that have a broken part; returns whether there was one."""
        rows = self._client.query(_WRITTEN, parameters={"since": self._suspected_since()}).result_rows
        broken = {part.table for part in map(DataPart._make, rows) if not self._whole(part)}
        for table in sorted(broken):
            self._load_anew(table)
        return bool(broken)

    def _load_anew(self, table: str) -> None:
        log.error("a data part broken by a full disk was detached", extra={"table": table})
        self._client.command("DETACH TABLE {table:Identifier} SYNC", parameters={"table": table})
        self._attach(table)
        self._note_broken_inserts()

    def _load_detached(self) -> None:
        """A process may end, or its connection, between the two statements that load a table anew."""
        for (table,) in self._client.query(_DETACHED).result_rows:
            self._attach(table)

    def _attach(self, table: str) -> None:
        self._client.command("ATTACH TABLE {table:Identifier}", parameters={"table": table})

    def _note_broken_inserts(self) -> bool:
        """Whether a table that was loaded anew, here or as its server was started, has put an insert's part aside."""
        aside = self._client.query(_PUT_ASIDE, parameters={"since": 0}).result_rows
        found = ("events", 0) in {(table, level) for table, _, level in aside}
        if found:
            self._broke.touch()
        return found

    def _drop_put_aside(self) -> None:
        """What is put aside would be there when it has been erased, or has expired, everywhere else."""
        for table, part, _ in self._client.query(_PUT_ASIDE, parameters={"since": self._suspected_since()}).result_rows:
            if _PART.match(part):
                drop = f"ALTER TABLE {{table:Identifier}} DROP DETACHED PART '{part}'"
                self._client.command(drop, parameters={"table": table}, settings={"allow_drop_detached": 1})

    def _suspected_since(self) -> int:
        return int(self._marker.stat().st_mtime) - _BEFORE

    def _whole(self, part: DataPart) -> bool:
        """Raises `ClickHouseError` when it cannot be told."""
        if part in self._seen_whole:
            return True
        if not _PART.match(part.name):
            raise ValueError("the engine named a part in a way that is not known here")
        check = _CHECK.format(part=part.name)
        settings = {"check_query_single_value_result": 1}
        try:
            whole = self._client.command(check, parameters={"table": part.table}, settings=settings) == 1
        except DatabaseError as error:
            if error.code != _NO_SUCH_PART and error.code not in _BROKEN:
                raise
            # A part that was merged away in the meantime is no longer ours to check.
            return error.code == _NO_SUCH_PART
        if whole and self.in_doubt:
            self._seen_whole.add(part)
        return whole

    def _unless_refused(self, look: Callable[[], bool], *, refused: bool) -> bool:
        """What `look` finds; `refused` where the user lacks a grant for it, which is no reason to doubt an insert."""
        try:
            return look()
        except DatabaseError as error:
            if error.code != _ACCESS_DENIED:
                raise
            log.warning("ClickHouse may not be looked at; see deploy/clickhouse-user.sql", extra={"code": error.code})
            return refused

    def _each(self, statement: str) -> None:
        for (table,) in self._client.query(_TABLES).result_rows:
            self._client.command(statement, parameters={"table": table})


_NEVER = 2**32 - 1  # A second that no part is written after.
_NOT_ENOUGH_SPACE = 243  # ClickHouse's ErrorCodes.cpp
_ACCESS_DENIED = 497  # ClickHouse's ErrorCodes.cpp
_NO_SUCH_PART = 232  # ClickHouse's ErrorCodes.cpp: NO_SUCH_DATA_PART
# And those that say that a file of a part is not what it should be.
_BROKEN = frozenset({3, 32, 33, 40, 107, 226, 227, 228, 229, 246})
