"""Keys of the custom properties that the events of a query have."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from dataclasses import replace
from typing import Final

from dashboard.analytics.aggregation import resolve
from dashboard.analytics.dimensions import PROPERTY
from dashboard.analytics.filters import Filter
from dashboard.analytics.metrics import EVENT_COUNTS
from dashboard.analytics.period import Period
from dashboard.analytics.query import Query
from dashboard.analytics.service import StatsService
from dashboard.analytics.small_counts import SIZE
from dashboard.analytics.sql.parameters import Statement
from dashboard.analytics.sql.statement import PreparedQuery

MAX_KEYS: Final = 100


async def property_keys(stats: StatsService, site: str, period: Period, filters: Filter | None = None) -> list[str]:
    """The keys, the most frequent first; without a filter also those of days that have sums alone.

    Of a filtered view, those of groups below the site's minimum are left out. Raises `QueryError`, `QueryTooLarge`.
    """
    prepared = await stats.prepared(Query(site, ("events",), period, filters=filters))
    return [key for key, *_ in await stats.rows(_statement(prepared), site, prepared.state.parts)]


def _statement(prepared: PreparedQuery) -> Statement:
    """Its rows are a key, visitors and events."""
    query, protection, scope = prepared.query, prepared.state.protection, prepared.scope()
    by_property = resolve(replace(query, dimensions=(f"{PROPERTY}*",))).own()
    usable, bound = prepared.state.usable_by(by_property), scope.parameters
    summed = [day.version for day in usable.values() if day.imported or day.gone]
    protected = query.filters is not None or protection.strict
    sql = f"""
SELECT key, sum(visitors) AS c_visitors, sum(events) AS c_events FROM (
    SELECT key, toInt64({EVENT_COUNTS["visitors"]}) AS visitors, toInt64(count()) AS events
    FROM events ARRAY JOIN mapKeys(props) AS key
    WHERE {scope.of_days()} AND {scope.selected(query.filters)}
    GROUP BY key
    UNION ALL
    SELECT substring(dimension, {len(PROPERTY) + 1}) AS key, toInt64(sum(rollup.visitors)), toInt64(sum(rollup.events))
    FROM daily_rollup AS rollup
    WHERE site = {bound.text(query.site)} AND version IN {bound.add(summed, "Array(UInt64)")}
        AND startsWith(dimension, {bound.text(PROPERTY)}) AND value != '' AND currency = ''
    GROUP BY key)
GROUP BY key
HAVING {SIZE} >= {protection.min_visitors if protected else 1:d}
ORDER BY c_events DESC, key LIMIT {MAX_KEYS:d}"""
    return Statement(sql, bound.values)
