"""The panels of a site page: which breakdowns there are, under which tabs, and how their rows are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dashboard import formats
from dashboard.dimensions import NOT_SET

UNKNOWN: Final = "Unknown"
NOTHING: Final = frozenset({"", NOT_SET})
"""What a breakdown has in place of an empty value."""

SIZES: Final[Mapping[str, str]] = {
    "xs": "Under 576 px",
    "sm": "576–767 px",
    "md": "768–991 px",
    "lg": "992–1439 px",
    "xl": "1440 px and up",
}
CONSENT: Final[Mapping[str, str]] = {
    "granted": "Told by the site",
    "cookie": "Remembered choice",
    "tcf": "IAB TCF",
    "gcm": "Google Consent Mode",
    "exempt": "Exempt measurement",
    "none": "No consent: bare count",
}
DEVICES: Final[Mapping[str, str]] = {"desktop": "Desktop", "mobile": "Mobile", "tablet": "Tablet", "tv": "TV"}


@dataclass(frozen=True, slots=True)
class Tab:
    """One breakdown. `nothing` names the empty value; "" there leaves its row out."""

    name: str
    title: str
    dimension: str
    nothing: str = UNKNOWN
    columns: tuple[str, ...] = ("visitors",)
    hidden: frozenset[str] = frozenset()
    """Values whose rows are left out: other panels show them."""

    def label(self, value: str) -> str:
        """How a value reads."""
        if value in NOTHING:
            return self.nothing
        if self.dimension == "visit:country":
            return formats.country(value)
        if self.dimension == "visit:consent":
            return CONSENT.get(value, f"Banner: {value}")
        return {"visit:size": SIZES, "visit:device": DEVICES}.get(self.dimension, {}).get(value, value)

    def shows(self, value: str) -> bool:
        """Whether a row of this value belongs in the panel."""
        return value not in self.hidden and bool(value not in NOTHING or self.nothing)


@dataclass(frozen=True, slots=True)
class Panel:
    """A box of one or several tabs, the first open by default."""

    name: str
    title: str
    tabs: tuple[Tab, ...]

    def tab(self, name: str) -> Tab:
        """The tab of that name; the first when there is none."""
        return next((tab for tab in self.tabs if tab.name == name), self.tabs[0])


PANELS: Final = (
    Panel(
        "sources",
        "Sources",
        (
            Tab("sources", "Sources", "visit:source"),
            Tab("channels", "Channels", "visit:channel"),
            Tab("referrers", "Referrers", "visit:referrer"),
            Tab("campaigns", "Campaigns", "visit:utm_campaign", ""),
        ),
    ),
    Panel(
        "pages",
        "Pages",
        (
            Tab("top", "Top pages", "event:page", columns=("visitors", "pageviews")),
            Tab("entry", "Entry", "visit:entry_page", "", columns=("visitors", "visits")),
            Tab("exit", "Exit", "visit:exit_page", "", columns=("visitors", "visits")),
        ),
    ),
    Panel("countries", "Countries", (Tab("countries", "Countries", "visit:country"),)),
    Panel(
        "technology",
        "Technology",
        (
            Tab("browsers", "Browsers", "visit:browser"),
            Tab("systems", "Systems", "visit:os"),
            Tab("devices", "Devices", "visit:device"),
            Tab("sizes", "Sizes", "visit:size"),
        ),
    ),
    Panel(
        "events",
        "Events",
        (
            Tab(
                "events",
                "Events",
                "event:name",
                "",
                columns=("visitors", "events"),
                hidden=frozenset({"pageview", "engagement"}),
            ),
        ),
    ),
    # What each page was counted under. Counts without consent have no visitors, so pageviews come first.
    Panel("consent", "Consent", (Tab("consent", "Consent", "visit:consent", columns=("pageviews", "visitors")),)),
)

TABS: Final = {panel.name: tuple(tab.name for tab in panel.tabs) for panel in PANELS}
"""Names of the tabs of each panel, as addresses spell them."""


def panel_named(name: str) -> Panel | None:
    """The panel of that name, or None."""
    return next((panel for panel in PANELS if panel.name == name), None)


def tabs_by_dimension() -> Iterator[tuple[str, Tab]]:
    """Each breakdown's dimension and the tab that names its values."""
    for panel in PANELS:
        for tab in panel.tabs:
            yield tab.dimension, tab
