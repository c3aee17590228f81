"""The imports of all sites: reading, checking, counting and removing them.

An import is read into rows of the rollup table under versions of its own, which nothing counts. What makes them count
is one insert of the days' records in `daily_status`: so an import is there as a whole or not at all, and one that its
process did not survive leaves nothing. A day that is imported again has a newer version, which replaces the one before.

Days that have figures of this server's own keep these; of imported days that later get events of their own, the own
figures count.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from clickhouse_connect.driver.client import Client

from collector.core.errors import ImportRefused, RecordError, RecordGone
from collector.core.text import without_hidden
from collector.imports.detection import finish, read_file
from collector.imports.file import ImportedFile
from collector.imports.formats.format import Format
from collector.imports.formats.log_format import own_format
from collector.imports.record import ImportRecord, State
from collector.imports.removal import ImportRemoval
from collector.imports.report import ImportReport, Totals
from collector.imports.salts import ImportSalts
from collector.imports.scratch import Progress, Scratch, drop_leftovers
from collector.imports.slots import ImportSlots
from collector.imports.target import ImportTarget
from collector.ingest.context import PipelineServices
from collector.rollups.build import VERSIONS, version_of, versions_at
from collector.rollups.daily_status import IMPORTED, IMPORTED_WITH_PROPERTIES, ClosedDay, ClosedDays
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.storage.documents import DocumentTable
from collector.storage.shards import Shards

log = logging.getLogger(__name__)

CHECKED_SECONDS: Final = 24 * 3600
"""An import that is not confirmed for so long is forgotten."""
MOST_CHECKED: Final = 5
"""Imports of a site that wait to be confirmed, each with its rows in the database."""
MOST_CHECKED_BY: Final = 20
"""The same of one member or key, at all sites."""
SILENT_SECONDS: Final = 600
"""An import that has not gone on for so long is one that its process did not survive."""
BEAT_SECONDS: Final = 60
LONGEST_NAME: Final = 120


class Imports:
    """Imports into one database. Blocking; `client` writes, `clock` gives Unix seconds, and zip files are unpacked in
    `directory`. `busy` says whether a job is being done to a site, which an import would miss; `builder` is this
    collector's number among those that share the database; `connect` opens a client for each import that is read."""

    def __init__(
        self,
        client: Client,
        sites: Sites,
        services: PipelineServices,
        clock: Callable[[], float],
        directory: Path,
        *,
        busy: Callable[[Site], bool] = lambda _: False,
        builder: Callable[[], int] = lambda: 0,
        shards: Shards | None = None,
        connect: Callable[[], Client] | None = None,
    ) -> None:
        self._client = client
        self._connect = connect or (lambda: client)
        self._shards = shards or Shards([client])
        self._records = DocumentTable(client, "imports", ImportRecord)
        self._closed = ClosedDays(client)
        self._sites = sites
        self._services = services
        self._clock = clock
        self._directory = directory
        self._busy = busy
        self._builder = builder
        self._removal = ImportRemoval(client, self._shards, self._records, self._closed, sites)
        self._slots = ImportSlots()

    def of(self, site: Site) -> list[ImportRecord]:
        """The imports of a site that count or wait to be confirmed, the newest first."""
        found = [each for each in self._records.all().values() if each.site_id == site.id]
        counting = self.days_counting(site)
        shown = [each for each in found if each.state not in _NOT_LISTED]
        shown = [each for each in shown if each.state == "checked" or counting.get(each.id)]
        return sorted(shown, key=lambda each: -each.versions)

    def days_counting(self, site: Site) -> dict[str, int]:
        """How many days of each import of a site count: not those that a later import or own figures replaced."""
        versions = [
            version for (version,) in self._client.query(_COUNTING, parameters={"site": site.domain}).result_rows
        ]
        records = [each for each in self._records.all().values() if each.site_id == site.id]
        return {each.id: sum(each.versions <= version <= each.last_version for version in versions) for each in records}

    def read(
        self,
        site: Site,
        files: Iterable[ImportedFile],
        *,
        by: str,
        name: str = "",
        format: str = "auto",  # noqa: A002 # what the option is called
        log_format: str = "",
        confirmed: bool = False,
        progress: Progress = lambda _, __: None,
    ) -> ImportRecord:
        """Read files into rows that do not count yet; access logs by the `log_format`, if there is one. They
        wait for their owner, unless `confirmed` says that `confirm` follows. Raises `ImportRefused`; then nothing is
        left of them."""
        chosen = own_format(log_format) if log_format.strip() else format
        with self._slots.taken(site.id, by):
            return self._read(site, files, by, name, chosen, progress, "confirming" if confirmed else "checked")

    def confirm(self, site: Site, id_: str) -> ImportRecord:
        """Make the days of a checked import count, those that got no own figures meanwhile. Raises `RecordError`."""
        record = self._of_site(site, id_)
        if record.state == "done":
            return record
        self._must_be_idle(site)
        own = self.own_days(site)
        built = {
            day: ClosedDay(
                version_of(record.versions, day),
                rows=0,
                reopened=False,
                schema_version=IMPORTED if day in record.without_properties else IMPORTED_WITH_PROPERTIES,
            )
            for day in record.days
            if day not in own
        }
        if built:
            self._closed.put(site.domain, built)
        record = msgspec.structs.replace(record, state="done")
        self._records.save(id_, record)
        log.info("figures imported", extra={"site": site.domain, "days": len(built)})
        return record

    def remove(self, site: Site, id_: str) -> ImportRecord:
        """Remove an import with its figures, for good: no figure has them any more, and `delete_removed` deletes their
        rows. Raises `RecordError`."""
        record = self._of_site(site, id_)
        self._must_be_idle(site)
        self._take_back(site.domain, record)
        return record

    def delete_removed(self) -> None:
        """Delete the rows of imports that were removed."""
        self._removal.delete_rows()

    def own_days(self, site: Site) -> frozenset[datetime.date]:
        """Days that have figures of this server's own."""
        return frozenset(day for (day,) in self._client.query(_OWN, parameters={"site": site.domain}).result_rows)

    def forget_site(self, site_id: str) -> None:
        """A site is no more: its imports are not listed any longer."""
        for record in self._records.all().values():
            if record.site_id == site_id:
                self._records.delete(record.id)

    def forget_user(self, name: str) -> None:
        """A user is no more: their imports stay, without their name, on the disk too. Blocking."""
        made = [record for record in self._records.all().values() if record.by == name]
        for record in made:
            with contextlib.suppress(RecordGone):
                self._records.update(record.id, partial(msgspec.structs.replace, by=""))
        if made:
            self._records.purge()

    @contextlib.contextmanager
    def paused(self) -> Iterator[bool]:
        """Whether nothing is being imported, by any collector; if so nothing is here for as long as the block lasts.
        Half of its rows would be in tables that others are put in the place of."""
        with self._slots.closed() as idle:
            yield idle and not self.are_under_way()

    def are_under_way(self) -> bool:
        """Whether something is being imported, by any collector. Blocking."""
        return any(self._goes_on(each) for each in self._records.all().values())

    def recover(self, *, alone: bool) -> None:
        """Tidy up after a process that did not survive, and forget what was never confirmed. `alone` says that no
        other process can be reading."""
        now = self._clock()
        records = self._records.all().values()
        going_on = False
        for record in records:
            if not alone and self._goes_on(record):
                going_on = True
            elif record.state in _UNDER_WAY or (record.state == "checked" and record.at < now - CHECKED_SECONDS):
                self._forget(record)
        if not going_on and self._slots.idle:
            drop_leftovers(self._client)
        self._removal.look_again()

    def tidy(self) -> None:
        """Tidy up every now and then, beside imports that go on."""
        self.recover(alone=False)
        self.forget_uncounted()

    def forget_uncounted(self) -> None:
        """Forget records of imports none of whose days count any more: others replaced them, or the site was reset."""
        versions = [version for (version,) in self._client.query(_ALL_COUNTING).result_rows]
        for record in self._records.all().values():
            if record.state == "done" and not any(record.versions <= each <= record.last_version for each in versions):
                self._forget(record)

    def _goes_on(self, record: ImportRecord) -> bool:
        """Whether a process is at it, as far as can be told."""
        return record.state in _UNDER_WAY and record.beat >= self._clock() - SILENT_SECONDS

    def _forget(self, record: ImportRecord) -> None:
        site = self._sites.by_id(record.site_id)
        counts = site is not None and self.days_counting(site).get(record.id)
        if record.state in ("checked", "confirming") and counts:
            # It was confirmed, and its process ended before it could note that.
            self._records.save(record.id, msgspec.structs.replace(record, state="done"))
            return
        if site is None:
            self._records.delete(record.id)
        else:
            self._take_back(site.domain, record)

    def _take_back(self, domain: str, record: ImportRecord) -> None:
        self._removal.take_back(domain, record)

    def _read(
        self,
        site: Site,
        files: Iterable[ImportedFile],
        by: str,
        name: str,
        format: str | Format,  # noqa: A002 # what the option is called
        progress: Progress,
        state: State,
    ) -> ImportRecord:
        self._must_be_idle(site)
        if state == "checked":
            self._must_have_room(site, by)
        id_ = secrets.token_hex(8)
        versions = versions_at(self._clock(), self._newest(site), self._builder(), imported=True)
        record = ImportRecord(
            id=id_, site_id=site.id, name="", by=by, at=int(self._clock()), versions=versions, beat=int(self._clock())
        )
        self._records.create(id_, record)
        # A client has one statement at a time: those of one import are not to wait for those of another.
        client, salts = self._connect(), ImportSalts()
        scratch = Scratch(client, id_, self._heartbeat(record))
        try:
            scratch.create()
            report, target = self._target(site, scratch, salts)
            names = _read_all(files, target, self._directory, format)
            salts.destroy()
            days = scratch.days()
            finish(target)
            without = scratch.build(site.domain, versions, progress, exact=target.exact)
            self._sum_up(site, versions, days, report, target, made_totals=scratch.sums.made_totals)
            record = msgspec.structs.replace(
                record,
                name=without_hidden(name or names[0])[:LONGEST_NAME],
                state=state,
                beat=int(self._clock()),
                days=tuple(days),
                without_properties=tuple(sorted(without | target.without_properties)),
                report=report,
            )
            self._must_be_idle(site)
            self._records.save(id_, record)
        except BaseException:
            self._take_back(site.domain, record)
            raise
        finally:
            salts.destroy()
            scratch.drop()
            if client is not self._client:
                client.close()
        return record

    def _heartbeat(self, record: ImportRecord) -> Callable[[], None]:
        """Notes that an import goes on, so that no other process takes it for one that was abandoned."""
        noted = record.beat

        def beat() -> None:
            nonlocal noted
            now = int(self._clock())
            if now >= noted + BEAT_SECONDS:
                noted = now
                self._records.save(record.id, msgspec.structs.replace(record, beat=now))

        return beat

    def _target(self, site: Site, scratch: Scratch, salts: ImportSalts) -> tuple[ImportReport, ImportTarget]:
        zone = self._sites.zone(site)
        report = ImportReport(zone=site.timezone)
        services = dataclasses.replace(self._services, salts=salts)
        today = zone.date(self._clock())
        return report, ImportTarget(site, zone, services, scratch, report, self.own_days(site), today)

    def _sum_up(
        self,
        site: Site,
        versions: int,
        days: list[datetime.date],
        report: ImportReport,
        target: ImportTarget,
        *,
        made_totals: bool,
    ) -> None:
        parameters = {"site": site.domain, "first": versions, "last": versions + VERSIONS - 1, "days": days}
        for day, *counts in self._client.query(_TOTALS, parameters=parameters).result_rows:
            report.add_day(day, Totals(1, *counts))
        report.own_days = target.overlapping
        if made_totals:
            report.note("no_totals")
        report.replaced_days = self._client.query(_REPLACED, parameters=parameters).result_rows[0][0]
        report.shrinking_days = self._client.query(_SHRINKING, parameters=parameters).result_rows[0][0]

    def _newest(self, site: Site) -> int:
        """The newest version of a day of the site, and of an import that does not count yet."""
        counting = int(self._client.query(_NEWEST, parameters={"site": site.domain}).result_rows[0][0])
        records = self._records.all().values()
        return max(counting, *(each.last_version for each in records if each.site_id == site.id), 0)

    def _of_site(self, site: Site, id_: str) -> ImportRecord:
        record = self._records.get(id_)
        if record is None or record.site_id != site.id or record.state in _NOT_LISTED:
            raise RecordGone
        return record

    def _must_have_room(self, site: Site, by: str) -> None:
        waiting = [each for each in self._records.all().values() if each.state == "checked"]
        of_site, of_one = (sum(each.site_id == site.id for each in waiting), sum(each.by == by for each in waiting))
        if of_site >= MOST_CHECKED or of_one >= MOST_CHECKED_BY:
            raise ImportRefused("file", "too many imports wait to be confirmed; confirm or remove some first")

    def _must_be_idle(self, site: Site) -> None:
        now = self._sites.by_id(site.id)
        # Of a site that was renamed meanwhile the rows would be left under its former name, for the next site of that.
        if now is None or now.domain != site.domain or self._busy(site):
            raise RecordError("site", "another operation on this site is still running; try again in a minute")


