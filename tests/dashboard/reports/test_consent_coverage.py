"""The consent page: which consent pageviews came with, what that hides, and that no small group is left over."""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from collector.ingest.event import Event
from collector.sites.model import Policy
from collector.storage.client import ClickHouse
from dashboard.analytics.query import OTHER, Result, Row
from dashboard.reports.consent_coverage import MOST_KINDS, ConsentReport, build_consent_report, consent_queries
from dashboard.reports.consent_splits import Split, by_name, by_source
from dashboard.reports.date_range import DEFAULT_SPAN, read_dates
from tests.board import NOON, SITE, Board, opened_board, pageview

LEAST = 3
DAY = 86_400


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """The dashboard over a site that counts without consent too, with default settings, its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, timezone="UTC", consent="limited")
        opened.clock.now = float(NOON + 3_600)
        opened.sign_in()
        yield opened


def bare(page: str = "/", at: int = NOON, **columns: Any) -> Event:
    """An anonymous count."""
    return pageview(0, page, at, consent="none", entry_page="", **columns)


def report_of(board: Board) -> ConsentReport:
    """The view model of the last thirty days."""
    site = board.site()
    now = datetime.datetime.fromtimestamp(board.clock(), datetime.UTC)
    dates = read_dates(DEFAULT_SPAN, site.timezone, now, None)
    results = anyio.run(board.dashboard.stats.run, consent_queries(site, dates))
    return build_consent_report(site, dates, results, [], board.clock())


def result(*rows: tuple[str, int]) -> Result:
    """Pageviews by these values."""
    return Result(("pageviews",), (), [Row((name,), (count,)) for name, count in rows])


def test_a_group_is_split_only_where_both_parts_add_up() -> None:
    """What was folded away on one side is not told by the other."""
    whole = result(("/a", 8), ("/b", 3), ("/c", 7), ("/d", 1))
    found = by_name(whole, result(("/a", 6), (OTHER, 2)), result(("/a", 2), ("/b", 3), ("/c", 6)))
    assert list(found.values()) == [
        Split("/a", 6, 2, 8), Split("/b", 0, 3, 3), Split("/c", None, None, 7), Split("/d", None, None, 1),
    ]  # fmt: skip
    assert [each.share for each in found.values()] == ["75%", "0%", "–", "–"]


def test_an_anonymous_count_has_the_source_of_its_host() -> None:
    """Hosts of one source are added up; where nothing referred, and for campaign tags, the source is unknown."""
    consented = result(("Google", 40), ("Direct / None", 30), ("newsletter", 5))
    referrers = result(("google.com", 20), ("google.se", 4), ("Direct / None", 90), ("blog.example", 7))
    assert by_source(consented, referrers) == [
        Split("Google", 40, 24), Split("Direct / None", 30, None), Split("newsletter", 5, None),
        Split("blog.example", None, 7),
    ]  # fmt: skip


def test_the_page_says_whether_there_is_anything_to_compare_with(board: Board) -> None:
    """Few people in the period before are no lack of data."""
    assert "to compare with" in board.get(f"/{SITE}/consent").text
    board.seed([pageview(1, "/", NOON - 40 * DAY), bare("/", NOON - 40 * DAY)])
    assert "to compare with" not in board.get(f"/{SITE}/consent").text


def test_one_visitor_who_agreed_is_not_what_is_left_of_a_page(board: Board) -> None:
    """Seven pageviews of which six are anonymous: the page says seven in all."""
    others = [event for number in range(1, 9) for event in (pageview(number, "/"), bare("/"))]
    board.seed([*others, pageview(20, "/rare"), *(bare("/rare") for _ in range(6))])
    page = board.get(f"/{SITE}/consent").text
    rows = {row[0]: row[1:] for table in _tables(page) for row in table}
    assert rows["/rare"] == ["7 in all"]
    assert ["/rare", "1", "6", "14%"] not in [row for table in _tables(page) for row in table]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_left_of_the_totals_is_nobody_or_enough(board: Board, seed: int) -> None:
    """Under default settings: the rows and intervals that are not split are together of no consenting visitor or of the
    minimum of them, and of no anonymous pageview or of the minimum; and so for those that are left of the totals."""
    chance = random.Random(seed)  # noqa: S311 - a made-up town
    events = _town(chance)
    board.seed(events)
    report = report_of(board)
    if report.total.consented is None:
        assert not any(each.told and each.size for each in report.pages)
        assert not any(each.split.told and each.split.size for each in report.intervals)
        return
    of_pages = {each.name for each in report.pages if not each.told}
    _assert_enough([event for event in events if event.page in of_pages])
    of_days = {each.moment.key for each in report.intervals if not each.split.told}
    _assert_enough([event for event in events if str(event.day) in of_days])
    for interval in report.intervals:
        if interval.split.told and interval.split.size:
            on_day = [event for event in events if str(event.day) == interval.moment.key]
            kinds = {event.consent for event in on_day}
            assert sum(interval.values) == len(on_day)
            few = [kind for kind in kinds - {"none"} if _is_few(event for event in on_day if event.consent == kind)]
            assert len([value for value in interval.values[:-1] if value]) <= len(kinds) - len(few)


def _town(chance: random.Random) -> list[Event]:
    """Few visitors of few pages over a few days, with several kinds of evidence."""
    found = []
    for number in range(chance.randrange(1, 25)):
        at = NOON - DAY * chance.randrange(4)
        page = chance.choice(["/", "/", "/a", "/b", "/c", "/d"])
        for _ in range(chance.randrange(1, 4)):
            kind = chance.choice(["granted", "cookie", "tcf"])
            found.append(pageview(number + 1, page, at, consent=kind))
    return [*found, *(bare(chance.choice(["/", "/a", "/b", "/e"]), NOON - DAY * chance.randrange(4))
                      for _ in range(chance.randrange(25)))]  # fmt: skip


def _is_few(events: Iterable[Event]) -> bool:
    return 0 < len({(event.day, event.visitor) for event in events}) < LEAST


def _assert_enough(events: list[Event]) -> None:
    visitors = {(event.day, event.visitor) for event in events if event.visitor}
    anonymous = [event for event in events if not event.visitor]
    assert not 0 < len(visitors) < LEAST
    assert not 0 < len(anonymous) < LEAST


def test_invented_kinds_of_evidence_are_one_series(board: Board) -> None:
    """Anybody may send any: the page has few series, and all pageviews are in them."""
    kinds = [f"banner{number:02}" for number in range(40) for _ in range(LEAST)]
    named = [pageview(number, "/", consent=kind) for number, kind in enumerate(kinds, 1)]
    named += [pageview(number, "/", consent="cookie") for number in range(1_000, 1_010)]
    board.seed([*named, *(bare("/") for _ in range(5))])
    report = report_of(board)
    assert [series.title for series in report.series][1:6] == [
        *(f"Banner: banner{number:02}" for number in range(MOST_KINDS - 1)),
        "Other banners",
    ]
    (interval,) = [each for each in report.intervals if each.split.size]
    further = (40 - MOST_KINDS + 1) * LEAST
    assert interval.values == (10, *[LEAST] * (MOST_KINDS - 1), further, 5, 0)
    assert len(interval.values) == len(report.series) + 1


def test_kinds_of_consent_leave_no_few_of_those_who_agreed(board: Board) -> None:
    """Two of seven agreed by another banner: folded together with exempt measurement, they would be what the kind that
    is told leaves of all who agreed."""
    kinds = ["cookie"] * 5 + ["granted"] * 2 + ["exempt"] * 3
    board.seed([pageview(number, "/", consent=kind) for number, kind in enumerate(kinds, 1)])
    report = report_of(board)
    (interval,) = [each for each in report.intervals if each.split.size]
    assert (interval.split.consented, interval.split.without) == (7, 3)
    assert [each.kind for each in report.series] == ["exempt", ""]
    assert interval.values == (3, 7)


@pytest.mark.parametrize(("anonymous", "told"), [(0, 4), (2, None), (3, 4)])
def test_exempt_pageviews_by_country_leave_no_few_anonymous_ones(
    board: Board, anonymous: int, told: int | None
) -> None:
    """All without consent are told beside them."""
    agreed = [pageview(number, "/", country="SE") for number in range(1, 6)]
    exempt = [pageview(number, "/", country="SE", consent="exempt") for number in range(11, 15)]
    board.seed([*agreed, *exempt, *(bare() for _ in range(anonymous))])
    report = report_of(board)
    assert report.total.without == 4 + anonymous
    assert [(each.consented, each.without) for each in report.countries] == [(5, told)]


def test_a_drop_shows_on_the_same_day(board: Board) -> None:
    """Today's coverage stands beside yesterday's while the day is not over, in the chart and in its table."""
    for day, agreed in ((DAY, 8), (0, 4)):
        people = [pageview(number + day, "/", NOON - day) for number in range(1, agreed + 1)]
        board.seed([*people, *(bare("/", NOON - day) for _ in range(12 - agreed))])
    report = report_of(board)
    yesterday, today = report.intervals[-2:]
    assert (yesterday.split.share, today.split.share) == ("67%", "33%")
    assert today.moment.running
    page = board.get(f"/{SITE}/consent").text
    assert re.search(r"<title>[^<]*: 12 pageviews, 33% with consent</title>", page)
    assert "33%" in next(row for table in _tables(page) for row in table if "so far" in row[0])


@pytest.mark.parametrize(
    ("policy", "pageviews"),
    [
        ("required", ["4", "Unknown under this policy", "Unknown under this policy"]),
        ("limited", ["4", "10", "4 to 10"]),
        ("exempt", ["4", "At least 10", "10"]),
    ],
)
def test_a_policy_change_is_told_as_far_as_it_can_be_known(board: Board, policy: Policy, pageviews: list[str]) -> None:
    """What each policy would count of the same visits; coverage is known under `limited` alone, and never of all."""
    anyio.run(board.dashboard.sites.change, msgspec.structs.replace(board.site(), consent=policy))
    board.seed([pageview(number, "/", country="SE") for number in range(1, 5)])
    if policy == "limited":
        board.seed([bare("/") for _ in range(6)])
    if policy == "exempt":
        board.seed([pageview(number, "/", consent="exempt", country="SE") for number in range(5, 11)])
    page = board.get(f"/{SITE}/consent").text
    outcomes = next(table for table in _tables(page) if table[0][0].startswith("Only with consent"))
    assert [row[1] for row in outcomes] == pageviews
    coverage = page.partition("Consent coverage</dt>")[2].partition("</div>")[0]
    assert ("40%" in coverage) == (policy == "limited")
    assert ("Unknown under this policy" in coverage) == (policy != "limited")
    assert "100%" not in coverage


def test_countries_have_no_coverage_without_a_country(board: Board) -> None:
    """Under `limited` the countries are those of the pageviews with consent, and the page says so."""
    board.seed([*(pageview(number, "/", country="SE") for number in range(1, 6)), *(bare("/") for _ in range(5))])
    page = board.get(f"/{SITE}/consent").text
    assert ["Sweden", "5"] in [row for table in _tables(page) for row in table]
    assert "coverage by country is unknown under this policy" in page


def test_the_dashboard_says_what_is_counted_without_consent(board: Board) -> None:
    """Pageviews alone, and none where a filter asks for what is not known of them; the present follows no filter."""
    board.seed([*(pageview(number, "/", country="SE") for number in range(1, 7)), *(bare("/") for _ in range(4))])
    whole, page, country = (
        board.get(f"/{SITE}{query}").text for query in ("", "?f=is,event:page,/", "?f=is,visit:country,SE")
    )
    assert "only pageviews are counted" in whole
    assert "known for the 60% with consent" in whole
    assert "Utan samtycke räknas bara sidvisningar." in board.get(f"/{SITE}", headers={"accept-language": "sv"}).text
    assert "Pageviews without consent are included" in page
    assert "Pageviews without consent match none of these filters" in country
    assert ["Current visitors" in each for each in (whole, page, country)] == [True, False, False]


def test_exempt_measurement_is_not_called_consent(board: Board) -> None:
    """Visits of before a change of the policy are known, too."""
    board.seed([pageview(1, "/"), *(pageview(n, "/", consent="exempt") for n in range(2, 5)), bare("/")])
    assert "80% of pageviews that came with consent or under exempt measurement" in board.get(f"/{SITE}").text


def _tables(page: str) -> list[list[list[str]]]:
    """The rows of the tables, which have no captions: their regions are named."""
    return [
        [
            [" ".join(re.sub(r"<[^>]*>", "", cell).split())
             for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
            for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
        ]
        for body in re.findall(r"<tbody>(.*?)</tbody>", page, re.DOTALL)
    ]  # fmt: skip
