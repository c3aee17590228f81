"""Where beacons come in.

`POST /api/event` is the hot path and speaks ASGI directly: one pass over the headers, no request object.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from collector.address import Proxies
from collector.beacon import Beacon, parse_beacon, parse_withdrawal
from collector.consent import judge
from collector.event import Event
from collector.exceptions import BeaconError, SpoolFull, SpoolUnavailable
from collector.once import once_key
from collector.pipeline import Arrival, Drop, run
from collector.process import Collector
from collector.rate import RateLimit
from collector.reply import CORS, TEXT, Answer, Header, Reply, error_reply, send_reply
from collector.request import read_arrival
from collector.withdrawals import Withdrawals, says_no

log = logging.getLogger(__name__)

MAX_BODY = 16 * 1024
BODY_SECONDS = 10
RETRY_SECONDS = 5

_PREFLIGHT: list[Header] = [
    *CORS,
    (b"access-control-allow-methods", b"POST, DELETE"),
    (b"access-control-allow-headers", b"Content-Type"),
    (b"access-control-max-age", b"86400"),
]
_FAILED = error_reply(500, "request", "cannot be answered; see the log")
_TAKEN: Reply = (202, b"ok", [TEXT, (b"content-length", b"2"), *CORS])

EVENT_PATH = "/api/event"
PIXEL_PATH = "/api/event.gif"
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
"""One transparent pixel."""
_PIXEL_HEADERS: list[Header] = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(PIXEL)).encode()),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    *CORS,
]


class EventEndpoint:
    """`POST /api/event`: 202 once every event of the beacon is on disk, or dropped for a reason it names.

    `DELETE` takes back what the browser has sent to the sites it names: 202 once its erasure is promised on disk.
    `GET /api/event.gif` is the same for pages without JavaScript: a pixel whose query holds the beacon's keys and
    whose only evidence of consent is the cookie.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._trusted = Proxies(collector.settings.trusted_proxies)
        self._rate = RateLimit(collector.settings.rate_limit)
        self._withdrawals = Withdrawals(collector)
        self._tasks: set[asyncio.Task[None]] = set()
        self._came: list[tuple[Scope, bytes, Answer, Reply]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == PIXEL_PATH:
            await self._pixel(scope, send)
        elif scope["method"] in ("POST", "DELETE"):
            await self._whole(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send_reply(send, (204, b"", _PREFLIGHT))
        else:
            await send_reply(send, (405, b"POST beacons here\n", [TEXT, (b"allow", b"POST, DELETE, OPTIONS"), *CORS]))

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if not isinstance(body, bytes):
            if body:
                self._collector.counters.fault("too_large" if body == 413 else "too_slow")
                words = f"must be at most {MAX_BODY} bytes and arrive in time"
                await send_reply(send, error_reply(body, "request", words))
        elif scope["method"] == "POST":
            await self._reply(scope, body, _TAKEN, send)
        else:
            await send_reply(send, await self._take_back(scope, body))

    async def _take_back(self, scope: Scope, body: bytes) -> Reply:
        """Erase what this browser has sent, when its reader says no: promised on disk before the answer."""
        try:
            beacon = parse_withdrawal(body)
        except BeaconError as error:
            self._collector.counters.fault("invalid")
            return error_reply(400, error.field, error.reason)
        arrival = self._arrival(scope, beacon)
        wait = self._wait(arrival) or self._withdrawals.wait(arrival)
        if wait:
            return _too_often(wait)
        try:
            await self._withdrawals.carry_out(arrival)
        except SpoolUnavailable as error:
            return self._refusal(error)
        return _TAKEN

    def take_posted(self, scope: Scope, body: bytes, answer: Answer, good: Reply = _TAKEN) -> None:
        """Take a beacon that is whole; `answer` is called once, on this event loop, when it is stored or dropped: with
        `good`, where that went well. Of the scope, `headers` and `client` are read.

        Those of one turn of the loop are dealt with in one go: between the calls of a turn other threads have theirs,
        and each change of threads costs as much as a beacon.
        """
        if not self._came:
            asyncio.get_running_loop().call_soon(self._take_all)
        self._came.append((scope, body, answer, good))

    def _take_all(self) -> None:
        came, self._came = self._came, []
        for scope, body, answer, good in came:
            try:
                self._take(scope, body, answer, good)
            except Exception:
                log.exception("a beacon could not be answered")
                answer(_FAILED)

    async def _reply(self, scope: Scope, body: bytes, good: Reply, send: Send) -> None:
        replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.take_posted(scope, body, lambda reply: None if replied.done() else replied.set_result(reply), good)
        await send_reply(send, await replied)

    async def _pixel(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":
            await send_reply(send, (405, b"GET the pixel here\n", [TEXT, (b"allow", b"GET")]))
            return
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=50))
        referer = next((value for name, value in scope["headers"] if name == b"referer"), b"")
        beacon = {"n": given.get("n", "pageview"), "u": given.get("u", referer.decode("latin-1"))}
        beacon |= {key: given[key] for key in ("d", "r") if key in given}
        await self._reply(scope, msgspec.json.encode(beacon), (200, PIXEL, _PIXEL_HEADERS), send)

    def _take(self, scope: Scope, body: bytes, answer: Answer, good: Reply) -> None:
        """Parse, judge and store one beacon; `good` is the answer when that went well.

        No coroutine and no task: nothing of an ordinary beacon waits for anything but the disk.
        """
        try:
            beacon = parse_beacon(body)
        except BeaconError as error:
            self._collector.counters.fault("invalid")
            answer(error_reply(400, error.field, error.reason))
            return
        arrival = self._arrival(scope, beacon)
        wait = self._wait(arrival) or (self._withdrawals.wait(arrival) if says_no(arrival) else 0)
        if wait:
            answer(_too_often(wait))
            return
        try:
            self._collect(arrival, good, answer)
        except (SpoolFull, SpoolUnavailable) as error:
            answer(self._refusal(error))

    def _arrival(self, scope: Scope, beacon: Beacon) -> Arrival:
        return read_arrival(scope, beacon, int(self._collector.clock()), self._trusted)

    def _collect(self, arrival: Arrival, good: Reply, answer: Answer) -> None:
        """Raises `SpoolFull` or `SpoolUnavailable`; then nothing of the beacon is kept."""
        spool, once = self._collector.spool, arrival.beacon.once
        key = once_key(once) if once is not None else 0
        if spool.full:
            raise spool.too_full()
        # A retry whose first try is on its way to the disk shares its fate.
        if key and spool.seen(
            key, lambda error: answer(self._reply_to(arrival, good, []) if error is None else self._refusal(error))
        ):
            return
        if says_no(arrival):
            task = asyncio.get_running_loop().create_task(self._collect_no(arrival, key, good, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._store(arrival, key, good, answer)

    async def _collect_no(self, arrival: Arrival, key: int, good: Reply, answer: Answer) -> None:
        try:
            await self._withdrawals.carry_out(arrival)
            self._store(arrival, key, good, answer)
        except (SpoolFull, SpoolUnavailable) as error:
            answer(self._refusal(error))
        except Exception:
            log.exception("a withdrawal could not be answered")
            answer(_FAILED)

    def _store(self, arrival: Arrival, key: int, good: Reply, answer: Answer) -> None:
        """Run the pipeline for each of the beacon's sites and have the events on disk."""
        collector, events, dropped = self._collector, list[Event](), list[str]()
        for domain in arrival.beacon.domains:
            outcome = run(arrival, domain, collector.rooms)
            if isinstance(outcome, Drop):
                dropped.append(outcome.reason)
                collector.counters.drop(
                    "" if outcome.reason == "unknown_site" else domain, outcome.reason, outcome.kind
                )
            else:
                events.append(outcome)

        def stored(error: SpoolUnavailable | None) -> None:
            if error is not None:
                self._forget(events)
                answer(self._refusal(error))
                return
            for event in events:
                collector.counters.accept(event.site)
            answer(self._reply_to(arrival, good, dropped))

        if not events:
            stored(None)
            return
        try:
            collector.spool.hand_over(events, key, stored)
        except (SpoolFull, SpoolUnavailable):
            self._forget(events)
            raise

    def _forget(self, events: Sequence[Event]) -> None:
        """Visits do not go on from events that are not kept."""
        for event in events:
            self._collector.rooms.visits.forget(event.visitor)

    def _refusal(self, error: SpoolFull | SpoolUnavailable) -> Reply:
        self._collector.counters.fault("spool_full" if isinstance(error, SpoolFull) else "spool_unavailable")
        return error_reply(503, "request", "cannot be stored now; send it again later", RETRY_SECONDS)

    def _reply_to(self, arrival: Arrival, good: Reply, dropped: list[str]) -> Reply:
        receipts = self._receipts(arrival)
        if not (dropped or receipts):
            return good
        status, body, headers = good
        if dropped:
            headers = [*headers, (b"x-tyst-dropped", ", ".join(dict.fromkeys(dropped)).encode())]
        if receipts:
            headers = [*headers, (b"x-tyst-receipt", receipts.encode())]
            if receipts != arrival.beacon.receipt:
                headers.append((b"retry-after", b"0"))
        return status, body, headers

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

    def _wait(self, arrival: Arrival) -> int:
        """Seconds that the sender has to wait, for whichever of the beacon's sites it has sent too much; or 0."""
        for domain in arrival.beacon.domains:
            site = self._collector.sites.measured(domain)
            wait = self._rate.wait(arrival.network, site)
            if wait:
                self._collector.counters.drop(site.domain if site is not None else "", "rate")
                return wait
        return 0


def _too_often(wait: int) -> Reply:
    return error_reply(429, "request", "comes too often from one address", wait, dropped="rate")


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
