"""What is unusual for an hour of the week: an hour beside the same hour of the weeks before."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

WEEKS: Final = 8
LEAST_WEEKS: Final = 4
"""Weeks of data below which nothing is known of an hour."""
SPREADS: Final = 4
"""An hour is unusual so many typical deviations away from the median."""
LEAST_VISITORS: Final = 10
"""An hour of fewer is never a spike, and one of fewer usual ones never a drop."""


@dataclass(frozen=True, slots=True)
class UsualRange:
    """What the same hour of the weeks before had."""

    low: int
    high: int
    weeks: int


def usual(before: Sequence[int]) -> UsualRange:
    """The least and the most of the same hour of the weeks before."""
    return UsualRange(min(before), max(before), len(before))


def unusual(now: int, before: Sequence[int]) -> Literal["spike", "drop"] | None:
    """Whether an hour's visitors are far above or below those of `before`, the same hour of earlier weeks.

    Far is four typical deviations: the median absolute one, scaled as for a normal distribution, or the square root of
    the median, by which counts scatter of themselves, whichever is more. And beyond all of them: twice the most, or
    half the least.
    """
    if len(before) < LEAST_WEEKS:
        return None
    middle = statistics.median(before)
    scatter = 1.4826 * statistics.median(abs(value - middle) for value in before)
    spread = max(scatter, middle**0.5, 1.0)
    if now >= LEAST_VISITORS and now > middle + SPREADS * spread and now >= 2 * max(before):
        return "spike"
    if middle >= LEAST_VISITORS and now < middle - SPREADS * spread / 2 and 2 * now <= min(before):
        return "drop"
    return None
