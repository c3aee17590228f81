"""Columns of rows that were read, as numbers: each is looked at once, whoever asks for it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.components import VISIT
from dashboard.branches import Branch
from dashboard.columns import Layout, found_here, value_of
from dashboard.day_numbers import date_of
from dashboard.sql import GOAL, Grouped
from dashboard.terms import AllOf, AnyOf, AtExit, OfVisit, Opposite, Term
from dashboard.worked import worked_out

Numbers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


class Columns:
    """What was read, an Arrow table; of `kept` places only, when given."""

    def __init__(self, table: Any, layout: Layout, kept: Numbers | None = None) -> None:
        self._table = table
        self._layout = layout
        self._kept = kept
        self._size = table.num_rows if kept is None else len(kept)
        self._plain: dict[str, Numbers] = {}
        self._coded: dict[str, tuple[Numbers, list[Any]]] = {}
        self._different: dict[str, tuple[Numbers, int]] = {}
        self._worked: dict[tuple[str, str], Numbers] = {}

    def rows(self, branches: Sequence[Branch]) -> tuple[Columns, list[Numbers]]:
        """The columns of the rows of any of the branches, and the places of each one's rows among these."""
        mine = [self._mine(branch) for branch in branches]
        either = np.flatnonzero(np.logical_or.reduce(mine))
        found = Columns(self._table, self._layout, either)
        if VISIT in self._different:
            found._different[VISIT] = _numbered_again(self._different[VISIT], either)
        if any(branch.exits for branch in branches):
            codes, pages = self.exits
            found.exits = codes[either], pages
        return found, [np.flatnonzero(each[either]) for each in mine]

    def _mine(self, branch: Branch) -> Flags:
        mine = self._all((*branch.among, *branch.where))
        return mine & self._holds(OfVisit((*branch.among, *branch.chosen))) if branch.chosen else mine

    def known(self) -> Flags:
        """Where there is a visitor."""
        return self.flags("visitor != 0")

    def numbers(self, expression: str, entered: str = "1") -> Numbers:
        """What each row gives."""
        worked = worked_out(expression)
        if worked is None:
            return self.plain(self._layout.read[expression])
        if (expression, entered) not in self._worked:
            self._worked[expression, entered] = worked.of(self, entered)
        return self._worked[expression, entered]

    def different(self, expression: str) -> tuple[Numbers, int]:
        """The number of each row's value among the different values, and how many these are."""
        if expression not in self._different:
            self._different[expression] = _numbered(self.numbers(expression))
        return self._different[expression]

    def texts(self, branch: Branch, group: Grouped) -> tuple[Numbers, list[str]]:
        """The same of what is grouped by, with the values."""
        if found_here(branch, group):
            return self.exits
        if group.by == GOAL:
            return self._goals
        if group.text:
            return self.coded(self._layout.read[value_of(group)])
        numbers = self.numbers(value_of(group)).astype(np.int64)
        first, last = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, -1)
        return numbers - first, [_moment(value, group.seconds) for value in range(first, last + 1)]

    def plain(self, name: str) -> Numbers:
        """A column of numbers."""
        if name not in self._plain:
            column = self._table.column(name)
            column = column.cast(column.type.value_type) if _is_coded(column) else column
            numbers = column.to_numpy()
            self._plain[name] = numbers if self._kept is None else numbers[self._kept]
        return self._plain[name]

    def named(self, name: str) -> Numbers:
        """Which rows are events of that name."""
        codes, names = self.coded("name")
        return codes == names.index(name) if name in names else np.zeros(len(codes), np.bool_)

    def flags(self, expression: str) -> Flags:
        """Of which rows it holds."""
        if expression in self._layout.shared:
            return np.ones(self._size, np.bool_)
        return np.asarray(self.numbers(expression), np.bool_)

    def coded(self, name: str) -> tuple[Numbers, list[Any]]:
        """The number of each row's text, and the texts."""
        if name not in self._coded:
            column = self._table.column(name)
            coded = _is_coded(column)
            if not coded and self._kept is not None:
                column = column.take(self._kept)
            whole = (column.unify_dictionaries() if coded else column.dictionary_encode()).combine_chunks()
            codes = whole.indices.to_numpy()
            codes = codes[self._kept] if coded and self._kept is not None else codes
            self._coded[name] = codes, whole.dictionary.to_pylist()
        return self._coded[name]

    @cached_property
    def _goals(self) -> tuple[Numbers, list[str]]:
        """Custom events, and views of each page."""
        own, names = self.coded("name")
        at, pages = self.coded("page")
        # A view is told by its page alone, all else by its name alone.
        viewed = names.index("pageview") if "pageview" in names else -1
        codes = np.where(own == viewed, len(names) + at, own)
        return codes, [*names, *(f"Visit {page}" for page in pages)]

    def _all(self, terms: Iterable[Term]) -> Flags:
        found = np.ones(self._size, np.bool_)
        for term in terms:
            if term not in self._layout.shared:
                found &= self._holds(term)
        return found

    def _holds(self, term: Term) -> Flags:
        """Of which rows it holds."""
        match term:
            case str():
                return self.flags(term)
            case AllOf(parts):
                return self._all(parts)
            case AnyOf(parts):
                return ~self._all(tuple(map(Opposite, parts)))
            case Opposite(part):
                return ~self._holds(part)
            case OfVisit(parts):
                visits, many = self.different(VISIT)
                found = np.zeros(many, np.bool_)
                found[visits[self._all(parts)]] = True
                return np.asarray(found[visits])
            case AtExit(page, none):
                return self._at_exit(self.flags(page), self.flags(none))

    def _at_exit(self, page: Flags, none: Flags) -> Flags:
        """What holds of each row's own page, told of the page that its visit was left from."""
        own, pages = self.coded("page")
        found = np.zeros(len(pages) + 1, np.bool_)
        found[own] = page
        found[-1] = none.any()
        return np.asarray(found[self.exits[0]])

    @cached_property
    def exits(self) -> tuple[Numbers, list[str]]:
        """The page that each row's visit was left from: the greatest text of its last second. The last of the values
        is for visits that viewed no page."""
        own, pages = self.coded("page")
        visits, many = self.different(VISIT)
        viewed = np.flatnonzero(self.numbers("name = 'pageview'") & self.known())
        by_text = sorted(range(len(pages)), key=lambda place: pages[place].encode())
        ranks = np.empty(len(pages), np.int64)
        ranks[by_text] = np.arange(1, len(pages) + 1)
        size = len(pages) + 1
        last = np.zeros(many, np.int64)
        np.maximum.at(last, visits[viewed], self.plain("at")[viewed].astype(np.int64) * size + ranks[own[viewed]])
        places = np.array([len(pages), *by_text])
        return places[(last % size)[visits]], [*pages, ""]


