"""The other collectors that share the database, for operators: list them, and remove one that is gone."""

from __future__ import annotations

import datetime
from http import HTTPStatus

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.storage.membership import Member, Membership
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import EVERYWHERE, AuditLog
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import key_name, operating
from dashboard.i18n.translations import N_


def routes(members: Membership, keys: ApiKeys, audit_log: AuditLog) -> list[Route]:
    """The routes; their key must be one that may do everything."""

    async def list_(_: Request, __: ApiKey) -> Response:
        return json_answer({"collectors": [_shown(each) for each in members.others()]})

    async def remove(request: Request, key: ApiKey) -> Response:
        name = request.path_params["name"]
        found = await anyio.to_thread.run_sync(members.remove, name)
        if found is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "name", f"{name} is no other collector that has stopped")
        await audit_log.note(key_name(key), EVERYWHERE, N_("Collector removed"), name)
        return json_answer(_shown(found))

    return [
        Route("/api/v1/collectors", operating(keys, list_), methods=["GET"]),
        Route("/api/v1/collectors/{name}", operating(keys, remove), methods=["DELETE"]),
    ]


def _shown(member: Member) -> dict[str, object]:
    return {
        "id": member.id,
        "name": member.name,
        "alive": member.alive,
        "last_seen": datetime.datetime.fromtimestamp(member.seen, datetime.UTC).isoformat(timespec="seconds"),
    }
