"""Signing in by OpenID Connect: the way to the provider, back from it, and connecting an account that exists."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dashboard.access.audit_log import EVERYWHERE
from dashboard.access.csrf import from_own_page, safe_target
from dashboard.access.openid.flow import Flow
from dashboard.access.openid.refusal import OpenIdRefused
from dashboard.access.openid.sign_in import CALLBACK, OpenIdSignIn
from dashboard.access.users import User
from dashboard.i18n.translations import N_, _
from dashboard.web.app_context import Dashboard, Endpoint, FormPost, network_of_request, signed_in
from dashboard.web.confirmation import confirmation_page
from dashboard.web.login import sign_in, sign_in_page, too_many

log = logging.getLogger(__name__)

ATTEMPTS: Final = "openid"
"""What goes wrong is counted under it."""
CONNECT_PATH: Final = "/account/openid"


def routes(dashboard: Dashboard, middleware: Sequence[Middleware]) -> list[Route]:
    """The addresses of signing in by a provider; each is absent where none is set."""
    return [
        Route("/login/openid", _begin(dashboard)),
        Route(CALLBACK, _callback(dashboard), middleware=middleware),
        Route(CONNECT_PATH, signed_in(dashboard, _connect)),
    ]


def _begin(dashboard: Dashboard) -> Endpoint:
    async def begin(request: Request) -> Response:
        service, target = _service(dashboard), safe_target(request.query_params.get("next", "/"))
        return await _to_provider(dashboard, request, service.flows.begin(target))

    return begin


async def _connect(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`GET /account/openid`: bind an identity to the account. A link, as the pages' policy lets no form lead to
    another server; so only a page of this server may link here. Who has signed in a while ago confirms that first."""
    service = _service(dashboard)
    if not from_own_page(request.headers):
        raise HTTPException(403)
    if not user.password:
        # It has an identity, and nothing that could be asked for before another takes its place.
        raise HTTPException(400)
    if not dashboard.recent.is_recent(request):
        return confirmation_page(dashboard, request, user, {"act": "confirm"}, action="/account")
    return await _to_provider(dashboard, request, service.flows.begin("/account", user.name))


async def _to_provider(dashboard: Dashboard, request: Request, flow: Flow) -> Response:
    service = _service(dashboard)
    try:
        response = RedirectResponse(await service.provider.authorization_url(flow), 303)
    except OpenIdRefused as error:
        return _refused(dashboard, error, flow)
    service.flows.remember(request, response, flow)
    return response


def _callback(dashboard: Dashboard) -> Endpoint:
    async def callback(request: Request) -> Response:
        service, network = _service(dashboard), network_of_request(dashboard, request)
        wait = dashboard.probes.wait(ATTEMPTS, network)
        if wait:
            return sign_in_page(dashboard, "/", problem=too_many(wait), status=429, headers={"retry-after": str(wait)})
        flow = service.flows.read(request, request.query_params.get("state", ""))
        try:
            response = await _finish(dashboard, request, service, flow)
        except OpenIdRefused as error:
            dashboard.probes.count(ATTEMPTS, network)
            response = _refused(dashboard, error, flow)
        service.flows.forget(request, response)
        return response

    return callback


async def _finish(dashboard: Dashboard, request: Request, service: OpenIdSignIn, flow: Flow | None) -> Response:
    claims = await service.claims(request.query_params, flow)
    if flow is not None and flow.connects:
        user = dashboard.sessions.user(request)
        if user is None or user.name != flow.connects:
            raise OpenIdRefused("another account is signed in than the one to connect")
        await service.accounts.connect(user, claims)
        await dashboard.changes.note(user.name, EVERYWHERE, N_("Single sign-on connected"))
        return RedirectResponse("/account?done=connected", 303)
    before = {each.name: each.role for each in dashboard.users.all()}
    user, new = await service.accounts.sign_in(claims)
    if new:
        await dashboard.changes.note(
            user.name, EVERYWHERE, N_("User added by single sign-on"), "", f"{user.name}: {user.role}"
        )
    elif before.get(user.name) != user.role:
        old = before.get(user.name, "")
        await dashboard.changes.note(
            user.name, EVERYWHERE, N_("Role changed"), f"{user.name}: {old}", f"{user.name}: {user.role}"
        )
    return await sign_in(dashboard, request, user, flow.target if flow else "/", "provider")


def _refused(dashboard: Dashboard, error: OpenIdRefused, flow: Flow | None) -> Response:
    log.warning("a sign-in by OpenID Connect was refused: %s", error.reason)
    problem = _(error.text) if error.text else _("Single sign-on failed. Try again, or contact your administrator.")
    return sign_in_page(dashboard, flow.target if flow else "/", problem=problem, status=401)


def _service(dashboard: Dashboard) -> OpenIdSignIn:
    if dashboard.openid is None:
        raise HTTPException(404)
    return dashboard.openid


async def disconnect(post: FormPost) -> Response:
    """Take the identity off an account; it must have a password to sign in with then."""
    if post.user.openid is None or not post.user.password:
        raise HTTPException(400)
    await post.dashboard.users.update(post.user.name, lambda user: msgspec.structs.replace(user, openid=None))
    await post.note(N_("Single sign-on disconnected"))
    await post.dashboard.sessions.end_all(post.user, but=post.dashboard.sessions.id(post.request))
    return RedirectResponse("/account", 303)
