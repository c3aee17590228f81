"""Periods: which dates they have by the site's clock, and which buckets."""

from __future__ import annotations

import datetime
from typing import Literal

import pytest

from dashboard.analytics.errors import QueryError
from dashboard.analytics.period import NAMES, Bucket, Period, parse_moments, parse_period

D = datetime.date
NOW = datetime.datetime(2026, 3, 15, 23, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("name", "first", "last", "bucket"),
    [
        ("day", D(2026, 3, 16), D(2026, 3, 16), "hour"),
        ("yesterday", D(2026, 3, 15), D(2026, 3, 15), "hour"),
        ("24h", D(2026, 3, 15), D(2026, 3, 16), "hour"),
        ("7d", D(2026, 3, 10), D(2026, 3, 16), "day"),
        ("28d", D(2026, 2, 17), D(2026, 3, 16), "day"),
        ("30d", D(2026, 2, 15), D(2026, 3, 16), "day"),
        ("91d", D(2025, 12, 16), D(2026, 3, 16), "day"),
        ("month", D(2026, 3, 1), D(2026, 3, 16), "day"),
        ("6mo", D(2025, 10, 1), D(2026, 3, 16), "month"),
        ("12mo", D(2025, 4, 1), D(2026, 3, 16), "month"),
        ("year", D(2026, 1, 1), D(2026, 3, 16), "month"),
        ("all", D(2016, 3, 16), D(2026, 3, 16), "month"),
    ],
)
def test_names_are_dates_by_the_sites_clock(name: str, first: D, last: D, bucket: str) -> None:
    """At 23:30 in Greenwich it is the next day in Stockholm already."""
    period = parse_period(name, "Europe/Stockholm", NOW)
    assert (period.first, period.last, period.bucket) == (first, last, bucket)


def test_every_name_is_known() -> None:
    """Each name in the list can be asked for."""
    for name in NAMES:
        assert parse_period(name, "UTC", NOW, D(2026, 1, 1), D(2026, 1, 2)).name == name


def test_names_are_relative_to_a_date() -> None:
    """Older clients say which date a name is relative to."""
    period = parse_period("month", "UTC", NOW, day=D(2024, 2, 29))
    assert (period.first, period.last) == (D(2024, 2, 1), D(2024, 2, 29))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Stockholm", D(2026, 3, 29), 23),
        ("Europe/Stockholm", D(2026, 10, 25), 24),
        ("Europe/Stockholm", D(2026, 10, 26), 24),
        ("Asia/Kathmandu", D(2026, 10, 25), 24),
        ("Australia/Lord_Howe", D(2026, 10, 4), 24),
        ("America/Sao_Paulo", D(2018, 11, 4), 23),
        ("Pacific/Apia", D(2011, 12, 29), 24),
    ],
)
def test_hours_are_those_the_clock_shows(zone: str, day: D, hours: int) -> None:
    """A spring day lacks an hour; the autumn hour that is shown twice is one label; midnight may be skipped."""
    labels = parse_period("custom", zone, NOW, day, day).buckets()
    assert len(labels) == len(set(labels)) == hours
    assert all(label.startswith(str(day)) and label.endswith(":00:00") for label in labels)
    assert labels == sorted(labels)


@pytest.mark.parametrize(("day", "hours"), [(D(2026, 3, 29), 23), (D(2026, 10, 25), 25)])
def test_bounds_follow_daylight_saving(day: D, hours: int) -> None:
    """A local date begins and ends at its own midnights."""
    begins, ends = parse_period("custom", "Europe/Stockholm", NOW, day, day).bounds()
    assert ends - begins == hours * 3600


def test_buckets_cover_the_period() -> None:
    """Days, weeks and months: a first week that began before is labelled with the first date."""
    period = parse_period("custom", "UTC", NOW, D(2026, 1, 28), D(2026, 3, 2))
    assert len(period.buckets("day")) == 34
    assert period.buckets("week") == [
        "2026-01-28",
        "2026-02-02",
        "2026-02-09",
        "2026-02-16",
        "2026-02-23",
        "2026-03-02",
    ]
    assert period.buckets("month") == ["2026-01-01", "2026-02-01", "2026-03-01"]
    assert len(parse_period("day", "UTC", NOW).buckets("minute")) == 1440


def test_the_previous_period_is_as_long_and_ends_where_this_begins() -> None:
    """Dates and moments alike."""
    before = parse_period("7d", "UTC", NOW).previous()
    assert (before.first, before.last) == (D(2026, 3, 2), D(2026, 3, 8))
    hours = parse_period("24h", "UTC", NOW)
    assert hours.previous().bounds() == (hours.bounds()[0] - 86_400, hours.bounds()[0])


