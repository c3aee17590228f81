"""The ASGI endpoint of beacons, `/api/event`, and its pixel.

`POST /api/event` is the hot path and speaks ASGI directly: one pass over the headers, no request object.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic_ns

from starlette.types import Receive, Scope, Send

from collector.core.errors import BeaconError, SpoolFull, SpoolUnavailable
from collector.enrichment.client_ip import TrustedProxies
from collector.erasure.consent_withdrawal import ConsentWithdrawals, says_no
from collector.ingest.context import BeaconRequest, Rejection
from collector.ingest.event import Event
from collector.ingest.payload import Beacon, parse_beacon, parse_withdrawal
from collector.ingest.pipeline import run
from collector.ingest.rate_limit import RateLimit
from collector.ingest.request_body import BodyError, BodyReader
from collector.ingest.request_context import RequestFields
from collector.privacy.consent import decide_consent
from collector.server.beacon_outcome import BeaconOutcome, Problem, keys_of_sites
from collector.server.collector import Collector
from collector.server.pixel import NO_SUCH_PIXEL_METHOD, PIXEL_PATH, PIXEL_SENT, pixel_beacon
from collector.server.responses import (
    ACCEPTED,
    FAILED,
    TEXT,
    UNAVAILABLE,
    BeaconResponse,
    ResponseCallback,
    dropped_response,
    error_response,
    preflight_response,
    rate_limited,
    response,
    send_response,
)

log = logging.getLogger(__name__)

MAX_BODY = 16 * 1024
RATED_BYTES = 2 * 1024
"""Bytes of a body that count as one beacon to the rate limit: reading and cleaning take time by the length of texts."""

_NO_SUCH_METHOD = response(405, b"POST beacons here\n", TEXT, (b"allow", b"POST, DELETE, OPTIONS"))

EVENT_PATH = "/api/event"


class EventEndpoint:
    """`POST /api/event`: 202 once every event of the beacon is on disk, or dropped for a reason it names.

    `DELETE` takes back what the browser has sent to the sites it names: 202 once its erasure is promised on disk.
    `GET /api/event.gif` is the same for pages without JavaScript: a pixel whose query holds the beacon's keys and
    whose only evidence of consent is the cookie. `clock` gives nanoseconds for the rate limit.
    """

    def __init__(
        self, collector: Collector, bodies: BodyReader | None = None, clock: Callable[[], int] = monotonic_ns
    ) -> None:
        self._collector = collector
        self._bodies = bodies or BodyReader()
        self._trusted = TrustedProxies(collector.settings.trusted_proxies)
        self._rate = RateLimit(collector.settings.rate_limit, clock)
        self._withdrawals = ConsentWithdrawals(
            collector.sites, collector.privacy, collector.receipts, collector.revocations
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: list[tuple[Scope, bytes, ResponseCallback, BeaconResponse]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == PIXEL_PATH:
            await self._pixel(scope, send)
        elif scope["method"] in ("POST", "DELETE"):
            await self._whole(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send_response(send, preflight_response(scope["headers"]))
        else:
            await send_response(send, _NO_SUCH_METHOD)

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._bodies.read(receive, MAX_BODY, RequestFields(scope, self._trusted).network)
        except BodyError as error:
            if error.status:
                self._collector.counters.fault(error.kind)
                await send_response(send, error_response(error.status, "request", error.reason, error.retry_seconds))
            return
        if scope["method"] == "POST":
            await self._respond(scope, body, ACCEPTED, send)
        else:
            await send_response(send, await self._take_back(scope, body))

    async def _take_back(self, scope: Scope, body: bytes) -> BeaconResponse:
        """Erase what this browser has sent, when its reader says no: promised on disk before the answer."""
        try:
            beacon = parse_withdrawal(body)
        except BeaconError as error:
            return self._invalid(error)
        fields = RequestFields(scope, self._trusted)
        refused = self._refuse(fields, beacon, len(body))
        if refused is not None:
            return refused
        arrival = fields.arrival(beacon, int(self._collector.clock()))
        wait = self._withdrawals.wait(arrival)
        if wait:
            return rate_limited(wait)
        try:
            await self._withdrawals.carry_out(arrival)
        except SpoolUnavailable as error:
            return self._refusal(error)
        return ACCEPTED

    def enqueue_beacon(
        self, scope: Scope, body: bytes, answer: ResponseCallback, good: BeaconResponse = ACCEPTED
    ) -> None:
        """Take a beacon that is whole; `answer` is called once, on this event loop, when it is stored or dropped: with
        `good`, where that went well. Of the scope, `headers` and `client` are read.

        Those of one turn of the loop are dealt with in one go: between the calls of a turn other threads have theirs,
        and each change of threads costs as much as a beacon.
        """
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._take_all)
        self._pending.append((scope, body, answer, good))

    def _take_all(self) -> None:
        pending, self._pending = self._pending, []
        for scope, body, answer, good in pending:
            try:
                self._take(scope, body, answer, good)
            except Exception:
                log.exception("a beacon could not be answered")
                answer(FAILED)

    async def _respond(self, scope: Scope, body: bytes, good: BeaconResponse, send: Send) -> None:
        responded: asyncio.Future[BeaconResponse] = asyncio.get_running_loop().create_future()
        self.enqueue_beacon(scope, body, lambda found: None if responded.done() else responded.set_result(found), good)
        await send_response(send, await responded)

    async def _pixel(self, scope: Scope, send: Send) -> None:
        if scope["method"] != "GET":
            await send_response(send, NO_SUCH_PIXEL_METHOD)
            return
        try:
            beacon = pixel_beacon(scope)
        except ValueError as error:
            self._collector.counters.fault("invalid")
            await send_response(send, error_response(400, "request", str(error)))
            return
        await self._respond(scope, beacon, PIXEL_SENT, send)

    def _take(self, scope: Scope, body: bytes, answer: ResponseCallback, good: BeaconResponse) -> None:
        """Parse, judge and store one beacon; `good` is the answer when that went well.

        No coroutine and no task: nothing of an ordinary beacon waits for anything but the disk.
        """
        try:
            beacon = parse_beacon(body)
        except BeaconError as error:
            answer(self._invalid(error))
            return
        fields = RequestFields(scope, self._trusted)
        refused = self._refuse(fields, beacon, len(body))
        if refused is not None:
            answer(refused)
            return
        arrival = fields.arrival(beacon, int(self._collector.clock()))
        wait = self._withdrawals.wait(arrival) if says_no(arrival) else 0
        if wait:
            answer(rate_limited(wait))
            return
        try:
            self._collect(arrival, good, answer)
        except (SpoolFull, SpoolUnavailable) as error:
            answer(self._refusal(error))

    def _invalid(self, error: BeaconError) -> BeaconResponse:
        self._collector.counters.fault("invalid")
        return error_response(400, error.field, error.reason)

    def _refuse(self, fields: RequestFields, beacon: Beacon, size: int) -> BeaconResponse | None:
        """The refusal of a sender who sends too much, or of a proxy that may not speak for the beacon's sites."""
        wait = self._wait(fields.network, beacon, 1 + size // RATED_BYTES)
        if wait:
            return rate_limited(wait)
        bound = self._trusted.sites_of(fields.peer)
        if bound is None:
            return None
        sites = map(self._collector.sites.measured, beacon.domains)
        if all(site is not None and not bound.isdisjoint(site.names) for site in sites):
            return None
        self._collector.counters.fault("foreign_site")
        return error_response(403, "domain", "is not a site that this proxy may speak for")

    def _collect(self, request: BeaconRequest, good: BeaconResponse, answer: ResponseCallback) -> None:
        """Raises `SpoolFull` or `SpoolUnavailable`; then nothing of the beacon is kept."""
        spool, sites = self._collector.spool, self._distinct(request.beacon.domains)
        if spool.full:
            raise spool.too_full()

        def settled(error: Problem | None, dropped: list[str]) -> None:
            answer(self._reply_to(request, good, dropped) if error is None else self._refusal(error))

        outcome = BeaconOutcome(len(sites), settled)
        # A retry whose first try is on its way to the disk shares its fate.
        keys = {
            site: key
            for site, key in keys_of_sites(request.beacon.once, sites)
            if not (key and spool.seen(key, outcome.settle))
        }
        if not keys:
            return
        if says_no(request):
            task = asyncio.get_running_loop().create_task(self._collect_no(request, keys, outcome, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._store(request, keys, outcome)

    async def _collect_no(
        self, request: BeaconRequest, keys: dict[str, int], outcome: BeaconOutcome, answer: ResponseCallback
    ) -> None:
        try:
            await self._withdrawals.carry_out(request)
            self._store(request, keys, outcome)
        except (SpoolFull, SpoolUnavailable) as error:
            answer(self._refusal(error))
        except Exception:
            log.exception("a withdrawal could not be answered")
            answer(FAILED)

    def _store(self, request: BeaconRequest, keys: dict[str, int], outcome: BeaconOutcome) -> None:
        """Run the pipeline for each of the beacon's sites and have the events on disk."""
        collector = self._collector
        for domain, key in keys.items():
            made = run(request, domain, collector.rooms)
            if isinstance(made, Rejection):
                site = collector.sites.measured(domain)
                collector.counters.drop("" if site is None else site.id, made.reason, made.kind)
                outcome.dropped.append(made.reason)
                outcome.settle(None)
            else:
                self._hand_over(request, made, key, outcome)

    def _hand_over(self, request: BeaconRequest, event: Event, key: int, outcome: BeaconOutcome) -> None:
        collector = self._collector
        site = collector.sites.get(event.site)
        counted = "" if site is None else site.id

        def stored(error: Problem | None) -> None:
            if error is None:
                collector.counters.accept(counted)
                collector.privacy.note_stored(event.visitor)
                for trimmed in request.beacon.trimmed:
                    collector.counters.trim(counted, trimmed)
            else:
                # Visits do not go on from events that are not kept.
                collector.rooms.visits.discard(event.visitor)
            outcome.settle(error)

        try:
            collector.spool.enqueue([event], key, stored)
        except (SpoolFull, SpoolUnavailable) as error:
            stored(error)

    def _distinct(self, domains: tuple[str, ...]) -> tuple[str, ...]:
        """Names of sites, one for each: two may be spellings of one, or its name and a former one."""
        if len(domains) == 1:
            return domains
        sites = ((self._collector.sites.measured(domain), domain) for domain in domains)
        return tuple(dict.fromkeys(domain if site is None else site.domain for site, domain in sites))

    def _refusal(self, error: Problem) -> BeaconResponse:
        self._collector.counters.fault("spool_full" if isinstance(error, SpoolFull) else "spool_unavailable")
        return UNAVAILABLE

    def _reply_to(self, request: BeaconRequest, good: BeaconResponse, dropped: list[str]) -> BeaconResponse:
        found = dropped_response(good, dropped) if dropped else good
        trimmed, receipts = request.beacon.trimmed, self._receipts(request)
        if trimmed:
            # Names from a closed set, never what was sent.
            found = found.with_headers((b"x-tyst-trimmed", ", ".join(trimmed).encode()))
        if receipts:
            found = found.with_headers((b"x-tyst-receipt", receipts.encode()))
            if receipts != request.beacon.receipt:
                found = found.with_headers((b"retry-after", b"0"))
        return found

    def _receipts(self, request: BeaconRequest) -> str:
        """The receipts that the page is to send along from now on: the good ones it has, else new ones; or empty."""
        found = []
        for domain in request.beacon.domains:
            site = self._collector.sites.measured(domain)
            if site is not None and site.receipts:
                verdict = decide_consent(
                    site.consent, request.beacon.consent, request.signals, bare=request.beacon.bare
                )
                if verdict.by_evidence:
                    today, receipts = self._collector.revocations.today(), self._collector.receipts
                    known = receipts.find(request.beacon.receipt, site.domain, today)
                    found.append(known or receipts.issue(site.domain, verdict.evidence, today))
        return ",".join(found)

    def _wait(self, network: str, beacon: Beacon, cost: int) -> int:
        """Seconds that the sender has to wait, for whichever of the beacon's sites it has sent too much; or 0."""
        for domain in beacon.domains:
            site = self._collector.sites.measured(domain)
            wait = self._rate.wait(network, site, cost)
            if wait:
                self._collector.counters.drop(site.id if site is not None else "", "rate")
                return wait
        return 0
