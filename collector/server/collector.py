"""Composition of the collector: data directory, database, salts, visits, spool and writer, and their lifecycle.

Built once, started and stopped by the composition root.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from collector.core.app_secret import secrets_of
from collector.core.clock_monitor import ClockMonitor, uptime
from collector.core.errors import DatabaseUnreachable
from collector.core.file_locks import lock_data_dir
from collector.core.metrics import Counters
from collector.core.settings import Settings
from collector.enrichment.datacenters import DatacenterNetworks
from collector.enrichment.geoip import CountryResolver
from collector.enrichment.host_lists import SPAM_FILE, HostList
from collector.enrichment.ip_exclusions import IpExclusions
from collector.erasure.job_runner import SiteJobRunner
from collector.erasure.retention import RetentionJob
from collector.erasure.schedule import ErasureSchedule
from collector.erasure.subject_access import SubjectAccess
from collector.erasure.visitor_erasure import Eraser
from collector.imports.imports import Imports
from collector.ingest.context import PipelineServices
from collector.ingest.event import Event
from collector.ingest.visit_recall import VisitRecall
from collector.ingest.visits import IDLE_SECONDS, VisitTracker
from collector.privacy import salts_clickhouse
from collector.privacy.consent_receipts import Receipts
from collector.privacy.receipt_revocations import Revocations
from collector.privacy.salt_rotation import SaltRotation
from collector.privacy.salts_clickhouse import TableSalts
from collector.privacy.visitor_id import DailySalts, FileSalts
from collector.rollups.job import RollupJob
from collector.rollups.late_events import FinalDays, LateEventsInserter
from collector.server.background_jobs import BackgroundJobs
from collector.server.drop_statistics import DropStatistics
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.beacon_claims import BeaconClaims
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.member_inserter import MemberInserter
from collector.spool.site_aliases import SiteAliasInserter
from collector.spool.spool import Spool
from collector.spool.worker import SpoolWorker, spool_files
from collector.storage.backup import finish_interrupted, tables_in_place
from collector.storage.backup_files import remove_interrupted
from collector.storage.client import ClickHouse, plain_reason
from collector.storage.damage import DamageWatch
from collector.storage.disk_guard import DiskSpaceGuard
from collector.storage.documents import DocumentTable
from collector.storage.membership import HEARTBEAT_SECONDS, Membership
from collector.storage.server_requirements import require_same_clock, require_suitable

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
UPKEEP_SECONDS = 30.0
# What another process changed is known here after so long, and so is how much room there is.
SHARED_SECONDS = 2.0
# Between two looks for something to do to a site.
TASKS_SECONDS = 0.5
# How long a start waits for a ClickHouse server that does not answer.
START_SECONDS = 30.0
LATE_SECONDS = 60.0

Clock = Callable[[], float]


class Readiness(msgspec.Struct, frozen=True):
    """Whether beacons are accepted and reach ClickHouse; each problem is a sentence with advice."""

    ready: bool
    problems: list[str]
    spool_rows: int
    spool_bytes: int
    oldest_seconds: float
    refused_segments: int


class Collector:
    """The collecting side of one process. `inserted` hears of each segment that reached ClickHouse; `clickhouse`
    is another database than the one of the settings, as in tests; `since_boot` gives seconds that only go forward, with
    which the clock is compared.

    Raises `DataDirectoryInUse` when another process has the data directory, `DatabaseUnreachable` when a ClickHouse
    server does not answer for half a minute, `SchemaTooNew`, and `CannotJoin` when it may not share the database with
    the collectors that are there.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = time.time,
        inserted: Callable[[Sequence[Event]], None] = lambda _: None,
        clickhouse: ClickHouse | None = None,
        since_boot: Clock | None = None,
    ) -> None:
        # An injected clock is not compared with the system's.
        since_boot = since_boot or (uptime if clock is time.time else clock)
        self.settings = settings
        self.clock = clock
        self._inserted = inserted
        self._lock = lock_data_dir(settings.data_dir)
        self.clock_monitor = ClockMonitor(clock, since_boot, settings.data_dir / "clock-1")
        self.clickhouse = clickhouse or ClickHouse.at(
            settings.database_dsn, backups=settings.data_dir / "backups", cluster=settings.clickhouse_cluster
        )
        marker = settings.data_dir / "clickhouse.full"
        self.client: Client = prepared(self.clickhouse, START_SECONDS, marker)
        if not self.clickhouse.embedded and since_boot is uptime:
            require_same_clock(self.client, clock)
        self.room = DiskSpaceGuard(next(iter(self.clickhouse.shards())), marker)
        self.counters = Counters()
        self.sites = Sites(DocumentTable(self.client, "sites", Site), clock)
        self.sites.refresh()
        if not settings.embedded:
            self.clickhouse.create_everywhere("salts", salts_clickhouse.TABLE)
        self.salts: DailySalts = (
            FileSalts(settings.data_dir / "salts") if settings.embedded else TableSalts(self.client)
        )
        self.salt_rotation = SaltRotation(self.sites, self.salts, self.clock_monitor, clock)
        self.refreshes: list[Callable[[], None]] = [self.sites.refresh]
        """What reads anew from the database what other processes may have changed; blocking."""
        self.receipts = Receipts(secrets_of(settings))
        self.revocations = Revocations(self.client, self.receipts, clock)
        self.revocations.refresh()
        self.refreshes.append(self.revocations.refresh)
        self.rooms = PipelineServices(
            sites=self.sites,
            salts=self.salts,
            visits=VisitTracker(),
            countries=CountryResolver(settings.geoip_db),
            spam=HostList(settings.data_dir / SPAM_FILE),
            datacenters=DatacenterNetworks(settings.datacenter_file),
            shield=IpExclusions(settings.excluded_addresses),
            receipts=self.receipts,
        )
        self.shards = self.clickhouse.shards()
        self.damage = DamageWatch(self.shards, self.room)
        self.rollup = RollupJob(
            self.clickhouse.client(), self.sites, clock, builder=lambda: self.members.number, shards=self.shards
        )
        self.lane, *self._left_over = (self._drain_of(path) for path in spool_files(settings.data_dir))
        self.spool = self.lane.spool
        self.writer = self.lane.writer
        self.members = Membership(
            self.clickhouse.client(),
            settings.data_dir,
            name=settings.collector,
            secrets=secrets_of(settings),
            held=self._held,
            uncommitted=lambda: max(spool.uncommitted_seconds() for spool in self._spools()),
            shared=not settings.embedded,
        )
        self.members.join()
        # With a client of its own: a changed retention rewrites rows, and nobody is to wait for that.
        self.retention = RetentionJob(
            self.clickhouse.client(),
            self.sites,
            clock,
            since_boot=since_boot,
            may_delete=lambda: self.clock_monitor.may_delete_events,
            shards=self.shards,
        )
        self.eraser = Eraser(
            self.client,
            self._spools,
            self.members,
            time.time_ns,
            names=self.sites.names,
            renaming=lambda: self.deletions.moving(),
            in_place=lambda: tables_in_place(self.clickhouse, self.client),
            reopen=self.rollup.reopen_day,
            shards=self.shards,
        )
        self.erasures = ErasureSchedule(self.eraser)
        self.claims = BeaconClaims(self.clickhouse.client(), self.members, self._spools)
        self.recall = VisitRecall(
            self.clickhouse.client(), self.rooms.visits, clock, erased=self.eraser.pending_visitors
        )
        self.privacy = SubjectAccess(
            clock=clock,
            sites=self.sites,
            salts=self.salts,
            rotation=self.salt_rotation,
            visits=self.rooms.visits,
            spool=self.spool,
            shards=self.shards,
            eraser=self.eraser,
            schedule=self.erasures,
        )
        self.deletions = SiteJobRunner(
            self.clickhouse.client(),
            self.sites,
            self.rollup,
            self._spools,
            self.members,
            clock,
            shards=self.shards,
        )
        self.deletions.refresh()
        self.refreshes.append(self.deletions.refresh)
        self.imports = Imports(
            self.clickhouse.client(),
            self.sites,
            self.rooms,
            clock,
            settings.data_dir,
            busy=lambda site: any(job.waiting for job in self.deletions.of(site)),
            builder=lambda: self.members.number,
            shards=self.shards,
            connect=self.clickhouse.client,
        )
        self.deletions.followers.append(self.imports.forget_site)
        self.tally = DropStatistics(self.client, self.counters, self.sites, clock)
        self.deletions.followers.append(self.tally.wait_for_write)
        self.counters.watch(self._gauges)
        self._background: asyncio.Task[None] | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._work: asyncio.Task[None] | None = None
        self._heart: asyncio.Task[None] | None = None
        self._recalls: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin: salts for the days at hand, the visits that go on, the spool and the writer."""
        self.salt_rotation.rotate()
        await anyio.to_thread.run_sync(self._recall_visits)
        if self.members.leads:
            await anyio.to_thread.run_sync(partial(self.imports.recover, alone=self.settings.embedded))
        for lane in (self.lane, *self._left_over):
            lane.start()
        self._background = asyncio.create_task(self.run_background_jobs())
        # Building and deleting much takes its time; neither salts nor rights that have ended are to wait for it.
        self._upkeep = asyncio.create_task(self.run_upkeep())
        self._work = asyncio.create_task(self.run_site_jobs())
        if not self.settings.embedded:
            self._heart = asyncio.create_task(self.run_heartbeat())
            self._settling = asyncio.create_task(self.claims.run())
            self._recalls = asyncio.create_task(self.recall.run(lambda: self.members.present))

    async def stop(self) -> None:
        """Drain for a few seconds, then let go of everything. What is not inserted waits in the spool."""
        for running in (self._background, self._upkeep, self._work, self._recalls, self._settling):
            await _cancelled(running)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.claims.finish()
        await _cancelled(self._heart)
        await self.erasures.stop()
        for lane in (self.lane, *self._left_over):
            await anyio.to_thread.run_sync(lane.stop, DRAIN_SECONDS)
        try:
            await anyio.to_thread.run_sync(self.tally.write)
            await anyio.to_thread.run_sync(self.members.leave)
        except (ClickHouseError, OSError) as error:
            log.warning(
                "drop counts or membership could not be written at shutdown", extra={"reason": plain_reason(error)}
            )
        self.client.close()
        os.close(self._lock)

    def readiness(self) -> Readiness:
        """How it is going, in words."""
        held = self.spool.stats()
        problems = []
        reason = self.writer.problem or self.claims.problem
        if reason:
            problems.append(f"ClickHouse does not take events: {reason}. They wait in the spool.")
        elif held.oldest_seconds > self.settings.flush_seconds + LATE_SECONDS:
            problems.append(f"The oldest event has waited {held.oldest_seconds:.0f} s for ClickHouse.")
        if self.room.problem and not reason:
            problems.append(self.room.problem)
        problems += [problem for problem in (self.clock_monitor.problem, self.members.problem) if problem]
        problems += self.damage.problems
        if self.spool.full:
            problems.append("The spool is full and beacons are refused; raise TYST_SPOOL_MAX_BYTES or mend ClickHouse.")
        if held.problem:
            problems.append(
                f"The spool cannot be written and beacons are refused: {held.problem}. Make room on its disk, "
                "or mend it."
            )
        if held.refused:
            problems.append(f"{held.refused} segments were refused by ClickHouse and set aside; see the log.")
        return Readiness(
            ready=not problems,
            problems=problems,
            spool_rows=held.rows,
            spool_bytes=held.bytes,
            oldest_seconds=round(held.oldest_seconds, 3),
            refused_segments=held.refused,
        )

    def _recall_visits(self) -> None:
        """Visits that go on are rebuilt from ClickHouse and from what the spool still holds."""
        self.recall.recall()
        since = int(self.clock()) - IDLE_SECONDS
        for event in self.spool.events(since):
            if event.ts >= since:
                self.rooms.visits.restore([event])

    def retry_refused(self) -> int:
        """Have segments and tasks that were set aside tried again; returns how many segments. Blocking."""
        self.deletions.retry()
        return sum(spool.retry_refused() for spool in self._spools())

    def close_days(self) -> None:
        """Close the days that are over, without those of which events are being erased, and of sites that are being
        renamed; the leader does. Blocking."""
        if self.members.leads and self.clock_monitor.may_close_days:
            self.rollup.close_due(self.eraser.pending_days(), self.deletions.moving())

    def _stored(self, events: Sequence[Event]) -> None:
        """A segment is in ClickHouse: days that were closed without it count as open."""
        try:
            self.rollup.on_insert(SiteAliasInserter.current(events, self.sites))
        except (ClickHouseError, OSError) as error:
            # Its rows are found by their number when days are next closed.
            log.warning(
                "a late segment could not be recorded and will be retried", extra={"reason": plain_reason(error)}
            )
        self._inserted(events)

    def _drain_of(self, path: Path) -> SpoolWorker:
        stored = ClickHouseInserter(self.clickhouse.client(), self.room)
        counted = LateEventsInserter(stored, FinalDays(self.clickhouse.client(), self.sites, self.clock))
        inserter = SiteAliasInserter(MemberInserter(counted, lambda: self.members), self.sites)
        return SpoolWorker(
            path,
            self.settings,
            inserter,
            self.counters,
            inserted=self._stored,
            clock=self.clock,
            withhold=not self.settings.embedded,
        )

    def _spools(self) -> list[Spool]:
        """This process's spool, and those that an earlier release with several worker processes has left."""
        return [lane.spool for lane in (self.lane, *self._left_over)]

    def _held(self) -> frozenset[Hashable]:
        return frozenset((spool.path, number) for spool in self._spools() for number in spool.unfinished())

    async def run_heartbeat(self) -> None:
        """Tell the other collectors that this one is alive, and what it has stored."""
        while True:
            try:
                await anyio.to_thread.run_sync(self.members.beat)
                if self.members.is_removed:
                    # What it would accept would never be stored.
                    self.spool.refuse("this collector was removed")
                await self.claims.answer()
            except (ClickHouseError, OSError) as error:
                log.debug("a heartbeat could not be written", extra={"reason": plain_reason(error)})
            except Exception:  # one failed heartbeat must not end them
                log.exception("a heartbeat could not be written")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def run_background_jobs(self) -> None:
        """Every half minute: salts and lists. More often: what other processes changed, which ends rights at once."""
        await self._run_jobs(self._background_jobs)

    async def run_upkeep(self) -> None:
        """Every half minute what may take long: days that are over, retention. More often: erasures."""
        await self._run_jobs(self._upkeep_jobs)

    def _background_jobs(self, *, all_of_them: bool) -> list[Callable[[], object]]:
        jobs: list[Callable[[], object]] = [self.room.check]
        if not self.settings.embedded or all_of_them:
            jobs += [*self.refreshes, self.salt_rotation.refresh]
        if all_of_them:
            jobs += [
                self.clock_monitor.check,
                self.salt_rotation.rotate,
                self.rooms.spam.refresh,
                self.rooms.datacenters.refresh,
            ]
        return jobs

    def _upkeep_jobs(self, *, all_of_them: bool) -> list[Callable[[], object]]:
        jobs: list[Callable[[], object]] = []
        if not self.settings.embedded or all_of_them:
            jobs.append(self.erasures.run_pending)
        if not self.settings.embedded and all_of_them:
            jobs += [spool.erasures.clean_log for spool in self._spools()]
        if all_of_them:
            jobs += [self.tally.write, self.close_days, self.eraser.remove_stale_marks, self.damage.check]
            jobs += [self.retention.run_due, self.imports.tidy] if self.members.leads else []
            if self.members.leads and not self.clickhouse.cluster:
                jobs.append(partial(finish_interrupted, self.clickhouse))
        return jobs

    @staticmethod
    async def _run_jobs(due: Callable[..., list[Callable[[], object]]]) -> None:
        """Run the jobs that are `due` every two seconds, and all of them every half minute."""
        jobs, rounds = BackgroundJobs("background jobs failed and will be retried"), UPKEEP_SECONDS // SHARED_SECONDS
        for round_ in itertools.count():
            await jobs.run(due(all_of_them=round_ % rounds == 0))
            await asyncio.sleep(SHARED_SECONDS)

    async def run_site_jobs(self) -> None:
        """Run pending site jobs, and delete what removed imports have left."""
        jobs = BackgroundJobs("a site job failed and will be retried")
        while True:
            if self.members.leads:
                await jobs.run([self.deletions.run_pending, self.imports.delete_removed])
            await asyncio.sleep(TASKS_SECONDS)

    def _gauges(self) -> dict[str, tuple[str, float]]:
        held = self.spool.stats()
        return {
            "tyst_spool_rows": ("Events on disk that are not yet in ClickHouse.", held.rows),
            "tyst_spool_bytes": ("Bytes of these events.", held.bytes),
            "tyst_spool_oldest_seconds": ("Age of the oldest of them.", held.oldest_seconds),
            "tyst_spool_commits": ("Groups of beacons written to the spool, each with one fsync.", self.spool.commits),
            "tyst_spool_refused_segments": ("Segments that ClickHouse refused for good.", held.refused),
            "tyst_visits_live": ("Visits that go on, in memory.", len(self.rooms.visits)),
            "tyst_visits_bytes": ("Bytes that they take.", self.rooms.visits.bytes),
            "tyst_visits_closed_early": ("Visits closed at a bound of memory.", self.rooms.visits.closed_early),
        }


