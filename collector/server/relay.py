"""Several workers on one socket, and yet one place for each visitor.

A visitor's visit, the beacons that may come a second time and the limit on an address's rate live in the memory of
one worker: the one whose slot the hash of the address's network names. Whichever worker a connection happened to
reach passes the request on to it over a Unix socket in that slot's directory, and passes the answer back. A slot
whose worker is gone answers 503 until the next worker has taken it over, with all that was acknowledged there.

Frames in both directions: four bytes of length, then MessagePack of `ForwardedRequest` or `ForwardedResponse`. What is
written within one turn of the event loop goes out in one piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast
from zlib import crc32

import msgspec
from starlette.types import ASGIApp, Message, Scope

from collector.core.errors import TystError
from collector.core.file_locks import SPOOL

log = logging.getLogger(__name__)

ANSWER_SECONDS = 30.0
_SOCKET = "relay.sock"
_LONGEST_PATH = 100
_DECODED_AT_MOST = 1 << 20


class NotPassedOn(TystError):
    """The slot's worker is gone, or does not answer."""


class ForwardedRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request as it is passed on: what of its scope the application reads, and its body."""

    number: int
    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int] | None
    body: bytes

    def __repr__(self) -> str:
        """Shows nothing of the visitor."""
        return f"Asked({self.number}, {self.path!r}, …)"


class ForwardedResponse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The answer to the request of that number."""

    number: int
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode


class _Frames(asyncio.Protocol):
    """Cuts what comes into frames, and sends frames in batches."""

    def __init__(self, take: Callable[[_Frames, bytes], None], lost: Callable[[_Frames], None]) -> None:
        self._take = take
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._going: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, chunk: bytes) -> None:
        came = self._came
        came += chunk
        at = 0
        while len(came) - at >= 4:
            size = int.from_bytes(came[at : at + 4], "big")
            if size > _DECODED_AT_MOST:
                self.close()
                return
            if len(came) - at - 4 < size:
                break
            self._take(self, bytes(came[at + 4 : at + 4 + size]))
            at += 4 + size
        del came[:at]

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 # the protocol's signature
        self._transport = None
        self._lost(self)

    def send(self, frame: bytes) -> None:
        """Send, with whatever else is sent in this turn of the loop."""
        if not self._going:
            asyncio.get_running_loop().call_soon(self._flush)
        self._going += (len(frame).to_bytes(4, "big"), frame)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        going, self._going = self._going, []
        if self._transport is not None:
            self._transport.write(b"".join(going))


class WorkerConnection:
    """The way to one slot's worker. Connects when first needed, and again after it was lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: _Frames | None = None
        self._connecting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[ForwardedResponse]] = {}
        self._decode = msgspec.msgpack.Decoder(ForwardedResponse).decode

    async def request(self, scope: Scope, body: bytes) -> ForwardedResponse:
        """The worker's answer. Raises `NotPassedOn`."""
        frames = self._frames or await self._connect()
        number = next(self._numbers)
        answered = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            frames.send(
                _encode(
                    ForwardedRequest(
                        number,
                        scope["method"],
                        scope["path"],
                        scope["query_string"],
                        scope["headers"],
                        scope["client"],
                        body,
                    )
                )
            )
            return await asyncio.wait_for(answered, ANSWER_SECONDS)
        except TimeoutError:
            raise NotPassedOn("another worker does not answer") from None
        finally:
            del self._asked[number]

    def close(self) -> None:
        """Let go of the connection."""
        if self._frames is not None:
            self._frames.close()

    async def _connect(self) -> _Frames:
        async with self._connecting:
            if self._frames is None:
                frames = _Frames(self._take, self._lost)
                try:
                    await asyncio.get_running_loop().create_unix_connection(lambda: frames, str(self._path))
                except OSError as error:
                    raise NotPassedOn(f"another worker is gone ({error.strerror})") from None
                self._frames = frames
            return self._frames

    def _take(self, _: _Frames, frame: bytes) -> None:
        answer = self._decode(frame)
        waiting = self._asked.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _lost(self, _: _Frames) -> None:
        self._frames = None
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(NotPassedOn("another worker went away"))


class WorkerRouter:
    """This worker's slot and the way to the others'. `app` answers what is passed on to this one."""

    def __init__(self, app: ASGIApp, data_dir: Path, slot: int, slots: int) -> None:
        self._app = app
        self._slot = slot
        self._path = _socket_of(data_dir, slot)
        self.peers = {n: WorkerConnection(_socket_of(data_dir, n)) for n in range(1, slots + 1) if n != slot}
        self._slots = slots
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._decode = msgspec.msgpack.Decoder(ForwardedRequest).decode
        self._inward: set[_Frames] = set()

    def slot_of(self, network: str) -> int:
        """The slot that has the visitors of this network."""
        return crc32(network.encode("utf-8", "surrogatepass")) % self._slots + 1

    async def open(self) -> None:
        """Take what others pass on."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(self._accept, str(self._path))
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Take no more, and finish what was taken."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.gather(*self._tasks, return_exceptions=True)
        for frames in list(self._inward):
            frames.close()
        for peer in self.peers.values():
            peer.close()

    def _accept(self) -> _Frames:
        frames = _Frames(self._take, self._inward.discard)
        self._inward.add(frames)
        return frames

    def _take(self, frames: _Frames, frame: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(frames, self._decode(frame)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, frames: _Frames, asked: ForwardedRequest) -> None:
        try:
            answer = await call(self._app, asked)
        except Exception:  # as the web server does for its own requests: the worker goes on
            log.exception("a request that was passed on failed")
            answer = ForwardedResponse(asked.number, 500, [], b"")
        frames.send(_encode(answer))


async def call(app: ASGIApp, asked: ForwardedRequest) -> ForwardedResponse:
    """The application's answer to a request that did not come over a connection of its own."""
    status, headers, parts = 500, list[tuple[bytes, bytes]](), list[bytes]()
    bodies = iter([asked.body])

    async def receive() -> Message:
        for body in bodies:
            return {"type": "http.request", "body": body, "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        else:
            parts.append(message.get("body", b""))

    await app(scope_of(asked), receive, send)
    return ForwardedResponse(asked.number, status, headers, b"".join(parts))


def scope_of(asked: ForwardedRequest) -> Scope:
    """The request's scope, as the web server would have made it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": asked.method,
        "path": asked.path,
        "raw_path": asked.path.encode("latin-1", "replace"),
        "root_path": "",
        "query_string": asked.query,
        "headers": asked.headers,
        "client": asked.client,
        "server": None,
    }


def _socket_of(data_dir: Path, slot: int) -> Path:
    place = data_dir.resolve() / SPOOL / str(slot)
    if len(str(place / _SOCKET)) < _LONGEST_PATH:
        return place / _SOCKET
    # The address of a Unix socket has room for 107 bytes; a directory that is open has a short name as well.
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(f"/proc/self/fd/{os.open(place, os.O_PATH)}") / _SOCKET
