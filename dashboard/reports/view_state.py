"""View state of a report, read from the URL and written back into links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from starlette.datastructures import QueryParams

from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.analytics.dimensions import LONGEST_KEY
from dashboard.reports.chart_metrics import DEFAULT_MEASURE, chart_metrics_of
from dashboard.reports.date_range import (
    COMPARISONS,
    DEFAULT_COMPARISON,
    DEFAULT_PERIOD,
    DEFAULT_SPAN,
    PERIODS,
    DateRangeParams,
)
from dashboard.reports.filter_params import FilterParam, Operator, percent_encoded, read_filter
from dashboard.reports.revenue import REVENUE_MEASURES, is_revenue

LONGEST_CURRENCY = 3
"""Letters of a currency's code (ISO 4217)."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """The view state of a report. Only differences from the defaults are written into URLs."""

    domain: str
    span: DateRangeParams = DEFAULT_SPAN
    """The dates, what they are compared with, and the steps of the chart."""
    metric: str = DEFAULT_MEASURE
    currency: str = ""
    """Currency of the chart, where its metric is revenue; "" is the first."""
    chips: tuple[FilterParam, ...] = ()
    tabs: tuple[tuple[str, str], ...] = ()
    """Open tab by panel, where it is not the first."""
    key: str = ""
    """Key of the property whose values are shown; "" is the most frequent."""
    base: str = ""
    """Address that links begin with, such as a shared link's; "" is the site's own page."""
    kept: tuple[tuple[str, str], ...] = ()
    """What addresses say besides, such as that the view is embedded."""

    @property
    def home(self) -> str:
        """The address of the view without any choice: what forms are sent to."""
        return self.base or f"/{quote(self.domain)}"

    def tab(self, panel: str) -> str:
        """The open tab of that panel, or "" for its first."""
        return dict(self.tabs).get(panel, "")

    def href(self, below: str = "", **extra: str) -> str:
        """The address of this choice; `below` is a page under the site's own, such as `/details/pages`."""
        parts = [*_parts(self._choices()), *(chip.query_part for chip in self.chips), *_parts(extra.items())]
        return f"{self.home}{below}{'?' if parts else ''}{'&'.join(parts)}"

    @property
    def period(self) -> str:
        """Name of the period."""
        return self.span.period

    def to_period(self, period: str, first: str = "", last: str = "") -> ViewState:
        """The same with another period, by the steps that fit it."""
        span = replace(self.span, period=period, first=first, last=last, date="", bucket="")
        return self.to_span(span if span.compare != "custom" else _compared(span))

    def to_day(self, date: str) -> ViewState:
        """The same on that date alone."""
        return self.to_span(replace(self.to_period("day").span, date=date))

    def to_span(self, params: DateRangeParams) -> ViewState:
        """The same with other dates."""
        return replace(self, span=params)

    def to_bucket(self, bucket: str) -> ViewState:
        """The same with other steps in the chart."""
        return self.to_span(replace(self.span, bucket=bucket))

    def to_comparison(self, compare: str, *, weekday: bool | None = None) -> ViewState:
        """The same compared with something else."""
        aligned = self.span.weekday if weekday is None else weekday
        return self.to_span(replace(_compared(self.span, compare), weekday=aligned and compare in ("previous", "year")))

    def to_metric(self, metric: str, currency: str = "") -> ViewState:
        """The same with another metric in the chart; of revenue, in that currency."""
        return replace(self, metric=metric, currency=currency)

    def to_tab(self, panel: str, tab: str) -> ViewState:
        """The same with another tab open; "" is the panel's first."""
        others = tuple(pair for pair in self.tabs if pair[0] != panel)
        return replace(self, tabs=(*others, (panel, tab)) if tab else others)

    def to_key(self, key: str) -> ViewState:
        """The same with the values of another property."""
        return replace(self, key=key)

    def filtered(self, *chips: FilterParam) -> ViewState:
        """The same, narrowed by further filters."""
        return replace(self, chips=tuple(dict.fromkeys((*self.chips, *chips))))

    def without(self, *chips: FilterParam) -> ViewState:
        """The same without those filters."""
        return replace(self, chips=tuple(chip for chip in self.chips if chip not in chips))

    def compared(self, chips: Iterable[FilterParam], operator: Operator) -> ViewState:
        """The same with those filters comparing in another way."""
        changed = {chip: replace(chip, operator=operator) for chip in chips}
        return replace(self, chips=tuple(dict.fromkeys(changed.get(chip, chip) for chip in self.chips)))

    def only(self, chips: Iterable[FilterParam]) -> ViewState:
        """The same with these filters in place of those there are."""
        return replace(self, chips=tuple(chips))

    def hidden_form_fields(self, *but: str) -> list[tuple[str, str]]:
        """Names and values of the hidden fields by which a form keeps the rest of the state."""
        return [pair for pair in self._pairs() if pair[0] not in but]

    def _pairs(self) -> list[tuple[str, str]]:
        return [*self._choices(), *(("f", str(chip)) for chip in self.chips)]

    def _choices(self) -> list[tuple[str, str]]:
        """Names and values of all that is chosen but filters."""
        plain = (
            ("period", self.span.period, DEFAULT_PERIOD),
            ("date", self.span.date, ""),
            ("from", self.span.first, ""),
            ("to", self.span.last, ""),
            ("bucket", self.span.bucket, ""),
            ("compare", self.span.compare, DEFAULT_COMPARISON),
            ("compare_from", self.span.compare_first, ""),
            ("compare_to", self.span.compare_last, ""),
            ("match", "weekday" if self.span.weekday else "", ""),
            ("metric", self.metric, DEFAULT_MEASURE),
            ("currency", self.currency, ""),
            ("key", self.key, ""),
        )
        pairs = [(name, value) for name, value, default in plain if value != default]
        return [*self.kept, *pairs, *self.tabs]


