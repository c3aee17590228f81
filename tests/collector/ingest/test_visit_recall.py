"""Visits that go on at another collector."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.event import Event
from collector.ingest.visit_recall import MOST_COLLECTORS, RECALLS, VisitRecall
from collector.ingest.visits import IDLE_SECONDS, EventInVisit, VisitTracker
from collector.spool.clickhouse_inserter import ClickHouseInserter
from tests.collector.ingest.test_visits import ANN, BOB, SOURCE, see, sums
from tests.collector.storage.test_client import an_event

pytestmark = pytest.mark.anyio

NOON = 1_772_366_400


class Node:
    """A collector's visits, and what it stores of them."""

    def __init__(self, database: Client) -> None:
        self.now = float(NOON)
        self.erased: set[int] = set()
        self.visits = VisitTracker()
        self._inserter = ClickHouseInserter(database)
        self.recall = VisitRecall(
            database, self.visits, lambda: self.now, erased=lambda: self.erased, monotonic=lambda: self.now
        )

    def sees(self, visitor: int, ts: int, page: str) -> EventInVisit:
        """A pageview, stored at once."""
        part = see(self.visits, visitor, ts, page)
        self._inserter.insert([stored(visitor, ts, page, part)], f"{id(self)} {visitor} {ts} {page}")
        return part

    async def follow(self, *present: str, at: float) -> None:
        """A look at the other collectors."""
        self.now = at
        await self.recall.follow(frozenset(present))


def stored(visitor: int, ts: int, page: str, part: EventInVisit) -> Event:
    """The event of a pageview."""
    return an_event(
        visitor=visitor, ts=ts, page=page, visit=part.visit, entry_page=part.entry_page, source=SOURCE.source,
        country=SOURCE.country, visits=part.visits, bounces=part.bounces, seconds=part.seconds, seq=part.seq,
    )  # fmt: skip


def pages(parts: Iterable[EventInVisit]) -> list[tuple[int, str, int]]:
    """Visit, entry page and position of each."""
    return [(part.visit, part.entry_page, part.seq) for part in parts]


async def test_visits_of_a_collector_that_ended_go_on_at_another(database: Client) -> None:
    """With their entry page, where they came from and their bounce; also back at the first one."""
    first, second = Node(database), Node(database)
    await second.follow("first", at=NOON)
    parts = [first.sees(ANN, NOON, "/"), first.sees(BOB, NOON, "/other")]
    await second.follow(at=NOON + 5)
    parts.append(second.sees(ANN, NOON + 6, "/a"))
    assert second.visits.current(ANN, NOON + 6) is not None
    again = Node(database)
    again.now = NOON + 8
    again.recall.recall()
    parts.append(second.sees(ANN, NOON + 9, "/b"))
    await again.follow("second", at=NOON + 10)
    parts.append(again.sees(ANN, NOON + 11, "/c"))
    assert pages(parts) == [
        (NOON, "/", 1), (NOON, "/other", 1), (NOON, "/", 2), (NOON, "/", 3), (NOON, "/", 4),
    ]  # fmt: skip
    assert sums(parts) == (2, 1, 11)
    attribution = again.visits.current(ANN, NOON + 12)
    assert attribution is not None
    assert attribution.attribution == SOURCE


async def test_what_a_collector_knows_better_stays(database: Client) -> None:
    """Events that wait in its spool are later than what is stored."""
    own, other = Node(database), Node(database)
    other.sees(ANN, NOON, "/")
    own.recall.recall()
    see(own.visits, ANN, NOON + 10, "/in-the-spool")
    await own.follow("other", at=NOON + 11)
    visit = own.visits.current(ANN, NOON + 12)
    assert visit is not None
    assert (visit.last, visit.seq, visit.bouncing) == (NOON + 10, 2, False)


async def test_visits_are_recalled_for_half_a_minute_after_a_change_and_not_otherwise(database: Client) -> None:
    """A proxy hands visitors back some time after their collector is there again. Of many, each has few visitors."""
    own, other = Node(database), Node(database)
    other.sees(ANN, NOON, "/")
    await own.follow(at=NOON)
    assert len(own.visits) == 0
    await own.follow("other", at=NOON + 1)
    assert len(own.visits) == 1
    other.sees(BOB, NOON + 2, "/")
    await own.follow("other", at=NOON + 3)
    assert len(own.visits) == 1
    await own.follow("other", at=NOON + 1 + RECALLS[1])
    assert len(own.visits) == 2
    await own.follow("other", at=NOON + 1 + RECALLS[-1])
    other.sees(BOB + 1, NOON + 40, "/")
    await own.follow("other", at=NOON + 50)
    assert len(own.visits) == 2
    await own.follow(*(f"another {number}" for number in range(MOST_COLLECTORS)), at=NOON + 51)
    assert len(own.visits) == 2


async def test_what_is_being_erased_or_over_is_not_taken_up_again(database: Client) -> None:
    """The visitor's next visit is a new one."""
    own, other = Node(database), Node(database)
    other.sees(ANN, NOON, "/")
    other.sees(BOB, NOON - IDLE_SECONDS - 1, "/")
    own.erased.add(ANN)
    await own.follow("other", at=NOON + 1)
    assert len(own.visits) == 0
