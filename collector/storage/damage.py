"""Watch of damaged data parts: those that ClickHouse has put aside, and those that it cannot rewrite.

A disk that loses bits breaks parts that were whole. ClickHouse starts without such a part, so that its rows are missing
from then on; one that it meets while it serves stops every deletion from its table. Neither is mended by waiting.
"""

from __future__ import annotations

from typing import Final

from collector.storage.client import plain_reason
from collector.storage.disk_guard import DiskSpaceGuard
from collector.storage.shards import Shards

LASTING_SECONDS: Final = 60

_PUT_ASIDE: Final = """
SELECT table, count(), any(path) FROM system.detached_parts
WHERE database = currentDatabase() AND startsWith(reason, 'broken') GROUP BY table ORDER BY table"""
_FAILING: Final = """
SELECT table, any(latest_fail_reason) FROM system.mutations
WHERE database = currentDatabase() AND NOT is_done AND latest_fail_reason != ''
      AND create_time <= now() - toIntervalSecond({seconds:UInt32})
GROUP BY table ORDER BY table"""


class DamageWatch:
    """Looks at each of the `shards`. What a full disk has broken is the `disk_guard`'s. A mutation that is older than
    `lasting` seconds does not fail by chance."""

    def __init__(self, shards: Shards, disk_guard: DiskSpaceGuard, *, lasting: int = LASTING_SECONDS) -> None:
        self._lasting = lasting
        self._shards = shards
        self._disk_guard = disk_guard
        self.problems: tuple[str, ...] = ()
        """Sentences that say what is damaged and what to do, as of the last check."""

    def check(self) -> None:
        """Look again. Blocking; raises `ClickHouseError`."""
        if self._disk_guard.in_doubt:
            return
        aside = self._shards.rows(_PUT_ASIDE, {})
        failing = self._shards.rows(_FAILING, {"seconds": self._lasting})
        self.problems = (
            *(
                f"ClickHouse has put aside {count} damaged parts of the table {table}: their rows are missing. Restore "
                f"a backup, or delete {path} to go on without them."
                for table, count, path in aside
            ),
            *(
                f"ClickHouse cannot rewrite parts of the table {table}, so erasures and deletions wait: "
                f"{plain_reason(RuntimeError(reason))}"
                for table, reason in failing
            ),
        )
