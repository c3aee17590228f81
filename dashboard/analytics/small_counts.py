"""Protection of small counts: which aggregations it covers, and how a group is reported.

Numbers are exact or hidden. Small groups of values are folded by statements, small buckets of time are hidden after;
`strict` rounds every count, and tells of a small group what it tells of nobody. docs/small-counts.md says what this
guarantees.
"""

# ruff: noqa: S608 -- text is names of our own tables and columns; every value is bound
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collector.sites.model import Site
from dashboard.analytics.aggregation import Aggregation
from dashboard.analytics.metrics import AMOUNTS, PEOPLE
from dashboard.analytics.query import OTHER

SIZE = "if(c_visitors = 0, c_events, c_visitors)"
"""How many people a row may be of: of anonymous events each may be another one's."""

Components = Mapping[str, int]
Key = tuple[str, ...]
Counts = tuple[Components, Mapping[str, Components]]
"""Components of a group, and those that are by currency or by visitor."""


@dataclass(frozen=True, slots=True)
class Protection:
    """A site's choice: the minimum of visitors of a group, 1 for no protection; `strict` rounds every count."""

    min_visitors: int = 3
    strict: bool = False

    @classmethod
    def of(cls, site: Site | None) -> Protection:
        """That of a site; of an unknown one the default."""
        return cls(site.min_visitors, site.strict) if site else cls()

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
        """The fewest visits, page reads or pageviews that a rate of a group may divide by; rounded counts need none."""
        return self.min_visitors if self.covers(aggregation) and not self.rounding else 0

    def count(self, count: int) -> int:
        """A count as it is reported: under `strict` the nearest multiple, halves up."""
        step = self.rounding
        return (max(0, count) + step // 2) // step * step if step else count

    def amount(self, amount: int, count: int) -> int:
        """What so many add up to, as it is reported: under `strict` their average times the count that is. Else two
        amounts less each other would be what one of them adds, and where all add the same the exact count."""
        return amount * self.count(count) // count if self.rounding and count > 0 else amount

    def tells(self, components: Components) -> bool:
        """Whether anything is told of a group under `strict`, or an hour in which visits of nobody seen began."""
        size = _size(components)
        return size >= self.min_visitors or (size == 0 and self.count(components.get("visits", 0)) > 0)

    def reported(self, components: Components) -> dict[str, int]:
        """The components as they are reported."""
        if not self.rounding:
            return dict(components)
        return {
            name: self.amount(count, components.get(AMOUNTS[name], 0)) if name in AMOUNTS else self.count(count)
            for name, count in components.items()
        }


def hidden_buckets(buckets: Mapping[Key, Counts], minimum: int, *, suppressing: bool) -> set[Key]:
    """The buckets of time that are too small, by who was seen in them or by whose visits began in them. When
    `suppressing` also another one where these are too small together, and would follow from the total.

    That is the smallest: where they have visitors one that has visitors, as more anonymous events would hide nobody.
    Where no other has any, the total is below the minimum, and so all are hidden.
    """
    small = {
        key
        for key, (counts, people) in buckets.items()
        if 0 < _size(counts) < minimum or 0 < len(people.get("starters", ())) < minimum
    }
    seen, began = (len({each for key in small for each in buckets[key][1].get(name, ())}) for name in PEOPLE)
    # Visitors of days are others each day, unlike those of hours.
    seen = seen or sum(buckets[key][0]["visitors"] for key in small)
    hidden = seen or sum(buckets[key][0]["events"] for key in small)
    if not suppressing or not (0 < hidden < minimum or 0 < began < minimum):
        return small
    others = [key for key in buckets.keys() - small if _size(buckets[key][0]) or buckets[key][1].get("starters")]
    if seen or began:
        peopled = [key for key in others if buckets[key][0]["visitors"] and buckets[key][1].get("starters", True)]
        if not peopled:
            return small.union(others)
        others = peopled
    return small.union(sorted(others, key=lambda key: (_size(buckets[key][0]), key))[:1])


def _size(counts: Components) -> int:
    return counts["visitors"] or counts["events"]


def with_folded(
    groups: str, aggregation: Aggregation, minimum: int, events: str = "sumIf(n_events, {})", *, rounded: bool = False
) -> str:
    """The subquery of groups with whether each is `folded`: those below the minimum; the smallest of the others where
    these are together below it, which has visitors where they have some, as more anonymous events would hide nobody;
    and all where no other has visitors, as the total is below the minimum then. Of counts that are `rounded` nothing
    follows, and one more that is missing would tell of small ones: these alone are folded.

    `groups` have their visitors as the state `ids`; `events` counts the events of those for which `{}` holds.
    """
    small, group = f"size < {minimum:d}", f"({', '.join(['size', *aggregation.keys])})"
    return f"""
        SELECT *, {small} OR if(few = 0, events, few) BETWEEN 1 AND {0 if rounded else minimum - 1:d}
            AND (few > 0 AND people.1 = 0 OR {group} = if(few > 0, people, least)) AS folded
        FROM (
            SELECT *, if(n_visitors = 0, n_events, n_visitors) AS size,
                uniqExactMergeIf(ids, {small}) OVER times AS few, {events.format(small)} OVER times AS events,
                minIf({group}, NOT {small}) OVER times AS least,
                minIf({group}, NOT {small} AND n_visitors > 0) OVER times AS people
            FROM ({groups}) WINDOW times AS ({_by_time(aggregation)}))"""


def withheld(aggregation: Aggregation, minimum: int, *, rounded: bool = False) -> str:
    """Whether a row is left out: the folded groups where they are too few. By time also, where the folds that are left
    out are together below the minimum, the smallest row of the other intervals: else they would be what is left when
    all rows are taken from the total. That is one with visitors where these have some, or all where none has."""
    small = f"{is_other(aggregation)} AND {SIZE} < {minimum:d}"
    if rounded or len(aggregation.values) == len(aggregation.dimensions) or aggregation.parts:
        return small
    group = f"({', '.join([SIZE, *aggregation.keys])})"
    # Visitors of hours may be the same, unlike those of days.
    visitors = f"{'maxIf' if aggregation.by_clock else 'sumIf'}(c_visitors, {small}) OVER ()"
    hidden = f"if({visitors} = 0, sumIf(c_events, {small}) OVER (), {visitors})"
    people = f"NOT ({small}) AND c_visitors > 0"
    least = f"if({visitors} = 0, minIf({group}, NOT ({small})) OVER (), minIf({group}, {people}) OVER ())"
    alone = f"{visitors} > 0 AND countIf({people}) OVER () = 0"
    return f"{small} OR ({hidden} BETWEEN 1 AND {minimum - 1:d} AND ({group} = {least} OR {alone}))"


def revenue_limits(aggregation: Aggregation, minimum: int) -> list[str]:
    """Columns by currency: the most buyers that a group has whose revenue is not told, and the fewest that one has
    whose revenue would be, for complementary suppression of revenue."""
    if "revenue" not in aggregation.components:
        return []
    other, within = is_other(aggregation), f"OVER ({_by_time(aggregation)})"
    few = f"mapFilter((currency, buyers) -> buyers > 0 AND ({other} OR buyers < {minimum:d}), c_buyers)"
    told = f"mapFilter((currency, buyers) -> NOT ({other}) AND buyers >= {minimum:d}, c_buyers)"
    return [f"maxMap({few}) {within} AS most_untold", f"minMap({told}) {within} AS least_told"]


def is_other(aggregation: Aggregation) -> str:
    """Whether a row is that of the folded groups."""
    return f"k{aggregation.values[0]} = '{OTHER}'"


def _by_time(aggregation: Aggregation) -> str:
    times = [key for index, key in enumerate(aggregation.keys) if index not in aggregation.values]
    return f"PARTITION BY {', '.join(times)}" if times else ""
