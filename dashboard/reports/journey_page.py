"""View model of the page of journeys: columns of steps as links, ribbons between them, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from dashboard.analytics.dimensions import JOURNEY
from dashboard.analytics.journeys import MOST_COLUMNS, JourneyNode, JourneyResult
from dashboard.analytics.journeys_filter import value_of
from dashboard.analytics.journeys_query import anonymous_pageviews, run_journey
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.i18n import formatting
from dashboard.i18n.translations import plural
from dashboard.reports.filter_params import chosen_filter, new_filter
from dashboard.reports.journey_labels import heading, step_title
from dashboard.reports.journey_params import JourneyParams
from dashboard.reports.journey_ribbons import ROW, Ribbon, ribbons
from dashboard.reports.svg import percentage, share
from dashboard.reports.view_state import ViewState

COLUMN_CHOICES: Final = range(2, MOST_COLUMNS + 1)


@dataclass(frozen=True, slots=True)
class FlowNode:
    """A step of a column, with the number of its visits, alone and with the unit. `href` continues the journey from it,
    or no longer where it is `chosen`; `figures` leads to the dashboard of its visits, or is "" where an address cannot
    hold their steps."""

    title: str
    kind: str
    count: str
    visits: str
    percent: str
    bar: float
    href: str
    chosen: bool
    figures: str


@dataclass(frozen=True, slots=True)
class FlowColumn:
    """A column with its heading, and the ribbons to the next one."""

    title: str
    nodes: tuple[FlowNode, ...]
    ribbons: tuple[Ribbon, ...] = ()
    height: int = 0
    """Of the drawing of the ribbons, in user units."""


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A link as a row of the table: its column, from where, to where, and visits."""

    column: str
    source: str
    target: str
    visits: str


@dataclass(frozen=True, slots=True)
class JourneyPage:
    """Everything on the page."""

    params: JourneyParams
    result: JourneyResult
    visits: str
    columns: tuple[FlowColumn, ...]
    rows: tuple[FlowRow, ...]
    anonymous: str
    """How many anonymous pageviews are left out; "" where there are none."""
    clear: str
    """Address without the steps that are chosen."""
    export: str
    suggested: tuple[str, ...]
    """Steps to begin with: paths of pages, and names of events."""


async def build_journey_page(
    stats: StatsService, state: ViewState, period: Period, params: JourneyParams
) -> JourneyPage:
    """Answer and lay out a journey."""
    result, direction = await run_journey(stats, params.journey(state, period)), params.path.direction
    return JourneyPage(
        params=params,
        result=result,
        visits=visits_text(result.visits or 0),
        columns=_columns(state, params, result),
        rows=tuple(
            FlowRow(
                heading(direction, link.column), step_title(link.source, direction), step_title(link.target, direction),
                formatting.number(link.visits),
            )
            for link in result.links
        ),
        anonymous=await anonymous_left_out(stats, state, period),
        clear=replace(params, path=replace(params.path, choices=())).href(state) if params.path.choices else "",
        export=params.href(state, "/journeys.csv"),
        suggested=tuple(
            dict.fromkeys(
                node.step.name for nodes in result.columns for node in nodes if node.step.kind in ("page", "event")
            )
        ),
    )  # fmt: skip


def visits_text(visits: int) -> str:
    """A number with its unit."""
    return plural("{count} visit", "{count} visits", visits).format(count=formatting.number(visits))


async def anonymous_left_out(stats: StatsService, state: ViewState, period: Period) -> str:
    """How many anonymous pageviews the filters select: they belong to no visit. "" where there are none."""
    query = Query(state.domain, ("pageviews",), period, filters=chosen_filter(state.chips))
    count, least = await anonymous_pageviews(stats, query)
    if count is None:
        return plural("fewer than {count} pageview", "fewer than {count} pageviews", least).format(count=least)
    return (
        plural("{count} pageview", "{count} pageviews", count).format(count=formatting.number(count)) if count else ""
    )


def _columns(state: ViewState, params: JourneyParams, result: JourneyResult) -> tuple[FlowColumn, ...]:
    found = []
    direction = params.path.direction
    most = max((node.visits for nodes in result.columns for node in nodes), default=0)
    for number, nodes in enumerate(result.columns):
        following = result.columns[number + 1] if number + 1 < len(result.columns) else ()
        links = [link for link in result.links if link.column == number]
        found.append(
            FlowColumn(
                heading(direction, number),
                tuple(_node(state, params, result, number, node) for node in nodes),
                ribbons(nodes, following, links, most) if following else (),
                ROW * max(len(nodes), len(following)) if following else 0,
            )
        )
    return tuple(found)


def _node(state: ViewState, params: JourneyParams, result: JourneyResult, column: int, node: JourneyNode) -> FlowNode:
    step = node.step
    chosen = params.chosen(column) == step
    reaching = result.reaching(params.path, column, step)
    chip = new_filter("is", JOURNEY.name, value_of(reaching))
    further = params.choosing(column, None) if chosen else replace(params, path=reaching)
    return FlowNode(
        title=step_title(step, params.path.direction),
        kind=step.kind,
        count=formatting.number(node.visits),
        visits=visits_text(node.visits),
        percent=formatting.percent(percentage(node.visits, result.visits)),
        bar=share(node.visits, result.visits),
        href=further.href(state),
        chosen=chosen,
        figures=state.filtered(chip).href() if chip else "",
    )


HEADS: Final = ("kind", "column", "step", "next_step", "visits")


def table(result: JourneyResult) -> Sequence[tuple[str, str, str, str, int | None]]:
    """The journey as rows for programs: kind (`step`, `link`), column from 1, step, the step of the next column, and
    visits."""
    steps = [
        ("step", str(number), str(node.step), "", node.visits)
        for number, nodes in enumerate(result.columns, start=1)
        for node in nodes
    ]
    links = [("link", str(link.column + 1), str(link.source), str(link.target), link.visits) for link in result.links]
    return [*steps, *links]
