"""Landing pages of one-time links: accepting an invitation, and choosing a new password."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from collector.core.errors import RecordError, RecordGone
from dashboard.access.csrf import same_origin
from dashboard.access.one_time_links import Invitation, is_for
from dashboard.access.users import User, checked
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.app_context import Dashboard, Endpoint, network_of_request, read_form
from dashboard.web.login import after_password, sign_in
from dashboard.web.members import ACCOUNT_MEANINGS, ROLE_MEANINGS, ROLE_NAMES

Act = Callable[[Dashboard, Request, str, Invitation], Awaitable[Response]]


LINKS: Final = "link"
"""What wrong links are counted under."""


def routes(dashboard: Dashboard, middleware: Sequence[Middleware]) -> list[Route]:
    """The addresses of both kinds of link."""
    kinds = (("/invitation/{secret}", invitation(dashboard)), ("/password/{secret}", password(dashboard)))
    return [Route(path, view, methods=["GET", "POST"], middleware=middleware) for path, view in kinds]


def invitation(dashboard: Dashboard) -> Endpoint:
    """`/invitation/SECRET`: to see a site, with a new account or the one that is signed in."""
    return _entry(dashboard, _invited, lambda found: not found.user)


def password(dashboard: Dashboard) -> Endpoint:
    """`/password/SECRET`: a new password for the account that the link was made for."""
    return _entry(dashboard, _forgotten, lambda found: bool(found.user))


def _entry(dashboard: Dashboard, act: Act, fits: Callable[[Invitation], bool]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "POST" and not same_origin(request.headers):
            raise HTTPException(403)
        network = network_of_request(dashboard, request)
        wait = dashboard.probes.wait(LINKS, network)
        if wait:
            raise HTTPException(429, headers={"retry-after": str(wait)})
        secret = request.path_params["secret"]
        found = await dashboard.invitations.peek(secret)
        if found is None or not fits(found) or not _stands(dashboard, found):
            dashboard.probes.count(LINKS, network)
            return dashboard.pages.html("entry_over.html", 410, user=dashboard.sessions.user(request))
        return await act(dashboard, request, secret, found)

    return endpoint


def _stands(dashboard: Dashboard, found: Invitation) -> bool:
    """Whether its site is there, and who made the link might still make it."""
    maker = dashboard.users.get(found.by)
    if found.site:
        site = dashboard.sites.by_id(found.site)
        return site is not None and maker is not None and maker.may_change(site)
    return maker is not None and maker.role == "admin"


async def _invited(dashboard: Dashboard, request: Request, secret: str, found: Invitation) -> Response:
    user = dashboard.sessions.user(request)
    if request.method == "GET":
        return _invited_page(dashboard, secret, found, user)
    form = await read_form(request)
    name = user.name if user else form.get("name", "").strip()

    def must_stand() -> None:
        if not _stands(dashboard, found):
            raise RecordGone

    def joined(newest: User) -> User:
        must_stand()
        return _joined(newest, found)

    try:
        new = None
        if user is None:
            _must_be_free(dashboard, name)
            new = checked(User(name=name, password=await dashboard.passwords.hash(form.get("password", ""))))
            # Again: hashing took its time, and a link that is used up for nothing would be lost.
            _must_be_free(dashboard, name)
        if await dashboard.invitations.redeem(secret) is None:
            return dashboard.pages.html("entry_over.html", 410, user=None)
        if new is not None:
            user = await dashboard.users.add(_joined(new, found), must_stand)
        else:
            _, user = await dashboard.users.update(name, joined)
    except RecordGone:
        return dashboard.pages.html("entry_over.html", 410, user=None)
    except RecordError as error:
        return _invited_page(dashboard, secret, found, None, name, {error.field: error_text(error)})
    site = dashboard.sites.by_id(found.site)
    domain = site.domain if site else ""
    await dashboard.changes.note(user.name, domain, N_("Invitation accepted"), "", f"{user.name}: {found.role}")
    target = f"/{quote(domain)}"
    if dashboard.sessions.user(request) is None:
        return await sign_in(dashboard, request, user, target)
    return RedirectResponse(target, 303)


def _must_be_free(dashboard: Dashboard, name: str) -> None:
    if dashboard.users.get(name):
        raise RecordError("name", _("This name is taken; choose another."))


def _joined(user: User, found: Invitation) -> User:
    """The user with what the invitation gives. It never takes anything away."""
    if not found.site:
        rank = ("viewer", "owner", "admin")
        return msgspec.structs.replace(user.with_roles_of_sites(), role=max(user.role, found.role, key=rank.index))
    if user.role_at(found.site) in ("admin", "owner"):
        return user
    return user.with_role(found.site, found.role)


def _invited_page(
    dashboard: Dashboard,
    secret: str,
    found: Invitation,
    user: User | None,
    name: str = "",
    problems: dict[str, str] | None = None,
) -> Response:
    return dashboard.pages.html(
        "invitation.html",
        422 if problems else 200,
        secret=secret,
        invitation=found,
        site=dashboard.sites.by_id(found.site),
        role=_(ROLE_NAMES[found.role]),
        meaning=_((ROLE_MEANINGS if found.site else ACCOUNT_MEANINGS)[found.role]),
        user=user,
        sees=user is not None and bool(found.site) and user.role_at(found.site) in (found.role, "owner", "admin"),
        name=name,
        problems=problems or {},
    )


async def _forgotten(dashboard: Dashboard, request: Request, secret: str, found: Invitation) -> Response:
    user = dashboard.users.get(found.user)
    if user is None or not is_for(found, user):
        return dashboard.pages.html("entry_over.html", 410, user=None)
    name = user.name
    if request.method == "GET":
        return dashboard.pages.html("password.html", secret=secret, name=name, user=None, problems={})
    form = await read_form(request)
    try:
        hashed = await dashboard.passwords.hash(form.get("password", ""))
        if await dashboard.invitations.redeem(secret) is None:
            return dashboard.pages.html("entry_over.html", 410, user=None)
        _, user = await dashboard.users.update(name, partial(_with_password, found, hashed))
    except RecordGone:
        return dashboard.pages.html("entry_over.html", 410, user=None)
    except RecordError as error:
        problems = {error.field: error_text(error)}
        return dashboard.pages.html("password.html", 422, secret=secret, name=name, user=None, problems=problems)
    await dashboard.sessions.end_all(user)
    await dashboard.changes.note(user.name, "", N_("Password changed by a link"))
    return await after_password(dashboard, request, user, "/")


def _with_password(found: Invitation, hashed: str, newest: User) -> User:
    """The account with a new password. Raises `RecordGone` where the password was changed meanwhile."""
    if not is_for(found, newest):
        raise RecordGone
    return msgspec.structs.replace(newest, password=hashed)
