"""Filters of a query: a small syntax tree, and its JSON form.

The language is that of the Plausible Stats API v2: `["is", "visit:country", ["SE", "NO"]]`, combined by
`["and", […]]`, `["or", […]]`, `["not", …]`; `["has_done", …]` asks for another event of the same visit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from collector.sites.goals import Goal
from dashboard.analytics.dimensions import find_dimension
from dashboard.analytics.errors import QueryError

if TYPE_CHECKING:
    from dashboard.analytics.journeys import JourneyPath

Operator = Literal["is", "contains", "matches"]
OPERATORS: tuple[Operator, ...] = ("is", "contains", "matches")
# Of values, multiSearchAny takes 255.
DEEPEST, MOST_LEAVES, MOST_VALUES, LONGEST_VALUE = 8, 50, 250, 2_000


@dataclass(frozen=True, slots=True)
class Compare:
    """A dimension compared with any of some values: equal to, containing, or matching a regular expression (RE2).

    `goals` are the site's own that are meant, once they are known; only where the dimension is `event:goal`. Likewise
    `funnels`, where it is `visit:funnel`, and `journeys`, where it is `visit:journey`.
    """

    operator: Operator
    dimension: str
    values: tuple[str, ...]
    case_sensitive: bool = True
    goals: tuple[Goal, ...] | None = None
    funnels: tuple[FunnelGroup, ...] | None = None
    journeys: tuple[JourneyPath, ...] | None = None


@dataclass(frozen=True, slots=True)
class And:
    """Every one of them."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Filter


@dataclass(frozen=True, slots=True)
class HasDone:
    """The visit has, that day, another event for which `part` holds."""

    part: Filter


Filter = Compare | And | Or | Not | HasDone

FunnelOrder = Literal["sequential", "strict", "any"]
FunnelWindow = Literal["visit", "day"]


@dataclass(frozen=True, slots=True)
class FunnelPath:
    """The steps of a funnel, each as the condition on an event that serves it, in which order, and within what."""

    steps: tuple[Filter, ...]
    order: FunnelOrder = "sequential"
    window: FunnelWindow = "visit"


@dataclass(frozen=True, slots=True)
class FunnelGroup:
    """Those who reached a step (from 1) of a funnel, or those who left at it: reached it, and not the next."""

    path: FunnelPath
    step: int
    left: bool


def is_(dimension: str, *values: str) -> Compare:
    """Short for the most common filter: the dimension is one of these values."""
    return Compare("is", dimension, values)


def every(*filters: Filter | None) -> Filter | None:
    """All of the given filters that are there."""
    parts = tuple(part for part in filters if part is not None)
    return parts[0] if len(parts) == 1 else And(parts) if parts else None


def _walk(tree: Filter | None, *, negated: bool = False) -> Iterator[tuple[Compare, bool, bool]]:
    """Every comparison, with whether it is negated, and whether it speaks of another event of the visit."""
    match tree:
        case Compare():
            yield tree, negated, False
        case And(parts) | Or(parts):
            for part in parts:
                yield from _walk(part, negated=negated)
        case Not(part):
            yield from _walk(part, negated=not negated)
        case HasDone(part):
            yield from ((leaf, negated, True) for leaf, negated, _ in _walk(part))


def with_leaves(tree: Filter, changed: Callable[[Compare], Filter]) -> Filter:
    """The tree with each comparison changed."""
    match tree:
        case And(parts):
            return And(tuple(with_leaves(part, changed) for part in parts))
        case Or(parts):
            return Or(tuple(with_leaves(part, changed) for part in parts))
        case Not(part):
            return Not(with_leaves(part, changed))
        case HasDone(part):
            return HasDone(with_leaves(part, changed))
        case Compare():
            return changed(tree)


def leaves(tree: Filter | None) -> Iterator[Compare]:
    """Every comparison in the tree."""
    return (leaf for leaf, *_ in _walk(tree))


def direct_leaves(tree: Filter | None) -> Iterator[Compare]:
    """The comparisons that speak of the event itself, not of another one of its visit."""
    return (leaf for leaf, _, other in _walk(tree) if not other)


def positive_leaves(tree: Filter | None) -> Iterator[Compare]:
    """The comparisons of the event itself that speak for it: not those under a `not`, but those under two."""
    return (leaf for leaf, negated, other in _walk(tree) if not (negated or other))


def top_leaves(tree: Filter | None) -> Iterator[tuple[Compare, bool]]:
    """The comparisons that must hold, and (True) those that must not."""
    match tree:
        case Compare():
            yield tree, False
        case Not(Compare() as leaf):
            yield leaf, True
        case And(parts):
            for part in parts:
                yield from top_leaves(part)


