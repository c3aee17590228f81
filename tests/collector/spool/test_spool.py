"""The spool: durable before acknowledged, in segments that never change their meaning."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import SpoolFull, SpoolUnavailable
from collector.ingest.event import Event
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.deduplication import idempotency_key
from collector.spool.rewrite import Erasure
from collector.spool.serialization import encode
from collector.spool.spool import ONCE_SECONDS, Spool, SpoolSegment
from collector.spool.sqlite_store import DiskReserve, SpoolFile
from tests.collector.storage.test_client import an_event

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = 1_772_366_400.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands at a moment in 2026."""
    return Clock()


def a_spool(path: Path, clock: Clock, *, max_bytes: int = 1_000_000, rows: int = 1_000_000) -> Spool:
    """A spool whose segments are sealed by rows or by hand."""
    return Spool(path / "events.db", max_bytes=max_bytes, segment_rows=rows, segment_seconds=3600, clock=clock)


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Iterator[Spool]:
    """A started spool."""
    spool = a_spool(tmp_path, clock)
    spool.start()
    yield spool
    spool.close()


def pages(spool: Spool, segment: SpoolSegment | None) -> list[str]:
    """The pages of a segment's events."""
    assert segment is not None
    return [event.page for event in spool.read(segment)]


def sealed(spool: Spool) -> SpoolSegment:
    """Seal what is open and take it."""
    spool.seal()
    segment = spool.next_segment(timeout=10)
    assert segment is not None
    return segment


async def emptied(spool: Spool) -> None:
    """Wait until the committer has deleted what is done."""
    async with asyncio.timeout(10):
        while spool.stats().bytes:  # noqa: ASYNC110 # the committer is a thread and sets no event
            await asyncio.sleep(0)


def files(path: Path) -> list[Path]:
    """Every file of a directory."""
    return list(path.iterdir())


def known(spool: Spool, once: bytes) -> bool:
    """Whether the spool has had this beacon before."""
    return spool.seen(idempotency_key(once), lambda _: None)


def on_disk(path: Path) -> list[str]:
    """Pages of the events that another process would find in the file now."""
    return [event.page for event in a_spool(path, Clock()).events()]


