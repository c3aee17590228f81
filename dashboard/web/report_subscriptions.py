"""`/SITE/reports`: who gets the site's reports by mail; and the page that recipients unsubscribe on."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.sites.model import Site
from dashboard.access.audit_log import EVERYWHERE
from dashboard.access.csrf import same_origin
from dashboard.access.users import User
from dashboard.i18n.translations import N_, _, error_text, languages
from dashboard.notifications.errors import DeliveryError
from dashboard.notifications.outbox import Delivery
from dashboard.notifications.report_mail import REPORT
from dashboard.notifications.subscriptions import FREQUENCY_NAMES, Subscription
from dashboard.notifications.trials import TooManyTrials
from dashboard.web.app_context import Dashboard, Endpoint, FormPost, changeable_site, network_of_request, read_form
from dashboard.web.members import day_of

ADDED: Final = N_("Report recipient added")
REMOVED: Final = N_("Report recipient removed")
UNSUBSCRIBED: Final = N_("Mail recipient unsubscribed")
TOKENS: Final = "unsubscription"
"""What wrong tokens are counted under."""


async def show_subscriptions(dashboard: Dashboard, request: Request, user: User) -> Response:
    """The recipients, and the forms that add one, remove one, or send one a trial."""
    site = changeable_site(dashboard, request, user)
    if request.method == "GET":
        return await _page(dashboard, request, user, site)
    form = await read_form(request)
    act = _ACTS.get(form.get("act", ""))
    if act is None:
        raise HTTPException(400)
    try:
        done = await act(FormPost(dashboard, request, user, form, site), site)
    except RecordError as error:
        return await _page(dashboard, request, user, site, form, {error.field: error_text(error)})
    except TooManyTrials as error:
        raise HTTPException(429, headers={"retry-after": str(error.wait)}) from None
    except DeliveryError as error:
        problem = _("The report could not be sent: {reason}.").format(reason=error)
        return await _page(dashboard, request, user, site, problems={"sending": problem})
    return RedirectResponse(f"/{quote(site.domain)}/reports?done={done}", 303)


async def _add(post: FormPost, site: Site) -> str:
    await post.dashboard.notifications.subscriptions.add(
        site,
        post.form.get("address", ""),
        frequency=post.form.get("frequency", ""),
        language=post.form.get("language", ""),
        by=post.user.name,
    )
    await post.note(ADDED, "", post.form.get("frequency", ""))
    return "added"


async def _remove(post: FormPost, site: Site) -> str:
    subscriptions = post.dashboard.notifications.subscriptions
    found = subscriptions.of_site(site, post.form.get("id", ""))
    await subscriptions.remove(found)
    await post.note(REMOVED, found.frequency)
    return "removed"


async def _test(post: FormPost, site: Site) -> str:
    notifications = post.dashboard.notifications
    found = notifications.subscriptions.of_site(site, post.form.get("id", ""))
    await notifications.reports.send_now(site, found)
    return "sent"


_ACTS: Final = {"add": _add, "remove": _remove, "test": _test}


async def _page(
    dashboard: Dashboard,
    request: Request,
    user: User,
    site: Site,
    form: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
) -> Response:
    notifications = dashboard.notifications
    deliveries = await anyio.to_thread.run_sync(notifications.outbox.of, site.id, REPORT)
    newest = {each.target: each for each in reversed(deliveries) if each.payload}
    trials = {each.target: each for each in reversed(deliveries) if not each.payload}
    return dashboard.pages.html(
        "reports.html",
        422 if problems else 200,
        user=user,
        site=site,
        done=request.query_params.get("done", ""),
        missing=notifications.reports.missing,
        recipients=[
            (each, languages().get(each.language, each.language), _outcomes(newest.get(each.id), trials.get(each.id)))
            for each in notifications.subscriptions.of(site)
        ],
        frequencies={name: _(title) for name, title in FREQUENCY_NAMES.items()},
        form=form or {},
        problems=problems or {},
    )


def _outcomes(delivery: Delivery | None, trial: Delivery | None) -> list[str]:
    """What came of the newest report to a recipient, and when a trial was last sent."""
    tried = [_("Test sent on {day}").format(day=day_of(trial.finished))] if trial else []
    return [_report_outcome(delivery), *tried]


def _report_outcome(delivery: Delivery | None) -> str:
    if delivery is None:
        return _("No report sent yet")
    if delivery.state == "sent":
        return _("Last sent on {day}").format(day=day_of(delivery.finished))
    if delivery.state == "failed":
        return _("Failed: {reason}").format(reason=delivery.error)
    return _("Will be retried: {reason}").format(reason=delivery.error) if delivery.error else _("Pending")


def unsubscribe(dashboard: Dashboard) -> Endpoint:
    """`/unsubscribe/TOKEN`: a page with a button. What merely follows links, as scanners of mail do, changes nothing;
    what the button or a mail program (RFC 8058) posts does."""

    async def endpoint(request: Request) -> Response:
        if request.method == "POST" and not same_origin(request.headers):
            raise HTTPException(403)
        network = network_of_request(dashboard, request)
        wait = dashboard.probes.wait(TOKENS, network)
        if wait:
            raise HTTPException(429, headers={"retry-after": str(wait)})
        token = request.path_params["token"]
        subscriptions, channels = dashboard.notifications.subscriptions, dashboard.notifications.channels
        id_ = subscriptions.id_of(token) or channels.id_of(token)
        if id_ is None:
            dashboard.probes.count(TOKENS, network)
            raise HTTPException(404)
        found = subscriptions.get(id_) or channels.get(id_)
        site = dashboard.sites.by_id(found.site) if found else None
        if request.method == "POST" and found is not None:
            await (subscriptions.remove(found) if isinstance(found, Subscription) else channels.remove(found))
            kind = found.frequency if isinstance(found, Subscription) else found.shape
            await dashboard.changes.note("", site.domain if site else EVERYWHERE, UNSUBSCRIBED, kind)
            found = None
        # Whoever unsubscribes twice is unsubscribed.
        return dashboard.pages.html("unsubscribe.html", user=None, site=site, subscribed=found is not None)

    return endpoint
