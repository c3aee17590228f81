"""The independent model of funnels: docs/funnels.md in plain Python over lists of raw events.

It tries assignments of events to steps one by one, and knows neither SQL nor the code of the dashboard.
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from collector.ingest.event import Event
from collector.sites.goals import Goal
from dashboard.analytics.funnels import Funnel, FunnelStep
from tests.model import OTHER, Model, Question, reaches

UnitKey = tuple[Any, ...]


def serves(step: FunnelStep, event: Event, goals: Iterable[Goal]) -> bool:
    """Whether an event may serve a step."""
    if step.kind == "goal":
        return any(goal.name == step.match and reaches(goal, event) for goal in goals)
    if step.kind == "page":
        stars = {"**": ".*", "*": "[^/]*"}
        parts = [stars.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", step.match)]
        return event.name == "pageview" and re.fullmatch("".join(parts), event.page) is not None
    return event.name == step.match and all(
        _holds(each.operator, event.props.get(each.key, ""), each.value) for each in step.where
    )


def _holds(operator: str, value: str, wanted: str) -> bool:
    if operator == "contains":
        return wanted.lower() in value.lower()
    return (value == wanted or (wanted == "(none)" and not value)) == (operator == "is")


@dataclass(frozen=True, eq=False)
class Walk:
    """How far one unit came: its events, and the index of the event by which each step was reached."""

    key: UnitKey
    events: Sequence[Event]
    ends: tuple[int, ...]
    strict: bool

    @property
    def depth(self) -> int:
        """How many steps it reached."""
        return len(self.ends)

    @property
    def visitor(self) -> UnitKey:
        """Whose it is."""
        return self.key[:2]

    def wait(self, step: int) -> int:
        """Seconds from the step before."""
        end = self.ends[step - 1]
        before = end - 1 if self.strict else self.ends[step - 2]
        return self.events[end].ts - self.events[before].ts

    def next_page(self) -> str:
        """The next pageview after the last step that was reached."""
        return next((each.page for each in self.events[self.ends[-1] + 1 :] if each.name == "pageview"), "")


@dataclass(frozen=True)
class FunnelAnswer:
    """What is shown: counts (None is hidden), those who left, median waits, next pages by step, and the rest."""

    all: int | None
    units: tuple[int | None, ...]
    waits: tuple[float | None, ...] = ()
    after: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    revenue: Mapping[str, float] = field(default_factory=dict)
    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class FunnelModel:
    """Funnels over a model's events. `goals` are the site's own."""

    def __init__(self, model: Model, goals: Sequence[Goal] = (), least: int = 1, *, strict: bool = False) -> None:
        self._model = model
        self._events = model.events
        self._goals = goals
        self._least = least
        self._rounds = strict and least > 1

    def walks(self, funnel: Funnel, question: Question) -> list[Walk]:
        """Every unit that the question's filters select, with how far it came."""
        selected = {_key(funnel, each) for each in self._model.selected(question) if each.visitor}
        units: dict[UnitKey, list[Event]] = defaultdict(list)
        for event in self._events:
            within = question.first <= event.day <= question.last
            serving = any(serves(step, event, self._goals) for step in funnel.steps)
            if event.visitor and within and (event.name != "engagement" or serving):
                units[_key(funnel, event)].append(event)
        found = []
        for key in selected:
            events = sorted(units[key], key=lambda event: (event.ts, event.seq))
            found.append(Walk(key, events, self._ends(funnel, events), funnel.order == "strict"))
        return found

    def members(self, funnel: Funnel, question: Question, value: str) -> set[UnitKey]:
        """The units that reached a step, or left at it, as the filter by funnels says it: `left:2:Checkout`."""
        verb, step, _ = value.split(":", 2)
        depths = {int(step)} if verb == "left" else {*range(int(step), len(funnel.steps) + 1)}
        return {walk.key for walk in self.walks(funnel, question) if walk.depth in depths}

    def _ends(self, funnel: Funnel, events: Sequence[Event]) -> tuple[int, ...]:
        """The first event by which so many steps were reached, for as many as were."""
        may = [[serves(step, event, self._goals) for step in funnel.steps] for event in events]
        reached = {"sequential": _in_order, "strict": _in_a_row, "any": _in_any_order}[funnel.order]
        found: list[int] = []
        for step in range(1, len(funnel.steps) + 1):
            end = next((end for end in range(len(events)) if reached(may, step, end)), None)
            if end is None:
                break
            found.append(end)
        return tuple(found)

    def answer(self, funnel: Funnel, question: Question, by: str = "") -> FunnelAnswer:
        """What is shown of a funnel, by the values of a dimension if one is given."""
        walks, steps = self.walks(funnel, question), len(funnel.steps)
        told = {*range(steps + 1)} if self._rounds else self._told(walks, steps)
        if not told:
            return FunnelAnswer(None, (None,) * steps, (None,) * steps)
        count = [self._count([walk for walk in walks if walk.depth >= step]) for step in range(steps + 1)]
        waits: list[float | None] = [None]
        for step in range(2, steps + 1):
            seconds = [walk.wait(step) for walk in walks if walk.depth >= step]
            waits.append(statistics.median(seconds) if count[step] and step in told else None)
        last = [walk for walk in walks if walk.depth == steps]
        return FunnelAnswer(
            count[0],
            tuple(count[step] if step in told else None for step in range(1, steps + 1)),
            tuple(waits),
            {
                step: self._next_pages([walk for walk in walks if walk.depth == step])
                for step in range(1, steps)
                if {step, step + 1} <= told
            },
            self._revenue(last) if steps in told else {},
            self._breakdown(walks, question, funnel, by) if by and {1, steps} <= told else {},
        )

    def _told(self, walks: Sequence[Walk], steps: int) -> set[int]:
        """Steps whose count tells of no small group: neither of those who are left, nor of those who left since the
        step before it that is told."""
        found: list[int] = []
        for step in range(steps + 1):
            there = {walk.visitor for walk in walks if walk.depth >= step}
            since = {walk.visitor for walk in walks if found and found[-1] <= walk.depth < step}
            if not self._few(there) and not self._few(since):
                found.append(step)
            elif step == 0:
                return set()
        return set(found)

    def _few(self, visitors: set[UnitKey]) -> bool:
        return 0 < len(visitors) < self._least

    def _count(self, walks: Sequence[Walk]) -> int:
        """How many they are, as it is told: where counts are rounded nobody in place of few visitors."""
        few = self._rounds and self._few({walk.visitor for walk in walks})
        return 0 if few else self._model.told(len(walks))

    def _revenue(self, last: Sequence[Walk]) -> dict[str, float]:
        paid: dict[str, list[tuple[UnitKey, Decimal]]] = defaultdict(list)
        for walk in last:
            event = walk.events[walk.ends[-1]]
            paid[event.currency].append((walk.visitor, event.revenue))
        told = {
            currency: sales
            for currency, sales in paid.items()
            if currency and not self._few({visitor for visitor, _ in sales})
        }
        rest = {visitor for currency, sales in paid.items() if currency not in told for visitor, _ in sales}
        if told and self._few(rest) and not self._rounds:
            del told[min(told, key=lambda currency: (len(told[currency]), currency))]
        sums = {currency: int(sum(amount for _, amount in sales) * 1000) for currency, sales in told.items()}
        return {currency: self._model.amount(total, len(told[currency])) / 1000 for currency, total in sums.items()}

    def _breakdown(
        self, walks: Sequence[Walk], question: Question, funnel: Funnel, by: str
    ) -> dict[str, tuple[int, int]]:
        values: dict[UnitKey, set[str]] = defaultdict(set)
        asked = Question(**question.__dict__ | {"dimensions": (by,)})
        for (value,), events in self._model.groups(asked).items():
            for event in events:
                if event.visitor:
                    values[_key(funnel, event)].add(value)
        begun = {walk: values[walk.key] for walk in walks if walk.depth}
        last = len(funnel.steps)
        return self._folded(begun, lambda walk: walk.depth == last)

    def _next_pages(self, walks: Sequence[Walk]) -> dict[str, int]:
        rows = self._folded({walk: {walk.next_page()} for walk in walks}, lambda _: False)
        return {value: count for value, (count, _done) in rows.items()}

    def _folded(self, values: Mapping[Walk, set[str]], done: Callable[[Walk], bool]) -> dict[str, tuple[int, int]]:
        """Rows of a value each; those with few that are done or few that are not together."""
        rows: dict[str, list[Walk]] = defaultdict(list)
        for walk, own in values.items():
            for value in own:
                rows[value].append(walk)

        def small(walks: Iterable[Walk]) -> bool:
            found = list(walks)
            if self._rounds:
                return not any(
                    len({each.visitor for each in found if done(each) == which}) >= self._least
                    for which in (True, False)
                )
            return any(self._few({each.visitor for each in found if done(each) == which}) for which in (True, False))

        folded = {value for value, walks in rows.items() if small(walks)}
        while not self._rounds and small(walk for walk, own in values.items() if own & folded):
            further = sorted(
                (len({each.key for each in rows[value]}), _stored(value)) for value in rows.keys() - folded
            )
            if not further:
                return {}
            folded |= {value for value in rows.keys() - folded if _stored(value) == further[0][1]}
        shown = {value: walks for value, walks in rows.items() if value not in folded}
        other = [walk for walk, own in values.items() if own & folded]
        shown |= {OTHER: other} if other and not (self._rounds and small(other)) else {}
        return {
            value: (self._count(walks), self._count([each for each in walks if done(each)]))
            for value, walks in shown.items()
        }


