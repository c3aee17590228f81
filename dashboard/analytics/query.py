"""Queries and results as values."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, Final

from dashboard.analytics.filters import Filter
from dashboard.analytics.metrics import METRICS, ratio
from dashboard.analytics.period import Period, ranges

MAX_DIMENSIONS, MAX_METRICS = 5, 20
DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET = 100, 10_000, 1_000_000

OTHER: Final = "\x7f(other)"
"""Value of the row that groups below the site's minimum are folded into: no stored value has a control character."""
OTHER_SHOWN: Final = "(other)"
"""How the APIs name it; a stored value may be the same, so that they mark the row as well."""


def marked_value(name: str, value: str) -> dict[str, Any]:
    """A value under its name as the APIs show it: that of the row of small groups is marked as `grouped`."""
    return {name: OTHER_SHOWN, "grouped": True} if value == OTHER else {name: value}


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the service, in names of the tables `METRICS` and `DIMENSIONS`; `time` is the period's bucket.

    `order_by` is pairs of a metric or dimension of the query and `asc` or `desc`; without it, time ascending and then
    the first metric descending. `total_rows` asks how many rows there are before `limit` and `offset`.
    """

    site: str
    metrics: tuple[str, ...]
    period: Period
    dimensions: tuple[str, ...] = ()
    filters: Filter | None = None
    order_by: tuple[tuple[str, str], ...] = ()
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    total_rows: bool = False


@dataclass(frozen=True, slots=True)
class Revenue:
    """Revenue in one currency: the sum, and the average of an event with revenue (None where there is none)."""

    currency: str
    total: float
    average: float | None

    @classmethod
    def of(cls, currency: str, thousandths: int, events: int) -> Revenue:
        """That of so many events with revenue, from thousandths of the currency's unit."""
        total, average = (ratio(METRICS[name], thousandths, events) for name in ("total_revenue", "average_revenue"))
        return cls(currency, total or 0, average)

    def metric(self, name: str) -> float | None:
        """The value of `total_revenue` or `average_revenue`."""
        return self.total if name == "total_revenue" else self.average


@dataclass(frozen=True, slots=True)
class Row:
    """Values of the query's dimensions, and of its metrics; None where there is nothing to divide by.

    `revenue` has each currency that may be told, by its code. `currency` is the only one of them; with several
    currencies there is none, and metrics of revenue are None. A `hidden` row stands for a group below the site's
    minimum: all its metrics are None. Those in `withheld` are None because they divide by fewer than that.
    """

    dimensions: tuple[str, ...]
    metrics: tuple[int | float | None, ...]
    currency: str = ""
    hidden: bool = False
    revenue: tuple[Revenue, ...] = ()
    withheld: frozenset[str] = frozenset()

    @property
    def folded(self) -> bool:
        """Whether it stands for groups below the site's minimum."""
        return OTHER in self.dimensions

    @property
    def shown(self) -> tuple[str, ...]:
        """Its dimensions as the APIs show them."""
        return tuple(OTHER_SHOWN if each == OTHER else each for each in self.dimensions)


@dataclass(frozen=True, slots=True)
class Result:
    """Rows in order; without dimensions there is always exactly one.

    `hidden`: everything is withheld, as the group has fewer than `min_visitors` visitors. `protected`: rows of groups
    that small are folded or left out. `rounded_to`: every count is a multiple of it; 0 is exact.
    `events_available_from` (an ISO date) is set where an earlier part of the range has no events any more and the
    result is of the rest. Of the days of the range that were imported, those in `imported` are in the result, and
    `imported_left_out` are not: they have sums, which no filter and no second dimension can be applied to.
    `property_days_left_out` had too many properties for sums by them, and have no events any more.
    """

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    total_rows: int | None = None
    hidden: bool = False
    protected: bool = False
    min_visitors: int = 1
    rounded_to: int = 0
    events_available_from: str = ""
    imported: frozenset[datetime.date] = frozenset()
    imported_left_out: frozenset[datetime.date] = frozenset()
    property_days_left_out: int = 0

    @property
    def imported_days_left_out(self) -> int:
        """How many they are."""
        return len(self.imported_left_out)

    def left_out_ranges(self) -> tuple[tuple[datetime.date, datetime.date], ...]:
        """The imported days that are left out, as first and last of those that follow each other."""
        return ranges(self.imported_left_out)
