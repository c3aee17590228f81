"""Limit on what goes on in one turn of the event loop, in which nobody else is answered, and no connection accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable
from typing import Final, TypeVar

T = TypeVar("T")

A_FEW: Final = 16


class TurnLimit:
    """Has `most` go on in a turn of the event loop, and others in the next ones, in order. Who has another `lane`, of
    which there must not be many, waits for none of these."""

    def __init__(self, most: int = A_FEW) -> None:
        self._most = most
        self._loop: asyncio.AbstractEventLoop | None = None
        self._free: dict[Hashable, asyncio.Semaphore] = {}

    async def wait(self, lane: Hashable = None) -> None:
        """Wait for a turn with room."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # A semaphore is of one loop.
            self._loop, self._free = loop, {}
        async with self._free.setdefault(lane, asyncio.Semaphore(self._most)):
            await asyncio.sleep(0)

    async def after(self, awaited: Awaitable[T], lane: Hashable = None) -> T:
        """What `awaited` gives, in a turn with room."""
        result = await awaited
        await self.wait(lane)
        return result