def read_choice(domain: str, params: QueryParams, tabs: Mapping[str, Iterable[str]]) -> ViewState:
    """The choice that an address spells; what it misspells is the default. `tabs` names the tabs of each panel.

    Filters that it misspells are left out here; `chosen` refuses such an address.
    """
    chips = [read_filter(text) for text in params.getlist("f")]
    known = tuple(dict.fromkeys(chip for chip in chips if chip))
    metric = params.get("metric", DEFAULT_MEASURE)
    measures = (*chart_metrics_of({chip.dimension for chip in known}), *REVENUE_MEASURES)
    return ViewState(
        domain,
        _read_span(params),
        metric if metric in measures else DEFAULT_MEASURE,
        params.get("currency", "")[:LONGEST_CURRENCY] if is_revenue(metric) else "",
        known,
        tuple((panel, params[panel]) for panel, names in tabs.items() if params.get(panel) in list(names)[1:]),
        params.get("key", "")[:LONGEST_KEY],
    )


def _read_span(params: QueryParams) -> DateRangeParams:
    period, compare = params.get("period", DEFAULT_PERIOD), params.get("compare", DEFAULT_COMPARISON)
    dates = {name: params.get(name, "") for name in ("from", "to", "date", "compare_from", "compare_to")}
    custom, other = period == "custom", compare == "custom"
    return DateRangeParams(
        period=period if period in PERIODS else DEFAULT_PERIOD,
        first=dates["from"] if custom else "",
        last=dates["to"] if custom else "",
        date="" if custom or period in ("all", "yesterday", "last_month") else dates["date"],
        bucket=params.get("bucket", "")[:10],
        compare=compare if compare in COMPARISONS else DEFAULT_COMPARISON,
        compare_first=dates["compare_from"] if other else "",
        compare_last=dates["compare_to"] if other else "",
        weekday=params.get("match") == "weekday" and compare in ("previous", "year", DEFAULT_COMPARISON),
    )


def _parts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{percent_encoded(name)}={percent_encoded(value)}" for name, value in pairs]


def _compared(params: DateRangeParams, compare: str = DEFAULT_COMPARISON) -> DateRangeParams:
    return replace(params, compare=compare, compare_first="", compare_last="")


def with_base_url(state: ViewState, user: User) -> ViewState:
    """The choice with links that stay where its reader is."""
    return replace(state, base=user.base, kept=user.kept) if is_guest(user) else state
