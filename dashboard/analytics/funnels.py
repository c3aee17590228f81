"""Funnels of a site: definition, validation, and the paths that they are counted by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, cast

import msgspec

from collector.core.errors import RecordError
from collector.core.text import has_hidden, is_one_line
from collector.core.wildcards import LONGEST_PATTERN, MOST_STARS, expression, is_bounded, literal
from collector.sites.goals import LONGEST_NAME as LONGEST_MATCH
from collector.sites.goals import Goal
from collector.storage.site_records import SiteRecord
from dashboard.analytics.dimensions import LONGEST_KEY, PROPERTY
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import (
    LONGEST_VALUE,
    Compare,
    Filter,
    FunnelOrder,
    FunnelPath,
    FunnelWindow,
    Not,
    every,
    is_,
)

StepKind = Literal["page", "goal", "event"]
STEP_KINDS: Final[tuple[StepKind, ...]] = ("page", "goal", "event")
ORDERS: Final[tuple[FunnelOrder, ...]] = ("sequential", "strict", "any")
WINDOWS: Final[tuple[FunnelWindow, ...]] = ("visit", "day")

PropertyOperator = Literal["is", "is_not", "contains"]
_SIGNS: Final[dict[PropertyOperator, str]] = {"is_not": "!=", "is": "=", "contains": "~"}

FEWEST_STEPS, MOST_STEPS = 2, 8
MOST_CONDITIONS = 5
LONGEST_NAME = 60


class PropertyCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on a custom property of an event."""

    key: str
    operator: PropertyOperator = "is"
    value: str

    def __str__(self) -> str:
        return f"{self.key}{_SIGNS[self.operator]}{self.value}"


class FunnelStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a funnel: what an event must be to serve it."""

    kind: StepKind
    match: str
    """`page`: a pattern of paths, as goals have. `goal`: a goal's name. `event`: a custom event's name."""
    where: tuple[PropertyCondition, ...] = ()
    """`event`: conditions on its properties, all of which must hold."""

    @property
    def label(self) -> str:
        """The step as it is shown: its page, goal or event, with the conditions."""
        return f"{self.match} ({conditions_text(self.where)})" if self.where else self.match


class Funnel(SiteRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A funnel of a site."""

    id: str = ""
    site: str = ""
    name: str
    """Unique in its site."""
    steps: tuple[FunnelStep, ...]
    order: FunnelOrder = "sequential"
    """`sequential`: other events may lie between. `strict`: only events of the step before may. `any`: all steps so
    far, in whatever order."""
    window: FunnelWindow = "visit"
    """`visit`: within one visit; counts visits. `day`: within a visitor's site-local day; counts visitors."""
    created: int = 0
    """Unix seconds."""


def checked_funnel(funnel: Funnel, goals: Sequence[Goal]) -> Funnel:
    """The funnel, validated, at a site with these goals. Raises `RecordError` naming the field, a step by its number
    from 1 (`steps.2`)."""
    name = " ".join(funnel.name.split())
    if not is_one_line(name, LONGEST_NAME):
        raise RecordError("name", "expected a name of 1 to {count} characters", count=LONGEST_NAME)
    if funnel.order not in ORDERS:
        raise RecordError("order", "expected one of {choices}", choices=", ".join(ORDERS))
    if funnel.window not in WINDOWS:
        raise RecordError("window", "expected one of {choices}", choices=", ".join(WINDOWS))
    if not FEWEST_STEPS <= len(funnel.steps) <= MOST_STEPS:
        raise RecordError("steps", "expected {few} to {many} steps", few=FEWEST_STEPS, many=MOST_STEPS)
    steps = tuple(_checked_step(step, f"steps.{place}", goals) for place, step in enumerate(funnel.steps, 1))
    return msgspec.structs.replace(funnel, name=name, steps=steps)


def _checked_step(step: FunnelStep, field: str, goals: Sequence[Goal]) -> FunnelStep:
    step = msgspec.structs.replace(step, match=step.match.strip())
    match step.kind:
        case "page":
            _check_page(step.match, field)
        case "goal":
            if step.match not in {goal.name for goal in goals}:
                raise RecordError(field, "choose one of the site's goals")
        case "event":
            _check_event(step.match, field)
        case _:
            raise RecordError(field, "expected a step of {choices}", choices=", ".join(STEP_KINDS))
    if step.where and step.kind != "event":
        raise RecordError(field, "only a step of an event has conditions on properties")
    if len(step.where) > MOST_CONDITIONS:
        raise RecordError(field, "expected at most {count} conditions", count=MOST_CONDITIONS)
    for condition in step.where:
        _check_condition(condition, field)
    return step


