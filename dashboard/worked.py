"""What this process works out of a row's own columns: for the database each expression is one more to plan."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from collector.components import COMPONENTS, VISIT
from dashboard.day_numbers import number_of

Numbers = npt.NDArray[Any]

# An odd number with its bits spread out: multiplying by it mixes them, and takes no two numbers to the same.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Source(Protocol):
    """The columns that were read."""

    def plain(self, name: str) -> Numbers:
        """A column of numbers."""

    def coded(self, name: str) -> tuple[Numbers, list[Any]]:
        """The number of each row's text, and the texts."""

    def named(self, name: str) -> Numbers:
        """Which rows are events of that name."""

    def flags(self, expression: str) -> Numbers:
        """Of which rows it holds."""


@dataclass(frozen=True, slots=True)
class Worked:
    """How an expression is worked out: the columns that it needs, as they are read, by their names; and what it is of
    these and, where it speaks of entries, of what must hold of these."""

    columns: dict[str, str]
    of: Callable[[Source, str], Numbers]


# A column is not named as what it is made of: the name would stand for it wherever that is meant.
_DAY, _VISITOR, _VISIT = {"date": "toUInt16(day)"}, {"visitor": "visitor"}, {"visit": "visit"}
AT: Final = {"at": "toUInt32(ts)"}
_NAME, _VISITS, _BOUNCES = {"name": "name"}, {"visits": "visits"}, {"bounces": "bounces"}


def _moment(source: Source) -> Numbers:
    day = source.plain("date").astype(np.uint64)
    return (day << np.uint64(32) | source.plain("visit").astype(np.uint64)) * _SPREAD


WORKED: dict[str, Worked] = {
    "1": Worked(_VISITOR, lambda source, _: np.ones(len(source.plain("visitor")), np.bool_)),
    "visitor != 0": Worked(_VISITOR, lambda source, _: source.plain("visitor") != 0),
    # Ids of different days are unrelated; mixing in the date makes that hold by definition, not by chance.
    COMPONENTS["visitors"].row: Worked(
        _DAY | _VISITOR, lambda source, _: source.plain("visitor") ^ (source.plain("date").astype(np.uint64) * _SPREAD)
    ),
    VISIT: Worked(_DAY | _VISITOR | _VISIT, lambda source, _: source.plain("visitor") ^ _moment(source)),
    "name = 'pageview'": Worked(_NAME, lambda source, _: source.named("pageview")),
    "name != 'pageview'": Worked(_NAME, lambda source, _: ~source.named("pageview")),
    "name = 'engagement'": Worked(_NAME, lambda source, _: source.named("engagement")),
    "name != 'engagement'": Worked(_NAME, lambda source, _: ~source.named("engagement")),
    COMPONENTS["views"].row: Worked(
        _NAME | _VISITOR, lambda source, _: source.named("pageview") & (source.plain("visitor") != 0)
    ),
    "toInt32(day)": Worked(_DAY, lambda source, _: source.plain("date")),
    COMPONENTS["landings"].row: Worked(_VISITS, lambda source, entered: source.plain("visits") * source.flags(entered)),
    COMPONENTS["bounces"].row: Worked(
        _BOUNCES, lambda source, entered: source.plain("bounces") * source.flags(entered)
    ),
}
"""By the text that is the database's for the same."""


class Known(str):
    """An expression with values of its own, and how it is worked out."""

    __slots__ = ("worked",)
    worked: Worked


def on_days(sql: str, ranges: Iterable[tuple[datetime.date, datetime.date]]) -> Known:
    """That a row is of one of these ranges of dates, the last one included in each."""
    numbers = [(number_of(first), number_of(last)) for first, last in ranges]

    def holds(source: Source, _: str) -> Numbers:
        dates = source.plain("date")
        within = [(dates >= first) & (dates <= last) for first, last in numbers]
        return np.asarray(np.logical_or.reduce(within))

    return _known(sql, Worked(_DAY, holds))


def since(sql: str, second: int) -> Known:
    """That a row is of that Unix second or later."""
    return _known(sql, Worked(AT, lambda source, _: source.plain("at") >= second))


def before(sql: str, second: int) -> Known:
    """That a row is of an earlier Unix second."""
    return _known(sql, Worked(AT, lambda source, _: source.plain("at") < second))


def among(sql: str, column: str, values: Iterable[str]) -> Known:
    """That a row's text in this column is one of these."""
    wanted = frozenset(values)

    def holds(source: Source, _: str) -> Numbers:
        codes, texts = source.coded(column)
        return np.fromiter((text in wanted for text in texts), np.bool_, len(texts))[codes]

    return _known(sql, Worked({column: column}, holds))


def opposite(expression: str) -> str:
    """That it does not hold; worked out where it is."""
    sql = f"NOT {expression}"
    if not isinstance(expression, Known):
        return sql
    worked = expression.worked
    return _known(sql, Worked(worked.columns, lambda source, entered: ~worked.of(source, entered)))


def joined(word: Literal["AND", "OR"], expressions: Sequence[str]) -> str:
    """That all of them hold, or any; worked out where all of them are."""
    sql = "(" + f" {word} ".join(expressions) + ")"
    parts = [each.worked for each in expressions if isinstance(each, Known)]
    if len(parts) < len(expressions):
        return sql
    join = np.logical_and if word == "AND" else np.logical_or
    columns = {name: read for part in parts for name, read in part.columns.items()}
    return _known(
        sql, Worked(columns, lambda source, entered: join.reduce([part.of(source, entered) for part in parts]))
    )


def _known(sql: str, worked: Worked) -> Known:
    known = Known(sql)
    known.worked = worked
    return known


def worked_out(expression: str) -> Worked | None:
    """How this process works the expression out; None where it is read."""
    return expression.worked if isinstance(expression, Known) else WORKED.get(expression)


def columns_of(expressions: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What is read for these expressions: SQL by the name of its column; and the columns of those that are read."""
    found: dict[str, str] = {}
    read: dict[str, str] = {}
    for expression in dict.fromkeys(expressions):
        worked = worked_out(expression)
        if worked:
            found |= worked.columns
        else:
            # A column of the table's may be needed for something that is worked out as well: it is read once.
            read[expression] = expression if expression.isidentifier() else f"x{len(read)}"
    return found | {name: expression for expression, name in read.items()}, read
