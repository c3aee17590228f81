"""The API's handlers of API keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.core.errors import RecordError
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import EVERYWHERE, AuditLog
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import ids_of, key_name, require_full_key
from dashboard.api.request_bodies import NewKey, read_as, read_fields
from dashboard.i18n.translations import N_

DELETED_SITE: Final = "(deleted site)"


class KeysApi:
    """The handlers, with what they need."""

    def __init__(self, sites: Sites, keys: ApiKeys, audit_log: AuditLog) -> None:
        self._sites = sites
        self._keys = keys
        self._changes = audit_log

    async def list_keys(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/keys`: never the keys themselves."""
        require_full_key(key)
        return json_answer({"keys": [self._shown_key(each) for each in await self._keys.all()]})

    async def create_key(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/keys`: `sites` (none is all), `right`, `name`, `expires` (a day, or `never`). The only answer
        that shows the key. It belongs to the account that the key of the request belongs to."""
        require_full_key(key)
        new = read_as(await read_fields(request), NewKey)
        made, shown = await self._keys.create(
            sites=ids_of(self._sites, new.sites),
            right=new.right,
            name=new.name,
            expires=new.expires,
            by=key_name(key),
            user=key.user,
            maker=key,
        )
        await self._changes.note(key_name(key), EVERYWHERE, N_("API key created"), "", self._described_key(made))
        return json_answer({"key": shown, **self._shown_key(made)}, HTTPStatus.CREATED)

    async def revoke_key(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/keys/ID`: refused from now on."""
        require_full_key(key)
        try:
            gone = await self._keys.revoke(request.path_params["id"])
        except RecordError as error:
            raise ApiError(HTTPStatus.NOT_FOUND, error.field, error.reason) from None
        await self._changes.note(key_name(key), EVERYWHERE, N_("API key revoked"), self._described_key(gone))
        return json_answer({"deleted": True})

    def _shown_key(self, key: ApiKey) -> dict[str, Any]:
        """Sites by the names that they have now."""
        fields = {name: value for name, value in msgspec.structs.asdict(key).items() if name != "hash"}
        return {**fields, "sites": self._domains_of(key)}

    def _described_key(self, key: ApiKey) -> str:
        until = f", until {key.expires}" if key.expires else ""
        sites = ", ".join(self._domains_of(key)) or "all sites"
        return f"{key.id}{f' ({key.name})' if key.name else ''}: {key.right} {sites}{until}"

    def _domains_of(self, key: ApiKey) -> list[str]:
        """An empty list is every site: one that is no more stands in it as such."""
        domains = self._sites.domains
        return sorted(domains.get(id_, DELETED_SITE) for id_ in key.sites)
