"""Columns of rows that were read, as numbers: each is looked at once, whoever asks for it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.components import VISIT
from dashboard.branches import Branch
from dashboard.columns import Layout, found_here, value_of
from dashboard.sql import Grouped
from dashboard.terms import AllOf, AnyOf, AtExit, OfVisit, Opposite, Term
from dashboard.worked import WORKED

Numbers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


class Columns:
    """What was read, an Arrow table."""

    def __init__(self, table: Any, layout: Layout) -> None:
        self._table = table
        self._layout = layout
        self._plain: dict[str, Numbers] = {}
        self._coded: dict[str, tuple[Numbers, list[Any]]] = {}
        self._worked: dict[tuple[str, str], Numbers] = {}

    def rows(self, branch: Branch) -> Numbers:
        """The places of the branch's rows."""
        mine = self._all((*branch.among, *branch.where))
        if branch.chosen:
            mine = mine & self._holds(OfVisit((*branch.among, *branch.chosen)))
        return np.flatnonzero(mine)

    def known(self) -> Numbers:
        """Where there is a visitor."""
        return self.numbers("visitor != 0")

    def numbers(self, expression: str, entered: str = "1") -> Numbers:
        """What each row gives."""
        worked = WORKED.get(expression)
        if worked is None:
            return self.plain(self._layout.read[expression])
        if (expression, entered) not in self._worked:
            self._worked[expression, entered] = worked.of(self, entered)
        return self._worked[expression, entered]

    def different(self, expression: str) -> tuple[Numbers, int]:
        """The number of each row's value among the different values, and how many these are."""
        if expression not in self._coded:
            coded = _arrow(self.numbers(expression)).dictionary_encode()
            self._coded[expression] = coded.indices.to_numpy(), [None] * len(coded.dictionary)
        codes, values = self._coded[expression]
        return codes, len(values)

    def texts(self, branch: Branch, group: Grouped) -> tuple[Numbers, list[str]]:
        """The same of what is grouped by, with the values."""
        if found_here(branch, group):
            return self._exits
        codes, values = self._codes(self._layout.read[value_of(group)])
        return codes, values if group.text else [_moment(value, group.seconds) for value in values]

    def plain(self, name: str) -> Numbers:
        """A column of numbers."""
        if name not in self._plain:
            column = self._table.column(name)
            column = column.cast(column.type.value_type) if _is_coded(column) else column
            self._plain[name] = column.to_numpy()
        return self._plain[name]

    def named(self, name: str) -> Numbers:
        """Which rows are events of that name."""
        codes, names = self._codes("name")
        return codes == names.index(name) if name in names else np.zeros(len(codes), np.bool_)

    def flags(self, expression: str) -> Flags:
        """Of which rows it holds."""
        if expression in self._layout.shared:
            return np.ones(self._table.num_rows, np.bool_)
        return np.asarray(self.numbers(expression), np.bool_)

    def _codes(self, name: str) -> tuple[Numbers, list[Any]]:
        if name not in self._coded:
            column = self._table.column(name)
            coded = column.unify_dictionaries() if _is_coded(column) else column.dictionary_encode()
            whole = coded.combine_chunks()
            self._coded[name] = whole.indices.to_numpy(), whole.dictionary.to_pylist()
        return self._coded[name]

    def _all(self, terms: Iterable[Term]) -> Flags:
        found = np.ones(self._table.num_rows, np.bool_)
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
        own, pages = self._codes("page")
        found = np.zeros(len(pages) + 1, np.bool_)
        found[own] = page
        found[-1] = none.any()
        return np.asarray(found[self._exits[0]])

    @cached_property
    def _exits(self) -> tuple[Numbers, list[str]]:
        """The page that each row's visit was left from: the greatest text of its last second. The last of the values
        is for visits that viewed no page."""
        own, pages = self._codes("page")
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


def _arrow(numbers: Numbers) -> Any:
    # With the rest of the driver's ways to Arrow, it is loaded where it is needed.
    import pyarrow  # type: ignore[import-untyped] # it has no types

    return pyarrow.array(numbers)


def _is_coded(column: Any) -> bool:
    return hasattr(column.type, "index_type")


def _moment(value: int, seconds: int) -> str:
    """The text of a date, by its number since 1970, or of an hour or minute."""
    if not seconds:
        return str(datetime.date.fromordinal(_EPOCH + value))
    return (_MIDNIGHT + datetime.timedelta(seconds=value * seconds)).strftime("%Y-%m-%d %H:%M:%S")


_EPOCH = datetime.date(1970, 1, 1).toordinal()
_MIDNIGHT = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
