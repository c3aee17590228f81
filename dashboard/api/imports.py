"""The API of imports: upload, list, confirm and remove, and the export of a site's daily figures."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.client import Client
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from collector.core.errors import RecordGone
from collector.imports.detection import TITLES
from collector.imports.export import BLOCK, EventFormat, export_daily, export_events, file_name
from collector.imports.imports import Imports
from collector.imports.record import ImportRecord
from collector.imports.report import ImportReport
from collector.imports.upload import Upload, read_upload
from collector.server.large_responses import WAIT_SECONDS, ResponseSlots
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.analytics.small_counts import Protection
from dashboard.api.auth import ApiError, json_answer, recheck_key
from dashboard.api.key_handlers import KeyHandler, answering, key_name, site_of
from dashboard.i18n.translations import N_

IMPORTED: Final = N_("Data imported")
REMOVED: Final = N_("Imported data removed")
PAUSE_SECONDS: Final = 0.05
"""Between two looks at whether an export may begin."""
MODES: Final = ("import", "check", "dry-run")


class ShownImport(msgspec.Struct, frozen=True, kw_only=True):
    """An import as the API shows it. Of its `days`, `days_counting` have neither been imported again nor got figures of
    their own since."""

    id: str
    name: str
    by: str
    at: int
    state: str
    days: int
    days_counting: int
    report: ImportReport


class ExportResponse(StreamingResponse):
    """A response in blocks, each made in a thread. When it is sent, or its client has gone, the blocks are closed and
    the slot is given back."""

    def __init__(self, blocks: Generator[bytes], slot: contextlib.ExitStack, **options: Any) -> None:
        super().__init__(_in_thread(blocks), **options)
        self._blocks = blocks
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and close what it is read from."""
        with self._slot:
            try:
                await super().__call__(scope, receive, send)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._blocks.close)


