"""Counts of rows that were read: what the database does by groups, done here over columns of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.components import VISIT, Component
from dashboard.branches import Branch, Grouping
from dashboard.columns import numbers_of, shown, terms_of, texts_of, where_of
from dashboard.sql import Grouped

Integers = npt.NDArray[np.int64]
Key = tuple[str, ...]

# Below this a mark for each possible value finds the different ones sooner than sorting does.
_MOST_MARKS = 5_000_000


class Columns:
    """What was read, an Arrow table; each column is looked at once."""

    def __init__(self, table: Any, branches: Sequence[Branch]) -> None:
        self._table = table
        self._texts, self._numbers, self._terms = texts_of(branches), numbers_of(branches), terms_of(branches)
        self._coded: dict[str, tuple[Integers, Any]] = {}
        self._plain: dict[str, Integers] = {}

    def rows(self, branch: Branch) -> Integers:
        """The places of the branch's rows."""
        mine = self._hold(where_of(branch))
        if branch.chosen:
            visits, many = self.different(VISIT)
            chosen = np.zeros(many, np.int64)
            chosen[visits[self._hold(branch.chosen) != 0]] = 1
            mine = mine * chosen[visits]
        return np.flatnonzero(mine)

    def _hold(self, terms: Iterable[str]) -> Integers:
        """1 where all of them hold; those that are no column hold of every row."""
        found = np.ones(self._table.num_rows, np.int64)
        for term in terms:
            if term in self._terms:
                found = found * self._column(self._terms[term])
        return found

    def known(self) -> Integers:
        """1 where there is a visitor."""
        return self._column("known")

    def numbers(self, row: str) -> Integers:
        """What each row gives."""
        return self._column(self._numbers[row])

    def different(self, row: str) -> tuple[Integers, int]:
        """The number of each row's value among the different values, and how many these are."""
        codes, values = self._codes(self._numbers[row])
        return codes, len(values)

    def texts(self, group: Grouped) -> tuple[Integers, list[str]]:
        """The same of what is grouped by, with the values."""
        codes, values = self._codes(self._texts[shown(group)])
        return codes, values.to_pylist()

    def _column(self, name: str) -> Integers:
        if name not in self._plain:
            column = self._table.column(name)
            if _is_coded(column):
                column = column.cast(column.type.value_type)
            self._plain[name] = column.to_numpy().astype(np.int64)
        return self._plain[name]

    def _codes(self, name: str) -> tuple[Integers, Any]:
        if name not in self._coded:
            column = self._table.column(name)
            coded = column.unify_dictionaries() if _is_coded(column) else column.dictionary_encode()
            whole = coded.combine_chunks()
            self._coded[name] = whole.indices.to_numpy().astype(np.int64), whole.dictionary
        return self._coded[name]


def _is_coded(column: Any) -> bool:
    return hasattr(column.type, "index_type")


@dataclass(frozen=True, slots=True)
class Counting:
    """One branch's rows among what was read."""

    columns: Columns
    branch: Branch
    rows: Integers

    def groups(self, grouping: Grouping) -> tuple[list[Key], Integers]:
        """A panel's groups, and the place among these that each row has."""
        keys: list[Key] = [()]
        places = np.zeros(len(self.rows), np.int64)
        for group in grouping.groups:
            codes, texts = self.columns.texts(group)
            many = len(texts)
            joined = places * many + codes[self.rows]
            found = _different(joined, len(keys) * many)
            keys = [(*keys[place // many], texts[place % many]) for place in found.tolist()]
            places = np.searchsorted(found, joined)
        return keys, places

    def counts(self, component: Component, places: Integers, groups: int) -> list[int]:
        """The component of each of so many groups, by the places of the rows."""
        if component.kind == "different":
            return self._different(component.row, places, groups)
        numbers = self.columns.numbers(component.row)[self.rows]
        if component.kind == "highest":
            places, numbers = self._highest(places, groups, numbers)
        total = np.zeros(groups, np.int64)
        np.add.at(total, places, numbers)
        return total.tolist()

    def _different(self, row: str, places: Integers, groups: int) -> list[int]:
        codes, many = self.columns.different(row)
        known = self.columns.known()[self.rows] != 0
        pairs = _different((places * many + codes[self.rows])[known], groups * many)
        counted: list[int] = np.bincount(pairs // max(many, 1), minlength=groups).tolist()
        return counted

    def _highest(self, places: Integers, groups: int, numbers: Integers) -> tuple[Integers, Integers]:
        """The highest number of each visit in each group, with the group's place."""
        codes, many = self.columns.different(VISIT)
        pairs = places * many + codes[self.rows]
        found = _different(pairs, groups * many)
        highest = np.zeros(len(found), np.int64)
        np.maximum.at(highest, np.searchsorted(found, pairs), numbers)
        return found // max(many, 1), highest


def _different(values: Integers, size: int) -> Integers:
    """The different values among such as are below `size`, in order."""
    if size > _MOST_MARKS:
        return np.unique(values)
    seen = np.zeros(size, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen)
