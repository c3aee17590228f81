"""View model of a funnel: its steps as bars and as a table, where those who left went, and a breakdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.analytics.dimensions import DIMENSIONS, LONGEST_KEY, PROPERTY
from dashboard.analytics.filters import FunnelWindow
from dashboard.analytics.funnels import Funnel
from dashboard.analytics.funnels_filter import FunnelValue
from dashboard.analytics.funnels_service import FunnelResult, FunnelRow, FunnelStepCount, share
from dashboard.analytics.query import OTHER
from dashboard.i18n import formatting
from dashboard.i18n.formatting import Change
from dashboard.i18n.translations import N_, _, plural
from dashboard.reports.filter_params import GROUPS, FilterParam, dimension_title, key_of
from dashboard.reports.labels import label
from dashboard.reports.view_state import ViewState

UNIT_HEADS: Final[dict[FunnelWindow, str]] = {"visit": N_("Visits"), "day": N_("Visitors")}
STEP_KINDS: Final = {"page": N_("Page"), "goal": N_("Goal"), "event": N_("Event")}
ORDERS: Final = {"sequential": N_("In order"), "strict": N_("Strict order"), "any": N_("Any order")}
WINDOWS: Final = {"visit": N_("Within a visit"), "day": N_("Within a visitor’s day")}

MOST_PAGES: Final = 8
"""Next pages that are shown of each step."""
MOST_ROWS: Final = 50
"""Rows of the breakdown that are shown."""


@dataclass(frozen=True, slots=True)
class FunnelLine:
    """A row of next pages, or of the breakdown: what it is called, its counts and shares, and where it leads."""

    title: str
    units: str
    percent: str
    done: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class FunnelStepView:
    """One step. Counts are in words, with their unit; hidden ones are None. `bar` and `lost` are percents of the first
    step: those who reached it, and those of the step before who did not."""

    number: int
    title: str
    kind: str
    units: str | None
    number_of_units: str
    bar: float
    lost: float
    of_all: str
    of_first: str
    of_previous: str
    left: str
    number_of_left: str
    left_percent: str
    wait: str
    href: str
    left_href: str
    after: tuple[FunnelLine, ...]
    before: str
    """The count in the period that is compared with; "" without one."""
    change: Change | None


@dataclass(frozen=True, slots=True)
class FunnelReport:
    """Everything about one funnel over one period."""

    funnel: Funnel
    result: FunnelResult
    all: str | None
    unit_head: str
    order: str
    window: str
    steps: tuple[FunnelStepView, ...]
    conversion: str
    conversion_change: Change | None
    revenue: tuple[str, ...]
    by: str
    by_title: str
    rows: tuple[FunnelLine, ...]
    more_rows: int
    compared: bool


def build_funnel_report(
    state: ViewState,
    funnel: Funnel,
    result: FunnelResult,
    before: FunnelResult | None = None,
    *,
    by: str = "",
    below: str = "",
) -> FunnelReport:
    """Lay out the answer. Steps lead to the dashboard; values of the dimension `by` to the page `below` the site's."""
    compared = before is not None and bool(before.all or before.hidden)
    rows = tuple(_breakdown_line(state, by, each, below) for each in result.rows[:MOST_ROWS])
    return FunnelReport(
        funnel=funnel,
        result=result,
        all=None if result.all is None else counted(result.window, result.all),
        unit_head=_(UNIT_HEADS[result.window]),
        order=_(ORDERS[funnel.order]),
        window=_(WINDOWS[funnel.window]),
        steps=tuple(
            _step(state, funnel, result, before if compared else None, number)
            for number in range(1, len(funnel.steps) + 1)
        ),
        conversion=formatting.percent(result.conversion),
        conversion_change=_change("conversion_rate", result.conversion, before.conversion if before else None),
        revenue=tuple(formatting.money(each.total, each.currency) for each in result.revenue),
        by=by,
        by_title=dimension_title(by) if by else "",
        rows=rows,
        more_rows=len(result.rows) - len(rows),
        compared=compared,
    )


def counted(window: FunnelWindow, count: int) -> str:
    """A count with its unit."""
    text = formatting.number(count)
    if window == "visit":
        return plural("{count} visit", "{count} visits", count).format(count=text)
    return plural("{count} visitor", "{count} visitors", count).format(count=text)


