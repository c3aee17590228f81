"""Sharing page: create and revoke shared links."""

from __future__ import annotations

import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.ingest.request_origin import public_base
from collector.sites.registry import Site
from dashboard.access.embedding import iframe_html
from dashboard.access.guests import THEMES
from dashboard.access.share_links import read_ancestors
from dashboard.access.users import User
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.app_context import Dashboard, changeable_site, read_form

FIELDS = ("name", "expires", "ancestors")
"""What a form that could not be taken shows again; never the password."""


async def show_sharing(dashboard: Dashboard, request: Request, user: User) -> Response:
    """The links there are, and a form for one more; posted, that one more, with its address shown this once."""
    site = changeable_site(dashboard, request, user)
    if request.method == "GET":
        return _page(dashboard, user, site)
    form = await read_form(request)
    try:
        share, token = await dashboard.shares.create(
            site,
            name=form.get("name", ""),
            password=await _hashed(dashboard, form.get("password", "")),
            expires=_day(form.get("expires", "")),
            ancestors=read_ancestors(form.get("ancestors", "")),
            by=user.name,
        )
    except RecordError as error:
        return _page(dashboard, user, site, form, {error.field: error_text(error)})
    await dashboard.changes.note(user.name, site.domain, N_("Shared link created"), after=share.name)
    link = f"{public_base(request)}share/{token}"
    frames = [(theme, iframe_html(link, site.domain, theme)) for theme in THEMES] if share.ancestors else []
    return _page(dashboard, user, site, made=share, link=link, frames=frames)


async def revoke_share(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`POST /SITE/sharing/revoke`: the link `id` opens nothing any more."""
    site = changeable_site(dashboard, request, user)
    try:
        share = await dashboard.shares.revoke(site, (await read_form(request)).get("id", ""))
    except RecordError:
        raise HTTPException(404) from None
    await dashboard.changes.note(user.name, site.domain, N_("Shared link revoked"), before=share.name)
    return RedirectResponse(f"/{site.domain}/sharing", 303)


async def _hashed(dashboard: Dashboard, password: str) -> str:
    return await dashboard.passwords.hash(password) if password else ""


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError:
        raise RecordError("expires", _("expected a day such as 2027-01-31")) from None


def _page(
    dashboard: Dashboard,
    user: User,
    site: Site,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    **made: object,
) -> Response:
    shares = dashboard.shares
    shown = {
        "made": None,
        **made,
        "form": {field: (form or {}).get(field, "") for field in FIELDS},
        "problems": problems or {},
        "shares": [(share, shares.over(share, site)) for share in shares.of(site)],
        "today": shares.today(site),
    }
    return dashboard.pages.html("sharing.html", 422 if problems else 200, user=user, site=site, **shown)
