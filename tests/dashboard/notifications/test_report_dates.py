"""When a report is due, and of which dates it is."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest

from dashboard.notifications.report_dates import latest, read_key
from dashboard.notifications.subscriptions import Frequency


def at(text: str, zone: str = "Europe/Stockholm") -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("frequency", "now", "first", "last"),
    [
        ("weekly", "2026-11-30T06:00:00", "2026-11-23", "2026-11-29"),
        ("weekly", "2026-11-30T05:59:59", "2026-11-16", "2026-11-22"),
        ("weekly", "2026-12-06T23:00:00", "2026-11-23", "2026-11-29"),
        ("weekly", "2027-01-04T06:00:00", "2026-12-28", "2027-01-03"),
        ("monthly", "2026-12-01T06:00:00", "2026-11-01", "2026-11-30"),
        ("monthly", "2026-12-01T05:00:00", "2026-10-01", "2026-10-31"),
        ("monthly", "2027-03-15T12:00:00", "2027-02-01", "2027-02-28"),
        # The clocks have changed in the night before.
        ("weekly", "2026-03-30T06:00:00", "2026-03-23", "2026-03-29"),
        ("weekly", "2026-10-26T05:59:59", "2026-10-12", "2026-10-18"),
    ],
)
def test_a_report_is_of_the_week_or_month_that_is_over(frequency: Frequency, now: str, first: str, last: str) -> None:
    """From six in the morning of the first day after it, by the site's clock."""
    found = latest(frequency, "Europe/Stockholm", at(now))
    assert (str(found.first), str(found.last)) == (first, last)


def test_a_report_is_due_by_the_clock_of_the_site() -> None:
    """Auckland's Monday morning is Sunday evening in Stockholm."""
    found = latest("weekly", "Pacific/Auckland", at("2026-11-29T18:30:00"))
    assert (str(found.first), found.due) == ("2026-11-23", at("2026-11-30T06:00:00", "Pacific/Auckland"))


def test_a_report_is_of_use_for_some_days() -> None:
    """Three after a week, seven after a month."""
    week = latest("weekly", "UTC", at("2026-12-02T00:00:00", "UTC"))
    month = latest("monthly", "UTC", at("2026-12-02T00:00:00", "UTC"))
    assert (week.until - week.due, month.until - month.due) == (3 * 86_400, 7 * 86_400)


@pytest.mark.parametrize("frequency", ["weekly", "monthly"])
def test_the_key_says_which_report_it_is(frequency: Frequency) -> None:
    """What a delivery carries is read back."""
    dates = latest(frequency, "Europe/Stockholm", at("2026-10-27T12:00:00"))
    assert read_key(dates.key, "Europe/Stockholm") == dates
