"""The statement that builds the sums of one day of one site, for every dimension, from its events.

Sums of a property have the dimension `event:props:NAME`. Of days on which no event had the property there are none:
then all events are without it, which the row of `EVERY_EVENT` holds. Revenue is summed by the event's name and
currency, as the dimension `REVENUE`.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collector.components import of_basis

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
EVERY_EVENT = "event:props:"
REVENUE = "event:revenue"

COLUMNS = (
    "visitors", "seen", "pageviews", "events", "entries", "bounces", "seconds", "views",
    "readings", "engaged", "scrolled", "revenue", "sales",
)  # fmt: skip
"""Components that `daily` holds. Of whole days every visit lands on a page that is asked for: landings are entries."""

# Counts as the table keeps them: by how much each exceeds the one below.
_KEPT = {
    "visitors": "n_visitors",
    "again": "n_seen + n_entries - n_visitors",
    "more": "n_pageviews - n_seen - n_entries",
    "custom": "n_events - n_pageviews",
    "unseen": "if(startsWith(dimension, 'event:'), 0, n_pageviews - n_views)",
    **{name: f"n_{name}" for name in ("bounces", "seconds", "readings", "engaged", "scrolled", "revenue", "sales")},
}
_DAY = "site = {site:String} AND day = {day:Date}"
_COUNTED = f"{_DAY} AND name != 'engagement'"

_EXITS = f"""(
        SELECT * FROM events LEFT ANY JOIN (
            SELECT day, visitor, visit, argMax(page, (ts, page)) AS exit_page FROM events
            WHERE {_DAY} AND name = 'pageview' AND visitor != 0
            GROUP BY day, visitor, visit
        ) AS exits USING (day, visitor, visit)
        WHERE {_DAY}
    )"""
_READINGS = f"""(
        SELECT site, day, page, visitor, visit, sum(engaged) AS engaged, max(scroll) AS scroll FROM events
        WHERE {_DAY} AND name = 'engagement' AND visitor != 0
        GROUP BY site, day, page, visitor, visit
    )"""


def _sets(dimensions: dict[str, str], relation: str, where: str, taken: dict[str, str], whole: str | None) -> str:
    """Rows by each of the dimensions; `whole` is what the row of all together is called, if there is to be one."""
    names = list(dimensions)
    sets = [f"(g{number})" for number in range(len(names))]
    masks = [2 ** len(names) - 1 - 2 ** (len(names) - 1 - number) for number in range(len(names))]
    columns = [f"{column} AS g{number}" for number, column in enumerate(dimensions.values())]
    named = ", ".join(f"g{number}" for number in range(len(names)))
    values = ", ".join(f"toString(g{number})" for number in range(len(names)))
    # Of columns that are not grouped by the value is empty: joined, only the grouped one is left.
    return f"""
    SELECT transform(grouping({named}), {masks}, {names}, '{whole or ""}') AS dimension, concat({values}, '') AS value,
        '' AS currency, {_sums(taken)}, {", ".join(columns)}
    FROM {relation}
    WHERE {where}
    GROUP BY GROUPING SETS ({", ".join(sets if whole is None else [*sets, "()"])})"""


def _sums(taken: dict[str, str]) -> str:
    """The components `taken`, all others zero."""
    return ", ".join(f"toInt64({taken.get(name, '0')}) AS n_{name}" for name in COLUMNS)


def _branches(*, properties: bool) -> list[str]:
    event = {name: sql for name, sql in of_basis("event").items() if name not in ("revenue", "sales")}
    entered = {name: sql for name, sql in of_basis("visit").items() if name != "landings"} | {"bounces": "sum(bounces)"}
    visit = {name: sql for name, sql in event.items() if name != "seen"} | entered
    found = [
        _sets(VISIT_DIMENSIONS, _EXITS, _COUNTED, visit, ""),
        _sets(EVENT_DIMENSIONS, "events", _COUNTED, event, EVERY_EVENT),
        _sets({"event:page": "page"}, _READINGS, "1", of_basis("reading"), None),
        f"""
    SELECT '{REVENUE}' AS dimension, toString(name) AS value, toString(currency) AS currency, {_sums(of_basis("event"))}
    FROM events WHERE {_COUNTED} AND currency != '' GROUP BY name, currency""",
    ]
    if properties:
        found.append(f"""
    SELECT concat('event:props:', property) AS dimension, props[property] AS value, '' AS currency, {_sums(event)}
    FROM events ARRAY JOIN {{properties:Array(String)}} AS property
    WHERE {_COUNTED} GROUP BY property, value""")
    return found


def _build(*, properties: bool) -> str:
    taken = ", ".join(["dimension", "value", "currency", *(f"n_{name}" for name in COLUMNS)])
    sums = ", ".join(f"sum(n_{name}) AS n_{name}" for name in COLUMNS)
    parts = " UNION ALL ".join(f"SELECT {taken} FROM ({branch})" for branch in _branches(properties=properties))
    return f"""
INSERT INTO daily (site, dimension, day, value, currency, {", ".join(_KEPT)}, version)
SELECT {{site:String}}, dimension, {{day:Date}}, value, currency, {", ".join(_KEPT.values())}, {{version:UInt64}}
FROM (
    SELECT dimension, value, currency, {sums} FROM ({parts})
    GROUP BY dimension, value, currency
    HAVING n_events > 0
)"""


BUILD = _build(properties=False)
"""Builds one day of one site: parameters `site`, `day`, `version`."""

BUILD_WITH_PROPERTIES = _build(properties=True)
"""The same with sums of the properties that the parameter `properties` names."""
