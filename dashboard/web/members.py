"""Members and users: roles, invitations and password reset links."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.core.mail_address import is_mail_address
from collector.core.text import has_hidden
from collector.ingest.request_origin import public_base
from dashboard.access.audit_log import EVERYWHERE
from dashboard.access.one_time_links import Invitation, password_mark
from dashboard.access.users import ROLES, SITE_ROLES, Role, User, titled
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, error_text
from dashboard.notifications.errors import DeliveryError
from dashboard.web.app_context import Dashboard, FormPost, changeable_site, read_form
from dashboard.web.confirmation import confirmed

ROLE_NAMES: Final[dict[Role, str]] = {"admin": N_("Administrator"), "owner": N_("Owner"), "viewer": N_("Viewer")}
ROLE_MEANINGS: Final[dict[Role, str]] = {
    "admin": N_("can see and change everything"),
    "owner": N_("can change settings, members and data"),
    "viewer": N_("can view the statistics"),
}
ACCOUNT_ROLES: Final[tuple[Role, ...]] = ("admin", "owner")
"""What one may be invited to be without a site."""
ACCOUNT_MEANINGS: Final[dict[Role, str]] = {
    "admin": N_("can see and change everything"),
    "owner": N_("can add sites"),
}
LONGEST_NOTE: Final = 100


@dataclass(frozen=True, slots=True)
class Link:
    """A link that is shown once."""

    href: str
    what: str
    sent: bool = False
    """Whether it went out by mail."""
    problem: str = ""
    """Why it did not, though it should have."""


async def people(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/people`: who sees the site; and changes of that."""
    site = changeable_site(dashboard, request, user)
    link, problems = None, {}
    if request.method == "POST":
        form = await read_form(request)
        act = _ACTS.get(form.get("act", ""))
        if act is None:
            raise HTTPException(400)
        try:
            link = await act(FormPost(dashboard, request, user, form, site))
        except RecordError as error:
            problems = {error.field: error_text(error)}
        if link is None and not problems:
            # Who has taken away their own right to this page is led elsewhere.
            now = dashboard.users.get(user.name)
            still = now is not None and now.may_change(site)
            return RedirectResponse(f"/{quote(site.domain)}/people" if still else "/", 303)
    return dashboard.pages.html(
        "people.html",
        422 if problems else 200,
        site=site,
        user=user,
        people=[(each, each.role_on(site)) for each in dashboard.users.of(site)],
        invitations=[
            (id_, each, day_of(dashboard.invitations.expires(each)))
            for id_, each in await dashboard.invitations.open_for(site.id)
        ],
        link=link,
        by_mail=dashboard.notifications.letters.enabled,
        problems=problems,
        roles=[(role, _(ROLE_NAMES[role]), _(ROLE_MEANINGS[role])) for role in SITE_ROLES],
        role_names={role: _(name) for role, name in ROLE_NAMES.items()},
    )


