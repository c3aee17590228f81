"""View model of the date picker and the comparison menu."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.i18n import formatting
from dashboard.i18n.translations import _
from dashboard.reports.date_range import COMPARISONS, GROUPED, PERIODS, DateRange, PeriodOption
from dashboard.reports.view_state import ViewState


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a menu; `key` on the keyboard opens it too."""

    name: str
    title: str
    href: str
    current: bool
    key: str = ""


@dataclass(frozen=True, slots=True)
class PeriodMenu:
    """The period's menu, its steps back and forward ("" where there is none), and what it is compared with."""

    title: str
    """What the open period is called."""
    action: str
    """Where its forms lead."""
    groups: tuple[tuple[Entry, ...], ...]
    custom: PeriodOption
    earlier: str
    later: str
    comparisons: tuple[Entry, ...]
    compared: str
    """Title of the comparison."""
    compared_dates: str
    compared_in_part: bool
    """Whether of these only as much is compared as there is of the period by now."""
    compared_empty: bool
    """Whether nothing was counted in these dates."""
    matching: Entry | None
    """Turns the matching of weekdays on or off; None where it says nothing."""
    toggle: str
    """Address that turns the comparison off, or on again."""
    problem: str


def build_menu(state: ViewState, dates: DateRange, below: str = "", *, compared: bool = True) -> PeriodMenu:
    """The menus for the choice on the page `below` the site's. `compared` says whether there is anything to compare
    with."""
    span, before = state.span, dates.before
    named = PERIODS[span.period]
    plain = not span.date and span.period != "custom"
    return PeriodMenu(
        title=_(named.title) if plain else formatting.dates(dates.period.first, dates.period.last),
        action=f"{state.home}{below}",
        groups=tuple(tuple(_entry(state, name, below) for name in group) for group in GROUPED),
        custom=PeriodOption(_(PERIODS["custom"].title), PERIODS["custom"].key),
        earlier=state.to_span(dates.earlier).href(below) if dates.earlier else "",
        later=state.to_span(dates.later).href(below) if dates.later else "",
        comparisons=tuple(
            Entry(name, _(title), state.to_comparison(name).href(below), span.compare == name)
            for name, title in COMPARISONS.items()
            if name != "custom"
        ),
        compared=_(COMPARISONS[span.compare]),
        compared_dates=formatting.dates(before.first, (dates.compared or before).last) if before else "",
        compared_in_part=dates.compared != before,
        compared_empty=not compared,
        matching=_matching(state, below),
        toggle=state.to_comparison("none" if span.compare != "none" else "previous").href(below),
        problem=dates.problem,
    )


def _entry(state: ViewState, name: str, below: str) -> Entry:
    named = PERIODS[name]
    current = state.span.period == name and not state.span.date
    return Entry(name, _(named.title), state.to_period(name).href(below), current, named.key)


def _matching(state: ViewState, below: str) -> Entry | None:
    span = state.span
    if span.compare not in ("previous", "year"):
        return None
    href = state.to_comparison(span.compare, weekday=not span.weekday).href(below)
    return Entry("weekday", _("Match day of week"), href, span.weekday)
