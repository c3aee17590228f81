"""What is to be done to the figures of a whole site: delete some of them, reset, remove or rename it.

Each is a *task*: a record that is stored before anything is done, and gone on with, in steps that may be taken again,
until it is done. So it survives the process being killed anywhere. One worker does the tasks, one after the other,
beside the upkeep.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from clickhouse_connect.driver.client import Client

from collector.erasure import Purge
from collector.exceptions import RecordError
from collector.moving import Moving
from collector.purging import FIELDS, Purging
from collector.records import Records
from collector.rollup import Rollup
from collector.sites import Sites, checked
from collector.task import Task

if TYPE_CHECKING:
    from collector.spool import Spool

log = logging.getLogger(__name__)

WORKERS_SECONDS = 60
"""Where there are several workers, a task stays open so long after it was asked for and is then done once more:
what another worker had not written by then is found by it."""

SETTLE_SECONDS = 10
"""Where there are several workers, each knows of a new name by then."""

KEPT_SECONDS = 30 * 24 * 3600
"""Tasks that are done are listed for so long."""


class Deletions:
    """The tasks of all sites. Blocking but for reading what is in memory; `clock` gives Unix seconds.

    `spools` are those that this process empties; `followers` hear of each site that has another name (old, new) or is
    no more (old, None), once or more often.
    """

    def __init__(
        self,
        client: Client,
        sites: Sites,
        rollup: Rollup,
        spools: Callable[[], Sequence[Spool]],
        clock: Callable[[], float],
        *,
        workers: int = 1,
    ) -> None:
        self._client = client
        self._records = Records(client, "deletions", Task)
        self._sites = sites
        self._spools = spools
        self._clock = clock
        self._workers = workers
        self._turn = threading.Lock()
        self._changing = threading.Lock()
        self._purging = Purging(client, rollup)
        self._moving = Moving(client)
        self._tasks: dict[str, Task] = {}
        self._read_before: dict[str, list[tuple[Spool, frozenset[int]]]] = {}
        self.followers: list[Callable[[str, str | None], None]] = []

    def refresh(self) -> None:
        """Read all tasks. Names of sites that are being removed or renamed cannot be taken meanwhile."""
        with self._changing:
            self._keep(self._records.all())

    def of(self, site: str) -> list[Task]:
        """The tasks of one site, the newest first."""
        return sorted((task for task in self._tasks.values() if site in (task.site, task.to)), key=lambda t: -t.asked)

    def all(self) -> list[Task]:
        """Every task, the newest first."""
        return sorted(self._tasks.values(), key=lambda task: -task.asked)

    @property
    def renaming(self) -> bool:
        """Whether a site has its figures under two names: then no day is to be closed."""
        return any(task.kind == "rename" and task.open for task in self._tasks.values())

    def preview(self, task: Task) -> int:
        """How many stored events the task is about."""
        return self._purging.count(task)

    def ask(self, task: Task) -> Task:
        """Store the task: from now on it will be done. Raises `RecordError` naming what cannot be meant."""
        self._must_make_sense(task)
        task = msgspec.structs.replace(task, rows=self.preview(task))
        self._put(task)
        self._begin(task)
        return task

    def keep_up(self) -> bool:
        """Go on with what is not done; returns whether nothing is left to do."""
        with self._turn:
            for task in sorted((task for task in self._tasks.values() if task.open), key=lambda task: task.asked):
                self._go_on(task)
            for task in [task for task in self._tasks.values() if 0 < task.finished < self._clock() - KEPT_SECONDS]:
                self._forget(task)
        return not any(task.open for task in self._tasks.values())

    def _go_on(self, task: Task) -> None:
        self._begin(task)
        if not self._arrived(task):
            return
        steps = self._moving if task.kind == "rename" else self._purging
        task = steps.go_on(task, self._put)
        if self._workers == 1 or self._clock() >= task.asked + WORKERS_SECONDS:
            self._put(msgspec.structs.replace(task, value="", finished=max(1, int(self._clock()))))
            # What was compared with is not to outlive the task in an older version of it.
            self._client.command("OPTIMIZE TABLE deletions FINAL")
            self._read_before.pop(task.id, None)
            log.info("a task is done", extra={"kind": task.kind, "site": task.site, "rows": task.rows})

    def _begin(self, task: Task) -> None:
        """From now on the site is no more, or has its new name: beacons of the old one count as its own."""
        if task.kind not in ("remove", "rename"):
            return
        site = self._sites.get(task.site)
        if site is not None and task.to:
            self._sites.rename_now(site, task.to)
        elif site is not None:
            self._sites.remove_now(task.site)
        for follower in self.followers:
            follower(task.site, task.to or None)

    def _arrived(self, task: Task) -> bool:
        """Whether everything that was on its way when the task began is in ClickHouse, or out of the spools."""
        if task.id not in self._read_before:
            if task.kind != "rename":
                purge = Purge(task.site, task.until, task.first, task.last, FIELDS.get(task.field, ""), task.value)
                for spool in self._spools():
                    spool.purge(purge)
            self._read_before[task.id] = [(spool, spool.under_way()) for spool in self._spools()]
        if self._workers > 1 and self._clock() < task.asked + SETTLE_SECONDS:
            return False
        return not any(before & spool.under_way() for spool, before in self._read_before[task.id])

    def _put(self, task: Task) -> None:
        # Together with `refresh`: what was read before must not come after what was stored since.
        with self._changing:
            self._records.put(task.id, task)
            self._keep({**self._tasks, task.id: task})

    def _forget(self, task: Task) -> None:
        with self._changing:
            self._records.delete(task.id)
            self._keep({id_: each for id_, each in self._tasks.items() if id_ != task.id})

    def _keep(self, tasks: dict[str, Task]) -> None:
        self._tasks = tasks
        busy = [task for task in tasks.values() if task.open and task.kind in ("remove", "rename")]
        self._sites.busy = frozenset({task.site for task in busy} | {task.to for task in busy if task.to})

    def _must_make_sense(self, task: Task) -> None:
        if any(each.open and task.site in (each.site, each.to) for each in self._tasks.values()):
            raise RecordError("site", "something else is still being done to this site; try again in a minute")
        if task.kind == "rename":
            self._must_be_free(task)
        if task.kind == "delete":
            if task.first is None or task.last is None or task.first > task.last:
                raise RecordError("first", "expected a first and a last day, in order")
            if task.field and task.field not in FIELDS:
                raise RecordError("field", "expected one of {choices}", choices=", ".join(FIELDS))
            if bool(task.field) != bool(task.value):
                raise RecordError("value", "expected a value to compare with")

    def _must_be_free(self, task: Task) -> None:
        site = self._sites.get(task.site)
        if site is None:
            raise RecordError("domain", "{name} is not registered", name=task.site)
        new = checked(msgspec.structs.replace(site, domain=task.to)).domain
        if new == task.site:
            raise RecordError("domain", "that is its name already")
        if new != task.to:
            raise RecordError("domain", "expected a name such as {name}", name=new)
        self._sites.must_be_free(new, but=site)
        if self._purging.has_events(new) or self._moving.has_sums(new):
            raise RecordError(
                "domain", "there are figures of an earlier site {name}; add that site and remove it first", name=new
            )
