"""What an address says of a journey, and addresses of other journeys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams

from dashboard.analytics.errors import QueryError
from dashboard.analytics.journeys import (
    COLUMNS,
    FEWEST_COLUMNS,
    MOST_COLUMNS,
    Direction,
    Grouping,
    Journey,
    Step,
    read_step,
    step_of,
)
from dashboard.analytics.period import Period
from dashboard.reports.filter_params import chosen_filter
from dashboard.reports.view_state import ViewState

HERE = "/journeys"


@dataclass(frozen=True, slots=True)
class JourneyParams:
    """A journey without site, dates and filters. Only differences from the defaults are written into addresses."""

    direction: Direction = "forward"
    anchor: Step | None = None
    choices: tuple[Step | None, ...] = ()
    columns: int = COLUMNS
    by: Grouping = "page"
    pages_only: bool = False

    def journey(self, state: ViewState, period: Period) -> Journey:
        """The journey of a view of a site."""
        filters = chosen_filter(state.chips)
        return Journey(
            state.domain,
            period,
            filters,
            self.direction,
            self.anchor,
            self.choices,
            self.columns,
            by=self.by,
            pages_only=self.pages_only,
        )

    def choosing(self, column: int, step: Step | None) -> JourneyParams:
        """The same of the visits that take a step in a column, from 0. None lifts it, and in the first column the
        anchor."""
        if not column and not step and self.anchor:
            return replace(self, anchor=None)
        choices = [*self.choices, *[None] * self.columns][: self.columns]
        choices[column] = step
        while choices and choices[-1] is None:
            choices.pop()
        return replace(self, choices=tuple(choices))

    def chosen(self, column: int) -> Step | None:
        """The step that is chosen in a column, the anchor in the first."""
        if not column and self.anchor:
            return self.anchor
        return self.choices[column] if column < len(self.choices) else None

    def href(self, state: ViewState, below: str = HERE) -> str:
        """The address of the journey under the filters and dates of a view."""
        return self.within(state).href(below)

    def within(self, state: ViewState) -> ViewState:
        """The view, in all of whose addresses the journey stays."""
        return replace(state, kept=(*state.kept, *self._pairs()))

    def _pairs(self) -> Iterator[tuple[str, str]]:
        if self.direction != "forward":
            yield "way", self.direction
        if self.anchor:
            yield "at", str(self.anchor)
        if self.columns != COLUMNS:
            yield "columns", str(self.columns)
        if self.by != "page":
            yield "by", self.by
        if self.pages_only:
            yield "steps", "pages"
        yield from ((f"then{number}", str(step)) for number, step in enumerate(self.choices, start=1) if step)


def read_journey_params(params: QueryParams) -> JourneyParams:
    """The journey that an address spells; what it misspells is the default."""
    columns = params.get("columns", "")
    count = int(columns) if columns.isascii() and columns.isdigit() and len(columns) < 3 else COLUMNS
    found = JourneyParams(
        "backward" if params.get("way") == "backward" else "forward",
        step_of(params.get("at", "").strip()),
        (),
        min(max(count, FEWEST_COLUMNS), MOST_COLUMNS),
        "section" if params.get("by") == "section" else "page",
        params.get("steps") == "pages",
    )
    for column in range(found.columns):
        step = _choice(params.get(f"then{column + 1}", ""))
        found = found.choosing(column, step) if step else found
    return found


def _choice(text: str) -> Step | None:
    try:
        return read_step(text, "choices") if text else None
    except QueryError:
        return None
