"""The statement that builds rollups: all dimensions of a site's days, from their events.

Most of what a day of few events costs is planning, so that several days are built by one statement. Of what many
events cost half is telling visitors apart: totals and exit pages are therefore counted from visits, not from events.

Sums of a property have the dimension `event:props:NAME`. Of days on which no event had the property there are none:
then all events are without it, which the row of `EVERY_EVENT` holds. Revenue is summed by currency, in rows of its own
that count nothing else: by each dimension, and by the event's name as the dimension `REVENUE`.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collector.rollups.aggregates import of_basis

VISIT_DIMENSIONS = {
    "visit:source": "source",
    "visit:channel": "channel",
    "visit:referrer": "referrer",
    "visit:utm_source": "utm_source",
    "visit:utm_medium": "utm_medium",
    "visit:utm_campaign": "utm_campaign",
    "visit:utm_content": "utm_content",
    "visit:utm_term": "utm_term",
    "visit:click_id": "click_id",
    "visit:country": "country",
    "visit:browser": "browser",
    "visit:browser_version": "browser_version",
    "visit:os": "os",
    "visit:os_version": "os_version",
    "visit:device": "device",
    "visit:size": "size",
    "visit:entry_page": "entry_page",
    "visit:exit_page": "exit_page",
    "visit:consent": "consent",
}
EVENT_DIMENSIONS = {"event:page": "page", "event:hostname": "hostname", "event:name": "name"}
_OF_A_VISIT = ("entry_page", "exit_page")
EVERY_EVENT = "event:props:"
REVENUE = "event:revenue"

COLUMNS = (
    "visitors", "visits_with_event", "pageviews", "events", "visits", "bounces", "seconds", "visit_pageviews",
    "page_reads", "engagement_ms", "scroll_depth_sum", "revenue", "revenue_events",
)  # fmt: skip
"""Components that `daily_rollup` holds. Of whole days every visit enters on a page that is asked for: entry visits are
visits."""

_READ = of_basis("reading")
_READ_SUMS = ", ".join(f"toInt64({sql}) AS n_{name}" for name, sql in _READ.items())

# Counts as the table keeps them: by how much each exceeds the one below.
_KEPT = {
    "visitors": "n_visitors",
    "extra_visits": "n_visits_with_event + n_visits - n_visitors",
    "extra_pageviews": "n_pageviews - n_visits_with_event - n_visits",
    "custom_events": "n_events - n_pageviews",
    "pageviews_without_visit": "if(startsWith(dimension, 'event:'), 0, n_pageviews - n_visit_pageviews)",
    "bounces": "n_bounces",
    "seconds": "n_seconds",
    **{name: f"n_{name}" for name in _READ},
    "revenue": "n_revenue",
    "revenue_events": "n_revenue_events",
}
_DAYS = "site = {site:String} AND day IN {days:Array(Date)}"
_COUNTED = f"{_DAYS} AND name != 'engagement'"

PLACED_PAGE = (
    "concat(reverse(reinterpretAsFixedString(toUInt32(ts))), reverse(reinterpretAsFixedString(toUInt32(seq))), page)"
)
"""The page behind eight bytes of time and position: the greatest of a visit ends in its last page. It is found sooner
than by argMax over (ts, seq). Of rows without a position the greatest page of the last second counts."""


def of_last_page(greatest: str) -> str:
    """The page of the greatest `PLACED_PAGE`, which is an expression."""
    return f"substring({greatest}, 9)"


_VISITS = f"""(
        SELECT day, visitor, visit, count() AS of_events, countIf(name = 'pageview') AS of_pageviews,
            sum(visits) AS of_visits, sum(bounces) AS of_bounces, sum(seconds) AS of_seconds,
            {of_last_page(f"maxIf({PLACED_PAGE}, name = 'pageview' AND visitor != 0)")} AS exit_page,
            toString(if(visitor = 0, '', max(entry_page))) AS entered_on
        FROM {{events:Identifier}} WHERE {_COUNTED}
        GROUP BY day, visitor, visit
    )"""
_OF_VISITS = {
    "visits": "sum(of_visits)",
    "bounces": "sum(of_bounces)",
    "seconds": "sum(of_seconds)",
    "visit_pageviews": "sumIf(of_pageviews, visitor != 0)",
}
_PAGE_READS = f"""(
        SELECT 'event:page' AS dimension, day, toString(page) AS value, '' AS currency, {_READ_SUMS}
        FROM (
            SELECT day, page, visitor, visit, sum(engaged) AS engaged, max(scroll) AS scroll FROM {{events:Identifier}}
            WHERE {_DAYS} AND name = 'engagement' AND visitor != 0
            GROUP BY day, page, visitor, visit
        )
        GROUP BY day, page
    )"""
# The names of a day's properties, of days that have not too many; nobody can ask for one without a name.
_NAMED = f"""(
        SELECT day, arrayFilter(name -> name != '', groupUniqArrayArray(mapKeys(props))) AS named
        FROM {{events:Identifier}} WHERE {_COUNTED} GROUP BY day
        HAVING length(named) <= {{most:UInt32}} OR length(named) * count() <= {{looks:UInt64}}
    )"""


def _sets(dimensions: dict[str, str], taken: dict[str, str]) -> str:
    """Rows by each of the dimensions."""
    names = list(dimensions)
    groups = [f"g{number}" for number in range(len(names))]
    masks = [2 ** len(names) - 1 - 2 ** (len(names) - 1 - number) for number in range(len(names))]
    columns = [f"{column} AS {group}" for group, column in zip(groups, dimensions.values(), strict=True)]
    # Of columns that are not grouped by the value is empty: joined, only the grouped one is left.
    values = ", ".join(f"toString({group})" for group in groups)
    return f"""
    SELECT day, transform(grouping({", ".join(groups)}), {masks}, {names}, '') AS dimension, concat({values}) AS value,
        '' AS currency, {_sums(taken)}, {", ".join(columns)}
    FROM {{events:Identifier}}
    WHERE {_COUNTED}
    GROUP BY GROUPING SETS ({", ".join(f"(day, {group})" for group in groups)})"""


def _whole_and_exits(visitors: str) -> str:
    """Rows by exit and by entry page, which a visit has one of; and the row of everything, once as the whole site and
    once as `EVERY_EVENT`."""
    taken = {"visitors": visitors, "visits_with_event": f"if(dimension = '{EVERY_EVENT}', countIf(visitor != 0), 0)"}
    taken |= {name: f"if(dimension = '{EVERY_EVENT}', 0, {sql})" for name, sql in _OF_VISITS.items()}
    taken |= {name: f"sum(of_{name})" for name in ("pageviews", "events")}
    return f"""
    SELECT day, arrayJoin(multiIf(grouping(exit_page) = 0, ['visit:exit_page'],
            grouping(entered_on) = 0, ['visit:entry_page'], ['', '{EVERY_EVENT}'])) AS dimension,
        concat(exit_page, entered_on) AS value, '' AS currency, {_sums(taken)}
    FROM {_VISITS}
    GROUP BY GROUPING SETS ((day, exit_page), (day, entered_on), (day))"""


def _sums(taken: dict[str, str]) -> str:
    """The components `taken`, all others zero."""
    return ", ".join(f"toInt64({taken.get(name, '0')}) AS n_{name}" for name in COLUMNS if name not in _READ)


def _revenue(*, properties: bool) -> str:
    """Rows of revenue by every dimension and currency, each event once in each dimension."""
    columns = VISIT_DIMENSIONS | EVENT_DIMENSIONS | {REVENUE: "name"}
    pairs = [f"('{name}', '')" for name in ("", EVERY_EVENT)]
    pairs += [f"('{name}', toString({column}))" for name, column in columns.items() if column not in _OF_A_VISIT]
    pairs += ["('visit:entry_page', entered_on)", "('visit:exit_page', left_from)"]
    values, named = f"[{', '.join(pairs)}]", ""
    if properties:
        values = f"arrayConcat({values}, arrayMap(key -> (concat('event:props:', key), props[key]), named))"
        named = f"LEFT ANY JOIN {_NAMED} AS of_day USING (day)"
    paid = f"SELECT day, visitor, visit FROM {{events:Identifier}} WHERE {_COUNTED} AND currency != ''"
    return f"""
    SELECT day, each.1 AS dimension, each.2 AS value, toString(currency) AS currency,
        {_sums({name: sql for name, sql in of_basis("event").items() if name in ("revenue", "revenue_events")})}
    FROM (SELECT * FROM {{events:Identifier}} LEFT ANY JOIN (
            SELECT day, visitor, visit, toString(max(entry_page)) AS entered_on,
                {of_last_page(f"maxIf({PLACED_PAGE}, name = 'pageview')")} AS left_from
            FROM {{events:Identifier}} WHERE {_COUNTED} AND visitor != 0 AND (day, visitor, visit) IN ({paid})
            GROUP BY day, visitor, visit
        ) AS visits USING (day, visitor, visit) {named}
        WHERE {_COUNTED} AND currency != '')
    ARRAY JOIN {values} AS each
    GROUP BY day, dimension, value, currency"""


def _branches(*, properties: bool) -> list[str]:
    event = {name: sql for name, sql in of_basis("event").items() if name not in ("revenue", "revenue_events")}
    entered = {name: sql for name, sql in of_basis("visit").items() if name != "entry_visits"} | {
        "bounces": "sum(bounces)"
    }
    visit = {name: sql for name, sql in event.items() if name != "visits_with_event"} | entered
    found = [
        _sets({name: column for name, column in VISIT_DIMENSIONS.items() if column not in _OF_A_VISIT}, visit),
        _sets(EVENT_DIMENSIONS, event),
        _whole_and_exits(event["visitors"]),
        _revenue(properties=properties),
    ]
    if properties:
        found.append(f"""
    SELECT day, concat('event:props:', property) AS dimension, props[property] AS value, '' AS currency, {_sums(event)}
    FROM {{events:Identifier}} INNER JOIN {_NAMED} AS of_day USING (day) ARRAY JOIN named AS property
    WHERE {_COUNTED} GROUP BY day, property, value""")
    return found


def _build(*, properties: bool) -> str:
    taken = ", ".join(
        ["day", "dimension", "value", "currency", *(f"n_{name}" for name in COLUMNS if name not in _READ)]
    )
    parts = " UNION ALL ".join(f"SELECT {taken} FROM ({branch})" for branch in _branches(properties=properties))
    return f"""
INSERT INTO daily_rollup (site, dimension, day, value, currency, {", ".join(_KEPT)}, version)
SELECT {{site:String}}, dimension, day, value, currency, {", ".join(_KEPT.values())},
    {{versions:UInt64}} + toUInt16(day)
FROM ({parts}) AS counted LEFT ANY JOIN {_PAGE_READS} AS page_reads USING (dimension, day, value, currency)"""


BUILD = _build(properties=False)
"""Builds `days` of one `site` from a table of `events`, under versions that are `versions` and the day's number since
1970."""

BUILD_WITH_PROPERTIES = _build(properties=True)
"""The same with sums of the properties of days that have `most` of them or fewer, or at most `looks` times events."""
