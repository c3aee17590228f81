"""Runner of jobs on a site's data: deletion, reset, removal and renaming.

Each is a *task*: a record that is stored before anything is done, and gone on with, in steps that may be taken again,
until it is done. So it survives the process being killed anywhere. One collector does the tasks, one after the other,
beside the upkeep, and each only when all collectors have stored what they had accepted before. What they rewrite has a
budget (`rewrite_budget`): beyond it the next one waits. A task that takes longer than its time budget, or fails again
and again, is set aside and reported; an operator may have it tried again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.core.errors import JobTimeout, RecordError
from collector.core.wildcards import LONGEST_PATTERN, MOST_STARS, is_bounded
from collector.erasure.delete_events import FIELDS, EventDeletion
from collector.erasure.fence import Fence
from collector.erasure.rename_site import SiteRename
from collector.erasure.rewrite_budget import RewriteBudget
from collector.erasure.site_job import SiteJob
from collector.rollups.job import RollupJob
from collector.sites.model import Site, checked
from collector.sites.registry import Sites
from collector.spool.rewrite import DeletePredicate
from collector.spool.spool import Spool
from collector.storage.documents import DocumentTable
from collector.storage.membership import Membership
from collector.storage.mutations import MutationUnfinished
from collector.storage.shards import Shards

log = logging.getLogger(__name__)

SETTLE_SECONDS = 10
"""Where there are several collectors, each knows of a task, and so of a new name, by then."""

BUDGET_SECONDS = 3_600.0
"""Maximum duration of an attempt, after which the task is set aside."""

MOST_ATTEMPTS = 8
"""Failures or crashes of a task before it is set aside."""

RETRY_SECONDS, LONGEST_RETRY_SECONDS = 30.0, 3_600.0
"""Before the second attempt, twice as long before each further one, and at most."""

KEPT_SECONDS = 30 * 24 * 3600
"""Tasks that are done are listed for so long."""


class SiteJobRunner:
    """The tasks of all sites. Blocking but for reading what is in memory; `clock` gives Unix seconds.

    `spools` are those that this process empties, `members` the collectors that share the database; `followers` hear of
    the id of each site that is no more, once or more often. `monotonic` gives seconds that no setting of a clock
    changes.
    """

    def __init__(
        self,
        client: Client,
        sites: Sites,
        rollup: RollupJob,
        spools: Callable[[], Sequence[Spool]],
        members: Membership,
        clock: Callable[[], float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        shards: Shards | None = None,
    ) -> None:
        shards = shards or Shards([client])
        self._monotonic = monotonic
        self._rewriting = RewriteBudget(monotonic)
        self._begun: set[str] = set()
        self._next_attempt: dict[str, float] = {}
        self._client = client
        self._records = DocumentTable(client, "site_jobs", SiteJob)
        self._sites = sites
        self._spools = spools
        self._clock = clock
        self._members = members
        self._turn = threading.Lock()
        self._changing = threading.Lock()
        self._purging = EventDeletion(client, rollup, shards)
        self._moving = SiteRename(client, shards)
        self._rollup = rollup
        self._tasks: dict[str, SiteJob] = {}
        self._fence = Fence(spools, members)
        self.followers: list[Callable[[str], None]] = []

    def refresh(self) -> None:
        """Read all tasks. Names of sites that are being removed or renamed cannot be taken meanwhile."""
        with self._changing:
            self._keep(self._records.all())

    def of(self, site: Site) -> list[SiteJob]:
        """The tasks of one site, the newest first."""
        found = (task for task in self._tasks.values() if site.id == (task.site_id or task.site))
        return sorted(found, key=lambda task: -task.asked)

    def all(self) -> list[SiteJob]:
        """Every task, the newest first."""
        return sorted(self._tasks.values(), key=lambda task: -task.asked)

    def moving(self) -> frozenset[str]:
        """The names of sites whose events are being moved from one to the other: no day of theirs is to be closed."""
        waiting = [task for task in self._tasks.values() if task.kind == "rename" and task.waiting]
        return frozenset(name for task in waiting for name in (task.site, task.to))

    def preview(self, job: SiteJob) -> int:
        """How many stored events the task is about."""
        return self._purging.count(job)

    def enqueue(self, job: SiteJob) -> SiteJob:
        """Store the task: from now on it will be done. Raises `RecordError` naming what cannot be meant."""
        self._must_make_sense(job)
        job = msgspec.structs.replace(job, rows=self.preview(job))
        # Nobody takes the name between its being found free and its being kept for the task.
        with self._sites.lock:
            self._must_make_sense(job)
            self._put(job)
        self._begin(job)
        return job

    def run_pending(self) -> bool:
        """Go on with what is not done; returns whether nothing is left to do.

        Raises what a task has failed with, which is then tried again later, or set aside.
        """
        # Whoever has them paused may take hours.
        if not self._turn.acquire(blocking=False):
            return False
        try:
            for task in sorted((task for task in self._tasks.values() if task.waiting), key=lambda task: task.asked):
                if self._rewriting.is_spent:
                    break
                if self._monotonic() >= self._next_attempt.get(task.id, -math.inf):
                    self._attempt(task)
            for task in [task for task in self._tasks.values() if 0 < task.finished < self._clock() - KEPT_SECONDS]:
                self._forget(task)
        finally:
            self._turn.release()
        return not any(task.waiting for task in self._tasks.values())

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No task is gone on with in this process meanwhile; one that is under way is waited for."""
        with self._turn:
            self.refresh()
            yield

    def copies(self) -> frozenset[tuple[str, int, bool]]:
        """The renames that have copied events, and how far they have come."""
        self.refresh()
        renames = (task for task in self._tasks.values() if task.kind == "rename")
        return frozenset((task.id, task.round, task.deleting) for task in renames if task.round or task.copied)

    def set_aside(self) -> list[SiteJob]:
        """The tasks that were given up, the newest first."""
        return [task for task in self.all() if task.open and task.set_aside]

    def retry(self) -> int:
        """Have every task that was set aside tried again; returns how many."""
        tasks = self.set_aside()
        for task in tasks:
            self._begun.discard(task.id)
            self._next_attempt.pop(task.id, None)
            self._put(msgspec.structs.replace(task, attempts=0, set_aside=0, error=""))
        return len(tasks)

    def _attempt(self, job: SiteJob) -> None:
        if job.id not in self._begun:
            if job.attempts >= MOST_ATTEMPTS:
                self._give_up(job, f"it was started {job.attempts} times and never completed")
                return
            self._begun.add(job.id)
            job = msgspec.structs.replace(job, attempts=job.attempts + 1)
            self._put(job)
        try:
            self._go_on(job, self._budget())
        except JobTimeout as error:
            self._give_up(self._tasks[job.id], str(error))
        except Exception as error:
            self._failed(self._tasks[job.id], error)
            raise

    def _budget(self) -> Callable[[], None]:
        """What raises `JobTimeout` once the time of an attempt that begins now is over."""
        ends = self._monotonic() + BUDGET_SECONDS

        def check() -> None:
            if self._monotonic() >= ends:
                raise JobTimeout(BUDGET_SECONDS)

        return check

    def _failed(self, job: SiteJob, error: Exception) -> None:
        """Try later, and after many failures not at all. An outage of the database is no failure of the task, nor is a
        mutation that takes long."""
        if isinstance(error, MutationUnfinished):
            return
        try:
            self._client.command("SELECT 1")
        except (ClickHouseError, OSError):
            return
        attempts = job.attempts + 1
        if attempts > MOST_ATTEMPTS:
            # The message may contain what was to be erased.
            self._give_up(job, type(error).__name__)
            return
        wait = min(RETRY_SECONDS * 2 ** (attempts - 2), LONGEST_RETRY_SECONDS)
        self._next_attempt[job.id] = self._monotonic() + wait
        self._put(msgspec.structs.replace(job, attempts=attempts))

    def _give_up(self, job: SiteJob, reason: str) -> None:
        self._fence.forget(job.id)
        self._put(msgspec.structs.replace(job, set_aside=max(1, int(self._clock())), error=reason))
        log.error("a site job failed permanently", extra={"kind": job.kind, "site": job.site, "reason": reason})

    def _go_on(self, job: SiteJob, check: Callable[[], None]) -> None:
        self._begin(job)
        if not self._arrived(job, check):
            return
        # Under the former name nothing more is built.
        self._rollup.finish_builds()
        steps = self._moving if job.kind == "rename" else self._purging
        began = self._monotonic()
        try:
            job = steps.run_step(job, self._put, check)
        finally:
            self._rewriting.spend(began)
        self._put(msgspec.structs.replace(job, value="", finished=max(1, int(self._clock()))))
        # What was compared with is not to outlive the task in an older version of it.
        self._client.command("OPTIMIZE TABLE site_jobs FINAL")
        self._fence.forget(job.id)
        log.info("a site job completed", extra={"kind": job.kind, "site": job.site, "rows": job.rows})

    def _begin(self, job: SiteJob) -> None:
        """From now on the site is no more, or has its new name: beacons of the old one count as its own."""
        if job.kind not in ("remove", "rename"):
            return
        id_ = job.site_id or job.site
        # The request and the runner may both be here.
        with self._sites.lock:
            site = self._sites.get(job.site)
            if site is not None and site.id == id_ and job.to:
                self._sites.rename_now(site, job.to)
            elif site is not None and site.id == id_:
                self._sites.remove_now(job.site)
        if job.kind == "remove":
            for follower in self.followers:
                follower(id_)

    def _arrived(self, job: SiteJob, check: Callable[[], None]) -> bool:
        """Whether everything that was on its way when the task began is in ClickHouse, or out of the spools."""
        if not self._fence.has_segments(job.id):
            if job.kind != "rename":
                purge = DeletePredicate(job.site, job.until, job.first, job.last, FIELDS.get(job.field, ""), job.value)
                for spool in self._spools():
                    spool.purge(purge, check)
            self._fence.note_segments(job.id)
        if not self._fence.has_moment(job.id):
            if self._members.others() and self._clock() < job.asked + SETTLE_SECONDS:
                return False
            self._fence.note_moment(job.id)
        return self._fence.is_passed(job.id)

    def _put(self, job: SiteJob) -> None:
        # Together with `refresh`: what was read before must not come after what was stored since.
        with self._changing:
            self._records.save(job.id, job)
            self._keep({**self._tasks, job.id: job})

    def _forget(self, job: SiteJob) -> None:
        with self._changing:
            self._records.delete(job.id)
            self._keep({id_: each for id_, each in self._tasks.items() if id_ != job.id})

    def _keep(self, tasks: dict[str, SiteJob]) -> None:
        self._tasks = tasks
        busy = [task for task in tasks.values() if task.open and task.kind in ("remove", "rename")]
        self._sites.busy = frozenset({task.site for task in busy} | {task.to for task in busy if task.to})

    def _must_make_sense(self, job: SiteJob) -> None:
        if any(_occupies(each) and job.site in (each.site, each.to) for each in self._tasks.values()):
            raise RecordError("site", "another operation on this site is still running; try again in a minute")
        if job.kind == "rename":
            self._must_be_free(job)
        if job.kind == "delete":
            if job.first is None or job.last is None or job.first > job.last:
                raise RecordError("first", "expected a start and an end date, in order")
            if job.field and job.field not in FIELDS:
                raise RecordError("field", "expected one of {choices}", choices=", ".join(FIELDS))
            if bool(job.field) != bool(job.value):
                raise RecordError("value", "expected a value to compare with")
            if job.field and not is_bounded(job.value):
                raise RecordError(
                    "value",
                    "expected at most {count} characters and {stars} stars",
                    count=LONGEST_PATTERN,
                    stars=MOST_STARS,
                )

    def _must_be_free(self, job: SiteJob) -> None:
        site = self._sites.get(job.site)
        if site is None or site.id != (job.site_id or job.site):
            raise RecordError("domain", "{name} is not registered", name=job.site)
        new = checked(msgspec.structs.replace(site, domain=job.to)).domain
        if new == job.site:
            raise RecordError("domain", "this is already its name")
        if new != job.to:
            raise RecordError("domain", "expected a name such as {name}", name=new)
        self._sites.must_be_free(new, but=site)
        if self._purging.has_events(new) or self._moving.has_sums(new):
            raise RecordError(
                "domain", "data of an earlier site {name} still exists; add that site and delete it first", name=new
            )


def _occupies(job: SiteJob) -> bool:
    """Whether nothing else may be done to its site: also what was set aside, where it has the figures half under
    another name."""
    return job.waiting or (job.open and job.kind in ("remove", "rename"))
