"""View model of what is around a page: the pages before and after it, its sources, where its visits begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from dashboard.analytics.filters import every, is_
from dashboard.analytics.journeys import LEFT, Direction, Journey, JourneyResult, Step
from dashboard.analytics.journeys_query import run_journey
from dashboard.analytics.period import Period
from dashboard.analytics.query import OTHER, Query, Result
from dashboard.analytics.service import StatsService
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _
from dashboard.reports.filter_params import FilterParam, chosen_filter
from dashboard.reports.journey_page import anonymous_left_out, visits_text
from dashboard.reports.journey_params import JourneyParams
from dashboard.reports.labels import label
from dashboard.reports.svg import share
from dashboard.reports.view_state import ViewState

NODES: Final = 12
ROWS: Final = 9
HERE: Final = "/journeys/page"


@dataclass(frozen=True, slots=True)
class NextRow:
    """One page or source beside the page: its visits, and their share of those of the list."""

    label: str
    visits: str
    percent: str
    bar: float
    href: str = ""


@dataclass(frozen=True, slots=True)
class NextList:
    """A list of rows; `of` says which visits these are."""

    title: str
    of: str
    rows: tuple[NextRow, ...]
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class PageSurroundings:
    """Everything about a page: lists, and addresses of the journeys from it and to it, and of its figures."""

    page: str
    visits: str
    hidden: bool
    lists: tuple[NextList, ...]
    onwards: str
    backwards: str
    figures: str
    anonymous: str
    after: JourneyResult


async def build_surroundings(stats: StatsService, state: ViewState, period: Period, page: str) -> PageSurroundings:
    """Ask for, and lay out, what is around a page."""
    anchor = Step("page", page)

    def journey(direction: Direction) -> Journey:
        filters = chosen_filter(state.chips)
        return Journey(state.domain, period, filters, direction, anchor, columns=2, nodes=NODES, pages_only=True)

    def asked(dimension: str, *filtered: str) -> Query:
        filters = every(chosen_filter(state.chips), *(is_(name, page) for name in filtered))
        return Query(state.domain, ("visits",), period, (dimension,), filters, limit=ROWS)

    before, after, anonymous, (sources, exits, entries) = await asyncio.gather(
        run_journey(stats, journey("backward")),
        run_journey(stats, journey("forward")),
        anonymous_left_out(stats, state.filtered(FilterParam("is", "event:page", page)), period),
        stats.run(
            [
                asked("visit:source", "event:page"),
                asked("visit:exit_page", "visit:entry_page"),
                asked("visit:entry_page", "visit:exit_page"),
            ]
        ),
    )
    entered, left = (FilterParam("is", name, page) for name in ("visit:entry_page", "visit:exit_page"))
    return PageSurroundings(
        page=page,
        visits=visits_text(after.visits or 0),
        hidden=after.hidden,
        lists=(
            _steps(state, before, N_("Came from"), N_("Came to the site")),
            _steps(state, after, N_("Went to"), N_("Left the site")),
            _values(state.filtered(FilterParam("is", "event:page", page)), sources, N_("Sources")),
            _values(state.filtered(entered), exits, N_("Entered here, left from")),
            _values(state.filtered(left), entries, N_("Left from here, entered on")),
        ),
        onwards=JourneyParams(anchor=anchor).href(state),
        backwards=JourneyParams("backward", anchor).href(state),
        figures=state.filtered(FilterParam("is", "event:page", page)).href(),
        anonymous=anonymous,
        after=after,
    )


_OF: Final = {
    N_("Came from"): N_("Where visits were before they first viewed this page."),
    N_("Went to"): N_("Where visits went after they first viewed this page."),
    N_("Sources"): N_("What led to the visits that viewed this page."),
    N_("Entered here, left from"): N_("Exit pages of the visits that began on this page."),
    N_("Left from here, entered on"): N_("Entry pages of the visits that ended on this page."),
}


def _steps(state: ViewState, result: JourneyResult, title: str, end: str) -> NextList:
    """The second column of a journey."""
    nodes = result.columns[1] if len(result.columns) > 1 else ()
    rows = (
        _row(
            _(end) if node.step == LEFT else _("Other pages") if node.step.kind == "other" else node.step.name,
            node.visits,
            result.visits or 0,
            surroundings_href(state, node.step.name) if node.step.kind == "page" else "",
        )
        for node in nodes
    )
    return NextList(_(title), _(_OF[title]), tuple(rows), result.hidden)


def surroundings_href(state: ViewState, page: str) -> str:
    """The address of what is around a page."""
    return state.href(HERE, page=page)


def _values(state: ViewState, result: Result, title: str) -> NextList:
    """A breakdown of visits under the filters of `state`, which its rows narrow."""
    (dimension,) = result.dimensions
    counts = [(row.dimensions[0], int(row.metrics[0] or 0)) for row in result.rows if not row.hidden]
    total = sum(count for _value, count in counts)
    rows: Iterable[NextRow] = (
        _row(_name(dimension, value), count, total, _narrowed(state, dimension)(value)) for value, count in counts
    )
    return NextList(_(title), _(_OF[title]), tuple(rows), result.hidden)


def _narrowed(state: ViewState, dimension: str) -> Callable[[str], str]:
    return lambda value: "" if value == OTHER else state.filtered(FilterParam("is", dimension, value)).href()


def _name(dimension: str, value: str) -> str:
    return _("Other (grouped for privacy)") if value == OTHER else label(dimension, value)


def _row(name: str, visits: int, total: int, href: str) -> NextRow:
    part = share(visits, total)
    return NextRow(name, visits_text(visits), formatting.percent(part), part, href)
