"""Insertion of rollup rows for days of a site, from a table of events."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from clickhouse_connect.driver.client import Client

from collector.rollups.sql import BUILD, BUILD_WITH_PROPERTIES

MOST_PROPERTIES: Final = 60
"""A day with more different properties has sums by them only if it is small: each costs a look at every event."""
MOST_LOOKS: Final = 20_000_000
"""Events times different properties of such a day; a site of 20,000 events a day may have a thousand."""

_BEGINNING: Final = datetime.date(1970, 1, 1)

# Nobody can ask for a property without a name.
_PROPERTIES: Final = """
SELECT day, uniqExactArray(arrayFilter(key -> key != '', mapKeys(props))), count() FROM {events:Identifier}
WHERE site = {site:String} AND day IN {days:Array(Date)} AND name != 'engagement'
GROUP BY day"""


def build_days(
    client: Client, site: str, days: Sequence[datetime.date], versions: int, events: str = "events"
) -> frozenset[datetime.date]:
    """Insert the rows of `days` from the table `events`; returns the days that have too many properties for sums by
    them. Each day's version is that of `version_of`."""
    given: dict[str, object] = {"site": site, "days": days, "events": events}
    counts = client.query(_PROPERTIES, parameters=given).result_rows
    many = frozenset(day for day, keys, rows in counts if keys > MOST_PROPERTIES and keys * rows > MOST_LOOKS)
    given["versions"] = versions
    if any(keys for day, keys, _ in counts if day not in many):
        client.command(BUILD_WITH_PROPERTIES, parameters=given | {"most": MOST_PROPERTIES, "looks": MOST_LOOKS})
    else:
        client.command(BUILD, parameters=given)
    return many


_SECOND: Final = 1_000_000_000
VERSIONS: Final = 1 << 16
"""A build has so many versions: one for each day, by its number since 1970."""


def versions_at(now: float, after: int = 0, builder: int = 0, *, imported: bool = False) -> int:
    """The versions of a build that begins at the Unix second `now`, and replaces builds up to `after`: nanoseconds.
    `builder` is the collector's number: within a second each has versions of its own, of builds from events and of
    imports."""
    return _SECOND * max(after // _SECOND + 1, int(now)) + (2 * builder + imported) * VERSIONS


def version_of(versions: int, day: datetime.date) -> int:
    """The version of one day of a build."""
    return versions + (day - _BEGINNING).days
