"""The filter `segment` of the Stats API: the filters of a saved segment, by the segment's id or name.

A query by segments is answered as the same query by their filters, as they are now. A key speaks for no member, so it
knows the segments that everybody who sees the site has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import MOST_LEAVES
from dashboard.reports.filter_params import FilterParam, grouped
from dashboard.reports.segments import Segment

SEGMENT = "segment"


def with_segments(filters: Any, segments: Sequence[Segment]) -> Any:
    """Filters (JSON of the API, within `check_bounds`) with the segments' own filters in place of `segment`. Raises
    `QueryError`."""
    return _Expansion(segments).of(filters)


class _Expansion:
    """One query's segments, of which all together may not be more than comparisons: each has one at least."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._found: dict[Any, list[Any]] = {}
        self._named = 0

    def of(self, filters: Any) -> Any:
        match filters:
            case [str(operator), "segment", list(values), *modifiers]:
                if operator not in ("is", "is_not") or modifiers or not values:
                    raise QueryError("filters", f'expected ["is", "{SEGMENT}", ["name or id"]], or is_not')
                self._named += len(values)
                if self._named > MOST_LEAVES:
                    raise QueryError("filters", f"expected at most {MOST_LEAVES} segments")
                either = ["or", [self._filter(value) for value in values]]
                return either if operator == "is" else ["not", either]
            case list():
                return [self.of(part) for part in filters]
        return filters

    def _filter(self, value: Any) -> list[Any]:
        known = self._found.get(value) if isinstance(value, str) else None
        if known is not None:
            return known
        for segment in self._segments:
            if value in (segment.id, segment.name) and segment.chips:
                found = self._found[value] = ["and", _comparisons(segment.chips)]
                return found
        names = ", ".join(segment.name for segment in self._segments) or "none"
        raise QueryError("filters", f"{str(value)[:80]!r} is no shared segment of this site; it has {names[:500]}")


def _comparisons(chips: Sequence[FilterParam]) -> list[Any]:
    """The filters as addresses spell them, as comparisons of the API."""
    return [
        [group.operator, group.dimension, [*group.values]]
        + ([] if group.case_sensitive else [{"case_sensitive": False}])
        for group in grouped(chips)
    ]
