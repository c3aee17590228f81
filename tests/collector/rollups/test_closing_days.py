"""Days that close: the same figures one minute before and one minute after, whatever happens to them later."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.timezones import Zone
from collector.ingest.event import Event
from collector.rollups.job import GRACE_SECONDS, RollupJob
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.client import ClickHouse
from collector.storage.documents import DocumentTable
from dashboard.analytics.executor import CACHE_SECONDS
from dashboard.analytics.query import Result
from dashboard.analytics.service import StatsService
from tests.dashboard.analytics.test_metric_definitions import COUNTS, DIMENSIONS
from tests.model import Model, Question
from tests.questions import cells, query_of
from tests.towns import FIRST, SITE, ZONE, random_events

DAY = datetime.timedelta(days=1)
AUTUMN = datetime.date(2026, 10, 25)
PAGE_A = [["is", "event:page", ["/a"]]]


class House:
    """A site's events, its rollups, and the service that answers; `now` passes only when a test says so."""

    def __init__(self, clickhouse: ClickHouse, database: Client) -> None:
        self.now = 0.0
        self.database = database
        self.sites = Sites(DocumentTable(database, "sites", Site), lambda: self.now)
        anyio.run(self.sites.add, Site(domain=SITE, timezone=ZONE))
        self.rollup = RollupJob(database, self.sites, lambda: self.now)
        self.stats = StatsService(
            lambda settings: clickhouse.client(readonly=True, settings=settings),
            workers=2,
            cache_seconds=CACHE_SECONDS,
            clock=lambda: self.now,
        )
        self._batches = 0

    def insert(self, events: Sequence[Event]) -> None:
        """Store events, and tell the rollup of them, as the writer does."""
        self._batches += 1
        ClickHouseInserter(self.database).insert(list(events), f"batch {self._batches}")
        self.rollup.on_insert(list(events))

    def ask(self, *questions: Question) -> list[Result]:
        """The answers."""
        return asyncio.run(self.stats.run([query_of(each) for each in questions]))

    def agree(self, events: Sequence[Event], first: datetime.date, last: datetime.date, zone: str = ZONE) -> None:
        """Whether every dimension is as the model has it, unfiltered and filtered."""
        model = Model(events, min_visitors=3)
        questions = [Question(SITE, names, first, last, by, zone=zone) for by, names in DIMENSIONS.items()]
        questions += [Question(SITE, COUNTS, first, last, by, PAGE_A, zone=zone) for by in ((), ("visit:country",))]
        questions.append(Question(SITE, ("visitors", "visits", "pageviews"), last, last, ("time:hour",), zone=zone))
        for question, result in zip(questions, self.ask(*questions), strict=True):
            shown = {
                row.dimensions: cells(question, row) for row in result.rows if not row.hidden and not result.hidden
            }
            assert shown == model.rows(question), question

    def close(self, day: datetime.date, zone: str = ZONE) -> int:
        """A minute after the date may be closed, close what is due."""
        self.now = Zone(zone).bounds(day)[1] + GRACE_SECONDS + 60
        return self.rollup.close_due()


@pytest.fixture
def house(clickhouse: ClickHouse, database: Client) -> Iterator[House]:
    """An empty house with default settings."""
    opened = House(clickhouse, database)
    yield opened
    opened.stats.close()


@pytest.mark.parametrize("first", [FIRST, AUTUMN - DAY], ids=["plain days", "the day of 25 hours"])
def test_a_day_is_the_same_before_and_after_it_closes(house: House, first: datetime.date) -> None:
    """One minute before, one minute after; with every dimension and metric."""
    events = [event for event in random_events(11, 7, 8) if first <= event.day <= first + DAY]
    house.insert(events)
    house.now = Zone(ZONE).bounds(first + DAY)[1] + GRACE_SECONDS - 60
    house.rollup.close_due()
    house.agree(events, first, first + DAY)
    assert house.close(first + DAY) == 1
    house.agree(events, first, first + DAY)


