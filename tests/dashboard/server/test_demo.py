"""The demonstration: its timeline holds what a real collector would have stored, and filling it doubles nothing."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.core.errors import InsertRetryable, RecordError
from collector.core.timezones import Zone
from collector.enrichment.referrer import read_origin
from collector.enrichment.urls import clean_path, read_page
from collector.enrichment.user_agent import UserAgentParser
from collector.ingest.event import Event
from collector.ingest.visits import IDLE_SECONDS
from collector.spool.clickhouse_inserter import ClickHouseInserter
from dashboard.server.demo.profiles import ARRIVALS, CAMPAIGN, PAGES, WEBSITE, WEEKDAY_DEVICES, DemoArrival
from dashboard.server.demo.timeline import BATCH, DemoPlan, Timeline, fill

# Tuesday 3 March 2026, 14:20 in Stockholm.
NOW = 1_772_544_000
PLAN = DemoPlan(events=12_000, days=20, seed=7)
QUARTER = DemoPlan()
SITE = PLAN.site(NOW)


class Shelf:
    """An inserter that keeps events in memory, once per token, as ClickHouse does; it can run out of luck."""

    def __init__(self, fails_after: int = 1_000_000) -> None:
        self.tokens: set[str] = set()
        self.events: list[Event] = []
        self.fails_after = fails_after

    def insert(self, events: Sequence[Event], token: str) -> None:
        if self.fails_after == 0:
            raise InsertRetryable("out of luck")
        self.fails_after -= 1
        if token not in self.tokens:
            self.tokens.add(token)
            self.events.extend(events)


def all_events(plan: DemoPlan = PLAN) -> list[Event]:
    timeline = Timeline(plan, SITE, NOW)
    return list(timeline.between(timeline.begins, NOW + 1))


def by_visit(events: list[Event]) -> dict[tuple[int, int], list[Event]]:
    """Events with consent, by their visit."""
    visits = defaultdict(list)
    for event in events:
        if event.visitor:
            visits[event.visitor, event.visit].append(event)
    return visits


def test_the_same_seed_draws_the_same_events() -> None:
    """Two runs agree in every column; another seed does not."""
    assert all_events() == all_events()
    other = Timeline(DemoPlan(events=12_000, days=20, seed=8), SITE, NOW)
    assert all_events()[:100] != list(other.between(other.begins, NOW))[:100]


@pytest.mark.parametrize("plan", [DemoPlan(events=3_000, days=3), PLAN, DemoPlan(events=60_000, days=90, seed=3)])
def test_as_many_events_as_were_asked_for(plan: DemoPlan) -> None:
    """About so many: within a tenth."""
    assert len(all_events(plan)) == pytest.approx(plan.events, rel=0.1)


def test_nothing_lies_in_the_future_or_outside_its_day() -> None:
    """The timeline ends now, in the site's zone, and covers every day asked for."""
    events, zone = all_events(), Zone(SITE.timezone)
    assert max(event.ts for event in events) <= NOW
    assert all(event.day == zone.date(event.ts) for event in events)
    assert {event.day for event in events} == {
        datetime.date(2026, 3, 3) - datetime.timedelta(days=n) for n in range(20)
    }
    assert all(event.expires == event.day + datetime.timedelta(days=SITE.retention_days) for event in events)


def test_additive_columns_are_what_a_recomputation_gives() -> None:
    """Visits, bounces and seconds summed over events are the visits' own, and each event carries its entry page."""
    for (_, began), events in by_visit(all_events()).items():
        counted = [event for event in events if event.name != "engagement"]
        assert events[0].ts == began
        assert [event.visits for event in events] == [1] + [0] * (len(events) - 1)
        assert sum(event.bounces for event in events) == int(len(counted) == 1)
        assert sum(event.seconds for event in events) == counted[-1].ts - began
        assert {event.entry_page for event in events} == {events[0].page}
        assert events[0].name == "pageview"


def test_a_visit_keeps_its_source_and_device() -> None:
    """What a visit came with is the same on all of its events."""
    names = ("source", "channel", "referrer", "utm_campaign", "country", "browser", "os", "device", "size", "consent")
    for events in by_visit(all_events()).values():
        assert len({tuple(getattr(event, name) for name in names) for event in events}) == 1


def test_visits_of_a_visitor_are_apart_and_within_one_day() -> None:
    """Half an hour lies between two visits, none within one, and no visitor is seen on two days."""
    visitors = defaultdict(list)
    for event in all_events():
        if event.visitor:
            visitors[event.visitor].append(event)
    returned = 0
    for events in visitors.values():
        assert len({event.day for event in events}) == 1
        for before, after in pairwise(events):
            new = after.visit != before.visit
            returned += new
            assert (after.ts - before.ts >= IDLE_SECONDS) == new
    assert returned > 50


