"""The budget of rewriting: who is erased again and again does not fill the disk with copies of the table."""

from __future__ import annotations

from pathlib import Path

from clickhouse_connect.driver.client import Client

from collector.erasure.rewrite_budget import AT_ONCE_SECONDS, LONGEST_WAIT, SHARE, RewriteBudget
from collector.erasure.visitor_erasure import Eraser
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.spool.rewrite import Erasure
from tests.collector.spool.test_spool import Clock, a_spool
from tests.collector.storage.test_client import an_event
from tests.members import alone


class SlowDisk:
    """A clock by which something takes `seconds` between two looks at it."""

    def __init__(self, seconds: float) -> None:
        self.now = 1_000.0
        self.seconds = seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def test_erasures_one_after_the_other_wait_and_are_carried_out_together(tmp_path: Path, database: Client) -> None:
    """Each of visitors whose events lie in one part rewrites it, until the budget is spent: then the promises wait, at
    most for as long as they may, and one more rewriting does for all."""
    spool, clock, began = a_spool(tmp_path, Clock()), SlowDisk(AT_ONCE_SECONDS * 0.6), 10**18
    visitors = [an_event(visitor=number) for number in range(1, 5)]
    ClickHouseInserter(database).insert(visitors, "all of them")
    eraser = Eraser(
        database, lambda: [spool], alone(database), iter(range(began, 2 * began)).__next__, budget=RewriteBudget(clock)
    )
    done = []
    for each in visitors:
        eraser.enqueue([Erasure(each.site, each.day, each.visitor, each.ts)])
        done.append(eraser.run_once())
    left = [row[0] for row in database.query("SELECT visitor FROM events ORDER BY visitor").result_rows]
    assert (done, left) == ([True, True, False, False], [3, 4])
    clock.seconds = 0
    clock.now += LONGEST_WAIT
    assert eraser.run_once()
    assert database.query("SELECT count() FROM events").result_rows == [(0,)]
    mutations = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = 'events'"
    assert database.query(mutations).result_rows == [(3,)]
    spool.close()


def test_erasures_that_find_nothing_cost_nothing_of_the_budget(tmp_path: Path, database: Client) -> None:
    """Nothing is rewritten for them."""
    spool, clock, event = a_spool(tmp_path, Clock()), SlowDisk(AT_ONCE_SECONDS), an_event(visitor=7)
    eraser = Eraser(database, lambda: [spool], alone(database), lambda: 1, budget=RewriteBudget(clock))
    for number in range(5):
        eraser.enqueue([Erasure(event.site, event.day, number + 1, event.ts)])
        assert eraser.run_once()
    spool.close()


def test_rewriting_takes_its_share_of_the_time() -> None:
    """Some seconds at once, then a twentieth of the time; the next waits no longer than it may."""
    clock = SlowDisk(0)
    budget, spent = RewriteBudget(clock), 0.0
    ends = clock.now + 3_600
    while clock.now < ends:
        if budget.is_spent:
            clock.now += 1
            continue
        began = clock.now
        clock.now += 0.5
        spent += 0.5
        budget.spend(began)
    assert 0.9 * SHARE * 3_600 < spent < AT_ONCE_SECONDS + 1.1 * SHARE * 3_600
    began = clock.now
    clock.now += 600
    budget.spend(began)
    assert budget.is_spent
    clock.now += LONGEST_WAIT
    assert not budget.is_spent
