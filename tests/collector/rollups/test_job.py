"""Closing the day: when, how often, and what counts meanwhile."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from collector.ingest.event import Event
from collector.ingest.payload_fields import MOST_REVENUE, money_of
from collector.rollups.build import MOST_LOOKS, MOST_PROPERTIES, VERSIONS, versions_at
from collector.rollups.job import RollupJob, RollupSchedule
from collector.rollups.sql import BUILD
from collector.sites.model import Site
from collector.sites.registry import Sites
from collector.spool.clickhouse_inserter import ClickHouseInserter
from collector.storage.documents import DocumentTable
from collector.storage.membership import NUMBERS
from dashboard.analytics.filters import is_
from dashboard.analytics.property_keys import property_keys
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from tests.dashboard.analytics.test_service import ALL, MONDAY, NOON, SITE, STORY, ask, dates, event, seed, table
from tests.dashboard.analytics.test_service import store as store  # the fixture

DAY = datetime.timedelta(days=1)


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: float = float(NOON)

    def __call__(self) -> float:
        return self.now

    def at(self, day: datetime.date, hour: int, minute: int = 0) -> None:
        """Set it to a time in UTC."""
        self.now = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=datetime.UTC).timestamp()


@dataclass
class Town:
    """A site with its rollup."""

    database: Client
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.sites = Sites(DocumentTable(self.database, "sites", Site))
        self.zone("UTC")
        self.rollup = RollupJob(self.database, self.sites, self.clock)

    def zone(self, name: str) -> None:
        """Give the site a time zone."""
        asyncio.run(self.sites.change(Site(domain=SITE, timezone=name)))

    def due(self) -> list[datetime.date]:
        """Dates that a rollup just started would build."""
        return [closing.day for closing in RollupJob(self.database, self.sites, self.clock).due()]

    def rows(self, sql: str) -> Sequence[Any]:
        """Rows of a query."""
        found: Sequence[Any] = self.database.query(sql).result_rows
        return found


@pytest.fixture
def town(database: Client) -> Town:
    """The site of the story, on its day."""
    return Town(database)


SUMS = "SELECT dimension, value, visitors, pageviews FROM daily_rollup ORDER BY dimension, value, version"


def test_a_day_is_closed_half_an_hour_after_it_is_over(town: Town) -> None:
    """Not a second before: a visit may cross midnight."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 0, 29)
    assert town.rollup.close_due() == 0
    town.clock.at(MONDAY + DAY, 0, 30)
    assert town.rollup.close_due() == 1
    assert ("visit:source", "Google", 1, 2) in town.rows(SUMS)
    assert town.rollup.close_due() == 0


@pytest.mark.parametrize(
    ("zone", "day", "closes"),
    [
        ("Europe/Stockholm", datetime.date(2026, 3, 28), (2026, 3, 28, 23, 30)),
        ("Europe/Stockholm", datetime.date(2026, 3, 29), (2026, 3, 29, 22, 30)),
        ("Europe/Stockholm", datetime.date(2026, 10, 25), (2026, 10, 25, 23, 30)),
        ("Asia/Kathmandu", datetime.date(2026, 3, 2), (2026, 3, 2, 18, 45)),
        ("Asia/Kolkata", datetime.date(2026, 3, 2), (2026, 3, 2, 19, 0)),
        ("Pacific/Kiritimati", datetime.date(2026, 3, 2), (2026, 3, 2, 10, 30)),
        ("America/St_Johns", datetime.date(2026, 3, 8), (2026, 3, 9, 3, 0)),
    ],
)
def test_a_day_ends_by_the_sites_clock(town: Town, zone: str, day: datetime.date, closes: tuple[int, ...]) -> None:
    """Across daylight saving, and in zones of half and quarter hours."""
    town.zone(zone)
    seed(town.database, [event(1, "/", day=day)])
    year, month, date, hour, minute = closes
    moment = datetime.datetime(year, month, date, hour, minute, tzinfo=datetime.UTC).timestamp()
    town.clock.now = moment - 1
    assert town.due() == []
    town.clock.now = moment
    assert town.due() == [day]


