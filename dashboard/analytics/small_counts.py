"""Protection of small counts: which aggregations it covers, and how a group is reported.

Numbers are exact or hidden. Small groups of values are folded by the statement (`sql.events`), small buckets of time
hidden here; `strict` rounds every count. docs/small-counts.md says what this guarantees.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from collector.sites.registry import Sites
from dashboard.analytics.query import Aggregation

Components = Mapping[str, int]
Key = tuple[str, ...]


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

    def least_divisor(self, aggregation: Aggregation) -> int:
        """The fewest visits, readings or pageviews that a rate of a group may divide by; rounded counts need none."""
        return self.min_visitors if self.covers(aggregation) and not self.rounding else 0

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


def size(counts: Components) -> int:
    """How many people a group may be: of anonymous events each may be another one's."""
    return counts["visitors"] or counts["events"]


def small_buckets(buckets: Mapping[Key, Components], minimum: int) -> set[Key]:
    """The buckets of time that are too small, by who was seen in them or by whose visits began in them."""
    return {
        key for key, counts in buckets.items() if 0 < size(counts) < minimum or 0 < counts.get("starters", 0) < minimum
    }


def suppressed_buckets(
    buckets: Mapping[Key, Components], small: Collection[Key], together: tuple[int, int], minimum: int
) -> set[Key]:
    """The buckets to hide besides the small ones (complementary suppression), as subtraction from the total would tell
    of these, who have so many visitors and starters `together`.

    It is the smallest: where they have visitors one that has visitors, as more anonymous events would hide nobody.
    Where no other has any, the total is below the minimum, and so all are hidden.
    """
    visitors, starters = together
    hidden = visitors or sum(buckets[key]["events"] for key in small)
    if not (0 < hidden < minimum or 0 < starters < minimum):
        return set()
    large = {key for key, counts in buckets.items() if key not in small and (size(counts) or counts.get("starters"))}
    if visitors or starters:
        people = {key for key in large if buckets[key]["visitors"] and buckets[key].get("starters", 1)}
        if not people:
            return large
        large = people
    return {min(large, key=lambda key: (size(buckets[key]), key))} if large else set()


def protection_of(sites: Sites) -> Callable[[str], Protection]:
    """Each site's own choice; unknown sites have the default."""

    def chosen(domain: str) -> Protection:
        site = sites.get(domain)
        return Protection() if site is None else Protection(site.min_visitors, site.strict)

    return chosen