def _check_page(pattern: str, field: str) -> None:
    if not pattern.startswith(("/", "*")) or has_hidden(pattern):
        raise RecordError(field, "expected a path that begins with /, such as /blog/**")
    if len(pattern) > LONGEST_PATTERN:
        raise RecordError(
            field, "expected what it matches in one line of at most {count} characters", count=LONGEST_PATTERN
        )
    if not is_bounded(pattern):
        raise RecordError(field, "expected at most {count} stars", count=MOST_STARS)


def _check_event(name: str, field: str) -> None:
    if not is_one_line(name, LONGEST_MATCH):
        raise RecordError(field, "expected the event's name")
    if name in ("pageview", "engagement"):
        raise RecordError(field, "{name} is not a custom event; choose a page or a goal", name=name)


def _check_condition(condition: PropertyCondition, field: str) -> None:
    if condition.operator not in _SIGNS:
        raise RecordError(field, "expected one of {choices}", choices=", ".join(_SIGNS))
    if not 0 < len(condition.key) <= LONGEST_KEY or has_hidden(condition.key):
        raise RecordError(field, "expected conditions such as plan=pro")
    if len(condition.value) > LONGEST_VALUE or has_hidden(condition.value):
        raise RecordError(field, "expected conditions such as plan=pro")


_SEPARATOR: Final = re.compile(r"(?<!\\);")
_SIGN: Final = re.compile("!=|=|~")


def read_conditions(text: str, field: str) -> tuple[PropertyCondition, ...]:
    """Conditions as forms and the command line spell them: `plan=pro; size!=xs; file~.pdf`. A backslash stands before
    a semicolon that is part of a value. Raises `RecordError`."""
    return tuple(_read_condition(part, field) for part in _SEPARATOR.split(text) if part.strip())


def _read_condition(text: str, field: str) -> PropertyCondition:
    found = _SIGN.search(text)
    key = text[: found.start()].strip() if found else ""
    if found is None or not key:
        raise RecordError(field, "expected conditions such as plan=pro")
    operator = next(name for name, sign in _SIGNS.items() if sign == found[0])
    value = text[found.end() :].strip().replace("\\;", ";")
    return PropertyCondition(key=key.replace("\\;", ";"), operator=operator, value=value)


def conditions_text(conditions: Iterable[PropertyCondition]) -> str:
    """The conditions as `read_conditions` reads them."""
    return "; ".join(str(each).replace(";", "\\;") for each in conditions)


def read_step(text: str, field: str) -> FunnelStep:
    """A step as the command line spells it: `page=/cart`, `goal=Signup`, `event=Order; plan=pro`. Raises
    `RecordError`."""
    first, *conditions = _SEPARATOR.split(text)
    kind, sign, match = first.partition("=")
    if not sign or kind.strip() not in STEP_KINDS:
        raise RecordError(field, "expected page=PATH, goal=NAME or event=NAME")
    where = tuple(_read_condition(part, field) for part in conditions if part.strip())
    return FunnelStep(kind=cast("StepKind", kind.strip()), match=match.strip().replace("\\;", ";"), where=where)


def path_of(funnel: Funnel, goals: Sequence[Goal]) -> FunnelPath:
    """The steps as conditions on events. Raises `QueryError` where a step's goal is no more."""
    steps = tuple(_condition(step, goals) for step in funnel.steps)
    return FunnelPath(steps, funnel.order, funnel.window)


def lost_goals(funnel: Funnel, goals: Sequence[Goal]) -> tuple[str, ...]:
    """The goals that its steps name and that the site does not have any more."""
    known = {goal.name for goal in goals}
    return tuple(step.match for step in funnel.steps if step.kind == "goal" and step.match not in known)


def _condition(step: FunnelStep, goals: Sequence[Goal]) -> Filter:
    if step.kind == "goal":
        goal = next((each for each in goals if each.name == step.match), None)
        if goal is None:
            raise QueryError("funnel", f"the goal {step.match[:80]!r} is no more")
        return Compare("is", "event:goal", (goal.name,), goals=(goal,))
    if step.kind == "page":
        found = is_("event:page", step.match)
        if not literal(step.match):
            found = Compare("matches", "event:page", (expression(step.match),))
        return cast("Filter", every(is_("event:name", "pageview"), found))
    return cast("Filter", every(is_("event:name", step.match), *map(_property, step.where)))


def _property(condition: PropertyCondition) -> Filter:
    dimension = PROPERTY + condition.key
    if condition.operator == "contains":
        return Compare("contains", dimension, (condition.value,), case_sensitive=False)
    compare = is_(dimension, condition.value)
    return Not(compare) if condition.operator == "is_not" else compare
