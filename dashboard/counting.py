"""Counts of rows that were read: what the database does by groups, done here over columns of numbers."""

from __future__ import annotations

from dataclasses import dataclass

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

    def groups(self, grouping: Grouping) -> tuple[list[Key], Numbers]:
        """A panel's groups, and the place among these that each row has."""
        keys: list[Key] = [()]
        places = np.zeros(len(self.rows), np.int64)
        for group in grouping.groups:
            codes, texts = self.columns.texts(self.branch, group)
            many = len(texts)
            joined = places * many + codes[self.rows]
            found, places = _numbered(joined, len(keys) * many)
            keys = [(*keys[place // many], texts[place % many]) for place in found.tolist()]
        return keys, places

    def counts(self, component: Component, places: Numbers, groups: int) -> list[int]:
        """The component of each of so many groups, by the places of the rows."""
        if component.kind == "different":
            return self._different(component.row, places, groups)
        numbers = self.columns.numbers(component.row, self.branch.entered)[self.rows]
        if component.kind == "highest":
            places, numbers = self._highest(places, groups, numbers)
        if numbers.dtype == np.bool_:
            counted: list[int] = np.bincount(places[numbers], minlength=groups).tolist()
            return counted
        total = np.zeros(groups, np.int64)
        np.add.at(total, places, numbers.astype(np.int64))
        return total.tolist()

    def _different(self, row: str, places: Numbers, groups: int) -> list[int]:
        codes, many = self.columns.different(row)
        known = self.columns.known()[self.rows]
        pairs = _different((places * many + codes[self.rows])[known], groups * many)
        counted: list[int] = np.bincount(pairs // max(many, 1), minlength=groups).tolist()
        return counted

    def _highest(self, places: Numbers, groups: int, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """The highest number of each visit in each group, with the group's place."""
        codes, many = self.columns.different(VISIT)
        found, own = _numbered(places * many + codes[self.rows], groups * many)
        highest = np.zeros(len(found), np.int64)
        np.maximum.at(highest, own, numbers)
        return found // max(many, 1), highest


def _different(values: Numbers, size: int) -> Numbers:
    """The different values among such as are below `size`, in order."""
    if size > _MOST_MARKS:
        return np.unique(values)
    seen = np.zeros(size, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen)


def _numbered(values: Numbers, size: int) -> tuple[Numbers, Numbers]:
    """The different values, and the place of each value among them."""
    found = _different(values, size)
    if size > _MOST_MARKS:
        return found, np.searchsorted(found, values)
    numbers = np.zeros(size, np.int64)
    numbers[found] = np.arange(len(found))
    return found, numbers[values]
