"""Pages that add a site and change its settings."""

from __future__ import annotations

import contextlib
import zoneinfo
from collections.abc import Sequence
from functools import partial
from typing import cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError, RecordGone
from collector.sites.model import Policy, Site
from dashboard.access.users import User
from dashboard.i18n.translations import N_, error_text
from dashboard.reports.labels import RETENTIONS, retention_text
from dashboard.web.app_context import Dashboard, changeable_site, read_form
from dashboard.web.site_settings_form import (
    SECTIONS,
    becomes,
    problem_of,
    read_sections,
    sections_of,
    shown,
)


def zones() -> list[str]:
    """Names of time zones to choose from: places, and UTC."""
    places = (
        name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/"))
    )
    return ["UTC", *sorted(places)]


async def add_site(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/sites/new`: the form, and what it sends."""
    if not user.may_add_sites:
        raise HTTPException(403)
    if request.method == "GET":
        return _new_page(dashboard, user, Site(domain=""), {})
    form = await read_form(request)
    given = Site(
        domain=form.get("domain", ""),
        timezone=form.get("timezone", "").strip(),
        consent=cast("Policy", form.get("consent", "required")),
        created=int(dashboard.clock()),
    )
    try:
        site = await dashboard.sites.add(given)
    except RecordError as error:
        return _new_page(dashboard, user, given, {error.field: error_text(error)})
    await dashboard.changes.note(user.name, site.domain, N_("Site added"))
    # As an owner by name: the account's role may change, or has changed since the form was sent.
    with contextlib.suppress(RecordGone):
        await dashboard.users.update(user.name, partial(_with_site, site))
    return RedirectResponse(f"/{site.domain}/install", 303)


def _with_site(site: Site, user: User) -> User:
    return user if user.sees(site) else user.with_role(site.id, "owner")


def _new_page(dashboard: Dashboard, user: User, form: Site, problems: dict[str, str]) -> Response:
    values = {"user": user, "form": form, "problems": problems, "zones": zones()}
    return dashboard.pages.html("site_new.html", 422 if problems else 200, **values)


async def change_site(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/settings`: the forms, and what one of them sends."""
    site = changeable_site(dashboard, request, user)
    if request.method == "GET":
        return _settings_page(dashboard, user, site, saved=request.query_params.get("saved", ""))
    form = await read_form(request)
    try:
        sections = sections_of(form.get("section", ""))
    except ValueError:
        raise HTTPException(400) from None
    given, problems = read_sections(sections, form)
    if "try" in form and not problems:
        return _tried_page(dashboard, user, site, msgspec.structs.replace(site, **given), form)
    saved = list(sections)
    if not problems:
        try:
            before, after = await dashboard.sites.update(site, lambda newest: msgspec.structs.replace(newest, **given))
            await dashboard.changes.note_site(user.name, before, after)
            saved += ["tag"] if before.consent != after.consent else []
        except RecordError as error:
            problems = problem_of(error)
    if problems:
        return _settings_page(dashboard, user, site, form=form, problems=problems)
    return RedirectResponse(f"/{site.domain}/settings?saved={','.join(saved)}#{sections[0]}", 303)


def _tried_page(dashboard: Dashboard, user: User, site: Site, changed: Site, form: dict[str, str]) -> Response:
    """The page with what would become of the address that was typed; nothing is saved, and the address is not kept."""
    try:
        kept = becomes(changed, form.get("tried", "").strip())
    except RecordError as error:
        return _settings_page(dashboard, user, site, form=form, problems=problem_of(error))
    return _settings_page(dashboard, user, site, form=form, kept=kept, unsaved=changed != site)


def _settings_page(
    dashboard: Dashboard,
    user: User,
    site: Site,
    *,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    saved: str = "",
    kept: Sequence[tuple[str, str]] = (),
    unsaved: bool = False,
) -> Response:
    values = shown(site)
    sent = sections_of(form["section"]) if form else ()
    if form:
        # Of the form that was sent, what was typed; a box that was not ticked sends nothing.
        values |= {field: form.get(field, "") for section in sent for field in SECTIONS[section]}
    wrong = [section for section in sent if any(field in SECTIONS[section] for field in problems or {})]
    retentions = {days: retention_text(days) for days in (*RETENTIONS, site.retention_days)}
    return dashboard.pages.html(
        "settings.html",
        422 if problems else 200,
        user=user,
        site=site,
        form=values,
        problems=problems or {},
        sent=sent,
        wrong=wrong or (sent if problems else ()),
        tried=form.get("tried", "") if form else "",
        becomes=kept,
        unsaved=unsaved,
        saved=saved.split(","),
        zones=zones(),
        retentions=dict(sorted(retentions.items())),
        default_rate=dashboard.settings.rate_limit,
        has_datacenters=dashboard.settings.datacenter_file is not None,
        links=len(dashboard.shares.of(site)),
        people=len(dashboard.users.of(site)),
    )
