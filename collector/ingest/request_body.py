"""Reader of request bodies with limits on size, time and the number of unfinished bodies.

A body that has not arrived completely is *open*: it takes memory and a connection for as long as its sender likes. So
the number of open bodies is limited by client network and in total. A complete body releases its slot at once. Where
all slots are taken, the oldest open body of the network with the most is given up: one client may have hundreds of
networks (IPv6), and must not keep everybody else from being read.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Receive

SECONDS: Final = 10.0
"""From the first read of a body to its last byte."""
MAX_OPEN: Final = 1_000
MAX_OPEN_PER_NETWORK: Final = 32
RETRY_SECONDS: Final = 5


class BodyError(Exception):
    """A rejected body. `status` is the response status, 0 after a disconnect; `kind` is the metrics label."""

    def __init__(self, status: int, kind: str, reason: str, retry_seconds: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.reason = reason
        self.retry_seconds = retry_seconds


class BodyReader:
    """Reads bodies within the limits. Share one object between all routes of a process."""

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        max_open: int = MAX_OPEN,
        max_open_per_network: int = MAX_OPEN_PER_NETWORK,
    ) -> None:
        self._seconds = seconds
        self._max_open = max_open
        self._max_open_per_network = max_open_per_network
        self._open: dict[str, dict[asyncio.Timeout, None]] = {}
        """The end of each open body's time, oldest first, by network."""

    @property
    def open(self) -> int:
        """The number of open bodies."""
        return sum(map(len, self._open.values()))

    async def read(self, receive: Receive, limit: int, network: str) -> bytes:
        """The body, at most `limit` bytes, of a client in `network`.

        Raises `BodyError`: 413 (too large), 408 (too slow, or given up for others), 429 (limit of the network), or 0
        (disconnected).
        """
        if len(self._open.get(network, ())) >= self._max_open_per_network:
            raise BodyError(429, "bodies", "has too many unfinished requests beside it", RETRY_SECONDS)
        if self.open >= self._max_open:
            self._give_up_oldest()
        try:
            async with asyncio.timeout(self._seconds) as time:
                self._open.setdefault(network, {})[time] = None
                try:
                    return await _read(receive, limit)
                finally:
                    self._release(network, time)
        except TimeoutError:
            raise BodyError(408, "too_slow", "must arrive in time") from None

    def _give_up_oldest(self) -> None:
        network = max(self._open, key=lambda each: len(self._open[each]))
        time = next(iter(self._open[network]))
        self._release(network, time)
        # Its time may be over in this very turn of the event loop.
        if not time.expired():
            time.reschedule(0)

    def _release(self, network: str, time: asyncio.Timeout) -> None:
        """The body is whole, or given up, by its reader or for another."""
        times = self._open.get(network, {})
        times.pop(time, None)
        if not times:
            self._open.pop(network, None)


async def _read(receive: Receive, limit: int) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyError(0, "disconnected", "the client has gone")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyError(413, "too_large", f"must be at most {limit} bytes")
    return bytes(body)
