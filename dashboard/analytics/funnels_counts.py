"""Protection of a funnel's counts: those who reached a step are a part of those who reached the step before, so that
two counts tell of those between them.

A count is told where those who left since the last step that is told, and those who are left, are nobody or the
minimum of visitors at least. So no two counts that are told differ by fewer. docs/small-counts.md has the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dashboard.analytics.query import OTHER
from dashboard.analytics.result_cache import Rows


@dataclass(frozen=True, slots=True)
class FunnelDepths:
    """How far units came: `units[n]` reached n steps and no more. `people[n]` are their visitors, by numbers of their
    own: all of them, or as many as the minimum of a group. Of visits, one visitor may have several."""

    units: Sequence[int]
    people: Sequence[frozenset[int]]

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.units) - 1

    def reached(self, step: int) -> int:
        """Units that reached the step; of step 0, all."""
        return sum(self.units[step:])

    def without_few(self, minimum: int) -> FunnelDepths:
        """The depths as if steps that fewer than `minimum` visitors reached were reached by nobody."""
        end = self.steps + 1
        few = next((step for step in range(end) if self._size(step, end) < minimum), end)
        if not 0 < few < end:
            return self if few else FunnelDepths((0,) * end, (frozenset(),) * end)
        units = (*self.units[: few - 1], sum(self.units[few - 1 :]), *(0,) * (end - few))
        people = (
            *self.people[: few - 1],
            frozenset().union(*self.people[few - 1 :]),
            *(frozenset[int](),) * (end - few),
        )
        return FunnelDepths(units, people)

    def told(self, minimum: int) -> list[int]:
        """The steps whose counts may be told, in order; 0 is all units. None where all of them are too few."""
        end = self.steps + 1
        found: list[int] = []
        for step in range(end):
            left = self._size(found[-1], step) if found else minimum
            if all(size == 0 or size >= minimum for size in (left, self._size(step, end))):
                found.append(step)
            elif not found:
                return []
        return found

    def _size(self, first: int, end: int) -> int:
        """Visitors with units that reached `first` steps or more, but not `end`: exact below the minimum."""
        return len(frozenset().union(*self.people[first:end]))


@dataclass(frozen=True, slots=True)
class FunnelOutcome:
    """Units with the same page after the last step that they reached, or that paid for the last one in the same
    currency; how many visitors they are of, counted up to the minimum, and what they paid, in thousandths."""

    name: str
    units: int
    visitors: int
    thousandths: int


@dataclass(frozen=True, slots=True)
class FunnelWalks:
    """What the walks of a funnel's units give: how far they came, the median waits before the second and later steps,
    and by step the outcomes of those who came no further."""

    depths: FunnelDepths
    waits: Sequence[float]
    outcomes: Mapping[int, Sequence[FunnelOutcome]]

    def next_pages(self, step: int, minimum: int, *, rounded: bool = False) -> list[tuple[str, int]]:
        """Where those went who left at a step, as it may be told: with the smallest page among the others, where these
        are too few, or without these, where counts are `rounded`. Who left is on one of them."""
        rows = sorted(self.outcomes.get(step, ()), key=lambda row: (row.name == OTHER, -row.units, row.name))
        if rows and rows[-1].name == OTHER and rows[-1].visitors < minimum:
            *rows, other = rows
            if rounded or not rows:
                return [(row.name, row.units) for row in rows]
            smallest = min(rows, key=lambda row: (row.units, row.name))
            rows = [*(row for row in rows if row != smallest), replace(other, units=other.units + smallest.units)]
        return [(row.name, row.units) for row in rows]

    def sales(self, minimum: int, *, rounded: bool = False) -> list[FunnelOutcome]:
        """What the last step brought in, in the currencies that enough visitors paid in; without the smallest, where
        the total and the average of each would tell of fewer visitors that they paid nothing, or in another: not where
        counts are `rounded`."""
        rows = {row.name: row for row in self.outcomes.get(self.depths.steps, ())}
        other, unpaid = rows.pop(OTHER, None), rows.pop("", None)
        if rows and other and not unpaid and other.visitors < minimum and not rounded:
            del rows[min(rows.values(), key=lambda row: (row.units, row.name)).name]
        return sorted(rows.values(), key=lambda row: row.name)


def read_walks(rows: Rows, steps: int) -> FunnelWalks:
    """Read the rows of the statement of walks."""
    units, people = [0] * (steps + 1), [frozenset[int]()] * (steps + 1)
    waits: Sequence[float] = ()
    outcomes: dict[int, list[FunnelOutcome]] = {}
    for depth, whole, name, counted, visitors, medians, thousandths in rows:
        if not whole:
            outcomes.setdefault(depth, []).append(FunnelOutcome(name, counted, len(visitors), thousandths))
        elif depth:
            units[depth], people[depth] = counted, frozenset(visitors)
        else:
            waits = medians
    return FunnelWalks(FunnelDepths(units, people), waits, outcomes)
