"""Alerts of a site and its channels (`/SITE/alerts`), and channels of the installation (`/alerts`)."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import anyio.to_thread
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.sites.model import Site
from dashboard.access.audit_log import EVERYWHERE
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _, error_text, languages
from dashboard.notifications.alert_rules import ALERT_NAMES, DEFAULT_THRESHOLDS, AlertRule
from dashboard.notifications.alert_sender import ALERT
from dashboard.notifications.channels import INSTALLATION, SHAPE_NAMES
from dashboard.notifications.errors import DeliveryError
from dashboard.notifications.occasion import Occasion, title
from dashboard.notifications.outbox import Delivery
from dashboard.notifications.trials import TooManyTrials
from dashboard.notifications.webhook_transport import reason_text
from dashboard.web.app_context import Dashboard, FormPost, changeable_site, read_form

CHANNEL_ADDED: Final = N_("Alert channel added")
CHANNEL_REMOVED: Final = N_("Alert channel removed")
ALERT_ADDED: Final = N_("Alert added")
ALERT_CHANGED: Final = N_("Alert changed")
ALERT_REMOVED: Final = N_("Alert removed")
SHOWN: Final = 20
"""Deliveries on the page."""
STATES: Final = {"pending": N_("Pending"), "claimed": N_("Pending"), "sent": N_("Sent"), "failed": N_("Failed")}


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as the page lists it."""

    when: str
    what: str
    """The alert, or that it was a trial."""
    channel: str
    state: str
    failed: bool
    attempts: int
    error: str


