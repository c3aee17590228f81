"""Filters in the URL: `operator,dimension,value`, each one removable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote

from collector.core.wildcards import expression, is_bounded
from dashboard.analytics import funnels_filter, journeys_filter
from dashboard.analytics.dimensions import FUNNEL, JOURNEY, LONGEST_KEY, ONLY_FILTERS, PROPERTY
from dashboard.analytics.errors import QueryError
from dashboard.analytics.filters import LONGEST_VALUE, MOST_VALUES, Compare, Filter, Not, every
from dashboard.analytics.filters import OPERATORS as COMPARISONS
from dashboard.i18n.translations import N_, _

Operator = Literal["is", "is_not", "contains", "contains_not", "matches", "matches_not"]
OPERATORS: Final[Mapping[Operator, str]] = {
    "is": N_("is"),
    "is_not": N_("is not"),
    "contains": N_("contains"),
    "contains_not": N_("does not contain"),
    "matches": N_("matches"),
    "matches_not": N_("does not match"),
}

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    N_("Pages"): {
        "event:page": N_("Page"),
        "visit:entry_page": N_("Entry page"),
        "visit:exit_page": N_("Exit page"),
        "event:hostname": N_("Hostname"),
    },
    N_("Sources"): {
        "visit:channel": N_("Channel"),
        "visit:source": N_("Source"),
        "visit:referrer": N_("Referrer"),
        "visit:utm_campaign": N_("Campaign"),
        "visit:utm_source": N_("UTM source"),
        "visit:utm_medium": N_("UTM medium"),
        "visit:utm_content": N_("UTM content"),
        "visit:utm_term": N_("UTM term"),
    },
    N_("Location and devices"): {
        "visit:country": N_("Country"),
        "visit:browser": N_("Browser"),
        "visit:browser_version": N_("Browser version"),
        "visit:os": N_("Operating system"),
        "visit:os_version": N_("Operating system version"),
        "visit:device": N_("Device"),
        "visit:size": N_("Screen size"),
    },
    N_("Behavior"): {
        "event:goal": N_("Goal"),
        "event:name": N_("Event"),
        PROPERTY: N_("Property"),
        "visit:consent": N_("Consent basis"),
        "visit:engaged": N_("Engaged"),
        "visit:returning": N_("Returning visitor"),
        "visit:datacenter": N_("Data center"),
    },
}
"""Every dimension to filter by, as the form for filters groups them. A property also needs its key."""

DIMENSIONS: Final = {name: title for group in GROUPS.values() for name, title in group.items() if name != PROPERTY} | {
    # Rows of funnels and journeys lead to them: their values cannot be typed.
    FUNNEL.name: N_("Funnel"),
    JOURNEY.name: N_("Journey"),
}

WHOLE_VALUES: Final = frozenset(
    {
        "visit:country",
        "visit:device",
        "visit:size",
        "visit:consent",
        "visit:engaged",
        "visit:returning",
        "visit:datacenter",
        "event:goal",
        *ONLY_FILTERS,
    }
)
"""Dimensions whose stored values are not what readers see: they are or are not one of these, and contain nothing."""

PAGES: Final = frozenset({"event:page", "visit:entry_page", "visit:exit_page"})
"""Dimensions that are matched by patterns of paths, such as `/blog/**`."""

MAX_CHIPS: Final = MOST_VALUES
"""Filters of one address: all may be values of one comparison."""


def known(dimension: str) -> bool:
    """Whether there are filters by that dimension."""
    return dimension in DIMENSIONS or 0 < len(key_of(dimension)) <= LONGEST_KEY


def key_of(dimension: str) -> str:
    """The property key of a property dimension; "" for others."""
    return dimension.removeprefix(PROPERTY) if dimension.startswith(PROPERTY) else ""


def dimension_title(dimension: str) -> str:
    """What the dimension is called in the reader's language; a property by its key."""
    return key_of(dimension) or _(DIMENSIONS[dimension])


def operators(dimension: str) -> tuple[Operator, ...]:
    """How values of the dimension can be compared."""
    if dimension in WHOLE_VALUES:
        return ("is", "is_not")
    return tuple(each for each in OPERATORS if dimension in PAGES or not each.startswith("matches"))


