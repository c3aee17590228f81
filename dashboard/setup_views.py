"""Adding a site, the tag to paste, and a site's settings."""

from __future__ import annotations

import zoneinfo
from typing import Final, cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.exceptions import RecordError
from collector.sites import Policy, Site
from dashboard.context import Dashboard, read_form, visible_site
from dashboard.drops import drops_of
from dashboard.pages import fragment_asked
from dashboard.users import User

BANNERS: Final = ("cookieconsent", "klaro", "tarteaucitron", "orejime", "tcf", "gcm")
"""Consent banners that the snippet follows by itself."""


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
        return _new_page(dashboard, user, given, {error.field: error.reason})
    if not user.sees(site.domain):
        await dashboard.users.change(msgspec.structs.replace(user, sites=(*user.sites, site.domain)))
    return RedirectResponse(f"/{site.domain}/install", 303)


def _new_page(dashboard: Dashboard, user: User, form: Site, problems: dict[str, str]) -> Response:
    values = {"user": user, "form": form, "problems": problems, "zones": zones()}
    return dashboard.pages.html("site_new.html", 422 if problems else 200, **values)


async def install(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/install`: the tag to paste, and whether anything has arrived yet."""
    site = visible_site(dashboard, request, user)
    arrived = dashboard.counters.accepted(site.domain) > 0
    if not arrived:
        # Counters begin anew with the process; what stands in ClickHouse does not.
        arrived = await dashboard.store.first_day(site.domain) is not None
    template = "_receiving.html" if fragment_asked(request) == "receiving" else "install.html"
    return dashboard.pages.html(
        template,
        site=site,
        user=user,
        tag=tag_of(site, str(request.base_url)),
        banners=BANNERS,
        arrived=arrived,
        drops=drops_of(await dashboard.tally.of(site.domain)),
    )


def tag_of(site: Site, base: str) -> str:
    """The line of HTML that the site's pages need; `base` is this server's address, with a slash at the end."""
    policy = "" if site.consent == "required" else f' data-consent="{site.consent}"'
    return f'<script defer data-domain="{site.domain}"{policy} src="{base}js/tyst.js"></script>'


async def change_site(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/settings`: the form, and what it sends."""
    site = visible_site(dashboard, request, user)
    if not user.may_change(site.domain):
        raise HTTPException(403)
    if request.method == "GET":
        return _settings_page(dashboard, user, site, saved="saved" in request.query_params)
    form = await read_form(request)
    try:
        changed = msgspec.structs.replace(
            site,
            timezone=form.get("timezone", "").strip(),
            consent=cast("Policy", form.get("consent", "")),
            min_visitors=_whole(form, "min_visitors"),
            retention_days=_whole(form, "retention_days"),
        )
        await dashboard.sites.change(changed)
    except RecordError as error:
        return _settings_page(dashboard, user, site, form=form, problems={error.field: error.reason})
    return RedirectResponse(f"/{site.domain}/settings?saved", 303)


def _whole(form: dict[str, str], field: str) -> int:
    text = form.get(field, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RecordError(field, "expected a whole number")
    return int(text)


def _settings_page(
    dashboard: Dashboard,
    user: User,
    site: Site,
    *,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    saved: bool = False,
) -> Response:
    shown = {
        "timezone": site.timezone,
        "consent": site.consent,
        "min_visitors": str(site.min_visitors),
        "retention_days": str(site.retention_days),
        **(form or {}),
    }
    return dashboard.pages.html(
        "settings.html",
        422 if problems else 200,
        user=user,
        site=site,
        form=shown,
        problems=problems or {},
        saved=saved,
        zones=zones(),
    )


async def delete_site(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/delete`: forget the site, when its name was typed."""
    site = visible_site(dashboard, request, user)
    if not user.may_change(site.domain):
        raise HTTPException(403)
    typed = (await read_form(request)).get("confirm", "").strip().lower()
    if typed != site.domain:
        problem = {"confirm": f"Type {site.domain} to delete it."}
        return _settings_page(dashboard, user, site, problems=problem)
    await dashboard.sites.remove(site.domain)
    return RedirectResponse("/", 303)
