"""Dates as the database has them: days since 1970."""

from __future__ import annotations

import datetime

_EPOCH = datetime.date(1970, 1, 1).toordinal()


def number_of(day: datetime.date) -> int:
    """The number of a date; below zero for one that no row can have."""
    return day.toordinal() - _EPOCH


def date_of(number: int) -> datetime.date:
    """The date of a number."""
    return datetime.date.fromordinal(_EPOCH + number)
