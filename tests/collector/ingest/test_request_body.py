"""Bodies are read within bounds of bytes, time and number, on every route."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from collector.ingest.request_body import BodyError, BodyReader

pytestmark = pytest.mark.anyio


class Sender:
    """A client whose body arrives as the test says."""

    def __init__(self, *messages: Message) -> None:
        self._messages = asyncio.Queue[Message]()
        for message in messages:
            self._messages.put_nowait(message)

    async def receive(self) -> Message:
        return await self._messages.get()

    def send(self, body: bytes, *, more: bool) -> None:
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_is_its_parts() -> None:
    """Up to the limit."""
    sender = Sender(part(b"ab", more=True), part(b"", more=True), part(b"cd", more=False))
    assert await BodyReader().read(sender.receive, 4, "192.0.2.1") == b"abcd"


@pytest.mark.parametrize(
    "messages",
    [[part(b"abcde", more=False)], [part(b"abc", more=True), part(b"de", more=False)], [part(b"abcde", more=True)]],
)
async def test_a_body_beyond_the_limit_is_refused(messages: list[Message]) -> None:
    """As soon as it is known to be."""
    with pytest.raises(BodyError) as refused:
        await BodyReader().read(Sender(*messages).receive, 4, "192.0.2.1")
    assert refused.value.status == 413


@pytest.mark.parametrize("messages", [[], [part(b"a", more=True)]])
async def test_a_body_that_does_not_come_is_given_up(messages: list[Message]) -> None:
    """Also one of which nothing has come yet."""
    with pytest.raises(BodyError) as refused:
        await BodyReader(seconds=0).read(Sender(*messages).receive, 4, "192.0.2.1")
    assert (refused.value.status, refused.value.kind) == (408, "too_slow")


async def test_a_client_that_has_gone_is_told_nothing() -> None:
    """Status 0: there is nobody to respond to."""
    with pytest.raises(BodyError) as refused:
        await BodyReader().read(Sender(part(b"a", more=True), {"type": "http.disconnect"}).receive, 4, "")
    assert refused.value.status == 0


async def test_slots_are_shared_out_by_network() -> None:
    """One that holds all of its own keeps nobody else from being read; where all are taken, the oldest body of the
    network with the most is given up."""
    bodies = BodyReader(max_open=3, max_open_per_network=2)
    senders = [Sender() for _ in range(3)]
    networks = ("192.0.2.1", "192.0.2.1", "2001:db8::/64")
    reading = [
        asyncio.create_task(bodies.read(sender.receive, 4, network))
        for sender, network in zip(senders, networks, strict=True)
    ]
    await asyncio.sleep(0)
    assert bodies.open == 3
    whole = Sender(part(b"a", more=False), part(b"a", more=False))
    with pytest.raises(BodyError) as refused:
        await bodies.read(whole.receive, 4, "192.0.2.1")
    assert (refused.value.status, refused.value.retry_seconds) == (429, 5)
    assert await bodies.read(whole.receive, 4, "198.51.100.1") == b"a"
    with pytest.raises(BodyError) as given_up:
        await reading[0]
    assert given_up.value.status == 408
    for sender in senders:
        sender.send(b"b", more=False)
    assert await asyncio.gather(*reading[1:]) == [b"b"] * 2
    assert bodies.open == 0
    assert await bodies.read(whole.receive, 4, "192.0.2.1") == b"a"


async def test_a_body_whose_time_is_over_makes_room_for_one_of_the_same_moment() -> None:
    """Its reader has not heard of that yet."""
    bodies = BodyReader(seconds=0, max_open=1)
    late = asyncio.create_task(bodies.read(Sender().receive, 4, "192.0.2.1"))
    for _ in range(2):
        await asyncio.sleep(0)
    assert bodies.open == 1
    assert await bodies.read(Sender(part(b"a", more=False)).receive, 4, "198.51.100.1") == b"a"
    with pytest.raises(BodyError) as refused:
        await late
    assert (refused.value.status, bodies.open) == (408, 0)


async def test_one_body_each_of_networks_without_number_keeps_nobody_out() -> None:
    """As one client of IPv6 has them: whoever comes then is read, however many there are."""
    bodies = BodyReader(max_open=50)
    held = [asyncio.create_task(bodies.read(Sender().receive, 4, f"2001:db8:{n:x}::/64")) for n in range(200)]
    await asyncio.sleep(0)
    for number in range(100):
        sender = Sender(part(b"a", more=True))
        reading = asyncio.create_task(bodies.read(sender.receive, 4, f"192.0.2.{number}"))
        await asyncio.sleep(0)
        sender.send(b"b", more=False)
        assert await reading == b"ab"
        assert bodies.open <= 50
    for task in held:
        task.cancel()
    await asyncio.wait(held)
    assert bodies.open == 0
