"""Execution of statements: shared results, a fair queue, and statements that can be pasted into clickhouse-client."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, ClassVar

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from dashboard.analytics.errors import QueueFull
from dashboard.analytics.executor import GUESTS_PER_TURN, QueryExecutor
from dashboard.analytics.fair_queue import MAX_WAITING_OF_LANE, FairQueue, T, lane_of, set_reader
from dashboard.analytics.filters import Filter, HasDone, is_
from dashboard.analytics.query import Query
from dashboard.analytics.result_cache import IMMUTABLE_SECONDS, MAX_ROWS, ResultCache, Rows
from dashboard.analytics.service import MANY_ROWS, StatsService
from dashboard.analytics.sql.parameters import Statement
from tests.dashboard.analytics.test_service import MONDAY, SITE, STORY, ask, dates, event, seed


class Clock:
    """Seconds that pass only when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Flights:
    """Statements that end when a test says so."""

    def __init__(self) -> None:
        self.begun: list[Future[Rows]] = []
        self.cancelled = 0

    def begin(self) -> tuple[Future[Rows], Any]:
        """One more statement."""
        self.begun.append(Future())
        return self.begun[-1], self._cancel

    def _cancel(self) -> None:
        self.cancelled += 1


def test_a_result_is_shared_for_its_seconds() -> None:
    """While it is under way and for a while after; then, and for any other key, it is executed anew."""
    clock, flights = Clock(), Flights()
    cache = ResultCache(3, clock)
    first, second = cache.join("a", flights.begin), cache.join("a", flights.begin)
    assert first is second
    flights.begun[0].set_result([(1,)])
    assert cache.join("a", flights.begin) is first
    assert cache.join("b", flights.begin) is not first
    clock.now += 3
    assert cache.join("a", flights.begin) is not first
    assert len(flights.begun) == 3


def test_without_seconds_only_what_is_under_way_is_shared() -> None:
    """Zero seconds keep nothing."""
    flights = Flights()
    cache = ResultCache(0, Clock())
    assert cache.join("a", flights.begin) is cache.join("a", flights.begin)
    flights.begun[0].set_result([])
    cache.join("a", flights.begin)
    assert len(flights.begun) == 2


def test_large_results_are_not_kept() -> None:
    """By their rows, and by the length of what is in them, however deep: visitors send long values."""
    few, many = [("/some/ordinary/page", 1_000, 0.5)] * MAX_ROWS, [("/", 1)] * (MAX_ROWS + 1)
    long, nested = [("😀" * 2_000, 1)] * 200, [(1, ["😀" * 2_000] * 200)]
    for rows, kept in ((few, True), (many, False), (long, False), (nested, False)):
        flights, cache = Flights(), ResultCache(60, Clock())
        first = cache.join("a", flights.begin, immutable=True)
        assert cache.join("a", flights.begin, immutable=True) is first
        flights.begun[0].set_result(rows)
        assert (cache.join("a", flights.begin, immutable=True) is first) == kept


def test_failures_and_results_of_before_a_change_are_not_shared() -> None:
    """A statement that failed is tried again; after new events nothing of before is given, even if it ends later."""
    flights = Flights()
    cache = ResultCache(60, Clock())
    cache.join("a", flights.begin)
    flights.begun[0].set_exception(ValueError())
    cache.join("a", flights.begin)
    assert len(flights.begun) == 2
    cache.clear()
    flights.begun[1].set_result([])
    cache.join("a", flights.begin)
    assert len(flights.begun) == 3


def test_results_of_closed_days_are_shared_for_longer() -> None:
    """Also after new events, for some minutes; not where nothing is to be shared."""
    clock, flights = Clock(), Flights()
    cache = ResultCache(3, clock)
    first = cache.join("a", flights.begin, immutable=True)
    flights.begun[0].set_result([(1,)])
    cache.clear()
    clock.now += IMMUTABLE_SECONDS - 1
    assert cache.join("a", flights.begin, immutable=True) is first
    clock.now += 1
    assert cache.join("a", flights.begin, immutable=True) is not first
    cache = ResultCache(0, clock)
    cache.join("a", flights.begin, immutable=True)
    flights.begun[-1].set_result([(1,)])
    cache.join("a", flights.begin, immutable=True)
    assert len(flights.begun) == 4


