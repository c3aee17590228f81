"""Room on ClickHouse's disks: merges rest while there is little, and what a full disk broke is mended.

ClickHouse (26.9) that meets a full disk can leave a part whose files are empty and call it good. A merge leaves it
in the place of parts that were whole; those are kept on disk for some minutes more. So once there is room again
the parts written meanwhile are checked, and a table with a broken one is loaded anew, which puts the whole parts in
its place. An insert leaves it in the place of rows that nobody else has, also one that it says it could not do, whose
token it then remembers. So inserts wait while there is little room, and from a first doubt on every insert's part is
checked, and dropped if it is broken. Dropping it also makes ClickHouse forget the segment's token: sent again, the
segment is taken. Nobody drops a part while an insert is under way whose own part it may be: that insert would look
for something broken, find nothing, and be believed.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

log = logging.getLogger(__name__)

# Little is a twentieth of the disk, but at least 32 and at most 256 MiB; enough is twice that.
LITTLE_BYTES = 256 << 20
LEAST_BYTES = 32 << 20
LITTLE_SHARE = 20

_FREE = """
SELECT min(unreserved_space),
       min(least({little:UInt64}, greatest({least:UInt64}, intDiv(total_space, {share:UInt64}))))
FROM system.disks"""
_TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
_WRITTEN = """
SELECT table, name FROM system.parts
WHERE database = currentDatabase() AND active AND toUnixTimestamp(modification_time) >= {since:UInt32}"""
_MERGING = "SELECT count() FROM system.merges WHERE database = currentDatabase()"
_INSERTED = """
SELECT name FROM system.parts
WHERE database = currentDatabase() AND table = 'events' AND active AND level = 0
      AND (modification_time >= now() - 60 OR toUnixTimestamp(modification_time) >= {since:UInt32})"""
# The part's name cannot be bound; the engine makes such names of letters, digits, dashes and underscores.
_CHECK = "CHECK TABLE {{table:Identifier}} PART '{part}'"
_PART = re.compile(r"[\w-]+\Z")


class Room:
    """One process looks after the disk; every one that inserts asks. `marker` is a file that is there while
    something may be broken, so that a process that comes later knows."""

    def __init__(self, client: Client, marker: Path) -> None:
        self._client = client
        self._marker = marker
        self._since: int | None = None
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong and what to do, in sentences; None when nothing is."""
        if self._problem is None and self.in_doubt:
            return "ClickHouse had no room on its disk for a moment. What that may have broken is looked for."
        return self._problem

    def suspect(self) -> None:
        """There is little room, if only for a moment."""
        if not self._marker.exists():
            self._marker.touch()

    def enough(self) -> bool:
        """Whether there is room for an insert."""
        free, little = self._free()
        return free >= little

    @property
    def in_doubt(self) -> bool:
        """Whether something may be broken."""
        return self._marker.exists()

    def doubt(self, error: Exception) -> None:
        """An insert failed: it may have met a full disk, and left something broken all the same."""
        full = "No space left" in str(error) or getattr(error, "code", None) == _NOT_ENOUGH_SPACE
        with contextlib.suppress(ClickHouseError, OSError):
            if full or not self.enough():
                self.suspect()

    @contextlib.contextmanager
    def inserting(self) -> Iterator[None]:
        """While the block runs, which inserts and checks what it inserted, nobody drops a part."""
        with self._locked(fcntl.LOCK_SH):
            yield

    def broken_inserts(self) -> list[str]:
        """Parts that inserts have left broken: those of the last minute, and since the first doubt."""
        since = self._suspected_since() if self.in_doubt else _NEVER
        rows = self._client.query(_INSERTED, parameters={"since": since}).result_rows
        return [part for (part,) in rows if not self._whole("events", part)]

    def drop_broken_inserts(self) -> None:
        """Drop what inserts have left broken; what they brought is sent again. Waits for inserts under way."""
        with self._locked(fcntl.LOCK_EX):
            self._drop_broken()

    def mend_before_start(self) -> None:
        """Where an earlier process left off with something broken, have every table readable. Blocking."""
        if self._marker.exists():
            self._each("SYSTEM STOP MERGES {table:Identifier}")
            self.drop_broken_inserts()
            self._reload_broken(self._suspected_since())

    def look(self) -> None:
        """Let merges rest, or mend and go on. Blocking; what goes wrong is tried again at the next look."""
        free, little = self._free()
        if free < little:
            self.suspect()
        if self._since is None and self._marker.exists():
            self._rest(free)
        if self._since is not None and free > 2 * little:
            self._mend()

    def _free(self) -> tuple[int, int]:
        """Bytes free, and how few are little."""
        asked = {"little": LITTLE_BYTES, "least": LEAST_BYTES, "share": LITTLE_SHARE}
        free, little = self._client.query(_FREE, parameters=asked).result_rows[0]
        return free, little

    def _rest(self, free: int) -> None:
        log.warning("ClickHouse has little room on its disk; merges rest", extra={"bytes": free})
        self._each("SYSTEM STOP MERGES {table:Identifier}")
        self._since = self._suspected_since()
        room = f"ClickHouse has little room on its disk ({free >> 20} MiB)"
        self._problem = f"{room}. Make some: merges rest, and inserts when it is less."

    def _mend(self) -> None:
        if self._client.query(_MERGING).result_rows[0][0]:
            # Told to stop, one that has nearly ended goes on, and may yet put what it wrote without room in its place.
            return
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._drop_broken()
                if self._since is None or self._reload_broken(self._since):
                    # Loaded anew, they are checked once more at the next look.
                    return
        except BlockingIOError:
            # An insert is under way, and looks after itself.
            return
        self._each("SYSTEM START MERGES {table:Identifier}")
        self._marker.unlink(missing_ok=True)
        self._since = self._problem = None
        log.info("ClickHouse has room on its disk again")

    def _reload_broken(self, since: int) -> bool:
        """Load the tables anew that have a broken part; returns whether there was one."""
        rows = self._client.query(_WRITTEN, parameters={"since": since}).result_rows
        broken = {table for table, part in rows if not self._whole(table, part)}
        for table in sorted(broken):
            log.error("a full disk broke a part, and the parts that it was made of are loaded", extra={"table": table})
            self._client.command("DETACH TABLE {table:Identifier} SYNC", parameters={"table": table})
            self._client.command("ATTACH TABLE {table:Identifier}", parameters={"table": table})
        return bool(broken)

    def _drop_broken(self) -> None:
        for part in self.broken_inserts():
            log.error("a full disk broke an insert, which is sent again", extra={"part": part})
            self._client.command(f"ALTER TABLE events DROP PART '{part}'")

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Raises `BlockingIOError` when `kind` says not to wait, and it would have to."""
        opened = os.open(self._marker.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(opened, kind)
            yield
        finally:
            os.close(opened)

    def _suspected_since(self) -> int:
        return int(self._marker.stat().st_mtime) - 60

    def _whole(self, table: str, part: str) -> bool:
        if not _PART.match(part):
            raise ValueError("the engine named a part in a way that is not known here")
        try:
            passed = self._client.command(
                _CHECK.format(part=part), parameters={"table": table}, settings={"check_query_single_value_result": 1}
            )
        except DatabaseError as error:
            # A part that was merged away in the meantime is no longer ours to check.
            return error.code == _NO_SUCH_PART
        return passed == 1

    def _each(self, statement: str) -> None:
        for (table,) in self._client.query(_TABLES).result_rows:
            self._client.command(statement, parameters={"table": table})


_NEVER = 2**32 - 1
_NOT_ENOUGH_SPACE = 243  # ClickHouse's ErrorCodes.cpp
_NO_SUCH_PART = 232  # ClickHouse's ErrorCodes.cpp: NO_SUCH_DATA_PART