def percent_encoded(text: str) -> str:
    """Percent-encode a name or value of a query string; what is legible and allowed there stays."""
    return quote(text, safe="/:,")


@dataclass(frozen=True, slots=True)
class FilterParam:
    """A filter of the URL. Filters of one operator and dimension are alternatives."""

    operator: Operator
    dimension: str
    value: str
    query_part: str = field(init=False, repr=False, compare=False)
    """The filter as a parameter of a query string. A page has hundreds of links, each with all of its filters."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "query_part", f"f={percent_encoded(str(self))}")

    def __str__(self) -> str:
        # The comma ends the dimension, and keys of properties may have one.
        dimension = self.dimension.replace("%", "%25").replace(",", "%2C")
        return f"{self.operator},{dimension},{self.value}"


@dataclass(frozen=True, slots=True)
class Preset:
    """A predefined filter of the filter menu, shown by name."""

    chip: FilterParam
    title: str
    explanation: str


PRESETS: Final = (
    Preset(
        FilterParam("is", "visit:engaged", "true"),
        N_("Engaged visits only"),
        N_(
            "Visits that looked at a page for some seconds, scrolled, or opened more than one page. Most automated "
            "visits did none of these."
        ),
    ),
)


def preset_title(chips: Iterable[FilterParam]) -> str:
    """What the preset of these chips is called in the reader's language; "" when they are no preset."""
    found = tuple(chips)
    return next((_(preset.title) for preset in PRESETS if found == (preset.chip,)), "")


def read_filter(text: str) -> FilterParam | None:
    """The filter that `text` encodes, or None if it is invalid."""
    operator, _comma, rest = text.partition(",")
    spelt, comma, value = rest.partition(",")
    return new_filter(operator, spelt.replace("%2C", ",").replace("%25", "%"), value) if comma else None


def new_filter(operator: str, dimension: str, value: str) -> FilterParam | None:
    """The filter of these parts, or None when there is no such filter."""
    if not known(dimension) or len(value) > LONGEST_VALUE:
        return None
    if dimension in ONLY_FILTERS and not _is_readable(dimension, value):
        return None
    if operator.startswith("matches") and not is_bounded(value):
        return None
    found = next((each for each in operators(dimension) if each == operator), None)
    return FilterParam(found, dimension, value) if found else None


def _is_readable(dimension: str, value: str) -> bool:
    """Whether a value of a funnel or a journey is one."""
    if dimension == FUNNEL.name:
        return funnels_filter.read_value(value) is not None
    try:
        journeys_filter.read_value(value)
    except QueryError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class FilterParamGroup:
    """Filters of one operator and dimension, which are alternatives."""

    operator: Operator
    dimension: str
    chips: tuple[FilterParam, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The values as the query language has them: patterns are regular expressions there."""
        values = tuple(chip.value for chip in self.chips)
        return tuple(map(expression, values)) if self.operator.startswith("matches") else values

    @property
    def case_sensitive(self) -> bool:
        """Whether letters are compared as they are."""
        return not self.operator.startswith("contains")


def grouped(chips: Iterable[FilterParam]) -> tuple[FilterParamGroup, ...]:
    """Filters by operator and dimension, in order of first occurrence. Each of a funnel or a journey narrows the view
    further: whoever is in two of their groups is there."""
    groups: dict[tuple[Operator, str, str], list[FilterParam]] = {}
    for chip in chips:
        own = chip.value if chip.dimension in ONLY_FILTERS else ""
        groups.setdefault((chip.operator, chip.dimension, own), []).append(chip)
    return tuple(FilterParamGroup(operator, name, tuple(found)) for (operator, name, _own), found in groups.items())


def chosen_filter(chips: Iterable[FilterParam]) -> Filter | None:
    """What the chips ask for together: alternatives within one operator and dimension, all of these at once."""
    return every(*map(_compare, grouped(chips)))


def _compare(group: FilterParamGroup) -> Filter:
    operator = next(each for each in COMPARISONS if group.operator.startswith(each))
    compare = Compare(operator, group.dimension, group.values, group.case_sensitive)
    return Not(compare) if group.operator.endswith("_not") else compare
