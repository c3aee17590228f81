"""Beacons that may be at two collectors: each is stored once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

from collector.core.metrics import Counters
from collector.ingest.event import Event
from collector.spool.beacon_claims import PATIENCE_SECONDS, START_SECONDS, BeaconClaims
from collector.spool.deduplication import idempotency_key
from collector.spool.spool import Spool
from collector.spool.writer import Writer
from collector.storage.membership import ALIVE_SECONDS, ID_FILE, Membership
from tests.collector.storage.test_client import an_event
from tests.collector.storage.test_membership import silent
from tests.members import member

pytestmark = pytest.mark.anyio


@dataclass
class Node:
    """One collector: its place among the others, its spool, and its claims."""

    database: Client
    directory: Path
    id: str
    now: float = 0.0

    def __post_init__(self) -> None:
        self.directory.mkdir()
        (self.directory / ID_FILE).write_text(self.id)
        self.begin()

    def begin(self) -> None:
        """A process, after another that was killed where there was one."""
        self.spool = Spool(
            self.directory / "events.db",
            max_bytes=1_000_000,
            segment_rows=1_000,
            segment_seconds=3600,
            withhold=True,
        )
        self.spool.start()
        self.members: Membership = member(self.database, self.directory)
        self.claims = BeaconClaims(self.database, self.members, lambda: [self.spool], monotonic=lambda: self.now)

    def end(self) -> None:
        """The process ends; what it has is on disk."""
        self.spool.close()

    async def take(self, *pages: str) -> None:
        """A beacon of each page, whose `q` is the page."""
        for page in pages:
            if not self.knows(page):
                await self.spool.append([an_event(page=page)], page.encode())

    def knows(self, page: str) -> bool:
        """Whether the beacon is taken for one that was sent again."""
        return self.spool.seen(idempotency_key(page.encode()), lambda _: None)

    def stored(self) -> list[str]:
        """The pages that go into ClickHouse from here."""
        self.spool.seal()
        found: list[str] = []
        while (segment := self.spool.next_segment(timeout=0.3)) is not None:
            found += [event.page for event in self.spool.read(segment)]
            self.spool.acknowledge(segment)
        return found


@pytest.fixture
def pair(database: Client, tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Two collectors that know of each other, in order of their ids, and have run for more than a minute."""
    first, second = (Node(database, tmp_path / name, id_) for name, id_ in (("a", "11111111"), ("b", "22222222")))
    first.members.beat()
    for node in (first, second):
        node.spool.stop_withholding()
    with ExitStack() as open_:
        for node in (first, second):
            open_.callback(node.end)
        yield first, second


async def settled(claiming: Node, *others: Node) -> None:
    """The claims of one, answered by the others at their heartbeats."""
    claiming.members.beat()
    task = asyncio.create_task(claiming.claims.settle())
    async with asyncio.timeout(60):
        while not task.done():
            for other in others:
                await other.claims.answer()
            await asyncio.sleep(0.01)
    await task


async def test_a_beacon_that_was_sent_again_to_another_collector_is_stored_once(pair: tuple[Node, Node]) -> None:
    """The first was killed before its answer, with the beacon on disk; the second has it as well."""
    first, second = pair
    await first.take("/only-first", "/both", "/also-first")
    first.end()
    first.begin()
    await second.take("/both", "/only-second")
    assert first.stored() == []
    await settled(first, second)
    assert (first.stored(), second.stored()) == (["/only-first", "/also-first"], ["/both", "/only-second"])


async def test_a_beacon_that_one_has_dropped_is_the_others(pair: tuple[Node, Node]) -> None:
    """Also when the other is killed then, and whether or not the first has been again."""
    first, second = pair
    await first.take("/both", "/again")
    first.end()
    first.begin()
    await second.take("/both", "/again")
    await settled(first, second)
    assert first.stored() == []
    for killed in ((), (first,)):
        for node in (*killed, second):
            node.end()
            node.begin()
        for node in killed:
            await settled(node, second)
        await settled(second, first)
    assert second.stored() == ["/both", "/again"]


async def test_a_claimed_beacon_is_taken_for_seen_by_the_others(pair: tuple[Node, Node]) -> None:
    """It comes to the second after the first has found it in its spool."""
    first, second = pair
    await first.take("/late")
    first.end()
    first.begin()
    await settled(first, second)
    assert second.knows("/late")
    await second.take("/late")
    assert (first.stored(), second.stored()) == (["/late"], [])
    # What was claimed once is claimed again when the first is killed again: it is the first's all the same.
    first.end()
    first.begin()
    await settled(first, second)
    assert not second.knows("/never sent")


async def test_what_comes_soon_after_the_start_is_claimed_too(pair: tuple[Node, Node]) -> None:
    """The first is back and gets its visitors again: one beacon the second has stored, and its answer was lost."""
    first, second = pair
    await second.take("/both", "/only-second")
    first.end()
    first.begin()
    await settled(first, second)
    await first.take("/both", "/only-first")
    assert first.stored() == []
    await settled(first, second)
    assert (first.stored(), second.stored()) == (["/only-first"], ["/both", "/only-second"])
    # The one that is sent again to the second, which was told of it:
    assert second.knows("/only-first")