def _stored(value: str) -> str:
    return "" if value in ("Direct / None", "(not set)", "(none)") else value


def _key(funnel: Funnel, event: Event) -> UnitKey:
    return (event.day, event.visitor, event.visit) if funnel.window == "visit" else (event.day, event.visitor)


# Whether an event is the end of an assignment: `may[event][step]` says which events may serve which steps.

May = Sequence[Sequence[bool]]


def _in_order(may: May, step: int, end: int) -> bool:
    """The event serves the step, and some earlier one is the end of the steps before."""

    @cache
    def holds(step: int, end: int) -> bool:
        if not may[end][step - 1]:
            return False
        return step == 1 or any(holds(step - 1, before) for before in range(end))

    return holds(step, end)


def _in_a_row(may: May, step: int, end: int) -> bool:
    """The event serves the step, and the one right before it the step before, or the same one again."""

    @cache
    def holds(step: int, end: int) -> bool:
        if end < 0 or not may[end][step - 1]:
            return False
        return step == 1 or holds(step - 1, end - 1) or holds(step, end - 1)

    return holds(step, end)


def _in_any_order(may: May, step: int, end: int) -> bool:
    """Each of the steps has an event of its own among those up to this one."""

    def found(left: tuple[int, ...], used: frozenset[int]) -> bool:
        if not left:
            return True
        return any(
            may[event][left[0]] and found(left[1:], used | {event}) for event in range(end + 1) if event not in used
        )

    return found(tuple(range(step)), frozenset())
