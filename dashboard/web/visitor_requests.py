"""Common parts of the visitors' API and page: the site and browser of a request, and the limits on both.

A visitor is identified by the address and the user agent of the request itself, so nobody can name another browser's
data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from collector.core.settings import Settings
from collector.enrichment.client_ip import TrustedProxies, client_address, network_of
from collector.erasure.subject_access import Requester, SubjectAccess, VisitorDataExport
from collector.ingest.rate_limit import RateLimit
from collector.ingest.request_context import user_agent_of
from collector.ingest.request_origin import RequestOrigins, origin_of
from collector.server.large_responses import ResponseSlots
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.disclosure_limit import DisclosureLimit

READS: Final = 5
ERASURES: Final = 1
"""Requests a second from one network; an erasure may rewrite a part of the table."""


class VisitorRequests:
    """Resolves and limits visitors' requests. `in_use` gives the host names under which administrators use this
    server."""

    def __init__(
        self,
        subject_access: SubjectAccess,
        sites: Sites,
        settings: Settings,
        in_use: Callable[[], Collection[str]] = frozenset[str],
    ) -> None:
        self.subject_access = subject_access
        self._sites = sites
        self._trusted = TrustedProxies(settings.trusted_proxies)
        self._hosts = RequestOrigins(settings, sites, in_use)
        self._reads = RateLimit(READS)
        self._erasures = RateLimit(ERASURES)
        self._disclosures = DisclosureLimit()
        self._slots = ResponseSlots()

    def site(self, request: Request, domain: str) -> Site:
        """The site of that name. Raises 404 for an unknown one, and for one that the request's host may not access."""
        site = self._sites.measured(domain.lower())
        if site is None or not self._hosts.may_access(origin_of(request), site):
            raise HTTPException(404, "there is no such site at this address")
        return site

    def requester(self, request: Request) -> Requester:
        """The browser that sent the request."""
        peer = request.client.host if request.client else ""
        address = client_address(peer, request.headers.raw, self._trusted)
        return Requester(address, user_agent_of(request.headers.raw))

    def wait_to_read(self, requester: Requester) -> int:
        """Count a read. Seconds until the requester's network may read again; 0 lets this one pass."""
        return self._reads.wait(network_of(requester.address), None)

    def wait_to_erase(self, requester: Requester) -> int:
        """Count an erasure. Seconds until the requester's network may erase again; 0 lets this one pass."""
        return self._erasures.wait(network_of(requester.address), None)

    async def slot(self, requester: Requester) -> contextlib.ExitStack:
        """A slot for reading stored events, until the stack is closed: one for each network and a few in all, which
        bounds memory. Raises 429."""
        network = network_of(requester.address)
        if not await self._slots.acquire(network):
            raise HTTPException(429, "another request of this network is being answered", {"Retry-After": "1"})
        slot = contextlib.ExitStack()
        slot.callback(self._slots.release, network)
        return slot

    def may_disclose(self, requester: Requester, export: VisitorDataExport) -> bool:
        """Whether the events may be disclosed to this browser, rather than only their number."""
        dates = {date for date, _ in export.visitors}
        return self._disclosures.may_disclose(network_of(requester.address), requester.user_agent, dates)
