"""Durable erasure of visitors' events, from spool and ClickHouse.

An *erasure* is a row in the spool's file, and done when nothing of it is left. The visitor's events are taken out of
the spool's groups, then out of ClickHouse. A segment that the writer may have read before cannot be called
back, and other collectors may have events of the visitor in their spools; so the latter is repeated until every such
segment is in ClickHouse or set aside, and the others have stored what they had accepted, and only then is the row
deleted. A process that is killed anywhere begins again; each part may be done twice.

Only events up to the second of the erasure are taken: what the visitor sends later is a new visit, and is kept.
Rewriting the table has a budget (`rewrite_budget`): rounds beyond it wait, and take all that was promised meanwhile.

A site is meant by all of its names, and an erasure is not done while the site is being renamed: events may still be
copied from one name to the other. Nor is it while a backup is being restored, nor by what was deleted from tables that
those of a backup have replaced since. A day that was rolled up is taken back when events of it are erased.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain

import msgspec
from clickhouse_connect.driver.client import Client

from collector.erasure.fence import Fence
from collector.erasure.rewrite_budget import RewriteBudget
from collector.erasure.stored_events import Reopen, delete_stored, remove_stale_marks
from collector.spool.rewrite import Erasure
from collector.spool.spool import Spool
from collector.storage.backup import TablesInPlace
from collector.storage.membership import Membership
from collector.storage.shards import Shards

log = logging.getLogger(__name__)


class Eraser:
    """Queues and carries out erasures. Blocking and thread-safe; one round runs at a time.

    `spools` are those that the process empties, the first its own; `members` are the collectors that share the
    database; `clock` gives nanoseconds. `names` are all names of the site of one name, `renaming` those of sites that
    are being renamed, `in_place` the tables that there are.
    """

    def __init__(
        self,
        client: Client,
        spools: Callable[[], Sequence[Spool]],
        members: Membership,
        clock: Callable[[], int],
        *,
        names: Callable[[str], Collection[str]] = lambda site: (site,),
        renaming: Callable[[], Collection[str]] = tuple,
        in_place: Callable[[], TablesInPlace] = lambda: TablesInPlace("", restoring=False),
        reopen: Reopen = lambda *_: None,
        shards: Shards | None = None,
        budget: RewriteBudget | None = None,
    ) -> None:
        self._shards = shards or Shards([client])
        self._budget = budget or RewriteBudget()
        self._spools = spools
        self._members = members
        self._clock = clock
        self._names = names
        self._renaming = renaming
        self._in_place = in_place
        self._reopen = reopen
        self._turn = threading.Lock()
        self._noting = threading.Lock()
        self._fence = Fence(spools, members)
        self.pending = any(spool.erasures.pending() for spool in spools())
        """Whether something promised is not done."""

    @property
    def sees_everything(self) -> bool:
        """Whether no other collector may hold events that are in no spool here."""
        return not self._members.others()

    def enqueue(self, erasures: Sequence[Erasure]) -> None:
        """Store the erasures durably; they will be carried out. Raises `sqlite3.Error`, and `SpoolUnavailable` where
        too many wait already."""
        self._spools()[0].erasures.enqueue(erasures)
        with self._noting:
            self.pending = True

    def remove_stale_marks(self) -> None:
        """Remove what is left of deletions that are over although nobody waited for them, or whose process ended."""
        with self._turn:
            for node in chain.from_iterable(self._shards.replicas):
                remove_stale_marks(node, self._clock(), self._reopen)

    def pending_days(self) -> frozenset[tuple[str, datetime.date]]:
        """The sites and days of what is promised and not done. Raises `sqlite3.Error`."""
        return frozenset((each.site, each.day) for each in self._under_all_names(self._promised()))

    def pending_visitors(self) -> frozenset[int]:
        """The visitors of what is promised and not done. Raises `sqlite3.Error`."""
        return frozenset(each.visitor for each in self._promised())

    def _promised(self) -> list[Erasure]:
        if not self.pending:
            return []
        return [each for spool in self._spools() for each in spool.erasures.pending().values()]

    def run_once(self, *, urgent: bool = False) -> bool:
        """One round over everything promised, unless the budget is spent and it is not `urgent`. Returns whether
        nothing is left to do.

        Raises what the disk and ClickHouse raise; the promises stay.
        """
        with self._turn:
            if self.pending and self._budget.is_spent and not urgent:
                return False
            left = [self._keep_of(spool) for spool in self._spools()]
            with self._noting:
                # Also what was promised while the round was under way.
                self.pending = any(spool.erasures.pending() for spool in self._spools())
            return not any(left)

    def _keep_of(self, own: Spool) -> bool:
        """One round over what was promised in one spool's file; whether some of it has to wait for a segment."""
        promised = own.erasures.pending()
        if not promised:
            return False
        moving = frozenset(self._renaming())
        keys = {number: (own.path, number) for number in promised}
        # A spool may be large, and ClickHouse not answer for long: each promise is looked for once.
        unsought = [number for number, key in keys.items() if not self._fence.has_segments(key)]
        if unsought:
            for spool in self._spools():
                spool.erase(self._under_all_names(promised[number] for number in unsought))
            self._fence.note_segments(*(keys[number] for number in unsought))
        # From here on ClickHouse is asked: what waits for it in the spool is gone already.
        before = self._in_place()
        new = [key for key in keys.values() if not self._fence.has_moment(key)]
        self._fence.note_moment(*new)
        over = [number for number, key in keys.items() if self._fence.is_passed(key)]
        over = [number for number in over if moving.isdisjoint(self._names(promised[number].site))]
        if before.restoring:
            over = []
        if new or over:
            self._delete_stored(self._under_all_names(promised.values()))
        if over and self._in_place() != before:
            over = []
        moving = frozenset(self._renaming())
        over = [number for number in over if moving.isdisjoint(self._names(promised[number].site))]
        own.erasures.mark_done(over)
        for number in over:
            self._fence.forget(keys[number])
        if over:
            log.info("erasures were completed", extra={"count": len(over)})
        return len(over) < len(promised)

    def _delete_stored(self, erasures: Sequence[Erasure]) -> None:
        for replicas in self._shards.replicas:
            began, rewritten = self._budget.now(), True
            try:
                rewritten = delete_stored(replicas, erasures, self._clock(), self._reopen) > 0
            finally:
                if rewritten:
                    self._budget.spend(began)

    def _under_all_names(self, erasures: Iterable[Erasure]) -> list[Erasure]:
        return [msgspec.structs.replace(each, site=name) for each in erasures for name in self._names(each.site)]
