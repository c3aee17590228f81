"""The sums of closed days, kept in memory: a question then reads no more than the events of the other days.

What is kept is told apart by the builds of the days and by the state of their table, which both are read before each
question: whatever changes a sum makes it another one, in this process or in any other.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dashboard.dimensions import Dimension
from dashboard.planner import Panel, Term
from dashboard.statements import MOST_GROUPS, Form

MOST_HELD = 60_000
"""Groups of all panels together; one takes about half a kilobyte."""

Key = tuple[str, ...]
Groups = dict[Key, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Place:
    """Which sums: of these builds of these days of a site, with the table in that `state`."""

    site: str
    first: datetime.date
    """Of the period: its first week begins then."""
    days: tuple[tuple[datetime.date, int], ...]
    dimensions: tuple[Dimension, ...]
    state: frozenset[str]


@dataclass(frozen=True, slots=True)
class Summed:
    """Some components of all groups of a panel on closed days; of too many groups, none."""

    components: frozenset[str]
    groups: Groups | None
    _ranked: dict[tuple[tuple[Term, ...], int], list[Key]] = field(default_factory=dict)

    def ranked(self, order: tuple[Term, ...], least: int) -> Sequence[Key]:
        """The keys in that order, of groups that are there and have so many visitors."""
        if (order, least) not in self._ranked:
            groups = {key: counts for key, counts in (self.groups or {}).items() if _counts(least, counts)}
            self._ranked[order, least] = in_order(groups, order)
        return self._ranked[order, least]


class Held:
    """Sums by what they are of; those that were asked for longest ago make room."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._held: OrderedDict[Place, Summed] = OrderedDict()
        self._rows = 0

    def get(self, place: Place, components: frozenset[str]) -> Summed | None:
        """The sums, if they have all these components."""
        found = self._held.get(place)
        if found is None or not components <= found.components:
            return None
        self._held.move_to_end(place)
        return found

    def missing(self, place: Place, panel: Panel) -> Panel:
        """The panel to ask for: with what is kept of it already, so that one answer serves both."""
        found = self._held.get(place)
        return panel if found is None else replace(panel, components=panel.components | found.components)

    def put(self, place: Place, found: Summed) -> None:
        """Keep sums."""
        old = self._held.pop(place, None)
        self._rows += _rows(found) - (_rows(old) if old else 0)
        self._held[place] = found
        while self._rows > self._most:
            self._rows -= _rows(self._held.popitem(last=False)[1])


def _rows(found: Summed) -> int:
    return 1 + len(found.groups or ())


def in_order(groups: Mapping[Key, Mapping[str, int]], order: Sequence[Term]) -> list[Key]:
    """The keys as the database puts them in order: by the terms, unknown values last, then by themselves."""
    keys = sorted(groups)
    for term in reversed(order):
        values = {key: term.value(key, groups[key]) for key in keys}
        known = [key for key in keys if values[key] is not None]
        known.sort(key=values.__getitem__, reverse=term.way == "desc")  # type: ignore[arg-type] # all of one kind
        keys = [*known, *(key for key in keys if values[key] is None)]
    return keys


def read(asked: Form, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[Panel, Groups | None]]:
    """Each panel's groups, with its own components, from the rows of a part; None where they are too many."""
    found: list[Groups] = [{} for _ in asked.panels]
    own = [
        [(name, 1 + asked.keys + place) for place, name in enumerate(asked.components) if name in panel.components]
        for panel in asked.panels
    ]
    for row in rows:
        key = tuple(row[1 : 1 + len(asked.panels[row[0]].dimensions)])
        found[row[0]][key] = {name: row[place] for name, place in own[row[0]]}
    for panel, groups in zip(asked.panels, found, strict=True):
        yield panel, groups if len(groups) <= MOST_GROUPS else None


def together(panel: Panel, closed: Summed, opened: Groups) -> tuple[Groups, int]:
    """The panel's groups over all days, in order and as many as are wanted; and how many there are in all.

    A group without events on open days is where it was among the sums, so that few need be looked at.
    """
    sums, order, most = closed.groups or {}, () if panel.few else panel.order, panel.most
    touched = {key: _added(sums.get(key, {}), more) for key, more in opened.items()}
    chosen = {key: components for key, components in touched.items() if _counts(panel.least, components)}
    others = closed.ranked(order, panel.least)
    if touched:
        others = [key for key in others if key not in touched]
    total = len(chosen) + len(others)
    chosen |= {key: sums[key] for key in others[:most]}
    # Of sums alone the order is known.
    keys = (in_order(chosen, order) if touched else [*chosen])[:most]
    if closed.components <= panel.components:
        return {key: chosen[key] for key in keys}, total
    # What other panels wanted besides depends on what was asked before.
    return {key: {name: chosen[key][name] for name in panel.components} for key in keys}, total


def _added(sums: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {name: count + sums.get(name, 0) for name, count in more.items()}


def _counts(least: int, components: Mapping[str, int]) -> bool:
    """Whether the group is there at all, and has so many visitors, or events without any."""
    return components["events"] > 0 and (components["visitors"] or components["events"]) >= least
