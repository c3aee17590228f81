"""The collector's endpoints: beacons in, the snippet out, and how the process is doing.

`POST /api/event` is the hot path and speaks ASGI directly: one pass over the headers, no request object.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

import anyio.to_thread
import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from collector.address import client_address, network_of
from collector.beacon import Beacon, parse_beacon
from collector.clickhouse import plain_reason
from collector.consent import DENIED, Signals, judge
from collector.device import LONGEST, NO_HINTS, Hints
from collector.event import Event
from collector.exceptions import BeaconError, SpoolFull, SpoolUnavailable
from collector.pipeline import Arrival, Drop, run
from collector.privacy import Browser, Privacy
from collector.process import Collector
from collector.rate import RateLimit
from collector.shipped import shipped

MAX_BODY = 16 * 1024
BODY_SECONDS = 10
RETRY_SECONDS = 5
CONSENT_COOKIE = "tyst_consent"

Header = tuple[bytes, bytes]

# Any page may send beacons, and may read why one was dropped. `*` never goes with credentials.
_CORS: list[Header] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Tyst-Dropped, X-Tyst-Receipt, Retry-After"),
]
_PREFLIGHT: list[Header] = [
    *_CORS,
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"Content-Type"),
    (b"access-control-max-age", b"86400"),
]
_OK = b"ok"
_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
_OK_HEADERS: list[Header] = [_TEXT, (b"content-length", b"2"), *_CORS]

_HINT_HEADERS = {
    b"sec-ch-ua": "brands",
    b"sec-ch-ua-platform": "platform",
    b"sec-ch-ua-platform-version": "platform_version",
    b"sec-ch-ua-mobile": "mobile",
}
_PREFETCH_HEADERS = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
_READ_HEADERS = frozenset({b"user-agent", b"cookie", b"sec-gpc", b"dnt", *_HINT_HEADERS, *_PREFETCH_HEADERS})

EVENT_PATH = "/api/event"
PIXEL_PATH = "/api/event.gif"
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""One transparent pixel."""
_PIXEL_HEADERS: list[Header] = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(PIXEL)).encode()),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    *_CORS,
]