def test_a_statement_is_cancelled_when_its_last_reader_leaves() -> None:
    """Not while another one waits for it, and not once it is done."""
    flights = Flights()
    cache = ResultCache(60, Clock())
    flight = cache.join("a", flights.begin)
    cache.join("a", flights.begin)
    cache.leave("a", flight)
    assert flights.cancelled == 0
    cache.leave("a", flight)
    assert flights.cancelled == 1
    done = cache.join("a", flights.begin)
    flights.begun[-1].set_result([])
    cache.leave("a", done)
    assert flights.cancelled == 1


def test_guests_leave_room_for_members() -> None:
    """Forty guests' statements take half of the threads; a member's begins at once, before all guests who wait."""
    queue, gate = FairQueue(4), threading.Event()
    begun: list[str] = []
    both = threading.Semaphore(0)

    def work(name: str) -> Rows:
        begun.append(name)
        both.release()
        assert name == "member" or gate.wait(30)
        return []

    guests = [queue.submit((True, f"site{number % 2}"), lambda: work("guest")) for number in range(40)]
    for _ in range(2):
        both.acquire(timeout=30)
    queue.submit((False, "site1"), lambda: work("member")).result(timeout=30)
    assert begun == ["guest", "guest", "member"]
    gate.set()
    for each in guests:
        each.result(timeout=30)
    queue.close()


def test_lanes_take_turns() -> None:
    """Whoever submits much waits behind whoever submits little."""
    queue, first, second, order = FairQueue(1), threading.Event(), threading.Event(), list[str]()
    # One has the thread, the other the spare one.
    busy = [queue.submit((False, "first"), first.wait), queue.submit((False, "second"), second.wait)]
    futures = [queue.submit((False, site), partial(order.append, site)) for site in ("a", "a", "a", "b")]
    first.set()
    for each in futures:
        each.result(timeout=30)
    second.set()
    assert all(each.result(timeout=30) for each in busy)
    queue.close()
    assert order == ["a", "b", "a", "a"]


@pytest.mark.parametrize("guest", [False, True])
def test_who_asks_for_much_keeps_no_other_waiting(guest: bool) -> None:
    """All threads are in statements of one account, or about one site that guests read, and more of them wait: those of
    another begin at once, one by one."""
    queue, gate = FairQueue(2), threading.Event()
    busy = [queue.submit((guest, "much"), gate.wait) for _ in range(40)]
    for _ in range(12):
        assert queue.submit((guest, "little"), lambda: 7).result(timeout=30) == 7
    gate.set()
    assert all(each.result(timeout=30) for each in busy)
    queue.close()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_guests_do_not_wait_for_a_member_who_always_asks_for_more(workers: int) -> None:
    """Statements of one account have all threads, and more of them always wait: guests of another site have theirs
    answered, one by one. Where guests have all that they may, another member's begin at once all the same."""
    queue, gate = FairQueue(workers), threading.Event()
    busy = [queue.submit((False, "much"), gate.wait) for _ in range(40)]
    for _ in range(6):
        assert queue.submit((True, "public.test"), lambda: 7).result(timeout=30) == 7
    busy += [queue.submit((True, f"{number}.test"), gate.wait) for number in range(40)]
    assert queue.submit((False, "little"), lambda: 8).result(timeout=30) == 8
    gate.set()
    assert all(each.result(timeout=30) for each in busy)
    queue.close()


def test_work_that_waits_in_two_lanes_is_done_once_when_it_is_the_turn_of_one() -> None:
    """Whoever joins what is the last of another's waits for nothing else of theirs."""
    queue, gate, done = FairQueue(1), threading.Event(), list[int]()
    busy = [queue.submit((False, "much"), gate.wait) for _ in range(3)]
    shared = queue.submit((False, "much"), lambda: done.append(7))
    queue.join((False, "little"), shared)
    shared.result(timeout=30)
    gate.set()
    assert all(each.result(timeout=30) for each in busy)
    queue.submit((False, "much"), lambda: done.append(8)).result(timeout=30)
    queue.close()
    assert done == [7, 8]


def test_an_account_has_one_lane_for_all_its_sites() -> None:
    """Guests, and what nobody's request asks for, have one of the site."""

    async def lanes() -> list[object]:
        found = [lane_of("a.test", guest=False), lane_of("a.test", guest=True)]
        set_reader("eva")
        return [*found, lane_of("a.test", guest=False), lane_of("b.test", guest=False), lane_of("a.test", guest=True)]

    own = (False, "account eva")
    assert asyncio.run(lanes()) == [(False, "a.test"), (True, "a.test"), own, own, (True, "a.test")]


