"""Audit log pages: of one site, and of the installation."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from collector.core.timezones import Zone
from dashboard.access.audit_log import COMMAND_LINE, AuditEntry
from dashboard.access.sessions import METHOD_NAMES
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _
from dashboard.notifications.alert_rules import ALERT_NAMES
from dashboard.notifications.channels import SHAPE_NAMES
from dashboard.notifications.subscriptions import FREQUENCY_NAMES
from dashboard.web.app_context import Dashboard, changeable_site

PAGE: Final = 50
MOST_PAGES: Final = 1_000
_CODES: Final = frozenset(
    {N_("yes"), N_("no"), N_("none")}
    | {N_("viewer"), N_("owner"), N_("admin")}
    | {N_("required"), N_("limited"), N_("exempt")}
    | set(METHOD_NAMES.values())
    | {N_("event"), N_("page"), N_("outbound"), N_("download"), N_("form"), N_("scroll")}
)
"""Values that are kept as codes and read as words."""
_CODED: Final = re.compile(r"(?P<before>|.+: |.+ \()(?P<code>[a-z][a-z -]*)(?P<after>|\)|, .*\))")
_ROLES: Final = re.compile(r"\((viewer|owner|admin)\)")
"""Roles for single sites, after their names."""
_DAYS: Final = re.compile(r"(?<![\w./-])(\d{4}-\d{2}-\d{2})(?: – (\d{4}-\d{2}-\d{2}))?(?![\w./-])")
"""A day or a range of days that stands alone, not within a name or an address."""
_NAMES: Final[dict[str, Mapping[Any, str]]] = {
    "Alert added": ALERT_NAMES,
    "Alert changed": ALERT_NAMES,
    "Alert removed": ALERT_NAMES,
    "Alert channel added": SHAPE_NAMES,
    "Alert channel removed": SHAPE_NAMES,
    "Report recipient added": FREQUENCY_NAMES,
    "Report recipient removed": FREQUENCY_NAMES,
    "Mail recipient unsubscribed": FREQUENCY_NAMES,
}
"""What the codes of a noted change are called; a code stands alone, or before a space and the rest."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """An entry of the audit log, as displayed."""

    time: str
    who: str
    site: str
    what: str
    before: str
    after: str


async def site_changes(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/changes`."""
    site = changeable_site(dashboard, request, user)
    number = _number(request)
    noted = await dashboard.changes.of(site, PAGE + 1, (number - 1) * PAGE)
    zone = dashboard.sites.zone(site)
    return _page(dashboard, user, noted, zone, "site_changes.html", f"/{site.domain}/changes", number, site=site)


async def all_changes(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/changes`, for administrators."""
    if user.role != "admin":
        raise HTTPException(403)
    number = _number(request)
    noted = await dashboard.changes.all(PAGE + 1, (number - 1) * PAGE)
    return _page(dashboard, user, noted, Zone("UTC"), "changes.html", "/changes", number)


def _page(
    dashboard: Dashboard,
    user: User,
    noted: list[AuditEntry],
    zone: Zone,
    template: str,
    here_href: str,
    number: int,
    **values: object,
) -> Response:
    days = [
        (formatting.date(day), [_shown(each, zone) for each in group])
        for day, group in groupby(noted[:PAGE], key=lambda each: zone.date(each.at))
    ]
    return dashboard.pages.html(
        template,
        user=user,
        days=days,
        zone=zone.name,
        newer=f"{here_href}?page={number - 1}" if number > 1 else "",
        older=f"{here_href}?page={number + 1}" if len(noted) > PAGE else "",
        **values,
    )


def _shown(noted: AuditEntry, zone: Zone) -> ChangeRow:
    day_begins = zone.bounds(zone.date(noted.at))[0]
    at = datetime.timedelta(seconds=noted.at - day_begins)
    minutes = int(at.total_seconds()) // 60
    names = _NAMES.get(noted.what, {})
    return ChangeRow(
        time=f"{minutes // 60:02}:{minutes % 60:02}",
        who=_("command line") if noted.who == COMMAND_LINE else noted.who,
        site=noted.site,
        what=_(noted.what),
        before=_named(noted.before, names),
        after=_named(noted.after, names),
    )


def _named(value: str, names: Mapping[Any, str]) -> str:
    code, has_more, more = value.partition(" ")
    if code not in names:
        return shown_value(value)
    return _(names[code]) + (f": {more}" if has_more else "")


def shown_value(text: str) -> str:
    """A noted value with its days as they are read, and its code in words: alone, after a user's name or a goal's."""
    text = _DAYS.sub(_days, text)
    found = _CODED.fullmatch(text)
    if found is None or found["code"] not in _CODES:
        return text
    after = _ROLES.sub(lambda role: f"({_(role[1])})", found["after"])
    return f"{found['before']}{_(found['code'])}{after}"


def _days(found: re.Match[str]) -> str:
    try:
        first, last = (datetime.date.fromisoformat(each) for each in (found[1], found[2] or found[1]))
    except ValueError:
        return found[0]
    return formatting.date(first) if first == last else formatting.dates(first, last)


def _number(request: Request) -> int:
    page = request.query_params.get("page", "1")
    return min(max(int(page), 1), MOST_PAGES) if page.isascii() and page.isdigit() and len(page) < 9 else 1