def breakdown_groups(keys: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The dimensions of a breakdown, as a list to choose from: titles of groups, with names and titles. `keys` are of
    properties."""
    groups = [
        (_(title), [(name, _(each)) for name, each in group.items() if name in DIMENSIONS])
        for title, group in GROUPS.items()
    ]
    return [*groups, *([(_("Properties"), [(PROPERTY + key, key) for key in keys])] if keys else [])]


def read_dimension(name: str) -> str:
    """The dimension of a breakdown that an address names; "" where there is none of that name."""
    known = {each for group in GROUPS.values() for each in group} - {PROPERTY}
    return name if name in known or 0 < len(key_of(name)) <= LONGEST_KEY else ""


def _step(
    state: ViewState, funnel: Funnel, result: FunnelResult, before: FunnelResult | None, number: int
) -> FunnelStepView:
    each, first = result.steps[number - 1], result.steps[0].units
    previous = result.steps[number - 2] if number > 1 else None
    earlier = before.steps[number - 1].units if before else None
    told = each.units is not None
    return FunnelStepView(
        number=number,
        title=funnel.steps[number - 1].label,
        kind=_(STEP_KINDS[funnel.steps[number - 1].kind]),
        units=counted(result.window, each.units) if each.units is not None else None,
        number_of_units=formatting.number(each.units),
        bar=share(each.units, first) or 0,
        lost=share(previous.left, first) or 0 if previous else 0,
        of_all=formatting.percent(share(each.units, result.all)),
        of_first=formatting.percent(share(each.units, first)),
        of_previous=formatting.percent(share(each.units, previous.units if previous else None)),
        left=_left(result.window, each),
        number_of_left=formatting.number(each.left),
        left_percent=formatting.percent(share(each.left, each.units)),
        wait=formatting.duration(each.wait) if each.wait is not None else "",
        href=_filtered(state, FunnelValue(funnel.name, number)) if told and funnel.id else "",
        left_href=_filtered(state, FunnelValue(funnel.name, number, left=True)) if each.left and funnel.id else "",
        after=tuple(_next_pages(each)),
        before=formatting.number(earlier) if before else "",
        change=_change("visits", each.units, earlier),
    )


def _left(window: FunnelWindow, step: FunnelStepCount) -> str:
    if not step.left:
        return ""
    count = formatting.number(step.left)
    if window == "visit":
        return plural("{count} visit dropped off", "{count} visits dropped off", step.left).format(count=count)
    return plural("{count} visitor dropped off", "{count} visitors dropped off", step.left).format(count=count)


def _change(metric: str, now: float | None, before: float | None) -> Change | None:
    return None if now is None or before is None else formatting.change(metric, now, before)


def _next_pages(step: FunnelStepCount) -> Iterator[FunnelLine]:
    """The pages that most went to, and all further ones together."""
    rows = [row for row in step.after if row.value != OTHER]
    other = sum(row.units for row in step.after if row.value == OTHER)
    for row in rows[:MOST_PAGES]:
        yield _next_page(row.value or _("Left the site"), row.units, step.left)
    if rows[MOST_PAGES:]:
        yield _next_page(_("Other pages"), other + sum(row.units for row in rows[MOST_PAGES:]), step.left)
    elif other:
        yield _next_page(_("Other (grouped for privacy)"), other, step.left)


def _next_page(title: str, units: int, left: int | None) -> FunnelLine:
    return FunnelLine(title, formatting.number(units), formatting.percent(share(units, left)))


def _breakdown_line(state: ViewState, by: str, row: FunnelRow, below: str) -> FunnelLine:
    folded = row.value == OTHER
    return FunnelLine(
        title=_("Other (grouped for privacy)") if folded else label(by, row.value),
        units=formatting.number(row.units),
        percent=formatting.percent(share(row.done, row.units)),
        done=formatting.number(row.done),
        href="" if folded else state.filtered(FilterParam("is", by, row.value)).href(below),
    )


def _filtered(state: ViewState, value: FunnelValue) -> str:
    """The dashboard of those who reached a step, or left at it."""
    return state.filtered(FilterParam("is", "visit:funnel", str(value))).href()
