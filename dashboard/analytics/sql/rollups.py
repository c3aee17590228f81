"""Closed days of a site, and their components, read from the rollup table `daily_rollup` in place of events."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from collector.rollups.daily_status import IMPORTED_SCHEMAS, SCHEMAS, SCHEMAS_WITH_PROPERTIES
from collector.rollups.sql import EVENT_DIMENSIONS, EVERY_EVENT, VISIT_DIMENSIONS
from collector.sites.goals import Goal
from collector.storage.schema import literal
from dashboard.analytics.aggregation import Aggregation
from dashboard.analytics.dimensions import PART, PROPERTY, Dimension
from dashboard.analytics.goal_filters import is_of_one_page, rollup_names
from dashboard.analytics.metrics import COUNTS_OF_DAYS, ENTRIES_OF_DAYS, VISITS_OF_DAYS, component_columns
from dashboard.analytics.period import Period
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.expressions import EventScope, clause
from dashboard.analytics.sql.parameters import Statement

_LANDED = frozenset({"entry_visits", "bounces"})
_PAGE_GOALS, _NEVER_PRICED = "goals of pages", "revenue of events that are gone"


class RolledUpDay(NamedTuple):
    """A closed day: the version that counts, whether it was imported, whether its events are gone, and what its rollups
    lack: components, properties (by their prefix), goals of pages, or revenue that is in no events any more."""

    version: int
    imported: bool
    gone: bool
    lacks: frozenset[str]


@dataclass(frozen=True, slots=True)
class SiteState:
    """What a site's results depend on: a hash of the stored parts, its goals and its protection, its closed days, the
    first date that has had an event or was imported, the first that has events, and all currencies that revenue was
    ever received in, with whether on a closed day."""

    parts: int
    goals: tuple[Goal, ...]
    protection: Protection
    closed: Mapping[datetime.date, RolledUpDay]
    first_day: datetime.date | None
    first_event: datetime.date | None
    currencies: Mapping[str, bool]

    def within(self, period: Period) -> dict[datetime.date, RolledUpDay]:
        """The closed days of a period."""
        return {day: each for day, each in self.closed.items() if period.first <= day <= period.last}

    def usable_by(self, aggregation: Aggregation) -> dict[datetime.date, RolledUpDay]:
        """Those of the period whose rollups hold what the aggregation needs."""
        if not can_use_rollups(aggregation):
            return {}
        period, needed = aggregation.period, {*aggregation.components}
        needed |= {PROPERTY for each in aggregation.dimensions if each.key}
        needed |= {_PAGE_GOALS for each in aggregation.dimensions if "event:page" in (rollup_names(each) or {})}
        cut = {day for day, moment in ((period.first, period.start), (period.last, period.end)) if moment is not None}
        cut |= aggregation.left_out
        return {
            day: each for day, each in self.within(period).items() if day not in cut and each.lacks.isdisjoint(needed)
        }

    def imported(self, period: Period) -> frozenset[datetime.date]:
        """The imported days of a period: they have sums, and no events."""
        return frozenset(day for day, each in self.within(period).items() if each.imported)

    def imported_left_out(self, aggregation: Aggregation) -> frozenset[datetime.date]:
        """Those that a result leaves out."""
        usable = {} if self.protection.covers(aggregation) else self.usable_by(aggregation)
        return self.imported(aggregation.period).difference(usable)

    def without_properties(self, aggregation: Aggregation) -> set[datetime.date]:
        """Own days that have neither sums by property nor events any more to count properties from; a filter needs the
        events of all days."""
        closed = {} if aggregation.filters else self.within(aggregation.period)
        return {day for day, each in closed.items() if PROPERTY in each.lacks and each.gone and not each.imported}

    def available_from(self, aggregation: Aggregation) -> str:
        """The first date that still has events, where an earlier one of the range had some; else empty."""
        told = self.usable_by(aggregation).keys() | self.without_properties(aggregation)
        lacking = {_NEVER_PRICED} if "revenue" in aggregation.components else frozenset[str]()
        closed = self.within(aggregation.period)
        return self.events_of(each for day, each in closed.items() if day not in told or each.lacks & lacking)

    def events_of(self, needed: Iterable[RolledUpDay]) -> str:
        """The same of what needs the events of these days."""
        first = self.first_event.isoformat() if self.first_event else "never"
        return first if any(each.gone for each in needed) else ""


def parts_sql(cluster: str = "") -> str:
    """The text of the statement that tells whether something has changed: every insert, merge and mutation makes new
    parts. On a cluster they are on all of its nodes, in the database of each."""
    parts = f"clusterAllReplicas({literal(cluster)}, system.parts)" if cluster else "system.parts"
    return f"""