async def site_alerts(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/alerts`: rules, channels, and what was sent."""
    return await _answer(dashboard, request, user, changeable_site(dashboard, request, user))


async def installation_alerts(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/alerts`: where operators are told of trouble, for administrators."""
    if user.role != "admin":
        raise HTTPException(403)
    return await _answer(dashboard, request, user, None)


async def _answer(dashboard: Dashboard, request: Request, user: User, site: Site | None) -> Response:
    if request.method == "GET":
        return await _page(dashboard, request, user, site)
    form = await read_form(request)
    act = _ACTS.get(form.get("act", ""))
    if act is None or (site is None and form.get("act", "").endswith("_rule")):
        raise HTTPException(400)
    try:
        done, secret = await act(FormPost(dashboard, request, user, form, site))
    except RecordError as error:
        return await _page(dashboard, request, user, site, form, {error.field: error_text(error)})
    except TooManyTrials as error:
        raise HTTPException(429, headers={"retry-after": str(error.wait)}) from None
    except DeliveryError as error:
        problem = _("The test could not be sent: {reason}.").format(reason=reason_text(str(error)))
        return await _page(dashboard, request, user, site, problems={"sending": problem})
    if secret:
        return await _page(dashboard, request, user, site, secret=secret)
    return RedirectResponse(f"{_base(site)}?done={done}", 303)


async def _add_channel(post: FormPost) -> tuple[str, str]:
    channel, secret = await post.dashboard.notifications.channels.add(
        _site_id(post),
        post.form.get("shape", ""),
        post.form.get("target", ""),
        language=post.form.get("language", ""),
        by=post.user.name,
    )
    await _note(post, CHANNEL_ADDED, after=channel.shape)
    # Only receivers of Standard Webhooks check a signature.
    return "added", secret if channel.shape == "standard" else ""


async def _remove_channel(post: FormPost) -> tuple[str, str]:
    channels = post.dashboard.notifications.channels
    found = channels.of_site(_site_id(post), post.form.get("id", ""))
    await channels.remove(found)
    await _note(post, CHANNEL_REMOVED, before=found.shape)
    return "removed", ""


async def _test_channel(post: FormPost) -> tuple[str, str]:
    notifications = post.dashboard.notifications
    found = notifications.channels.of_site(_site_id(post), post.form.get("id", ""))
    await notifications.alerts.send_test(found, post.site)
    return "sent", ""


async def _add_rule(post: FormPost) -> tuple[str, str]:
    rule = await post.dashboard.notifications.rules.add(
        _site(post),
        post.form.get("kind", ""),
        threshold=_threshold(post),
        goal=post.form.get("goal", ""),
        by=post.user.name,
    )
    await _note(post, ALERT_ADDED, after=rule.kind)
    return "added", ""


async def _change_rule(post: FormPost) -> tuple[str, str]:
    rules, site = post.dashboard.notifications.rules, _site(post)
    found = rules.of_site(site, post.form.get("id", ""))
    new = await rules.change(site, found, threshold=_threshold(post), goal=post.form.get("goal", ""))
    await _note(post, ALERT_CHANGED, *map(_noted, (found, new)))
    return "changed", ""


def _noted(rule: AlertRule) -> str:
    """A rule as the list of changes has it: its kind, and what can be changed of it."""
    changeable = ", ".join(filter(None, (rule.goal, str(rule.threshold))))
    return f"{rule.kind} {changeable}"


def _threshold(post: FormPost) -> int | None:
    """The threshold of the form; None where it is empty. Raises `RecordError`."""
    text = post.form.get("threshold", "").strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise RecordError("threshold", _("expected a whole number"))
    return int(text) if text else None


async def _remove_rule(post: FormPost) -> tuple[str, str]:
    rules = post.dashboard.notifications.rules
    found = rules.of_site(_site(post), post.form.get("id", ""))
    await rules.remove(found)
    await _note(post, ALERT_REMOVED, before=found.kind)
    return "removed", ""


Act = Callable[[FormPost], Awaitable[tuple[str, str]]]
_ACTS: Final[dict[str, Act]] = {
    "add_channel": _add_channel,
    "remove_channel": _remove_channel,
    "test_channel": _test_channel,
    "add_rule": _add_rule,
    "change_rule": _change_rule,
    "remove_rule": _remove_rule,
}


def _site(post: FormPost) -> Site:
    if post.site is None:
        raise HTTPException(400)
    return post.site


def _site_id(post: FormPost) -> str:
    return post.site.id if post.site else INSTALLATION


async def _note(post: FormPost, what: str, before: str = "", after: str = "") -> None:
    domain = post.site.domain if post.site else EVERYWHERE
    await post.dashboard.changes.note(post.user.name, domain, what, before, after)


def _base(site: Site | None) -> str:
    return f"/{quote(site.domain)}/alerts" if site else "/alerts"


async def _page(
    dashboard: Dashboard,
    request: Request,
    user: User,
    site: Site | None,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    secret: str = "",
) -> Response:
    notifications = dashboard.notifications
    channels = notifications.channels.of(site.id if site else INSTALLATION)
    deliveries = await anyio.to_thread.run_sync(notifications.outbox.of, site.id, ALERT) if site else []
    names = {each.id: each.name for each in channels}
    return dashboard.pages.html(
        "alerts.html" if site else "installation_alerts.html",
        422 if problems else 200,
        user=user,
        site=site,
        target=_base(site),
        done=request.query_params.get("done", ""),
        secret=secret,
        form=form or {},
        problems=problems or {},
        channels=[(each, languages().get(each.language, each.language)) for each in channels],
        shapes={name: _(title) for name, title in SHAPE_NAMES.items()},
        rules=notifications.rules.of(site) if site else [],
        kinds={kind: _(title) for kind, title in ALERT_NAMES.items()},
        thresholds=DEFAULT_THRESHOLDS,
        deliveries=[_row(each, names, site) for each in deliveries[:SHOWN]] if site else [],
    )


def _when(at: int, zone: str) -> str:
    moment = datetime.datetime.fromtimestamp(at, ZoneInfo(zone))
    return f"{formatting.date(moment.date())} {moment:%H:%M}"


def _row(each: Delivery, names: dict[str, str], site: Site) -> DeliveryRow:
    occasion = msgspec.json.decode(each.payload, type=Occasion) if each.payload else None
    return DeliveryRow(
        when=_when(each.finished or each.created, site.timezone),
        what=title(occasion, site.domain) if occasion else _("Test message"),
        channel=names.get(each.target, _("a removed channel")),
        state=_(STATES[each.state]),
        failed=each.state == "failed",
        attempts=each.attempts,
        error=reason_text(each.error) if each.state != "sent" else "",
    )
