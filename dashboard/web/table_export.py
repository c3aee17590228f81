"""Streamed exports of tables, with limits on their number and on slow readers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from collector.core.request_slots import RETRY_SECONDS, RequestSlots, TooManyRequests
from collector.server.large_responses import SEND_SECONDS, WAIT_SECONDS

OF_READER: Final = 2
"""Exports at a time to one account, or to the guests of one network."""
MOST_OF_GUESTS, MOST_OF_MEMBERS = 4, 8
"""Exports at a time in all: each has up to 10,000 rows in memory."""
PAGES_OF_GUESTS, PAGES_OF_SITE = 8, 4
"""Pages of whole tables rendered at a time for guests, in all and of one site: each has as many rows in memory."""


class ExportSlots:
    """Slots of the exports and pages of whole tables in one process."""

    def __init__(self) -> None:
        self._readers = RequestSlots(OF_READER, waiting=OF_READER)
        self._guests, self._members = asyncio.Semaphore(MOST_OF_GUESTS), asyncio.Semaphore(MOST_OF_MEMBERS)
        self._pages, self._pages_of_site = asyncio.Semaphore(PAGES_OF_GUESTS), RequestSlots(PAGES_OF_SITE)

    async def acquire(self, reader: str, *, guest: bool) -> contextlib.AsyncExitStack:
        """A slot for an export, until the stack is closed. Raises 429 if none becomes free within seconds."""
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
        """A slot for a page of a whole table, for the duration of the block. Guests of one site do not wait for all
        those of another; members are limited by account elsewhere. Raises 429 if too many wait."""
        if not guest:
            yield
            return
        try:
            async with self._pages_of_site.of(site), self._pages:
                yield
        except TooManyRequests:
            raise HTTPException(429, headers={"retry-after": str(RETRY_SECONDS)}) from None


class TableResponse(StreamingResponse):
    """Streams the parts of a table and then releases the slot. A client that takes longer than `part_seconds` to read a
    part, which occupies memory until then, gets no more of them."""

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
