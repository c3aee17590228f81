"""Matomo's reports by day, as JSON by date or as CSV with a column `date`.

Totals, pages, entry and exit pages, countries, devices, browsers, systems, referrers, events, outlinks and downloads.

What a row is about its `segment` says (`countryCode==se`). `nb_actions` is no number of page views: those come from the
pages, or from `nb_pageviews`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format, count_of, day_of
from collector.imports.formats.json_stream import BY_DATE, by_date
from collector.imports.formats.names import browser, country, device, known, system
from collector.imports.sums import EVENT_NAME, TOTAL, Sum
from collector.imports.target import ImportTarget

Row = Mapping[str, Any]

_COUNTS: Final = frozenset({"nb_visits", "nb_hits", "nb_events"})
_TRANSLATED: Final = {
    "unique_visitors": "nb_uniq_visitors",
    "visits": "nb_visits",
    "bounces": "bounce_count",
    "total_time_spent_by_visitors_(in_seconds)": "sum_visit_length",
    "pageviews": "nb_hits",
    "events": "nb_events",
    "entrances": "entry_nb_visits",
    "exits": "exit_nb_visits",
}
"""What columns are called with `translateColumnNames=1` in English."""
_CHANNELS: Final = {
    "direct": "Direct", "search": "Organic Search", "website": "Referral", "social": "Organic Social",
    "ai": "AI Assistants",
}  # fmt: skip
_LOGOS: Final = {
    "/flags/": "countryCode", "/browsers/": "browserCode", "/os/": "operatingSystemCode", "/devices/": "deviceType",
    "/searchEngines/": "referrerName", "/socials/": "referrerName",
}  # fmt: skip
_EVENTS: Final = {"outlinkUrl": "Outbound Link: Click", "downloadUrl": "File Download"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _recognises(file: ImportedFile) -> bool:
    header = {_TRANSLATED.get(name, name) for name in file.header}
    text = file.text.lstrip()
    table = header & _COUNTS and header & {"label", "nb_hits", "bounce_count", "nb_actions"}
    loose = text.startswith(("[", "{")) and not BY_DATE.match(text) and '"nb_visits"' in text[:2000]
    if (table and "date" not in header) or (loose and '"idVisit"' not in text):
        raise ImportRefused(
            "file",
            "{name} is a report of Matomo without dates. Ask for it with period=day and date=FIRST,LAST",
            name=file.name,
        )
    if "date" in header and header & _COUNTS:
        return "nb_visits" in file.header or bool(header & {"nb_hits", "nb_events", "bounce_count"})
    return bool(BY_DATE.match(text)) and any(f'"{name}"' in text for name in _COUNTS)


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for line, date, row in _rows(file):
        if not _DATE.fullmatch(date.strip()):
            if re.fullmatch(r"\d{4}(-\d\d)?(-\d\d,.*)?", date.strip()):
                raise ImportRefused(
                    "file",
                    "{name} is a Matomo report by week, month or year. Export it with period=day",
                    name=file.name,
                )
            target.leave_out("unreadable", line)
            continue
        try:
            rows = list(_sums(row, target, day_of(date)))
        except UNREADABLE:
            target.leave_out("unreadable", line)
            continue
        if rows:
            target.add_sums(_source(rows[0].dimension), rows[0].day, line, *rows)
        else:
            target.leave_out("not_counted", line)


def _source(dimension: str) -> str:
    return dimension.partition(":")[2] or "totals"


def _rows(file: ImportedFile) -> Iterator[tuple[int, str, Row]]:
    if "date" in file.header:
        for line, cells in file.table():
            row = {_TRANSLATED.get(name, name).removeprefix("metadata_"): value for name, value in cells.items()}
            yield line, row.get("date", ""), row
        return
    for line, date, row in by_date(file):
        if row.get("idsubdatatable") and "nb_hits" in row and not row.get("url"):
            raise ImportRefused(
                "file",
                "{name} lists pages by folder. Export it with flat=1",
                name=file.name,
            )
        yield line, date, row


def _sums(row: Row, target: ImportTarget, day: datetime.date) -> Iterator[Sum]:
    name, value = _subject(row)
    if name in _EVENTS:
        yield _event(row, day, _EVENTS[name], "nb_hits")
    elif name == "eventCategory":
        yield _event(row, day, target.text(value or _text(row, "label"))[:120], "nb_events")
    elif "nb_hits" in row and name in ("", "pageUrl"):
        yield from _page(row, target, day)
    elif name in ("entryPageUrl", "exitPageUrl"):
        yield from _ends(row, day, _path(row, target))
    elif "nb_visits" in row and "label" not in row:
        yield _visits(row, day, TOTAL, "")
    else:
        dimension, value = _dimension(name, value, _text(row, "label"), target)
        if dimension and "nb_visits" in row:
            yield _visits(row, day, dimension, value)


def _subject(row: Row) -> tuple[str, str]:
    """The field that a row is about, and its value."""
    conditions = [each.partition("==") for each in re.split(r"[;,]", _text(row, "segment")) if "==" in each]
    if conditions:
        # Of a type and a name the name says more; a campaign is told by its type.
        if conditions[0][2] == "campaign" and len(conditions) > 1:
            return "campaign", unquote(conditions[1][2])
        if len(conditions) > 1 and conditions[0][0] != "referrerType":
            return "unknown", ""
        name, _, value = conditions[-1]
        return name, unquote(value)
    logo = _text(row, "logo")
    found = next((name for part, name in _LOGOS.items() if part in logo), "")
    return found, _text(row, "code")


def _dimension(name: str, value: str, label: str, target: ImportTarget) -> tuple[str, str]:
    label = target.text(known(label))
    match name:
        case "countryCode":
            return "visit:country", country(value)
        case "deviceType":
            return "visit:device", device(value) or device(label)
        case "browserCode" | "browserName":
            return "visit:browser", browser(label)
        case "operatingSystemCode" | "operatingSystemName":
            return "visit:os", system(label)
        case "referrerType":
            return "visit:channel", _CHANNELS.get(value, "")
        case "referrerName":
            return "visit:source", label
        case "campaign":
            return "visit:utm_campaign", target.text(value)
        case _:
            return "", ""


def _visits(row: Row, day: datetime.date, dimension: str, value: str) -> Sum:
    visits = _count(row, "nb_visits")
    return Sum(
        day=day,
        dimension=dimension,
        value=value,
        visitors=_count(row, "nb_uniq_visitors") or _count(row, "sum_daily_nb_uniq_visitors"),
        visits=visits,
        pageviews=_count(row, "nb_pageviews"),
        bounces=_count(row, "bounce_count"),
        seconds=_count(row, "sum_visit_length"),
    )


def _page(row: Row, target: ImportTarget, day: datetime.date) -> Iterator[Sum]:
    page = _path(row, target)
    yield Sum(
        day=day,
        dimension="event:page",
        value=page,
        visitors=_count(row, "nb_uniq_visitors") or _count(row, "sum_daily_nb_uniq_visitors"),
        visits=_count(row, "nb_visits"),
        pageviews=_count(row, "nb_hits"),
        page_reads=_count(row, "nb_visits") if _count(row, "sum_time_spent") else 0,
        engagement_ms=1000 * _count(row, "sum_time_spent"),
    )
    yield from _ends(row, day, page)


def _ends(row: Row, day: datetime.date, page: str) -> Iterator[Sum]:
    for dimension, prefix in (("visit:entry_page", "entry"), ("visit:exit_page", "exit")):
        if _count(row, f"{prefix}_nb_visits"):
            yield Sum(
                day=day,
                dimension=dimension,
                value=page,
                visitors=_count(row, f"{prefix}_nb_uniq_visitors") or _count(row, f"{prefix}_nb_visits"),
                visits=_count(row, f"{prefix}_nb_visits"),
                bounces=_count(row, f"{prefix}_bounce_count"),
                seconds=_count(row, f"{prefix}_sum_visit_length"),
            )


def _event(row: Row, day: datetime.date, name: str, count: str) -> Sum:
    visits = _count(row, "nb_visits")
    return Sum(
        day=day,
        dimension=EVENT_NAME,
        value=name,
        visitors=_count(row, "nb_uniq_visitors") or visits,
        visits=visits,
        custom_events=_count(row, count),
    )


def _path(row: Row, target: ImportTarget) -> str:
    label = _text(row, "url") or _text(row, "label") or "/"
    path = label.partition("://")[2].partition("/")[2] if "://" in label else label
    return target.page("", f"/{path.lstrip('/')}")


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return str(value) if isinstance(value, str | int | float) else ""


def _count(row: Row, name: str) -> int:
    return count_of(_text(row, name))


MATOMO_REPORTS: Final = Format("matomo-reports", "Matomo (reports by day)", _recognises, _read)
