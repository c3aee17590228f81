"""View model of the filter bar: active filters and the menus that change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams

from collector.sites.model import Site
from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.analytics.dimensions import FUNNEL, PROPERTY
from dashboard.analytics.funnels import Funnel, lost_goals
from dashboard.analytics.funnels_filter import read_value
from dashboard.i18n.translations import _
from dashboard.reports.filter_params import (
    GROUPS,
    OPERATORS,
    PRESETS,
    FilterParam,
    FilterParamGroup,
    dimension_title,
    grouped,
    new_filter,
    operators,
    preset_title,
)
from dashboard.reports.labels import label, named_value
from dashboard.reports.segments import Segment
from dashboard.reports.view_state import ViewState


@dataclass(frozen=True, slots=True)
class OperatorOption:
    """An operator of a filter, and the URL that selects it."""

    title: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class FilterValue:
    """One value of a filter, and the URL without it."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class FilterLink:
    """Active filters of one operator and dimension: alternatives. `href` is the address without them."""

    name: str
    """The dimension, as addresses spell it."""
    dimension: str
    operator: str
    """The operator in words; `way` is its name."""
    way: str
    values: tuple[FilterValue, ...]
    ways: tuple[OperatorOption, ...]
    href: str
    preset: str
    """Title of the preset that it is; "" when it is none."""

    @property
    def text(self) -> str:
        """The filter as a sentence, or the title of its preset."""
        return self.preset or f"{self.dimension} {self.operator} {self.joined}"

    @property
    def joined(self) -> str:
        """The alternatives."""
        return _(" or ").join(value.text for value in self.values)


@dataclass(frozen=True, slots=True)
class PresetLink:
    """A ready-made filter. `href` is the address with it, or, where it is in force, without it."""

    title: str
    explanation: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class SegmentLink:
    """A saved segment, and the address of the view under its filters."""

    segment: Segment
    href: str
    current: bool
    """Whether its filters are those in force."""


@dataclass(frozen=True, slots=True)
class FilterBar:
    """View model of the filter bar. `below` is the path of the page."""

    chips: tuple[FilterLink, ...]
    presets: tuple[PresetLink, ...]
    segments: tuple[SegmentLink, ...]
    action: str
    """Where forms for filters are sent to."""
    hidden: tuple[tuple[str, str], ...]
    """Fields of these forms that keep the rest of the state."""
    here: str
    """Address of the figures, with the filters to save."""
    clear: str
    """Address without any filter."""
    groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    operators: Sequence[tuple[str, str]]
    may_save: bool
    may_share: bool

    @property
    def segment(self) -> SegmentLink | None:
        """The segment whose filters are those in force."""
        return next((each for each in self.segments if each.current), None) if self.chips else None


def filter_bar(state: ViewState, segments: Iterable[Segment], user: User, site: Site, below: str = "") -> FilterBar:
    """The bar for this reader of the site, who has these saved segments."""
    return FilterBar(
        chips=filter_links(state, below),
        presets=preset_links(state, below),
        segments=segment_links(state, segments),
        action=f"{state.home}{below}",
        hidden=tuple(state.hidden_form_fields()),
        here=state.href(),
        clear=state.only(()).href(below),
        groups=dimension_groups(),
        operators=operator_titles(),
        may_save=not is_guest(user),
        may_share=user.may_change(site),
    )


def filter_links(state: ViewState, below: str = "") -> tuple[FilterLink, ...]:
    """The active filters, alternatives of one dimension together."""
    return tuple(_chip_link(state, group, below) for group in grouped(state.chips))


def preset_links(state: ViewState, below: str = "") -> tuple[PresetLink, ...]:
    """The ready-made filters, each to be switched on or off."""
    return tuple(
        PresetLink(
            title=_(preset.title),
            explanation=_(preset.explanation),
            href=(state.without(preset.chip) if preset.chip in state.chips else state.filtered(preset.chip)).href(
                below
            ),
            current=preset.chip in state.chips,
        )
        for preset in PRESETS
    )


def segment_links(state: ViewState, segments: Iterable[Segment]) -> tuple[SegmentLink, ...]:
    """The saved segments that the reader may use."""
    active = set(state.chips)
    return tuple(
        SegmentLink(segment, state.only(segment.chips).href(), set(segment.chips) == active) for segment in segments
    )


def dimension_groups() -> Sequence[tuple[str, Sequence[tuple[str, str]]]]:
    """What can be filtered by, for a list to choose from: titles of groups, with names and titles of dimensions."""
    return [(_(title), [(name, _(each)) for name, each in group.items()]) for title, group in GROUPS.items()]


def operator_titles() -> Sequence[tuple[str, str]]:
    """Every way to compare."""
    return [(name, _(title)) for name, title in OPERATORS.items()]


ADDING: Final = ("fd", "fk", "fo", "fv")
"""Fields of the form for one more filter: dimension, key of a property, operator, value."""


def added_filter(params: QueryParams) -> FilterParam | None:
    """The filter that the form adds; None if it is invalid."""
    dimension, value = params.get("fd", ""), params.get("fv", "").strip()
    if dimension == PROPERTY:
        dimension += params.get("fk", "").strip()
    chip = new_filter(params.get("fo", "is"), dimension, value) if value else None
    if chip is None or chip.operator not in ("is", "is_not"):
        return chip
    return new_filter(chip.operator, chip.dimension, named_value(chip.dimension, value))


def without_lost_goals(state: ViewState, site: Site) -> ViewState:
    """The choice without filters by goals that the site no longer has: nothing could be said of them."""
    names = {goal.name for goal in site.goals}
    lost = [chip for chip in state.chips if chip.dimension == "event:goal" and names and chip.value not in names]
    return state.without(*lost)


def without_lost_funnels(state: ViewState, site: Site, funnels: Mapping[str, Funnel]) -> ViewState:
    """The choice without filters by steps of funnels that the site no longer has, or no longer can count."""
    return state.without(
        *(chip for chip in state.chips if chip.dimension == FUNNEL.name and _lost(chip, site, funnels))
    )


def _lost(chip: FilterParam, site: Site, funnels: Mapping[str, Funnel]) -> bool:
    value = read_value(chip.value)
    funnel = funnels.get(value.name) if value else None
    if value is None or funnel is None or lost_goals(funnel, site.goals):
        return True
    return value.step > len(funnel.steps) - value.left


def _chip_link(state: ViewState, group: FilterParamGroup, below: str) -> FilterLink:
    return FilterLink(
        name=group.dimension,
        dimension=dimension_title(group.dimension),
        operator=_(OPERATORS[group.operator]),
        way=group.operator,
        values=tuple(
            FilterValue(label(chip.dimension, chip.value), state.without(chip).href(below)) for chip in group.chips
        ),
        ways=tuple(
            OperatorOption(_(OPERATORS[each]), state.compared(group.chips, each).href(below), each == group.operator)
            for each in operators(group.dimension)
            if all(new_filter(each, chip.dimension, chip.value) for chip in group.chips)
        ),
        href=state.without(*group.chips).href(below),
        preset=preset_title(group.chips),
    )
