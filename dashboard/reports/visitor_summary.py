"""What the visitors' page says of the events that are stored of a browser: a summary, and single events."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any, Final
from zoneinfo import ZoneInfo

from collector.erasure.subject_access import VisitorDataExport
from dashboard.i18n.formatting import date, duration
from dashboard.i18n.translations import N_, _
from dashboard.reports.labels import label

EVENT_NAMES: Final = {"pageview": N_("Pageview"), "engagement": N_("Time and scroll depth")}
"""What events that the snippet sends by itself are called; others have the names that the site gave them."""


def summary_of(export: VisitorDataExport, words: Any, zone: ZoneInfo) -> list[tuple[str, str]]:
    """A summary of the stored events as pairs of label and text."""
    first, last = export.events[0], export.events[-1]
    pages = Counter(event.page for event in export.events if event.name == "pageview")
    shown = ", ".join(f"{page} ×{count}" if count > 1 else page for page, count in pages.most_common(8))
    engaged = sum(event.engaged for event in export.events) // 1000
    lines = [
        (words["first"], minute_of(first.ts, zone)),
        (words["last"], minute_of(last.ts, zone)),
        (words["pages"], shown + (", …" if len(pages) > 8 else "")),
        (words["came_from"], first.source or first.referrer or words["direct"]),
        (words["from_country"], label("visit:country", last.country)),
        (words["browser"], f"{last.browser} {last.browser_version}".strip() or words["unknown"]),
        (words["system"], f"{last.os} {last.os_version}".strip() or words["unknown"]),
        (words["device"], label("visit:device", last.device)),
        (words["looked"], duration(engaged)),
        (words["evidence"], ", ".join(sorted({label("visit:consent", event.consent) for event in export.events}))),
    ]
    return [(name, text) for name, text in lines if text]


def row_of(event: Any, zone: ZoneInfo) -> tuple[str, str, str]:
    """Time, name and page of an event."""
    at = datetime.datetime.fromtimestamp(event.ts, zone)
    return f"{at:%H:%M:%S}", _(EVENT_NAMES[event.name]) if event.name in EVENT_NAMES else event.name, event.page


def minute_of(at: int, zone: ZoneInfo) -> str:
    """The date and minute of a Unix second, in the reader's language."""
    moment = datetime.datetime.fromtimestamp(at, zone)
    return f"{date(moment.date())} {moment:%H:%M}"


def date_of(at: int, zone: ZoneInfo) -> str:
    """The date of a Unix second, in the reader's language."""
    return date(datetime.datetime.fromtimestamp(at, zone).date())
