"""The API of alerts: rules of a site, and channels of a site or of the installation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import EVERYWHERE, AuditLog
from dashboard.api.auth import json_answer
from dashboard.api.key_handlers import SiteHandler, answering, key_name, managing, require_full_key
from dashboard.api.request_bodies import read_as, read_fields
from dashboard.i18n.translations import ENGLISH, N_
from dashboard.notifications.alert_rules import AlertKind, AlertRule
from dashboard.notifications.channels import INSTALLATION, Channel, Shape
from dashboard.notifications.services import Notifications


class NewAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that adds an alert."""

    kind: AlertKind
    threshold: int | None = None
    goal: str = ""


class NewChannel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that adds a channel: `target` is an e-mail address, or the address of a webhook."""

    shape: Shape
    target: str
    language: str = ENGLISH


class ShownAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as the API shows it. `fired` is the Unix second at which it last fired, or 0."""

    id: str
    kind: AlertKind
    threshold: int
    goal: str
    created: int
    by: str
    fired: int


class ShownChannel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as the API shows it: of a webhook's address only the host."""

    id: str
    shape: Shape
    name: str
    language: str
    created: int
    by: str


class AlertsApi:
    """The handlers, with what they need."""

    def __init__(self, notifications: Notifications, audit_log: AuditLog) -> None:
        self._rules = notifications.rules
        self._channels = notifications.channels
        self._alerts = notifications.alerts
        self._changes = audit_log

    async def list_alerts(self, _: Request, _key: ApiKey, site: Site) -> Response:
        """`GET /api/v1/sites/DOMAIN/alerts`."""
        return json_answer({"alerts": [_shown_alert(each) for each in self._rules.of(site)]})

    async def add_alert(self, request: Request, key: ApiKey, site: Site) -> Response:
        """`POST /api/v1/sites/DOMAIN/alerts`: `kind`, `threshold`, `goal`."""
        new = read_as(await read_fields(request), NewAlert)
        made = await self._rules.add(site, new.kind, threshold=new.threshold, goal=new.goal, by=key_name(key))
        await self._changes.note(key_name(key), site.domain, N_("Alert added"), "", made.kind)
        return json_answer(_shown_alert(made), HTTPStatus.CREATED)

    async def remove_alert(self, request: Request, key: ApiKey, site: Site) -> Response:
        """`DELETE /api/v1/sites/DOMAIN/alerts/ID`."""
        found = self._rules.of_site(site, request.path_params["id"])
        await self._rules.remove(found)
        await self._changes.note(key_name(key), site.domain, N_("Alert removed"), found.kind)
        return json_answer({"deleted": True})

    async def list_channels(self, _: Request, _key: ApiKey, site: Site | None) -> Response:
        """`GET /api/v1/sites/DOMAIN/channels`, and `GET /api/v1/channels` for those of the installation."""
        return json_answer({"channels": [_shown_channel(each) for each in self._channels.of(_id(site))]})

    async def add_channel(self, request: Request, key: ApiKey, site: Site | None) -> Response:
        """`POST`: `shape`, `target`, `language`. The only answer that shows a webhook's secret."""
        new = read_as(await read_fields(request), NewChannel)
        made, secret = await self._channels.add(
            _id(site), new.shape, new.target, language=new.language, by=key_name(key)
        )
        await self._note(key, site, N_("Alert channel added"), "", made.shape)
        return json_answer({**_shown_channel(made), "secret": secret}, HTTPStatus.CREATED)

    async def remove_channel(self, request: Request, key: ApiKey, site: Site | None) -> Response:
        """`DELETE`."""
        found = self._channels.of_site(_id(site), request.path_params["id"])
        await self._channels.remove(found)
        await self._note(key, site, N_("Alert channel removed"), found.shape, "")
        return json_answer({"deleted": True})

    async def send_trial(self, request: Request, _key: ApiKey, site: Site | None) -> Response:
        """`POST …/ID/test`: a trial, now."""
        await self._alerts.send_test(self._channels.of_site(_id(site), request.path_params["id"]), site)
        return json_answer({"sent": True})

    async def _note(self, key: ApiKey, site: Site | None, what: str, before: str, after: str) -> None:
        await self._changes.note(key_name(key), site.domain if site else EVERYWHERE, what, before, after)


def _id(site: Site | None) -> str:
    return site.id if site else INSTALLATION


def _shown_alert(each: AlertRule) -> dict[str, Any]:
    return _fields(each, ShownAlert)


def _shown_channel(each: Channel) -> dict[str, Any]:
    return _fields(each, ShownChannel)


def _fields(each: msgspec.Struct, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: getattr(each, name) for name in kind.__struct_fields__}


ChannelHandler = Callable[[Request, ApiKey, Site | None], Awaitable[Response]]


async def _of_installation(handler: ChannelHandler, request: Request, key: ApiKey) -> Response:
    require_full_key(key)
    return await handler(request, key, None)


def routes(notifications: Notifications, sites: Sites, keys: ApiKeys, audit_log: AuditLog) -> list[Route]:
    """The routes of this part."""
    api = AlertsApi(notifications, audit_log)
    base = "/api/v1/sites/{domain}"
    rules: list[tuple[str, str, SiteHandler]] = [
        ("GET", f"{base}/alerts", api.list_alerts),
        ("POST", f"{base}/alerts", api.add_alert),
        ("DELETE", f"{base}/alerts/{{id}}", api.remove_alert),
    ]
    channels: list[tuple[str, str, ChannelHandler]] = [
        ("GET", "/channels", api.list_channels),
        ("POST", "/channels", api.add_channel),
        ("DELETE", "/channels/{id}", api.remove_channel),
        ("POST", "/channels/{id}/test", api.send_trial),
    ]
    return [
        *(Route(path, managing(keys, sites, handler), methods=[method]) for method, path, handler in rules),
        *(Route(base + path, managing(keys, sites, handler), methods=[method]) for method, path, handler in channels),
        *(
            Route(f"/api/v1{path}", answering(keys, partial(_of_installation, handler)), methods=[method])
            for method, path, handler in channels
        ),
    ]
