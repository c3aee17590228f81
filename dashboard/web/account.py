"""Account page: password, language, signed-in sessions and API keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError, RecordGone
from dashboard.access.passwords import HashingBusy
from dashboard.access.sessions import Session
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.account_keys import RIGHT_NAMES, create_key, key_lines, revoke_key, sites_to_choose
from dashboard.web.app_context import Dashboard, FormPost, network_of_request, read_form
from dashboard.web.language import remember_language
from dashboard.web.members import day_of


async def account(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/account`: the account page and its forms."""
    if request.method == "GET":
        return await _page(dashboard, request, user)
    form = await read_form(request)
    if form.get("act") == "create_key":
        return await _create_key(FormPost(dashboard, request, user, form))
    act = _ACTS.get(form.get("act", ""))
    if act is None:
        raise HTTPException(400)
    try:
        return await act(FormPost(dashboard, request, user, form))
    except RecordGone:
        # The account itself: whoever is asked to sign in learns that it is no more.
        return RedirectResponse("/login", 303)
    except RecordError as error:
        return await _page(dashboard, request, user, problems={error.field: error_text(error)})


async def _create_key(post: FormPost) -> Response:
    """The page with the new key on it: it is shown once."""
    try:
        made = await create_key(post)
    except RecordGone:
        return RedirectResponse("/login", 303)
    except RecordError as error:
        problems = {f"key_{error.field}" if error.field == "name" else error.field: error_text(error)}
        return await _page(post.dashboard, post.request, post.user, problems=problems, form=post.form)
    return await _page(post.dashboard, post.request, post.user, made=made)


async def _page(
    dashboard: Dashboard,
    request: Request,
    user: User,
    *,
    problems: dict[str, str] | None = None,
    made: str = "",
    form: Mapping[str, str] | None = None,
) -> Response:
    own = dashboard.sessions.id(request)
    return dashboard.pages.html(
        "account.html",
        422 if problems else 200,
        user=user,
        problems=problems or {},
        done=request.query_params.get("done", ""),
        keys=await key_lines(dashboard, user),
        key_sites=[site.domain for site in sites_to_choose(dashboard, user)],
        rights={right: _(name) for right, name in RIGHT_NAMES.items()},
        made=made,
        form=form or {},
        sessions=[
            (id_, browser_label(session), day_of(session.started), formatting.date(session.last_used), id_ == own)
            for id_, session in dashboard.sessions.of(user)
        ],
    )


def browser_label(session: Session) -> str:
    """Such as "Firefox on Linux", in the reader's language."""
    if session.browser and session.system:
        return _("{browser} on {system}").format(browser=session.browser, system=session.system)
    return session.browser or session.system or _("Unknown browser")


async def _password(post: FormPost) -> Response:
    network, attempts, name = network_of_request(post.dashboard, post.request), post.dashboard.attempts, post.user.name
    wait = attempts.wait(name, network)
    if wait:
        raise RecordError("old", _("Too many attempts. Try again in {time}.").format(time=formatting.waiting(wait)))
    attempts.count(name, network)
    old = post.user.password
    try:
        right = await post.dashboard.passwords.matches(old, post.form.get("old", ""))
    except HashingBusy:
        attempts.refund(name, network)
        raise
    if not right:
        raise RecordError("old", _("This is not your current password."))
    attempts.reset(name, network)
    hashed = await post.dashboard.passwords.hash(post.form.get("password", ""))

    def changed(user: User) -> User:
        # Who changed it meanwhile may have done so because the old one was known to others.
        if user.password != old:
            raise RecordError("old", _("This is not your current password."))
        return msgspec.structs.replace(user, password=hashed)

    _before, user = await post.dashboard.users.update(name, changed)
    await post.note(N_("Own password changed"))
    await post.dashboard.sessions.end_all(user)
    response = RedirectResponse("/account?done=password", 303)
    # Every other browser is signed out by it; this one goes on.
    await post.dashboard.sessions.start(post.request, response, user)
    return response


async def _language(post: FormPost) -> Response:
    response = RedirectResponse("/account?done=language", 303)
    remember_language(post.request, response, post.form.get("language", ""))
    return response


async def _end(post: FormPost) -> Response:
    await post.dashboard.sessions.end_one(post.user, post.form.get("id", ""))
    return RedirectResponse("/account#browsers", 303)


async def _end_others(post: FormPost) -> Response:
    await post.dashboard.sessions.end_all(post.user, but=post.dashboard.sessions.id(post.request))
    return RedirectResponse("/account#browsers", 303)


async def _revoke_key(post: FormPost) -> Response:
    await revoke_key(post)
    return RedirectResponse("/account#keys", 303)


_ACTS: Final = {
    "password": _password,
    "language": _language,
    "end": _end,
    "end_others": _end_others,
    "revoke_key": _revoke_key,
}
