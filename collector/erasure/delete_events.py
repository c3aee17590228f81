"""Deletion of a site's events and rollups from ClickHouse: the steps of a deletion job.

Of a deletion by filter the days concerned are built anew from what is left. A day whose raw events are past their
retention has nothing to filter: its sums stay. Of imported days the rows of the values go, and without a filter all. A
reset or removal takes all there is.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from clickhouse_connect.driver.client import Client

from collector.core.wildcards import expression
from collector.erasure.site_job import SiteJob
from collector.erasure.stored_events import MOST_ROUNDS
from collector.rollups.daily_status import IMPORTED, IMPORTED_WITH_PROPERTIES
from collector.rollups.job import RollupJob
from collector.storage.mutations import MutationUnfinished
from collector.storage.shards import NOT_LOGGED, Shards

FIELDS: Final = {
    "page": "page",
    "hostname": "hostname",
    "event": "name",
    "source": "source",
    "referrer": "referrer",
    "country": "country",
    "browser": "browser",
    "os": "os",
}
"""What events may be chosen by: name and column."""

DIMENSIONS: Final = {
    "page": ("event:page", "visit:entry_page", "visit:exit_page"),
    "hostname": ("event:hostname",),
    "event": ("event:name",),
    "source": ("visit:source",),
    "referrer": ("visit:referrer",),
    "country": ("visit:country",),
    "browser": ("visit:browser",),
    "os": ("visit:os",),
}
"""The dimensions of the rollup table that have the values of a field."""

FIRST_DAY: Final = datetime.date(1970, 1, 1)
LAST_DAY: Final = datetime.date(2149, 6, 6)

TABLES_WITH_SITE: Final = {"daily_status": False, "daily_rollup": True, "dropped_events": False, "trims": False}
"""Our tables that hold figures by site, other than the events themselves, and whether they are sharded; in the order in
which they are emptied, so that no day is closed whose sums are gone. The audit log has steps of its own."""

_MEANT = """site = {site:String} AND ts <= toDateTime({until:UInt32})
    AND day >= {first:Date} AND day <= {last:Date}"""
_COUNT = f"SELECT count() FROM events WHERE {_MEANT}"
_ANY = "SELECT count() FROM events WHERE site = {site:String}"
_DAYS = f"SELECT DISTINCT day FROM events WHERE {_MEANT}"
# What is compared with is in a table in memory, so that ClickHouse's own list of mutations never has it.
_MARK = "INSERT INTO pending_delete_values SELECT DISTINCT {batch:UInt64}, "
_MARKED = "(SELECT value FROM pending_delete_values WHERE batch = {batch:UInt64})"
_UNMARK = "ALTER TABLE pending_delete_values DELETE WHERE batch = {batch:UInt64}"
_DELETE = f"ALTER TABLE events DELETE IN PARTITION {{month:UInt32}} WHERE {_MEANT}"
_IMPORTED_DAYS = f"""
SELECT day FROM daily_status FINAL
WHERE site = {{site:String}} AND NOT reopened AND schema_version IN ({IMPORTED}, {IMPORTED_WITH_PROPERTIES})
    AND day >= {{first:Date}} AND day <= {{last:Date}} ORDER BY day"""
_DELETE_SUMS = "ALTER TABLE daily_rollup DELETE WHERE site = {site:String} AND day IN {days:Array(Date)}"
_MARK_SUMS = f"""{_MARK}value FROM daily_rollup
WHERE site = {{site:String}} AND day IN {{days:Array(Date)}} AND dimension IN {{dimensions:Array(String)}}
    AND match(value, {{pattern:String}})"""
_EMPTY = "ALTER TABLE {table:Identifier} DELETE WHERE site = {site:String}"
_LEFT_SUMS = """
SELECT count() FROM daily_rollup WHERE site = {site:String} AND day IN {days:Array(Date)}
    AND dimension IN {dimensions:Array(String)} AND match(value, {pattern:String})"""

NO_LIMIT: Final = 4_294_967_295


class EventDeletion:
    """The steps of a deletion job. Blocking."""

    def __init__(self, client: Client, rollup: RollupJob, shards: Shards | None = None) -> None:
        self._client = client
        self._rollup = rollup
        self._shards = shards or Shards([client])

    def count(self, job: SiteJob) -> int:
        """How many stored events the task is about."""
        column = FIELDS.get(job.field, "")
        compared = f" AND match({column}, {{pattern:String}})" if column else ""
        rows = self._client.query(_COUNT + compared, parameters=_of(job), settings=NOT_LOGGED).result_rows
        return int(rows[0][0])

    def has_events(self, site: str) -> bool:
        """Whether there are events under that name."""
        return bool(self._client.query(_ANY, parameters={"site": site}).result_rows[0][0])

    def run_step(
        self, job: SiteJob, put: Callable[[SiteJob], None], check: Callable[[], None] = lambda: None
    ) -> SiteJob:
        """Do what is left of the task, once more from the beginning where it is not known how far it came. `check` is
        called between steps, and may raise."""
        days = {*job.days, *self._days(job)}
        if days != set(job.days):
            job = msgspec.structs.replace(job, days=tuple(sorted(days)))
            put(job)
        if job.kind == "delete":
            # Until the day is built anew it is answered from its events: no sum outlives them.
            for day in job.days:
                self._rollup.reopen_day(job.site, day)
        self._delete_events(job, check)
        check()
        if job.kind == "delete":
            self._delete_imported(job)
            self._rollup.rebuild_days(job.site, job.days)
        else:
            self._rollup.finish_builds()
            for table, holders in tables_with_site(self._client, self._shards):
                holders.mutate(table, _EMPTY, {"table": table, "site": job.site})
        return job

    def _delete_imported(self, job: SiteJob) -> None:
        """Delete the imported figures that are meant: days as a whole, or the rows of the values."""
        days = [day for (day,) in self._client.query(_IMPORTED_DAYS, parameters=_of(job)).result_rows]
        if not days:
            return
        parameters = {**_of(job), "days": days, "batch": int(job.id, 16)}
        if not job.field:
            for day in days:
                self._rollup.reopen_day(job.site, day)
            self._shards.mutate("daily_rollup", _DELETE_SUMS, parameters, NOT_LOGGED)
            return
        parameters["dimensions"] = list(DIMENSIONS[job.field])
        delete = f"{_DELETE_SUMS} AND dimension IN {{dimensions:Array(String)}} AND value IN {_MARKED}"
        self._delete_marked("daily_rollup", _MARK_SUMS, delete, _LEFT_SUMS, [parameters])

    def _days(self, job: SiteJob) -> list[datetime.date]:
        column = FIELDS.get(job.field, "")
        compared = f" AND match({column}, {{pattern:String}})" if column else ""
        rows = self._client.query(_DAYS + compared, parameters=_of(job), settings=NOT_LOGGED).result_rows
        return [row[0] for row in rows]

    def _delete_events(self, job: SiteJob, check: Callable[[], None]) -> None:
        column, parameters = FIELDS.get(job.field, ""), {**_of(job), "batch": int(job.id, 16)}
        months = [{**parameters, "month": month} for month in sorted({day.year * 100 + day.month for day in job.days})]
        if not column:
            for each in months:
                check()
                self._shards.mutate("events", _DELETE, each, NOT_LOGGED)
            return
        fits = f" AND match({column}, {{pattern:String}})"
        mark = f"{_MARK}toString({column}) FROM events WHERE {_MEANT}{fits}"
        self._delete_marked("events", mark, f"{_DELETE} AND {column} IN {_MARKED}", _COUNT + fits, months, check)

    def _delete_marked(
        self,
        table: str,
        mark: str,
        delete: str,
        left: str,
        each: Sequence[Mapping[str, object]],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Mark the values that are meant, and delete their rows, with each of the parameters, until no replica has any
        left. Raises `MutationUnfinished` where some are left time and again."""
        for _ in range(MOST_ROUNDS if each else 0):
            self._shards.mark("pending_delete_values", mark, each[0])
            for parameters in each:
                check()
                without = {name: value for name, value in parameters.items() if name != "pattern"}
                self._shards.mutate(table, delete, without, NOT_LOGGED)
            self._shards.on_replicas(_UNMARK, {"batch": each[0]["batch"]})
            if not self._shards.any_has(left, each[0]):
                return
        if each:
            raise MutationUnfinished(table)


def tables_with_site(client: Client, shards: Shards) -> list[tuple[str, Shards]]:
    """Our tables that hold figures by site, each with the nodes that have its rows."""
    return [(table, shards if sharded else Shards([client])) for table, sharded in TABLES_WITH_SITE.items()]


def _of(job: SiteJob) -> dict[str, object]:
    return {
        "site": job.site,
        "until": NO_LIMIT if job.until is None else job.until,
        "first": job.first or FIRST_DAY,
        "last": job.last or LAST_DAY,
        "pattern": expression(job.value),
    }
