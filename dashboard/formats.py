"""How figures read: numbers, shares, durations, changes, and the names of countries."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from babel import Locale

LOCALE: Final = "en"
NOTHING: Final = "–"

Value = int | float | None


def number(value: Value) -> str:
    """A count with thousands separated: 12,345."""
    return NOTHING if value is None else f"{round(value):,}"


def compact(value: Value) -> str:
    """A count in at most about four characters: 9,876, then 12.3k, 4.5M."""
    if value is None or abs(value) < 10_000:
        return number(value)
    unit, size = next(((unit, size) for unit, size in _UNITS if abs(value) >= 0.9995 * size), _UNITS[-1])
    scaled = value / size
    return f"{scaled:.1f}{unit}" if abs(scaled) < 99.95 else f"{scaled:.0f}{unit}"


_UNITS = (("B", 1e9), ("M", 1e6), ("k", 1e3))


def percent(value: Value) -> str:
    """A share in percent: 0.4%, 7.2%, 61%; the decimal is shown where it says something."""
    if value is None:
        return NOTHING
    if 0 < value < 0.05:
        return "<0.1%"
    return f"{value:.1f}%" if 0 < abs(value) < 9.95 and round(value, 1) != round(value) else f"{value:.0f}%"


def duration(seconds: Value) -> str:
    """Seconds as a person says them: 42s, 1m 05s, 2h 03m."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def metric_text(metric: str, value: Value, *, short: bool = False) -> str:
    """A metric's value in its own unit."""
    if metric.endswith("_rate") or metric == "percentage":
        return percent(value)
    if metric == "visit_duration":
        return duration(value)
    if metric == "views_per_visit":
        return NOTHING if value is None else f"{value:.2f}"
    return compact(value) if short else number(value)


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure moved since the period before."""

    text: str
    direction: Literal["up", "down", "same"]
    good: bool
    spoken: str
    """The same for a screen reader."""


def change(metric: str, now: Value, before: Value) -> Change | None:
    """The change from `before` to `now`; None where there was nothing to compare with.

    Rates move by percentage points, all else in percent. A lower bounce rate is good.
    """
    if now is None or before is None:
        return None
    points = metric.endswith("_rate")
    if not before and not points:
        return None
    moved = now - before if points else 100 * (now - before) / before
    shown, unit = (
        (f"{abs(moved):.0f}", (" pt" if round(abs(moved)) == 1 else " pts") if points else "%")
        if abs(moved) < 1000
        else ("999+", "%")
    )
    if shown == "0":
        return Change("0%" if not points else "0 pts", "same", good=True, spoken="unchanged")
    up = moved > 0
    word = "percentage points" if points else "percent"
    return Change(
        f"{shown}{unit}",
        "up" if up else "down",
        good=up != (metric == "bounce_rate"),
        spoken=f"{'up' if up else 'down'} {shown} {word}",
    )


@lru_cache(maxsize=512)
def country(code: str) -> str:
    """The English name of a country by its ISO 3166-1 code; an unknown code stands for itself."""
    name: str | None = Locale.parse(LOCALE).territories.get(code.upper())
    return name or code


def date(day: datetime.date, *, year: bool = True) -> str:
    """A date: 3 Nov 2026."""
    return f"{day.day} {day:%b}{f' {day.year}' if year else ''}"


def dates(first: datetime.date, last: datetime.date) -> str:
    """A range of dates, saying the year once where it is one: 3 Oct – 1 Nov 2026."""
    if first == last:
        return f"{first:%A}, {date(first)}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{date(last)}"
    return f"{date(first, year=first.year != last.year)} – {date(last)}"


def waiting(seconds: int) -> str:
    """A time to wait, rounded up: 45 seconds, 12 minutes."""
    if seconds <= 90:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    return f"{-(-seconds // 60)} minutes"
