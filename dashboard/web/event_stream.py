"""Server-sent events (WHATWG HTML, 9.2) as a streaming response."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SLOW_SECONDS: Final = 20.0
"""A reader who takes nothing for so long is let go; the browser comes back by itself."""

HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    # nginx holds answers back unless told not to.
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}

BEAT: Final = b":\n\n"
RETRY: Final = b"retry: 1000\n\n"


def event(name: str, content: object) -> bytes:
    """A server-sent event with JSON data, on one line."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(content))


class EventStream(Response):
    """Sends the parts that `parts` yields until they end, or the client leaves or falls behind."""

    def __init__(
        self,
        parts: Callable[[], AsyncIterator[bytes]],
        headers: Mapping[str, str] | None = None,
        *,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        super().__init__(status_code=200, headers={**HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self.parts = parts
        self._slow_seconds = slow_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # as ASGI has it
        """Send, and listen for the reader's leaving, at once."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            # Neither is left behind, whatever ended the other.
            await asyncio.wait({sending, leaving})
            for task in (sending, leaving):
                with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                    task.result()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with contextlib.aclosing(self.parts()) as parts:  # type: ignore[type-var]
            async for part in parts:
                async with asyncio.timeout(self._slow_seconds):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
