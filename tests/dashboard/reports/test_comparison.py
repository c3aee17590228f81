"""What a period is compared with: stretches of the same length, as far as both have come, bucket beside bucket."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from collector.storage.client import ClickHouse
from dashboard.analytics.period import Period, parse_moments, parse_period
from dashboard.reports.comparison import calendar_before, paired, same_length
from dashboard.reports.date_range import DateRangeParams, read_dates
from tests.board import NOON, SITE, Board, opened_board, pageview

D = datetime.date
STOCKHOLM = "Europe/Stockholm"
HOUR, DAY = 3_600, 86_400
# Saturday, 28 November 2026, 17:45 in Stockholm.
EVENING = datetime.datetime(2026, 11, 28, 16, 45, tzinfo=datetime.UTC)


@pytest.fixture
def board(clickhouse: ClickHouse, database: Client, tmp_path: Path) -> Iterator[Board]:
    """A dashboard with one site in UTC, and its admin signed in."""
    with opened_board(clickhouse, database, tmp_path) as opened:
        opened.add_site(SITE, timezone="UTC")
        opened.sign_in()
        yield opened


def named(name: str, zone: str = STOCKHOLM, now: datetime.datetime = EVENING) -> Period:
    """A period as of the evening."""
    return parse_period(name, zone, now)


def moment(text: str) -> int:
    """Unix second of a time in Stockholm."""
    return int(datetime.datetime.fromisoformat(f"{text}+01:00").timestamp())


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("month", D(2026, 10, 1), D(2026, 10, 28)),
        ("year", D(2025, 1, 1), D(2025, 11, 28)),
        ("12mo", D(2024, 12, 1), D(2025, 11, 28)),
        ("6mo", D(2025, 12, 1), D(2026, 5, 30)),
        ("7d", D(2026, 11, 15), D(2026, 11, 21)),
        ("day", D(2026, 11, 27), D(2026, 11, 27)),
    ],
)
def test_periods_of_months_are_compared_with_the_same_dates_before(name: str, first: D, last: D) -> None:
    """1-28 November with 1-28 October, the year with the last one; others with as many dates right before."""
    period, before = named(name), calendar_before(named(name))
    assert (before.first, before.last) == (first, last)
    assert before.days == period.days


@pytest.mark.parametrize(
    ("name", "day", "first", "last"),
    [
        ("month", D(2026, 3, 31), D(2026, 2, 1), D(2026, 2, 28)),
        ("month", D(2026, 2, 28), D(2026, 1, 1), D(2026, 1, 31)),
        ("year", D(2025, 2, 28), D(2024, 1, 1), D(2024, 2, 29)),
        ("12mo", D(2026, 10, 31), D(2024, 11, 1), D(2025, 10, 31)),
        ("6mo", D(2026, 8, 31), D(2025, 9, 1), D(2026, 2, 28)),
    ],
)
def test_whole_months_are_compared_with_whole_months(name: str, day: D, first: D, last: D) -> None:
    """Also where these have more or fewer days; they end where the period begins, or a year before it ends."""
    before = calendar_before(parse_period(name, STOCKHOLM, EVENING, day=day))
    assert (before.first, before.last) == (first, last)


def test_dates_of_a_longer_month_that_a_shorter_one_lacks_have_the_days_right_before() -> None:
    """1-30 March has no like in February."""
    march = parse_period("month", STOCKHOLM, EVENING, day=D(2026, 3, 30))
    assert (calendar_before(march).first, calendar_before(march).last) == (D(2026, 1, 30), D(2026, 2, 28))


@pytest.mark.parametrize(
    ("period", "until"),
    [
        ("day", "2026-11-27T17:45:01"),
        ("7d", "2026-11-21T17:45:01"),
        ("30d", "2026-10-29T17:45:01"),
        ("month", "2026-10-31T17:45:01"),
    ],
)
def test_a_period_that_goes_on_is_compared_as_far_as_it_has_come(period: str, until: str) -> None:
    """Steady traffic at a quarter to six shows no fall."""
    found = same_length(named(period), named(period).previous(), EVENING.timestamp())
    assert found.bounds() == (named(period).previous().bounds()[0], moment(until))
    assert found.last == D.fromisoformat(until[:10])


def test_a_period_that_is_over_is_compared_as_a_whole() -> None:
    """Yesterday with the day before; and a range that has not begun."""
    for period in (named("yesterday"), parse_period("custom", STOCKHOLM, EVENING, D(2027, 1, 1), D(2027, 1, 2))):
        assert same_length(period, period.previous(), EVENING.timestamp()) == period.previous()


def test_a_range_with_days_to_come_is_compared_up_to_now() -> None:
    """A whole month by its days so far."""
    month = parse_period("custom", STOCKHOLM, EVENING, D(2026, 11, 1), D(2026, 11, 30))
    assert same_length(month, month.previous(), EVENING.timestamp()).last == D(2026, 10, 29)


def test_a_range_of_times_is_compared_as_far_as_it_has_come() -> None:
    """From 12 to 24 o'clock, a quarter to six: five and three quarter hours of the twelve before."""
    period = parse_moments(
        datetime.datetime(2026, 11, 28, 11, tzinfo=datetime.UTC),
        datetime.datetime(2026, 11, 28, 22, 59, 59, tzinfo=datetime.UTC),
        STOCKHOLM,
    )
    begins, ends = same_length(period, period.previous(), EVENING.timestamp()).bounds()
    assert (begins, ends) == (moment("2026-11-28T00:00:00"), moment("2026-11-28T05:45:01"))


