"""The report of an import: what was read, what of it counts, and what is left out and why."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from itertools import islice
from typing import Final, Literal

import msgspec

LeftOut = Literal[
    "own_figures", "day_not_over", "unreadable", "date", "bot", "static", "method", "status", "other_host", "automatic",
    "not_counted", "repeated", "same_figures", "no_event", "total", "no_date", "other_file",
    "gpc", "dnt", "excluded", "spam_referrer", "datacenter", "prefetch", "unknown_site",
]  # fmt: skip
"""Why a row or line of a file is left out."""

MOST_LINES: Final = 20
"""Line numbers that are listed for each reason."""

Note = Literal[
    "visitors_added", "regions_not_kept", "versions_cut", "no_user_agents", "no_totals", "zone",
    "properties_not_kept", "session_identity", "monthly_identity", "logs_have_addresses",
    "no_devices", "first_views", "utc_days", "columns_not_kept",
]  # fmt: skip
"""What the owner should know of the figures of a file."""


class Lines(msgspec.Struct, omit_defaults=True):
    """Rows that are left out for one reason: how many, and where the first of them are."""

    count: int = 0
    first: list[str] = []
    """`FILE:LINE`."""


class Totals(msgspec.Struct, omit_defaults=True):
    """Totals of a month or of an import."""

    days: int = 0
    visitors: int = 0
    visits: int = 0
    pageviews: int = 0
    events: int = 0
    """Custom events."""


class ImportReport(msgspec.Struct):
    """What came of the files. Rows that were read are the accepted ones and those left out."""

    format: str = ""
    zone: str = ""
    """Time zone of the site, by which times are sorted into dates."""
    read: int = 0
    accepted: int = 0
    left_out: dict[str, Lines] = {}
    notes: list[str] = []
    sources: dict[str, int] = {}
    """Accepted rows by table or kind of line."""
    months: dict[str, Totals] = {}
    total: Totals = msgspec.field(default_factory=Totals)
    first: datetime.date | None = None
    last: datetime.date | None = None
    own_days: list[datetime.date] = []
    """Days of the files that have own figures, and keep them."""
    replaced_days: int = 0
    """Days that an earlier import gave figures to, which these replace."""
    shrinking_days: int = 0
    """Those of them that had more page views and events before."""

    def leave_out(self, reason: LeftOut, place: str) -> None:
        """Count a row that was read and is left out; `place` says where it is."""
        self.read += 1
        lines = self.left_out.setdefault(reason, Lines())
        lines.count += 1
        if len(lines.first) < MOST_LINES:
            lines.first.append(place)

    def take_back(self, reason: LeftOut, source: str, places: Iterable[str], rows: int) -> None:
        """Leave out rows that were accepted at first."""
        if rows:
            self.accepted -= rows
            self.sources[source] -= rows
            lines = self.left_out.setdefault(reason, Lines())
            lines.count += rows
            lines.first += islice(places, max(MOST_LINES - len(lines.first), 0))

    def accept(self, source: str) -> None:
        """Count a row that was read and counts."""
        self.read += 1
        self.accepted += 1
        self.sources[source] = self.sources.get(source, 0) + 1

    def note(self, note: Note) -> None:
        """Add a note, once."""
        if note not in self.notes:
            self.notes.append(note)

    def add_day(self, day: datetime.date, totals: Totals) -> None:
        """Add the totals of one day."""
        self.first = min(self.first or day, day)
        self.last = max(self.last or day, day)
        for into in (self.months.setdefault(f"{day:%Y-%m}", Totals()), self.total):
            into.days += 1
            for name in ("visitors", "visits", "pageviews", "events"):
                setattr(into, name, getattr(into, name) + getattr(totals, name))
