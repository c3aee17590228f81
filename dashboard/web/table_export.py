"""Tables that are sent as they are read: a few at a time, and no slower than a reader may be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from collector.server.large_responses import SEND_SECONDS, WAIT_SECONDS
from collector.server.request_slots import RETRY_SECONDS, RequestSlots, TooManyRequests

OF_READER: Final = 2
"""Sent to one account at a time, or to the guests of one network."""
MOST_OF_GUESTS, MOST_OF_MEMBERS = 4, 8
"""Sent at a time in all: each has up to 10,000 rows in memory."""
PAGES_OF_GUESTS, PAGES_OF_SITE = 8, 4
"""Made at a time of guests, in all and of one site: each has as many."""


class ExportSlots:
    """Slots of tables under way, of one process."""

    def __init__(self) -> None:
        self._readers = RequestSlots(OF_READER, waiting=OF_READER)
        self._guests, self._members = asyncio.Semaphore(MOST_OF_GUESTS), asyncio.Semaphore(MOST_OF_MEMBERS)
        self._pages, self._pages_of_site = asyncio.Semaphore(PAGES_OF_GUESTS), RequestSlots(PAGES_OF_SITE)

    async def acquire(self, reader: str, *, guest: bool) -> contextlib.AsyncExitStack:
        """A slot, until the stack is closed. Raises 429 where there is none within seconds."""
        async with contextlib.AsyncExitStack() as slot:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await slot.enter_async_context(self._readers.of(f"{guest} {reader}"))
                    await slot.enter_async_context(self._guests if guest else self._members)
            except (TimeoutError, TooManyRequests):
                raise HTTPException(429, headers={"retry-after": str(RETRY_SECONDS)}) from None
            return slot.pop_all()

    @contextlib.asynccontextmanager
    async def page(self, site: str, *, guest: bool) -> AsyncIterator[None]:
        """The turn of a page that is made of a whole table of that site. A guest waits for it, but not for all that
        guests of another site ask for; members have slots by account. Raises 429 where very many wait."""
        if not guest:
            yield
            return
        try:
            async with self._pages_of_site.of(site), self._pages:
                yield
        except TooManyRequests:
            raise HTTPException(429, headers={"retry-after": str(RETRY_SECONDS)}) from None


class TableResponse(StreamingResponse):
    """The parts of a table, each sent within `part_seconds`; then the slot is given back. Who reads more slowly gets
    no more: a part lies in memory until it has gone."""

    part_seconds = SEND_SECONDS

    def __init__(self, parts: AsyncIterator[str], headers: Mapping[str, str], slot: contextlib.AsyncExitStack) -> None:
        super().__init__(parts, headers=headers)
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self.part_seconds):
                await send(message)

        async with self._slot:
            with contextlib.suppress(TimeoutError):
                await super().__call__(scope, receive, send_in_time)