def _numbered(numbers: Numbers) -> tuple[Numbers, int]:
    """The number of each value among the different values, and how many these are."""
    # Rows of a visit mostly lie side by side: of each run of a value only the first is looked up.
    first = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)])
    # With the rest of the driver's ways to Arrow, it is loaded where it is needed.
    import pyarrow  # type: ignore[import-untyped] # it has no types

    coded = pyarrow.array(numbers[first]).dictionary_encode()
    return np.repeat(coded.indices.to_numpy(), np.diff(first, append=len(numbers))), len(coded.dictionary)


def _numbered_again(different: tuple[Numbers, int], kept: Numbers) -> tuple[Numbers, int]:
    """The same of some rows only: what none of these has takes no number."""
    codes, many = different
    mine = codes[kept]
    found = np.zeros(many, np.int64)
    found[mine] = 1
    return (np.cumsum(found) - 1)[mine], int(found.sum())


def _is_coded(column: Any) -> bool:
    return hasattr(column.type, "index_type")


def _moment(value: int, seconds: int) -> str:
    """The text of a date, by its number since 1970, or of an hour or minute."""
    if not seconds:
        return str(date_of(value))
    return (_MIDNIGHT + datetime.timedelta(seconds=value * seconds)).strftime("%Y-%m-%d %H:%M:%S")


_MIDNIGHT = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