def damage(file: Path) -> None:
    """Break what is in the file, as a disk does that has lost bits."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for number, events in connection.execute("SELECT number, events FROM groups").fetchall():
            damaged = events.replace(b"pageview", b"\xff")
            connection.execute("UPDATE groups SET events = ? WHERE number = ?", (damaged, number))


async def test_an_event_is_on_disk_when_append_returns(spool: Spool, tmp_path: Path) -> None:
    """Another process sees it, without any help from this one."""
    await spool.append([an_event(page="/a")], None)
    assert on_disk(tmp_path) == ["/a"]


async def test_beacons_that_wait_together_are_one_group(spool: Spool, tmp_path: Path) -> None:
    """One fsync serves many: far fewer groups than beacons."""
    await asyncio.gather(*(spool.append([an_event(page=f"/{n}")], None) for n in range(500)))
    with sqlite3.connect(tmp_path / "events.db") as file:
        (groups,) = file.execute("SELECT count() FROM groups").fetchone()
    assert groups < 50
    assert sorted(on_disk(tmp_path)) == sorted(f"/{n}" for n in range(500))


async def test_what_waits_for_the_disk_is_told(spool: Spool, tmp_path: Path) -> None:
    """For as long as the disk takes; nothing waits then."""
    assert spool.uncommitted_seconds() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as slow:
        slow.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(spool.append([an_event()], None))
        await asyncio.sleep(0.1)
        assert spool.uncommitted_seconds() >= 0.1
        slow.execute("ROLLBACK")
    await task
    async with asyncio.timeout(10):
        while spool.uncommitted_seconds():  # noqa: ASYNC110 # the committer is a thread and sets no event
            await asyncio.sleep(0)


async def test_every_column_survives_the_spool(spool: Spool) -> None:
    """What is read is what was appended."""
    event = an_event(page="/å", props={"k": "v"}, bounces=-1)
    await spool.append([event], None)
    assert list(spool.read(sealed(spool))) == [event]


async def test_the_spool_of_the_first_release_is_read_and_erased_from(
    tmp_path: Path, clock: Clock, database: Client
) -> None:
    """Its groups are MessagePack; what waits in them when Tyst is updated goes where it was to go."""
    a_spool(tmp_path, clock).close()
    events = [an_event(page="/mine", visitor=7, props={"å": "1"}), an_event(page="/theirs", visitor=8)]
    packed = b"\xdd" + len(events).to_bytes(4, "big") + b"".join(map(msgspec.msgpack.encode, events))
    with sqlite3.connect(tmp_path / "events.db") as file:
        file.execute("INSERT INTO segments (number, began) VALUES (1, 0)")
        file.execute("INSERT INTO groups (segment, rows, events) VALUES (1, 2, ?)", (packed,))
    spool = a_spool(tmp_path, clock)
    assert list(spool.events()) == events
    assert spool.events_of({7}) == events[:1]
    segment = sealed(spool)
    ClickHouseInserter(database).insert(spool.read(segment), segment.token)
    stored = database.query("SELECT visitor, page, props FROM events ORDER BY visitor").result_rows
    assert stored == [(7, "/mine", {"å": "1"}), (8, "/theirs", {})]
    spool.erase([Erasure(site="site.test", day=events[0].day, visitor=7, until=events[0].ts)])
    assert list(spool.events()) == events[1:]
    assert list(spool.read(segment)) == events[1:]
    spool.close()


async def test_rows_spooled_before_a_column_was_added_are_read_erased_from_and_inserted(
    tmp_path: Path, clock: Clock, database: Client
) -> None:
    """They end earlier; what is missing has its default, also beside rows of this release."""
    a_spool(tmp_path, clock).close()
    events = [an_event(page="/mine", visitor=7), an_event(page="/theirs", visitor=8)]
    shorter = b",".join(msgspec.json.encode(msgspec.json.decode(encode(event))[:-1]) for event in events)
    with sqlite3.connect(tmp_path / "events.db") as file:
        file.execute("INSERT INTO segments (number, began) VALUES (1, 0)")
        file.execute("INSERT INTO groups (segment, rows, events) VALUES (1, 2, ?)", (shorter,))
        newer = encode(an_event(page="/newer", visitor=9, seq=5))
        file.execute("INSERT INTO groups (segment, rows, events) VALUES (1, 1, ?)", (newer,))
    spool = a_spool(tmp_path, clock)
    assert list(spool.events())[:2] == events
    segment = sealed(spool)
    ClickHouseInserter(database).insert(spool.read(segment), segment.token)
    stored = database.query("SELECT visitor, page, seq FROM events ORDER BY visitor").result_rows
    assert stored == [(7, "/mine", 0), (8, "/theirs", 0), (9, "/newer", 5)]
    spool.erase([Erasure(site="site.test", day=events[0].day, visitor=7, until=events[0].ts)])
    assert [event.page for event in spool.events()] == ["/theirs", "/newer"]
    spool.close()


async def test_rows_are_read_by_clickhouse_as_they_are(spool: Spool, database: Client) -> None:
    """Whatever stands in an event, alone or between others, and with a beacon of no rows among them."""
    odd = ['"', "\\", "\n\t\0\x7f", "],[", "åäö 漢字 🐘 \u2028", "'", "{x}", "\ufeff"]
    events = [
        an_event(visitor=2**64 - 1 - number, page=text, props={text: text}, revenue=Decimal("-99999999999.125"))
        for number, text in enumerate(odd)
    ]
    await asyncio.gather(spool.append([], b"none"), *(spool.append([event], None) for event in events))
    await spool.append(events, None)
    segment = sealed(spool)
    rows = spool.read(segment)
    assert len(rows) == 2 * len(events)
    ClickHouseInserter(database).insert(rows, segment.token)
    stored = database.query("SELECT visitor, page, props, revenue FROM events ORDER BY visitor DESC").result_rows
    assert stored == [
        (event.visitor, event.page, event.props, event.revenue) for event in events for _ in range(2)
    ]  # fmt: skip
    assert database.query("SELECT DISTINCT day, toUnixTimestamp(ts), expires FROM events").result_rows == [
        (events[0].day, events[0].ts, events[0].expires)
    ]


async def test_a_segment_is_sealed_by_rows(tmp_path: Path, clock: Clock) -> None:
    """So that an insert has a bounded size."""
    spool = a_spool(tmp_path, clock, rows=2)
    spool.start()
    for page in ("/1", "/2", "/3"):
        await spool.append([an_event(page=page)], None)
    assert pages(spool, spool.next_segment(timeout=10)) == ["/1", "/2"]
    spool.close()


async def test_a_segment_is_sealed_by_age(tmp_path: Path, clock: Clock) -> None:
    """So that a quiet site is up to date too."""
    spool = Spool(tmp_path / "e.db", max_bytes=10**6, segment_rows=100, segment_seconds=0.05, clock=clock)
    spool.start()
    await spool.append([an_event(page="/1")], None)
    assert spool.next_segment(timeout=0) is None
    clock.now += 0.05
    assert pages(spool, spool.next_segment(timeout=10)) == ["/1"]
    spool.close()


async def test_a_clock_that_steps_back_does_not_keep_a_segment_open(tmp_path: Path, clock: Clock) -> None:
    """An hour back must not mean an hour's wait."""
    spool = Spool(tmp_path / "e.db", max_bytes=10**6, segment_rows=100, segment_seconds=0.05, clock=clock)
    spool.start()
    await spool.append([an_event(page="/1")], None)
    clock.now -= 3600
    assert pages(spool, spool.next_segment(timeout=10)) == ["/1"]
    spool.close()