SELECT groupBitXor(cityHash64(hostName(), name, modification_time, uuid)) FROM {parts}
WHERE database IN (currentDatabase(), concat(currentDatabase(), '_local'))
    AND table IN ('events', 'daily_status') AND active"""


STATE_SQL = """
SELECT
    (SELECT groupArray((day, version, schema_version, rows > 0)) FROM (
        SELECT day, version, schema_version, rows FROM daily_status FINAL
        WHERE site = {site:String} AND NOT reopened ORDER BY day)),
    (SELECT day FROM events WHERE site = {site:String} ORDER BY site, day LIMIT 1),
    (SELECT groupUniqArray((toString(currency), closed)) FROM (
        SELECT currency, max(closed) AS closed FROM (
            SELECT currency, 1 AS closed FROM daily_rollup
            WHERE site = {site:String} AND dimension = 'event:revenue' AND currency != ''
            UNION ALL
            SELECT currency, 0 FROM events WHERE site = {site:String} AND currency != ''
                AND day GLOBAL NOT IN (SELECT day FROM daily_status FINAL WHERE site = {site:String} AND NOT reopened))
        GROUP BY currency))"""


# Of a page with other events than views nobody can tell who viewed it, and of views without a visit not where they are.
_PAGES_KNOWN = """
SELECT day,
    countIf(dimension = 'event:page' AND value != '') > 0
        AND countIf(dimension = 'event:page' AND value IN {pages:Array(String)} AND custom_events > 0) = 0,
    countIf(dimension = 'event:page' AND value != '') > 0 AND countIf(dimension = 'visit:exit_page' AND value != '') > 0
        AND sumIf(pageviews_without_visit, dimension = '') = 0
FROM daily_rollup
WHERE site = {site:String} AND version IN {versions:Array(UInt64)}
    AND dimension IN ('', 'event:page', 'visit:exit_page')
