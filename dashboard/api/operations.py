"""Operations of the running server: backup, restore, and retry of quarantined segments."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from collector.core.errors import BackupError, SchemaTooNew
from collector.server.collector import Collector
from collector.storage.backup import Restored, SettingDifference, back_up, restore
from collector.storage.backup_files import remove_unknown
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import EVERYWHERE, AuditLog
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import KeyHandler, key_name, operating
from dashboard.api.restored_records import keep_checked
from dashboard.i18n.translations import N_

MOST_BODY = 4_096  # bytes

T = TypeVar("T", bound=msgspec.Struct)
RETRY_PATH = "/api/v1/spool/retry"
_IMPORTING = "data is being imported; try again when that has finished"


class BackupName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that names a backup."""

    name: str


class OperationDone(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was written or restored. `place` is its directory where this machine has it, else empty: then
    it lies where the ClickHouse server keeps its backups."""

    name: str
    tables: list[str]
    place: str = ""
    settings: list[dict[str, str]] = []
    """Settings of sites that were others when the restored backup was made: `site`, `setting`, and the values `before`
    it was restored, in the `backup`, and `restored`, which is the stricter one where visitors are concerned."""


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that names closed days of a site; without dates all of them."""

    site: str
    first: datetime.date = datetime.date(1970, 1, 1)
    last: datetime.date = datetime.date(2149, 6, 6)


class RetryDone(msgspec.Struct, frozen=True):
    """How many segments that were set aside are tried again."""

    segments: int


def routes(collector: Collector, keys: ApiKeys, audit_log: AuditLog) -> list[Route]:
    """The operator's part of the API; its key must be one that may do everything."""

    async def make(request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/backups`."""
        name = await _name(request)
        tables = await anyio.to_thread.run_sync(_back_up, collector, name)
        if collector.clickhouse.backups is not None and await request.is_disconnected():
            await anyio.to_thread.run_sync(remove_unknown, collector.clickhouse.backups, name)
            return Response(status_code=499)
        await audit_log.note(key_name(key), EVERYWHERE, N_("Backup made"), "", name)
        return _answer(OperationDone(name=name, tables=tables, place=_place(collector, name)), HTTPStatus.CREATED)

    async def put_back(request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/backups/restore`."""
        name = await _name(request)
        restored = await anyio.to_thread.run_sync(_restore, collector, name)
        # Into the log of the backup, which is in the place of the former one.
        await audit_log.note(key_name(key), EVERYWHERE, N_("Backup restored"), "", name)
        settings = [each._asdict() for each in restored.settings]
        place = _place(collector, name)
        return _answer(OperationDone(name=name, tables=restored.tables, place=place, settings=settings))

    async def retry(_: Request, __: ApiKey) -> Response:
        """`POST /api/v1/spool/retry`."""
        return _answer(RetryDone(await anyio.to_thread.run_sync(collector.retry_refused)))

    async def roll_up(request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/rollup`: one line of JSON for each day, as it is built."""
        wanted = await _decoded(request, Range, "site", "expected a site's domain, and dates like 2026-03-01")
        if collector.sites.get(wanted.site) is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "site", f"{wanted.site} is not registered")
        await audit_log.note(key_name(key), wanted.site, N_("Daily totals rebuilt"))
        days = collector.rollup.rebuild(wanted.site, wanted.first, wanted.last)
        lines = (msgspec.json.encode({"day": done.day, "rows": done.rows}) + b"\n" for done in days)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    table = [
        ("/api/v1/backups", make),
        ("/api/v1/backups/restore", put_back),
        ("/api/v1/rollup", roll_up),
        (RETRY_PATH, retry),
    ]
    return [Route(path, operating(keys, partial(_of_backup, handler)), methods=["POST"]) for path, handler in table]


def _back_up(collector: Collector, name: str) -> list[str]:
    """Between the steps of jobs: what a rename has copied when one table is written, and deleted when the next is,
    would be there twice or not at all. Visitors who are promised to be erased are so first. Blocking."""
    jobs = collector.deletions
    with contextlib.suppress(ClickHouseError, OSError, sqlite3.Error):
        # Twice: what was on its way to the database, too.
        _ = collector.eraser.run_once(urgent=True) or collector.eraser.run_once(urgent=True)
    with jobs.paused():
        before = jobs.copies()
        if any(job.is_copying for job in jobs.all()):
            raise ApiError(HTTPStatus.CONFLICT, "name", "a site is being renamed; try again in a minute")
        tables = back_up(collector.clickhouse, name)
        # Another collector may have gone on.
        if jobs.copies() != before:
            raise ApiError(
                HTTPStatus.CONFLICT, "name", "a site was renamed meanwhile; delete this backup and try again"
            )
    return tables


def _restore(collector: Collector, name: str) -> Restored:
    """While nothing is done to a site. Blocking."""
    with collector.deletions.paused(), collector.imports.paused() as nothing_imported:
        jobs = collector.deletions.all()
        if any(job.waiting for job in jobs):
            # A job that has copied from a table, and deletes in another that was put in its place, would lose both.
            raise ApiError(HTTPStatus.CONFLICT, "name", "a site is being renamed or deleted; try again in a minute")
        if not nothing_imported:
            raise ApiError(HTTPStatus.CONFLICT, "name", _IMPORTING)

        def keep(present: Client, restored: Client) -> list[SettingDifference]:
            # Another collector may have begun an import: its days would count, with their rows in the former tables.
            if collector.imports.are_under_way():
                raise ApiError(HTTPStatus.CONFLICT, "name", _IMPORTING)
            return keep_checked(name, jobs, present, restored)

        restored = restore(collector.clickhouse, name, keep, collector.rollup.replacing_tables)
        for refresh in collector.refreshes:
            refresh()
    return restored


async def _of_backup(handler: KeyHandler, request: Request, key: ApiKey) -> Response:
    try:
        return await handler(request, key)
    except BackupError as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, "name", error.reason) from None
    except SchemaTooNew as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, "name", str(error)) from None


async def _name(request: Request) -> str:
    return (await _decoded(request, BackupName, "name", "expected the name of a backup")).name


async def _decoded(request: Request, kind: type[T], field: str, expected: str) -> T:
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MOST_BODY:
        raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"expected at most {MOST_BODY} bytes")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ApiError(HTTPStatus.BAD_REQUEST, field, expected) from None


def _place(collector: Collector, name: str) -> str:
    directory = collector.clickhouse.backups
    return str(directory.resolve() / name) if directory is not None and collector.clickhouse.embedded else ""


def _answer(body: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return json_answer(msgspec.structs.asdict(body), status)
