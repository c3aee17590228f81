"""Account page: password, language, sessions and API keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError, RecordGone
from dashboard.access.sessions import SignInMethod
from dashboard.access.users import User
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.account_keys import RIGHT_NAMES, create_key, key_lines, revoke_key, sites_to_choose
from dashboard.web.account_sessions import end_all, end_one, end_others, session_rows, sign_in_rows
from dashboard.web.app_context import Dashboard, FormPost, read_form
from dashboard.web.confirmation import check_password, confirmed
from dashboard.web.language import remember_language
from dashboard.web.openid import disconnect


async def account(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/account`: the account page and its forms."""
    if request.method == "GET":
        return await _page(dashboard, request, user)
    form = await read_form(request)
    if form.get("act") == "create_key":
        return await confirmed(FormPost(dashboard, request, user, form), _create_key)
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
        sessions=session_rows(dashboard, request, user),
        provider=dashboard.openid.name if dashboard.openid else None,
        session_days=dashboard.sessions.days,
        idle_days=dashboard.sessions.idle_days,
        sign_ins=await sign_in_rows(dashboard, user),
    )


async def _password(post: FormPost) -> Response:
    await check_password(post, "old")
    old, method = post.user.password, _method(post)
    hashed = await post.dashboard.passwords.hash(post.form.get("password", ""))

    def changed(user: User) -> User:
        # Who changed it meanwhile may have done so because the old one was known to others.
        if user.password != old:
            raise RecordError("old", _("This is not your current password."))
        return msgspec.structs.replace(user, password=hashed)

    _before, user = await post.dashboard.users.update(post.user.name, changed)
    await post.note(N_("Password changed by its owner"))
    await post.dashboard.sessions.end_all(user)
    response = RedirectResponse("/account?done=password", 303)
    # Every other browser is signed out by it; this one goes on.
    await post.dashboard.sessions.start(post.request, response, user, method)
    return response


def _method(post: FormPost) -> SignInMethod:
    """How the user of this browser signed in."""
    found = post.dashboard.sessions.current(post.request)
    return found[1].method if found else "password"


async def _language(post: FormPost) -> Response:
    response = RedirectResponse("/account?done=language", 303)
    remember_language(post.request, response, post.form.get("language", ""))
    return response


async def _confirm(post: FormPost) -> Response:
    """The identity is confirmed, for a link on the page that asked for that."""
    return await confirmed(post, _back)


async def _back(_: FormPost) -> Response:
    return RedirectResponse("/account#openid", 303)


async def _revoke_key(post: FormPost) -> Response:
    await revoke_key(post)
    return RedirectResponse("/account#keys", 303)


_ACTS: Final = {
    "password": _password,
    "confirm": _confirm,
    "language": _language,
    "end": end_one,
    "end_others": end_others,
    "end_all": end_all,
    "revoke_key": _revoke_key,
    "disconnect": disconnect,
}