def test_it_looks_like_a_website() -> None:
    """Weekdays are busier than weekends, days than nights, the end than the beginning; the campaign stands out."""
    firsts = [event for event in all_events(DemoPlan(events=60_000, days=30)) if event.visits]
    days = Counter(event.day for event in firsts)
    weekend = [count for day, count in days.items() if day.weekday() >= 5]
    weekday = [count for day, count in days.items() if day.weekday() < 5]
    assert sum(weekday) / len(weekday) > 1.2 * sum(weekend) / len(weekend)
    hours = Counter(event.ts // 3600 % 24 for event in firsts)
    assert hours[9] > 8 * hours[2]
    ordered = [days[day] for day in sorted(days)]
    assert sum(ordered[-9:-2]) > 1.25 * sum(ordered[:7])
    peak = max(days, key=days.__getitem__)
    campaign = Counter(event.day for event in firsts if event.utm_campaign == "winter-fair")
    assert max(campaign, key=campaign.__getitem__) == peak
    pages = [count for _, count in Counter(event.entry_page for event in firsts).most_common()]
    assert pages[0] > 1.5 * pages[1] > 2.2 * pages[4] > 4 * pages[-1]
    bounced = sum(event.bounces for event in all_events()) / sum(event.visits for event in all_events())
    assert 0.35 < bounced < 0.55


def test_people_do_more_than_read() -> None:
    """Custom events with properties and revenue, and engagement on pages, are there in plausible shares."""
    events = all_events(DemoPlan(events=60_000, days=30))
    names = Counter(event.name for event in events)
    assert {"Add to Cart", "Purchase", "Booking", "Newsletter Signup", "Outbound Link: Click"} < set(names)
    assert names["Purchase"] < names["Add to Cart"] < names["engagement"] < names["pageview"]
    sales = [event for event in events if event.currency]
    assert {event.name for event in sales} == {"Purchase", "Booking"}
    assert all(event.revenue > 0 and (event.currency == "SEK") == (event.country == "SE") for event in sales)
    assert all(0 < event.scroll <= 100 and event.engaged > 0 for event in events if event.name == "engagement")


def test_it_has_a_quarter_to_compare_and_a_banner_that_changes() -> None:
    """Ninety days under `limited`: about two thirds of the pageviews came with consent, and fewer do since the banner
    was changed; without consent nothing is known but page, minute, referring host and device type."""
    events = all_events(QUARTER)
    assert SITE.consent == "limited"
    assert len({event.day for event in events}) == 90
    views = [event for event in events if event.name == "pageview"]
    days = sorted({event.day for event in views})
    consented = Counter(event.day for event in views if event.visitor)
    counted = Counter(event.day for event in views)
    early, late = (
        sum(consented[day] for day in part) / sum(counted[day] for day in part) for part in (days[:81], days[82:])
    )
    assert 0.5 < late < early - 0.1 < 0.7
    blank = Event(site=SITE.domain, day=days[0], ts=0, visitor=0, visit=0, name="pageview", consent="none",
                  expires=days[0])  # fmt: skip
    known = {"day", "ts", "hostname", "page", "referrer", "device", "expires"}
    for event in views:
        if not event.visitor:
            assert event.ts % 60 == 0
            assert "/" not in event.referrer
            fields = {name: getattr(event, name) for name in Event.__struct_fields__ if name not in known}
            assert fields == {name: getattr(blank, name) for name in fields}


def test_it_has_ways_to_the_till() -> None:
    """Of those who land, fewer see a product, the cart, the checkout, and the thanks, on which all that is bought is
    paid, by the same visit and in this order."""
    visits = by_visit(all_events(QUARTER))
    steps = (*WEBSITE.till.steps,)
    reached = Counter[str]()
    for events in visits.values():
        pages = [event.page for event in events if event.name == "pageview"]
        reached["landing"] += 1
        reached["product"] += any(page in WEBSITE.prices for page in pages)
        reached.update({page for page in pages if page in steps})
        places = [pages.index(page) for page in steps if page in pages]
        assert places == sorted(places)
        assert {event.page for event in events if event.name == "Purchase"} <= {steps[-1]}
        assert (steps[-1] in pages) == any(event.name == "Purchase" for event in events)
    ordered = [reached[name] for name in ("landing", "product", *steps)]
    assert ordered == sorted(ordered, reverse=True)
    assert ordered[0] > 3 * ordered[2] > 3 * ordered[-1] > 100


def test_its_pages_are_clean_already() -> None:
    """Paths look as the collector would leave them."""
    assert [clean_path(page) for page in PAGES] == list(PAGES)
    assert {event.page for event in all_events()} <= set(PAGES)


@pytest.mark.parametrize("arrival", [*ARRIVALS.values, *CAMPAIGN.values])
def test_its_sources_are_those_that_the_collector_derives(arrival: DemoArrival) -> None:
    """A visit with this referrer and these tags would get the same source, channel and medium."""
    tags = {name: getattr(arrival, name) for name in ("utm_source", "utm_medium", "utm_campaign", "utm_content")}
    if arrival.click_id:
        tags = {arrival.click_id: "x"}
    url = "https://demo.localhost/?" + urlencode({name: value for name, value in tags.items() if value})
    referrer = f"https://{arrival.referrer}" if arrival.referrer else ""
    origin = read_origin(referrer, read_page(url, hash_mode=False))
    given = (arrival.referrer, arrival.source, arrival.channel, arrival.utm_medium)
    assert given == (origin.referrer, origin.source, origin.channel, origin.medium)


BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    "user_agent",
    [
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Chrome/155.0.0.0 Safari/537.36",
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Chrome/155.0.0.0 Safari/537.36 Edg/155.0.0.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/26.1 Safari/605.1.15",
        "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Chrome/155.0.0.0 Safari/537.36",
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {WEBKIT} Version/26.1 Mobile/15E148 Safari/604.1",
        f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Chrome/155.0.0.0 Mobile Safari/537.36",
        f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0",
        f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {WEBKIT} Version/18.6 Mobile/15E148 Safari/604.1",
    ],
)
def test_its_devices_are_such_as_the_collector_reads(user_agent: str) -> None:
    """Browsers and systems go by the same names and versions as those of real visitors."""
    read = UserAgentParser().read(user_agent)
    drawn = {device[:5] for device in WEEKDAY_DEVICES.values}
    assert (read.browser, read.browser_version, read.os, read.os_version, read.kind) in drawn


