"""What the answers of the API say of themselves: what is hidden, rounded, imported or not there any more."""

from __future__ import annotations

from typing import Any, Final, Protocol

from dashboard.analytics.query import Result

LEFT_OUT: Final = "Imported days have daily sums, to which this query cannot be applied; they are left out."


class AnyResult(Protocol):
    """A result of any query."""

    @property
    def hidden(self) -> bool:
        """Whether everything is withheld."""

    @property
    def min_visitors(self) -> int:
        """Groups of fewer visitors are withheld."""

    @property
    def rounded_to(self) -> int:
        """Every count is a multiple of it; 0 is exact."""

    @property
    def events_available_from(self) -> str:
        """The first date that still has events, where an earlier one had some."""


def protection_meta(result: AnyResult) -> dict[str, Any]:
    """The part of `meta` that is the same for every query: only what applies."""
    meta: dict[str, Any] = {}
    if result.hidden:
        meta |= {"hidden": True, "min_visitors": result.min_visitors}
    if result.rounded_to:
        meta["rounded_to"] = result.rounded_to
    if result.events_available_from:
        meta["events_available_from"] = result.events_available_from
    return meta


def imports_meta(result: Result, *, asked: bool) -> dict[str, Any]:
    """What becomes of imported days, as Plausible says it, with how many there are; those that are left out also as
    pairs of first and last date."""
    if not (result.imported or result.imported_left_out):
        return {"imports_included": False, "imports_skip_reason": "no_imported_data"} if asked else {}
    meta: dict[str, Any] = {
        "imports_included": not result.imported_left_out,
        "imported_days": len(result.imported),
        "imported_days_left_out": result.imported_days_left_out,
    }
    if result.imported_left_out:
        meta |= {
            "imports_skip_reason": "unsupported_query",
            "imports_warning": LEFT_OUT,
            "imported_dates_left_out": [
                [first.isoformat(), last.isoformat()] for first, last in result.left_out_ranges()
            ],
        }
    return meta
