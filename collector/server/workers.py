"""The application of one of several workers: passes each visitor's requests to the worker that has the visitor,
and speaks for all of them where it is asked how things go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.enrichment.client_ip import TrustedProxies, client_address, network_of
from collector.server.collector import Collector, Readiness
from collector.server.header_timeout import MalformedRequests
from collector.server.relay import ForwardedRequest, ForwardedResponse, NotPassedOn, WorkerRouter, call
from collector.server.summed_metrics import labelled, summed

# Whose answer depends on what one worker has in memory of a visitor.
VISITORS = frozenset({"/api/event", "/api/event.gif", "/api/me"})
VISITORS_PAGE = "/privacy/"
# More of a body than this is left to the worker that has the connection: it will refuse it.
MOST_BODY = 16 * 1024
BODY_SECONDS = 10
RETRY_SECONDS = b"1"


class Worker:
    """One worker's ASGI application around `app`, which is the same in each."""

    def __init__(self, app: ASGIApp, collector: Collector) -> None:
        self._app = app
        self.malformed = MalformedRequests(collector.counters)
        self._trusted = TrustedProxies(collector.settings.trusted_proxies)
        self._slot = collector.slot
        self._slots = collector.workers
        self._relay = WorkerRouter(app, collector.settings.data_dir, collector.slot, collector.workers)
        self._spoken: dict[str, Callable[[Scope], Awaitable[tuple[int, bytes, bytes]]]] = {
            "/metrics": self._metrics,
            "/readyz": self._readiness,
            "/api/v1/spool/retry": self._retry,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http" and (scope["path"] in VISITORS or scope["path"].startswith(VISITORS_PAGE)):
            await self._pass_on(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] in self._spoken:
            status, kind, body = await self._spoken[scope["path"]](scope)
            await _send(
                send, ForwardedResponse(0, status, [(b"content-type", kind), (b"cache-control", b"no-store")], body)
            )
        else:
            await self._app(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope["client"][0] if scope.get("client") else ""
        slot = self._relay.slot_of(network_of(client_address(peer, scope["headers"], self._trusted)))
        if slot == self._slot:
            await self._app(scope, receive, send)
            return
        came, body = await _read(receive)
        if body is None:
            await self._app(scope, _replayed(came, receive), send)
            return
        try:
            answer = await self._relay.peers[slot].request(scope, body)
        except NotPassedOn:
            answer = ForwardedResponse(
                0,
                503,
                [
                    (b"content-type", b"application/json"),
                    (b"retry-after", RETRY_SECONDS),
                    (b"access-control-allow-origin", b"*"),
                    (b"access-control-expose-headers", b"Retry-After"),
                ],
                b'{"errors":{"request":["cannot be stored now; send it again later"]}}',
            )
        await _send(send, answer)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._relay.close()
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._relay.open()
            await send(message)

        await self._app(scope, received, sent)

    async def _metrics(self, scope: Scope) -> tuple[int, bytes, bytes]:
        """Sums over the workers; with `?per=worker` each by itself."""
        texts = {slot: answer.body for slot, answer in (await self._ask_all(scope)).items() if answer is not None}
        by_worker = b"per=worker" in scope["query_string"]
        return 200, b"text/plain; version=0.0.4", labelled(texts) if by_worker else summed(texts, self._slots)

    async def _readiness(self, scope: Scope) -> tuple[int, bytes, bytes]:
        """All workers in one: ready when all are."""
        answers = await self._ask_all(scope)
        known = {n: msgspec.json.decode(answer.body, type=Readiness) for n, answer in answers.items() if answer}
        problems = [f"Worker {n} does not answer." for n, answer in answers.items() if answer is None]
        problems += [f"Worker {n}: {problem}" for n, state in known.items() for problem in state.problems]
        merged = Readiness(
            ready=not problems,
            problems=problems,
            spool_rows=sum(state.spool_rows for state in known.values()),
            spool_bytes=sum(state.spool_bytes for state in known.values()),
            oldest_seconds=max((state.oldest_seconds for state in known.values()), default=0.0),
            refused_segments=sum(state.refused_segments for state in known.values()),
        )
        return (503 if problems else 200), b"application/json", msgspec.json.encode(merged)

    async def _retry(self, scope: Scope) -> tuple[int, bytes, bytes]:
        """Every worker's segments that were set aside; the first refusal stands for all."""
        answers = [answer for answer in (await self._ask_all(scope)).values() if answer is not None]
        refused = next((answer for answer in answers if answer.status != 200), None)
        if refused is not None:
            return refused.status, b"application/json", refused.body
        count = sum(msgspec.json.decode(answer.body)["segments"] for answer in answers)
        return 200, b"application/json", msgspec.json.encode({"segments": count})

    async def _ask_all(self, scope: Scope) -> dict[int, ForwardedResponse | None]:
        """Every worker's answer, by slot; None where there is none."""

        async def ask(slot: int) -> ForwardedResponse | None:
            try:
                if slot != self._slot:
                    return await self._relay.peers[slot].request(scope, b"")
                asked = ForwardedRequest(
                    0, scope["method"], scope["path"], scope["query_string"], scope["headers"], None, b""
                )
                return await call(self._app, asked)
            except NotPassedOn:
                return None

        slots = range(1, self._slots + 1)
        return dict(zip(slots, await asyncio.gather(*map(ask, slots)), strict=True))


async def _read(receive: Receive) -> tuple[list[Message], bytes | None]:
    """What has come of the body, and the body if it is whole, in time and of a size that is taken."""
    came: list[Message] = []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            came.append(await receive())
            while came[-1].get("more_body"):
                came.append(await receive())
                if sum(len(message.get("body", b"")) for message in came) > MOST_BODY:
                    break
    except TimeoutError:
        return came, None
    if came[-1]["type"] != "http.request" or came[-1].get("more_body"):
        return came, None
    return came, b"".join(message.get("body", b"") for message in came)


def _replayed(came: list[Message], receive: Receive) -> Receive:
    """The messages that were read already, then those that follow."""
    again = iter(came)

    async def replay() -> Message:
        for message in again:
            return message
        return await receive()

    return replay


async def _send(send: Send, answer: ForwardedResponse) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
