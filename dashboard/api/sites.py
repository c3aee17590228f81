"""The API's handlers of sites: their settings, names and statistics as a whole."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.erasure.job_runner import SiteJobRunner
from collector.erasure.site_job import Kind, SiteJob, new_job
from collector.ingest.request_origin import public_base
from collector.sites.hostnames import unicode_host
from collector.sites.model import Site, checked
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey
from dashboard.access.audit_log import AuditLog
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import key_name, require_full_key, site_of
from dashboard.api.request_bodies import read_fields, read_site
from dashboard.i18n.translations import N_


class SitesApi:
    """The handlers, with what they need."""

    def __init__(self, sites: Sites, audit_log: AuditLog, jobs: SiteJobRunner) -> None:
        self._sites = sites
        self._changes = audit_log
        self._deletions = jobs

    async def list_sites(self, _: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites`: the sites that the key may read."""
        return json_answer({"sites": [_shown_site(site) for site in self._sites.all() if key.may_read(site)]})

    async def create_site(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites`: `domain`, and any setting of a site."""
        require_full_key(key)
        fields = await read_fields(request)
        site = await self._sites.add(read_site(Site(domain="", created=int(time.time())), fields))
        await self._changes.note(key_name(key), site.domain, N_("Site added"))
        return json_answer(_shown_at(site, request), HTTPStatus.CREATED)

    async def get_site(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/DOMAIN`."""
        return json_answer(_shown_at(site_of(self._sites, request, key.may_read), request))

    async def change_site(self, request: Request, key: ApiKey) -> Response:
        """`PUT /api/v1/sites/DOMAIN`: any setting of a site; what is left out stays. `domain` renames it: figures
        move to the new name within seconds, and beacons of the old one count there too."""
        site = site_of(self._sites, request, key.may_manage)
        fields = await read_fields(request)
        domain = fields.pop("domain", site.domain)
        if not isinstance(domain, str):
            raise ApiError(HTTPStatus.BAD_REQUEST, "domain", "expected a name such as example.com")
        new = unicode_host(domain.strip().lower())
        # Nothing is changed unless all of it may be and can be.
        if new != site.domain:
            require_full_key(key)
        checked(read_site(site, fields))
        if new != site.domain:
            task = await self._ask(key, site, "rename", to=new)
            await self._changes.note(key_name(key), new, N_("Site renamed"), task.site, new)
            site = self._sites.by_id(site.id) or site
        if fields:
            before, site = await self._sites.update(site, lambda newest: read_site(newest, fields))
            await self._changes.note_site(key_name(key), before, site)
        return json_answer(_shown_at(site, request))

    async def reset_site(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/sites/DOMAIN/reset`: delete all statistics of a site; settings stay."""
        site = site_of(self._sites, request, key.may_manage)
        task = await self._ask(key, site, "reset")
        await self._changes.note(key_name(key), site.domain, N_("Statistics reset"), f"{task.rows} events")
        return json_answer({"deleted": True, "events": task.rows}, HTTPStatus.ACCEPTED)

    async def remove_site(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/sites/DOMAIN`: delete a site with its settings and statistics."""
        site = site_of(self._sites, request, key.may_manage)
        task = await self._ask(key, site, "remove")
        await self._changes.note(key_name(key), site.domain, N_("Site deleted"), f"{task.rows} events", site_id=site.id)
        return json_answer({"deleted": True})

    async def _ask(self, key: ApiKey, site: Site, kind: Kind, **fields: object) -> SiteJob:
        """Have something done to the site as a whole."""
        task = new_job(kind, site, key_name(key), time.time(), **fields)
        return await anyio.to_thread.run_sync(self._deletions.enqueue, task)


def _shown_site(site: Site) -> dict[str, Any]:
    return msgspec.structs.asdict(site)


def _shown_at(site: Site, request: Request) -> dict[str, Any]:
    """A site with the address that its pages load the tag from."""
    return _shown_site(site) | {"url": public_base(request)}
