"""Dashboards for readers without an account: public ones and shared links, which may be embedded."""

from __future__ import annotations

from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.sites.model import Site
from dashboard.access.csrf import same_origin
from dashboard.access.embedding import allow_framing
from dashboard.access.guests import guest_of
from dashboard.access.passwords import HashingBusy
from dashboard.access.share_links import ShareLink
from dashboard.i18n import formatting
from dashboard.i18n.translations import _
from dashboard.web.app_context import Dashboard, Endpoint, View, may_view, network_of_request, read_form, signed_in
from dashboard.web.templating import fragment_asked


def public_or_signed_in(dashboard: Dashboard, view: View) -> Endpoint:
    """A view of a site's figures for users who see the site, and for anybody where its figures are public."""
    for_users = signed_in(dashboard, view)

    async def endpoint(request: Request) -> Response:
        site = dashboard.sites.get(request.path_params["domain"].lower())
        if site is not None and site.public:
            user = dashboard.sessions.user(request)
            if user is None or not user.sees(site):
                return await may_view(dashboard, request, guest_of(site), view)
        return await for_users(request)

    return endpoint


def share_link_view(dashboard: Dashboard, view: View) -> Endpoint:
    """The view below `/share/TOKEN`, for readers with the link and, if it has one, its password."""

    async def endpoint(request: Request) -> Response:
        share, site = resolve_share_token(dashboard, request)
        if not dashboard.doors.is_open(request, share):
            return _locked(dashboard, request)
        # Views find their site by the name in the address.
        request.scope["path_params"] = {**request.path_params, "domain": site.domain}
        asked = request.query_params
        # A password is remembered in a cookie, which browsers withhold from frames in pages of others.
        embedded = asked.get("embed") == "true" and not share.password
        guest = guest_of(site, _base(request), embedded=embedded, theme=asked.get("theme", ""))
        response = await may_view(dashboard, request, guest, view)
        await dashboard.shares.note_use(share, site)
        return allow_framing(response, share.ancestors) if embedded else response

    return endpoint


def unlock(dashboard: Dashboard) -> Endpoint:
    """`POST /share/TOKEN`: the password of a link."""

    async def endpoint(request: Request) -> Response:
        if not same_origin(request.headers):
            raise HTTPException(403)
        share, _site = resolve_share_token(dashboard, request)
        if not share.password:
            return RedirectResponse(_here(request), 303)
        given = (await read_form(request)).get("password", "")
        network, attempts = network_of_request(dashboard, request), dashboard.doors.passwords
        wait = attempts.wait(share.id, network)
        if wait:
            problem = _("Too many attempts. Try again in {time}.").format(time=formatting.waiting(wait))
            return _door(dashboard, request, problem, 429, {"retry-after": str(wait)})
        attempts.count(share.id, network)
        try:
            right = await dashboard.passwords.matches(share.password, given)
        except HashingBusy:
            attempts.refund(share.id, network)
            raise
        if not right:
            return _door(dashboard, request, _("Incorrect password."), 401)
        attempts.reset(share.id, network)
        response = RedirectResponse(_here(request), 303)
        dashboard.doors.open(request, response, share, _base(request))
        return response

    return endpoint


def resolve_share_token(dashboard: Dashboard, request: Request) -> tuple[ShareLink, Site]:
    """The shared link of the token in the address, and its site. Raises 404 for a token that is not valid.

    Attempts are not limited: a token has 192 random bits and is looked up in memory.
    """
    found = dashboard.shares.opened(request.path_params["token"])
    if found is None:
        raise HTTPException(404)
    return found


def _base(request: Request) -> str:
    return f"/share/{quote(request.path_params['token'], safe='')}"


def _here(request: Request) -> str:
    """The view that was asked for, with its whole state; where only the link's own page takes a password."""
    return _base(request) + (f"?{request.url.query}" if request.url.query else "")


def _locked(dashboard: Dashboard, request: Request) -> Response:
    if fragment_asked(request):
        # The password has run out in a page that is open: the whole page asks for it again.
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    return _door(dashboard, request)


def _door(
    dashboard: Dashboard, request: Request, problem: str = "", status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    values = {"action": _here(request), "problem": problem, "user": None}
    return dashboard.pages.html("share_door.html", status, headers, **values)
