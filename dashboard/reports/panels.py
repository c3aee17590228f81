"""The panels of a site's report: tabs, breakdowns and columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from dashboard.analytics.dimensions import NONE, PROPERTY
from dashboard.i18n.translations import N_, _
from dashboard.reports.filter_params import FilterParam, key_of
from dashboard.reports.labels import UNKNOWN, label
from dashboard.reports.revenue import REVENUE_MEASURES, is_revenue, without_revenue
from dashboard.reports.world import MAP


@dataclass(frozen=True, slots=True)
class Tab:
    """One breakdown. `nothing` names the empty value; "" there leaves its row out."""

    name: str
    title: str
    dimension: str
    nothing: str = UNKNOWN
    columns: tuple[str, ...] = ("visitors",)
    """Metrics shown in the panel; rows are shares of the first."""
    all_columns: tuple[str, ...] = ("visitors", "visits", "bounce_rate", "visit_duration", *REVENUE_MEASURES)
    """Metrics shown where there is room, with all rows."""
    optional: tuple[str, ...] = ("total_revenue",)
    """Further metrics of the panel, shown where any row has them."""
    share: str = ""
    """The metric in the place of the share of the whole; "" is the share."""
    hidden: frozenset[str] = frozenset()
    """Values whose rows are left out: other panels show them."""
    group: str = ""
    """Title of the one tab that several share; they are chosen from within it."""
    finer: str = ""
    """The dimension that is shown instead once one value is filtered by."""
    of: str = ""
    """The value whose finer values these are."""
    keys: tuple[str, ...] = ()
    """Keys of properties to choose from."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to ask: no property was ever given."""
        return self.dimension == PROPERTY

    def label(self, value: str) -> str:
        """How a value reads."""
        name = label(self.dimension, value, self.nothing or UNKNOWN)
        return f"{self.of} {name}" if self.of else name

    def shows(self, value: str) -> bool:
        """Whether a row of this value belongs in the panel."""
        return value not in self.hidden and bool(self.nothing or label(self.dimension, value) != _(UNKNOWN))


@dataclass(frozen=True, slots=True)
class Panel:
    """A box of one or several tabs, the first open by default."""

    name: str
    title: str
    tabs: tuple[Tab, ...]

    def tab(self, name: str) -> Tab:
        """The tab of that name; the first when there is none."""
        return next((tab for tab in self.tabs if tab.name == name), self.tabs[0])


_READ = ("visitors", "pageviews", "bounce_rate", "time_on_page", "scroll_depth", *REVENUE_MEASURES)
_EVENTS = ("visitors", "events")
_VIEWED = ("visitors", "pageviews", *REVENUE_MEASURES)
_SOLD = (*_EVENTS, *REVENUE_MEASURES)
_CAMPAIGNS = N_("Campaigns")