async def test_nothing_is_claimed_a_minute_after_the_start(pair: tuple[Node, Node]) -> None:
    """What comes until then is claimed, the last of it when the minute is over."""
    first, second = pair
    first.end()
    first.begin()
    async with asyncio.timeout(60):
        task = asyncio.create_task(first.claims.run())
        await asyncio.sleep(0.1)
        await second.take("/both")
        await first.take("/both", "/mine")
        first.now = START_SECONDS
        while not task.done():
            await second.claims.answer()
            await asyncio.sleep(0.01)
        await task
    await first.take("/later")
    assert (first.stored(), second.knows("/mine"), second.knows("/later")) == (["/mine", "/later"], True, False)


async def test_a_collector_without_others_inserts_at_once(database: Client, tmp_path: Path) -> None:
    """There is nobody to ask, so no key leaves it."""
    node = Node(database, tmp_path / "a", "11111111")
    with closing(node.spool):
        await node.take("/mine")
        assert node.stored() == []
        await node.claims.settle()
        assert node.stored() == ["/mine"]
    assert database.query("SELECT count() FROM beacon_claims").result_rows == [(0,)]


async def test_of_two_that_were_killed_one_keeps_the_beacon(pair: tuple[Node, Node]) -> None:
    """Each has it in its spool, and neither knows whether the other has inserted it."""
    for node in pair:
        await node.take("/both")
        node.end()
        node.begin()
    for node in pair:
        node.members.beat()
    async with asyncio.timeout(60):
        tasks = [asyncio.create_task(node.claims.settle()) for node in pair]
        while not all(task.done() for task in tasks):
            for node in pair:
                await node.claims.answer()
            await asyncio.sleep(0.01)
    assert sorted(pair[0].stored() + pair[1].stored()) == ["/both"]


async def test_a_collector_that_is_not_alive_is_not_waited_for(database: Client, pair: tuple[Node, Node]) -> None:
    """Its own beacons are claimed when it is back."""
    first, second = pair
    await first.take("/left")
    first.end()
    first.begin()
    silent(database, second.members.id, ALIVE_SECONDS + 1)
    await settled(first)
    assert first.stored() == ["/left"]


async def test_a_collector_that_gives_no_answer_is_not_waited_for_long(pair: tuple[Node, Node]) -> None:
    """As one of an earlier release during an upgrade."""
    first, second = pair
    await first.take("/left")
    first.end()
    first.begin()
    second.members.beat()
    first.members.beat()
    task = asyncio.create_task(first.claims.settle())
    await asyncio.sleep(1)
    assert not task.done()
    first.now = PATIENCE_SECONDS
    await task
    assert first.stored() == ["/left"]


class Away:
    """A ClickHouse that does not answer."""

    def insert(self, table: str, data: Sequence[Sequence[object]], column_names: Sequence[str]) -> None:
        del table, data, column_names
        raise OperationalError("connection refused")


async def test_while_nothing_can_be_claimed_the_reason_is_told(database: Client, pair: tuple[Node, Node]) -> None:
    """Nothing is inserted meanwhile, so no insert tells that ClickHouse is away."""
    first, second = pair
    await first.take("/left")
    first.end()
    first.begin()
    for node in (first, second):
        node.members.beat()
    first.claims = BeaconClaims(cast("Client", Away()), first.members, lambda: [first.spool])
    task = asyncio.create_task(first.claims.settle())
    async with asyncio.timeout(30):
        while first.claims.problem is None:  # noqa: ASYNC110 # claims set no event
            await asyncio.sleep(0.01)
        assert str(first.claims.problem) == "connection refused"
        assert first.stored() == []
        first.claims._client = database
        while not task.done():
            await second.claims.answer()
            await asyncio.sleep(0.01)
    assert first.claims.problem is None
    assert first.stored() == ["/left"]


class Noting:
    """An inserter that notes whether what it inserts was answered."""

    def __init__(self) -> None:
        self.answered = False
        self.found: list[bool] = []

    def insert(self, events: Sequence[Event], token: str) -> None:
        del events, token
        self.found.append(self.answered)


async def test_what_is_not_answered_is_not_inserted(tmp_path: Path) -> None:
    """A beacon whose collector is killed before its answer is sent again, and must not be in ClickHouse by then."""
    spool = Spool(tmp_path / "events.db", max_bytes=1_000_000, segment_rows=1, segment_seconds=0.01)
    inserter, loop = Noting(), asyncio.get_running_loop()
    writer = Writer(spool, inserter, Counters())
    spool.start()
    writer.start()

    def answer(turns: int) -> None:
        if turns:
            loop.call_soon(answer, turns - 1)
        inserter.answered = not turns

    def stored(_: object) -> None:
        # A busy machine: the event loop has its next turn when the writer has long had time.
        threading.Event().wait(0.3)
        answer(5)

    with closing(spool):
        spool.enqueue([an_event()], 7, stored)
        async with asyncio.timeout(30):
            while not inserter.found:  # noqa: ASYNC110 # the writer is a thread and sets no event
                await asyncio.sleep(0.01)
        writer.stop(0)
    assert inserter.found == [True]
