"""The filter `segment` of the Stats API: the filters of a saved segment, by the segment's id or name.

A query by segments is answered as the same query by their filters, as they are now. A key speaks for no member, so it
knows the segments that everybody who sees the site has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.analytics.errors import QueryError
from dashboard.reports.filter_params import FilterParam, grouped
from dashboard.reports.segments import Segment

SEGMENT = "segment"


def with_segments(filters: Any, segments: Sequence[Segment]) -> Any:
    """Filters (JSON of the API) with the segments' own filters in place of `segment`. Raises `QueryError`."""
    match filters:
        case [str(operator), "segment", list(values), *modifiers]:
            if operator not in ("is", "is_not") or modifiers or not values:
                raise QueryError("filters", f'expected ["is", "{SEGMENT}", ["name or id"]], or is_not')
            either = ["or", [_filter(value, segments) for value in values]]
            return either if operator == "is" else ["not", either]
        case list():
            return [with_segments(part, segments) for part in filters]
    return filters


def _filter(value: Any, segments: Sequence[Segment]) -> list[Any]:
    for segment in segments:
        if value in (segment.id, segment.name) and segment.chips:
            return ["and", _comparisons(segment.chips)]
    names = ", ".join(segment.name for segment in segments) or "none"
    raise QueryError("filters", f"{str(value)[:80]!r} is no shared segment of this site; it has {names[:500]}")


def _comparisons(chips: Sequence[FilterParam]) -> list[Any]:
    """The filters as addresses spell them, as comparisons of the API."""
    return [
        [group.operator, group.dimension, [chip.value for chip in group.chips]]
        + ([{"case_sensitive": False}] if group.operator.startswith("contains") else [])
        for group in grouped(chips)
    ]
