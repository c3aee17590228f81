"""Statements of journeys: the steps of each column, and how visits go from one column to the next."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Sequence

from dashboard.analytics.goal_filters import scrolls
from dashboard.analytics.journeys import Journey
from dashboard.analytics.metrics import VISITOR_KEY
from dashboard.analytics.sql.journey_paths import END_ID, OTHER_ID, JourneyPaths
from dashboard.analytics.sql.parameters import Statement
from dashboard.analytics.sql.statement import PreparedQuery


def build_steps(journey: Journey, prepared: PreparedQuery) -> Statement:
    """The statement of the most visited steps of each column, and the end.

    Its rows are: column from 1, number of the step, whether it is a custom event, its name.
    """
    paths = JourneyPaths(journey.path, prepared.scope())
    return Statement(
        f"""
SELECT column, id, is_event, text
FROM (
    SELECT column, id, count() AS visits
    FROM ({_selected(journey, prepared, paths)}) ARRAY JOIN path AS id, arrayEnumerate(path) AS column
    GROUP BY column, id) AS counted
LEFT ANY JOIN ({paths.names()}) AS names USING (id)
ORDER BY column, id = {END_ID:d}, visits DESC, is_event, text
LIMIT {journey.nodes:d} BY column, id = {END_ID:d}""",
        paths.scope.parameters.values,
    )


def build_flows(journey: Journey, prepared: PreparedQuery, named: Sequence[Sequence[int]]) -> Statement:
    """The statement of how many visits go from which step of a column to which of the next. `named` are the numbers of
    the steps of each column; all others are one.

    Its rows are: column of the first step from 1, the two steps, visits, and their visitors by numbers that mean
    nothing elsewhere: all of them, or as many as the minimum of a group.
    """
    paths = JourneyPaths(journey.path, prepared.scope())
    ids = paths.scope.parameters.add([list(each) for each in named], "Array(Array(UInt64))")
    named_path = f"arrayMap((id, ids) -> if(has(ids, id), id, {OTHER_ID:d}), path, arraySlice({ids}, 1, length(path)))"
    return Statement(
        f"""
SELECT column, source, target, visits, arrayMap(key -> indexOf(every, key), keys) AS people
FROM (
    SELECT *, groupUniqArrayArray(keys) OVER () AS every
    FROM (
        SELECT column, source, target, count() AS visits,
            groupUniqArray({prepared.state.protection.min_visitors:d})({VISITOR_KEY}) AS keys
        FROM (SELECT day, visitor, {named_path} AS nodes FROM ({_selected(journey, prepared, paths)}))
        ARRAY JOIN arrayPopBack(nodes) AS source, arrayPopFront(nodes) AS target, range(1, length(nodes)) AS column
        GROUP BY column, source, target))""",
        paths.scope.parameters.values,
    )


def _selected(journey: Journey, prepared: PreparedQuery, paths: JourneyPaths) -> str:
    """The subquery of the visits that have an event which the filters select, with their steps."""
    filters, period, scope = prepared.query.filters, prepared.query.period, paths.scope
    having = [f"countIf({scope.selected(filters)}) > 0"] if filters or not period.whole_dates else []
    # A scroll that reaches a goal is no event, but may be what is filtered by.
    return paths.sql(journey.columns, [scope.of_visits(filters)], having, engagement=bool(scrolls(filters, ())))
