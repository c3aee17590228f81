"""Requests of a network: a few at a time, some wait, and more are refused."""

from __future__ import annotations

import asyncio

import pytest

from collector.core.request_slots import RequestSlots, TooManyRequests

pytestmark = pytest.mark.anyio


class Crowd:
    """Requests that are under way until they are told to end."""

    def __init__(self, slots: RequestSlots) -> None:
        self._slots = slots
        self.begun = 0
        self.end = asyncio.Event()

    async def request(self, network: str) -> None:
        async with self._slots.of(network):
            self.begun += 1
            await self.end.wait()

    async def begin(self, network: str, count: int) -> list[asyncio.Task[None]]:
        """So many requests, as far as they come by themselves."""
        tasks = [asyncio.create_task(self.request(network)) for _ in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        return tasks


async def test_a_network_has_a_few_requests_at_a_time() -> None:
    """The others wait in turn, those of another network do not, and nobody who has left keeps a place."""
    crowd = Crowd(RequestSlots(2, waiting=3))
    tasks = await crowd.begin("192.0.2.1", 5)
    assert crowd.begun == 2
    with pytest.raises(TooManyRequests):
        await crowd.request("192.0.2.1")
    tasks += await crowd.begin("192.0.2.2", 1)
    assert crowd.begun == 3
    tasks[4].cancel()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    await crowd.begin("192.0.2.1", 1)
    assert crowd.begun == 4
    crowd.end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await crowd.begin("192.0.2.1", 1)
    assert crowd.begun > 4