def test_hours_stand_beside_the_same_hours_where_clocks_change() -> None:
    """On the day that lacks the hour from two, three stands beside three, and nothing beside two."""
    sunday = parse_period("custom", STOCKHOLM, EVENING, D(2026, 3, 29), D(2026, 3, 29))
    pairs = paired(sunday, sunday.previous(), "hour")
    assert pairs["2026-03-29 01:00:00"] == "2026-03-28 01:00:00"
    assert pairs["2026-03-29 03:00:00"] == "2026-03-28 03:00:00"
    assert len(pairs) == 23
    monday = parse_period("custom", STOCKHOLM, EVENING, D(2026, 3, 30), D(2026, 3, 30))
    pairs = paired(monday, monday.previous(), "hour")
    assert "2026-03-30 02:00:00" not in pairs
    assert pairs["2026-03-30 23:00:00"] == "2026-03-29 23:00:00"


def test_dates_of_the_year_before_stand_beside_the_same_dates() -> None:
    """Also after a leap day, which has none beside it."""
    leap = parse_period("custom", STOCKHOLM, EVENING, D(2028, 2, 20), D(2028, 3, 3))
    pairs = paired(leap, leap.year_before(), "day")
    assert pairs["2028-03-03"] == "2027-03-03"
    assert "2028-02-29" not in pairs


def test_months_of_a_year_stand_beside_the_same_months() -> None:
    """January beside January, November beside November."""
    dates = read_dates(DateRangeParams(period="year"), STOCKHOLM, EVENING, None)
    assert dates.before is not None
    pairs = paired(dates.period, dates.before, "month")
    assert pairs["2026-01-01"] == "2025-01-01"
    assert pairs["2026-11-01"] == "2025-11-01"


def steady(board: Board, days: int) -> None:
    """Two visitors at every hour of so many days up to today noon."""
    ages = range(days * 24)
    board.seed([pageview(2 * age + side + 1, at=NOON - age * HOUR) for age in ages for side in (0, 1)])


@pytest.mark.parametrize("period", ["day", "7d", "28d"])
def test_steady_traffic_shows_no_change(board: Board, period: str) -> None:
    """At noon, however many days there are."""
    steady(board, 60)
    board.clock.now = NOON + 60
    page = board.page(f"/{SITE}?period={period}")
    assert "0% unchanged" in page.text
    assert "% down" not in page.text


def test_the_file_of_a_year_has_months_beside_months(board: Board) -> None:
    """As the chart shows them."""
    board.seed([pageview(1), pageview(2, at=NOON - 365 * DAY)])
    rows = list(csv.DictReader(io.StringIO(board.get(f"/{SITE}/chart.csv?period=year").text.removeprefix("\ufeff"))))
    assert [(row["month"], row["compared_with"]) for row in rows] == [
        (f"2026-0{month}-01", f"2025-0{month}-01") for month in range(1, 6)
    ]
    assert (rows[-1]["visitors"], rows[-1]["compared_visitors"]) == ("1", "1")
