"""Sessions and sign-in history on the account page, and signing browsers out."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dashboard.access.sessions import METHOD_NAMES, Session
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _
from dashboard.web.app_context import Dashboard, FormPost
from dashboard.web.audit_log import shown_value
from dashboard.web.members import day_and_time, day_of


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A signed-in browser, as displayed."""

    id: str
    browser: str
    method: str
    started: str
    last_used: str
    own: bool


def session_rows(dashboard: Dashboard, request: Request, user: User) -> list[SessionRow]:
    """The user's signed-in browsers, the newest first."""
    own = dashboard.sessions.id(request)
    return [_row(id_, session, own) for id_, session in dashboard.sessions.of(user)]


async def sign_in_rows(dashboard: Dashboard, user: User) -> list[tuple[str, str]]:
    """The user's newest sign-ins: time, and browser with method."""
    return [(day_and_time(each.at), shown_value(each.after)) for each in await dashboard.changes.sign_ins(user)]


def _row(id_: str, session: Session, own: str) -> SessionRow:
    return SessionRow(
        id=id_,
        browser=browser_label(session),
        method=_(METHOD_NAMES[session.method]),
        started=day_of(session.started),
        last_used=formatting.date(session.last_used),
        own=id_ == own,
    )


def browser_label(session: Session) -> str:
    """Such as "Firefox on Linux", in the reader's language."""
    if session.browser and session.system:
        return _("{browser} on {system}").format(browser=session.browser, system=session.system)
    return session.browser or session.system or _("Unknown browser")


async def end_one(post: FormPost) -> Response:
    """Sign out one browser of the user."""
    if await post.dashboard.sessions.end_one(post.user, post.form.get("id", "")):
        await post.note(N_("Session ended"))
    return RedirectResponse("/account#browsers", 303)


async def end_others(post: FormPost) -> Response:
    """Sign out every browser of the user but this one."""
    await post.dashboard.sessions.end_all(post.user, but=post.dashboard.sessions.id(post.request))
    await post.note(N_("Signed out of all other sessions"))
    return RedirectResponse("/account#browsers", 303)


async def end_all(post: FormPost) -> Response:
    """Sign out every browser of the user."""
    await post.dashboard.sessions.end_all(post.user)
    await post.note(N_("Signed out everywhere"))
    response = RedirectResponse("/login", 303)
    await post.dashboard.sessions.end(post.request, response)
    return response
