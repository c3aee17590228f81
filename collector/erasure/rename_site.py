"""Renaming of a site in all tables: the steps of a rename job.

A sorting key cannot be updated, so rows are copied and then deleted. Events go day by day under a token each, which
ClickHouse takes once: a copy that was interrupted is repeated and adds nothing. The sums of closed days are copied
as a whole before the task notes that they are, and only then deleted under the old name.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Final

import msgspec
from clickhouse_connect.driver.client import Client

from collector.erasure.delete_events import tables_with_site
from collector.erasure.site_job import SiteJob
from collector.storage.shards import Shards

AUDIT_LOG: Final = "audit_log"
"""Who changed what about a site goes with it."""

SUMS_COPIED: Final = 1
SUMS_MOVED: Final = 2

_DAYS = "SELECT DISTINCT day FROM events WHERE site = {site:String} ORDER BY day"
_COPY_DAY = """
INSERT INTO events SELECT * REPLACE ({to:String} AS site)
FROM (SELECT * FROM events WHERE site = {site:String} AND day = {day:Date}) ORDER BY ALL"""
_DELETE_EVENTS = "ALTER TABLE events DELETE IN PARTITION {month:UInt32} WHERE site = {site:String}"
_EMPTY = "ALTER TABLE {table:Identifier} DELETE WHERE site = {site:String}"
_COPY = """
INSERT INTO {table:Identifier} SELECT * REPLACE ({to:String} AS site)
FROM (SELECT * FROM {table:Identifier} WHERE site = {site:String})"""
_HAS_SUMS = "SELECT count() FROM daily_rollup WHERE site = {site:String}"


class SiteRename:
    """The steps of a rename job. Blocking."""

    def __init__(self, client: Client, shards: Shards | None = None) -> None:
        self._client = client
        self._shards = shards or Shards([client])

    def has_sums(self, site: str) -> bool:
        """Whether there are sums under that name."""
        return bool(self._client.query(_HAS_SUMS, parameters={"site": site}).result_rows[0][0])

    def run_step(
        self, job: SiteJob, put: Callable[[SiteJob], None], check: Callable[[], None] = lambda: None
    ) -> SiteJob:
        """Do what is left of the task; `put` stores how far it has come. May be called again when all is done: then
        it moves what has come since. `check` is called between steps, and may raise."""
        job = self._move_events(job, put, check)
        for step, act in ((SUMS_COPIED, self._copy_sums), (SUMS_MOVED, self._drop_sums)):
            if job.step < step:
                check()
                act(job)
                job = msgspec.structs.replace(job, step=step)
                put(job)
        return job

    def _move_events(self, job: SiteJob, put: Callable[[SiteJob], None], check: Callable[[], None]) -> SiteJob:
        parameters = {"site": job.site, "to": job.to}
        days = [row[0] for row in self._client.query(_DAYS, parameters=parameters).result_rows]
        if not days and not job.deleting:
            return job
        if not job.deleting:
            if job.copied is None:
                # From here on what there is of the site is half under either name.
                job = msgspec.structs.replace(job, copied=datetime.date.min)
                put(job)
            for day in days:
                check()
                if job.copied is None or day > job.copied:
                    settings = {"insert_deduplication_token": f"{job.id} {job.round} {day}", "max_threads": 1}
                    self._shards.command(_COPY_DAY, {**parameters, "day": day}, settings)
                    job = msgspec.structs.replace(job, copied=day)
                    put(job)
            job = msgspec.structs.replace(job, deleting=True)
            put(job)
        for month in sorted({day.year * 100 + day.month for day in days}):
            self._shards.mutate("events", _DELETE_EVENTS, {"site": job.site, "month": month})
        job = msgspec.structs.replace(job, round=job.round + 1, copied=None, deleting=False)
        put(job)
        return job

    def _copy_sums(self, job: SiteJob) -> None:
        tables = tables_with_site(self._client, self._shards)
        for table, holders in tables:
            holders.mutate(table, _EMPTY, {"table": table, "site": job.to})
        # Which days are closed comes last: whoever reads keeps what closed days have.
        for table, holders in reversed(tables):
            holders.command(_COPY, {"table": table, "site": job.site, "to": job.to})
        # Each of its rows has an id: one that is copied twice is one.
        self._client.command(_COPY, parameters={"table": AUDIT_LOG, "site": job.site, "to": job.to})

    def _drop_sums(self, job: SiteJob) -> None:
        for table, holders in (*tables_with_site(self._client, self._shards), (AUDIT_LOG, Shards([self._client]))):
            holders.mutate(table, _EMPTY, {"table": table, "site": job.site})