def test_days_without_events_are_closed_too(town: Town) -> None:
    """So that a gap is not scanned for each question."""
    seed(town.database, [event(1, "/"), event(2, "/", day=MONDAY + 3 * DAY)])
    town.clock.at(MONDAY + 5 * DAY, 12)
    assert town.rollup.close_due() == 5
    assert [(day, rows) for _, day, rows in town.rows("SELECT site, day, rows FROM daily_status ORDER BY day")] == [
        (MONDAY + number * DAY, count) for number, count in enumerate((1, 0, 0, 1, 0))
    ]


def test_closing_changes_no_answer(town: Town, store: StatsService) -> None:
    """Before, after, and after building again: whole site and by every dimension."""
    seed(town.database, STORY)
    asked = [Query(SITE, ALL, dates(MONDAY, MONDAY))]
    asked += [
        Query(SITE, ("visitors", "visits", "pageviews", "bounce_rate"), dates(MONDAY, MONDAY), (name,))
        for name in ("visit:source", "event:page", "visit:exit_page", "event:goal", "time:day", "event:hostname")
    ]
    asked += [Query(SITE, ("time_on_page", "scroll_depth"), dates(MONDAY, MONDAY), ("event:page",))]
    before = asyncio.run(store.run(asked))
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    town.database.command("TRUNCATE TABLE events")
    assert asyncio.run(store.run([asked[0]])) == [before[0]]
    seed(town.database, STORY)
    assert asyncio.run(store.run(asked)) == before
    list(town.rollup.rebuild(SITE, MONDAY, MONDAY))
    assert asyncio.run(store.run(asked)) == before


@pytest.mark.parametrize("later", [0, 1])
def test_two_collectors_may_close_the_same_day(town: Town, store: StatsService, later: int) -> None:
    """What counts is one of the builds, whole; also where both are of the same moment."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    other = RollupJob(town.database, town.sites, town.clock, builder=lambda: 1)
    due = other.due()
    town.rollup.close_due()
    town.clock.now += later
    other.close(due)
    assert ask(store, "visitors", "pageviews").rows[0].metrics == (3, 5)
    assert town.due() == []


class CutOff(RollupJob):
    """One that ends when the rows of its days are stored."""

    def _build(self, site: str, days: Sequence[datetime.date], versions: int) -> frozenset[datetime.date]:
        super()._build(site, days, versions)
        raise ConnectionError


def test_a_collector_that_ends_while_another_closes_the_same_day_doubles_nothing(
    town: Town, store: StatsService
) -> None:
    """Its rows, of the same moment, have versions that nobody else's have; nor has what it builds again then."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    other = CutOff(town.database, town.sites, town.clock, builder=lambda: 1)
    due = other.due()
    town.rollup.close_due()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            other.close(due)
    assert len(town.rows("SELECT DISTINCT version FROM daily_rollup")) == 3
    assert ask(store, "visitors", "pageviews").rows[0].metrics == (3, 5)


def test_versions_of_the_last_collector_are_of_its_second() -> None:
    """Whatever day it builds, and whether from events or from an import."""
    last = versions_at(7.9, builder=NUMBERS - 1, imported=True) + VERSIONS
    assert versions_at(7.0) < last <= versions_at(8.0)


