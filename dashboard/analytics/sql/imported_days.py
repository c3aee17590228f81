"""What imported days tell exactly: who viewed the page of a goal, and which views were the last of their visit."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace

from collector.sites.goals import Goal
from dashboard.analytics.aggregation import Aggregation
from dashboard.analytics.goal_filters import is_of_one_page
from dashboard.analytics.sql.parameters import Statement
from dashboard.analytics.sql.rollups import SiteState

OF_EXITS = frozenset({"exits", "visit_pageviews"})


def needs_sums_of_pages(aggregation: Aggregation) -> bool:
    """Whether it depends on more than that a day was imported."""
    goals = [goal for each in aggregation.dimensions for goal in each.goals or ()]
    return bool(aggregation.components & OF_EXITS) or any(map(is_of_one_page, goals))


def build_sums_of_pages(site: str, state: SiteState, goals: Iterable[Goal]) -> Statement:
    """The statement of what each imported day tells: its date, whether of the goals' pages, and whether of exits."""
    versions = [version for day, version in state.closed.versions if day in state.imported]
    pages = sorted({goal.pattern for goal in goals if is_of_one_page(goal)})
    return Statement(_SUMS_OF_PAGES, {"site": site, "versions": versions, "pages": pages}, immutable=True)


def with_sums_of_pages(state: SiteState, rows: Iterable[Sequence[object]]) -> SiteState:
    """The state with what its imported days tell, from the rows of that statement."""
    found = [(day, of_goals, of_exits) for day, of_goals, of_exits in rows if isinstance(day, datetime.date)]
    closed = replace(
        state.closed,
        page_goals=frozenset(day for day, of_goals, _ in found if of_goals),
        without_exits=state.imported - {day for day, _, of_exits in found if of_exits},
        page_exits=frozenset(day for day, _, of_exits in found if of_exits),
    )
    return replace(state, closed=closed)


# Of a page with other events than views nobody can tell who viewed it, and of views without a visit not where they are.
_SUMS_OF_PAGES = """
SELECT day,
    countIf(dimension = 'event:page' AND value != '') > 0
        AND countIf(dimension = 'event:page' AND value IN {pages:Array(String)} AND custom_events > 0) = 0,
    countIf(dimension = 'event:page' AND value != '') > 0 AND countIf(dimension = 'visit:exit_page' AND value != '') > 0
        AND sumIf(pageviews_without_visit, dimension = '') = 0
FROM daily_rollup
WHERE site = {site:String} AND version IN {versions:Array(UInt64)}
    AND dimension IN ('', 'event:page', 'visit:exit_page')
GROUP BY day"""
