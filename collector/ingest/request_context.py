"""Request data beside the beacon's body: address, user agent, consent signals and client hints.

Read in two steps: what the rate limit needs first, and everything that costs more only for a request that passes it.
Each part is linear in the length of its fields, which the server bounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from collector.core.response_headers import Header
from collector.enrichment.client_ip import FORWARDING_HEADERS, TrustedProxies, client_address, network_of
from collector.enrichment.user_agent import LONGEST, NO_HINTS, Hints
from collector.ingest.context import BeaconRequest
from collector.ingest.cookies import consent_cookie
from collector.ingest.payload import Beacon
from collector.privacy.consent import NO_SIGNALS, Signals

MAX_USER_AGENT: Final = 1_024
"""Bytes of a user agent that count: no browser's is longer, and its texts are searched for all of its words."""

_HINT_HEADERS = {
    b"sec-ch-ua": "brands",
    b"sec-ch-ua-platform": "platform",
    b"sec-ch-ua-platform-version": "platform_version",
    b"sec-ch-ua-mobile": "mobile",
}
_PREFETCH_HEADERS = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
_READ_HEADERS = frozenset(
    {b"user-agent", b"cookie", b"sec-gpc", b"dnt", *_HINT_HEADERS, *_PREFETCH_HEADERS, *FORWARDING_HEADERS}
)


def user_agent_of(headers: Iterable[Header]) -> str:
    """The user agent by which a visitor is known: the last of several fields, cut to `MAX_USER_AGENT`."""
    found = b""
    for name, value in headers:
        if name == b"user-agent":
            found = value
    return _user_agent(found)


def _user_agent(value: bytes) -> str:
    return value[:MAX_USER_AGENT].decode("latin-1")


class RequestFields:
    """Reads the relevant header fields of a request in one pass. Of the scope, `headers` and `client` are read."""

    __slots__ = ("_cookies", "_dnt", "_gpc", "_hints", "_prefetch", "_user_agent", "address", "network", "peer")

    def __init__(self, scope: Scope, trusted: TrustedProxies) -> None:
        self._cookies: list[bytes] = []
        self._hints: list[Header] = []
        self._user_agent = b""
        self._gpc = self._dnt = self._prefetch = False
        forwarding: list[Header] = []
        for header in scope["headers"]:
            name, value = header
            if name not in _READ_HEADERS:
                continue
            if name in _HINT_HEADERS:
                if len(value) <= LONGEST:
                    self._hints.append(header)
            elif name == b"user-agent":
                self._user_agent = value
            elif name == b"cookie":
                self._cookies.append(value)
            elif name == b"sec-gpc":
                self._gpc = value == b"1"
            elif name == b"dnt":
                self._dnt = value == b"1"
            elif name in FORWARDING_HEADERS:
                forwarding.append(header)
            else:
                self._prefetch = self._prefetch or b"prefetch" in value or b"prerender" in value or b"preview" in value
        self.peer: str = scope["client"][0] if scope.get("client") else ""
        self.address = client_address(self.peer, forwarding, trusted)
        self.network = network_of(self.address)

    def __repr__(self) -> str:
        """Shows nothing of the visitor."""
        return "RequestFields(…)"

    def arrival(self, beacon: Beacon, at: int) -> BeaconRequest:
        """The beacon with all that its request says; `at` is the server's clock in Unix seconds."""
        gpc, dnt = self._gpc, self._dnt
        cookie = consent_cookie(self._cookies) if self._cookies else ""
        return BeaconRequest(
            beacon=beacon,
            at=at,
            address=self.address,
            network=self.network,
            user_agent=_user_agent(self._user_agent),
            signals=Signals(gpc=gpc, dnt=dnt, cookie=cookie) if gpc or dnt or cookie else NO_SIGNALS,
            hints=_read_hints(tuple(self._hints)) if self._hints else NO_HINTS,
            prefetch=self._prefetch,
        )


@lru_cache(maxsize=1024)
def _read_hints(headers: tuple[Header, ...]) -> Hints:
    """What client hints say. In memory only, as user agents are; whole browsers send the same ones."""
    return Hints(**{_HINT_HEADERS[name]: value.decode("latin-1") for name, value in headers})
