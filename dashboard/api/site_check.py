"""API behind `tyst verify`: the inspection of a site's page."""

from __future__ import annotations

from http import HTTPStatus

import httpx
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.ingest.request_origin import public_base, site_has_host
from collector.sites.hostnames import ascii_host
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import answering
from dashboard.api.request_bodies import read_as, read_fields
from dashboard.compliance.site_check.inspector import Inspector

MOST_URL = 2_000


class PageCheckRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Request body of a page check. Without `site`, the site is determined by `url`."""

    url: str
    site: str = ""


class SiteCheckApi:
    """Request handlers with their dependencies."""

    def __init__(self, sites: Sites, inspector: Inspector) -> None:
        self._sites = sites
        self._inspector = inspector

    async def verify(self, request: Request, key: ApiKey) -> Response:
        """`POST /api/v1/verify`: what was found, each with what to do."""
        wanted = read_as(await read_fields(request), PageCheckRequest)
        if not 1 <= len(wanted.url) <= MOST_URL:
            raise ApiError(HTTPStatus.BAD_REQUEST, "url", f"expected 1 to {MOST_URL} characters")
        site = self._site(key, wanted)
        wait = self._inspector.wait(f"key {key.id}")
        if wait:
            reason = f"looked at too often; try again in {wait} s"
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "url", reason, wait)
        found, _ = await self._inspector.inspect(site, wanted.url, public_base(request))
        return json_answer({"site": site.domain, "checks": msgspec.to_builtins(found)})

    def _site(self, key: ApiKey, wanted: PageCheckRequest) -> Site:
        mine = [site for site in self._sites.all() if key.may_manage(site)]
        if wanted.site:
            site = next((site for site in mine if site.domain == wanted.site), None)
            if site is None:
                reason = f"{wanted.site} is not registered, or not for this key to manage"
                raise ApiError(HTTPStatus.NOT_FOUND, "site", reason)
            return site
        host = _host(wanted.url)
        # The longest name that fits: blog.example.com is its own site where there is one.
        fitting = [site for site in mine if site_has_host(site, ascii_host(host))]
        if not fitting:
            reason = f"no site that this key may manage has pages at {host or wanted.url[:100]}; name one"
            raise ApiError(HTTPStatus.NOT_FOUND, "site", reason)
        return max(fitting, key=lambda site: len(site.domain))


def _host(url: str) -> str:
    try:
        return httpx.URL(url if "://" in url else f"https://{url}").host.lower()
    except (httpx.InvalidURL, ValueError):
        return ""


def routes(sites: Sites, keys: ApiKeys, inspector: Inspector) -> list[Route]:
    """The routes of this part."""
    return [Route("/api/v1/verify", answering(keys, SiteCheckApi(sites, inspector).verify), methods=["POST"])]
