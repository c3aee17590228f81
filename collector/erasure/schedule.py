"""Schedule of pending erasures: at once where a visitor waits, else in the background."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import anyio
import anyio.to_thread
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.erasure.visitor_erasure import Eraser

ERASE_SECONDS = 8.0
"""Duration for which an erasure is tried again and again before it is left to the upkeep."""
_ROUND_SECONDS = 0.05
_GATHER_SECONDS = 0.5


class ErasureSchedule:
    """Runs pending erasures of an `Eraser`."""

    def __init__(self, eraser: Eraser) -> None:
        self._eraser = eraser
        self._running: asyncio.Task[None] | None = None
        self._requested = False
        # One round runs at a time: whoever waits for it takes no thread.
        self._rounds = anyio.CapacityLimiter(1)

    def run_pending(self) -> None:
        """Run one round of pending erasures. Blocking; raises as `Eraser.run_once`."""
        if self._eraser.pending:
            self._eraser.run_once()

    def run_soon(self) -> None:
        """Carry out what is pending in the background; what takes longer than seconds is left to the upkeep."""
        self._requested = True
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    async def run(self, seconds: float = ERASE_SECONDS) -> bool:
        """Whether everything pending was erased within `seconds`; what was not is tried again by the upkeep."""
        with anyio.move_on_after(seconds):
            while True:
                try:
                    if await anyio.to_thread.run_sync(self._eraser.run_once, limiter=self._rounds):
                        return True
                except (ClickHouseError, OSError, sqlite3.Error):
                    return False
                await anyio.sleep(_ROUND_SECONDS)
        return False

    async def stop(self) -> None:
        """End the background task. What is pending stays in the spool."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        while self._requested:
            # Those of half a second together, and after their responses: how much there is to do must not delay these.
            await asyncio.sleep(_GATHER_SECONDS)
            self._requested = False
            await self.run()
