"""Localised formats of numbers, percentages, durations, dates and countries.

What a unit is called, and how a date is put together, stands in the language's catalogue. Marks between digits and
names of months, weekdays and countries are those of the Unicode CLDR.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from babel import Locale
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_currency, get_decimal_symbol, get_group_symbol

from dashboard.i18n.translations import N_, _, language, plural

NOTHING: Final = "–"

Value = int | float | None


def number(value: Value) -> str:
    """A count with thousands separated: 12,345."""
    return NOTHING if value is None else decimal(round(value))


def decimal(value: float, digits: int = 0) -> str:
    """A number with so many decimals: 12,345.67."""
    text, (group, point) = f"{value:,.{digits}f}", _marks(language())
    if (group, point) == (",", "."):
        return text
    return group.join(part.replace(".", point) for part in text.split(","))


@lru_cache(maxsize=64)
def _marks(code: str) -> tuple[str, str]:
    return get_group_symbol(code), get_decimal_symbol(code)


def compact(value: Value) -> str:
    """A count in at most about four characters: 9,876, then 12.3k, 4.5M."""
    if value is None or abs(value) < 10_000:
        return number(value)
    unit, size = next(((unit, size) for unit, size in UNITS if abs(value) >= 0.9995 * size), UNITS[-1])
    scaled = value / size
    return _(unit).format(count=decimal(scaled, 1 if abs(scaled) < 99.95 else 0))


# Translators: a count in thousands, millions and thousand millions, as short as can be.
UNITS: Final = ((N_("{count}B"), 1e9), (N_("{count}M"), 1e6), (N_("{count}k"), 1e3))


def percent(value: Value) -> str:
    """A share in percent: 0.4%, 7.0%, 61%. Below ten it has a decimal, unless it is a whole number by nature."""
    if value is None:
        return NOTHING
    if 0 < value < 0.05:
        return "<" + _("{count}%").format(count=decimal(0.1, 1))
    return _("{count}%").format(count=decimal(value, _digits(value)))


def _digits(share: float) -> int:
    """Decimals of a share that is told."""
    return 1 if isinstance(share, float) and 0 < abs(share) < 9.95 else 0


def duration(seconds: Value) -> str:
    """Seconds as a person says them: 42s, 1m 05s, 2h 03m."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return _("{hours}h {minutes}m").format(hours=decimal(hours), minutes=f"{minutes:02d}")
    if minutes:
        return _("{minutes}m {seconds}s").format(minutes=minutes, seconds=f"{rest:02d}")
    return _("{seconds}s").format(seconds=rest)


def chart_units() -> dict[str, str]:
    """How the chart's script says figures: the unit's text, with names in braces to be filled in."""
    return {
        "thousands": _("{count}k"),
        "millions": _("{count}M"),
        "percent": _("{count}%"),
        "seconds": _("{seconds}s"),
        "minutes": _("{minutes}m"),
        "minutes_seconds": _("{minutes}m {seconds}s"),
        "hours": _("{hours}h"),
    }


def has_cents(values: Iterable[Value]) -> bool:
    """Whether amounts that stand together are told with their decimals: none is 10,000 or more."""
    return all(abs(value) < 10_000 for value in values if value is not None)


def money(value: Value, currency: str, *, cents: bool = True) -> str:
    """An amount with its currency, by the customs of the reader's language: €1,234.50, SEK 1,234.50; from 10,000 on,
    and without `cents`, in whole numbers."""
    if value is None:
        return NOTHING
    if cents and has_cents([value]):
        return _spaced(format_currency(value, currency, locale=language()))
    pattern = Locale.parse(language()).currency_formats["standard"].pattern.replace(".00", "")
    whole = math.floor(value + 0.5)
    return _spaced(format_currency(whole, currency, pattern, locale=language(), currency_digits=False))


def _spaced(amount: str) -> str:
    """An amount with a space between the letters of its currency and its digits, which Babel leaves out (Unicode
    Technical Standard 35, Numbers, currency spacing)."""
    return re.sub(r"(?<=[^\W\d_])(?=\d)", "\N{NO-BREAK SPACE}", amount, count=1)