def test_a_slice_at_a_time_gives_the_whole() -> None:
    """Cutting the timeline anywhere loses nothing and doubles nothing."""
    timeline = Timeline(PLAN, SITE, NOW)
    cuts = [timeline.begins, timeline.begins + 86_400 * 3 + 4_711, NOW - 7_200, NOW + 1]
    sliced = [event for since, until in pairwise(cuts) for event in timeline.between(since, until)]
    assert sliced == all_events()


def test_starting_again_adds_only_what_has_happened_since(tmp_path: Path) -> None:
    """A second start at the same moment adds nothing; one two hours later adds two hours."""
    shelf = Shelf()
    first = fill(PLAN, SITE, shelf, tmp_path, NOW)
    assert first == len(shelf.events) == len(all_events())
    assert fill(PLAN, SITE, shelf, tmp_path, NOW) == 0
    assert fill(PLAN, SITE, shelf, tmp_path, NOW + 7_200) > 0
    assert {event.ts > NOW for event in shelf.events[first:]} == {True}
    assert max(event.ts for event in shelf.events) <= NOW + 7_200


def test_a_crash_in_the_middle_doubles_nothing(tmp_path: Path) -> None:
    """What a crash cut short is sent again under the same tokens, though time has gone on."""
    plan = DemoPlan(events=60_000, days=20, seed=7)
    shelf = Shelf(fails_after=2)
    with pytest.raises(InsertRetryable):
        fill(plan, SITE, shelf, tmp_path, NOW)
    assert len(shelf.events) == 2 * BATCH
    shelf.fails_after = 1_000
    fill(plan, SITE, shelf, tmp_path, NOW + 600)
    timeline = Timeline(plan, SITE, NOW)
    assert shelf.events == list(timeline.between(timeline.begins, NOW + 601))


def test_another_plan_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    """It would lie on top of the first; the message names both ways out."""
    fill(PLAN, SITE, Shelf(), tmp_path, NOW)
    with pytest.raises(RecordError, match="TYST_DATA_DIR"):
        fill(DemoPlan(events=100, days=2), SITE, Shelf(), tmp_path, NOW)


def test_it_stands_in_clickhouse_once(database: Client, tmp_path: Path) -> None:
    """The sums in ClickHouse are those of the events, also when the note of what was filled is lost."""
    inserter = ClickHouseInserter(database)
    fill(PLAN, SITE, inserter, tmp_path, NOW)
    (tmp_path / "demo.json").unlink()
    fill(PLAN, SITE, inserter, tmp_path, NOW)
    events = all_events()
    row = database.query(
        "SELECT count(), sum(visits), sum(bounces), sum(seconds), uniqExact(visitor), sum(revenue) FROM events"
    ).result_rows[0]
    assert row == (
        len(events),
        sum(event.visits for event in events),
        sum(event.bounces for event in events),
        sum(event.seconds for event in events),
        len({event.visitor for event in events}),  # anonymous events have one number, too
        sum(event.revenue for event in events),
    )


def test_an_arrival_has_the_columns_of_an_event() -> None:
    """The tables of the demonstration cannot drift from the columns they fill."""
    assert set(DemoArrival._fields) - {"bounce", "landing"} <= set(Event.__struct_fields__)
    assert msgspec.json.decode(msgspec.json.encode(PLAN), type=DemoPlan) == PLAN
