"""Large responses take memory for a bounded time, and few at a time."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from collector.server.large_responses import PART_BYTES, ResponseSlots, send_in_parts

pytestmark = pytest.mark.anyio


async def test_a_network_has_one_slot_and_all_have_few() -> None:
    """Until it is released; others wait for theirs, for a time."""
    slots = ResponseSlots(max_open=2, wait_seconds=0.01)
    assert await slots.acquire("198.51.100.1")
    assert not await slots.acquire("198.51.100.1")
    assert await slots.acquire("198.51.100.2")
    assert not await slots.acquire("198.51.100.3")
    slots.release("198.51.100.1")
    assert await slots.acquire("198.51.100.3")


async def test_a_slot_is_waited_for() -> None:
    """Whoever comes while all are taken has the next that is free."""
    slots = ResponseSlots(max_open=1, wait_seconds=60)
    assert await slots.acquire("198.51.100.1")
    waiting = asyncio.create_task(slots.acquire("198.51.100.2"))
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.release("198.51.100.1")
    assert await waiting


async def test_a_part_is_sent_once_the_one_before_has_gone() -> None:
    """The whole arrives, in parts."""
    body, sent = bytes(range(256)) * 1_000, list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    await send_in_parts(send, 200, [(b"content-length", b"256000")], body)
    assert sent[0] == {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"256000")]}
    assert b"".join(message["body"] for message in sent[1:]) == body
    assert max(len(message["body"]) for message in sent[1:]) <= PART_BYTES
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(sent) - 2) + [False]


async def test_whoever_reads_nothing_is_let_go() -> None:
    """After a time, whatever is left."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    await send_in_parts(send, 200, [], bytes(10 * PART_BYTES), seconds=0.01)
