"""Dimensions of the query language: one table from dimension to column.

A `visit:` dimension is the same on every event of a visit; an `event:` dimension is the event's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from collector.sites.goals import Goal
from dashboard.analytics.errors import QueryError

Level = Literal["visit", "event", "time"]

DIRECT = "Direct / None"
NOT_SET = "(not set)"
NONE = "(none)"
ANONYMOUS = "none"
"""The value of `visit:consent` that events have which belong to no visit."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One row of the table.

    `column` is the column of `events`, or one of `DERIVED`; `empty` the label of its empty value; `goals` the site's
    own, once the query is resolved.
    """

    name: str
    level: Level
    column: str
    meaning: str
    empty: str = NOT_SET
    goals: tuple[Goal, ...] | None = None

    @property
    def key(self) -> str:
        """The property key of a property dimension; empty for a column."""
        return self.name.removeprefix(PROPERTY) if self.name.startswith(PROPERTY) else ""

    @property
    def derived(self) -> bool:
        """Whether the value follows from all events of a visit."""
        return self.level == "visit" and self.column in DERIVED

    def label(self, value: str) -> str:
        """The value as readers see it."""
        return value or self.empty

    def stored(self, values: tuple[str, ...]) -> list[str]:
        """What to look for in the column: the label of the empty value finds the empty value as well."""
        return [*values, ""] if self.empty in values else list(values)


DERIVED = frozenset({"entry_page", "exit_page", "engaged"})
"""Attributes of a visit that follow from all its events: `entry_page` is empty on events before the first pageview."""

PROPERTY = "event:props:"
LONGEST_KEY = 300

_VISIT = (
    ("visit:source", "source", "Display name of where the visit came from.", DIRECT),
    ("visit:channel", "channel", "Acquisition channel of the visit.", DIRECT),
    ("visit:referrer", "referrer", "Host and path that referred the visit.", DIRECT),
    ("visit:utm_source", "utm_source", "Campaign tag `utm_source` of the visit's first URL.", NOT_SET),
    ("visit:utm_medium", "utm_medium", "Campaign tag `utm_medium`.", NOT_SET),
    ("visit:utm_campaign", "utm_campaign", "Campaign tag `utm_campaign`.", NOT_SET),
    ("visit:utm_content", "utm_content", "Campaign tag `utm_content`.", NOT_SET),
    ("visit:utm_term", "utm_term", "Campaign tag `utm_term`.", NOT_SET),
    ("visit:click_id", "click_id", "Name of the click identifier in the visit's first URL.", NOT_SET),
    ("visit:country", "country", "ISO 3166-1 alpha-2 code of the visitor's country.", NOT_SET),
    ("visit:browser", "browser", "Family of the browser.", NOT_SET),
    ("visit:browser_version", "browser_version", "Major version of the browser.", NOT_SET),
    ("visit:os", "os", "Family of the operating system.", NOT_SET),
    ("visit:os_version", "os_version", "Major version of the operating system.", NOT_SET),
    ("visit:device", "device", "desktop, mobile, tablet or tv.", NOT_SET),
    ("visit:size", "size", "Class of the viewport's width: xs, sm, md, lg or xl.", NOT_SET),
    ("visit:entry_page", "entry_page", "Path of the visit's first pageview.", NOT_SET),
    ("visit:exit_page", "exit_page", "Path of the visit's last pageview of the day.", NOT_SET),
    (
        "visit:engaged",
        "engaged",
        "`true` for visits with engagement, a scroll or several pages, else `false`.",
        NOT_SET,
    ),
    ("visit:datacenter", "datacenter", "`true` for visits from networks of data centers, else `false`.", NOT_SET),
    (
        "visit:returning",
        "returning",
        "`true` for visits of visitors with two or more visits that day, else `false`.",
        NOT_SET,
    ),
    ("visit:consent", "consent", "Kind of evidence that the visit was collected under.", NOT_SET),
)
_EVENT = (
    ("event:page", "page", "Path of the page.", NOT_SET),
    ("event:hostname", "hostname", "Host of the page, without `www.`.", NOT_SET),
    ("event:name", "name", "`pageview` or the custom event's name.", NOT_SET),
    ("event:goal", "name", "Name of a goal of the site; without goals, of a custom event.", NOT_SET),
)
_TIME = (
    ("time:minute", "minute", "Start of the minute, by the site's clock."),
    ("time:hour", "hour", "Start of the hour, by the site's clock."),
    ("time:day", "day", "Site-local date."),
    ("time:week", "week", "Monday of the week, or the period's first date if that is later."),
    ("time:month", "month", "First date of the month."),
)

DIMENSIONS: dict[str, Dimension] = {
    **{name: Dimension(name, "visit", column, meaning, empty) for name, column, meaning, empty in _VISIT},
    **{name: Dimension(name, "event", column, meaning, empty) for name, column, meaning, empty in _EVENT},
    **{name: Dimension(name, "time", column, meaning, "") for name, column, meaning in _TIME},
}

PART = Dimension("part", "time", "part", "Name of the dimension, where several are in one breakdown.")
VALUE = Dimension("value", "visit", "value", "Value of that dimension.")

FUNNEL = Dimension("visit:funnel", "visit", "funnel", "Step of a funnel that the visit reached or left at; a filter.")

JOURNEY = Dimension("visit:journey", "visit", "journey", "Steps of a journey that the visit takes; a filter.")
ONLY_FILTERS = {each.name: each for each in (FUNNEL, JOURNEY)}
"""Dimensions that select visits and have no values to list."""


def find_dimension(name: str, field: str = "dimensions") -> Dimension:
    """The dimension of that name. Raises `QueryError` naming `field` when there is none."""
    found = ONLY_FILTERS.get(name) or DIMENSIONS.get(name)
    if found is not None:
        return found
    if name.startswith(PROPERTY) and 0 < len(name) - len(PROPERTY) <= LONGEST_KEY:
        return Dimension(name, "event", "props", "Custom property of the event.", NONE)
    raise QueryError(field, f"{name[:80]!r} is none of {', '.join(DIMENSIONS)}, event:props:…")
