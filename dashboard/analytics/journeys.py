"""Journeys: what visits do next, or did before, as columns of steps and the links between them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import LONGEST_VALUE, Filter
from dashboard.analytics.period import Period

Direction = Literal["forward", "backward"]
Grouping = Literal["page", "section"]

FEWEST_COLUMNS, COLUMNS, MOST_COLUMNS = 2, 4, 10
NODES, MOST_NODES, MOST_OF_NEXT = 6, 8, 50
"""Nodes of a column that are named; the rest is one. More are where there is but one column after an anchor."""


class Step(NamedTuple):
    """What a visit does: it views a page (or one of a section), or something happens there (a custom event).

    `end` is beyond its first or last step: it left the site, or came to it; `other` stands for all steps that are not
    named.
    """

    kind: Literal["page", "event", "end", "other"]
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


LEFT: Final = Step("end")
OTHER_STEPS: Final = Step("other")


class OtherThan(NamedTuple):
    """Any step of a column but these, and none: the visit has ended before."""

    steps: tuple[Step, ...]


Choice = Step | OtherThan


@dataclass(frozen=True, slots=True)
class JourneyPath:
    """The steps of visits from a step on (`forward`), or back from it (`backward`), and which visits they are of.

    `anchor` is the step that the first column has, the first time that a visit takes it; without one that is the first
    step of each visit, or the last. `choices` narrow the visits by the step that they take in a column: the first is of
    the first column, None is any. `by` sections the pages of a section of the path are one step; with `pages_only`
    custom events are no steps, unless one is the anchor.
    """

    direction: Direction = "forward"
    anchor: Step | None = None
    choices: tuple[Choice | None, ...] = ()
    by: Grouping = "page"
    pages_only: bool = False

    def choice(self, column: int) -> Choice | None:
        """The choice in a column, from 0."""
        return self.choices[column] if column < len(self.choices) else None

    def choosing(self, choices: Mapping[int, Choice | None]) -> JourneyPath:
        """The same with other choices in some columns, from 0."""
        count = max(len(self.choices), *(column + 1 for column in choices))
        found = [choices.get(column, self.choice(column)) for column in range(count)]
        while found and found[-1] is None:
            found.pop()
        return replace(self, choices=tuple(found))


ALL_VISITS: Final = JourneyPath()


@dataclass(frozen=True, slots=True)
class Journey:
    """A question about the visits that filters select: their steps, column by column, the `nodes` most visited."""

    site: str
    period: Period
    filters: Filter | None = None
    path: JourneyPath = ALL_VISITS
    columns: int = COLUMNS
    nodes: int = NODES


@dataclass(frozen=True, slots=True)
class JourneyNode:
    """A step in a column, and the visits that take it there."""

    step: Step
    visits: int


@dataclass(frozen=True, slots=True)
class JourneyLink:
    """The visits that take one step in a column, from 0, and another in the next."""

    column: int
    source: Step
    target: Step
    visits: int


@dataclass(frozen=True, slots=True)
class JourneyResult:
    """Columns of nodes, the most visited first, with the end and the other steps last; and the links that are told.

    `visits` are those of the first column. `hidden`: they are of fewer than `min_visitors` visitors, and nothing is
    told. `rounded_to`: every count is a multiple of it; 0 is exact. `links_hidden` says that there are links which are
    not told.
    """

    visits: int | None
    columns: tuple[tuple[JourneyNode, ...], ...] = ()
    links: tuple[JourneyLink, ...] = ()
    hidden: bool = False
    links_hidden: bool = False
    min_visitors: int = 1
    rounded_to: int = 0
    events_available_from: str = ""
    imported_days_left_out: int = 0

    def reaching(self, path: JourneyPath, column: int, step: Step) -> JourneyPath:
        """The path of the visits that are at a step in a column, from 0, of this result of a journey by `path`."""
        if step != OTHER_STEPS:
            return path if step == path.anchor and not column else path.choosing({column: step})
        named = [node.step for node in self.columns[column] if node.step != OTHER_STEPS]
        choices: dict[int, Choice | None] = {column: _but(path.choice(column), named)}
        for number in range(column):
            # Those whose end is named in a column are in no further one.
            if self._names(number, LEFT) and not isinstance(path.choice(number), Step):
                choices[number] = _but(path.choice(number), [LEFT])
        return path.choosing(choices)

    def _names(self, column: int, step: Step) -> bool:
        return any(node.step == step for node in self.columns[column])


def _but(choice: Choice | None, steps: Sequence[Step]) -> OtherThan:
    """A choice that leaves out these steps as well."""
    before = choice.steps if isinstance(choice, OtherThan) else ()
    return OtherThan((*before, *(step for step in steps if step not in before)))


def read_step(text: str, name: str) -> Step:
    """The step that `page:/path`, `event:NAME` or `end` spells. Raises `QueryError` naming the field."""
    kind, _, value = text.partition(":")
    if kind == "end" and not value:
        return LEFT
    if kind in ("page", "event") and 0 < len(value) <= LONGEST_VALUE:
        return Step("page" if kind == "page" else "event", value)
    raise QueryError(name, "expected page:/path, event:NAME or end")


def section_of(page: str) -> str:
    """The section of a page: `/blog/*` of `/blog/first/post`. A page that is in none is one of its own."""
    return re.sub(r"(?s)^(/[^/]+/).*$", r"\1*", page)


def step_of(text: str) -> Step | None:
    """The step that a person writes: a path, the name of an event, or as `read_step` has it. None for nothing."""
    kind, _, value = text.partition(":")
    if kind in ("page", "event") and value:
        return read_step(text, "anchor")
    return Step("page" if text.startswith("/") else "event", text[:LONGEST_VALUE]) if text else None


def check_journey(journey: Journey) -> None:
    """Raise `QueryError` naming the field that is out of bounds."""
    if not FEWEST_COLUMNS <= journey.columns <= MOST_COLUMNS:
        raise QueryError("columns", f"expected {FEWEST_COLUMNS} to {MOST_COLUMNS}")
    path = journey.path
    most = MOST_OF_NEXT if journey.columns == FEWEST_COLUMNS and path.anchor else MOST_NODES
    if not 1 <= journey.nodes <= most:
        raise QueryError("nodes", f"expected 1 to {most}")
    if len(path.choices) > journey.columns:
        raise QueryError("choices", "expected one for each column, at most")
    if path.anchor is not None and path.anchor.kind not in ("page", "event"):
        raise QueryError("anchor", "expected a page or an event")
