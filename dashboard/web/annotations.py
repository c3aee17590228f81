"""Forms that add, change and remove annotations."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from dashboard.access.users import User
from dashboard.i18n.translations import N_, error_text
from dashboard.reports.annotations import Annotation
from dashboard.web.app_context import Dashboard, read_form, visible_site
from dashboard.web.view_state_loader import view_state_of

ADDED = N_("Annotation added")
CHANGED = N_("Annotation changed")
REMOVED = N_("Annotation deleted")


async def change_note(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`POST /SITE/notes`: one note, new or with its `id`; `act=delete` takes it away. Leads back to the view."""
    site = visible_site(dashboard, request, user)
    if not user.may_change(site):
        raise HTTPException(403)
    choice, _ = await view_state_of(dashboard, site, request, user)
    form = await read_form(request)
    notes, known = dashboard.annotations, None
    if form.get("id"):
        known = notes.get(site, form["id"])
        if known is None:
            raise HTTPException(404)
    before = _said(known) if known else ""
    if known and form.get("act") == "delete":
        await notes.remove(known)
        await dashboard.changes.note(user.name, site.domain, REMOVED, before)
        return RedirectResponse(choice.href(), 303)
    try:
        date, text, shared = form.get("date", ""), form.get("text", ""), "shared" in form
        if known:
            note = await notes.update(known, date, text, shared=shared)
        else:
            note = await notes.add(site, user.name, date, text, shared=shared)
    except RecordError as error:
        # The form asks for a date and for so many characters at most: a browser does not send others.
        raise HTTPException(422, error_text(error)) from None
    await dashboard.changes.note(user.name, site.domain, CHANGED if known else ADDED, before, _said(note))
    return RedirectResponse(choice.href(), 303)


def _said(note: Annotation) -> str:
    return f"{note.day} {note.text}" + (" [shared]" if note.shared else "")
