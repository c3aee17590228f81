"""The site-local day."""

from __future__ import annotations

import datetime

import pytest

from collector.core.timezones import Zone


def at(text: str) -> float:
    """Unix seconds of an ISO time with an offset."""
    return datetime.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("zone", "moment", "date"),
    [
        ("Europe/Stockholm", "2026-03-01T23:59:59+01:00", "2026-03-01"),
        ("Europe/Stockholm", "2026-03-02T00:00:00+01:00", "2026-03-02"),
        ("Asia/Kolkata", "2026-03-01T18:29:59+00:00", "2026-03-01"),
        ("Asia/Kolkata", "2026-03-01T18:30:00+00:00", "2026-03-02"),
        ("Pacific/Kiritimati", "2026-03-01T10:00:00+00:00", "2026-03-02"),
        ("America/Los_Angeles", "2026-03-02T07:59:59+00:00", "2026-03-01"),
        ("Europe/Stockholm", "2026-10-25T02:30:00+01:00", "2026-10-25"),
    ],
)
def test_a_date_follows_the_clock_of_its_zone(zone: str, moment: str, date: str) -> None:
    """Half-hour zones and daylight saving included."""
    assert Zone(zone).date(at(moment)).isoformat() == date


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        ("UTC", "2026-03-29", 24),
        ("Europe/Stockholm", "2026-03-29", 23),
        ("Europe/Stockholm", "2026-10-25", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        # In these places the clock skipped midnight itself.
        ("America/Sao_Paulo", "2018-11-04", 23),
        ("Asia/Beirut", "2022-03-27", 23),
    ],
)
def test_a_day_is_as_long_as_its_clock_makes_it(zone: str, date: str, hours: float) -> None:
    """Its first second has that date, the second before has not, and days join without gap."""
    clock, day = Zone(zone), datetime.date.fromisoformat(date)
    begins, ends = clock.bounds(day)
    assert (ends - begins) / 3600 == hours
    assert clock.date(begins) == day
    assert clock.date(begins - 1) < day
    assert clock.date(ends - 1) == day
    assert clock.date(ends) > day


@pytest.mark.parametrize("name", ["", "Sweden/Stockholm", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    """By a ValueError, whatever the time zone library raises."""
    with pytest.raises(ValueError, match="not an IANA time zone"):
        Zone(name)
