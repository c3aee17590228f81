"""Counts of rows that were read: what the database does by groups, done here over columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from collector.components import VISIT, Component
from dashboard.branches import Branch, Grouping
from dashboard.reading import Columns, Numbers

Key = tuple[str, ...]

# Below this a mark for each possible value finds the different ones sooner than sorting does.
_MOST_MARKS = 5_000_000


@dataclass(frozen=True, slots=True)
class Counting:
    """One branch's rows among what was read."""

    columns: Columns
    branch: Branch
    rows: Numbers
    _giving: dict[str, tuple[Numbers, Numbers]] = field(default_factory=dict)
    """By what is counted: which rows give anything to it, and what. Every panel asks for the same."""

    def groups(self, grouping: Grouping) -> tuple[list[Key], Numbers]:
        """A panel's groups, and the place among these that each row has."""
        keys: list[Key] = [()]
        places = np.zeros(len(self.rows), np.int64)
        for group in grouping.groups:
            codes, texts = self.columns.texts(self.branch, group)
            keys, places = divided(keys, places, codes[self.rows], texts)
        return keys, places

    def counts(self, component: Component, places: Numbers, groups: int) -> list[int]:
        """The component of each of so many groups, by the places of the rows."""
        if component.kind == "different":
            return self._different(component.row, places, groups)
        rows, numbers = self._numbers(component.row)
        if component.kind == "highest":
            places, numbers = self._highest(places[rows], groups, rows, numbers)
            rows = np.arange(len(numbers))
        if numbers.dtype == np.bool_:
            counted: list[int] = np.bincount(places[rows], minlength=groups).tolist()
            return counted
        total = np.zeros(groups, np.int64)
        np.add.at(total, places[rows], numbers)
        return total.tolist()

    def _numbers(self, row: str) -> tuple[Numbers, Numbers]:
        if row not in self._giving:
            numbers = self.columns.numbers(row, self.branch.entered)[self.rows]
            rows = np.flatnonzero(numbers)
            numbers = numbers[rows]
            self._giving[row] = rows, numbers if numbers.dtype == np.bool_ else numbers.astype(np.int64)
        return self._giving[row]

    def _different(self, row: str, places: Numbers, groups: int) -> list[int]:
        codes, many = self.columns.different(row)
        if row not in self._giving:
            known = np.flatnonzero(self.columns.known()[self.rows])
            self._giving[row] = known, codes[self.rows[known]].astype(np.int64)
        rows, own = self._giving[row]
        pairs = places[rows] * many + own
        if groups * many > _MOST_MARKS:
            counted: list[int] = np.bincount(np.unique(pairs) // max(many, 1), minlength=groups).tolist()
            return counted
        seen = np.zeros(groups * many, np.bool_)
        seen[pairs] = True
        several: list[int] = np.count_nonzero(seen.reshape(groups, many), axis=1).tolist()
        return several

    def _highest(self, places: Numbers, groups: int, rows: Numbers, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """The highest number of each visit in each group, with the group's place."""
        codes, many = self.columns.different(VISIT)
        found, own = numbered(places * many + codes[self.rows[rows]], groups * many)
        highest = np.zeros(len(found), np.int64)
        np.maximum.at(highest, own, numbers)
        return found // max(many, 1), highest


def divided(keys: Sequence[Key], places: Numbers, codes: Numbers, texts: Sequence[str]) -> tuple[list[Key], Numbers]:
    """Groups divided further by what each row's code stands for: those that there are, and each row's place."""
    many = len(texts)
    found, divided_places = numbered(places * many + codes, len(keys) * many)
    return [(*keys[place // many], texts[place % many]) for place in found.tolist()], divided_places


def _different(values: Numbers, size: int) -> Numbers:
    """The different values among such as are below `size`, in order."""
    if size > _MOST_MARKS:
        return np.unique(values)
    seen = np.zeros(size, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen)


def numbered(values: Numbers, size: int) -> tuple[Numbers, Numbers]:
    """The different values, and the place of each value among them."""
    found = _different(values, size)
    if size > _MOST_MARKS:
        return found, np.searchsorted(found, values)
    numbers = np.zeros(size, np.int64)
    numbers[found] = np.arange(len(found))
    return found, numbers[values]
