"""Protection of a funnel's counts: those who reached a step are a part of those who reached the step before, so that
two counts tell of those between them.

A count is told where those who left since the last step that is told, and those who are left, are nobody or the
minimum of visitors at least. So no two counts that are told differ by fewer. docs/small-counts.md has the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FunnelDepths:
    """How far units came: `units[n]` reached n steps and no more. `visitors` has how many visitors have units of which
    depths, these as bits: of visits, one visitor may have several."""

    units: Sequence[int]
    visitors: Mapping[int, int] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.units) - 1

    def reached(self, step: int) -> int:
        """Units that reached the step; of step 0, all."""
        return sum(self.units[step:])

    def size(self, first: int, end: int) -> int:
        """Visitors with units that reached `first` steps or more, but not `end`."""
        bits = (1 << end) - (1 << first)
        return sum(count for depths, count in self.visitors.items() if depths & bits)

    def told(self, minimum: int) -> list[int]:
        """The steps whose counts may be told, in order; 0 is all units. None where all of them are too few."""
        end = self.steps + 1
        found: list[int] = []
        for step in range(end):
            left = self.size(found[-1], step) if found else minimum
            if all(size == 0 or size >= minimum for size in (left, self.size(step, end))):
                found.append(step)
            elif not found:
                return []
        return found