def metric_text(metric: str, value: Value, *, short: bool = False, currency: str = "", cents: bool = True) -> str:
    """A metric's value in its own unit; revenue in `currency`."""
    if metric.endswith("_rate") or metric in ("percentage", "scroll_depth"):
        return percent(value)
    if metric in ("visit_duration", "time_on_page"):
        return duration(value)
    if currency and metric.endswith("_revenue"):
        return money(value, currency, cents=cents)
    if metric == "views_per_visit":
        return NOTHING if value is None else decimal(value, 2)
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

    Rates move by percentage points, from one told rate to the other, all else in percent. A lower bounce rate is good.
    """
    if now is None or before is None:
        return None
    points = metric.endswith("_rate")
    if not before and not points:
        return None
    digits = max(_digits(now), _digits(before)) if points else 0
    moved = round(now, _digits(now)) - round(before, _digits(before)) if points else 100 * (now - before) / before
    if round(abs(moved), digits) == 0:
        return Change(_points("0", 0) if points else _("{count}%").format(count="0"), "same", True, _("unchanged"))
    up = moved > 0
    shown = decimal(abs(moved), digits) if abs(moved) < 1000 else "999+"
    count = 2 if digits else round(abs(moved))
    return Change(
        _points(shown, count) if points else _("{count}%").format(count=shown),
        "up" if up else "down",
        good=up != (metric == "bounce_rate"),
        spoken=(_spoken_points if points else _spoken_percent)(count, up=up).format(count=shown),
    )


def _points(shown: str, count: int) -> str:
    return plural("{count} pt", "{count} pts", count).format(count=shown)


def _spoken_points(count: int, *, up: bool) -> str:
    if up:
        return plural("up {count} percentage point", "up {count} percentage points", count)
    return plural("down {count} percentage point", "down {count} percentage points", count)


def _spoken_percent(count: int, *, up: bool) -> str:
    if up:
        return plural("up {count} percent", "up {count} percent", count)
    return plural("down {count} percent", "down {count} percent", count)


def country(code: str) -> str:
    """Localised name of a country by its ISO 3166-1 code; an unknown code is returned as it is."""
    return countries(language()).get(code.upper(), code)


@lru_cache(maxsize=8)
def countries(locale: str) -> Mapping[str, str]:
    """Names of all countries in that language, by their codes."""
    return {code: name for code, name in Locale.parse(locale).territories.items() if len(code) == 2}


def date(day: datetime.date, *, year: bool = True) -> str:
    """A date: 3 Nov 2026."""
    # Translators: dates are patterns of the Unicode CLDR: d day, MMM and MMMM month, y year, EEE and EEEE weekday.
    return _dated(day, _("d MMM y") if year else _("d MMM"), language())


def dates(first: datetime.date, last: datetime.date) -> str:
    """A range of dates, saying the year once where it is one: 3 Oct – 1 Nov 2026."""
    if first == last:
        return _dated(first, _("EEEE, d MMM y"), language())
    if (first.year, first.month) == (last.year, last.month):
        # Translators: within one month, such as 3–20 Nov 2026; the first is a day's number, the last a whole date.
        return _("{first}–{last}").format(first=first.day, last=date(last))
    return f"{date(first, year=first.year != last.year)} – {date(last)}"


def month(day: datetime.date, *, long: bool = True) -> str:
    """The month of a date: November 2026, or on an axis Nov."""
    return _dated(day, _("MMMM y") if long else _("MMM"), language())


def weekday(day: datetime.date) -> str:
    """A date with its day of the week: Tue 3 Nov 2026."""
    return _dated(day, _("EEE d MMM y"), language())


def short_weekday(day: datetime.date) -> str:
    """The day of the week of a date: Tue."""
    return _dated(day, "EEE", language())


@lru_cache(maxsize=4_096)
def _dated(day: datetime.date, pattern: str, code: str) -> str:
    return format_date(day, pattern, locale=code)


def prepare() -> None:
    """Load what is known of the reader's language."""
    decimal(1.5, 1)
    date(datetime.date(2026, 1, 1))
    countries(language())


def listed(items: Sequence[str]) -> str:
    """A, B and C."""
    return format_list(items, locale=language())


def waiting(seconds: int) -> str:
    """A time to wait, rounded up: 45 seconds, 12 minutes."""
    if seconds <= 90:
        return plural("{count} second", "{count} seconds", seconds).format(count=seconds)
    minutes = -(-seconds // 60)
    return plural("{count} minute", "{count} minutes", minutes).format(count=decimal(minutes))