def test_a_build_that_was_cut_off_counts_for_nothing(town: Town, store: StatsService) -> None:
    """Its rows have a version that no record names; the day is built again, and the remains are swept away."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    town.database.command(BUILD, parameters={"site": SITE, "days": [MONDAY], "versions": 7, "events": "events"})
    assert ask(store, "visitors").rows[0].metrics == (3,)
    assert town.rollup.close_due() == 1
    assert ask(store, "visitors").rows[0].metrics == (3,)
    town.clock.now += 3600
    RollupJob(town.database, town.sites, town.clock).close_due()
    assert len(town.rows("SELECT DISTINCT version FROM daily_rollup")) == 1
    assert ask(store, "visitors").rows[0].metrics == (3,)


def late_row(visitor: int) -> Event:
    """An event of the Monday that comes when the day is closed."""
    return event(visitor, "/late", 1)


def insert(town: Town, events: Sequence[Event], token: str) -> None:
    """StatsService more events."""
    ClickHouseInserter(town.database).insert(events, token)


def test_rows_that_come_late_are_counted_at_once(town: Town, store: StatsService) -> None:
    """The writer notes them: the day counts as open until it is built again."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    insert(town, [late_row(9)], "late")
    town.rollup.on_insert([late_row(9)])
    assert ask(store, "visitors").rows[0].metrics == (4,)
    assert town.rollup.close_due() == 1
    assert ask(store, "visitors").rows[0].metrics == (4,)
    assert table(ask(store, "visitors", dimensions=("event:page",)))["/late",] == (1,)


def test_late_rows_that_nobody_noted_are_found(town: Town, store: StatsService) -> None:
    """A process that was killed between insert and note: the next pass sees more rows than the build did."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    insert(town, [late_row(9)], "late")
    assert RollupJob(town.database, town.sites, town.clock).close_due() == 1
    assert ask(store, "visitors").rows[0].metrics == (4,)


def test_days_of_tables_that_were_put_in_place_are_built_however_old(town: Town) -> None:
    """As of a restored backup, whose last days were open."""
    town.clock.at(MONDAY + 30 * DAY, 1)
    town.rollup.close_due()
    seed(town.database, STORY)
    assert town.rollup.close_due() == 0
    replace_tables(town.database)
    assert town.rollup.close_due() > 0


def test_a_build_whose_tables_were_replaced_meanwhile_counts_for_nothing(town: Town, store: StatsService) -> None:
    """As by another collector that restores a backup: its rows are gone with the former table."""

    class Interrupted(RollupJob):
        def _build(self, site: str, days: Sequence[datetime.date], versions: int) -> frozenset[datetime.date]:
            built = super()._build(site, days, versions)
            replace_tables(town.database)
            return built

    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    before = ask(store, "visitors").rows[0].metrics
    with pytest.raises(OperationalError, match="restored"):
        Interrupted(town.database, town.sites, town.clock).close_due()
    assert ask(store, "visitors").rows[0].metrics == before
    assert town.rollup.close_due() == 1
    assert ask(store, "visitors").rows[0].metrics == before


def replace_tables(database: Client) -> None:
    """Put empty tables in the place of those of rollups, as a restoration does with those of a backup."""
    for name in ("daily_rollup", "daily_status"):
        database.command(f"CREATE TABLE former AS {name}")
        database.command(f"EXCHANGE TABLES {name} AND former")
        database.command("DROP TABLE former SYNC")


def test_replaced_builds_are_swept_away(town: Town) -> None:
    """Once no question can be reading them any more; the values of the newest stay."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    once = town.rows(SUMS)
    town.clock.now += 60
    assert [closing.day for closing in town.rollup.rebuild(SITE, MONDAY, MONDAY)] == [MONDAY]
    assert len(town.rows(SUMS)) == 2 * len(once)
    town.clock.now += 3600
    town.rollup.close_due()
    assert town.rows(SUMS) == once


