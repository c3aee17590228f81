"""Delivery worker: sends what the outbox has, each once, whatever is restarted.

In this order: prepare, claim, send, note in the journal that it was taken, record it in ClickHouse. A process that dies
before the recipient has taken it sends it again after its start; one that dies after the note does not. In between lies
the recipient's answer on its way. The one to a mail is on its way to a process of its own, which outlives the server,
and is waited for by the next one. A webhook whose answer was under way is sent again, under the same webhook-id. So is,
by another collector, what one has noted that was killed before it recorded it, and that does not come back within 40
seconds.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

import anyio
import anyio.to_thread

from dashboard.notifications.errors import DeliveryError
from dashboard.notifications.handover_journal import Handover, HandoverJournal
from dashboard.notifications.outbox import Delivery, Lane, Outbox

log = logging.getLogger(__name__)

AT_ONCE: Final[Mapping[Lane, int]] = {"mail": 1, "webhook": 8}
"""Deliveries at a time. There is one mail server; of webhooks anybody's receiver may be slow."""
BEGINNING_SECONDS: Final = 30.0
"""What has not begun after so long waits for the next round, so that what is new meanwhile gets its turn."""

ORPHAN_SECONDS: Final = 0.1
"""Between two looks whether a conversation of an earlier process has ended."""

Send = Callable[[Handover | None], Awaitable[None]]
"""Sends, and notes it where that is said at once when the recipient has said yes. Raises `DeliveryError`."""


class Courier(Protocol):
    """Prepares deliveries of one kind."""

    async def prepare(self, delivery: Delivery) -> Send | None:
        """How to send it; None where there is nobody any more to send it to. Raises `DeliveryError`."""


class DeliveryWorker:
    """Attempts what is due. `couriers` are by kind of delivery; `clock` gives Unix seconds."""

    def __init__(
        self,
        outbox: Outbox,
        journal: HandoverJournal,
        couriers: Mapping[str, Courier],
        clock: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._journal = journal
        self._couriers = couriers
        self._clock = clock
        self._begun = False

    def settle(self) -> None:
        """Record in ClickHouse what the journal says was handed over. Blocking."""
        self._journal.sync()
        for id_ in self._journal.ids:
            self._outbox.finish(id_, "sent")
            self._journal.remove(id_)

    async def run_due(self, deliveries: Mapping[str, Delivery]) -> None:
        """Attempt what is due, the first of each site before the second of any, the longest waiting first; mails and
        webhooks at the same time. What an earlier process has begun ends before."""
        while not self._begun and self._journal.conversations_go_on():  # noqa: ASYNC110 # another process tells nobody
            await anyio.sleep(ORPHAN_SECONDS)
        self._begun = True
        due, until = (
            _in_turn(filter(self._outbox.is_due, deliveries.values())),
            anyio.current_time() + BEGINNING_SECONDS,
        )
        async with anyio.create_task_group() as group:
            for lane, count in AT_ONCE.items():
                waiting = deque(each for each in due if each.lane == lane)
                for _ in range(count):
                    group.start_soon(self._run, lane, waiting, until)

    async def _run(self, lane: Lane, waiting: deque[Delivery], until: float) -> None:
        while waiting and anyio.current_time() < until:
            delivery = waiting.popleft()
            try:
                await self._attempt(delivery)
            except Exception:  # one recipient's failure stops nobody else
                log.exception("a delivery failed and will be retried", extra={"delivery": delivery.id, "lane": lane})
            finally:
                self._outbox.let_go(delivery.id)

    async def _attempt(self, delivery: Delivery) -> None:
        id_ = delivery.id
        if id_ in self._journal.ids:
            return
        if delivery.until < self._clock():
            if await anyio.to_thread.run_sync(self._outbox.claim, id_):
                await self._end(id_, delivery.error or "too late")
            return
        courier = self._couriers.get(delivery.kind)
        if courier is None:
            return
        try:
            send = await courier.prepare(delivery)
            # Late, so that nobody holds what it is not about to send.
            if await anyio.to_thread.run_sync(self._outbox.claim, id_) is None:
                return
            if send is None:
                await self._end(id_, "no recipient")
                return
            self._check_journal()
            await send(self._journal.handover(id_))
        except DeliveryError as error:
            log.warning("a delivery failed", extra={"delivery": id_, "reason": str(error)})
            if error.permanent:
                await self._end(id_, str(error))
            else:
                await anyio.to_thread.run_sync(self._outbox.postpone, id_, str(error))
            return
        await anyio.to_thread.run_sync(self.settle)

    def _check_journal(self) -> None:
        try:
            self._journal.check_writable()
        except OSError as error:
            raise DeliveryError(f"the data directory cannot be written: {error.strerror}") from None

    async def _end(self, id_: str, error: str) -> None:
        await anyio.to_thread.run_sync(self._outbox.finish, id_, "failed", error)


def _in_turn(due: Iterable[Delivery]) -> list[Delivery]:
    """The deliveries so that sites take turns."""
    before, places = Counter[str](), dict[str, int]()
    ordered = sorted(due, key=lambda each: (each.next, each.created))
    for each in ordered:
        places[each.id] = before[each.site]
        before[each.site] += 1
    return sorted(ordered, key=lambda each: places[each.id])
