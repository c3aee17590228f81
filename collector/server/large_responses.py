"""Large responses, such as all that is held about a browser: a few at a time, and no faster than they are read.

A response that is handed to the server whole lies in memory until the client has read it, and a client may read
nothing. So it is sent in parts, each once the one before it has gone, within a time; and until the last one has gone,
its network gets no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.types import Send

from collector.core.response_headers import Header

PART_BYTES: Final = 64 * 1024
SEND_SECONDS: Final = 30.0
"""From the first part to the last; then the connection is closed."""
MAX_OPEN: Final = 4
"""Each may take some hundred megabytes while it is built."""
WAIT_SECONDS: Final = 5.0
"""For which a request waits for a slot."""


class ResponseSlots:
    """Slots for large responses: one for each network, `max_open` in all, for which others wait `wait_seconds`."""

    def __init__(self, max_open: int = MAX_OPEN, wait_seconds: float = WAIT_SECONDS) -> None:
        self._free = asyncio.Semaphore(max_open)
        self._wait_seconds = wait_seconds
        self._networks: set[str] = set()

    async def acquire(self, network: str) -> bool:
        """Whether the network has a slot from now on, until `release`."""
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
        """The network's response is sent, or will not be."""
        self._networks.discard(network)
        self._free.release()


async def send_in_parts(
    send: Send, status: int, headers: Sequence[Header], body: bytes, *, seconds: float = SEND_SECONDS
) -> None:
    """Respond as ASGI has it. What has not gone after `seconds` is not sent."""
    try:
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.start", "status": status, "headers": list(headers)})
            for at in range(0, len(body), PART_BYTES):
                await send({"type": "http.response.body", "body": body[at : at + PART_BYTES], "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        return
