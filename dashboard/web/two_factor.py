"""The page of an account's two-factor authentication: setting it up, recovery codes, turning it off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import segno
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.ingest.request_origin import public_base
from dashboard.access.two_factor import Setup, provisioning_uri
from dashboard.access.users import User
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.app_context import TWO_FACTOR_PATH, Dashboard, FormPost, read_form
from dashboard.web.confirmation import check_identity, confirmed
from dashboard.web.members import day_of


async def two_factor(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/account/two-factor`: the page and its forms."""
    if request.method == "GET":
        return _page(dashboard, request, user)
    form = await read_form(request)
    act = _ACTS.get(form.get("act", ""))
    if act is None:
        raise HTTPException(400)
    post = FormPost(dashboard, request, user, form)
    try:
        return await act(post)
    except RecordError as error:
        return _page(dashboard, request, user, form.get("setup", ""), problems={error.field: error_text(error)})


async def _turn_on(post: FormPost) -> Response:
    return await confirmed(post, _confirm_app)


async def _confirm_app(post: FormPost) -> Response:
    sessions, service = post.dashboard.sessions, post.dashboard.two_factor
    setup = service.resume(post.user, post.form.get("setup", ""))
    if setup is None:
        raise RecordError("code", _("This key has expired. Scan the new one."))
    codes = await service.turn_on(post.user, setup, post.form.get("code", ""))
    await post.note(N_("Two-factor authentication turned on"))
    # Whoever else is signed in has not shown a code.
    await sessions.end_all(post.user, but=sessions.id(post.request))
    return _page(post.dashboard, post.request, _newest(post), codes=codes)


async def _renew(post: FormPost) -> Response:
    await check_identity(post)
    codes = await post.dashboard.two_factor.renew_recovery_codes(post.user)
    await post.note(N_("Recovery codes renewed"))
    return _page(post.dashboard, post.request, _newest(post), codes=codes)


async def _turn_off(post: FormPost) -> Response:
    await check_identity(post)
    await post.dashboard.two_factor.turn_off(post.user.name)
    await post.note(N_("Two-factor authentication turned off"))
    return RedirectResponse(f"{TWO_FACTOR_PATH}?done=off", 303)


def _newest(post: FormPost) -> User:
    return post.dashboard.users.get(post.user.name) or post.user


def _page(
    dashboard: Dashboard,
    request: Request,
    user: User,
    encrypted: str = "",
    *,
    problems: dict[str, str] | None = None,
    codes: Sequence[str] = (),
) -> Response:
    app, service = user.authenticator, dashboard.two_factor
    setup = (service.resume(user, encrypted) or service.begin(user)) if app is None and user.password else None
    return dashboard.pages.html(
        "two_factor.html",
        422 if problems else 200,
        user=user,
        app=app,
        since=day_of(app.since) if app else "",
        setup=setup,
        qr_code=_qr_code(request, user, setup) if setup else "",
        key=" ".join(setup.key[at : at + 4] for at in range(0, len(setup.key), 4)) if setup else "",
        codes=codes,
        required=service.required,
        problems=problems or {},
        done=request.query_params.get("done", ""),
    )


def _qr_code(request: Request, user: User, setup: Setup) -> Markup:
    """An inline SVG, dark on white in every colour scheme: cameras want it so."""
    host = urlsplit(public_base(request)).netloc
    code = segno.make_qr(provisioning_uri(user, setup.key, host), error="m")
    return Markup(code.svg_inline(scale=4, dark="#000", light="#fff", omitsize=True))  # noqa: S704 # made of numbers


_ACTS: Final[dict[str, Callable[[FormPost], Awaitable[Response]]]] = {
    "turn_on": _turn_on,
    "renew": _renew,
    "turn_off": _turn_off,
}
