"""The writer: every segment in ClickHouse once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import InsertError, InsertRefused, InsertRetryable
from collector.core.metrics import Counters
from collector.ingest.event import Event
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.member_inserter import MemberInserter
from collector.spool.spool import Spool
from collector.spool.writer import Writer
from tests.collector.spool.test_spool import Clock, a_spool, damage, emptied, sealed
from tests.collector.storage.test_client import an_event
from tests.members import member

pytestmark = pytest.mark.anyio


class MemoryInserter:
    """Keeps events by token, and fails as it is told, one error a call. `stored` is set by each success."""

    def __init__(self, *errors: InsertError) -> None:
        self.errors = list(errors)
        self.segments: dict[str, list[str]] = {}
        self.stored = threading.Event()

    def insert(self, events: Sequence[Event], token: str) -> None:
        """Store, or raise the next error."""
        if self.errors:
            raise self.errors.pop(0)
        self.segments.setdefault(token, [event.page for event in events])
        self.stored.set()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A started spool."""
    spool = a_spool(tmp_path, Clock())
    spool.start()
    yield spool
    spool.close()


async def test_a_segment_goes_in_and_is_let_go(spool: Spool) -> None:
    """And whoever wants to know is told its events."""
    inserter, told = MemoryInserter(), list[Event]()
    writer = Writer(spool, inserter, Counters(), inserted=told.extend)
    await spool.append([an_event(page="/a")], None)
    segment = sealed(spool)
    assert writer.write(segment)
    assert inserter.segments == {segment.token: ["/a"]}
    assert [event.page for event in told] == ["/a"]
    await emptied(spool)


async def test_what_may_succeed_later_is_kept_and_reported(spool: Spool) -> None:
    """The problem is in the writer's words until an insert succeeds."""
    inserter = MemoryInserter(InsertRetryable("no route"))
    writer = Writer(spool, inserter, Counters())
    await spool.append([an_event(page="/a")], None)
    segment = sealed(spool)
    assert not writer.write(segment)
    assert writer.problem == "no route"
    assert spool.next_segment(timeout=0) == segment
    assert writer.write(segment)
    assert writer.problem is None


async def test_what_is_refused_for_good_is_set_aside(spool: Spool) -> None:
    """The next segment has its turn, and the operator can have it tried again."""
    inserter, counters = MemoryInserter(InsertRefused("odd")), Counters()
    writer = Writer(spool, inserter, counters)
    await spool.append([an_event(page="/bad")], None)
    assert writer.write(sealed(spool))
    assert spool.stats().refused == 1
    assert b'tyst_faults_total{kind="insert_refused"} 1.0' in counters.text()
    spool.retry_refused()
    assert writer.write(sealed(spool))
    assert list(inserter.segments.values()) == [["/bad"]]


async def test_what_the_disk_has_damaged_is_set_aside_and_keeps_nothing_waiting(spool: Spool, tmp_path: Path) -> None:
    """It is reported as what ClickHouse refuses is."""
    inserter = MemoryInserter()
    writer = Writer(spool, inserter, Counters())
    await spool.append([an_event(page="/damaged")], None)
    damaged = sealed(spool)
    damage(tmp_path / "events.db")
    await spool.append([an_event(page="/good")], None)
    assert writer.write(damaged)
    assert writer.write(sealed(spool))
    assert list(inserter.segments.values()) == [["/good"]]
    assert (spool.stats().refused, writer.problem) == (1, None)


async def test_the_thread_retries_by_itself(spool: Spool) -> None:
    """Until ClickHouse takes it; then nothing is left."""
    inserter = MemoryInserter(*[InsertRetryable("busy")] * 3)
    writer = Writer(spool, inserter, Counters())
    writer.start()
    await spool.append([an_event(page="/a")], None)
    spool.seal()
    assert await asyncio.to_thread(inserter.stored.wait, 10)
    await emptied(spool)
    writer.stop(drain_seconds=1)
    assert list(inserter.segments.values()) == [["/a"]]


async def test_stopping_drains_what_is_sealed(spool: Spool) -> None:
    """Within the time it is given."""
    inserter = MemoryInserter()
    writer = Writer(spool, inserter, Counters())
    await spool.append([an_event(page="/a")], None)
    spool.seal()
    writer.start()
    writer.stop(drain_seconds=10)
    assert list(inserter.segments.values()) == [["/a"]]


async def test_a_crash_between_insert_and_answer_stores_once(spool: Spool, database: Client, tmp_path: Path) -> None:
    """The same segment again, from a process that knows nothing of the first try, changes nothing."""
    await spool.append([an_event(page="/a"), an_event(page="/b")], None)
    first = sealed(spool)
    ClickHouseInserter(database).insert(spool.read(first), first.token)
    restarted = a_spool(tmp_path, Clock())
    again = restarted.next_segment(timeout=0)
    assert again is not None
    assert again.token == first.token
    assert Writer(restarted, ClickHouseInserter(database), Counters()).write(again)
    assert database.query("SELECT groupArray(page) FROM (SELECT page FROM events ORDER BY page)").first_row == (
        ["/a", "/b"],
    )


async def test_a_removed_collector_stores_nothing(spool: Spool, database: Client, tmp_path: Path) -> None:
    """Some of what it holds may have been erased."""
    own, other = (member(database, tmp_path / name, name=name) for name in ("own", "gone"))
    inserter = MemoryInserter()
    writer = Writer(spool, MemberInserter(inserter, lambda: other), Counters())
    await spool.append([an_event(page="/a")], None)
    segment = sealed(spool)
    database.command(
        "INSERT INTO collectors SELECT collector, name, seen + 0.001, stored, secret, 1 FROM collectors FINAL"
        " WHERE name = 'gone'"
    )
    assert not writer.write(segment)
    assert "was removed" in (writer.problem or "")
    assert inserter.segments == {}
    assert Writer(spool, MemberInserter(inserter, lambda: own), Counters()).write(segment)
