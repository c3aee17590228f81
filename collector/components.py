"""The integers that everything is counted in: one table from component to SQL.

A component is right for one site-local day and simply adds up over days: visitors of a range are the sum of its days,
as their ids are made anew each day. Closing a day and asking about it use this one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Ids of different days are unrelated; mixing in the date makes that hold by definition, not by chance.
_VISITOR = "bitXor(visitor, intHash64(toUInt64(day)))"
_VISIT = "bitXor(visitor, intHash64(bitOr(bitShiftLeft(toUInt64(day), 32), toUInt64(visit))))"

Basis = Literal["event", "visit", "reading"]


@dataclass(frozen=True, slots=True)
class Component:
    """One row of the table of components.

    `basis` says over which rows it is taken: the events that the filter selects, all events of the visits that these
    belong to, or the engagement that was measured on the selected pages.
    """

    name: str
    basis: Basis
    sql: str
    meaning: str


_ALL = (
    Component("visitors", "event", f"uniqExactIf({_VISITOR}, visitor != 0)", "Distinct visitors, per local day."),
    Component(
        "seen", "event", f"uniqExactIf({_VISIT}, visitor != 0)", "Distinct visits with a selected event, per day."
    ),
    Component("pageviews", "event", "countIf(name = 'pageview')", "Events named `pageview`."),
    Component("events", "event", "count()", "Pageviews and custom events; engagement is none."),
    Component("revenue", "event", "sum(toInt64(revenue * 1000))", "Thousandths of the currency's unit."),
    Component("sales", "event", "countIf(currency != '')", "Events with revenue."),
    Component("entries", "visit", "sum(visits)", "Visits that began."),
    Component(
        "landings", "visit", "sumIf(visits, entered)", "Of these, those that entered on a page that the filter selects."
    ),
    Component("bounces", "visit", "sumIf(bounces, entered)", "Of the landings, those left at once."),
    Component("seconds", "visit", "sum(seconds)", "Duration of the visits."),
    Component("views", "visit", "countIf(name = 'pageview' AND visitor != 0)", "Pageviews that belong to a visit."),
    Component("readings", "reading", "count()", "Distinct visits that read a page, per page and day."),
    Component("engaged", "reading", "sum(engaged)", "Milliseconds that pages were visible and focused."),
    Component("scrolled", "reading", "sum(scroll)", "Deepest scroll of each reading, in percent."),
)
COMPONENTS: dict[str, Component] = {component.name: component for component in _ALL}


def of_basis(*bases: Basis) -> dict[str, str]:
    """SQL of the components over these rows, by name."""
    return {name: component.sql for name, component in COMPONENTS.items() if component.basis in bases}
