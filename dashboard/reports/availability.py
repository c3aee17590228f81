"""Which days of a view have figures: days that were imported or left out, and the first that still has events."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from dashboard.analytics.query import Result
from dashboard.i18n import formatting


@dataclass(frozen=True, slots=True)
class ImportedDays:
    """How many days of a view were imported, and what it leaves out of them: how many, and from when to when."""

    included: int = 0
    left_out: int = 0
    dates: str = ""

    def beyond(self, other: ImportedDays) -> bool:
        """Whether more is left out than of the other."""
        return self.left_out > other.left_out


NO_IMPORTED_DAYS: Final = ImportedDays()


def available_from(*results: Result) -> datetime.date | None:
    """The first date that still has events, where any of the results needs events of earlier ones."""
    dates = [each.events_available_from for each in results if each.events_available_from]
    return datetime.date.fromisoformat(max(dates)) if dates else None


def imported_days(*results: Result) -> ImportedDays:
    """Imported days of the results; what one of them leaves out is left out."""
    left_out = frozenset[datetime.date]().union(*(each.imported_left_out for each in results))
    included = frozenset[datetime.date]().union(*(each.imported for each in results)) - left_out
    dates = formatting.dates(min(left_out), max(left_out)) if left_out else ""
    return ImportedDays(len(included), len(left_out), dates)
