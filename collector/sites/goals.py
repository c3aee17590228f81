"""Goals of a site: definition and validation.

A goal is reached by an event: a custom event of a name, the view of a page, a scroll deep enough. Without goals of its
own a site has one for every custom event that it has seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from collector.core.errors import RecordError
from collector.core.wildcards import LONGEST_PATTERN, MOST_STARS, is_bounded

GoalKind = Literal["event", "page", "outbound", "download", "form", "404", "scroll"]
GOAL_KINDS: tuple[GoalKind, ...] = ("event", "page", "outbound", "download", "form", "404", "scroll")

# What the snippet names the events that it sends by itself; the page of a missing page names its own `404`.
EVENTS_OF_KINDS: dict[str, str] = {
    "outbound": "Outbound Link: Click",
    "download": "File Download",
    "form": "Form: Submission",
    "404": "404",
}
# Goals of these kinds speak of the link that was clicked; those of the others of the page that it happened on.
KINDS_OF_LINKS = ("outbound", "download")

MOST_GOALS = 100
LONGEST_NAME = 120


class Goal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One goal of a site."""

    name: str = ""
    """As it is shown and asked for, unique in its site; when empty it is made from the rest."""
    kind: GoalKind
    """What reaches it."""
    match: str = ""
    """`event`: the event's name. `page`: a pattern of paths. `outbound`, `download`: a pattern of the link's address;
    `form`, `404`, `scroll`: of the page's path; empty is any. `*` is anything within a segment, `**` across."""
    depth: int = 0
    """`scroll`: reached when the visit has scrolled this many percent of a page, 1 to 100. Else 0."""
    currency: str = ""
    """Only revenue in this currency (ISO 4217) counts as the goal's; empty takes what there is."""

    @property
    def event(self) -> str:
        """Name of the custom event that reaches it; empty where it is a page or a scroll."""
        return self.match if self.kind == "event" else EVENTS_OF_KINDS.get(self.kind, "")

    @property
    def pattern(self) -> str:
        """Pattern of the path or link; empty is any."""
        return "" if self.kind == "event" else self.match

    @property
    def plain(self) -> bool:
        """Whether it is every event of a name: then the day's sums have it."""
        return bool(self.event) and not self.pattern


class GoalError(RecordError):
    """A goal cannot be stored as it is. `part` is its field that must be mended."""

    def __init__(self, part: str, template: str, about: str, **values: object) -> None:
        super().__init__("goals", template, about, **values)
        self.part = part


def checked_goals(goals: Iterable[Goal]) -> tuple[Goal, ...]:
    """The goals, validated and named. Raises `RecordError`; as a `GoalError` it names the invalid one and its field."""
    found = tuple(_checked(goal) for goal in goals)
    if len(found) > MOST_GOALS:
        raise RecordError("goals", "expected at most {count} goals", count=MOST_GOALS)
    names = [goal.name for goal in found]
    for name in names:
        if names.count(name) > 1:
            raise RecordError("goals", "two goals are named {name!r}", name=name)
    return found


def _checked(goal: Goal) -> Goal:
    goal = msgspec.structs.replace(goal, match=goal.match.strip(), currency=goal.currency.strip().upper())
    goal = msgspec.structs.replace(goal, name=goal.name.strip() or _short(default_name(goal)))
    if goal.kind not in GOAL_KINDS:
        raise RecordError(
            "goals", "expected a goal type of {choices}, not {kind!r}", choices=", ".join(GOAL_KINDS), kind=goal.kind
        )
    _check_match(goal)
    if len(goal.name) > LONGEST_NAME or not goal.name.isprintable():
        raise _wrong(goal, "name", "expected a name of one line and at most {count} characters", count=LONGEST_NAME)
    if goal.kind == "scroll" and not 1 <= goal.depth <= 100:
        raise _wrong(goal, "depth", "expected a scroll depth of 1 to 100 percent")
    if goal.kind != "scroll" and goal.depth:
        raise _wrong(goal, "depth", "only a goal of type scroll has a depth")
    if goal.currency and not (len(goal.currency) == 3 and goal.currency.isascii() and goal.currency.isalpha()):
        raise _wrong(goal, "currency", "expected a currency code such as SEK")
    return goal


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _check_match(goal: Goal) -> None:
    if len(goal.match) > LONGEST_PATTERN or not goal.match.isprintable():
        raise _wrong(
            goal, "match", "expected what it matches in one line of at most {count} characters", count=LONGEST_PATTERN
        )
    if not is_bounded(goal.pattern):
        raise _wrong(goal, "match", "expected at most {count} stars", count=MOST_STARS)
    if goal.kind == "event" and not goal.match:
        raise _wrong(goal, "match", "expected the event's name")
    if goal.kind == "page" and not goal.match:
        raise _wrong(goal, "match", "expected a path such as /thanks")
    if goal.match in ("pageview", "engagement") and goal.kind == "event":
        raise _wrong(goal, "match", "{name} is not a custom event; use a goal of type page or scroll", name=goal.match)
    of_path = goal.kind in ("page", "form", "404", "scroll")
    if of_path and goal.match and not goal.match.startswith(("/", "*")):
        raise _wrong(goal, "match", "expected a path that begins with /, such as /blog/**")


def _wrong(goal: Goal, part: str, template: str, **values: object) -> GoalError:
    return GoalError(part, template, goal.name[:LONGEST_NAME], **values)


def default_name(goal: Goal) -> str:
    """What a goal is called that was given no name."""
    where = f" {goal.match}" if goal.match else ""
    match goal.kind:
        case "event":
            return goal.match or "?"
        case "page":
            return f"Visit{where}"
        case "scroll":
            return f"Scroll {goal.depth}%{where}"
        case "form":
            return f"{EVENTS_OF_KINDS['form']}{where}"
    return f"{EVENTS_OF_KINDS.get(goal.kind, goal.kind)}{where}"
