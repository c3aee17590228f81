"""Expressions of the events by which each step of a funnel was reached, over `found`, the places of a unit's events.

A place sorts as the events happened, and its lowest eight bits are the steps that the event may serve. Each gives the
columns `p1`, `p2`, ...: the place of the event by which that many steps were reached, 0 where they were not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from dashboard.analytics.filters import Filter, FunnelPath, top_leaves


def places(path: FunnelPath) -> list[str]:
    """The columns, by the funnel's order."""
    match path.order:
        case "any":
            return _any(path.steps)
        case "strict":
            return _strict(len(path.steps))
    return _sequential(len(path.steps))


def _sequential(count: int) -> list[str]:
    """The first event that serves each step after the one that served the step before."""
    return ["arrayFirst(e -> bitTest(e, 0), found) AS p1"] + [
        f"arrayFirst(e -> p{step} > 0 AND e > p{step} AND bitTest(e, {step}), found) AS p{step + 1}"
        for step in range(1, count)
    ]


def _strict(count: int) -> list[str]:
    """The first event by which each step was reached by events that follow each other: each serves the next step, or
    the same step again. The first part of `walk` has the steps that the events up to here may have led to, as bits."""
    led_to = "bitAnd(bitAnd(e, 255), bitOr(bitOr(bitShiftLeft(walk.1, 1), walk.1), 1))"
    firsts = [f"if(walk.{step + 2} = 0 AND bitTest({led_to}, {step}), e, walk.{step + 2})" for step in range(count)]
    start = ", ".join(["toUInt64(0)"] * (count + 1))
    walked = f"arrayFold((walk, e) -> ({', '.join([led_to, *firsts])}), found, ({start}))"
    return [f"{walked} AS walked", *(f"walked.{step + 1} AS p{step}" for step in range(1, count + 1))]


def _any(steps: Sequence[Filter]) -> list[str]:
    """The event by which all steps so far have events of their own. By Hall's theorem that is when of each set of
    these steps as many events have come as it has steps. Sets in which no event can serve several need no look."""
    shared = {
        frozenset(pair) for pair in combinations(range(len(steps)), 2) if _may_share(*(steps[each] for each in pair))
    }
    found = []
    for last in range(len(steps)):
        sets = [(*others, last) for size in range(last + 1) for others in combinations(range(last), size)]
        needed = [_nth(each) for each in sets if _connected(each, shared)] + ([f"p{last}"] if last else [])
        latest = f"arrayMax([{', '.join(needed)}])"
        found.append(f"if(has([{', '.join(needed)}], 0), 0, {latest}) AS p{last + 1}")
    return found


def _nth(steps: Sequence[int]) -> str:
    """The event by which as many have come that serve any of these steps as there are of them; else 0."""
    bits = sum(1 << step for step in steps)
    return f"arrayFilter(e -> bitAnd(e, {bits}) > 0, found)[{len(steps)}]"


def _connected(steps: Sequence[int], shared: set[frozenset[int]]) -> bool:
    """Whether the steps hang together by pairs that one event may serve both of."""
    reached, waiting = {steps[0]}, [steps[0]]
    while waiting:
        step = waiting.pop()
        further = {each for each in steps if each not in reached and frozenset((step, each)) in shared}
        reached |= further
        waiting += further
    return len(reached) == len(steps)


def _may_share(one: Filter, other: Filter) -> bool:
    """Whether an event may serve both steps: not where these ask for different names, or different pages."""
    known, wanted = _required(one), _required(other)
    return all(wanted.get(name, value) == value for name, value in known.items())


def _required(step: Filter) -> dict[str, str]:
    """What the name and the page of an event must be to serve a step, where that is one value."""
    found = {}
    for leaf, negated in top_leaves(step):
        if leaf.goals:
            (goal,) = leaf.goals
            found["event:name"] = goal.event or {"page": "pageview", "scroll": "engagement"}[goal.kind]
            if goal.kind == "page" and "*" not in goal.pattern:
                found["event:page"] = goal.pattern
        elif leaf.operator == "is" and not negated and leaf.dimension in ("event:name", "event:page"):
            (found[leaf.dimension],) = leaf.values
    return found
