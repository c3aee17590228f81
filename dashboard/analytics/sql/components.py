"""Components as columns of statements: the SQL that counts each over events, over visits, and over closed days."""

from __future__ import annotations

from collector.rollups.aggregates import REVENUE
from dashboard.analytics.query import Aggregation
from dashboard.analytics.sql.expressions import VISIT, VISITOR_KEY

EVENT_COUNTS = {
    "visitors": f"uniqExactIf({VISITOR_KEY}, visitor != 0)",
    "pageviews": "countIf(name = 'pageview')",
    "events": "count()",
    "visit_pageviews": "countIf(name = 'pageview' AND visitor != 0)",
}
EVENTS_WITH_SCROLLS = f"countIf(name != 'engagement') + uniqExactIf(({VISIT}, page), name = 'engagement')"
OF_VISIT = {
    "visits": "sum(visits)",
    "views": "countIf(name = 'pageview' AND visitor != 0)",
    "seconds": "sum(seconds)",
    "bounces": "sum(bounces)",
}
# Of visits all of whose events are selected, the numbers that each event adds to its visit simply add up.
WHOLE_VISITS = OF_VISIT | {"landings": "sum(visits)"}
BY_VISIT = {
    "visitors": f"uniqExactIf({VISITOR_KEY}, visitor != 0)",
    "pageviews": "sum(of_pageviews)",
    "events": "sum(of_events)",
    "visit_pageviews": "sumIf(of_pageviews, visitor != 0)",
    "visits": "sum(of_visits)",
    "views": "sum(of_views)",
    "seconds": "sum(of_seconds)",
    "landings": "sumIf(of_visits, landed)",
    "bounces": "sumIf(of_bounces, landed)",
}
MONEY = ("revenue", "sales", "buyers")
MONEY_LIMITS = ("most_untold", "least_told")
REVENUE_COUNTS = {
    "revenue": f"sumMapIf(map(toString(currency), {REVENUE}), currency != '')",
    "sales": "sumMapIf(map(toString(currency), toInt64(1)), currency != '')",
    "buyers": f"uniqExactMapIf(map(toString(currency), {VISITOR_KEY}), currency != '' AND visitor != 0)",
}
"""Revenue in thousandths of its unit, events with revenue and their visitors, by currency."""
PAYERS = f"uniqExactMapStateIf(map(toString(currency), {VISITOR_KEY}), currency != '' AND visitor != 0)"
"""The same visitors as a state, to be told apart across groups."""

# Of whole days every visit lands on a page that is asked for: landings are visits.
VISITS_OF_DAYS = {name: f"sum({name})" for name in ("visitors", "pageviews", "events", "views", "seconds", "bounces")}
VISITS_OF_DAYS |= {"visits": "sum(entries)", "landings": "sum(entries)"}
COUNTS_OF_DAYS = {
    name: f"sum({name})" for name in ("visitors", "pageviews", "events", "readings", "engaged", "scrolled")
} | {"visits": "sum(seen)"}
ENTRIES_OF_DAYS = {"landings": "sum(entries)", "bounces": "sum(bounces)"}
REVENUE_OF_DAYS = {
    "revenue": "sumMapIf(map(toString(currency), revenue), currency != '')",
    "sales": "sumMapIf(map(toString(currency), toInt64(sales)), currency != '')",
}


def component_names(aggregation: Aggregation) -> list[str]:
    """Names of the columns: revenue is three, by currency."""
    money = MONEY if "revenue" in aggregation.components else ()
    return [*sorted(aggregation.components - {"revenue"}), *money]


def component_columns(aggregation: Aggregation, sql: dict[str, str]) -> list[str]:
    """One column a component of the aggregation: `sql` has those that a subquery counts; all others are empty."""
    return [
        f"CAST({sql.get(name, 'map()')}, 'Map(String, Int64)') AS n_{name}"
        if name in MONEY
        else f"toInt64({sql.get(name, '0')}) AS n_{name}"
        for name in component_names(aggregation)
    ]
