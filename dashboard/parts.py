"""Parts of tables, and rows of them that are wanted.

ClickHouse never changes a part. Whatever is inserted, merged, erased or deleted makes parts of other names; what is
restored from a backup is another table, whose parts lie in other places.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dashboard.bound import valued
from dashboard.sql import Days

Table = Literal["closed", "daily", "events"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a table: the first and last of its dates, and its rows, of all sites."""

    table: Table
    name: str
    first: datetime.date
    last: datetime.date
    rows: int
    path: str
    """Where it lies: in a table that was restored an old name stands for other rows."""

    def has(self, first: datetime.date, last: datetime.date) -> bool:
        """Whether it may have any of these dates."""
        return self.first <= last and first <= self.last

    def share(self, first: datetime.date, last: datetime.date) -> float:
        """How many of its dates are among these, of all."""
        days = (min(self.last, last) - max(self.first, first)).days + 1
        return max(days, 0) / ((self.last - self.first).days + 1)


@dataclass(frozen=True, slots=True)
class Listing:
    """The parts of the tables that figures come from, and where those of closed days and of their sums lie.

    `at` is when it was asked for, as `Asker.now` says; `old` one was listed for another question, a moment ago.
    """

    parts: tuple[Part, ...]
    closed: frozenset[str]
    daily: frozenset[str]
    at: float
    old: bool

    @classmethod
    def of(cls, parts: Sequence[Part], at: float, *, old: bool) -> Listing:
        """These parts."""
        closed, daily = (frozenset(part.path for part in parts if part.table == table) for table in ("closed", "daily"))
        return cls(tuple(parts), closed, daily, at, old)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of a site in a table, of months that have these days: SQL of columns by their names, with its parameters.

    One of the columns is `date`, the number of days since 1970. Of events none but those of the days are meant.
    """

    table: Table
    site: str
    days: Days
    columns: Mapping[str, str]
    parameters: Mapping[str, object]

    def among(self, parts: Iterable[Part]) -> list[Part]:
        """The parts that may have such rows."""
        return [part for part in parts if part.table == self.table and any(part.has(*each) for each in self.days)]

    @property
    def rows(self) -> str:
        """Which rows it is about, whatever of them."""
        return repr((self.table, self.site, self.days))

    def texts(self) -> dict[str, str]:
        """The SQL of each column with its values, whatever its parameters are called."""
        return {name: valued(sql, self.parameters) for name, sql in self.columns.items()}


class TooMany(Exception):
    """There are more rows than are looked at here."""


class Unread(Exception):
    """Nothing of the parts was read yet, and few of their rows are wanted."""


class Gone(Exception):
    """A part is listed no more: its rows are in another one."""


def mostly(parts: Iterable[Part], days: Days) -> bool:
    """Whether at least half of the rows of these parts can be thought to be of these days."""
    wanted = sum(part.rows * part.share(first, last) for part in parts for first, last in days)
    return 2 * wanted >= sum(part.rows for part in parts)
