"""What an address says of a journey, and addresses of other journeys."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams

from dashboard.analytics.errors import QueryError
from dashboard.analytics.journeys import (
    ALL_VISITS,
    COLUMNS,
    FEWEST_COLUMNS,
    MOST_COLUMNS,
    Choice,
    Journey,
    JourneyPath,
    step_of,
)
from dashboard.analytics.journeys_filter import pairs_of, read_pairs
from dashboard.analytics.period import Period
from dashboard.reports.filter_params import chosen_filter
from dashboard.reports.view_state import ViewState

HERE = "/journeys"


@dataclass(frozen=True, slots=True)
class JourneyParams:
    """A journey without site, dates and filters. Only differences from the defaults are written into addresses."""

    path: JourneyPath = ALL_VISITS
    columns: int = COLUMNS

    def journey(self, state: ViewState, period: Period) -> Journey:
        """The journey of a view of a site."""
        return Journey(state.domain, period, chosen_filter(state.chips), self.path, self.columns)

    def choosing(self, column: int, step: Choice | None) -> JourneyParams:
        """The same of the visits that take a step in a column, from 0. None lifts it, and in the first column the
        anchor."""
        if not column and not step and self.path.anchor:
            return replace(self, path=replace(self.path, anchor=None))
        return replace(self, path=self.path.choosing({column: step}))

    def chosen(self, column: int) -> Choice | None:
        """The step that is chosen in a column, the anchor in the first."""
        return (None if column else self.path.anchor) or self.path.choice(column)

    def href(self, state: ViewState, below: str = HERE) -> str:
        """The address of the journey under the filters and dates of a view."""
        return self.within(state).href(below)

    def within(self, state: ViewState) -> ViewState:
        """The view, in all of whose addresses the journey stays."""
        columns = [("columns", str(self.columns))] if self.columns != COLUMNS else []
        return replace(state, kept=(*state.kept, *columns, *pairs_of(self.path)))


def read_journey_params(params: QueryParams) -> JourneyParams:
    """The journey that an address spells; what it misspells is the default."""
    text = params.get("columns", "")
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 3 else COLUMNS
    path = JourneyPath(
        "backward" if params.get("way") == "backward" else "forward",
        step_of(params.get("at", "").strip()),
        (),
        "section" if params.get("by") == "section" else "page",
        params.get("steps") == "pages",
    )
    columns = min(max(count, FEWEST_COLUMNS), MOST_COLUMNS)
    for number in range(1, columns + 1):
        for name in (f"not{number}", f"then{number}"):
            for value in params.getlist(name):
                path = _further(path, name, value)
    return JourneyParams(path, columns)


def _further(path: JourneyPath, name: str, value: str) -> JourneyPath:
    try:
        return read_pairs([(name, value)], path)
    except QueryError:
        return path
