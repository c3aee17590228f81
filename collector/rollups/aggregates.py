"""Stored aggregates: one table from the name of a component to its SQL.

A component is right for one site-local day and simply adds up over days: visitors of a range are the sum of its days,
as their ids are made anew each day. Closing a day and asking about it use this one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Ids of different days are unrelated; mixing in the date makes that hold by definition, not by chance.
_VISITOR = "bitXor(visitor, intHash64(toUInt64(day)))"
VISIT = "bitXor(visitor, intHash64(bitOr(bitShiftLeft(toUInt64(day), 32), toUInt64(visit))))"

REVENUE = "toInt64(toDecimal128(revenue, 3) * 1000)"
"""Thousandths of the currency's unit. In the column's own 64 bits large amounts would overflow: an error."""

Basis = Literal["event", "visit", "reading"]
Kind = Literal["sum", "different", "highest"]


@dataclass(frozen=True, slots=True)
class Component:
    """One row of the table of components.

    `basis` says over which rows it is taken: the events that the filter selects, all events of the visits that these
    belong to, or the engagement that was measured on the selected pages; `sql` takes the last by visits, added up.
    `row` is what one row gives to it, and `kind` what becomes of that: a sum, a count of different values where there
    is a visitor, or the sum of each visit's highest.
    """

    name: str
    basis: Basis
    sql: str
    row: str
    meaning: str
    kind: Kind = "sum"


_VIEWED = "name = 'pageview' AND visitor != 0"

_ALL = (
    Component(
        "visitors", "event", f"uniqExactIf({_VISITOR}, visitor != 0)", _VISITOR,
        "Distinct visitors, per local day.", kind="different",
    ),
    Component(
        "visits_with_event", "event", f"uniqExactIf({VISIT}, visitor != 0)", VISIT,
        "Distinct visits with a selected event, per day.", kind="different",
    ),
    Component("pageviews", "event", "countIf(name = 'pageview')", "name = 'pageview'", "Events named `pageview`."),
    Component("events", "event", "count()", "1", "Pageviews and custom events; engagement is none."),
    Component(
        "revenue", "event", f"sum({REVENUE})", REVENUE,
        "Thousandths of the currency's unit.",
    ),
    Component("revenue_events", "event", "countIf(currency != '')", "currency != ''", "Events with revenue."),
    Component("visits", "visit", "sum(visits)", "visits", "Visits that began."),
    Component(
        "entry_visits", "visit", "sumIf(visits, entered)", "if(entered, visits, 0)",
        "Of these, those that entered on a page that the filter selects.",
    ),
    Component(
        "bounces", "visit", "sumIf(bounces, entered)", "if(entered, bounces, 0)",
        "Of these entry visits, those left at once.",
    ),
    Component("seconds", "visit", "sum(seconds)", "seconds", "Duration of the visits."),
    Component("visit_pageviews", "visit", f"countIf({_VIEWED})", _VIEWED, "Pageviews that belong to a visit."),
    Component(
        "page_reads", "reading", "count()", VISIT,
        "Distinct visits that read a page, per page and day.", kind="different",
    ),
    Component(
        "engagement_ms", "reading", "sum(engaged)", "engaged",
        "Milliseconds that pages were visible and focused.",
    ),
    Component(
        "scroll_depth_sum", "reading", "sum(scroll)", "scroll",
        "Deepest scroll of each page read, in percent.", kind="highest",
    ),
)  # fmt: skip
COMPONENTS: dict[str, Component] = {component.name: component for component in _ALL}


def of_basis(*bases: Basis) -> dict[str, str]:
    """SQL of the components over these rows, by name."""
    return {name: component.sql for name, component in COMPONENTS.items() if component.basis in bases}