async def test_a_finished_segment_is_gone_and_is_not_taken_again(spool: Spool, tmp_path: Path) -> None:
    """Its bytes no longer count."""
    await spool.append([an_event(page="/a")], None)
    spool.acknowledge(sealed(spool))
    assert spool.next_segment(timeout=0) is None
    await spool.append([an_event(page="/b")], None)
    assert on_disk(tmp_path) == ["/b"]
    assert spool.stats().rows == 1


async def test_tokens_are_never_used_twice(tmp_path: Path, clock: Clock) -> None:
    """Not after a restart, not after everything was deleted, not by another spool."""
    tokens = []
    for directory in (tmp_path / "a", tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        spool = a_spool(directory, clock)
        spool.start()
        await spool.append([an_event()], None)
        segment = sealed(spool)
        tokens.append(segment.token)
        spool.acknowledge(segment)
        spool.close()
    assert len(set(tokens)) == 4


async def test_a_copied_spool_gives_its_segments_tokens_of_their_own(
    database: Client, tmp_path: Path, clock: Clock
) -> None:
    """What waited when a data directory was copied, or a snapshot taken, is inserted once; what came later to the copy
    and to the original are different events, all of which are inserted."""
    original = a_spool(tmp_path / "a", clock)
    original.start()
    await original.append([an_event(page="/before")], None)
    original.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for directory in (tmp_path / "a", tmp_path / "b"):
        spool = a_spool(directory, clock)
        spool.start()
        await spool.append([an_event(page=f"/{directory.name}")], None)
        for _ in range(2):
            segment = sealed(spool)
            ClickHouseInserter(database).insert(spool.read(segment), segment.token)
            spool.acknowledge(segment)
        spool.close()
    found = database.query("SELECT page FROM events ORDER BY page").result_rows
    assert [page for (page,) in found] == ["/a", "/b", "/before"]


async def test_segments_of_earlier_releases_have_the_tokens_they_had(tmp_path: Path, clock: Clock) -> None:
    """Which may have been sent already: the id of the file, and their number."""
    spool = a_spool(tmp_path, clock)
    spool.start()
    await spool.append([an_event(page="/before")], None)
    spool.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "events.db")) as file:
        file.execute("ALTER TABLE segments DROP COLUMN token")
        ((id_,), (number,)) = file.execute("SELECT id FROM spool UNION ALL SELECT number FROM segments").fetchall()
    spool = a_spool(tmp_path, clock)
    spool.start()
    assert sealed(spool).token == f"{id_}-{number}"
    spool.close()


