"""Answers to journeys, from their two statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from dashboard.analytics.dimensions import ANONYMOUS
from dashboard.analytics.filters import every, is_
from dashboard.analytics.journeys import (
    LEFT,
    OTHER_STEPS,
    Journey,
    JourneyLink,
    JourneyNode,
    JourneyResult,
    Step,
    check_journey,
)
from dashboard.analytics.journeys_protection import (
    Flows,
    Link,
    VisitGroup,
    folded,
    joined,
    large_links,
    steps_of,
    told_links,
)
from dashboard.analytics.journeys_statements import build_flows, build_steps
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.journey_paths import END_ID, OTHER_ID

_UNNAMED: Final = {END_ID: LEFT, OTHER_ID: OTHER_STEPS}


async def run_journey(stats: StatsService, journey: Journey) -> JourneyResult:
    """Answer a journey. Raises `QueryError` where it cannot be answered as asked, `QueryTooLarge` past a limit."""
    check_journey(journey)
    prepared = await stats.prepared(Query(journey.site, ("visits",), journey.period, filters=journey.filters))
    protection = prepared.state.protection
    found = JourneyResult(
        0,
        min_visitors=protection.min_visitors,
        rounded_to=protection.rounding,
        events_available_from=prepared.events_available_from(),
        imported_days_left_out=len(prepared.state.imported(prepared.query.period)),
    )
    rows = await stats.rows(build_steps(journey, prepared), journey.site, prepared.state.parts)
    if not rows:
        return found
    names = {row[1]: Step("event" if row[2] else "page", row[3]) for row in rows} | _UNNAMED
    named = [[row[1] for row in rows if row[0] == column] for column in range(1, journey.columns + 1)]
    statement = build_flows(journey, prepared, named)
    flows = _flows(await stats.rows(statement, journey.site, prepared.state.parts), names)
    if len(joined(steps_of(flows, 0).values()).people) < protection.min_visitors:
        return found if protection.rounding else replace(found, visits=None, hidden=True)
    # Of a table that somebody has made for it what may be told takes a second to find, in which nobody is to wait.
    return await stats.computed(journey.site, lambda: _laid_out(found, flows, protection))


async def anonymous_pageviews(stats: StatsService, query: Query) -> tuple[int | None, int]:
    """The anonymous pageviews that a query selects, which are in no journey; None where there are fewer than the
    minimum, which comes second."""
    filters = every(query.filters, is_("visit:consent", ANONYMOUS))
    (result,) = await stats.run([Query(query.site, ("pageviews",), query.period, filters=filters)])
    return None if result.hidden else int(result.rows[0].metrics[0] or 0), result.min_visitors


def _flows(rows: Iterable[Sequence[Any]], names: Mapping[int, Step]) -> Flows:
    found: dict[int, dict[Link, VisitGroup]] = {}
    for column, source, target, visits, people in rows:
        found.setdefault(column, {})[names[source], names[target]] = VisitGroup(visits, frozenset(people))
    return [found[column] for column in sorted(found)]


def _laid_out(found: JourneyResult, flows: Flows, protection: Protection) -> JourneyResult:
    """The columns up to the last that names a step, and the links between them. Of rounded visits no small group
    follows, and one more that is left out would tell that there is one."""
    least, rounded, reported = protection.min_visitors, bool(protection.rounding), protection.count
    flows = folded(flows, least, rounded=rounded)
    columns = [steps_of(flows, number) for number in range(len(flows) + 1)]
    last = max((number for number, steps in enumerate(columns) if steps.keys() - {OTHER_STEPS}), default=0)
    links, untold = list[JourneyLink](), False
    for column, between in enumerate(flows[:last]):
        told = large_links(between, least) if rounded else told_links(between, least)
        untold = untold or (len(told) < len(between) and not rounded)
        links += [
            JourneyLink(column, *link, reported(between[link].visits))
            for link in sorted(told, key=lambda link: (-reported(between[link].visits), link))
        ]
    return replace(
        found,
        visits=reported(joined(columns[0].values()).visits),
        columns=tuple(_nodes(_large(steps, least) if rounded else steps, reported) for steps in columns[: last + 1]),
        links=tuple(links),
        links_hidden=untold,
    )


def _large(steps: Mapping[Step, VisitGroup], least: int) -> Mapping[Step, VisitGroup]:
    return {step: group for step, group in steps.items() if len(group.people) >= least}


def _nodes(steps: Mapping[Step, VisitGroup], reported: Callable[[int], int]) -> tuple[JourneyNode, ...]:
    """Steps by visits, then the others, then the end."""
    last = {OTHER_STEPS: 1, LEFT: 2}
    order = sorted(steps, key=lambda step: (last.get(step, 0), -reported(steps[step].visits), step))
    return tuple(JourneyNode(step, reported(steps[step].visits)) for step in order)
