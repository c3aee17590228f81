"""View model of what is around a page: the pages before and after it, its sources, where its visits begin and end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from dashboard.analytics.filters import And, Filter, Not, every, is_
from dashboard.analytics.journeys import LEFT, Journey, JourneyPath, JourneyResult, OtherThan, Step
from dashboard.analytics.journeys_query import run_journey
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query, Result
from dashboard.analytics.service import StatsService
from dashboard.i18n.translations import N_, _
from dashboard.reports.counted_list import CountedList, counted_row, counted_rows
from dashboard.reports.filter_params import FilterParam, chosen_filter, dimension_title
from dashboard.reports.journey_page import anonymous_left_out, visits_text
from dashboard.reports.journey_params import JourneyParams
from dashboard.reports.view_state import ViewState

NODES: Final = 12
ROWS: Final = 9
HERE: Final = "/journeys/page"


@dataclass(frozen=True, slots=True)
class PageSurroundings:
    """Everything about a page: lists, and addresses of the journeys from it and to it, and of its figures."""

    page: str
    visits: str
    hidden: bool
    lists: tuple[CountedList, ...]
    onwards: str
    backwards: str
    figures: str
    anonymous: str
    after: JourneyResult


async def build_surroundings(stats: StatsService, state: ViewState, period: Period, page: str) -> PageSurroundings:
    """Ask for, and lay out, what is around a page."""
    anchor = Step("page", page)
    began, ended = (is_(name, page) for name in ("visit:entry_page", "visit:exit_page"))
    # As the journeys have them: of visits with a custom event alone a few would be what the sums leave.
    viewed_here = And((is_("event:page", page), is_("event:name", "pageview")))

    def journey(path: JourneyPath, condition: Filter | None = None) -> Journey:
        return Journey(state.domain, period, every(chosen_filter(state.chips), condition), path, columns=2, nodes=NODES)

    def asked(*conditions: Filter, by: tuple[str, ...] = ()) -> Query:
        filters = every(chosen_filter(state.chips), *conditions)
        return Query(state.domain, ("visits",), period, by, filters, limit=ROWS)

    forward = JourneyPath(anchor=anchor, pages_only=True)
    went_on = forward.choosing({1: OtherThan((LEFT,))})
    before, after, returned, anonymous, results = await asyncio.gather(
        run_journey(stats, journey(replace(forward, direction="backward"))),
        run_journey(stats, journey(forward)),
        run_journey(stats, journey(went_on, ended)),
        anonymous_left_out(stats, state.filtered(FilterParam("is", "event:page", page)), period),
        stats.run(
            [
                asked(viewed_here, by=("visit:source",)),
                asked(began, by=("visit:exit_page",)),
                asked(ended, by=("visit:entry_page",)),
                asked(began),
                asked(ended),
                asked(began, Not(ended)),
                asked(ended, Not(began)),
                asked(viewed_here, Not(began), Not(ended)),
            ]
        ),
    )
    sources, exits, entries, all_entered, all_left, *parts = results
    # What the lists leave of each other: one tells a row that the other has among its small ones, and their sums tell
    # of visits that neither began nor ended here, and of those that went on and ended here all the same.
    few = returned.hidden or any(each.hidden for each in parts)
    viewed, entered, left = (
        FilterParam("is", name, page) for name in ("event:page", "visit:entry_page", "visit:exit_page")
    )
    return PageSurroundings(
        page=page,
        visits=visits_text(after.visits or 0),
        hidden=after.hidden,
        lists=(
            _steps(state, before, N_("Previous page"), N_("Entered the site")),
            _steps(state, after, N_("Next page"), N_("Left the site")),
            _ends(state.filtered(left), entries, all_left, after, N_("Entry pages"), few=few),
            _ends(state.filtered(entered), exits, all_entered, before, N_("Exit pages"), few=few),
            _values(state.filtered(viewed), sources, after.visits or 0, N_("Sources")),
        ),
        onwards=JourneyParams(JourneyPath(anchor=anchor)).href(state),
        backwards=JourneyParams(JourneyPath("backward", anchor)).href(state),
        figures=state.filtered(viewed).href(),
        anonymous=anonymous,
        after=after,
    )


_OF: Final = {
    N_("Previous page"): N_("Before the first view of this page."),
    N_("Next page"): N_("After the first view of this page."),
    N_("Sources"): N_("Of visits that viewed this page."),
    N_("Exit pages"): N_("Of visits that began on this page."),
    N_("Entry pages"): N_("Of visits that ended on this page."),
}


def _steps(state: ViewState, result: JourneyResult, title: str, end: str) -> CountedList:
    """The second column of a journey."""
    nodes = result.columns[1] if len(result.columns) > 1 else ()
    rows = (
        counted_row(
            _(end) if node.step == LEFT else _("Other pages") if node.step.kind == "other" else node.step.name,
            node.visits,
            result.visits or 0,
            surroundings_href(state, node.step.name) if node.step.kind == "page" else "",
        )
        for node in nodes
    )
    return CountedList(_(title), _("Page"), tuple(rows), result.hidden, _(_OF[title]))


def surroundings_href(state: ViewState, page: str) -> str:
    """The address of what is around a page."""
    return state.href(HERE, page=page)


def _values(state: ViewState, result: Result, whole: int, title: str) -> CountedList:
    """A breakdown of visits under the filters of `state`, with shares of all of these visits."""
    (dimension,) = result.dimensions
    rows = counted_rows(state, result, whole)
    return CountedList(_(title), dimension_title(dimension), rows, result.hidden, _(_OF[title]), dimension)


def _ends(
    state: ViewState, result: Result, whole: Result, steps: JourneyResult, title: str, *, few: bool
) -> CountedList:
    """The breakdown of the visits that began or ended here; hidden where `steps` have them among the other pages, of
    which it would tell the rest, and where so `few` follow from it and the other lists."""
    told = _values(state, result, _total(whole), title)
    kinds = {node.step.kind for node in steps.columns[1]} if len(steps.columns) > 1 else set()
    folded = "end" not in kinds and ("other" in kinds or not kinds)
    return replace(told, rows=(), hidden=True) if told.rows and (few or folded) else told


def _total(result: Result) -> int:
    return int(result.rows[0].metrics[0] or 0) if result.rows else 0