def _read_all(files: Iterable[ImportedFile], target: ImportTarget, directory: Path, format: str | Format) -> list[str]:  # noqa: A002
    """Read the files, each when the one before it has been; returns their names."""
    names = []
    for file in files:
        names.append(file.name)
        read_file(file, target, directory, format)
    if not names:
        raise ImportRefused("file", "expected at least one file")
    return names


_NOT_LISTED: Final = ("reading", "removed")
_UNDER_WAY: Final = ("reading", "confirming")
_IMPORTED: Final = f"schema_version IN ({IMPORTED}, {IMPORTED_WITH_PROPERTIES})"
_OF_SITE: Final = "site = {site:String}"
_OF_IMPORT: Final = f"{_OF_SITE} AND version BETWEEN {{first:UInt64}} AND {{last:UInt64}}"
_COUNTING = f"SELECT version FROM daily_status FINAL WHERE {_OF_SITE} AND NOT reopened AND {_IMPORTED}"
_ALL_COUNTING = f"SELECT version FROM daily_status FINAL WHERE NOT reopened AND {_IMPORTED}"
_OWN = f"""
SELECT DISTINCT day FROM (
    SELECT DISTINCT day FROM events WHERE {_OF_SITE}
    UNION ALL
    SELECT day FROM daily_status FINAL WHERE {_OF_SITE} AND NOT reopened AND NOT {_IMPORTED} AND rows > 0
)"""
_NEWEST = f"SELECT max(version) FROM daily_status WHERE {_OF_SITE}"
_TOTALS = f"""
SELECT day, sum(visitors), sum(visits), sum(pageviews), sum(custom_events) FROM daily_rollup
WHERE {_OF_IMPORT} AND dimension = '' GROUP BY day ORDER BY day"""
_SHRINKING = f"""
SELECT count() FROM (
    SELECT day,
        sumIf(pageviews + custom_events, version BETWEEN {{first:UInt64}} AND {{last:UInt64}}) AS present,
        sumIf(pageviews + custom_events, (day, version) IN (
            SELECT day, version FROM daily_status FINAL WHERE {_OF_SITE} AND NOT reopened AND {_IMPORTED})) AS before
    FROM daily_rollup WHERE {_OF_SITE} AND dimension = '' AND day IN {{days:Array(Date)}}
    GROUP BY day HAVING before > present
)"""
_REPLACED = f"""
SELECT count() FROM daily_status FINAL
WHERE {_OF_SITE} AND NOT reopened AND {_IMPORTED} AND day IN {{days:Array(Date)}}"""
