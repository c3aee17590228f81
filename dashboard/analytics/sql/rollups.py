"""Closed days of a site, and their components, read from the rollup table `daily_rollup` in place of events."""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from collector.rollups.daily_status import IMPORTED_SCHEMAS, SCHEMAS, SCHEMAS_WITH_PROPERTIES
from collector.rollups.sql import EVENT_DIMENSIONS, EVERY_EVENT, VISIT_DIMENSIONS
from collector.storage.schema import literal
from dashboard.analytics.aggregation import Aggregation
from dashboard.analytics.dimensions import PART, Dimension
from dashboard.analytics.goal_filters import rollup_names
from dashboard.analytics.metrics import COUNTS_OF_DAYS, ENTRIES_OF_DAYS, VISITS_OF_DAYS, component_columns
from dashboard.analytics.period import Period
from dashboard.analytics.small_counts import Protection
from dashboard.analytics.sql.expressions import DateRanges, EventScope, clause

_DAY = datetime.timedelta(days=1)
_LANDED = frozenset({"entry_visits", "bounces"})


@dataclass(frozen=True, slots=True)
class RollupDays:
    """The closed days of a site with the version of each that counts. `partial` ones lack properties, `unpriced` ones
    revenue; of imported ones some tell goals by page, or exits with the page views that these are of, and some no exits
    (see `sql.imported_days`)."""

    versions: tuple[tuple[datetime.date, int], ...] = ()
    partial: frozenset[datetime.date] = frozenset()
    unpriced: frozenset[datetime.date] = frozenset()
    page_goals: frozenset[datetime.date] = frozenset()
    page_exits: frozenset[datetime.date] = frozenset()
    without_exits: frozenset[datetime.date] = frozenset()

    def usable_by(self, aggregation: Aggregation) -> RollupDays:
        """Those of the period whose rollups hold what the aggregation needs."""
        if not can_use_rollups(aggregation):
            return RollupDays()
        lacking = aggregation.left_out
        lacking |= self.partial if any(each.key for each in aggregation.dimensions) else frozenset()
        lacking |= self.unpriced if "revenue" in aggregation.components else frozenset()
        lacking |= self.without_exits if "exits" in aggregation.components else frozenset()
        every = frozenset(day for day, _ in self.versions)
        lacking |= every - self.page_exits if "visit_pageviews" in aggregation.components else frozenset()
        lacking |= every - self.page_goals if "event:page" in _names_of_goals(aggregation) else frozenset()
        return RollupDays(
            tuple(
                (day, version)
                for day, version in self.versions
                if day not in lacking and _is_whole(day, aggregation.period)
            )
        )

    def open_ranges(self, aggregation: Aggregation) -> DateRanges:
        """The other days of the period, as ranges from a first to a last date."""
        closed = {day for day, _ in self.versions}
        found: list[tuple[datetime.date, datetime.date]] = []
        for offset in range(aggregation.period.days):
            day = aggregation.period.first + offset * _DAY
            if day not in closed:
                follows = bool(found) and found[-1][1] == day - _DAY
                found.append((found.pop()[0] if follows else day, day))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class SiteState:
    """What a site's results depend on: its closed days, a hash of the stored parts, which dates have had events, and
    which were imported."""

    closed: RollupDays
    parts: int
    first_counted: datetime.date | None
    first_event: datetime.date | None
    currencies: Mapping[str, bool] = field(default_factory=dict)
    """All that revenue was ever received in, and whether on a closed day."""
    never_priced: frozenset[datetime.date] = frozenset()
    """Dates that have no revenue by dimension and no events any more to count it from."""
    imported: frozenset[datetime.date] = frozenset()

    def imported_in(
        self, aggregation: Aggregation, protection: Protection
    ) -> tuple[frozenset[datetime.date], frozenset[datetime.date]]:
        """Imported days of the range that the result has, and those that it leaves out."""
        period = aggregation.period
        whole = {day for day in self.imported if period.first <= day <= period.last}
        usable = RollupDays() if protection.covers(aggregation) else self.closed.usable_by(aggregation)
        included = frozenset(day for day, _ in usable.versions if day in whole)
        return included, frozenset(whole - included)

    @property
    def without_properties(self) -> frozenset[datetime.date]:
        """Own dates that have neither sums by property nor events any more to count properties from."""
        return frozenset(day for day in self.closed.partial - self.imported if self.has_no_events(day))

    def has_no_events(self, day: datetime.date) -> bool:
        """Whether a closed day has no events any more, or never had any here."""
        return day in self.imported or self.first_event is None or day < self.first_event

    def available_from(self, aggregation: Aggregation) -> str:
        """The first date that still has events, where an earlier one of the range had some; else empty."""
        first = self.first_event
        if self.first_counted is None or (first is not None and first <= self.first_counted):
            return ""
        period = aggregation.period
        if "revenue" in aggregation.components and any(period.first <= day <= period.last for day in self.never_priced):
            return first.isoformat() if first else "never"
        lacking = self.without_properties if aggregation.filters is None else frozenset[datetime.date]()
        return self.events_of(self.closed.usable_by(aggregation).open_ranges(aggregation), lacking)

    def events_of(self, needed: DateRanges, lacking: frozenset[datetime.date] = frozenset()) -> str:
        """The same of what needs the events of these dates, but for the `lacking` ones."""
        first, since = self.first_event, self.first_counted
        counted = {day for day, _ in self.closed.versions if since is not None and day >= since} - lacking
        lost = any(a <= day <= b and (first is None or day < first) for a, b in needed for day in counted)
        return (first.isoformat() if first else "never") if lost else ""


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


