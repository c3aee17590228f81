"""Goals in queries: which events reach them, as SQL, and what a query's `event:goal` means on a site.

An event may reach several goals, and counts in each. A scroll is reached by engagement, which is no event elsewhere:
a query that asks for scrolls counts them beside the events, each page of each visit once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from collector.goals import KINDS_OF_LINKS, Goal
from collector.patterns import expression, literal
from collector.sites import Sites
from dashboard.bound import Bound
from dashboard.dimensions import Dimension
from dashboard.exceptions import QueryError
from dashboard.filters import All, Compare, Done, Either, Filter, Not, leaves, positive_leaves, top_leaves

GOAL = "event:goal"
Matching = Mapping[Compare, Collection[str]]
COUNTED = "countIf(name != 'engagement') + uniqExactIf((day, visitor, visit, page), name = 'engagement')"
"""The component `events` where scrolls are among them."""


def goals_of(sites: Sites) -> Callable[[str], tuple[Goal, ...]]:
    """Each site's own goals; an unknown site has none."""

    def defined(domain: str) -> tuple[Goal, ...]:
        site = sites.get(domain)
        return () if site is None else site.goals

    return defined


def with_goals(tree: Filter | None, goals: tuple[Goal, ...], matching: Matching) -> Filter | None:
    """The tree with its comparisons of goals resolved to goals. Without goals of its own nothing changes.

    `matching` has the names that regular expressions match: these are the database's to judge.
    """
    match tree:
        case Compare(dimension=dimension) if dimension == GOAL and goals:
            return replace(tree, goals=tuple(goal for goal in goals if _is_asked(tree, goal.name, matching)))
        case All(parts):
            return All(tuple(_of(part, goals, matching) for part in parts))
        case Either(parts):
            return Either(tuple(_of(part, goals, matching) for part in parts))
        case Not(part):
            return Not(_of(part, goals, matching))
        case Done(part):
            return Done(_of(part, goals, matching))
    return tree


def _of(part: Filter, goals: tuple[Goal, ...], matching: Matching) -> Filter:
    return with_goals(part, goals, matching) or part


def _is_asked(leaf: Compare, name: str, matching: Matching) -> bool:
    if leaf.operator == "matches":
        return name in matching[leaf]
    fold: Callable[[str], str] = str if leaf.case_sensitive else str.lower
    if leaf.operator == "is":
        return any(fold(each) == fold(name) for each in leaf.values)
    return any(fold(each) in fold(name) for each in leaf.values)


def patterns(tree: Filter | None) -> list[Compare]:
    """The comparisons of goals with regular expressions."""
    return [leaf for leaf in leaves(tree) if leaf.dimension == GOAL and leaf.operator == "matches"]


def listed(dimension: Dimension, tree: Filter | None, goals: tuple[Goal, ...]) -> Dimension:
    """The dimension with the goals that may be its values, under the resolved filters that must hold."""
    if dimension.name != GOAL or not goals:
        return dimension
    for leaf, negated in top_leaves(tree):
        if leaf.goals is not None:
            goals = tuple(goal for goal in goals if (goal in leaf.goals) != negated)
    return replace(dimension, goals=goals)


def check_names(tree: Filter | None, goals: tuple[Goal, ...]) -> None:
    """Raise `QueryError` where the tree asks for a goal that the site does not have."""
    known = {goal.name for goal in goals}
    for leaf in leaves(tree) if goals else ():
        if leaf.dimension == GOAL and leaf.operator == "is" and leaf.case_sensitive:
            for value in leaf.values:
                if value not in known:
                    names = ", ".join(sorted(known))
                    raise QueryError("filters", f"{value[:80]!r} is no goal of this site; it has {names[:500]}")


def reached(goal: Goal, bound: Bound) -> str:
    """Whether an event reaches the goal."""
    if goal.kind == "scroll":
        deep = f"name = 'engagement' AND visitor != 0 AND scroll >= {bound.add(goal.depth, 'UInt8')}"
        return f"({deep}{_on_page(goal, bound)})"
    if goal.kind == "page":
        return f"(name = 'pageview'{_on_page(goal, bound)})"
    named = f"name = {bound.text(goal.event)}"
    if goal.kind in KINDS_OF_LINKS:
        return f"({named}{_of_link(goal, bound)})"
    return f"({named}{_on_page(goal, bound)})"


