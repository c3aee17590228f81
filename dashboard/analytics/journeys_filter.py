"""Journeys in filters: values of `visit:journey`, as text.

A value is spelt as the address of a journey is: `way=backward&at=page:/pricing&then2=event:Signup`. Of column 3 `then3`
is the step that visits take there, and each `not3` a step that they do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from dashboard.analytics.dimensions import JOURNEY
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import Compare, Filter, leaves, with_leaves
from dashboard.analytics.journeys import ALL_VISITS, MOST_COLUMNS, Choice, JourneyPath, OtherThan, Step, read_step

MOST_VALUES: Final = 5
"""Of one query: each goes through the events of its visits."""


def pairs_of(path: JourneyPath) -> Iterator[tuple[str, str]]:
    """What an address says of a path: only differences from the defaults."""
    if path.direction != "forward":
        yield "way", path.direction
    if path.anchor:
        yield "at", str(path.anchor)
    if path.by != "page":
        yield "by", path.by
    if path.pages_only:
        yield "steps", "pages"
    for number, choice in enumerate(path.choices, start=1):
        if isinstance(choice, OtherThan):
            yield from ((f"not{number}", str(step)) for step in choice.steps)
        elif choice:
            yield f"then{number}", str(choice)


def read_pairs(pairs: Iterable[tuple[str, str]], path: JourneyPath = ALL_VISITS) -> JourneyPath:
    """The path with what these pairs spell. Raises `QueryError`."""
    for name, value in pairs:
        match name, value:
            case "way", "forward" | "backward" as direction:
                path = replace(path, direction=direction)
            case "by", "page" | "section" as grouping:
                path = replace(path, by=grouping)
            case "steps", "all" | "pages":
                path = replace(path, pages_only=value == "pages")
            case "at", _:
                path = replace(path, anchor=_of_visit(read_step(value, "at"), name))
            case _:
                column, step = _column(name), read_step(value, name)
                path = path.choosing({column: step if name.startswith("then") else _but(path.choice(column), step)})
    return path


def _but(choice: Choice | None, step: Step) -> OtherThan:
    return OtherThan((*choice.steps, step) if isinstance(choice, OtherThan) else (step,))


def _of_visit(step: Step, name: str) -> Step:
    if step.kind == "end":
        raise QueryError(name, "expected page:/path or event:NAME")
    return step


def _column(name: str) -> int:
    """The column that `then3` and `not3` are of, from 0."""
    number = name.removeprefix("then").removeprefix("not")
    if number in map(str, range(1, MOST_COLUMNS + 1)) and name in (f"then{number}", f"not{number}"):
        return int(number) - 1
    raise QueryError(name[:80], "expected way, at, by, steps, then1 to then10, or not1 to not10")


def value_of(path: JourneyPath) -> str:
    """The path as a value of the filter."""
    return "&".join(f"{name}={value.replace('%', '%25').replace('&', '%26')}" for name, value in pairs_of(path))


def read_value(text: str) -> JourneyPath:
    """The path of a value. Raises `QueryError`."""
    pairs = (part.partition("=") for part in text.split("&"))
    return read_pairs((name, value.replace("%26", "&").replace("%25", "%")) for name, _, value in pairs)


def with_journeys(tree: Filter) -> Filter:
    """The tree with its comparisons of journeys resolved. Raises `QueryError`."""
    if sum(len(leaf.values) for leaf in leaves(tree) if leaf.dimension == JOURNEY.name) > MOST_VALUES:
        raise QueryError("filters", f"expected at most {MOST_VALUES} journeys")
    return with_leaves(tree, _resolved)


def _resolved(leaf: Compare) -> Compare:
    if leaf.dimension != JOURNEY.name:
        return leaf
    if leaf.operator != "is":
        raise QueryError("filters", f'expected ["is", "{JOURNEY.name}", ["at=page:/path&then2=page:/other"]]')
    try:
        return replace(leaf, journeys=tuple(map(read_value, leaf.values)))
    except QueryError as error:
        raise QueryError("filters", f"{JOURNEY.name}: {error}") from None
