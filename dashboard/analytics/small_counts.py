"""Protection of small counts: which aggregations it covers, and how a group is reported.

Numbers are exact or hidden. Groups below the minimum are folded by the statement (`sql.events`); `strict` rounds every
count. docs/small-counts.md says what this guarantees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collector.sites.registry import Sites
from dashboard.analytics.query import Aggregation

Components = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Protection:
    """A site's choice: the minimum of visitors of a group, 1 for no protection; `strict` rounds every count."""

    min_visitors: int = 3
    strict: bool = False

    @property
    def rounding(self) -> int:
        """The multiple that every count is rounded to; 0 where counts are exact."""
        return 2 * self.min_visitors if self.strict and self.min_visitors > 1 else 0

    def covers(self, aggregation: Aggregation) -> bool:
        """Whether small groups are hidden: with a filter, a second dimension, or a dimension by hours or moments."""
        if self.min_visitors <= 1:
            return False
        partial = aggregation.by_clock or not aggregation.period.whole_dates
        values = len(aggregation.values)
        return aggregation.filters is not None or values > 1 or (values == 1 and partial)

    def reported(self, components: Components) -> dict[str, int]:
        """The components as they are reported: under `strict` the nearest multiples, halves up."""
        step = self.rounding
        if not step:
            return dict(components)
        return {name: (max(0, count) + step // 2) // step * step for name, count in components.items()}

    def visitors_told(self, visitors: int) -> int | None:
        """Visitors of a whole site as they are told: under `strict` rounded, and None where too few."""
        if self.rounding and 0 < visitors < self.min_visitors:
            return None
        return self.reported({"visitors": visitors})["visitors"]


def protection_of(sites: Sites) -> Callable[[str], Protection]:
    """Each site's own choice; unknown sites have the default."""

    def chosen(domain: str) -> Protection:
        site = sites.get(domain)
        return Protection() if site is None else Protection(site.min_visitors, site.strict)

    return chosen
