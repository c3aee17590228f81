"""Few events, counted in this process: the database only reads them, and plans nothing but that.

Planning a statement that counts grows with the panels that it serves, whatever it reads; most of what a small site's
page took was that. What is counted here are the same components of the same branches; one reading serves all that is
asked together, of whichever dates and filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from collector.components import COMPONENTS
from dashboard.branches import Branch, Grouping, Scan
from dashboard.columns import Layout, layout_of, reading_sql
from dashboard.counting import Counting, Key
from dashboard.planner import Panel
from dashboard.reading import Columns
from dashboard.sql import Bound, Rows
from dashboard.statements import Form, Part, of_events
from dashboard.sums import Closed, has_sums

MOST_FEW = 200_000
"""Rows that are read at once; where there are more the database is quicker to count itself."""


class Asked(NamedTuple):
    """Panels over the same events, and the days that are asked about: all of them, or those that are not closed."""

    panels: tuple[Panel, ...]
    closed: Closed
    part: Part


_PARAMETER = re.compile(r"\{(p[0-9]+):")


class TooMany(Exception):
    """There are more rows than are counted here."""


class Many:
    """The rows that were too many a while ago: they are not read again while they are remembered."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._known: dict[str, None] = {}

    def known(self, reading: Reading) -> bool:
        """Whether they were found to be too many."""
        return reading.rows in self._known

    def note(self, reading: Reading) -> None:
        """Remember them; what has been remembered for longest is forgotten."""
        self._known[reading.rows] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


@dataclass(frozen=True, slots=True)
class Reading:
    """The SQL, with its parameters, that reads the rows of branches of one relation; each row is of one or several.

    A branch stands with the place of the panels that it is for, among all that is asked.
    """

    branches: tuple[tuple[int, Branch], ...]
    layout: Layout
    sql: str
    parameters: dict[str, object]

    @property
    def rows(self) -> str:
        """Which rows it reads, whatever of them."""
        return _PARAMETER.sub(lambda found: repr(self.parameters[found[1]]), self.sql[self.sql.index("\nFROM ") :])


@dataclass(frozen=True, slots=True)
class Few:
    """What to read where rows are few: the form of the rows of all that is asked, None of what must be answered in
    another way."""

    forms: tuple[Form | None, ...]
    readings: tuple[Reading, ...]
    most: int = MOST_FEW

    def count(self, reading: Reading, table: Any) -> list[tuple[Any, ...]]:
        """The place of what is asked, then a row as a statement's, but for how many there are in all, from the columns
        that were read: an Arrow table. Raises `TooMany`."""
        if table.num_rows > self.most:
            raise TooMany
        columns, found = Columns(table, reading.layout).rows([branch for _, branch in reading.branches])
        return [
            (place, each.panel, *key, *("",) * (form.keys - len(key)), *counts)
            for (place, branch), rows in zip(reading.branches, found, strict=True)
            for form in (self.forms[place],)
            if form is not None
            for counting in (Counting(columns, branch, rows),)
            for each in branch.groupings
            for key, counts in _groups(form, counting, each)
        ]

    def together(self, counted: Iterable[Sequence[Sequence[Any]]]) -> list[tuple[Form, Sequence[Sequence[Any]]] | None]:
        """The rows of all readings, added up, by what is asked."""
        keys = [1 + form.keys if form else 0 for form in self.forms]
        found: list[dict[tuple[Any, ...], Sequence[int]]] = [{} for _ in self.forms]
        for rows in counted:
            for place, *row in rows:
                key, counts = tuple(row[: keys[place]]), row[keys[place] :]
                before = found[place].get(key)
                found[place][key] = counts if before is None else [a + b for a, b in zip(before, counts, strict=True)]
        return [
            (form, [(*key, *counts) for key, counts in groups.items()]) if form else None
            for form, groups in zip(self.forms, found, strict=True)
        ]


def _groups(form: Form, counting: Counting, grouping: Grouping) -> Iterable[tuple[Key, Sequence[int]]]:
    """The groups of one panel, each with its components."""
    keys, places = counting.groups(grouping)
    taken = counting.branch.taken_by(grouping.panel, form.panels[grouping.panel].components)
    nothing = [0] * len(keys)
    counts = [counting.counts(taken[name], places, len(keys)) if name in taken else nothing for name in form.components]
    return zip(keys, zip(*counts, strict=True), strict=True)


def few(asked: Sequence[Asked], most: int = MOST_FEW, *, whole: bool = True) -> Few | None:
    """What to read to count the panels' events here, where these are no more than `most`.

    With `whole`, whatever is told of visits is told here, of all rows of their days; else the database chooses the
    rows. None where nothing can be counted here: sums of closed days are needed as well, or rows do not tell what they
    count for.
    """
    bound = Bound()
    forms: list[Form | None] = []
    alike: dict[tuple[str, str], list[tuple[int, Branch]]] = {}
    for place, (panels, closed, part) in enumerate(asked):
        rows = Rows(panels[0].site, panels[0].period, bound)
        wanted = {name for panel in panels for name in panel.components}
        components = tuple(name for name in COMPONENTS if name in wanted)
        within = closed.within(rows.period)
        summed = part == "all" and within.days and any(map(has_sums, panels))
        branches = [] if summed else of_events(Scan(panels, rows, components, whole), within)
        telling = branches and all(each.row for branch in branches for each in branch.taken)
        forms.append(Form(panels, components, max(len(each.dimensions) for each in panels)) if telling else None)
        for branch in branches if telling else ():
            alike.setdefault((branch.relation, _multiplied(branch)), []).append((place, branch))
    readings = tuple(_reading(each, bound, most) for each in alike.values())
    return Few(tuple(forms), readings, most) if readings else None


def _reading(branches: Sequence[tuple[int, Branch]], bound: Bound, most: int) -> Reading:
    layout = layout_of([branch for _, branch in branches])
    sql = reading_sql([branch for _, branch in branches], layout, most)
    return Reading(tuple(branches), layout, sql, bound.values)


def _multiplied(branch: Branch) -> str:
    """What makes several rows of one: then they are not those of other branches."""
    groups = (group.by for each in branch.groupings for group in each.groups)
    return next((each for each in groups if each.startswith("arrayJoin(")), "")
