"""Signing in and out: the password, and the code of an authenticator app as the second step."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from collector.core.errors import RecordError
from dashboard.access.audit_log import EVERYWHERE
from dashboard.access.csrf import safe_target, same_origin
from dashboard.access.passwords import HashingBusy
from dashboard.access.sessions import METHOD_NAMES, SignInMethod
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, error_text
from dashboard.web.app_context import Dashboard, Endpoint, network_of_request, read_form

CODE_PATH = "/login/code"


def routes(dashboard: Dashboard, middleware: Sequence[Middleware]) -> list[Route]:
    """The addresses of signing in and out."""
    return [
        Route("/login", _login(dashboard), methods=["GET", "POST"], middleware=middleware),
        Route(CODE_PATH, _second_step(dashboard), methods=["GET", "POST"], middleware=middleware),
        Route("/logout", _logout(dashboard), methods=["POST"]),
    ]


async def sign_in(
    dashboard: Dashboard, request: Request, user: User, target: str, method: SignInMethod = "password"
) -> Response:
    """Start a session, and go on to `target`."""
    response = RedirectResponse(safe_target(target), 303)
    session = await dashboard.sessions.start(request, response, user, method)
    browser = ", ".join(filter(None, (session.browser, session.system)))
    how = f"{browser}: {METHOD_NAMES[method]}" if browser else METHOD_NAMES[method]
    await dashboard.changes.note_sign_in(user, how)
    return response


async def after_password(dashboard: Dashboard, request: Request, user: User, target: str) -> Response:
    """The password was right, or is new: sign in, or ask for the second step."""
    if dashboard.passkeys is not None and dashboard.two_factor.wants_passkey(user):
        problem = _("Two factors are required on this server. Sign in with your passkey.")
        return sign_in_page(dashboard, target, user.name, problem, 401)
    if user.authenticator is None:
        return await sign_in(dashboard, request, user, target)
    response = RedirectResponse(CODE_PATH, 303)
    dashboard.pending.remember(request, response, user, safe_target(target))
    return response


def _login(dashboard: Dashboard) -> Endpoint:
    async def login(request: Request) -> Response:
        if request.method == "POST":
            return await _check_password(dashboard, request)
        if dashboard.sessions.user(request):
            return RedirectResponse(safe_target(request.query_params.get("next", "/")), 303)
        response = sign_in_page(dashboard, target=request.query_params.get("next", "/"))
        if not dashboard.pages.is_prepared:
            # While somebody types a password there is time for what the first page would have to wait for.
            response.background = BackgroundTask(dashboard.pages.prepare)
        return response

    return login


async def _check_password(dashboard: Dashboard, request: Request) -> Response:
    if not same_origin(request.headers):
        raise HTTPException(403)
    form = await read_form(request)
    name, target = form.get("name", "").strip()[:100], form.get("next", "/")
    network = network_of_request(dashboard, request)
    wait = dashboard.attempts.wait(name, network)
    if wait:
        return sign_in_page(dashboard, target, name, too_many(wait), 429, {"retry-after": str(wait)})
    dashboard.attempts.count(name, network)
    user = dashboard.users.get(name)
    try:
        right = await dashboard.passwords.matches((user.password or None) if user else None, form.get("password", ""))
    except HashingBusy as error:
        dashboard.attempts.refund(name, network)
        problem = _("Too many sign-in attempts. Try again in a few seconds.")
        return sign_in_page(dashboard, target, name, problem, 503, {"retry-after": str(error.retry_after)})
    if user is None or not right:
        return sign_in_page(
            dashboard,
            target,
            name,
            _("Incorrect user name or password. An administrator can give you a link to choose a new password."),
            401,
        )
    dashboard.attempts.reset(name, network)
    return await after_password(dashboard, request, user, target)


def _second_step(dashboard: Dashboard) -> Endpoint:
    async def second_step(request: Request) -> Response:
        if request.method == "POST" and not same_origin(request.headers):
            raise HTTPException(403)
        found = dashboard.pending.read(request)
        if found is None or found[0].authenticator is None:
            return RedirectResponse("/login", 303)
        user, target = found
        if request.method == "GET":
            return _code_door(dashboard, user)
        return await _check_code(dashboard, request, user, target)

    return second_step


async def _check_code(dashboard: Dashboard, request: Request, user: User, target: str) -> Response:
    form = await read_form(request)
    wait = dashboard.two_factor.wait(user)
    if wait:
        return _code_door(dashboard, user, too_many(wait), 429, {"retry-after": str(wait)})
    recovery = form.get("recovery", "").strip()
    try:
        method = await dashboard.two_factor.verify(user, recovery or form.get("code", ""))
    except RecordError as error:
        if dashboard.two_factor.wait(user):
            await dashboard.changes.note(user.name, EVERYWHERE, N_("Too many wrong codes"))
        return _code_door(dashboard, user, error_text(error), 401, recovery=bool(recovery))
    if method == "recovery":
        await note_recovery_code(dashboard, user)
    response = await sign_in(dashboard, request, user, target, method)
    dashboard.pending.forget(request, response)
    return response


async def note_recovery_code(dashboard: Dashboard, user: User) -> None:
    """Note that one was used, and how many are left."""
    app = (dashboard.users.get(user.name) or user).authenticator
    left = len(app.recovery) if app else 0
    await dashboard.changes.note(user.name, EVERYWHERE, N_("Recovery code used, codes left"), left + 1, left)


def too_many(wait: int) -> str:
    """That somebody has to wait so many seconds, in the reader's language."""
    return _("Too many attempts. Try again in {time}.").format(time=formatting.waiting(wait))


def sign_in_page(
    dashboard: Dashboard,
    target: str,
    name: str = "",
    problem: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """The sign-in page."""
    return dashboard.pages.html(
        "login.html",
        status,
        headers,
        target=safe_target(target),
        name=name,
        problem=problem,
        user=None,
        provider=dashboard.openid.name if dashboard.openid else None,
        passkeys_of=dashboard.passkeys.party.origin if dashboard.passkeys else "",
    )


def _code_door(
    dashboard: Dashboard,
    user: User,
    problem: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    recovery: bool = False,
) -> Response:
    values = {"name": user.name, "problem": problem, "recovery": recovery, "user": None}
    return dashboard.pages.html("login_code.html", status, headers, **values)


def _logout(dashboard: Dashboard) -> Endpoint:
    async def logout(request: Request) -> Response:
        if not same_origin(request.headers):
            raise HTTPException(403)
        response = RedirectResponse("/login", 303)
        await dashboard.sessions.end(request, response)
        return response

    return logout
