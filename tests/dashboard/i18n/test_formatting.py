"""How figures read."""

from __future__ import annotations

import datetime

import pytest

from dashboard.i18n import formatting
from dashboard.i18n.translations import shipped, using
from dashboard.reports.breakdown import told_share
from dashboard.reports.svg import percentage, share, sparkline

COMPACT = {
    0: "0", 999: "999", 9_999: "9,999", 10_000: "10.0k", 12_345: "12.3k", 99_949: "99.9k", 99_950: "100k",
    999_499: "999k", 999_500: "1.0M", 4_560_000: "4.6M", 999_500_000: "1.0B", None: "–",
}  # fmt: skip
PERCENT = {
    0: "0%",
    0.04: "<0.1%",
    0.4: "0.4%",
    7.0: "7.0%",
    7.25: "7.2%",
    9.96: "10%",
    61.4: "61%",
    100: "100%",
    None: "–",
}
DURATION = {0: "0s", 59: "59s", 59.6: "1m 00s", 65: "1m 05s", 3_599: "59m 59s", 7_380: "2h 03m", None: "–"}


def test_numbers_are_short_where_they_are_large() -> None:
    """Four digits in full, then one decimal with a unit that is never over a thousand."""
    assert {value: formatting.compact(value) for value in COMPACT} == COMPACT


def test_shares_show_a_decimal_where_it_tells_something() -> None:
    """All small shares have a decimal, large ones have none; nor has what is counted in whole percents."""
    assert {value: formatting.percent(value) for value in PERCENT} == PERCENT
    assert formatting.percent(7) == "7%"


def test_durations_read_as_people_say_them() -> None:
    """Seconds, then minutes with two digits of seconds, then hours."""
    assert {value: formatting.duration(value) for value in DURATION} == DURATION


@pytest.mark.parametrize(
    ("metric", "now", "before", "expected"),
    [
        ("visitors", 120, 100, ("20%", "up", True)),
        ("visitors", 80, 100, ("20%", "down", False)),
        ("visitors", 100, 100, ("0%", "same", True)),
        ("visitors", 100_000, 1, ("999+%", "up", True)),
        ("bounce_rate", 40, 45, ("5 pts", "down", True)),
        ("bounce_rate", 46, 45, ("1 pt", "up", False)),
        ("bounce_rate", 46, 0, ("46 pts", "up", False)),
        ("conversion_rate", 7.8, 7.4, ("0.4 pts", "up", True)),
        ("conversion_rate", 7.44, 7.36, ("0 pts", "same", True)),
        ("conversion_rate", 12.4, 9.1, ("2.9 pts", "up", True)),
    ],
)
def test_changes_say_which_way_and_whether_it_is_good(
    metric: str, now: float, before: float, expected: tuple[str, str, bool]
) -> None:
    """Counts change in percent and rates in points; fewer bounces are good."""
    change = formatting.change(metric, now, before)
    assert change is not None
    assert (change.text, change.direction, change.good) == expected


def test_nothing_is_no_measure_of_change() -> None:
    """From nothing, and to what is not known, there is no change to tell."""
    assert formatting.change("visitors", 5, 0) is None
    assert formatting.change("visitors", 5, None) is None
    assert formatting.change("bounce_rate", None, 5) is None


def test_dates_say_the_year_once() -> None:
    """Ranges within a month, within a year, over a year, and of one day."""
    day = datetime.date
    assert formatting.dates(day(2026, 5, 1), day(2026, 5, 20)) == "1–20 May 2026"
    assert formatting.dates(day(2026, 4, 21), day(2026, 5, 20)) == "21 Apr – 20 May 2026"
    assert formatting.dates(day(2025, 12, 21), day(2026, 1, 20)) == "21 Dec 2025 – 20 Jan 2026"
    assert formatting.dates(day(2026, 5, 20), day(2026, 5, 20)) == "Wednesday, 20 May 2026"


def test_countries_have_names() -> None:
    """Codes become English names; one that is not assigned stands for itself."""
    assert [formatting.country(code) for code in ("SE", "gb", "XK", "??")] == [
        "Sweden",
        "United Kingdom",
        "Kosovo",
        "??",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1 second"), (90, "90 seconds"), (91, "2 minutes"), (890, "15 minutes")]
)
def test_waits_are_rounded_up(seconds: int, text: str) -> None:
    """Nobody is told to come back too early."""
    assert formatting.waiting(seconds) == text


def test_a_sparkline_spans_its_box() -> None:
    """From left to right, the largest value at the top and zero at the bottom; the last step stands by itself."""
    drawn = sparkline([0, 5, 10], 100, 20, pad=0)
    assert (drawn.line, drawn.running) == ("M0 20L50 10", "M50 10L100 0")
    assert drawn.area == "M0 20L50 10L100 0L100 20L0 20Z"


@pytest.mark.parametrize("values", [[], [0], [0, 0, 0]])
def test_a_sparkline_of_nothing_is_flat(values: list[float]) -> None:
    """No data is a line along the bottom, not an error."""
    drawn = sparkline(values, 100, 20, pad=0)
    points = [point for path in (drawn.line, drawn.running) for point in path.removeprefix("M").split("L")]
    assert {point.split()[1] for point in points} == {"20"}


def test_a_share_is_the_same_text_as_the_metric_of_the_same_figures() -> None:
    """Neither is rounded twice: 2.9497 is 2.9%, 40.54 is 41%, and what is less than a tenth is not nothing."""
    assert [formatting.percent(percentage(part, 9_696)) for part in (286, 3, 0)] == ["2.9%", "<0.1%", "0%"]
    rates = [(40.5, percentage(30, 74)), (0.0, percentage(3, 9_696)), (12.5, percentage(30, 74)), (None, 40.5)]
    assert [formatting.percent(told_share(*each)) for each in rates] == ["41%", "<0.1%", "12%", "–"]


def test_shares_stay_within_their_bar() -> None:
    """A bar is neither negative nor wider than its row."""
    assert [share(part, whole) for part, whole in ((1, 4), (5, 4), (-1, 4), (1, 0), (None, 4), (1, None))] == [
        25,
        100,
        0,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("code", "value", "currency", "text"),
    [
        ("en", 2349.5, "SEK", "SEK\xa02,349.50"),
        ("en", -2349.5, "SEK", "-SEK\xa02,349.50"),
        ("en", 23_495, "SEK", "SEK\xa023,495"),
        ("en", 30, "EUR", "€30.00"),
        ("en", 30, "AUD", "A$30.00"),
        ("sv", 2349.5, "SEK", "2\xa0349,50\xa0kr"),
        ("sv", 23_495, "EUR", "23\xa0495\xa0€"),
    ],
)
def test_amounts_keep_apart_from_their_currency(code: str, value: float, currency: str, text: str) -> None:
    """A code of letters has a space before the digits; a sign has none."""
    with using(code, shipped()):
        assert formatting.money(value, currency) == text


def test_amounts_of_a_column_have_as_many_decimals() -> None:
    """One of 10,000 or more lets all be whole numbers, rounded as people do."""
    assert formatting.has_cents([2, 9_999, None])
    assert not formatting.has_cents([2, 10_000])
    assert formatting.money(2.5, "EUR", cents=False) == "€3"
