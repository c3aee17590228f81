"""Expressions of the events by which each step of a funnel was reached, over `found`, the places of a unit's events.

A place sorts as the events happened, and its lowest eight bits are the steps that the event may serve. Each gives the
columns `p1`, `p2`, ...: the place of the event by which that many steps were reached, 0 where they were not.
"""

from __future__ import annotations

from dashboard.analytics.filters import FunnelPath


def places(path: FunnelPath) -> list[str]:
    """The columns, by the funnel's order."""
    match path.order:
        case "any":
            return _any(len(path.steps))
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


def _any(count: int) -> list[str]:
    """The first event with which the steps so far have events of their own, each of them one. The first part of `walk`
    has a bit for each set of steps, those that the events up to here may have served: an event that serves a step adds
    it to each set that is without it."""
    kind = f"toUInt{max(8, 1 << count)}"
    served = "walk.1"
    for step in range(count):
        served = f"bitOr({served}, {_with_step(step, count, kind)})"
    firsts = [
        f"if(walk.{step + 2} = 0 AND bitAnd({served}, {kind}('{1 << (2 << step) - 1}')) != 0, e, walk.{step + 2})"
        for step in range(count)
    ]
    start = ", ".join([f"{kind}('1')", *["toUInt64(0)"] * count])
    walked = f"arrayFold((walk, e) -> ({', '.join([served, *firsts])}), found, ({start}))"
    return [f"{walked} AS walked", *(f"walked.{step + 1} AS p{step}" for step in range(1, count + 1))]


def _with_step(step: int, count: int, kind: str) -> str:
    """The sets without the step, each with it, where the event serves it."""
    without = sum(1 << each for each in range(1 << count) if not each >> step & 1)
    return f"if(bitTest(e, {step}), bitShiftLeft(bitAnd(walk.1, {kind}('{without}')), {1 << step}), {kind}('0'))"