def test_a_year_before_keeps_the_dates() -> None:
    """The leap day becomes the day before it; moments keep their clock time."""
    leap = parse_period("custom", "UTC", NOW, D(2024, 2, 29), D(2024, 2, 29)).year_before()
    assert (leap.first, leap.last) == (D(2023, 2, 28), D(2023, 2, 28))
    moment = datetime.datetime(2026, 3, 29, 12, tzinfo=datetime.UTC)
    earlier = parse_moments(moment, moment + datetime.timedelta(hours=1), "Europe/Stockholm").year_before()
    assert earlier.start == int(datetime.datetime(2025, 3, 29, 13, tzinfo=datetime.UTC).timestamp())


def test_moments_include_both_seconds() -> None:
    """From the first second to the last, whatever zone they are written in."""
    plus_two = datetime.timezone(datetime.timedelta(hours=2))
    period = parse_moments(
        datetime.datetime(2026, 1, 1, 12, tzinfo=plus_two),
        datetime.datetime(2026, 1, 1, 12, 59, 59, tzinfo=plus_two),
        "UTC",
    )
    assert (period.bounds()[1] - period.bounds()[0], period.first, period.bucket) == (3600, D(2026, 1, 1), "hour")
    assert period.buckets() == ["2026-01-01 10:00:00"]


@pytest.mark.parametrize(
    ("name", "zone", "start", "end", "field"),
    [
        ("fortnight", "UTC", None, None, "date_range"),
        ("custom", "UTC", None, None, "date_range"),
        ("custom", "UTC", D(2026, 1, 2), D(2026, 1, 1), "date_range"),
        ("custom", "UTC", D(1, 1, 1), D(2026, 1, 1), "date_range"),
        ("custom", "UTC", D(2026, 1, 1), D(9999, 12, 31), "date_range"),
        ("day", "Europe/Atlantis", None, None, "timezone"),
    ],
)
def test_impossible_periods_are_refused(name: str, zone: str, start: D | None, end: D | None, field: str) -> None:
    """With the field that has to be mended."""
    with pytest.raises(QueryError) as caught:
        parse_period(name, zone, NOW, start, end)
    assert caught.value.field == field


def test_moments_in_the_wrong_order_are_refused() -> None:
    """An end before its start selects nothing, which nobody means."""
    with pytest.raises(QueryError):
        parse_moments(NOW, NOW - datetime.timedelta(seconds=1), "UTC")


def test_a_period_is_a_value() -> None:
    """Equal periods are equal keys."""
    assert {parse_period("7d", "UTC", NOW)} == {Period("7d", "UTC", D(2026, 3, 9), D(2026, 3, 15))}


@pytest.mark.parametrize("step", ["minute", "hour"])
def test_buckets_without_number_are_refused_before_they_are_listed(step: Literal["minute", "hour"]) -> None:
    """A client may ask for any dates and any step: what nobody can read is not listed."""
    period = Period("custom", "Europe/Stockholm", D(1971, 1, 1), D(2148, 12, 31))
    assert period.bucket_count(step) > 1_000_000
    with pytest.raises(QueryError):
        period.buckets(step)


@pytest.mark.parametrize("step", ["hour", "day", "week", "month"])
@pytest.mark.parametrize("first", [D(2024, 1, 1), D(2024, 2, 29), D(2025, 12, 31)])
@pytest.mark.parametrize("days", [1, 2, 7, 31, 366])
def test_the_number_of_buckets_is_known_without_listing_them(step: Bucket, first: D, days: int) -> None:
    """It is never less than there are, and the labels are those of every date of the period."""
    period = Period("custom", "UTC", first, first + datetime.timedelta(days - 1))
    found = period.buckets(step)
    assert len(found) <= period.bucket_count(step) <= len(found) + 3
    if step != "hour":
        every = [period.date_label(first + datetime.timedelta(offset), step) for offset in range(days)]
        assert found == list(dict.fromkeys(map(str, every)))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("custom", "24h")])
@pytest.mark.parametrize("day", [D.min, D(1, 5, 1), D(1970, 12, 31), D(2149, 1, 1), D.max])
def test_a_name_relative_to_a_date_out_of_reach_is_refused(name: str, day: D) -> None:
    """Like the dates themselves, whatever would be counted back from it."""
    with pytest.raises(QueryError):
        parse_period(name, "UTC", NOW, day=day)
