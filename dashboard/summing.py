"""Sums of closed days, added up in this process from rows of `daily` that are in memory.

They are those that `dashboard.sums` has the database add up: where there are few, planning that takes far longer than
reading them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from collector.building import COLUMNS
from collector.components import COMPONENTS
from dashboard.columns import Layout
from dashboard.counting import Key, divided
from dashboard.day_numbers import date_of
from dashboard.dimensions import CURRENCY, Dimension
from dashboard.held import Groups
from dashboard.parts import Wanted
from dashboard.planner import Panel
from dashboard.reading import Columns, Numbers
from dashboard.sql import Days
from dashboard.statements import MOST_GROUPS
from dashboard.sums import Closed, goals_of, summed

MOST_SUMS = 100_000
"""Rows that are added up here."""

_NAMES = {"date": "toUInt16(day)", "dimension": "dimension", "text": "toLowCardinality(value)", "currency": "currency"}
_COLUMNS = {**_NAMES, "version": "version", **{name: name for name in COLUMNS}}


def wanted_sums(site: str, days: Days) -> Wanted:
    """The sums of a site, of these days and the rest of their months."""
    return Wanted("daily", site, days, _COLUMNS, {})


class DailySums:
    """Rows of `daily`, an Arrow table of the columns that are wanted of them."""

    def __init__(self, table: Any) -> None:
        self._columns = Columns(table, Layout(dict(_COLUMNS), {}, frozenset()))

    def have(self, versions: Iterable[int]) -> bool:
        """Whether there are rows of all these."""
        return {*versions} <= {*np.unique(self._columns.plain("version")).tolist()}

    def groups(self, panel: Panel, closed: Closed) -> Groups | None:
        """The panel's groups on these days; None of too many, or of a property, of which a day may have no sums."""
        if any(each.key for each in panel.dimensions):
            return None
        name = summed(panel)
        of_entries = {each for each in panel.components if name == "event:page" and COMPONENTS[each].basis == "visit"}
        found = self._added(panel, closed, name, panel.components - of_entries)
        entered = self._added(panel, closed, "visit:entry_page", of_entries) if of_entries else {}
        nothing = dict.fromkeys(panel.components, 0)
        keys = found.keys() | entered.keys()
        if len(keys) > MOST_GROUPS:
            return None
        return {key: nothing | found.get(key, {}) | entered.get(key, {}) for key in keys}

    def _added(self, panel: Panel, closed: Closed, dimension: str, components: Collection[str]) -> Groups:
        names, texts = self._columns.coded("dimension")
        versions = np.array([version for _, version in closed.days], np.uint64)
        if dimension not in texts:
            return {}
        mine = np.flatnonzero(names == texts.index(dimension))
        mine = mine[np.isin(self._columns.plain("version")[mine], versions)]
        keys: list[Key] = [()]
        places = np.zeros(len(mine), np.int64)
        for each in panel.dimensions:
            codes, shown = self._coded(each, panel, mine)
            # A value without a name of its own is in no group.
            listed = codes >= 0
            mine = mine[listed]
            keys, places = divided(keys, places[listed], codes[listed], shown)
        if not panel.dimensions and not len(mine):
            return {}
        sums = {
            name: self._sum("entries" if name == "landings" else name, mine, places, len(keys)) for name in components
        }
        return {key: {name: sums[name][place] for name in components} for place, key in enumerate(keys)}

    def _sum(self, name: str, rows: Numbers, places: Numbers, groups: int) -> list[int]:
        total = np.zeros(groups, np.int64)
        np.add.at(total, places, self._columns.plain(name)[rows].astype(np.int64))
        return total.tolist()

    def _coded(self, dimension: Dimension, panel: Panel, rows: Numbers) -> tuple[Numbers, Sequence[str]]:
        """The number of each row's value among those that are shown; -1 for one that is in no group."""
        if dimension.level == "time":
            step, period = dimension.column, panel.period
            return _renamed(
                self._columns.plain("date")[rows], lambda number: str(period.date_label(date_of(number), step))
            )
        if dimension == CURRENCY:
            codes, texts = self._columns.coded("currency")
            return codes[rows], texts
        codes, texts = self._columns.coded("text")
        if dimension.name != "event:goal":
            return codes[rows], texts
        goals = goals_of(panel)
        if goals is None:
            return _renamed(codes[rows], lambda code: texts[code] if texts[code] != "pageview" else None)
        return _renamed(codes[rows], lambda code: goals.get(texts[code]))


def _renamed(values: Numbers, name: Callable[[int], str | None]) -> tuple[Numbers, list[str]]:
    """The number of each value's name among the different names, and these; -1 where it has none."""
    known, places = np.unique(values, return_inverse=True)
    names = [name(value) for value in known.tolist()]
    shown = {each: number for number, each in enumerate(dict.fromkeys(each for each in names if each is not None))}
    numbers = np.array([-1 if each is None else shown[each] for each in names], np.int64)
    return numbers[places], [*shown]