def test_breakdowns_that_no_filter_cuts_are_one_statement(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Of closed days with the open one, and none where all days are closed and were asked for before."""
    events = random_events(14, 2, 8)
    house.insert([event for event in events if event.day == FIRST])
    house.close(FIRST)
    names = ("visit:source", "event:page", "visit:country", "visit:browser")

    def executed(last: datetime.date) -> int:
        caplog.clear()
        questions = [Question(SITE, ("visitors",), FIRST, last, (name,), zone=ZONE) for name in names]
        for question, result in zip(questions, house.ask(*questions), strict=True):
            shown = {row.dimensions: row.metrics for row in result.rows}
            assert shown == Model(events, min_visitors=3).rows(question)
        return sum("c_visitors" in record.getMessage() for record in caplog.records)

    with caplog.at_level(logging.DEBUG, "dashboard.analytics.executor"):
        assert executed(FIRST) == 1
        house.insert([event for event in events if event.day > FIRST])
        assert executed(FIRST) == 0
        assert executed(FIRST + DAY) == 1


def test_breakdowns_under_a_filter_are_one_statement(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever of them are stored columns, also where one of them has small groups; and each row is right."""
    events = random_events(14, 2, 8)
    house.insert(events)
    names = ("visit:source", "event:page", "visit:country", "visit:browser")
    questions = [
        Question(SITE, ("visitors", "pageviews")[: index % 2 + 1], FIRST, FIRST + DAY, (name,), PAGE_A, zone=ZONE)
        for index, name in enumerate(names)
    ]
    with caplog.at_level(logging.DEBUG, "dashboard.analytics.executor"):
        results = house.ask(*questions)
    model = Model(events, min_visitors=3)
    for question, result in zip(questions, results, strict=True):
        assert {row.dimensions: cells(question, row) for row in result.rows} == model.rows(question), question
    assert sum("ARRAY JOIN" in record.getMessage() for record in caplog.records) == 1


def test_events_that_arrive_late_are_counted_at_once(house: House) -> None:
    """The day is answered from its events until it has been built again."""
    events = random_events(12, 2, 8)
    late = [event for event in events if event.visitor % 5 == 0]
    house.insert([event for event in events if event not in late])
    house.close(FIRST + DAY)
    house.insert(late)
    house.agree(events, FIRST, FIRST + DAY)
    assert house.rollup.close_due() > 0
    house.agree(events, FIRST, FIRST + DAY)


def test_erased_visitors_are_gone_from_closed_days(house: House) -> None:
    """From all figures of the day, before and after it has been built again."""
    events = random_events(13, 2, 8)
    house.insert(events)
    house.close(FIRST + DAY)
    gone = next(event for event in events if event.visitor and event.day == FIRST)
    house.database.command(
        "DELETE FROM events WHERE site = {site:String} AND visitor = {visitor:UInt64}",
        parameters={"site": SITE, "visitor": gone.visitor},
    )
    left = [event for event in events if event.visitor != gone.visitor]
    house.rollup.reopen_day(SITE, FIRST)
    house.agree(left, FIRST, FIRST + DAY)
    house.rollup.rebuild_days(SITE, [FIRST])
    house.agree(left, FIRST, FIRST + DAY)


def test_a_range_that_begins_before_the_retention_says_so(house: House) -> None:
    """Without a filter nothing is missing; a filtered view is of the days that have events, and says from which."""
    events = random_events(14, 3, 8)
    house.insert(events)
    house.close(FIRST + 2 * DAY)
    house.database.command(
        "DELETE FROM events WHERE site = {site:String} AND day = {day:Date}", parameters={"site": SITE, "day": FIRST}
    )
    whole = Question(SITE, COUNTS, FIRST, FIRST + 2 * DAY, zone=ZONE)
    by_page = replace(whole, dimensions=("event:page",), metrics=("visitors", "pageviews"))
    filtered = replace(whole, filters=[["is", "visit:browser", ["Chrome"]]])
    total, pages, part = house.ask(whole, by_page, filtered)
    assert {row.dimensions: row.metrics for row in total.rows} == Model(events).rows(whole)
    assert {row.dimensions: row.metrics for row in pages.rows} == Model(events).rows(by_page)
    assert (total.events_available_from, pages.events_available_from) == ("", "")
    left = [event for event in events if event.day > FIRST]
    assert {row.dimensions: row.metrics for row in part.rows} == Model(left, min_visitors=3).rows(filtered)
    assert part.events_available_from == str(FIRST + DAY)


def test_past_days_stay_as_they_are_when_the_time_zone_changes(house: House) -> None:
    """Open and closed ones."""
    events = random_events(15, 3, 8)
    house.insert(events)
    house.close(FIRST)
    house.now = Zone(ZONE).bounds(FIRST + DAY)[1] + 60
    site = house.sites.get(SITE)
    assert site is not None
    anyio.run(house.sites.change, msgspec.structs.replace(site, timezone="Asia/Tokyo"))
    model, last = Model(events), FIRST + 2 * DAY
    question = Question(SITE, COUNTS, FIRST, last, ("time:day",), zone="Asia/Tokyo")
    for closed in (False, True):
        if closed:
            house.close(last, "Asia/Tokyo")
        (result,) = house.ask(question)
        assert {row.dimensions: cells(question, row) for row in result.rows} == model.rows(question)