class EventEndpoint:
    """`POST /api/event`: 202 once every event of the beacon is on disk, or dropped for a reason it names.

    `GET /api/event.gif` is the same for pages without JavaScript: a pixel whose query holds the beacon's keys and
    whose only evidence of consent is the cookie.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._trusted = collector.settings.trusted_proxies
        self._privacy = Privacy(collector)
        self._rate = RateLimit(collector.settings.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == PIXEL_PATH:
            await self._pixel(scope, send)
        elif scope["method"] == "POST":
            await self._posted(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _answer(send, 204, b"", _PREFLIGHT)
        else:
            await _answer(send, 405, b"POST beacons here\n", [_TEXT, (b"allow", b"POST, OPTIONS"), *_CORS])

    async def _posted(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if isinstance(body, bytes):
            await self.take_posted(scope, body, send)
        elif body:
            self._collector.counters.fault("too_large" if body == 413 else "too_slow")
            await _answer_errors(send, body, "request", f"must be at most {MAX_BODY} bytes and arrive in time")

    async def take_posted(self, scope: Scope, body: bytes, send: Send) -> None:
        """Answer a beacon that is whole. Of the scope, `headers` and `client` are read."""
        await self._take(scope, send, body, (202, _OK, _OK_HEADERS))

    async def _pixel(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":
            await _answer(send, 405, b"GET the pixel here\n", [_TEXT, (b"allow", b"GET")])
            return
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=50))
        referer = next((value for name, value in scope["headers"] if name == b"referer"), b"")
        beacon = {"n": given.get("n", "pageview"), "u": given.get("u", referer.decode("latin-1"))}
        beacon |= {key: given[key] for key in ("d", "r") if key in given}
        await self._take(scope, send, msgspec.json.encode(beacon), (200, PIXEL, _PIXEL_HEADERS))

    async def _take(self, scope: Scope, send: Send, body: bytes, done: tuple[int, bytes, list[Header]]) -> None:
        """Parse, judge and store one beacon; `done` is the answer once that is so."""
        try:
            beacon = parse_beacon(body)
        except BeaconError as error:
            self._collector.counters.fault("invalid")
            await _answer_errors(send, 400, error.field, error.reason)
            return
        arrival = self.arrival(scope, beacon)
        wait = self._wait(arrival)
        if wait:
            await _answer_errors(send, 429, "request", "comes too often from one address", wait, dropped="rate")
            return
        try:
            dropped = await self.collect(arrival)
        except (SpoolFull, SpoolUnavailable) as error:
            self._collector.counters.fault("spool_full" if isinstance(error, SpoolFull) else "spool_unavailable")
            await _answer_errors(send, 503, "request", "cannot be stored now; send it again later", RETRY_SECONDS)
            return
        status, answer, headers = done
        if dropped:
            headers = [*headers, (b"x-tyst-dropped", ", ".join(dict.fromkeys(dropped)).encode())]
        receipts = self._receipts(arrival)
        if receipts:
            headers = [*headers, (b"x-tyst-receipt", receipts.encode())]
            if receipts != beacon.receipt:
                headers.append((b"retry-after", b"0"))
        await _answer(send, status, answer, headers)

    def arrival(self, scope: Scope, beacon: Beacon) -> Arrival:
        """What the request says beside its body, in one pass over its headers."""
        user_agent = cookie = ""
        gpc = dnt = prefetch = False
        hinted: list[Header] = []
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
            else:
                prefetch = prefetch or b"prefetch" in value or b"prerender" in value or b"preview" in value
        peer = scope["client"][0] if scope.get("client") else ""
        return Arrival(
            beacon=beacon,
            at=int(self._collector.clock()),
            address=client_address(peer, scope["headers"], self._trusted),
            user_agent=user_agent,
            signals=Signals(gpc=gpc, dnt=dnt, cookie=cookie),
            hints=_read_hints(tuple(hinted)) if hinted else NO_HINTS,
            prefetch=prefetch,
        )

    async def collect(self, arrival: Arrival) -> list[str]:
        """Run the pipeline for each of the beacon's sites and have the events on disk; the reasons of drops.

        Raises `SpoolFull` or `SpoolUnavailable`; then nothing of the beacon is kept.
        """
        collector, beacon = self._collector, arrival.beacon
        if collector.spool.full:
            raise collector.spool.too_full()
        if beacon.once is not None:
            stored = collector.spool.seen(beacon.once)
            if stored:
                # A retry whose first try is on its way to the disk shares its fate.
                if stored is not True:
                    await asyncio.shield(stored)
                return []
        if DENIED in (beacon.consent, arrival.signals.cookie):
            await self._withdraw(arrival)
        events: list[Event] = []
        dropped: list[str] = []
        for domain in beacon.domains:
            outcome = run(arrival, domain, collector.rooms)
            if isinstance(outcome, Drop):
                dropped.append(outcome.reason)
                collector.counters.drop(
                    "" if outcome.reason == "unknown_site" else domain, outcome.reason, outcome.kind
                )
            else:
                events.append(outcome)
        if events:
            try:
                await collector.spool.append(events, beacon.once)
            except (SpoolFull, SpoolUnavailable):
                for event in events:
                    collector.rooms.visits.forget(event.visitor)
                raise
            for event in events:
                collector.counters.accept(event.site)
        return dropped

    def _receipts(self, arrival: Arrival) -> str:
        """The receipts that the page is to send along from now on: the good ones it has, else new ones; or empty."""
        found = []
        for domain in arrival.beacon.domains:
            site = self._collector.sites.measured(domain)
            if site is not None and site.receipts:
                verdict = judge(site.consent, arrival.beacon.consent, arrival.signals)
                if verdict.by_evidence:
                    today, receipts = self._collector.revocations.today(), self._collector.receipts
                    known = receipts.find(arrival.beacon.receipt, site.domain, today)
                    found.append(known or receipts.issue(site.domain, verdict.evidence, today))
        return ",".join(found)

    async def _withdraw(self, arrival: Arrival) -> None:
        """Who says no in the middle of a visit has said yes before: erase what that left, promised before the answer,
        and take back the receipts.

        Raises `SpoolUnavailable` when the disk does not take the promise, or ClickHouse not what is taken back.
        """
        if arrival.beacon.receipt:
            await self._revoke(arrival.beacon)
        browser = Browser(arrival.address, arrival.user_agent)
        for domain in arrival.beacon.domains:
            site = self._collector.sites.measured(domain)
            if site is not None and self._privacy.visits(site, browser):
                await self._privacy.erase(site, browser)

    async def _revoke(self, beacon: Beacon) -> None:
        """Whoever has these receipts has no consent any more, here and in every other process."""
        revocations = self._collector.revocations
        for domain in beacon.domains:
            site = self._collector.sites.measured(domain)
            if site is None:
                continue
            for text in beacon.receipt.split(","):
                receipt = self._collector.receipts.read(text, site.domain, revocations.today())
                if receipt is not None:
                    try:
                        await anyio.to_thread.run_sync(revocations.add, receipt)
                    except (ClickHouseError, OSError) as error:
                        raise SpoolUnavailable(plain_reason(error)) from None

    def _wait(self, arrival: Arrival) -> int:
        """Seconds that the sender has to wait, for whichever of the beacon's sites it has sent too much; or 0."""
        network = network_of(arrival.address)
        for domain in arrival.beacon.domains:
            site = self._collector.sites.measured(domain)
            wait = self._rate.wait(network, site)
            if wait:
                self._collector.counters.drop(site.domain if site is not None else "", "rate")
                return wait
        return 0


