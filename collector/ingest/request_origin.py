"""Origin (scheme and host) of a request, and validation of its host.

`TYST_PUBLIC_URL` takes precedence. Without it `Host` is trusted if a trusted proxy forwarded the request, or if it is
a loopback name, an address, or a name without a dot. Any other name may be a DNS rebinding attack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import Scope

from collector.core.settings import Settings
from collector.enrichment.client_ip import TrustedProxies, forwarded_scheme
from collector.sites.hostnames import ascii_host, is_address, is_at_or_under, is_loopback, is_shared_suffix
from collector.sites.model import Site
from collector.sites.registry import Sites

# RFC 9110, 7.2: a name or an address, and a port.
_HOST: Final = re.compile(
    r"([A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]{2,45}\])\.?(?::[0-9]{1,5})?"
)


ORIGIN: Final = "tyst.origin"
"""Key of the scope: the request's `RequestOrigin`."""


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """The origin that a request was sent to."""

    scheme: str
    host: str
    """Name or address without port, lower case; empty if `Host` is missing, repeated or invalid."""
    base: str
    """Base URL of links, with a trailing slash."""
    is_public: bool = False
    """Whether `host` is that of `TYST_PUBLIC_URL`."""
    is_own: bool = False
    """Whether the dashboard and the API are served under this host."""
    sites: frozenset[str] | None = None
    """Sites to which the forwarding proxy is bound; None is every site."""


class RequestOrigins:
    """Resolves the origin of requests by the settings, and authorises requests about a site's visitors. `in_use` gives
    names of this server that its administrators use: where no public address is set, no site may claim them."""

    def __init__(
        self, settings: Settings, sites: Sites, in_use: Callable[[], Collection[str]] = frozenset[str]
    ) -> None:
        self._sites = sites
        self._in_use = in_use
        self._trusted = TrustedProxies(settings.trusted_proxies)
        self._url = settings.public_url
        self._public = urlsplit(self._url)
        self._listen = settings.host.strip("[]").lower()

    def origin(self, scope: Scope) -> RequestOrigin:
        """The origin of a request. Of the scope, `headers`, `client` and `scheme` are read."""
        values = [value for name, value in scope["headers"] if name == b"host"]
        found = _HOST.fullmatch(values[0].decode("latin-1")) if len(values) == 1 else None
        peer = scope["client"][0] if scope.get("client") else ""
        if found is None:
            return RequestOrigin(scope["scheme"], "", f"{self._url}/" if self._url else "/")
        host = found[1].strip("[]").lower()
        trusted = self._trusted.trusts(peer)
        local = is_loopback(host) or host == self._listen
        public = bool(self._url) and host == self._public.hostname
        if public or (self._url and trusted and local):
            # Assume the public address behind a proxy that does not forward Host.
            scheme = self._public.scheme
        else:
            scheme = forwarded_scheme(peer, scope["headers"], self._trusted) or scope["scheme"]
        return RequestOrigin(
            scheme=scheme,
            host=host,
            base=f"{self._url or f'{scheme}://{found[0].lower()}'}/",
            is_public=public,
            is_own=public or local or (not self._url and (trusted or is_address(host) or "." not in host)),
            sites=self._trusted.sites_of(peer),
        )

    def may_access(self, origin: RequestOrigin, site: Site) -> bool:
        """Whether a request may access a site's stored events about its sender.

        A site's own host gives access to that site only: a script in its page could otherwise read what this browser
        did on other sites of the installation.
        """
        if origin.sites is not None and origin.sites.isdisjoint(site.names):
            return False
        if site_has_host(site, origin.host):
            return True
        if not origin.is_own:
            return False
        declared = origin.is_public or is_loopback(origin.host) or origin.host == self._listen
        if declared or origin.host in self._in_use():
            return True
        return not any(site_has_host(other, origin.host) for other in self._sites.all())


def site_has_host(site: Site, host: str) -> bool:
    """Whether `host` is the site's: its name, a former one, one of its `hostnames`, or a subdomain of these, unless
    everybody's names are."""
    names = (site.domain, *site.aliases, *(each.removeprefix("*.") for each in site.hostnames))
    own = frozenset(map(ascii_host, names)) - {""}
    return host in own or is_at_or_under(host, {name for name in own if not is_shared_suffix(name)})


def origin_of(request: Request) -> RequestOrigin:
    """The origin of a request."""
    found: RequestOrigin | None = request.scope.get(ORIGIN)
    if found is None:
        found = RequestOrigin(request.url.scheme, (request.url.hostname or "").lower(), str(request.base_url))
    return found


def public_base(request: Request) -> str:
    """Base URL of links to this server, with a trailing slash."""
    return origin_of(request).base