def read_state(
    parts: int,
    days: Sequence[tuple[datetime.date, int, int, bool]],
    first_event: datetime.date | None,
    currencies: Iterable[tuple[str, bool]],
) -> SiteState:
    """The state of a site, from the row of its statement. Days have a version, that of their schema, and whether they
    had events."""
    unpriced = frozenset(day for day, _, schema, _ in days if schema not in SCHEMAS)
    lost = frozenset(day for day in unpriced if first_event is None or day < first_event)
    return SiteState(
        closed=RollupDays(
            tuple((day, version) for day, version, *_ in days),
            frozenset(day for day, _, schema, _ in days if schema not in SCHEMAS_WITH_PROPERTIES),
            unpriced - lost,
        ),
        parts=parts,
        first_counted=min((day for day, *_, counted in days if counted), default=None),
        first_event=first_event,
        currencies=dict(sorted(currencies)),
        never_priced=lost,
        imported=frozenset(day for day, _, schema, _ in days if schema in IMPORTED_SCHEMAS),
    )


def _is_whole(day: datetime.date, period: Period) -> bool:
    """Whether all of a date is in a period."""
    cut = (day == period.first and period.start is not None) or (day == period.last and period.end is not None)
    return period.first <= day <= period.last and not cut


def can_use_rollups(aggregation: Aggregation) -> bool:
    """Whether the rollups of a day hold what is needed: no filter, and at most one dimension besides dates."""
    values = [aggregation.dimensions[index] for index in aggregation.values]
    if aggregation.filters is not None or aggregation.by_clock or len(values) > 1:
        return False
    available = {*VISITS_OF_DAYS}
    if values:
        (dimension,) = values
        if dimension.level == "event":
            available = {"visitors", "pageviews", "events", "visits", "revenue"}
            of_pages = {"page_reads", "engagement_ms", "scroll_depth_sum", "visit_pageviews", *_LANDED}
            available |= of_pages if dimension.name == "event:page" else set()
        stored = {*VISIT_DIMENSIONS, *EVENT_DIMENSIONS}
        known = bool(aggregation.parts) or dimension.name in stored or bool(dimension.key)
        goals = dimension.name == "event:goal" and (dimension.goals is None or rollup_names(dimension) is not None)
        if not (known or goals):
            return False
    return aggregation.components <= available


@dataclass(frozen=True, slots=True)
class RollupQueries:
    """The subqueries of one aggregation over closed days; columns are those of `EventQueries`."""

    aggregation: Aggregation
    scope: EventScope
    closed: RollupDays

    def subqueries(self) -> list[str]:
        """What the aggregation is the sum of."""
        dimension = self._dimension
        if dimension is None or dimension.level == "visit":
            names = [_stored(each) for each in self.scope.parts or (dimension,) if each is not None]
            return [self._read(names or [""], VISITS_OF_DAYS)]
        if dimension.key:
            return [self._read([dimension.name], COUNTS_OF_DAYS), self._without_property(dimension)]
        if dimension.goals is not None:
            return [self._of_goals(*each) for each in _names_of_goals(self.aggregation).items()]
        found = [self._read([_stored(dimension)], COUNTS_OF_DAYS)]
        if self.aggregation.components & _LANDED:
            found.append(self._read(["visit:entry_page"], ENTRIES_OF_DAYS))
        return found

    @property
    def _dimension(self) -> Dimension | None:
        return next((self.aggregation.dimensions[index] for index in self.aggregation.values), None)

    def _read(
        self, dimensions: list[str], sql: dict[str, str], value: str = "value", also: Collection[str] = ()
    ) -> str:
        """The rows of these dimensions of the table, added up."""
        terms = [*also]
        if any(each.name == "event:goal" for each in (*self.aggregation.dimensions, *self.scope.parts)):
            terms.append("NOT (dimension = 'event:name' AND value = 'pageview')")
        keys = [
            value if each.level != "time" else _PART_KEY if each is PART else self.scope.key(each).text
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
        versions = self.scope.parameters.add([version for _, version in self.closed.versions], "Array(UInt64)")
        dates = self.scope.between((self.aggregation.period.first, self.aggregation.period.last))
        return f"site = {self.scope.parameters.text(self.scope.site)} AND {dates} AND version IN {versions}"


def _names_of_goals(aggregation: Aggregation) -> dict[str, dict[str, str]]:
    """The goals of a breakdown by goals, as `rollup_names` gives them."""
    found = next((each for each in aggregation.dimensions if each.goals is not None), None)
    return rollup_names(found) or {} if found is not None else {}


_PART_KEY = "if(dimension = 'event:name', 'event:goal', dimension)"


def _stored(dimension: Dimension) -> str:
    """The dimension of the table that has the rows: those by goal are those by event."""
    return "event:name" if dimension.name == "event:goal" else dimension.name
