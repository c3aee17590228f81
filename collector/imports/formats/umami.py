"""Umami's table `website_event`, as CSV: of its cloud, or of an installation joined with the table `session`.

`event_type` 1 is a page view and 2 an event; others are links, pixels and measurements. Times are UTC, with or without
fractions and an offset. A session lasts a calendar month, so that a visitor counts anew every day here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from collector.core.errors import ImportRefused
from collector.enrichment.urls import CLICK_IDS
from collector.enrichment.user_agent import Device
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import iso_time
from collector.imports.formats.names import browser, country, device, known, system
from collector.imports.target import ImportTarget
from collector.imports.visits import ForeignRequest, foreign_request, key_hash

_NEEDED: Final = {"session_id", "url_path", "event_type", "created_at"}
_TAGS: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")


def _recognises(file: ImportedFile) -> bool:
    header = set(file.header)
    if header == {"x", "y"}:
        raise ImportRefused(
            "file",
            "{name} is what Umami's export button gives: sums without dates. Take the table of events: in Umami Cloud "
            "Settings, Data, Export; of your own installation the statement in docs/migrating.md",
            name=file.name,
        )
    if {"session_id", "website_id", "browser", "created_at"} <= header and "url_path" not in header:
        raise ImportRefused(
            "file",
            "{name} is the table of sessions alone. Join it with the table of events: the statement is in "
            "docs/migrating.md",
            name=file.name,
        )
    return header >= _NEEDED


def _read(file: ImportedFile, target: ImportTarget) -> None:
    target.note("monthly_identity")
    if "browser" not in file.header:
        target.note("no_devices")
    for line, row in file.table():
        try:
            kind = int(row["event_type"] or 1)
            request = _request(row, target, is_event=kind == 2)
        except UNREADABLE:
            target.leave_out("unreadable", line)
            continue
        if kind not in (1, 2):
            target.leave_out("not_counted", line)
        else:
            target.add_request("events", request, line)


def _request(row: Mapping[str, str], target: ImportTarget, *, is_event: bool) -> ForeignRequest:
    given = {name: known(value) for name, value in row.items()}
    host = given.get("hostname") or target.site.domain
    query = given.get("url_query", "").removeprefix("?")
    tags = [f"{name}={quote(given[name])}" for name in _TAGS if given.get(name) and f"{name}=" not in query]
    tags += [name for name in sorted(CLICK_IDS) if given.get(name)]
    joined = "&".join(filter(None, [query, *tags]))
    referring = given.get("referrer_domain", "")
    name, version = system_of(given.get("os", ""))
    return foreign_request(
        iso_time(row["created_at"]),
        f"https://{host}{given['url_path'] or '/'}{f'?{joined}' if joined else ''}",
        name=(given.get("event_name") or "event")[:120] if is_event else "pageview",
        referrer=f"https://{referring}{given.get('referrer_path', '')}" if referring else "",
        visitor=row["session_id"],
        visit=key_hash(given.get("visit_id", "")),
        device=Device(
            browser=browser(given.get("browser", "")),
            os=name,
            os_version=version,
            kind=device(given.get("device", "")),
        ),
        country=country(given.get("country", "")),
        width=_width(given.get("screen", "")),
    )


def system_of(name: str) -> tuple[str, str]:
    """Name and version of `Windows 10`, which is 10 or 11 and has no version therefore, or of `Mac OS`."""
    return ("Windows", "") if name.startswith("Windows") else (system(name), "")


def _width(screen: str) -> int:
    first = screen.partition("x")[0]
    return min(int(first), 100_000) if first.isdecimal() else 0


UMAMI: Final = Format("umami", "Umami", _recognises, _read)
