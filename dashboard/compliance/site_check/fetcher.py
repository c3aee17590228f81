"""HTTP fetcher with limits on time, size, redirects and destinations."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import anyio
import httpx

from collector.core.field_parameters import read_parameters
from collector.core.setting_values import Network
from dashboard.compliance.site_check.errors import FetchError
from dashboard.compliance.site_check.pinned_transport import PinnedTransport, Resolve, SystemResolver

MOST_BYTES: Final = 2 * 1024 * 1024
"""Of a body, as it comes and unpacked."""
MOST_PARTS: Final = 20_000
"""Of a body, as it comes: each takes time, and may be a byte (RFC 9112, 7.1)."""
MOST_REDIRECTS: Final = 5
SECONDS: Final = 10.0
"""For everything together."""
HEADERS: Final = {
    "user-agent": "Tyst (checks its owner's site)",
    "accept": "text/html,*/*;q=0.8",
    "accept-encoding": "gzip",
    "connection": "close",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched page. `hops` are the requested address and its redirects."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    text: str
    whole: bool
    """Whether the body was within the bound; else `text` is its beginning."""
    hops: tuple[httpx.URL, ...] = ()


class Fetcher:
    """Fetches pages. `networks` may be reached although they are not public; `resolver` is the system's.

    `context` says whose certificates are believed: those that browsers believe, unless told otherwise.
    """

    def __init__(
        self, networks: Iterable[Network] = (), resolver: Resolve | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self._networks = tuple(networks)
        self._resolver = resolver or SystemResolver()
        self._context = context

    async def fetch(self, url: str) -> Fetched:
        """The page at `url`, or where that leads. Raises `FetchError`; takes as long as the page's server does."""
        here, hops = _read(url), list[httpx.URL]()
        while True:
            answer = await self._once(here)
            target = answer.headers.get("location", "") if 300 <= answer.status < 400 else ""
            if not target:
                return Fetched(here, answer.status, answer.headers, answer.text, answer.whole, tuple(hops))
            hops.append(here)
            if len(hops) > MOST_REDIRECTS:
                raise FetchError("redirects", here.host)
            here = _read(target, here)

    async def _once(self, url: httpx.URL) -> Fetched:
        self._context = self._context or httpx.create_ssl_context(trust_env=False)
        timeout = httpx.Timeout(SECONDS).as_dict()
        # Without a client: nothing, such as a cookie, is carried from one answer to the next request.
        request = httpx.Request("GET", url, headers=HEADERS, extensions={"timeout": timeout})
        async with PinnedTransport(self._networks, self._resolver, self._context) as transport:
            answer = await transport.handle_async_request(request)
            try:
                body, whole = await _body(answer, url.host)
            finally:
                await answer.aclose()
        _, given = read_parameters(answer.headers.get("content-type", ""))
        encoding = "utf-16" if given.get("charset", "").lower().startswith("utf-16") else "utf-8"
        return Fetched(url, answer.status_code, answer.headers, body.decode(encoding, "replace"), whole)


async def within_time(fetcher: Fetcher, url: str, seconds: float = SECONDS) -> Fetched:
    """The page, unless it takes longer. Raises `FetchError`."""
    try:
        with anyio.fail_after(seconds):
            return await fetcher.fetch(url)
    except TimeoutError:
        raise FetchError("time", _read(url).host) from None


def _read(text: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        url = base.join(text) if base else httpx.URL(text)
        host = url.host
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise FetchError("scheme", base.host if base else "") from None
    if url.scheme not in ("http", "https") or not host or url.userinfo:
        raise FetchError("scheme", host)
    return url.copy_with(fragment=None)


async def _body(answer: httpx.Response, host: str) -> tuple[bytes, bool]:
    """The body unpacked, and whether that is all of it. Never holds more than twice the bound."""
    unpack = _unpacker(answer.headers.get("content-encoding", "").strip().lower(), host)
    body, came, parts = bytearray(), 0, 0
    async for part in answer.aiter_raw():
        came, parts = came + len(part), parts + 1
        body += unpack(part, MOST_BYTES + 1 - len(body))
        if len(body) > MOST_BYTES or came > MOST_BYTES or parts > MOST_PARTS:
            return bytes(body[:MOST_BYTES]), False
    return bytes(body), True


def _unpacker(encoding: str, host: str) -> Callable[[bytes, int], bytes]:
    """Unpacks parts of a body, so many bytes at most: a few packed ones can be gigabytes."""
    if encoding in ("", "identity"):
        return lambda part, most: part[:most]
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchError("encoding", host)
    # Both the header of gzip and that of zlib (RFC 9110, 8.4.1.2).
    packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def unpack(part: bytes, most: int) -> bytes:
        try:
            return packed.decompress(part, most)
        except zlib.error:
            raise FetchError("encoding", host) from None

    return unpack