async def _cancelled(running: asyncio.Task[None] | None) -> None:
    if running is not None:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def prepared(clickhouse: ClickHouse, patience: float = START_SECONDS, marker: Path | None = None) -> Client:
    """A client of the database, with the schema applied. Waits for a server that does not answer yet, at most
    `patience` seconds; `marker` is that of `DiskSpaceGuard`. Raises `DatabaseUnreachable`, `SchemaTooNew`, and
    `ServerUnsuitable` where a server is too old or its user lacks a grant."""
    deadline = time.monotonic() + patience
    waited = False
    while True:
        try:
            if not clickhouse.embedded:
                require_suitable(clickhouse)
            if marker is not None and marker.exists():
                with contextlib.closing(clickhouse.create()) as client:
                    DiskSpaceGuard(client, marker).repair_before_start()
            if not clickhouse.cluster:
                finish_interrupted(clickhouse)
            if clickhouse.embedded and clickhouse.backups is not None:
                remove_interrupted(clickhouse.backups)
            return clickhouse.prepare()
        except (ClickHouseError, OSError) as error:
            if clickhouse.embedded:
                raise
            # What the server itself says no to, such as a password, it will say no to again.
            final = isinstance(error, DatabaseError) and not isinstance(error, OperationalError)
            # Unless its disk is full.
            final = final and not (marker is not None and marker.exists())
            if final or time.monotonic() > deadline:
                raise DatabaseUnreachable(plain_reason(error)) from None
            if not waited:
                log.warning("ClickHouse is not responding; waiting", extra={"reason": plain_reason(error)})
            waited = True
            time.sleep(0.5)
