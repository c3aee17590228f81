"""Goals in queries: their conditions as SQL, and what `event:goal` of a query means on a site.

An event may reach several goals, and counts in each. A scroll is reached by engagement, which is no event elsewhere:
a query that asks for scrolls counts them beside the events, each page of each visit once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from collector.core.wildcards import expression, literal
from collector.sites.goals import KINDS_OF_LINKS, Goal
from collector.sites.registry import Sites
from dashboard.analytics.dimensions import Dimension
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import (
    Compare,
    Filter,
    leaves,
    positive_leaves,
    top_leaves,
    with_leaves,
)
from dashboard.analytics.sql.parameters import Parameters

GOAL = "event:goal"
Matching = Mapping[Compare, Collection[str]]


def goals_of(sites: Sites) -> Callable[[str], tuple[Goal, ...]]:
    """Each site's own goals; an unknown site has none."""

    def defined(domain: str) -> tuple[Goal, ...]:
        site = sites.get(domain)
        return () if site is None else site.goals

    return defined


def with_goals(tree: Filter, goals: tuple[Goal, ...], matching: Matching) -> Filter:
    """The tree with its comparisons of goals resolved to goals. Without goals of its own nothing changes.

    `matching` has the names that regular expressions match: these are the database's to judge.
    """

    def resolved(leaf: Compare) -> Filter:
        if leaf.dimension != GOAL or not goals:
            return leaf
        return replace(leaf, goals=tuple(goal for goal in goals if _is_requested(leaf, goal.name, matching)))

    return with_leaves(tree, resolved)


def _is_requested(leaf: Compare, name: str, matching: Matching) -> bool:
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
    """Raise `QueryError` if the filter names a goal that the site does not have."""
    known = {goal.name for goal in goals}
    for leaf in leaves(tree) if goals else ():
        if leaf.dimension == GOAL and leaf.operator == "is" and leaf.case_sensitive:
            for value in leaf.values:
                if value not in known:
                    names = ", ".join(sorted(known))
                    raise QueryError("filters", f"{value[:80]!r} is no goal of this site; it has {names[:500]}")


def reached(goal: Goal, parameters: Parameters) -> str:
    """Whether an event reaches the goal."""
    if goal.kind == "scroll":
        deep = f"name = 'engagement' AND visitor != 0 AND scroll >= {parameters.add(goal.depth, 'UInt8')}"
        return f"({deep}{_on_page(goal, parameters)})"
    if goal.kind == "page":
        return f"(name = 'pageview'{_on_page(goal, parameters)})"
    named = f"name = {parameters.text(goal.event)}"
    if goal.kind in KINDS_OF_LINKS:
        return f"({named}{_of_link(goal, parameters)})"
    return f"({named}{_on_page(goal, parameters)})"


def _on_page(goal: Goal, parameters: Parameters) -> str:
    if not goal.pattern:
        return ""
    if literal(goal.pattern):
        return f" AND page = {parameters.text(goal.pattern)}"
    return f" AND match(page, {parameters.text(expression(goal.pattern))})"


def _of_link(goal: Goal, parameters: Parameters) -> str:
    if not goal.pattern:
        return ""
    # Who writes no scheme means any.
    scheme = "" if "://" in goal.pattern else "(?:[a-z][a-z0-9+.-]*://)?"
    return f" AND match(props['url'], {parameters.text('^' + scheme + expression(goal.pattern)[1:])})"


def any_reached(goals: Iterable[Goal], parameters: Parameters) -> str:
    """Whether an event reaches one of the goals."""
    terms = [reached(goal, parameters) for goal in goals]
    return f"({' OR '.join(terms)})" if terms else "0"


def names_reached(dimension: Dimension, parameters: Parameters) -> str:
    """The names of the goals that an event reaches, as an array."""
    goals = dimension.goals or ()
    names = parameters.texts([goal.name for goal in goals])
    conditions = ", ".join(reached(goal, parameters) for goal in goals)
    return f"arrayFilter((each, reaches) -> reaches, {names}, CAST([{conditions}], 'Array(UInt8)'))"


def listable(dimension: Dimension, tree: Filter | None, parameters: Parameters) -> str:
    """Condition on an event's name that every event in a group of the dimension meets.

    Without goals of its own a site has its custom events, and pages where the filter asks for goals.
    """
    if dimension.goals is None:
        named = any(leaf.dimension == GOAL for leaf in positive_leaves(tree))
        return "1" if named else "name != 'pageview'"
    names = {"page": "pageview", "scroll": "engagement"}
    return f"name IN {parameters.texts(sorted({goal.event or names[goal.kind] for goal in dimension.goals}))}"


def scrolls(tree: Filter | None, dimensions: Iterable[Dimension]) -> tuple[Goal, ...]:
    """Scroll goals that a query counts: those that it requires or lists."""
    named = [goal for leaf in positive_leaves(tree) for goal in leaf.goals or ()]
    shown = [goal for each in dimensions for goal in each.goals or ()]
    return tuple(dict.fromkeys(goal for goal in (*named, *shown) if goal.kind == "scroll"))


def countable(tree: Filter | None, dimensions: Iterable[Dimension], parameters: Parameters) -> str:
    """Condition on rows that the query may count: events, and scrolls that reach a goal that it names."""
    found = scrolls(tree, dimensions)
    return f"(name != 'engagement' OR {any_reached(found, parameters)})" if found else "name != 'engagement'"


def is_of_one_page(goal: Goal) -> bool:
    """Whether a goal is reached by the views of one page."""
    return goal.kind == "page" and literal(goal.pattern)


def rollup_names(dimension: Dimension) -> dict[str, dict[str, str]] | None:
    """Goals by the values that have their sums, in each dimension of these: all events of a name, all views of a page;
    None where that is not all of them."""
    found: dict[str, dict[str, str]] = {}
    for goal in dimension.goals or ():
        if not (goal.plain or is_of_one_page(goal)):
            return None
        stored, value = ("event:name", goal.event) if goal.plain else ("event:page", goal.pattern)
        names = found.setdefault(stored, {})
        if value in names:
            return None
        names[value] = goal.name
    return found


def currency_of(dimensions: Iterable[Dimension], values: Iterable[str], tree: Filter | None) -> str:
    """The currency that a row's goals have been given; empty when none or several."""
    named = {
        goal.currency
        for dimension, value in zip(dimensions, values, strict=True)
        for goal in dimension.goals or ()
        if goal.name == value
    }
    asked = {goal.currency for leaf, negated in top_leaves(tree) if not negated for goal in leaf.goals or ()}
    currencies = named or asked
    return currencies.pop() if len(currencies) == 1 else ""
