"""Import page: upload of other products' exports, what would come of them, and the imports that there are."""

from __future__ import annotations

import datetime
import itertools
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import ImportRefused, RecordError
from collector.imports.detection import FORMATS, TITLES
from collector.imports.record import ImportRecord
from collector.imports.report import Totals
from collector.imports.upload import Upload, read_upload
from collector.sites.model import Site
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, error_text
from dashboard.reports.import_report import NOTES, REASONS
from dashboard.web.app_context import Dashboard, changeable_site, read_form
from dashboard.web.members import day_of

IMPORTED = N_("Data imported")
REMOVED = N_("Imported data removed")


@dataclass(frozen=True, slots=True)
class LeftOutRow:
    """Rows that are left out for one reason, as displayed."""

    reason: str
    count: int
    lines: str


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An import, as displayed. `counting` of its days count."""

    id: str
    name: str
    format: str
    when: str
    by: str
    days: int
    counting: int
    dates: str
    checked: bool
    read: int
    accepted: int
    lost: int
    left_out: list[LeftOutRow]
    notes: list[str]
    months: list[tuple[str, Totals]]
    own_days: int
    replaced_days: int
    shrinking_days: int
    zone: str


async def show_imports(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/imports`: the form, the imports, and what one of the forms sends."""
    site = changeable_site(dashboard, request, user)
    if request.method == "GET":
        return await _page(dashboard, user, site)
    try:
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            return await _upload(dashboard, request, user, site)
        return await _act(dashboard, user, site, await read_form(request))
    except (RecordError, ImportRefused) as error:
        return await _page(dashboard, user, site, problem=error_text(error))


async def _upload(dashboard: Dashboard, request: Request, user: User, site: Site) -> Response:
    """Read the files; nothing of them counts before it is confirmed."""

    def work(upload: Upload) -> ImportRecord:
        files = upload.files()
        first = next(files, None)
        every = files if first is None else itertools.chain([first], files)
        # Fields that come before the files are known once the first file has begun.
        return dashboard.imports.read(site, every, by=user.name, log_format=upload.fields.get("log_format", ""))

    await read_upload(request, work)
    return _back(site)


async def _act(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> Response:
    id_ = form.get("id", "")
    match form.get("act", ""):
        case "confirm":
            record = await anyio.to_thread.run_sync(dashboard.imports.confirm, site, id_)
            await dashboard.changes.note(user.name, site.domain, IMPORTED, "", described(record))
        case "remove":
            record = await anyio.to_thread.run_sync(dashboard.imports.remove, site, id_)
            if record.state == "done":
                await dashboard.changes.note(user.name, site.domain, REMOVED, described(record))
        case _:
            raise HTTPException(HTTPStatus.BAD_REQUEST)
    return _back(site)


async def _page(dashboard: Dashboard, user: User, site: Site, *, problem: str = "") -> Response:
    records = await anyio.to_thread.run_sync(dashboard.imports.of, site)
    counting = await anyio.to_thread.run_sync(dashboard.imports.days_counting, site)
    rows = [_shown(record, counting.get(record.id, 0)) for record in records]
    return dashboard.pages.html(
        "imports.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK,
        user=user,
        site=site,
        problem=problem,
        waiting=[row for row in rows if row.checked],
        imports=[row for row in rows if not row.checked],
        formats=[_(each.title) for each in sorted(FORMATS, key=lambda each: ("log" in each.name, each.title.lower()))],
    )


def described(record: ImportRecord) -> str:
    """An import in a few words, for the audit log."""
    return f"{record.name} ({TITLES[record.report.format]}): {record.report.first} – {record.report.last}"


def _shown(record: ImportRecord, counting: int) -> ImportRow:
    report = record.report
    return ImportRow(
        id=record.id,
        name=record.name,
        format=_(TITLES[report.format]),
        when=day_of(record.at),
        by=record.by,
        days=len(record.days),
        counting=counting,
        dates=formatting.dates(report.first, report.last) if report.first and report.last else "",
        checked=record.state == "checked",
        read=report.read,
        accepted=report.accepted,
        lost=report.read - report.accepted,
        left_out=[
            LeftOutRow(_(REASONS.get(reason, reason)), lines.count, ", ".join(lines.first[:5]))
            for reason, lines in report.left_out.items()
        ],
        notes=[_(NOTES[note]) for note in report.notes if note in NOTES],
        months=[
            (formatting.month(datetime.date.fromisoformat(f"{month}-01")), totals)
            for month, totals in sorted(report.months.items())
        ],
        own_days=len(report.own_days),
        replaced_days=report.replaced_days,
        shrinking_days=report.shrinking_days,
        zone=report.zone,
    )


def _month(month: str) -> str:
    return formatting.month(datetime.date.fromisoformat(f"{month}-01"))


def _back(site: Site) -> Response:
    return RedirectResponse(f"/{quote(site.domain)}/imports", HTTPStatus.SEE_OTHER)
