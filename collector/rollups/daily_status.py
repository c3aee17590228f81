"""Rollup status of days: a versioned record of each rolled-up day in the table `daily_status`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.client import Client

WITHOUT_PROPERTIES: Final = 3
"""Schema version of a day that was built without sums by property."""
WITH_PROPERTIES: Final = 4
"""Schema version of a day that was built with them."""
IMPORTED: Final = 103
"""Schema version of a day whose figures were imported, without sums by property."""
IMPORTED_WITH_PROPERTIES: Final = 104
"""Schema version of a day whose figures were imported, with them."""
IMPORTED_SCHEMAS: Final = (IMPORTED, IMPORTED_WITH_PROPERTIES)
SCHEMAS: Final = (WITHOUT_PROPERTIES, WITH_PROPERTIES, *IMPORTED_SCHEMAS)
"""Those that have revenue by every dimension. Days of earlier ones are built again while they have all their events."""
SCHEMAS_WITH_PROPERTIES: Final = (2, WITH_PROPERTIES, IMPORTED_WITH_PROPERTIES)


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """The build of a day that counts: its version, how many events it saw, and what it made. One that is
    `reopened` is taken back: its day is answered from events."""

    version: int
    rows: int
    reopened: bool
    schema_version: int

    @property
    def imported(self) -> bool:
        """Whether its figures were imported: they are not built from events of this site."""
        return self.schema_version in IMPORTED_SCHEMAS

    def has_its_events(self, rows: int) -> bool:
        """Whether the build can be done anew, where there are `rows` events of its day."""
        return rows > 0 if self.imported else rows >= self.rows


class ClosedDays:
    """Rollup status records, by site and day."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def since(self, day: datetime.date) -> dict[str, dict[datetime.date, ClosedDay]]:
        """Records of that day and later ones."""
        found: dict[str, dict[datetime.date, ClosedDay]] = {}
        for site, date, version, rows, reopened, schema in self._client.query(
            _SINCE, parameters={"since": day}
        ).result_rows:
            found.setdefault(site, {})[date] = ClosedDay(version, rows, bool(reopened), schema)
        return found

    def get(self, site: str, day: datetime.date) -> ClosedDay | None:
        """The record of one day."""
        rows = self._client.query(_ONE, parameters={"site": site, "day": day}).result_rows
        return ClosedDay(rows[0][0], rows[0][1], bool(rows[0][2]), rows[0][3]) if rows else None

    def first_reopened(self) -> datetime.date | None:
        """The first day of any site that is to be built again."""
        found: datetime.date | None = self._client.query(_FIRST_REOPENED).result_rows[0][0]
        return found

    def put(self, site: str, days: Mapping[datetime.date, ClosedDay]) -> None:
        """Newer versions of records, all at once."""
        rows = [
            [site, date, day.version, day.rows, int(day.reopened), day.schema_version] for date, day in days.items()
        ]
        self._client.insert("daily_status", rows, column_names=_COLUMNS)


_COLUMNS = ["site", "day", "version", "rows", "reopened", "schema_version"]
_SINCE = "SELECT site, day, version, rows, reopened, schema_version FROM daily_status FINAL WHERE day >= {since:Date}"
_FIRST_REOPENED = "SELECT minOrNull(day) FROM daily_status FINAL WHERE reopened"
_ONE = """
SELECT version, rows, reopened, schema_version FROM daily_status FINAL
WHERE site = {site:String} AND day = {day:Date}"""
