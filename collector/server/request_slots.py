"""Limit on the requests of one client, a network or an account, that are answered at a time: a burst waits in turn.

What answers them shares one event loop, and what they are answered with lies in memory until it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

MOST_AT_A_TIME: Final = 16
"""Answered at a time: more than the browsers of one person open together."""
MOST_WAITING: Final = 500
"""That wait beside them: an office may have one address."""
RETRY_SECONDS: Final = 5


class TooManyRequests(Exception):
    """Too many requests of this client wait already."""


@dataclass(slots=True)
class _Requests:
    """Those of one client, under way and waiting."""

    free: asyncio.Semaphore
    count: int = field(default=0)


class RequestSlots:
    """Slots by client, a few for each."""

    def __init__(self, at_a_time: int = MOST_AT_A_TIME, waiting: int = MOST_WAITING) -> None:
        self._at_a_time = at_a_time
        self._most = at_a_time + waiting
        self._clients: dict[str, _Requests] = {}

    @contextlib.asynccontextmanager
    async def of(self, client: str) -> AsyncIterator[bool]:
        """A slot of the client, when it is the request's turn, for as long as the block lasts; whether it had to wait
        for that. Raises `TooManyRequests`."""
        requests = self._clients.get(client)
        if requests is None:
            requests = self._clients[client] = _Requests(asyncio.Semaphore(self._at_a_time))
        if requests.count >= self._most:
            raise TooManyRequests
        requests.count += 1
        waits = requests.free.locked()
        try:
            async with requests.free:
                # What is answered without waiting for anything would hold its slot for no turn of the event loop.
                await asyncio.sleep(0)
                yield waits
        finally:
            requests.count -= 1
            if not requests.count:
                del self._clients[client]
