"""Rollup status of days: a versioned record of each rolled-up day in the table `closed`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.client import Client

WITHOUT_PROPERTIES: Final = 3
"""Form of a day that was built without sums by property."""
WITH_PROPERTIES: Final = 4
"""Form of a day that was built with them."""
IMPORTED: Final = 103
"""Form of a day whose figures were imported, without sums by property."""
IMPORTED_WITH_PROPERTIES: Final = 104
"""Form of a day whose figures were imported, with them."""
IMPORTED_FORMS: Final = (IMPORTED, IMPORTED_WITH_PROPERTIES)
FORMS: Final = (WITHOUT_PROPERTIES, WITH_PROPERTIES, *IMPORTED_FORMS)
"""Forms that have revenue by every dimension. Days of earlier ones are built again while they have all their events."""
FORMS_WITH_PROPERTIES: Final = (2, WITH_PROPERTIES, IMPORTED_WITH_PROPERTIES)


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """The build of a day that counts: its version, how many events it saw, and what it made. One that is `open` is
    taken back: its day is answered from events."""

    version: int
    rows: int
    open: bool
    form: int

    @property
    def imported(self) -> bool:
        """Whether its figures were imported: they are not built from events of this site."""
        return self.form in IMPORTED_FORMS


class ClosedDays:
    """Rollup status records, by site and day."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def since(self, day: datetime.date) -> dict[str, dict[datetime.date, ClosedDay]]:
        """Records of that day and later ones."""
        found: dict[str, dict[datetime.date, ClosedDay]] = {}
        for site, date, version, rows, open_, form in self._client.query(_SINCE, parameters={"since": day}).result_rows:
            found.setdefault(site, {})[date] = ClosedDay(version, rows, bool(open_), form)
        return found

    def get(self, site: str, day: datetime.date) -> ClosedDay | None:
        """The record of one day."""
        return self.since(day).get(site, {}).get(day)

    def put(self, site: str, days: Mapping[datetime.date, ClosedDay]) -> None:
        """Newer versions of records, all at once."""
        rows = [[site, date, day.version, day.rows, int(day.open), day.form] for date, day in days.items()]
        self._client.insert("closed", rows, column_names=_COLUMNS)


_COLUMNS = ["site", "day", "version", "rows", "open", "form"]
_SINCE = "SELECT site, day, version, rows, open, form FROM closed FINAL WHERE day >= {since:Date}"