def test_expired_events_leave_their_sums(town: Town, store: StatsService) -> None:
    """Raw rows go when their retention is over; the day is not built again from what is left."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    town.database.command("DELETE FROM events WHERE visitor = 1")
    assert town.due() == []
    assert list(town.rollup.rebuild(SITE, MONDAY, MONDAY)) == []
    assert ask(store, "visitors").rows[0].metrics == (3,)


def test_a_new_time_zone_moves_no_stored_day(town: Town, store: StatsService) -> None:
    """A day is a label on its rows; later rows of the same label make it be built again."""
    town.zone("Pacific/Kiritimati")
    seed(town.database, STORY)
    town.clock.at(MONDAY, 11)
    assert town.rollup.close_due() == 1
    town.zone("America/Los_Angeles")
    insert(town, [late_row(9)], "west")
    town.clock.at(MONDAY + DAY, 8, 30)
    assert town.rollup.close_due() == 1
    assert ask(store, "visitors").rows[0].metrics == (4,)


def test_sites_do_not_share_sums(town: Town, store: StatsService) -> None:
    """A site that is not registered is not built; its events are still answered."""
    seed(town.database, [*STORY, event(7, "/", site="other.example")])
    town.clock.at(MONDAY + DAY, 12)
    assert town.rollup.close_due() == 1
    assert ask(store, "visitors").rows[0].metrics == (3,)
    assert ask(store, "visitors", site="other.example").rows[0].metrics == (1,)


def test_a_range_joins_sums_and_events(town: Town, store: StatsService) -> None:
    """Monday is closed, Tuesday is not."""
    tuesday = [event(1, "/", 86_400, day=MONDAY + DAY), event(5, "/new", 86_400, day=MONDAY + DAY, source="Google")]
    seed(town.database, [*STORY, *tuesday])
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    both = dates(MONDAY, MONDAY + DAY)
    assert ask(store, "visitors", "pageviews", period=both).rows[0].metrics == (5, 7)
    assert table(ask(store, "visitors", dimensions=("visit:source",), period=both)) == {
        ("Google",): (2,), ("Direct / None",): (2,), ("Bing",): (1,),
    }  # fmt: skip
    by_day = ask(store, "visitors", dimensions=("time:day", "event:page"), period=both)
    assert [(row.dimensions, row.metrics) for row in by_day.rows] == [
        ((str(MONDAY), "/"), (2,)), ((str(MONDAY), "/pricing"), (2,)),
        ((str(MONDAY + DAY), "/"), (1,)), ((str(MONDAY + DAY), "/new"), (1,)),
    ]  # fmt: skip


def test_a_closed_day_has_a_version_of_its_own_even_when_the_clock_stands(town: Town) -> None:
    """Building twice in one instant still tells the builds apart."""
    seed(town.database, STORY)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    [(version,)] = town.rows("SELECT version FROM daily_status")
    town.rollup.close([RollupSchedule(SITE, MONDAY, len(STORY), version)])
    [(newer,)] = town.rows("SELECT version FROM daily_status FINAL")
    assert newer > version


def sold(visitor: int, at: int, amount: str, **columns: Any) -> Event:
    """An order, with revenue."""
    return event(visitor, "/", at, name="Order", revenue=Decimal(amount), currency="SEK", **columns)


def test_many_of_the_largest_amount_are_summed(town: Town, store: StatsService) -> None:
    """Whatever amount a beacon may have, open days are answered, days are closed, and both say the same."""
    amount = MOST_REVENUE - Decimal("0.001")
    assert money_of(amount, "SEK") == (amount, "SEK")
    assert money_of(MOST_REVENUE, "SEK") is None
    seed(town.database, [*STORY, sold(7, 0, str(amount))])
    town.database.command(
        "INSERT INTO events SELECT e.* FROM events AS e CROSS JOIN numbers(79999) AS n WHERE name = 'Order'"
    )
    asked = {"dimensions": ("event:goal",), "filters": None}
    before = ask(store, "visitors", "total_revenue", **asked).rows
    town.clock.at(MONDAY + DAY, 1)
    assert town.rollup.close_due() == 1
    store.clear_cache()
    assert ask(store, "visitors", "total_revenue", **asked).rows == before
    assert [row.metrics for row in before if row.dimensions == ("Order",)] == [(1, float(80_000 * amount))]


def test_a_day_that_cannot_be_built_keeps_no_other_open(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database refuses of one site is said, after the days of all others are closed."""
    asyncio.run(town.sites.change(Site(domain="later.example")))
    seed(town.database, [*STORY, event(1, "/", site="later.example")])
    town.clock.at(MONDAY + DAY, 1)
    build = town.rollup._build

    def refused(site: str, *arguments: Any) -> frozenset[datetime.date]:
        if site == SITE:
            raise DatabaseError("Code: 407. Decimal math overflow")
        return build(site, *arguments)

    monkeypatch.setattr(town.rollup, "_build", refused)
    with pytest.raises(DatabaseError, match="407"):
        town.rollup.close_due()
    assert town.rows("SELECT site FROM daily_status FINAL WHERE NOT reopened") == [("later.example",)]
    monkeypatch.undo()
    assert town.rollup.close_due() == 1


