"""Confirmation of access: password and code again, before what would let somebody stay in who uses an open browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from dashboard.access.passwords import HashingBusy
from dashboard.access.users import User
from dashboard.i18n.translations import _, error_text
from dashboard.web.app_context import Dashboard, FormPost, network_of_request
from dashboard.web.login import note_recovery_code, too_many

FIELDS: Final = ("confirm_password", "confirm_code")
"""What the page adds to a form."""

Act = Callable[[FormPost], Awaitable[Response]]


async def confirmed(post: FormPost, act: Act) -> Response:
    """What the form does, where the session is recent; else the page that asks for password and code, and sends the
    same form with them."""
    recent = post.dashboard.recent
    if recent.is_recent(post.request):
        return await act(post)
    if FIELDS[0] not in post.form:
        return confirmation_page(post.dashboard, post.request, post.user, post.form)
    try:
        await check_identity(post, FIELDS)
    except RecordError as error:
        problems = {error.field: error_text(error)}
        return confirmation_page(post.dashboard, post.request, post.user, post.form, problems=problems)
    found = post.dashboard.sessions.current(post.request)
    if found is None:
        # The account went while the password was checked.
        return RedirectResponse("/login", 303)
    response = await act(replace(post, user=found[0]))
    recent.note(post.request, response)
    return response


def confirmation_page(
    dashboard: Dashboard,
    request: Request,
    user: User,
    form: Mapping[str, str],
    *,
    action: str = "",
    problems: Mapping[str, str] | None = None,
) -> Response:
    """The page that asks; `action` is where the form goes, by default where it came to."""
    return dashboard.pages.html(
        "confirm.html",
        422 if problems else 403,
        user=user,
        action=action or request.url.path,
        fields_sent={name: value for name, value in form.items() if name not in FIELDS},
        problems=problems or {},
    )


async def check_identity(post: FormPost, fields: tuple[str, str] = ("password", "code")) -> None:
    """Raises `RecordError` unless these fields of the form have the user's password and, where it is on, a code."""
    password, code = fields
    await check_password(post, password)
    if post.user.authenticator is None:
        return
    service = post.dashboard.two_factor
    wait = service.wait(post.user)
    if wait:
        raise RecordError(code, too_many(wait))
    try:
        method = await service.verify(post.user, post.form.get(code, ""))
    except RecordError as error:
        raise RecordError(code, error.template) from None
    if method == "recovery":
        await note_recovery_code(post.dashboard, post.user)


async def check_password(post: FormPost, field: str) -> None:
    """Raises `RecordError` unless that field of the form has the user's password."""
    network, attempts, name = network_of_request(post.dashboard, post.request), post.dashboard.attempts, post.user.name
    wait = attempts.wait(name, network)
    if wait:
        raise RecordError(field, too_many(wait))
    attempts.count(name, network)
    try:
        right = await post.dashboard.passwords.matches(post.user.password or None, post.form.get(field, ""))
    except HashingBusy:
        attempts.refund(name, network)
        raise
    if not right:
        raise RecordError(field, _("This is not your current password."))
    attempts.reset(name, network)