class Counting:
    """A client that counts its statements."""

    def __init__(self, client: Client, statements: list[str]) -> None:
        self._client = client
        self._statements = statements

    def query(self, sql: str, **more: Any) -> Any:
        """Note the statement and execute it."""
        self._statements.append(sql)
        return self._client.query(sql, **more)

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def test_a_page_asked_twice_executes_its_statements_once_until_events_come(
    clickhouse: ClickHouse, database: Client
) -> None:
    """The newest part of events belongs to the key of a result, so that even another process's events are seen."""
    statements: list[str] = []
    stats = StatsService(
        lambda settings: Counting(clickhouse.client(readonly=True, settings=settings), statements),  # type: ignore[arg-type,return-value] # as far as it is used
        cache_seconds=3600,
    )
    seed(database, STORY)
    assert ask(stats, "pageviews").rows[0].metrics == (5,)
    first = len(statements)
    assert ask(stats, "pageviews").rows[0].metrics == (5,)
    assert len(statements) == first + 1, "only what the result depends on is read again"
    ClickHouseInserter(database).insert([event(9, "/")], "later")
    assert ask(stats, "pageviews").rows[0].metrics == (6,)
    stats.close()


FILTERS: list[Filter | None] = [
    None,
    is_("event:page", "/it's\nhere"),
    is_("visit:exit_page", "/"),
    is_("visit:engaged", "true"),
    HasDone(is_("event:goal", "Signup")),
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_statements_are_logged_as_they_can_be_pasted(
    clickhouse: ClickHouse, database: Client, caplog: pytest.LogCaptureFixture, filters: Filter | None
) -> None:
    """In one line, with their values as literals: each executes without parameters, to the same rows."""
    seed(database, STORY)
    stats = StatsService(lambda settings: clickhouse.client(readonly=True, settings=settings))
    day, metrics = dates(MONDAY, MONDAY), ("visitors", "visits", "bounce_rate", "pageviews")
    with caplog.at_level(logging.DEBUG, "dashboard.analytics.executor"):
        for names in ((), ("time:day",), ("event:page",), ("visit:source",), ("visit:exit_page",)):
            asyncio.run(stats.run([Query(SITE, metrics, day, names, filters)]))
    stats.close()
    logged = [record.getMessage().partition("statement: ")[2] for record in caplog.records]
    assert len(logged) == 11
    for sql in logged:
        assert "{p" not in sql
        assert "\n" not in sql
        database.query(sql)


def test_guests_statements_do_not_wait_without_number() -> None:
    """Beyond the limit of a site its guests are refused; other sites' guests and members are not."""
    queue, go = FairQueue(2), threading.Event()

    def work() -> Rows:
        go.wait()
        return []

    waiting = [queue.submit((True, "busy"), work) for _ in range(1 + MAX_WAITING_OF_LANE)]
    with pytest.raises(QueueFull):
        queue.submit((True, "busy"), work)
    others = [queue.submit((True, "calm"), work), queue.submit((False, "busy"), work)]
    go.set()
    assert [each.result() for each in others] == [[], []]
    assert len([each.result() for each in waiting]) == 1 + MAX_WAITING_OF_LANE
    queue.close()


def test_what_nobody_waits_for_any_more_fills_no_lane() -> None:
    """Guests who come and go while long statements run keep no other guest of the site from theirs."""
    queue, go = FairQueue(2), threading.Event()
    running = queue.submit((True, "busy"), go.wait)
    try:
        for _ in range(2 * MAX_WAITING_OF_LANE):
            gone = queue.submit((True, "busy"), go.wait)
            assert gone.cancel()
        stays = queue.submit((True, "busy"), go.wait)
    finally:
        go.set()
    assert running.result()
    assert stays.result()
    queue.close()


def test_what_is_computed_waits_in_its_lane(clickhouse: ClickHouse, database: Client) -> None:  # noqa: ARG001
    """Beside the event loop, and not without number."""
    executor = QueryExecutor(lambda settings: clickhouse.client(settings=settings), workers=2)
    go_on, guest = threading.Event(), (True, SITE)

    async def asked() -> str:
        waiting = [asyncio.create_task(executor.computed(go_on.wait, guest)) for _ in range(MAX_WAITING_OF_LANE + 1)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await executor.computed(go_on.wait, guest)
        name = await executor.computed(lambda: threading.current_thread().name)
        go_on.set()
        await asyncio.gather(*waiting)
        return name

    assert asyncio.run(asked()).startswith("analytics")
    executor.close()


def test_a_member_does_not_wait_for_what_guests_asked_first(clickhouse: ClickHouse, database: Client) -> None:  # noqa: ARG001
    """The same statement, asked by a guest and then by a member, is the member's own."""

    async def both() -> bool:
        executor = QueryExecutor(lambda limits: clickhouse.client(readonly=True, settings=limits), workers=2)
        sleeping = [executor.rows(Statement(f"SELECT {n}, sleep(1)"), lane=(True, SITE)) for n in range(3)]
        seven = Statement("SELECT 7")
        guests = [asyncio.ensure_future(each) for each in [*sleeping, executor.rows(seven, lane=(True, SITE))]]
        await asyncio.sleep(0)
        await executor.rows(seven, lane=(False, SITE))
        overtaken = not guests[-1].done()
        await asyncio.gather(*guests)
        executor.close()
        return overtaken

    assert asyncio.run(both())


def test_many_guests_who_wait_for_one_statement_go_on_a_few_in_a_turn(clickhouse: ClickHouse, database: Client) -> None:  # noqa: ARG001
    """Each lays out its page then, in which time nobody else is answered."""

    async def most() -> int:
        executor = QueryExecutor(lambda limits: clickhouse.client(readonly=True, settings=limits), workers=2)
        done, found, statement, count = 0, 0, Statement("SELECT sleep(0.2)", {}), 50 * GUESTS_PER_TURN

        async def guest() -> None:
            nonlocal done
            await executor.rows(statement, lane=(True, SITE))
            done += 1

        guests = [asyncio.create_task(guest()) for _ in range(count)]
        while done < count:
            before = done
            await asyncio.sleep(0)
            found = max(found, done - before)
        await asyncio.gather(*guests)
        executor.close()
        return found

    assert 0 < asyncio.run(most()) <= GUESTS_PER_TURN


def test_guests_of_another_site_go_on_beside_them(clickhouse: ClickHouse, database: Client) -> None:  # noqa: ARG001
    """However many of one site wait for their turn."""

    async def waiting() -> int:
        # Answered before, and shared: nobody waits for the database.
        executor = QueryExecutor(lambda limits: clickhouse.client(settings=limits), workers=2, cache_seconds=60)
        statement = Statement("SELECT 1", {})
        await executor.rows(statement, lane=(True, SITE))
        guests = [asyncio.create_task(executor.rows(statement, lane=(True, SITE))) for _ in range(50 * GUESTS_PER_TURN)]
        for _ in range(3):
            await asyncio.sleep(0)
        await executor.rows(statement, lane=(True, "other.test"))
        left = sum(not guest.done() for guest in guests)
        await asyncio.gather(*guests)
        executor.close()
        return left

    assert asyncio.run(waiting()) > 20 * GUESTS_PER_TURN


def test_an_error_of_the_database_is_not_its_own_cause(clickhouse: ClickHouse, database: Client) -> None:  # noqa: ARG001
    """What is not the reader's to mend passes through as it is."""

    async def failed() -> BaseException:
        executor = QueryExecutor(lambda limits: clickhouse.client(readonly=True, settings=limits), workers=1)
        with pytest.raises(DatabaseError) as caught:
            await executor.rows(Statement("SELECT no_such_column"))
        executor.close()
        return caught.value

    error = asyncio.run(failed())
    assert error.__cause__ is not error


def test_many_rows_are_read_beside_the_event_loop(clickhouse: ClickHouse, database: Client) -> None:
    """And in the reader's lane: whoever asks for them again and again has them one after the other."""

    class Observed(StatsService):
        computations: ClassVar[list[str]] = []

        async def computed(self, site: str, work: Callable[[], T]) -> T:
            self.computations.append(site)
            return await super().computed(site, work)

    seed(database, [event(number, f"/{number}") for number in range(MANY_ROWS + 1)])
    stats = Observed(lambda settings: clickhouse.client(readonly=True, settings=settings))
    for limit, read in ((10, 0), (10_000, 1)):
        asked = Query(SITE, ("visitors",), dates(MONDAY, MONDAY), ("event:page",), limit=limit)
        (found,) = asyncio.run(stats.run([asked]))
        assert len(found.rows) == min(limit, MANY_ROWS + 1)
        assert len(stats.computations) == read
    stats.close()