async def test_after_a_crash_what_was_open_is_a_segment_of_its_own(tmp_path: Path, clock: Clock) -> None:
    """Nothing is ever added to a segment that an earlier process began."""
    crashed = a_spool(tmp_path, clock)
    crashed.start()
    await crashed.append([an_event(page="/before")], None)
    spool = a_spool(tmp_path, clock)
    spool.start()
    await spool.append([an_event(page="/after")], None)
    first = spool.next_segment(timeout=10)
    assert pages(spool, first) == ["/before"]
    assert first is not None
    spool.acknowledge(first)
    assert pages(spool, sealed(spool)) == ["/after"]
    spool.close()
    crashed.close()


async def test_the_same_beacon_is_seen_for_ten_minutes_also_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    """And not longer: its key is not kept."""
    spool = a_spool(tmp_path, clock)
    spool.start()
    assert not known(spool, b"q")
    await spool.append([an_event()], b"q")
    assert known(spool, b"q")
    spool.close()
    clock.now += ONCE_SECONDS
    assert known(a_spool(tmp_path, clock), b"q")
    clock.now += 1
    assert not known(a_spool(tmp_path, clock), b"q")


async def test_a_beacon_on_its_way_to_the_disk_is_seen_as_such(spool: Spool) -> None:
    """A retry waits for the first try instead of being stored beside it."""
    first = asyncio.ensure_future(spool.append([an_event()], b"q"))
    await asyncio.sleep(0)
    retried: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    assert spool.seen(idempotency_key(b"q"), retried.set_result)
    assert not retried.done()
    assert await retried is None
    await first
    assert known(spool, b"q")


async def test_memory_forgets_beacons_as_well(spool: Spool, clock: Clock) -> None:
    """Within twenty minutes."""
    await spool.append([an_event()], b"old")
    for _ in range(2):
        clock.now += ONCE_SECONDS
        await spool.append([an_event()], b"new")
    assert not known(spool, b"old")


async def test_a_clock_that_was_ahead_for_a_moment_keeps_no_beacons(spool: Spool, tmp_path: Path, clock: Clock) -> None:
    """The disk would fill with their keys until the clock is there again."""
    today = clock.now
    steps = [*range(3), *(90 * 86_400 + step for step in range(3)), *range(3, 4 * ONCE_SECONDS, 60)]
    for number, step in enumerate(steps):
        clock.now = today + step
        await spool.append([an_event()], str(number).encode())
    with contextlib.closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        (held,) = connection.execute("SELECT count(*) FROM seen").fetchone()
    assert held <= ONCE_SECONDS / 60 + 2


async def test_a_full_spool_refuses_and_takes_again_when_emptied(tmp_path: Path, clock: Clock) -> None:
    """The bound is on bytes held."""
    spool = a_spool(tmp_path, clock, max_bytes=1000)
    spool.start()
    while not spool.full:
        await spool.append([an_event()], None)
    with pytest.raises(SpoolFull):
        await spool.append([an_event()], None)
    assert 1000 <= spool.stats().bytes < 1400
    spool.acknowledge(sealed(spool))
    await emptied(spool)
    await spool.append([an_event()], None)
    spool.close()


async def test_a_refused_segment_is_set_aside_until_it_is_retried(spool: Spool, tmp_path: Path, clock: Clock) -> None:
    """Also across a restart; what comes after it has its turn."""
    await spool.append([an_event(page="/bad")], None)
    spool.quarantine(sealed(spool), "too odd")
    await spool.append([an_event(page="/good")], None)
    good = sealed(spool)
    assert pages(spool, good) == ["/good"]
    spool.acknowledge(good)
    assert spool.stats().refused == 1
    restarted = a_spool(tmp_path, clock)
    assert restarted.stats().refused == 1
    assert spool.retry_refused() == 1
    assert pages(spool, spool.next_segment(timeout=10)) == ["/bad"]