async def users(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/users`: everybody who may sign in, for administrators; and changes of that, by whoever proves to be one."""
    if user.role != "admin":
        raise HTTPException(403)
    if request.method == "GET":
        return await _users_page(dashboard, user)
    form = await read_form(request)
    if form.get("act", "") not in _USER_ACTS:
        raise HTTPException(400)
    return await confirmed(FormPost(dashboard, request, user, form), _change_users)


async def _change_users(post: FormPost) -> Response:
    if post.user.role != "admin":
        # Not any more: the role went while the password was checked.
        raise HTTPException(403)
    try:
        link = await _USER_ACTS[post.form["act"]](post)
    except RecordError as error:
        return await _users_page(post.dashboard, post.user, problems={error.field: error_text(error)})
    return RedirectResponse("/users", 303) if link is None else await _users_page(post.dashboard, post.user, link)


async def _users_page(
    dashboard: Dashboard, user: User, link: Link | None = None, problems: dict[str, str] | None = None
) -> Response:
    return dashboard.pages.html(
        "users.html",
        422 if problems else 200,
        user=user,
        users=[(each, titled(each, dashboard.sites.domains)) for each in dashboard.users.all()],
        invitations=[
            (id_, each, day_of(dashboard.invitations.expires(each)))
            for id_, each in await dashboard.invitations.open_for(EVERYWHERE)
        ],
        link=link,
        by_mail=dashboard.notifications.letters.enabled,
        problems=problems or {},
        roles=[(role, _(ROLE_NAMES[role])) for role in ROLES],
        new_roles=[(role, _(ROLE_NAMES[role]), _(ACCOUNT_MEANINGS[role])) for role in ACCOUNT_ROLES],
        role_names={role: _(name) for role, name in ROLE_NAMES.items()},
    )


async def _invite(post: FormPost) -> Link:
    role = _role(post.form, SITE_ROLES if post.site else ACCOUNT_ROLES)
    note = post.form.get("note", "").strip()
    if len(note) > LONGEST_NOTE or has_hidden(note):
        raise RecordError("note", _("expected one line of at most {count} characters").format(count=LONGEST_NOTE))
    to = _address(post)
    site_id = post.site.id if post.site else ""
    invitation = Invitation(by=post.user.name, made=int(post.dashboard.clock()), site=site_id, role=role, note=note)
    secret = await post.dashboard.invitations.make(invitation)
    await post.note(N_("Member invited"), "", _described(note, role))
    link = Link(f"{public_base(post.request)}invitation/{secret}", _("Invitation"))
    invite = post.dashboard.notifications.letters.invitation
    send = partial(invite, to, by=post.user.name, site=post.domain, site_id=site_id, href=link.href)
    return await _mailed(link, send) if to else link


async def _revoke(post: FormPost) -> None:
    gone = await post.dashboard.invitations.revoke(post.site.id if post.site else "", post.form.get("id", ""))
    if gone is not None:
        await post.note(N_("Invitation revoked"), _described(gone.note, gone.role))


async def _change_role(post: FormPost) -> None:
    role = _role(post.form, SITE_ROLES)
    name, before = await _set_role(post, role)
    await post.note(N_("Role changed"), f"{name}: {before}", f"{name}: {role}")


async def _take_off(post: FormPost) -> None:
    name, before = await _set_role(post, None)
    await post.note(N_("Member removed from the site"), f"{name}: {before}")


async def _set_role(post: FormPost, role: Role | None) -> tuple[str, Role | None]:
    """Give somebody who sees the site another role there, or none; returns their name and what they were."""
    site_id = post.site.id if post.site else ""

    def changed(other: User) -> User:
        _must_still_be_allowed(post)
        if other.role_at(site_id) in (None, "admin"):
            raise _not_here(other)
        return other.with_role(site_id, role)

    before, after = await post.dashboard.users.update(_other(post).name, changed)
    return after.name, before.role_at(site_id)


async def _account_role(post: FormPost) -> None:
    role = _role(post.form, ROLES)

    def changed(other: User) -> User:
        _must_still_be_allowed(post)
        # What somebody was to a site they stay, whatever the account becomes.
        return msgspec.structs.replace(other.with_roles_of_sites(), role=role)

    before, after = await post.dashboard.users.update(_other(post).name, changed)
    await post.dashboard.changes.note(
        post.user.name, EVERYWHERE, N_("Role changed"), f"{after.name}: {before.role}", f"{after.name}: {role}"
    )


async def _remove_user(post: FormPost) -> None:
    other = _other(post)
    if other.name == post.user.name:
        raise RecordError("name", _("you cannot remove your own account"))
    await post.dashboard.users.remove(other.name, partial(_must_still_be_allowed, post))
    await post.note(N_("User removed"), f"{other.name}: {other.role}")


async def _password_link(post: FormPost) -> Link:
    other, to = _other(post), _address(post)
    await post.dashboard.invitations.revoke_of(other.name)
    secret = await post.dashboard.invitations.make(
        Invitation(
            by=post.user.name,
            made=int(post.dashboard.clock()),
            user=other.name,
            password_mark=password_mark(other),
        )
    )
    await post.note(N_("Password reset link created"), "", other.name)
    link = Link(f"{public_base(post.request)}password/{secret}", _("New password for {name}").format(name=other.name))
    return (
        await _mailed(link, partial(post.dashboard.notifications.letters.password, to, name=other.name, href=link.href))
        if to
        else link
    )


async def _mailed(link: Link, send: Callable[[], Awaitable[None]]) -> Link:
    """The link once it was mailed; where that failed it says why, and is still good."""
    try:
        await send()
    except DeliveryError as error:
        return replace(link, problem=str(error))
    return replace(link, sent=True)


def _must_still_be_allowed(post: FormPost) -> None:
    """Raises 403 where the right to the page went while the change waited: who loses a role must not take it back."""
    user = post.dashboard.users.current(post.user)
    if user is None or not (user.may_change(post.site) if post.site else user.role == "admin"):
        raise HTTPException(403)


def _address(post: FormPost) -> str:
    """Where the link is to be mailed; "" for nowhere. Raises `RecordError`."""
    address = post.form.get("address", "").strip()
    if address and not is_mail_address(address):
        raise RecordError("address", _("expected an e-mail address such as anna@example.com"))
    return address if post.dashboard.notifications.letters.enabled else ""


async def _reset_two_factor(post: FormPost) -> None:
    other = _other(post)
    if await post.dashboard.two_factor.reset(other.name):
        await post.note(N_("Two-factor authentication reset"), "", other.name)


_ACTS: Final = {"invite": _invite, "revoke": _revoke, "role": _change_role, "remove": _take_off}
_USER_ACTS: Final[dict[str, Callable[[FormPost], Awaitable[Link | None]]]] = {
    "invite": _invite,
    "revoke": _revoke,
    "role": _account_role,
    "remove": _remove_user,
    "password": _password_link,
    "reset_two_factor": _reset_two_factor,
}


def day_and_time(at: int) -> str:
    """The day and the minute of a Unix second, UTC."""
    return f"{day_of(at)}, {datetime.datetime.fromtimestamp(at, datetime.UTC):%H:%M}"


def day_of(at: int) -> str:
    """The day of a Unix second, as it is read."""
    return formatting.date(datetime.datetime.fromtimestamp(at, datetime.UTC).date())


def _other(post: FormPost) -> User:
    other = post.dashboard.users.get(post.form.get("name", ""))
    if other is None:
        raise RecordError("name", _("user not found"))
    return other


def _not_here(other: User) -> RecordError:
    """Who does not see a site is not told apart from who does not exist."""
    if other.role == "admin":
        return RecordError("name", _("administrators have access to every site"))
    return RecordError("name", _("user not found"))


def _role(form: dict[str, str], allowed: tuple[Role, ...]) -> Role:
    for role in allowed:
        if form.get("role") == role:
            return role
    raise RecordError("role", _("expected one of {choices}").format(choices=", ".join(allowed)))


def _described(note: str, role: Role) -> str:
    return f"{note}: {role}" if note else role
