"""Scheduler: plans what is due, and has it sent. Several processes may run it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import anyio.to_thread
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.storage.client import plain_reason
from dashboard.notifications.delivery_worker import DeliveryWorker
from dashboard.notifications.outbox import Delivery, Outbox

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 10.0

Planner = Callable[[], Awaitable[Iterable[Delivery]]]
"""What is due at present, planned before or not."""


class Scheduler:
    """Runs the planners and the worker. `leads` says whether this process does what one does for all: that saves work,
    and correctness does not rest on it."""

    def __init__(
        self, outbox: Outbox, worker: DeliveryWorker, planners: Sequence[Planner], leads: Callable[[], bool]
    ) -> None:
        self._outbox = outbox
        self._worker = worker
        self._planners = tuple(planners)
        self._leads = leads

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await self._tick_or_log()
            await asyncio.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        """One round: record what was sent, and where this process leads, plan, and attempt what is due."""
        await anyio.to_thread.run_sync(self._worker.settle)
        if not self._leads():
            return
        known = await anyio.to_thread.run_sync(self._outbox.current)
        for planner in self._planners:
            await self._plan(planner, known)
        await self._worker.run_due(known)

    async def _plan(self, planner: Planner, known: dict[str, Delivery]) -> None:
        """Add what is due to the outbox and to what is known. A planner that fails stops no other, and no delivery."""
        try:
            for delivery in await planner():
                if delivery.id not in known:
                    await anyio.to_thread.run_sync(self._outbox.add, delivery)
                    known[delivery.id] = delivery
        except (ClickHouseError, OSError):
            raise
        except Exception:  # another site's report is not to wait for it
            log.exception("a planner failed and will be retried")

    async def _tick_or_log(self) -> None:
        try:
            await self.tick()
        except (ClickHouseError, OSError) as error:
            log.warning("the scheduler failed and will retry", extra={"reason": plain_reason(error)})
        except Exception:  # one failed round must not end the others
            log.exception("the scheduler failed and will retry")
