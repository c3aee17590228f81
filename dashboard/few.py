"""Few events, counted in this process: the database only reads them, and plans nothing but that.

Planning a statement that counts grows with the panels that it serves, whatever it reads; most of what a small site's
page took was that. What is counted here are the same components of the same branches; one reading serves all that is
asked together, of whichever dates and filters.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from collector.components import COMPONENTS
from dashboard.bound import valued
from dashboard.branches import Branch, Grouping, Scan
from dashboard.columns import Layout, layout_of, reading_sql, shared_of
from dashboard.counting import Counting, Key
from dashboard.parts import TooMany, Wanted
from dashboard.planner import Panel
from dashboard.reading import Columns
from dashboard.sql import Bound, Days, Rows, of_site
from dashboard.statements import Form, Part, of_events
from dashboard.sums import Closed, has_sums

MOST_FEW = 200_000
"""Rows that are read at once; where there are more the database is quicker to count itself."""


Choice = Literal["kept", "whole", "chosen"]
"""Which events are read: all of the days, and kept; of these, those that may count, with the rest of their visits; or
those that the database chooses, where the others tell what counts of visits."""

CHOICES: Final[tuple[Choice, ...]] = ("kept", "whole", "chosen")


class Asked(NamedTuple):
    """Panels over the same events, and the days that are asked about: all of them, or those that are not closed."""

    panels: tuple[Panel, ...]
    closed: Closed
    part: Part


class Many:
    """The rows that were too many a while ago: they are not read again while they are remembered."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._known: dict[str, None] = {}

    def known(self, rows: str) -> bool:
        """Whether they were found to be too many."""
        return rows in self._known

    def note(self, rows: str) -> None:
        """Remember them; what has been remembered for longest is forgotten."""
        self._known[rows] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows of branches of one relation, each of one or several: those that `sql` reads with these parameters, or, where
    that is "", all events of the site on these days.

    A branch stands with the place of the panels that it is for, among all that is asked.
    """

    branches: tuple[tuple[int, Branch], ...]
    layout: Layout
    parameters: dict[str, object]
    site: str
    days: Days
    sql: str = ""

    @property
    def rows(self) -> str:
        """Which rows it reads, whatever of them."""
        if not self.sql:
            return self.wanted.rows
        return valued(self.sql[self.sql.index("\nFROM ") :], self.parameters)

    @property
    def key(self) -> str:
        """What is read and counted, whatever its parameters are called."""
        told = [(branch.among, branch.where, branch.chosen, branch.entered) for _, branch in self.branches]
        return valued(repr((self.layout.columns, told)), self.parameters)

    @property
    def wanted(self) -> Wanted:
        """What is kept of its days."""
        return Wanted("events", self.site, self.days, self.layout.columns, self.parameters)


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


def few(asked: Sequence[Asked], most: int = MOST_FEW, choice: Choice = "kept") -> Few | None:
    """What to read to count the panels' events here, where these are no more than `most`.

    None where nothing can be counted here: sums of closed days are needed as well, or rows do not tell what they
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
        branches = [] if summed else of_events(Scan(panels, rows, components, choice != "chosen"), within)
        telling = branches and all(each.row for branch in branches for each in branch.taken)
        forms.append(Form(panels, components, max(len(each.dimensions) for each in panels)) if telling else None)
        for branch in branches if telling else ():
            alike.setdefault((branch.relation, _multiplied(branch)), []).append((place, branch))
    site = asked[0].panels[0].site
    readings = tuple(
        (choice == "kept" and _of_days(site, each, bound)) or _reading(site, each, bound, most)
        for each in alike.values()
    )
    return Few(tuple(forms), readings, most) if readings else None


def _of_days(site: str, branches: Sequence[tuple[int, Branch]], bound: Bound) -> Reading | None:
    """All events of the branches' days; None where these are not plain events, or their columns not of a row alone."""
    alone = [branch for _, branch in branches]
    if alone[0].relation != "events" or _multiplied(alone[0]):
        return None
    layout = layout_of(alone, frozenset({of_site(site, bound)}))
    if any("SELECT" in sql for sql in layout.columns.values()):
        return None
    return Reading(
        tuple(branches), layout, bound.values, site, _joined(each for branch in alone for each in branch.days)
    )


def _reading(site: str, branches: Sequence[tuple[int, Branch]], bound: Bound, most: int) -> Reading:
    alone = [branch for _, branch in branches]
    layout = layout_of(alone, shared_of(alone))
    return Reading(tuple(branches), layout, bound.values, site, (), reading_sql(alone, layout, most))


def _joined(ranges: Iterable[tuple[datetime.date, datetime.date]]) -> Days:
    """The same dates in as few ranges as can be, in order."""
    found: list[tuple[datetime.date, datetime.date]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + datetime.timedelta(days=1):
            first, last = found[-1][0], max(last, found.pop()[1])
        found.append((first, last))
    return tuple(found)


def _multiplied(branch: Branch) -> str:
    """What makes several rows of one: then they are not those of other branches."""
    groups = (group.by for each in branch.groupings for group in each.groups)
    return next((each for each in groups if each.startswith("arrayJoin(")), "")
