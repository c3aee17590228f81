"""Few events, counted in this process: the database only reads them, and plans nothing but that.

Planning a statement that counts grows with the panels that it serves, whatever it reads; most of what a small site's
page took was that. What is counted here are the same components of the same branches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from collector.components import COMPONENTS
from dashboard.branches import Branch, Grouping, Scan
from dashboard.columns import reading_sql
from dashboard.counting import Columns, Counting, Key
from dashboard.planner import Panel
from dashboard.sql import Bound, Rows
from dashboard.statements import Form, Part, of_events
from dashboard.sums import Closed, has_sums

MOST_FEW = 100_000
"""Rows that are read at once; where there are more the database is quicker to count itself."""


class TooMany(Exception):
    """There are more rows than are counted here."""


class Many:
    """The readings that found too many rows a while ago: they are not tried again while they are remembered."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._known: dict[tuple[str, str], None] = {}

    def known(self, reading: Reading) -> bool:
        """Whether it found too many."""
        return reading.name in self._known

    def note(self, reading: Reading) -> None:
        """Remember it; what has been remembered for longest is forgotten."""
        self._known[reading.name] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


@dataclass(frozen=True, slots=True)
class Reading:
    """The SQL, with its parameters, that reads the rows of branches of one relation; each row is of one or several."""

    branches: tuple[Branch, ...]
    sql: str
    parameters: dict[str, object]

    @property
    def name(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.sql, repr(self.parameters)


@dataclass(frozen=True, slots=True)
class Few(Form):
    """What to read for some panels, where their rows are few."""

    readings: tuple[Reading, ...]
    most: int = MOST_FEW

    def count(self, reading: Reading, table: Any) -> list[tuple[Any, ...]]:
        """Rows as a statement's are, but for how many there are in all, from the columns that were read: an Arrow
        table. Raises `TooMany`."""
        if table.num_rows > self.most:
            raise TooMany
        columns = Columns(table, reading.branches)
        return [
            (each.panel, *key, *("",) * (self.keys - len(key)), *counts)
            for branch in reading.branches
            for counting in [Counting(columns, branch, columns.rows(branch))]
            for each in branch.groupings
            for key, counts in self._groups(counting, each)
        ]

    def together(self, counted: Iterable[Sequence[Sequence[Any]]]) -> list[tuple[Any, ...]]:
        """The rows of all readings, added up."""
        found: dict[tuple[Any, ...], list[int]] = {}
        for rows in counted:
            for row in rows:
                key, counts = tuple(row[: 1 + self.keys]), row[1 + self.keys :]
                before = found.get(key)
                found[key] = [*counts] if before is None else [a + b for a, b in zip(before, counts, strict=True)]
        return [(*key, *counts) for key, counts in found.items()]

    def _groups(self, counting: Counting, grouping: Grouping) -> Iterable[tuple[Key, Sequence[int]]]:
        """The groups of one panel, each with its components."""
        keys, places = counting.groups(grouping)
        taken = counting.branch.taken_by(grouping.panel, self.panels[grouping.panel].components)
        nothing = [0] * len(keys)
        counts = [
            counting.counts(taken[name], places, len(keys)) if name in taken else nothing for name in self.components
        ]
        return zip(keys, zip(*counts, strict=True), strict=True)


def few(panels: Sequence[Panel], closed: Closed, part: Part = "all", most: int = MOST_FEW) -> Few | None:
    """What to read to count the panels' events here, where these are no more than `most`.

    None where sums of closed days are needed as well, or rows do not tell what they count for.
    """
    bound = Bound()
    rows = Rows(panels[0].site, panels[0].period, bound)
    wanted = {name for panel in panels for name in panel.components}
    components = tuple(name for name in COMPONENTS if name in wanted)
    within = closed.within(rows.period)
    if part == "all" and within.days and any(map(has_sums, panels)):
        return None
    branches = of_events(Scan(panels, rows, components), within)
    if not all(each.row for branch in branches for each in branch.taken):
        return None
    alike: dict[tuple[str, str, str], list[Branch]] = {}
    for branch in branches:
        alike.setdefault((branch.relation, branch.among, _multiplied(branch)), []).append(branch)
    readings = tuple(Reading(tuple(each), reading_sql(each, most), bound.values) for each in alike.values())
    return Few(tuple(panels), components, max(len(panel.dimensions) for panel in panels), readings, most)


def _multiplied(branch: Branch) -> str:
    """What makes several rows of one: then they are not those of other branches."""
    groups = (group.by for each in branch.groupings for group in each.groups)
    return next((each for each in groups if each.startswith("arrayJoin(")), "")
