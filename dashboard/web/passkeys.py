"""The page of an account's passkeys: adding and removing them."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.ingest.request_origin import origin_of
from dashboard.access.passkeys.challenges import Challenge
from dashboard.access.passkeys.refusal import PasskeyRefused
from dashboard.access.passkeys.service import LONGEST_NAME, Passkeys
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.app_context import PASSKEYS_PATH, Dashboard, FormPost, read_form
from dashboard.web.confirmation import check_identity
from dashboard.web.members import day_of

log = logging.getLogger(__name__)


async def passkeys(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/account/passkeys`: the page and its forms."""
    if request.method == "GET":
        return _page(dashboard, request, user)
    form = await read_form(request)
    act = _ACTS.get(form.get("act", ""))
    if act is None or not user.password:
        raise HTTPException(400)
    post = FormPost(dashboard, request, user, form)
    try:
        return await act(post)
    except RecordError as error:
        return _page(dashboard, request, user, form=form, problems={error.field: error_text(error)})


async def _begin(post: FormPost) -> Response:
    """The page that has the browser make a passkey, once it is certain who asks."""
    service = _service(post.dashboard)
    challenge = service.begin_adding(post.user, post.form.get("name", ""))
    await check_identity(post)
    response = _page(post.dashboard, post.request, post.user, challenge=challenge)
    service.challenges.remember(post.request, response, challenge)
    return response


async def _add(post: FormPost) -> Response:
    service = _service(post.dashboard)
    challenge = service.challenges.read(post.request, post.user.name)
    if challenge is None:
        raise RecordError("name", _("That took too long. Try again."))
    try:
        added = await service.add(post.user, challenge, post.form.get("credential", ""))
    except PasskeyRefused as error:
        log.warning("a new passkey was refused: %s", error.reason)
        raise RecordError("name", _("This passkey was not accepted. Try again.")) from None
    await post.note(N_("Passkey added"), "", added.name)
    response = RedirectResponse(f"{PASSKEYS_PATH}?done=added", 303)
    await _count_as_used(post, response)
    service.challenges.forget(post.request, response)
    return response


async def _count_as_used(post: FormPost, response: Response) -> None:
    """Where two factors are required, password and passkey have just been both: this browser may go on, and others,
    which have shown the password only, are signed out."""
    found = post.dashboard.sessions.current(post.request)
    if found is not None and post.dashboard.two_factor.is_due(*found):
        await post.dashboard.sessions.end_all(post.user)
        await post.dashboard.sessions.start(post.request, response, post.user, "passkey")


async def _remove(post: FormPost) -> Response:
    id_ = post.form.get("id", "")
    if post.user.passkey(id_) is None:
        return RedirectResponse(PASSKEYS_PATH, 303)
    await check_identity(post)
    before, _after = await post.dashboard.users.update(post.user.name, lambda user: user.without_passkey(id_))
    gone = before.passkey(id_)
    if gone is not None:
        await post.note(N_("Passkey removed"), gone.name, "")
    return RedirectResponse(f"{PASSKEYS_PATH}?done=removed", 303)


def _page(
    dashboard: Dashboard,
    request: Request,
    user: User,
    *,
    challenge: Challenge | None = None,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
) -> Response:
    form = form or {}
    service = dashboard.passkeys
    chosen = form.get("id", "") if form.get("act") == "remove" else request.query_params.get("remove", "")
    rows = [
        (each.id, each.name, day_of(each.added), formatting.date(each.last_used) if each.last_used else "")
        for each in user.passkeys
    ]
    options = dict(service.creation_options(user, challenge)) if service and challenge else None
    return dashboard.pages.html(
        "passkeys.html",
        422 if problems else 200,
        user=user,
        rows=rows,
        removing=user.passkey(chosen),
        obstacle=_obstacle(dashboard, request),
        options=json.dumps(options) if options else "",
        longest_name=LONGEST_NAME,
        form=form,
        problems=problems or {},
        done=request.query_params.get("done", ""),
    )


def _obstacle(dashboard: Dashboard, request: Request) -> str:
    """Why no passkey can be added here; empty where one can."""
    url, service = dashboard.settings.public_url, dashboard.passkeys
    if not url:
        return _("Passkeys need the server’s public address. Whoever runs the server sets it with TYST_PUBLIC_URL.")
    if service is None:
        return _("Passkeys need an https address with a domain name, and TYST_PUBLIC_URL is {url}.").format(url=url)
    if origin_of(request).host != service.party.id:
        return _("Passkeys belong to {url}. Open this page there.").format(url=url)
    return ""


def _service(dashboard: Dashboard) -> Passkeys:
    if dashboard.passkeys is None:
        raise HTTPException(404)
    return dashboard.passkeys


_ACTS: Final[dict[str, Callable[[FormPost], Awaitable[Response]]]] = {
    "begin": _begin,
    "add": _add,
    "remove": _remove,
}
