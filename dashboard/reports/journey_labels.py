"""How the columns, the steps and the paths of journeys read."""

from __future__ import annotations

from collections.abc import Iterator

from dashboard.analytics.journeys import LEFT, Choice, Direction, JourneyPath, OtherThan, Step
from dashboard.i18n.translations import _, plural


def heading(direction: Direction, column: int) -> str:
    """What a column is called, from 0."""
    if not column:
        return _("Start") if direction == "forward" else _("End")
    if direction == "forward":
        return _("Step {number}").format(number=column + 1)
    return plural("{count} step before", "{count} steps before", column).format(count=column)


def step_title(step: Step, direction: Direction) -> str:
    """How a step reads."""
    if step.kind == "end":
        return _("Left the site") if direction == "forward" else _("Entered the site")
    return _("Other steps") if step.kind == "other" else step.name


def path_title(path: JourneyPath) -> str:
    """How the visits of a path read: where the journey begins, and what is chosen in further columns."""
    return " → ".join(_parts(path))


def _parts(path: JourneyPath) -> Iterator[str]:
    if path.anchor:
        yield step_title(path.anchor, path.direction)
    for column, choice in enumerate(path.choices):
        # That a visit has not left is said by the step that it takes later.
        if choice and (choice != OtherThan((LEFT,)) or column + 1 == len(path.choices)):
            yield f"{heading(path.direction, column)}: {_choice_title(choice, path.direction)}"


def _choice_title(choice: Choice, direction: Direction) -> str:
    if isinstance(choice, OtherThan):
        return _("other than {steps}").format(steps=", ".join(step_title(each, direction) for each in choice.steps))
    return step_title(choice, direction)