GROUP BY day"""


def build_pages_known(site: str, days: Iterable[Sequence[Any]], goals: Iterable[Goal]) -> Statement | None:
    """The statement of what each imported day tells exactly: its date, whether who viewed the goals' pages, and whether
    which views were the last of their visits. None where none was imported."""
    versions = [version for _, version, schema, _ in days if schema in IMPORTED_SCHEMAS]
    pages = sorted({goal.pattern for goal in goals if is_of_one_page(goal)})
    return Statement(_PAGES_KNOWN, {"site": site, "versions": versions, "pages": pages}, True) if versions else None


def read_state(
    given: tuple[int, tuple[Goal, ...], Protection], row: Sequence[Any], pages_known: Sequence[Sequence[Any]]
) -> SiteState:
    """The state of a site, from what is `given` without its statements, and from their rows."""
    days, first_event, currencies = row
    since = min((day for day, *_, counted in days if counted), default=datetime.date.max)
    of_goals, of_exits = ({each[0] for each in pages_known if each[index]} for index in (1, 2))
    closed = {}
    for day, version, schema, _ in days:
        imported, gone = schema in IMPORTED_SCHEMAS, since <= day < (first_event or datetime.date.max)
        lacks = {
            PROPERTY: schema not in SCHEMAS_WITH_PROPERTIES,
            _NEVER_PRICED if gone else "revenue": schema not in SCHEMAS,
            _PAGE_GOALS: day not in of_goals,
            "visit_pageviews": day not in of_exits,
            "exits": imported and day not in of_exits,
        }
        closed[day] = RolledUpDay(
            version, imported, gone, frozenset(name for name, lacking in lacks.items() if lacking)
        )
    known = [day for day, _, schema, counted in days if counted or schema in IMPORTED_SCHEMAS]
    first_day = min([*known, *filter(None, [first_event])], default=None)
    return SiteState(*given, closed, first_day, first_event, dict(sorted(currencies)))


def can_use_rollups(aggregation: Aggregation) -> bool:
    """Whether the rollups of a day hold what is needed: no filter, and at most one dimension besides dates."""
    values = [each for each in aggregation.dimensions if each.level != "time"]
    if aggregation.filters is not None or aggregation.by_clock or len(values) > 1:
        return False
    available = {*VISITS_OF_DAYS}
    for each in values:
        if each.level == "event":
            available = {"visitors", "pageviews", "events", "visits", "revenue"}
        if each.name == "event:page":
            available |= {"page_reads", "engagement_ms", "scroll_depth_sum", "visit_pageviews", *_LANDED}
        known = aggregation.parts or each.key or each.name in VISIT_DIMENSIONS or each.name in EVENT_DIMENSIONS
        if not known and (each.name != "event:goal" or (each.goals is not None and rollup_names(each) is None)):
            return False
    return aggregation.components <= available


@dataclass(frozen=True, slots=True)
class RollupQueries:
    """The subqueries of one aggregation over closed days; columns are those of `EventQueries`."""

    aggregation: Aggregation
    scope: EventScope
    closed: Collection[RolledUpDay]

    def subqueries(self) -> list[str]:
        """What the aggregation is the sum of."""
        values = [each for each in self.aggregation.dimensions if each.level != "time"]
        # Those by goal are those by event.
        names = ["event:name" if each.name == "event:goal" else each.name for each in self.scope.parts or values]
        if not values or values[0].level == "visit":
            return [self._read(names or [""], VISITS_OF_DAYS)]
        (dimension,) = values
        if dimension.key:
            return [self._read(names, COUNTS_OF_DAYS), self._without_property(dimension)]
        if dimension.goals is not None:
            return [self._of_goals(*each) for each in (rollup_names(dimension) or {}).items()]
        found = [self._read(names, COUNTS_OF_DAYS)]
        if self.aggregation.components & _LANDED:
            found.append(self._read(["visit:entry_page"], ENTRIES_OF_DAYS))
        return found

    def _read(
        self, dimensions: list[str], sql: dict[str, str], value: str = "value", also: Collection[str] = ()
    ) -> str:
        """The rows of these dimensions of the table, added up."""
        terms = [*also]
        if any(each.name == "event:goal" for each in (*self.aggregation.dimensions, *self.scope.parts)):
            terms.append("NOT (dimension = 'event:name' AND value = 'pageview')")
        part = "if(dimension = 'event:name', 'event:goal', dimension)"
        keys = [
            value if each.level != "time" else part if each is PART else self.scope.key(each)
            for each in self.aggregation.dimensions
        ]
        columns = [f"{key} AS {name}" for key, name in zip(keys, self.aggregation.keys, strict=True)]
        return f"""
    SELECT {", ".join([*columns, *component_columns(self.aggregation.components, sql)])}
    FROM daily_rollup
    WHERE {" AND ".join([self.days(), f"dimension IN {self.scope.parameters.texts(dimensions)}", *terms])}
    {clause("GROUP BY", self.aggregation.keys)}"""

    def _of_goals(self, stored: str, names: Mapping[str, str]) -> str:
        """The rows of the values that goals are reached by, under the goals' names."""
        values = self.scope.parameters.texts(list(names))
        named = f"transform(value, {values}, {self.scope.parameters.texts(list(names.values()))}, '')"
        return self._read([stored], COUNTS_OF_DAYS, named, [f"value IN {values}"])

    def _without_property(self, dimension: Dimension) -> str:
        """The days of which no event had the property: all of their events are without it."""
        name = self.scope.parameters.text(dimension.name)
        own = f"SELECT day FROM daily_rollup WHERE {self.days()} AND dimension = {name}"
        return self._read([EVERY_EVENT], COUNTS_OF_DAYS, "''", [f"day NOT IN ({own})"])

    def days(self) -> str:
        """The condition on rows of the closed days, in the version that counts."""
        versions = self.scope.parameters.add([each.version for each in self.closed], "Array(UInt64)")
        dates = self.scope.between((self.aggregation.period.first, self.aggregation.period.last))
        return f"site = {self.scope.parameters.text(self.scope.site)} AND {dates} AND version IN {versions}"