async def _in_thread(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while block := await anyio.to_thread.run_sync(next, blocks, b""):
        yield block


class ImportsApi:
    """The handlers, with what they need."""

    def __init__(
        self,
        imports: Imports,
        sites: Sites,
        keys: ApiKeys,
        audit_log: AuditLog,
        connect: Callable[[], Client],
        directory: Path,
    ) -> None:
        self._imports = imports
        self._keys = keys
        self._connect = connect
        self._exporting = ResponseSlots()
        self._directory = directory
        self._sites = sites
        self._changes = audit_log

    async def list_imports(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN/imports`: imports that count or wait to be confirmed, the newest first."""
        site = self._exact(request, key)
        return json_answer({"imports": await anyio.to_thread.run_sync(self._list, site)})

    async def add_import(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/imports`: files as a form, or one file as it is. `mode` is `import`, `check` (then
        it waits to be confirmed) or `dry-run`; `format` is `auto` or the name of one, and
        `log_format` the format string of access logs."""
        site = site_of(self._sites, request, key.may_manage)
        mode = request.query_params.get("mode", "import")
        if mode not in MODES:
            raise ApiError(HTTPStatus.BAD_REQUEST, "mode", f"expected one of {', '.join(MODES)}")
        work = partial(self._read, site, request, key_name(key), mode)
        record = await read_upload(request, work)
        if mode == "import":
            record = await self._confirmed(site, record, request)
        shown = await anyio.to_thread.run_sync(self._shown, site, record)
        if mode == "import":
            await self._changes.note(key_name(key), site.domain, IMPORTED, "", described(record))
        return json_answer(shown, HTTPStatus.OK if mode == "dry-run" else HTTPStatus.CREATED)

    async def confirm_import(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/imports/ID/confirm`: from now on its days count."""
        site = site_of(self._sites, request, key.may_manage)
        record = await self._of_address(request, site, self._imports.confirm)
        await self._changes.note(key_name(key), site.domain, IMPORTED, "", described(record))
        return json_answer(await anyio.to_thread.run_sync(self._shown, site, record))

    async def remove_import(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/sites/DOMAIN/imports/ID`: away with it and its figures."""
        site = site_of(self._sites, request, key.may_manage)
        record = await self._of_address(request, site, self._imports.remove)
        if record.state == "done":
            await self._changes.note(key_name(key), site.domain, REMOVED, described(record))
        return json_answer({"deleted": True})

    async def export_daily(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN/export`: daily figures of the days that are over, as a zip file of CSV tables."""
        site = self._exact(request, key)
        with await self._slot(key) as slot:
            file = await anyio.to_thread.run_sync(self._daily, site)
            name = file_name(site, self._sites.zone(site).date(time.time()))
            headers = {"content-disposition": f'attachment; filename="{name}"'}
            return ExportResponse(_blocks(file), slot.pop_all(), media_type="application/zip", headers=headers)

    async def export_events(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN/export/events`: events of the days that are over, within retention; `format` is
        `jsonl` or `parquet`."""
        site = site_of(self._sites, request, key.may_manage)
        form = request.query_params.get("format", "jsonl")
        if form not in ("jsonl", "parquet"):
            raise ApiError(HTTPStatus.BAD_REQUEST, "format", "expected jsonl or parquet")
        today = self._sites.zone(site).date(time.time())
        media = "application/x-ndjson" if form == "jsonl" else "application/vnd.apache.parquet"
        with await self._slot(key) as slot:
            blocks = self._events(site, today, "jsonl" if form == "jsonl" else "parquet")
            return ExportResponse(blocks, slot.pop_all(), media_type=media)

    async def _of_address(
        self, request: Request, site: Site, work: Callable[[Site, str], ImportRecord]
    ) -> ImportRecord:
        """The import of the address, once `work` is done to it."""
        try:
            return await anyio.to_thread.run_sync(work, site, request.path_params["id"])
        except RecordGone:
            raise ApiError(HTTPStatus.NOT_FOUND, "id", "this site has no such import") from None

    async def _slot(self, key: ApiKey) -> contextlib.ExitStack:
        """An account's turn, or that of a key of nobody: one export at a time, and few in all."""
        who = f"account {key.user}" if key.user else key.id
        # Whoever has read the last byte of one may ask for the next before the server knows.
        with anyio.move_on_after(WAIT_SECONDS):
            while not await self._exporting.acquire(who):  # noqa: ASYNC110 # slots tell nobody when they are free
                await anyio.sleep(PAUSE_SECONDS)
            slot = contextlib.ExitStack()
            slot.callback(self._exporting.release, who)
            return slot
        reason = "another export is being sent; try again when it is done"
        raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "authorization", reason)

    def _daily(self, site: Site) -> IO[bytes]:
        with contextlib.closing(self._connect()) as client:
            return export_daily(client, site, self._directory)

    def _events(self, site: Site, before: datetime.date, form: EventFormat) -> Generator[bytes]:
        # A client of its own: nobody else can use it before the last block is read, however slowly.
        with contextlib.closing(self._connect()) as client:
            yield from export_events(client, site, before, form)

    def _read(self, site: Site, request: Request, by: str, mode: str, upload: Upload) -> ImportRecord:
        params = request.query_params
        record = self._imports.read(
            site,
            upload.files(),
            by=by,
            name=params.get("name", ""),
            format=params.get("format", "auto"),
            log_format=params.get("log_format", ""),
            confirmed=mode == "import",
        )
        if mode == "dry-run":
            self._imports.remove(site, record.id)
        return record

    async def _confirmed(self, site: Site, record: ImportRecord, request: Request) -> ImportRecord:
        """The import, whose days count from now on. It may have been read for an hour, in which the key was revoked."""
        try:
            await recheck_key(self._keys, request)
        except ApiError:
            await anyio.to_thread.run_sync(self._imports.remove, site, record.id)
            raise
        return await anyio.to_thread.run_sync(self._imports.confirm, site, record.id)

    def _list(self, site: Site) -> list[dict[str, Any]]:
        counting = self._imports.days_counting(site)
        return [shown(record, counting.get(record.id, 0)) for record in self._imports.of(site)]

    def _shown(self, site: Site, record: ImportRecord) -> dict[str, Any]:
        return shown(record, self._imports.days_counting(site).get(record.id, 0))

    def _exact(self, request: Request, key: ApiKey) -> Site:
        """The site that the address names, for exact figures of it: where its protection rounds every count, for keys
        that may turn that off."""
        site = site_of(self._sites, request, key.may_read)
        if Protection.of(site).rounding and not key.may_manage(site):
            reason = "figures of this site are rounded (strict); exact ones need a key that may change the site"
            raise ApiError(HTTPStatus.FORBIDDEN, "authorization", reason)
        return site


def shown(record: ImportRecord, counting: int) -> dict[str, Any]:
    """An import, as JSON."""
    found: dict[str, Any] = msgspec.to_builtins(
        ShownImport(
            id=record.id,
            name=record.name,
            by=record.by,
            at=record.at,
            state=record.state,
            days=len(record.days),
            days_counting=counting,
            report=record.report,
        )
    )
    return found


def described(record: ImportRecord) -> str:
    """An import in a few words, for the audit log."""
    report = record.report
    span = f", {report.first} to {report.last}" if report.first else ""
    return f"{record.name} ({TITLES[report.format]}): {len(record.days)} days{span}"


def _blocks(file: IO[bytes]) -> Generator[bytes]:
    with file:
        while block := file.read(BLOCK):
            yield block


def routes(
    imports: Imports,
    sites: Sites,
    keys: ApiKeys,
    audit_log: AuditLog,
    connect: Callable[[], Client],
    directory: Path,
) -> list[Route]:
    """The routes of imports and exports. `connect` opens a client that reads, and zip files are made in `directory`."""
    api = ImportsApi(imports, sites, keys, audit_log, connect, directory)
    base = "/api/v1/sites/{domain}/imports"
    export = "/api/v1/sites/{domain}/export"
    table: list[tuple[str, str, KeyHandler]] = [
        ("GET", base, api.list_imports),
        ("POST", base, api.add_import),
        ("POST", f"{base}/{{id}}/confirm", api.confirm_import),
        ("GET", export, api.export_daily),
        ("GET", f"{export}/events", api.export_events),
        ("DELETE", f"{base}/{{id}}", api.remove_import),
    ]
    return [Route(path, answering(keys, handler), methods=[method]) for method, path, handler in table]
