"""Segments page: save, rename and delete."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.sites.model import Site
from dashboard.access.csrf import safe_target
from dashboard.access.users import User
from dashboard.i18n.translations import N_, error_text
from dashboard.reports.filter_bar import filter_links
from dashboard.reports.panels import TABS
from dashboard.reports.segments import Segment
from dashboard.reports.view_state import ViewState, read_choice
from dashboard.web.app_context import Dashboard, read_form, visible_site


async def show_segments(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/segments`: the list, and the forms that save, rename and delete."""
    site = visible_site(dashboard, request, user)
    if request.method == "GET":
        return _page(dashboard, site, user)
    form = await read_form(request)
    try:
        if form.get("act") == "save":
            return await _save(dashboard, site, user, form)
        return await _change(dashboard, site, user, form)
    except RecordError as error:
        return _page(dashboard, site, user, form, {form.get("id", ""): error_text(error)})


async def _save(dashboard: Dashboard, site: Site, user: User, form: dict[str, str]) -> Response:
    choice = _shown(site, form)
    shared = form.get("shared") == "yes" and user.may_change(site)
    segment = await dashboard.segments.add(site, user, form.get("name", ""), choice.chips, shared=shared)
    if shared:
        await dashboard.changes.note(user.name, site.domain, N_("Segment saved"), "", _words(site, segment))
    return RedirectResponse(choice.only(segment.chips).href(), 303)


async def _change(dashboard: Dashboard, site: Site, user: User, form: dict[str, str]) -> Response:
    segment = dashboard.segments.get(site, form.get("id", ""), user)
    if segment is None:
        raise HTTPException(404)
    if not segment.may_change(user):
        raise HTTPException(403)
    if form.get("act") == "delete":
        await dashboard.segments.remove(segment)
        what, after = N_("Segment deleted"), ""
    else:
        after = (await dashboard.segments.rename(segment, user, form.get("name", ""))).name
        what = N_("Segment renamed")
    if segment.shared:
        await dashboard.changes.note(user.name, site.domain, what, segment.name, after)
    return RedirectResponse(f"/{quote(site.domain)}/segments", 303)


def _shown(site: Site, form: dict[str, str]) -> ViewState:
    """The view that the form was sent from."""
    query = urlsplit(safe_target(form.get("back", ""))).query
    return read_choice(site.domain, QueryParams(query), TABS)


def _words(site: Site, segment: Segment) -> str:
    links = filter_links(ViewState(site.domain, chips=segment.chips))
    return f"{segment.name}: {'; '.join(link.text for link in links)}"


def _page(
    dashboard: Dashboard,
    site: Site,
    user: User,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
) -> Response:
    found = [
        (segment, choice.href(), filter_links(choice))
        for segment in dashboard.segments.of(site, user)
        for choice in (ViewState(site.domain, chips=segment.chips),)
    ]
    shown = _shown(site, form) if form else None
    return dashboard.pages.html(
        "segments.html",
        422 if problems else 200,
        site=site,
        user=user,
        segments=found,
        form=form or {},
        saving=(shown.href(), filter_links(shown)) if shown and shown.chips else None,
        problems=problems or {},
    )
