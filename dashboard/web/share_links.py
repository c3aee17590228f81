"""Sharing page: create and revoke shared links."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.ingest.request_origin import public_base
from collector.sites.model import Site
from dashboard.access.embedding import embed_code
from dashboard.access.guests import THEMES, Theme
from dashboard.access.share_links import ShareLink, read_ancestors
from dashboard.access.users import User
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.app_context import Dashboard, changeable_site, read_form

FIELDS = ("name", "expires", "ancestors")
"""What a form that could not be taken shows again; never the password."""


async def show_sharing(dashboard: Dashboard, request: Request, user: User) -> Response:
    """The links there are, each with its address, and a form for one more; posted, that one more."""
    site = changeable_site(dashboard, request, user)
    if request.method == "GET":
        return _page(dashboard, request, user, site)
    form = await read_form(request)
    try:
        share, _token = await dashboard.shares.create(
            site,
            name=form.get("name", ""),
            password=await _hashed(dashboard, form.get("password", "")),
            expires=_day(form.get("expires", "")),
            ancestors=read_ancestors(form.get("ancestors", "")),
            by=user.name,
        )
    except RecordError as error:
        return _page(dashboard, request, user, site, form, {error.field: error_text(error)})
    current = await dashboard.users.newest(user.name)
    if current is None or not current.may_change(site):
        # The access went while the password was hashed, or at another collector: links end with it, and this one was
        # not there yet.
        await dashboard.shares.revoke(site, share.id)
        raise HTTPException(403)
    await dashboard.changes.note(user.name, site.domain, N_("Shared link created"), after=share.name)
    return _page(dashboard, request, user, site, made=share)


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


class ShownLink(NamedTuple):
    """A link as its owner sees it."""

    share: ShareLink
    over: bool
    """Whether its last day is over."""
    address: str
    """Empty where it can no longer be told."""
    frames: list[tuple[Theme, str]]
    """The code that embeds it, by color scheme."""


def _shown(dashboard: Dashboard, request: Request, site: Site, share: ShareLink) -> ShownLink:
    token = dashboard.shares.token(share)
    address = f"{public_base(request)}share/{token}" if token else ""
    themes = THEMES if address and share.ancestors else ()
    frames = [(theme, embed_code(address, site.domain, theme)) for theme in themes]
    return ShownLink(share, dashboard.shares.over(share, site), address, frames)


def _page(
    dashboard: Dashboard,
    request: Request,
    user: User,
    site: Site,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    made: ShareLink | None = None,
) -> Response:
    shares = dashboard.shares
    shown = {
        "made": made,
        "form": {field: (form or {}).get(field, "") for field in FIELDS},
        "problems": problems or {},
        "links": [_shown(dashboard, request, site, share) for share in shares.of(site)],
        "today": shares.today(site),
    }
    return dashboard.pages.html("sharing.html", 422 if problems else 200, user=user, site=site, **shown)
