"""Concurrency limit by client: a few requests of one network or account are processed at a time, others wait in turn.

Requests share one event loop, and responses occupy memory until they are read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, field
from typing import Final

MOST_AT_A_TIME: Final = 16
"""Requests processed at a time: more than the browser of one person sends at once."""
MOST_WAITING: Final = 500
"""Requests that wait: a whole office may have one address."""
RETRY_SECONDS: Final = 5


class TooManyRequests(Exception):
    """Too many requests of the client are waiting."""


@dataclass(slots=True)
class _Requests:
    """The requests of one client, running and waiting."""

    free: asyncio.Semaphore
    count: int = field(default=0)


class RequestSlots:
    """Slots by client: `at_a_time` requests run, and `waiting` more wait."""

    def __init__(self, at_a_time: int = MOST_AT_A_TIME, waiting: int = MOST_WAITING) -> None:
        self._at_a_time = at_a_time
        self._most = at_a_time + waiting
        self._clients: dict[Hashable, _Requests] = {}

    @contextlib.asynccontextmanager
    async def of(self, client: Hashable) -> AsyncIterator[bool]:
        """A slot of the client for the duration of the block, and whether the request had to wait for it. Raises
        `TooManyRequests`."""
        requests = self._clients.get(client)
        if requests is None:
            requests = self._clients[client] = _Requests(asyncio.Semaphore(self._at_a_time))
        if requests.count >= self._most:
            raise TooManyRequests
        requests.count += 1
        waits = requests.free.locked()
        try:
            async with requests.free:
                # A handler that never yields would otherwise hold its slot for no turn of the event loop.
                await asyncio.sleep(0)
                yield waits
        finally:
            requests.count -= 1
            if not requests.count:
                del self._clients[client]