async def test_a_disk_that_does_not_take_a_group_fails_its_beacons_and_no_others(spool: Spool, tmp_path: Path) -> None:
    """Nobody is told that an event is stored when it is not; afterwards it works again."""
    blocker = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    blocker.execute("CREATE TRIGGER full BEFORE INSERT ON groups BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    with pytest.raises(SpoolUnavailable, match="disk is full"):
        await spool.append([an_event(page="/lost")], b"q")
    assert not known(spool, b"q")
    # Whoever asks whether beacons are accepted is told.
    assert spool.stats().problem == "disk is full"
    blocker.execute("DROP TRIGGER full")
    await spool.append([an_event(page="/kept")], b"q")
    assert on_disk(tmp_path) == ["/kept"]
    assert spool.stats().problem is None
    blocker.close()


async def test_damaged_events_hinder_no_start_and_go_with_an_erasure_that_they_name(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell which of them are the visitor's. What names somebody else only is there as it was."""
    await spool.append([an_event(page="/damaged", visitor=7_777_777)], None)
    await spool.append([an_event(page="/other", visitor=8_888_888)], None)
    damage(tmp_path / "events.db")
    await spool.append([an_event(page="/good", visitor=7_777_777)], None)
    assert on_disk(tmp_path) == ["/good"]
    assert [event.page for event in spool.events_of({7_777_777})] == ["/good"]
    event = an_event()
    spool.erase([Erasure(event.site, event.day, 7_777_777, event.ts)])
    assert on_disk(tmp_path) == []
    assert spool.stats().rows == 1
    assert "damaged events were deleted" in caplog.text


def test_a_disk_on_which_nothing_can_be_opened_has_no_room_until_it_is_well_again(tmp_path: Path) -> None:
    """As one that has become read-only: whoever waits for room goes on waiting."""
    reserve = DiskReserve(tmp_path / "reserve")
    reserve.give_up()
    (tmp_path / "reserve").unlink()
    (tmp_path / "reserve").mkdir()
    assert not reserve.hold()
    reserve.give_up()
    (tmp_path / "reserve").rmdir()
    assert reserve.hold()


async def test_what_waits_is_committed_before_the_spool_closes(tmp_path: Path, clock: Clock) -> None:
    """And nothing is taken after."""
    spool = a_spool(tmp_path, clock)
    spool.start()
    waiting = asyncio.ensure_future(spool.append([an_event(page="/last")], None))
    # One turn of the event loop to hand it over, one in which that is passed on.
    for _ in range(2):
        await asyncio.sleep(0)
    await asyncio.to_thread(spool.close)
    await waiting
    assert on_disk(tmp_path) == ["/last"]
    with pytest.raises(SpoolUnavailable):
        await spool.append([an_event()], None)


async def test_held_tells_rows_bytes_and_age(spool: Spool, clock: Clock) -> None:
    """The operator's view."""
    events: list[Event] = [an_event(), an_event()]
    await spool.append(events, None)
    clock.now += 7
    held = spool.stats()
    assert (held.rows, held.oldest_seconds, held.refused) == (2, 7.0, 0)
    assert held.bytes > 50


async def test_a_deleted_event_leaves_no_bytes(spool: Spool, tmp_path: Path) -> None:
    """Once it is in ClickHouse, the spool's file has forgotten it."""
    await spool.append([an_event(page="/very-recognisable-page")], None)
    spool.acknowledge(sealed(spool))
    await emptied(spool)
    spool.close()
    assert b"very-recognisable" not in b"".join(file.read_bytes() for file in files(tmp_path))


def test_a_file_that_is_closed_while_it_is_read_ends_the_reading(tmp_path: Path) -> None:
    """Not the process: SQLite crashes where a connection is closed under another thread."""
    for turn in range(20):
        file = SpoolFile(tmp_path / f"{turn}.sqlite")
        segment = file.commit("token", 1, b"x" * 5_000, [], [], 0.0)
        assert segment is not None
        for _ in range(50):
            file.commit(segment, 1, b"x" * 5_000, [], [], 0.0)
        begun = threading.Event()

        def read(file: SpoolFile = file, segment: int | None = segment, begun: threading.Event = begun) -> None:
            with contextlib.suppress(sqlite3.ProgrammingError):
                while True:
                    for _ in file.groups(segment or 0):
                        begun.set()

        reading = threading.Thread(target=read)
        reading.start()
        assert begun.wait(60)
        file.close()
        reading.join(60)
        assert not reading.is_alive()


async def test_a_spool_that_refuses_takes_nothing_more(spool: Spool) -> None:
    """What it has stays."""
    await spool.append([an_event(page="/a")], None)
    spool.refuse("this collector was removed")
    with pytest.raises(SpoolUnavailable, match="removed"):
        await spool.append([an_event(page="/b")], None)
    assert pages(spool, sealed(spool)) == ["/a"]