def without(tree: Filter | None, dimension: str) -> Filter | None:
    """The tree without its top-level comparisons of `dimension`."""
    match tree:
        case Compare(dimension=name) | Not(Compare(dimension=name)) if name == dimension:
            return None
        case And(parts):
            return every(*(without(part, dimension) for part in parts))
    return tree


def parse_filters(given: Any, field: str = "filters") -> Filter | None:
    """Read the JSON form: a list of filters that must all hold. Raises `QueryError` naming the place."""
    if not isinstance(given, list):
        raise QueryError(field, "expected a list of filters")
    return checked_size(every(*(_parse(part, f"{field}[{index}]", 1) for index, part in enumerate(given))), field)


def checked_size(tree: Filter | None, field: str) -> Filter | None:
    """The tree, which is within the limits of comparisons and of their values. Raises `QueryError`."""
    found = list(leaves(tree))
    if len(found) > MOST_LEAVES:
        raise QueryError(field, f"expected at most {MOST_LEAVES} comparisons")
    if any(len(leaf.values) > MOST_VALUES or max(map(len, leaf.values)) > LONGEST_VALUE for leaf in found):
        raise QueryError(field, f"expected at most {MOST_VALUES} values of at most {LONGEST_VALUE} characters")
    return tree


def check_bounds(given: Any, field: str = "filters") -> None:
    """Raise `QueryError` where filters in their JSON form, not yet read, are too many, too deep within each other, or
    of too many values: nothing may be looked up for such."""
    waiting, comparisons = [(given, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        match part:
            case [str(), str(), list(values), *_]:
                comparisons += 1
                if comparisons > MOST_LEAVES:
                    raise QueryError(field, f"expected at most {MOST_LEAVES} comparisons")
                if len(values) > MOST_VALUES:
                    raise QueryError(field, f"expected at most {MOST_VALUES} values")
            case list():
                # A filter within another is two lists deeper.
                if depth > 2 * DEEPEST:
                    raise QueryError(field, f"expected at most {DEEPEST} filters within each other")
                waiting += [(each, depth + 1) for each in part]


def _parse(given: Any, at: str, depth: int) -> Filter:
    if not isinstance(given, list) or not given or not isinstance(given[0], str):
        raise QueryError(at, 'expected a filter, such as ["is", "visit:country", ["SE"]]')
    if depth > DEEPEST:
        raise QueryError(at, f"expected at most {DEEPEST} filters within each other")
    match given:
        case ["and" | "or", list(parts)] if parts:
            inner = tuple(_parse(part, f"{at}[1][{index}]", depth + 1) for index, part in enumerate(parts))
            return And(inner) if given[0] == "and" else Or(inner)
        case ["not", part]:
            return Not(_parse(part, f"{at}[1]", depth + 1))
        case ["has_done" | "has_not_done", part]:
            done = HasDone(_parse(part, f"{at}[1]", depth + 1))
            return done if given[0] == "has_done" else Not(done)
        case [_, _, _] | [_, _, _, _]:
            return _comparison(given, at)
    raise QueryError(at, f"expected an operator, a dimension and a list of values, not {given[0][:40]!r} with these")


def _comparison(given: Sequence[Any], at: str) -> Filter:
    name, dimension, values, *modifiers = given
    operator = name.removesuffix("_not")
    if operator not in OPERATORS:
        known = ", ".join(f"{each}, {each}_not" for each in OPERATORS)
        raise QueryError(f"{at}[0]", f"expected one of {known}, and, or, not, has_done, has_not_done")
    if not isinstance(dimension, str) or dimension.startswith("time"):
        raise QueryError(f"{at}[1]", "expected an event or visit dimension")
    find_dimension(dimension, f"{at}[1]")
    case = _case_sensitive(modifiers[0], f"{at}[3]") if modifiers else True
    compare = Compare(operator, dimension, _values(values, f"{at}[2]"), case)
    return Not(compare) if name.endswith("_not") else compare


def _values(given: Any, at: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(value, str) for value in given):
        raise QueryError(at, "expected a list of strings")
    if len(given) > MOST_VALUES or any(len(value) > LONGEST_VALUE for value in given):
        raise QueryError(at, f"expected at most {MOST_VALUES} values of at most {LONGEST_VALUE} characters")
    return tuple(value.encode("utf-8", "replace").decode() for value in given)


def _case_sensitive(given: Any, at: str) -> bool:
    match given:
        case {"case_sensitive": bool(case)} if len(given) == 1:
            return case
    raise QueryError(at, 'expected {"case_sensitive": true} or {"case_sensitive": false}')
