"""Data management pages: delete data, reset, rename or remove a site."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import anyio.to_thread
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.erasure.delete_events import FIELDS
from collector.erasure.site_job import Kind, SiteJob, new_job
from collector.sites.hostnames import unicode_host
from collector.sites.model import Site
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.app_context import Dashboard, changeable_site, read_form
from dashboard.web.members import day_of
from dashboard.web.templating import fragment_asked

FIELD_NAMES: Final = {
    "page": N_("Page"),
    "hostname": N_("Hostname"),
    "event": N_("Event"),
    "source": N_("Source"),
    "referrer": N_("Referrer"),
    "country": N_("Country (two letters)"),
    "browser": N_("Browser"),
    "os": N_("Operating system"),
}
KIND_NAMES: Final[dict[Kind, str]] = {
    "delete": N_("Data deleted"),
    "reset": N_("Statistics reset"),
    "remove": N_("Site deleted"),
    "rename": N_("Site renamed"),
}


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A job, as displayed."""

    what: str
    when: str
    rows: int
    open: bool
    failed: bool


async def figures(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/data`: the forms, and what one of them sends."""
    site = changeable_site(dashboard, request, user)
    if request.method == "GET":
        template = "_tasks.html" if fragment_asked(request) == "tasks" else "data.html"
        return await _page(dashboard, user, site, template=template)
    form = await read_form(request)
    act = _ACTS.get(form.get("act", ""))
    if act is None:
        raise HTTPException(400)
    try:
        return await act(dashboard, user, site, form)
    except RecordError as error:
        return await _page(dashboard, user, site, form=form, problems={error.field: error_text(error)})


async def delete_site(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/delete`: away with the site and all its figures, when its name was typed."""
    site = changeable_site(dashboard, request, user)
    form = await read_form(request)
    try:
        return await _remove(dashboard, user, site, form)
    except RecordError as error:
        return await _page(dashboard, user, site, form=form, problems={error.field: error_text(error)})


async def _page(
    dashboard: Dashboard,
    user: User,
    site: Site,
    *,
    template: str = "data.html",
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    preview: int | None = None,
    first_raw: datetime.date | None = None,
) -> Response:
    today = dashboard.sites.zone(site).date(dashboard.clock()).isoformat()
    blank = {"first": today, "last": today, "field": "page", "value": "", "domain": "", "act": ""}
    tasks = await anyio.to_thread.run_sync(dashboard.deletions.of, site)
    return dashboard.pages.html(
        template,
        422 if problems else 200,
        user=user,
        site=site,
        form={**blank, **(form or {})},
        problems=problems or {},
        preview=preview,
        first_raw=formatting.date(first_raw) if first_raw else "",
        tasks=[_shown(task) for task in tasks],
        busy=any(task.waiting for task in tasks),
        fields_known=[(name, _(title)) for name, title in FIELD_NAMES.items()],
    )


def _shown(job: SiteJob) -> TaskRow:
    return TaskRow(_(KIND_NAMES[job.kind]), day_of(job.asked), job.rows, job.open, bool(job.set_aside))


async def _preview(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> Response:
    task = _some(dashboard, user, site, form)
    rows = await anyio.to_thread.run_sync(dashboard.deletions.preview, task)
    oldest = dashboard.sites.zone(site).date(dashboard.clock()) - datetime.timedelta(days=site.retention_days)
    cut = oldest if task.first is not None and task.first < oldest else None
    return await _page(dashboard, user, site, form=form, preview=rows, first_raw=cut)


async def _delete(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> Response:
    task = await _ask(dashboard, _some(dashboard, user, site, form))
    days = formatting.dates(task.first, task.last) if task.first and task.last else ""
    # What was compared with may be the very thing that was to be forgotten: it is not noted.
    what = _("{field}, {days}").format(field=FIELD_NAMES[task.field], days=days) if task.field else days
    await dashboard.changes.note(user.name, site.domain, KIND_NAMES["delete"], f"{task.rows} events: {what}")
    return _back(site.domain)


async def _reset(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> Response:
    _confirmed(site, form, "confirm_reset")
    task = await _ask(dashboard, new_job("reset", site, user.name, dashboard.clock()))
    await dashboard.changes.note(user.name, site.domain, KIND_NAMES["reset"], f"{task.rows} events")
    return _back(site.domain)


async def _rename(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> Response:
    name = unicode_host(form.get("domain", "").strip().lower())
    await _ask(dashboard, new_job("rename", site, user.name, dashboard.clock(), to=name))
    await dashboard.changes.note(user.name, name, KIND_NAMES["rename"], site.domain, name)
    return _back(name)


async def _release(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> Response:
    def released(newest: Site) -> Site:
        aliases = tuple(name for name in newest.aliases if name != form.get("alias", ""))
        return msgspec.structs.replace(newest, aliases=aliases)

    before, after = await dashboard.sites.update(site, released)
    await dashboard.changes.note_site(user.name, before, after)
    return _back(site.domain)


async def _remove(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> Response:
    _confirmed(site, form, "confirm")
    task = await _ask(dashboard, new_job("remove", site, user.name, dashboard.clock()))
    await dashboard.changes.note(user.name, site.domain, KIND_NAMES["remove"], f"{task.rows} events", site_id=site.id)
    return RedirectResponse("/", 303)


Act = Callable[[Dashboard, User, Site, dict[str, str]], Awaitable[Response]]
_ACTS: Final[dict[str, Act]] = {
    "preview": _preview,
    "delete": _delete,
    "reset": _reset,
    "rename": _rename,
    "release": _release,
    "remove": _remove,
}


async def _ask(dashboard: Dashboard, job: SiteJob) -> SiteJob:
    return await anyio.to_thread.run_sync(dashboard.deletions.enqueue, job)


def _some(dashboard: Dashboard, user: User, site: Site, form: dict[str, str]) -> SiteJob:
    first, last = _date(form, "first"), _date(form, "last")
    field, value = form.get("field", ""), form.get("value", "").strip()
    if first > last:
        raise RecordError("last", _("expected a day that is not before the first"))
    if field and field not in FIELDS:
        raise RecordError("field", _("expected one of {choices}").format(choices=", ".join(FIELDS)))
    if field and not value:
        raise RecordError("value", _("expected a value to compare with, such as /private/**"))
    fields = {"first": first, "last": last, "field": field, "value": value if field else ""}
    return new_job("delete", site, user.name, dashboard.clock(), **fields)


def _date(form: dict[str, str], field: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(form.get(field, ""))
    except ValueError:
        raise RecordError(field, _("expected a date")) from None


def _confirmed(site: Site, form: dict[str, str], field: str) -> None:
    if form.get(field, "").strip().lower() != site.domain:
        raise RecordError(field, _("Type {name} to confirm.").format(name=site.domain))


def _back(domain: str) -> Response:
    return RedirectResponse(f"/{quote(domain)}/data", 303)
