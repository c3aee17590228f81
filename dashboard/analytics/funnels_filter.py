"""Funnels in filters: values of `visit:funnel`, and what they mean on a site.

A value is `reached:STEP:NAME` or `left:STEP:NAME`: the visits, or by the funnel's window the visitors of a day, that
reached that step of the funnel, or reached it and not the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from collector.sites.goals import Goal
from dashboard.analytics.dimensions import FUNNEL
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import Compare, Filter, FunnelGroup, leaves, with_leaves
from dashboard.analytics.funnels import Funnel, path_of

MOST_VALUES: Final = 5
"""Of one query: each goes through the events of its visits, and its steps are in the statement."""


class FunnelValue(NamedTuple):
    """A value of the filter, in parts; the step counts from 1."""

    name: str
    step: int
    left: bool = False

    def __str__(self) -> str:
        return f"{'left' if self.left else 'reached'}:{self.step}:{self.name}"


def read_value(text: str) -> FunnelValue | None:
    """The parts of a value, or None where it is none."""
    verb, _, rest = text.partition(":")
    step, _, name = rest.partition(":")
    if verb not in ("reached", "left") or not name or not (len(step) == 1 and step in "12345678"):
        return None
    return FunnelValue(name, int(step), verb == "left")


def with_funnels(tree: Filter, funnels: Mapping[str, Funnel], goals: Sequence[Goal]) -> Filter:
    """The tree with its comparisons of funnels resolved. Raises `QueryError` for one that the site does not have, and
    for too many."""
    if sum(len(leaf.values) for leaf in leaves(tree) if leaf.dimension == FUNNEL.name) > MOST_VALUES:
        raise QueryError("filters", f"expected at most {MOST_VALUES} steps of funnels")
    return with_leaves(tree, partial(_resolved, funnels=funnels, goals=goals))


def _resolved(leaf: Compare, funnels: Mapping[str, Funnel], goals: Sequence[Goal]) -> Compare:
    if leaf.dimension != FUNNEL.name:
        return leaf
    return replace(leaf, funnels=tuple(_group(leaf, value, funnels, goals) for value in leaf.values))


def _group(leaf: Compare, text: str, funnels: Mapping[str, Funnel], goals: Sequence[Goal]) -> FunnelGroup:
    value = read_value(text)
    if leaf.operator != "is" or value is None:
        raise QueryError(
            "filters", f'expected ["is", "{FUNNEL.name}", ["reached:2:NAME"]], or left in place of reached'
        )
    funnel = funnels.get(value.name)
    if funnel is None:
        names = ", ".join(sorted(funnels)) or "none"
        raise QueryError("filters", f"{value.name[:80]!r} is no funnel of this site; it has {names[:500]}")
    last = len(funnel.steps)
    if value.step > last - value.left:
        raise QueryError("filters", f"{value.name[:80]!r} has {last} steps, at the last of which nobody leaves")
    return FunnelGroup(path_of(funnel, goals), value.step, value.left)
