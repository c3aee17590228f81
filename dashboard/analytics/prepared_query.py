"""What a statement of its own needs of a query: its names resolved, and what it may read and tell."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.analytics.query import Query
from dashboard.analytics.sql.expressions import EventScope
from dashboard.analytics.sql.parameters import Parameters
from dashboard.analytics.sql.rollups import SiteState
from dashboard.analytics.sql.statement import Released


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A resolved query, with the site's state, and for guests what is released."""

    query: Query
    state: SiteState
    released: Released

    def scope(self) -> EventScope:
        """The events that it reads, with parameters of its own."""
        return EventScope(self.query.site, self.query.period, Parameters(), released=self.released)

    def events_available_from(self) -> str:
        """The first date that still has events, where an earlier one of the range had some; else empty."""
        return self.state.events_of(self.state.within(self.query.period).values())

    def imported_days(self) -> int:
        """Days of the range that were imported: they have sums, and no events."""
        return len(self.state.imported(self.query.period))