async def _read_body(receive: Receive) -> bytes | int:
    """The request's body; or the status to answer, 0 when nobody waits for one."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return 0
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body if len(body) <= MAX_BODY else 413
    parts = [body]
    size = len(body)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while message.get("more_body"):
                message = await receive()
                if message["type"] == "http.disconnect":
                    return 0
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MAX_BODY:
                    return 413
    except TimeoutError:
        return 408
    return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_errors(
    send: Send, status: int, field: str, reason: str, retry: int | None = None, *, dropped: str = ""
) -> None:
    body = msgspec.json.encode({"errors": {field: [reason]}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_CORS]
    if retry is not None:
        headers.append((b"retry-after", str(retry).encode()))
    if dropped:
        headers.append((b"x-tyst-dropped", dropped.encode()))
    if status in (408, 413):
        # The rest of such a body is not read.
        headers.append((b"connection", b"close"))
    await _answer(send, status, body, headers)


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


class SnippetEndpoint:
    """`GET /js/tyst.js`: the snippet, with an ETag and compressed where the browser takes it."""

    def __init__(self) -> None:
        self._plain = shipped("tyst.js").read_bytes()
        self._gzip = gzip.compress(self._plain, compresslevel=9, mtime=0)
        self._etag = f'"{hashlib.blake2b(self._plain, digest_size=8).hexdigest()}"'

    async def __call__(self, request: Request) -> Response:
        headers = {
            "ETag": self._etag,
            "Cache-Control": "public, max-age=3600, stale-while-revalidate=86400",
            "Vary": "Accept-Encoding",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
        if self._etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self._gzip, headers=headers, media_type="text/javascript")
        return Response(self._plain, headers=headers, media_type="text/javascript")


def routes(collector: Collector) -> list[Route]:
    """The collector's endpoints other than the hot path."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        state = collector.readiness()
        status = 200 if state.ready else 503
        return JSONResponse(msgspec.to_builtins(state), status_code=status, headers={"Cache-Control": "no-store"})

    async def metrics(_: Request) -> Response:
        return Response(collector.counters.text(), media_type="text/plain; version=0.0.4")

    return [
        Route("/js/tyst.js", SnippetEndpoint().__call__, methods=["GET"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
