"""What a beacon's request says beside its body: address and user agent, consent and refusal, hints."""

from __future__ import annotations

from functools import lru_cache
from http.cookies import CookieError, SimpleCookie

from starlette.types import Scope

from collector.address import FORWARDING_HEADERS, Proxies, client_address, network_of
from collector.beacon import Beacon
from collector.consent import NO_SIGNALS, Signals
from collector.device import LONGEST, NO_HINTS, Hints
from collector.pipeline import Arrival
from collector.reply import Header

CONSENT_COOKIE = "tyst_consent"

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


def read_arrival(scope: Scope, beacon: Beacon, at: int, trusted: Proxies) -> Arrival:
    """The whole of it, in one pass over the headers. Of the scope, `headers` and `client` are read; `at` is the
    server's clock in Unix seconds, `trusted` the proxies that are believed."""
    user_agent = cookie = ""
    gpc = dnt = prefetch = False
    hinted: list[Header] = []
    forwarding: list[Header] = []
    for header in scope["headers"]:
        name, value = header
        if name not in _READ_HEADERS:
            continue
        if name in _HINT_HEADERS:
            hinted.append(header)
        elif name == b"user-agent":
            user_agent = value.decode("latin-1")
        elif name == b"cookie":
            cookie = cookie or _consent_cookie(value)
        elif name == b"sec-gpc":
            gpc = value == b"1"
        elif name == b"dnt":
            dnt = value == b"1"
        elif name in FORWARDING_HEADERS:
            forwarding.append(header)
        else:
            prefetch = prefetch or b"prefetch" in value or b"prerender" in value or b"preview" in value
    peer = scope["client"][0] if scope.get("client") else ""
    address = client_address(peer, forwarding, trusted)
    return Arrival(
        beacon=beacon,
        at=at,
        address=address,
        network=network_of(address),
        user_agent=user_agent,
        signals=Signals(gpc=gpc, dnt=dnt, cookie=cookie) if gpc or dnt or cookie else NO_SIGNALS,
        hints=_read_hints(tuple(hinted)) if hinted else NO_HINTS,
        prefetch=prefetch,
    )


@lru_cache(maxsize=1024)
def _read_hints(headers: tuple[Header, ...]) -> Hints:
    """What client hints say. In memory only, as user agents are; whole browsers send the same ones."""
    return Hints(**{_HINT_HEADERS[name]: value.decode("latin-1") for name, value in headers if len(value) <= LONGEST})


def _consent_cookie(value: bytes) -> str:
    """The visitor's stored choice, when the browser sends it along; most cookies are none of our business."""
    if CONSENT_COOKIE.encode() not in value:
        return ""
    try:
        morsel = SimpleCookie(value.decode("latin-1")).get(CONSENT_COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""