def test_properties_and_revenue_come_from_sums(town: Town, store: StatsService) -> None:
    """Of a closed day nothing is read from events: also not for a property that nobody gave on it."""
    seed(
        town.database,
        [*STORY, sold(1, 5, "99.5", props={"plan": "pro"}), sold(2, 6, "0.5", props={"si'ze\\": "xl", "": "y"})],
    )
    day = dates(MONDAY, MONDAY)
    asked = [
        Query(SITE, ("visitors", "visits", "pageviews", "events"), day, (f"event:props:{name}",))
        for name in ("plan", "si'ze\\", "colour")
    ]
    asked += [Query(SITE, ("visitors", "total_revenue", "average_revenue"), day, ("event:goal",))]
    before = asyncio.run(store.run(asked))
    assert table(before[0]) == {("(none)",): (3, 3, 5, 6), ("pro",): (1, 1, 0, 2)}
    assert table(before[3])["Order",] == (2, 100.0, 50.0)
    town.clock.at(MONDAY + DAY, 12)
    town.rollup.close_due()
    town.database.command("TRUNCATE TABLE events")
    assert asyncio.run(store.run(asked)) == before


def test_days_built_together_have_the_sums_that_they_have_one_by_one(town: Town) -> None:
    """Each of its own events alone, also where one has a property, revenue or engagement and another has none."""
    tuesday, friday = MONDAY + DAY, MONDAY + 4 * DAY
    seed(
        town.database,
        [
            *STORY,
            event(1, "/", 86_400, day=tuesday, props={"plan": "free", "colour": "red"}),
            sold(2, 86_402, "7", day=tuesday),
            event(1, "/", 86_410, day=tuesday, name="engagement", engaged=900, scroll=40),
            event(1, "/late", 86_410, day=tuesday, name="engagement", engaged=5, scroll=4),
            *(event(number, "/", 345_600, day=friday, props={f"key {number}": "x"}) for number in range(1, 90)),
        ],
    )
    multiply(town, friday, MOST_LOOKS // 89**2 + 1)
    town.clock.at(friday + DAY, 12)
    found = []
    for most_events in (1, 100, 1_000_000):
        town.database.command("TRUNCATE TABLE daily_rollup")
        town.database.command("TRUNCATE TABLE daily_status")
        assert RollupJob(town.database, town.sites, town.clock, most_events=most_events).close_due() == 5
        [(builds,)] = town.rows("SELECT uniqExact(version) FROM daily_rollup")
        assert builds == 3
        found.append(town.rows("SELECT * EXCEPT version FROM daily_rollup ORDER BY ALL"))
        assert {schema for _, schema in town.rows("SELECT day, schema_version FROM daily_status")} == {3, 4}
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 90


def multiply(town: Town, day: datetime.date, times: int) -> None:
    """Have so many of each event of a day."""
    statement = (
        "INSERT INTO events SELECT e.* FROM events AS e CROSS JOIN numbers({n:UInt32}) AS n WHERE day = {day:Date}"
    )
    town.database.command(statement, parameters={"n": times - 1, "day": day})


def test_a_small_day_has_sums_of_many_properties(town: Town, store: StatsService) -> None:
    """They cost little, and are there when its events are not; and so are the properties' names, the most frequent
    first."""
    many = [event(number, "/", props={f"key {number}": "x", "all": "y"}) for number in range(1, 3 * MOST_PROPERTIES)]
    seed(town.database, many)
    town.clock.at(MONDAY + DAY, 12)
    assert town.rollup.close_due() == 1
    day = dates(MONDAY, MONDAY)
    names = asyncio.run(property_keys(store, SITE, day))
    town.database.command("TRUNCATE TABLE events")
    store.clear_cache()
    found = ask(store, "visitors", dimensions=("event:props:key 7",))
    assert table(found) == {("x",): (1,), ("(none)",): (3 * MOST_PROPERTIES - 2,)}
    assert (found.events_available_from, found.property_days_left_out) == ("", 0)
    assert asyncio.run(property_keys(store, SITE, day)) == names
    assert names[0] == "all"


def test_days_whose_properties_are_lost_are_told(town: Town, store: StatsService) -> None:
    """They had too many for sums, and their events are gone: other days are answered, and how many are not."""
    count = MOST_PROPERTIES + 1
    many = [event(number, "/", props={f"key {number}": "x"}) for number in range(1, count + 1)]
    seed(town.database, [*many, event(1, "/", 86_400, day=MONDAY + DAY, props={"key 7": "z"})])
    multiply(town, MONDAY, MOST_LOOKS // count**2 + 1)
    town.clock.at(MONDAY + 2 * DAY, 12)
    assert town.rollup.close_due() == 2
    town.database.command("TRUNCATE TABLE events")
    store.clear_cache()
    asked: dict[str, Any] = {"dimensions": ("event:props:key 7",), "period": dates(MONDAY, MONDAY + DAY)}
    found = ask(store, "visitors", **asked)
    assert table(found) == {("z",): (1,)}
    assert (found.events_available_from, found.property_days_left_out) == ("", 1)
    assert ask(store, "visitors", **asked, filters=is_("visit:country", "SE")).events_available_from == "never"


def test_a_day_with_too_many_properties_is_answered_from_its_events(town: Town, store: StatsService) -> None:
    """Its other sums are built; the day is not built again and again for it."""
    count = MOST_PROPERTIES + 1
    seed(town.database, [event(number, "/", props={f"key {number}": "x"}) for number in range(1, count + 1)])
    multiply(town, MONDAY, MOST_LOOKS // count**2 + 1)
    town.clock.at(MONDAY + DAY, 12)
    assert town.rollup.close_due() == 1
    assert town.due() == []
    assert town.rows("SELECT count() FROM daily_rollup WHERE dimension LIKE 'event:props:key%'") == [(0,)]
    found = table(ask(store, "visitors", dimensions=("event:props:key 7",)))
    assert found == {("x",): (1,), ("(none)",): (MOST_PROPERTIES,)}


def test_days_of_an_earlier_release_are_built_anew_after_all_others(town: Town, store: StatsService) -> None:
    """Until then properties are answered from their events; what has lost events stays as it was built."""
    tuesday, wednesday = MONDAY + DAY, MONDAY + 2 * DAY
    seed(town.database, [*STORY, event(1, "/", day=tuesday), event(2, "/", day=tuesday), event(1, "/", day=wednesday)])
    town.clock.at(MONDAY + 2 * DAY, 12)
    town.rollup.close_due()
    town.database.command(
        "INSERT INTO daily_status SELECT site, day, version + 1, rows, reopened, 0 FROM daily_status FINAL"
    )
    town.database.command("ALTER TABLE daily_rollup UPDATE version = version + 1 WHERE 1 SETTINGS mutations_sync = 2")
    town.database.command(
        "ALTER TABLE daily_rollup DELETE WHERE dimension LIKE 'event:props:%' SETTINGS mutations_sync = 2"
    )
    by_plan = {"dimensions": ("event:props:plan",), "period": dates(MONDAY, tuesday)}
    before = table(ask(store, "visitors", "pageviews", **by_plan))
    assert before == {("(none)",): (5, 7), ("pro",): (1, 0)}
    town.database.command("DELETE FROM events WHERE day = {day:Date} AND visitor = 2", parameters={"day": tuesday})
    town.clock.at(MONDAY + 3 * DAY, 12)
    assert town.due() == [wednesday, MONDAY]
    town.rollup.close_due()
    assert town.due() == []
    assert ask(store, "visitors", period=dates(tuesday, tuesday)).rows[0].metrics == (2,)
