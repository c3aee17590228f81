"""The API of report subscriptions: list, add and remove recipients, and send one the latest report."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.api.auth import json_answer
from dashboard.api.key_handlers import SiteHandler, key_name, managing
from dashboard.api.request_bodies import read_as, read_fields
from dashboard.i18n.translations import ENGLISH, N_
from dashboard.notifications.services import Notifications
from dashboard.notifications.subscriptions import Frequency, Subscription


class NewSubscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that adds a recipient."""

    address: str
    frequency: Frequency = "weekly"
    language: str = ENGLISH


class ShownSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient as the API shows it."""

    id: str
    address: str
    frequency: Frequency
    language: str
    created: int
    by: str


class SubscriptionsApi:
    """The handlers, with what they need."""

    def __init__(self, notifications: Notifications, audit_log: AuditLog) -> None:
        self._subscriptions = notifications.subscriptions
        self._reports = notifications.reports
        self._changes = audit_log

    async def list_recipients(self, _: Request, _key: ApiKey, site: Site) -> Response:
        """`GET /api/v1/sites/DOMAIN/reports`."""
        return json_answer({"reports": [_shown(each) for each in self._subscriptions.of(site)]})

    async def add_recipient(self, request: Request, key: ApiKey, site: Site) -> Response:
        """`POST /api/v1/sites/DOMAIN/reports`: `address`, `frequency`, `language`."""
        new = read_as(await read_fields(request), NewSubscription)
        made = await self._subscriptions.add(
            site, new.address, frequency=new.frequency, language=new.language, by=key_name(key)
        )
        await self._changes.note(key_name(key), site.domain, N_("Report recipient added"), "", made.frequency)
        return json_answer(_shown(made), HTTPStatus.CREATED)

    async def remove_recipient(self, request: Request, key: ApiKey, site: Site) -> Response:
        """`DELETE /api/v1/sites/DOMAIN/reports/ID`."""
        found = self._subscriptions.of_site(site, request.path_params["id"])
        await self._subscriptions.remove(found)
        await self._changes.note(key_name(key), site.domain, N_("Report recipient removed"), found.frequency)
        return json_answer({"deleted": True})

    async def send_now(self, request: Request, _key: ApiKey, site: Site) -> Response:
        """`POST /api/v1/sites/DOMAIN/reports/ID/send`: the latest report, once more."""
        await self._reports.send_now(site, self._subscriptions.of_site(site, request.path_params["id"]))
        return json_answer({"sent": True})


def _shown(each: Subscription) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(
        ShownSubscription(
            id=each.id,
            address=each.address,
            frequency=each.frequency,
            language=each.language,
            created=each.created,
            by=each.by,
        )
    )
    return fields


def routes(
    notifications: Notifications,
    sites: Sites,
    keys: ApiKeys,
    audit_log: AuditLog,
) -> list[Route]:
    """The routes of this part."""
    api = SubscriptionsApi(notifications, audit_log)
    base = "/api/v1/sites/{domain}/reports"
    table: list[tuple[str, str, SiteHandler]] = [
        ("GET", base, api.list_recipients),
        ("POST", base, api.add_recipient),
        ("DELETE", f"{base}/{{id}}", api.remove_recipient),
        ("POST", f"{base}/{{id}}/send", api.send_now),
    ]
    return [Route(path, managing(keys, sites, handler), methods=[method]) for method, path, handler in table]