PANELS: Final = (
    Panel(
        "sources",
        N_("Sources"),
        (
            Tab("sources", N_("Sources"), "visit:source"),
            Tab("channels", N_("Channels"), "visit:channel"),
            Tab("referrers", N_("Referrers"), "visit:referrer"),
            Tab("campaigns", N_("Campaign"), "visit:utm_campaign", "", group=_CAMPAIGNS),
            Tab("utm_source", N_("Source"), "visit:utm_source", "", group=_CAMPAIGNS),
            Tab("utm_medium", N_("Medium"), "visit:utm_medium", "", group=_CAMPAIGNS),
            Tab("utm_content", N_("Content"), "visit:utm_content", "", group=_CAMPAIGNS),
            Tab("utm_term", N_("Term"), "visit:utm_term", "", group=_CAMPAIGNS),
        ),
    ),
    Panel(
        "pages",
        N_("Pages"),
        (
            Tab("top", N_("Top pages"), "event:page", columns=("visitors", "pageviews"), all_columns=_READ),
            Tab("entry", N_("Entry pages"), "visit:entry_page", "", columns=("visitors", "visits")),
            Tab("exit", N_("Exit pages"), "visit:exit_page", "", columns=("visitors", "visits")),
            Tab("hosts", N_("Hostnames"), "event:hostname", columns=("visitors", "pageviews"), all_columns=_VIEWED),
        ),
    ),
    Panel(
        "countries",
        N_("Countries"),
        (Tab("countries", N_("Countries"), "visit:country"), Tab(MAP, N_("Map"), "visit:country")),
    ),
    Panel(
        "technology",
        N_("Devices"),
        (
            Tab("browsers", N_("Browsers"), "visit:browser", finer="visit:browser_version", optional=()),
            Tab("systems", N_("Operating systems"), "visit:os", finer="visit:os_version", optional=()),
            Tab("devices", N_("Device types"), "visit:device", optional=()),
            Tab("sizes", N_("Screen sizes"), "visit:size", optional=()),
        ),
    ),
    Panel(
        "events",
        N_("Goals and events"),
        (
            Tab(
                "goals",
                N_("Goals"),
                "event:goal",
                columns=_EVENTS,
                all_columns=_SOLD,
                share="conversion_rate",
            ),
            Tab(
                "events",
                N_("Custom events"),
                "event:name",
                "",
                columns=_EVENTS,
                all_columns=_SOLD,
                hidden=frozenset({"pageview", "engagement"}),
            ),
            Tab("properties", N_("Properties"), PROPERTY, N_("Not given"), columns=_EVENTS, all_columns=_SOLD),
        ),
    ),
    # What each page was counted under. Counts without consent have no visitors, so pageviews come first.
    Panel(
        "consent",
        N_("Consent"),
        (Tab("consent", N_("Consent"), "visit:consent", columns=("pageviews", "visitors"),
             all_columns=("pageviews", "visitors"), optional=()),),
    ),
)  # fmt: skip

TABS: Final = {panel.name: tuple(tab.name for tab in panel.tabs) for panel in PANELS}
"""Names of the tabs of each panel, as addresses spell them."""

_EVENTFUL: Final = frozenset({"event:goal", "event:name"})


def panel_named(name: str) -> Panel | None:
    """The panel of that name, or None."""
    return next((panel for panel in PANELS if panel.name == name), None)


def tab_under(tab: Tab, chips: tuple[FilterParam, ...]) -> Tab:
    """The tab as it is under these filters.

    Of one browser or system it shows the versions; of goals, how many of each group reach them; of other events, the
    events.
    """
    values = [chip.value for chip in chips if chip.operator == "is" and chip.dimension == tab.dimension]
    if tab.finer and len(values) == 1:
        tab = replace(tab, dimension=tab.finer, of=values[0])
    names = {chip.dimension for chip in chips}
    sold = tuple(filter(is_revenue, tab.all_columns))
    if tab.share or tab.dimension.startswith(PROPERTY) or tab.dimension in _EVENTFUL:
        return tab
    if "event:goal" in names:
        return replace(tab, columns=("visitors",), all_columns=(*_EVENTS, *sold), share="group_conversion_rate")
    if names & _EVENTFUL or any(map(key_of, names)):
        return replace(tab, columns=_EVENTS, all_columns=(*_EVENTS, *sold))
    return tab


def tab_without_revenue(tab: Tab) -> Tab:
    """The tab of a site that never had revenue."""
    return replace(tab, all_columns=without_revenue(tab.all_columns), optional=without_revenue(tab.optional))


def property_tab(tab: Tab, chips: tuple[FilterParam, ...], keys: tuple[str, ...], key: str) -> Tab:
    """The tab of a property's values: of `key`, else of the first of `keys`.

    Most events have no property at all. Only where the filters choose events is it telling how many lack this one.
    """
    chosen = key or next(iter(keys), "")
    telling = any(chip.dimension in _EVENTFUL for chip in chips)
    hidden = frozenset[str]() if telling else frozenset({NONE})
    return replace(tab, dimension=f"{PROPERTY}{chosen}", keys=keys, hidden=hidden)


def tabs_by_dimension() -> Iterator[tuple[str, Tab]]:
    """Each breakdown's dimension and the tab that names its values."""
    for panel in PANELS:
        for tab in panel.tabs:
            yield tab.dimension, tab
