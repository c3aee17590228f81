"""Limit on the callers that continue in one turn of the event loop: until the turn ends, no connection is accepted and
no other request is processed."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Hashable
from typing import Final, TypeVar

from collector.core.request_slots import RequestSlots

T = TypeVar("T")

PER_TURN: Final = 16


class TurnLimit:
    """Lets `most` callers of a lane continue in each turn of the event loop, in order of arrival. Lanes are independent
    of each other."""

    def __init__(self, most: int = PER_TURN) -> None:
        self._slots = RequestSlots(most, waiting=sys.maxsize)

    async def wait(self, lane: Hashable = None) -> None:
        """Wait for a turn with room."""
        async with self._slots.of(lane):
            pass  # A slot takes a turn.

    async def after(self, awaited: Awaitable[T], lane: Hashable = None) -> T:
        """The result of `awaited`, in a turn with room."""
        result = await awaited
        await self.wait(lane)
        return result
