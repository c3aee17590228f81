"""Large responses, such as the export of a visitor's data: a few at a time, sent in parts as the client reads them.

A response passed to the server as a whole occupies memory until the client has read it, which it may never do. So it is
sent in parts, each after the one before it, within a time limit; until the last one is sent, its network gets no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.types import Send

from collector.core.response_headers import Header

PART_BYTES: Final = 64 * 1024
SEND_SECONDS: Final = 30.0
"""Time limit of a response; then the connection is closed."""
MAX_OPEN: Final = 4
"""Each may occupy some hundred megabytes while it is built."""
WAIT_SECONDS: Final = 5.0
"""Longest wait of a request for a slot."""


class ResponseSlots:
    """Slots for large responses: one for each network and `max_open` in all. A request waits at most `wait_seconds`."""

    def __init__(self, max_open: int = MAX_OPEN, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = asyncio.Semaphore(max_open)
        self._wait_seconds = wait_seconds
        self._networks: set[str] = set()

    async def acquire(self, network: str) -> bool:
        """Take a slot for the network until `release`; returns whether there was one."""
        if network in self._networks:
            return False
        self._networks.add(network)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            self._networks.discard(network)
            return False
        except asyncio.CancelledError:
            self._networks.discard(network)
            raise
        return True

    def release(self, network: str) -> None:
        """Release the network's slot."""
        self._networks.discard(network)
        self._free.release()


async def send_in_parts(
    send: Send, status: int, headers: Sequence[Header], body: bytes, *, seconds: float = SEND_SECONDS
) -> None:
    """Send a response over ASGI, as much of it as the client reads within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.start", "status": status, "headers": list(headers)})
            for at in range(0, len(body), PART_BYTES):
                await send({"type": "http.response.body", "body": body[at : at + PART_BYTES], "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        return