def _on_page(goal: Goal, bound: Bound) -> str:
    if not goal.pattern:
        return ""
    if literal(goal.pattern):
        return f" AND page = {bound.text(goal.pattern)}"
    return f" AND match(page, {bound.text(expression(goal.pattern))})"


def _of_link(goal: Goal, bound: Bound) -> str:
    if not goal.pattern:
        return ""
    # Who writes no scheme means any.
    scheme = "" if "://" in goal.pattern else "(?:[a-z][a-z0-9+.-]*://)?"
    return f" AND match(props['url'], {bound.text('^' + scheme + expression(goal.pattern)[1:])})"


def any_reached(goals: Iterable[Goal], bound: Bound) -> str:
    """Whether an event reaches one of the goals."""
    terms = [reached(goal, bound) for goal in goals]
    return f"({' OR '.join(terms)})" if terms else "0"


def names_reached(dimension: Dimension, bound: Bound) -> str:
    """The names of the goals that an event reaches, a row for each."""
    goals = dimension.goals or ()
    names = bound.texts([goal.name for goal in goals])
    conditions = ", ".join(reached(goal, bound) for goal in goals)
    return f"arrayJoin(arrayFilter((each, reaches) -> reaches, {names}, CAST([{conditions}], 'Array(UInt8)')))"


def listable(dimension: Dimension, tree: Filter | None, bound: Bound) -> str:
    """Whether an event may be in a group of the dimension, by a quick look at its name.

    Without goals of its own a site has its custom events, and pages where the filter asks for goals.
    """
    if dimension.goals is None:
        asked = any(leaf.dimension == GOAL for leaf in positive_leaves(tree))
        return "1" if asked else "name != 'pageview'"
    ways = {"page": "pageview", "scroll": "engagement"}
    return f"name IN {bound.texts(sorted({goal.event or ways[goal.kind] for goal in dimension.goals}))}"


def scrolls(tree: Filter | None, dimensions: Iterable[Dimension]) -> tuple[Goal, ...]:
    """The scrolls that a query counts: those that it asks for, not those that it leaves out."""
    asked = [goal for leaf in positive_leaves(tree) for goal in leaf.goals or ()]
    shown = [goal for each in dimensions for goal in each.goals or ()]
    return tuple(dict.fromkeys(goal for goal in (*asked, *shown) if goal.kind == "scroll"))


def countable(tree: Filter | None, dimensions: Iterable[Dimension], bound: Bound) -> str:
    """Whether a row is one that the query may count: an event, or a scroll that it asks for."""
    found = scrolls(tree, dimensions)
    return f"(name != 'engagement' OR {any_reached(found, bound)})" if found else "name != 'engagement'"


def summed_names(dimension: Dimension) -> dict[str, str] | None:
    """Goals by the events that reach them, where each is all events of a name of its own; else None."""
    goals = dimension.goals or ()
    names = {goal.event: goal.name for goal in goals}
    return names if len(names) == len(goals) and all(goal.plain for goal in goals) else None


def place_of(dimension: Dimension, goal: str) -> tuple[str, str]:
    """Name of the event, and path of the page, that whoever reaches a goal must have; empty where it may be any."""
    if dimension.goals is None:
        path = goal.removeprefix("Visit ") if goal.startswith("Visit /") else ""
        return ("pageview", path if literal(path) else "") if path else (goal, "")
    found = next((each for each in dimension.goals if each.name == goal), None)
    if found is None:
        return "", ""
    of_page = found.kind not in KINDS_OF_LINKS and literal(found.pattern)
    return found.event or ("pageview" if found.kind == "page" else ""), found.pattern if of_page else ""


def exact_goals(dimensions: Iterable[Dimension]) -> frozenset[str]:
    """The goals whose visitors an unfiltered view tells exactly: those that are all events of a name, a value like any.

    A pattern or a depth cuts finer than that, as a filter does.
    """
    return frozenset(goal.name for each in dimensions for goal in each.goals or () if goal.plain)


def currency_of(dimensions: Iterable[Dimension], values: Iterable[str], tree: Filter | None) -> str:
    """The currency that a row's goals have been given; empty when none or several."""
    found: Iterator[Goal] = (
        goal for each, value in zip(dimensions, values, strict=True) for goal in each.goals or () if goal.name == value
    )
    asked = (goal for leaf, negated in top_leaves(tree) if not negated for goal in leaf.goals or ())
    for goals in (tuple(found), tuple(asked)):
        currencies = {goal.currency for goal in goals}
        if currencies:
            return currencies.pop() if len(currencies) == 1 else ""
    return ""
