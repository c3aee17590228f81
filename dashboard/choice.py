"""What a site page shows, read from its address and written back into links: the address is the whole state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams

from dashboard.filters import Compare, Filter, Not, every

Operator = Literal["is", "is_not", "contains", "contains_not"]
OPERATORS: Final[Mapping[Operator, str]] = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "contains_not": "does not contain",
}

PERIODS: Final = {
    "day": "Today",
    "yesterday": "Yesterday",
    "7d": "7 days",
    "30d": "30 days",
    "month": "Month",
    "year": "Year",
    "custom": "Custom",
}
DEFAULT_PERIOD: Final = "30d"

METRICS: Final = {
    "visitors": "Visitors",
    "visits": "Visits",
    "pageviews": "Pageviews",
    "bounce_rate": "Bounce rate",
    "visit_duration": "Visit duration",
}
DEFAULT_METRIC: Final = "visitors"

DIMENSIONS: Final = {
    "event:page": "Page",
    "visit:entry_page": "Entry page",
    "visit:exit_page": "Exit page",
    "visit:channel": "Channel",
    "visit:source": "Source",
    "visit:referrer": "Referrer",
    "visit:utm_source": "UTM source",
    "visit:utm_medium": "UTM medium",
    "visit:utm_campaign": "Campaign",
    "visit:country": "Country",
    "visit:browser": "Browser",
    "visit:os": "System",
    "visit:device": "Device",
    "visit:size": "Screen size",
    "visit:consent": "Collected under",
    "event:name": "Event",
    "event:hostname": "Host",
}

MOST_CHIPS: Final = 20


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter, `operator,dimension,value` in the address. Chips of one operator and dimension are alternatives."""

    operator: Operator
    dimension: str
    value: str

    def __str__(self) -> str:
        return f"{self.operator},{self.dimension},{self.value}"


def read_chip(text: str) -> Chip | None:
    """The chip that `text` spells, or None when it spells none: an address may come from anywhere."""
    operator, _, rest = text.partition(",")
    dimension, comma, value = rest.partition(",")
    for known in OPERATORS:
        if operator == known and dimension in DIMENSIONS and comma:
            return Chip(known, dimension, value[:2_000])
    return None


def chosen_filter(chips: Iterable[Chip]) -> Filter | None:
    """What the chips ask for together: alternatives within one operator and dimension, all of these at once."""
    groups: dict[tuple[Operator, str], list[str]] = {}
    for chip in chips:
        groups.setdefault((chip.operator, chip.dimension), []).append(chip.value)
    return every(*(_compare(operator, dimension, values) for (operator, dimension), values in groups.items()))


def _compare(operator: Operator, dimension: str, values: list[str]) -> Filter:
    if operator in ("contains", "contains_not"):
        compare = Compare("contains", dimension, tuple(values), case_sensitive=False)
    else:
        compare = Compare("is", dimension, tuple(values))
    return Not(compare) if operator.endswith("_not") else compare


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show of which site. Only what differs from the defaults is written into addresses."""

    domain: str
    period: str = DEFAULT_PERIOD
    first: str = ""
    """First date of a custom period, ISO 8601; likewise `last`."""
    last: str = ""
    metric: str = DEFAULT_METRIC
    chips: tuple[Chip, ...] = ()
    tabs: tuple[tuple[str, str], ...] = ()
    """Open tab by panel, where it is not the first."""

    def tab(self, panel: str) -> str:
        """The open tab of that panel, or "" for its first."""
        return dict(self.tabs).get(panel, "")

    def href(self, below: str = "", **extra: str) -> str:
        """The address of this choice; `below` is a page under the site's own, such as `/details/pages`."""
        pairs = [*self._pairs(), *extra.items()]
        query = f"?{urlencode(pairs, quote_via=quote, safe='/:,')}" if pairs else ""
        return f"/{quote(self.domain)}{below}{query}"

    def to_period(self, period: str, first: str = "", last: str = "") -> Choice:
        """The same with another period."""
        return replace(self, period=period, first=first, last=last)

    def to_metric(self, metric: str) -> Choice:
        """The same with another metric in the chart."""
        return replace(self, metric=metric)

    def to_tab(self, panel: str, tab: str) -> Choice:
        """The same with another tab open; "" is the panel's first."""
        others = tuple(pair for pair in self.tabs if pair[0] != panel)
        return replace(self, tabs=(*others, (panel, tab)) if tab else others)

    def filtered(self, chip: Chip) -> Choice:
        """The same, narrowed by one more filter."""
        return self if chip in self.chips else replace(self, chips=(*self.chips, chip))

    def without(self, *chips: Chip) -> Choice:
        """The same without those filters."""
        return replace(self, chips=tuple(chip for chip in self.chips if chip not in chips))

    def hidden(self, *but: str) -> list[tuple[str, str]]:
        """Names and values of the hidden fields that a form needs to keep the rest of the state."""
        return [pair for pair in self._pairs() if pair[0] not in but]

    def _pairs(self) -> list[tuple[str, str]]:
        plain = (
            ("period", self.period, DEFAULT_PERIOD),
            ("from", self.first, ""),
            ("to", self.last, ""),
            ("metric", self.metric, DEFAULT_METRIC),
        )
        pairs = [(name, value) for name, value, default in plain if value != default]
        return [*pairs, *self.tabs, *(("f", str(chip)) for chip in self.chips)]


def read_choice(domain: str, params: QueryParams, tabs: Mapping[str, Iterable[str]]) -> Choice:
    """The choice that an address spells; what it misspells is the default. `tabs` names the tabs of each panel."""
    period = params.get("period", DEFAULT_PERIOD)
    custom = period == "custom"
    metric = params.get("metric", DEFAULT_METRIC)
    chips = [read_chip(text) for text in params.getlist("f")[:MOST_CHIPS]]
    return Choice(
        domain,
        period if period in PERIODS else DEFAULT_PERIOD,
        params.get("from", "")[:10] if custom else "",
        params.get("to", "")[:10] if custom else "",
        metric if metric in METRICS else DEFAULT_METRIC,
        tuple(dict.fromkeys(chip for chip in chips if chip)),
        tuple((panel, params[panel]) for panel, names in tabs.items() if params.get(panel) in list(names)[1:]),
    )
