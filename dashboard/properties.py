"""Which custom properties events were given: the keys; their values are breakdowns like any other."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from dashboard.bound import Bound
from dashboard.goals import countable
from dashboard.query import Checked
from dashboard.sql import Rows

MOST_KEYS = 100


def keys_statement(checked: Checked, least: int) -> tuple[str, dict[str, object]]:
    """SQL of one column, the keys that `least` visitors or more gave, the most frequent first; with its parameters."""
    query, bound = checked.query, Bound()
    rows = Rows(query.site, query.period, bound)
    tree = query.filters
    sql = f"""
SELECT key FROM (
    SELECT key, uniqExactIf((day, visitor), visitor != 0) AS visitors, count() AS events
    FROM events ARRAY JOIN mapKeys(props) AS key
    WHERE {rows.where()} AND {countable(tree, (), bound)} AND {rows.holds(tree)}
    GROUP BY key)
WHERE if(visitors = 0, events, visitors) >= {bound.add(least, "UInt32")}
ORDER BY events DESC, key LIMIT {MOST_KEYS:d}"""
    return sql, bound.values
