"""Simple Analytics' export of page views and events as CSV. Rows of one session belong to one visitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from collector.enrichment.user_agent import Device
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format, major
from collector.imports.formats.log_times import iso_time
from collector.imports.formats.names import browser, country, device, known, system
from collector.imports.target import ImportTarget
from collector.imports.visits import ForeignRequest, foreign_request

_NEEDED: Final = {"added_iso", "path"}
_TAGS: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")


def _recognises(file: ImportedFile) -> bool:
    return set(file.header) >= _NEEDED


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for line, row in file.table():
        try:
            given = {name: known(value) for name, value in row.items()}
            request = _request(given, target)
        except UNREADABLE:
            target.leave_out("unreadable", line)
            continue
        if given.get("is_robot", "").lower() in ("true", "1"):
            target.leave_out("bot", line)
        else:
            target.add_request("events", request, line)


def _request(row: Mapping[str, str], target: ImportTarget) -> ForeignRequest:
    host = row.get("hostname") or target.site.domain
    query = row.get("query", "").removeprefix("?")
    tags = [f"{name}={quote(row[name])}" for name in _TAGS if row.get(name) and f"{name}=" not in query]
    joined = "&".join(filter(None, [query, *tags]))
    referring = row.get("document_referrer") or row.get("referrer_hostname", "") + row.get("referrer_path", "")
    name = row.get("datapoint", "") or "pageview"
    session = row.get("session_id", "")
    user_agent = row.get("user_agent", "")
    width = row.get("viewport_width") or row.get("screen_width", "")
    named = Device(
        browser=browser(row.get("browser_name", "")),
        browser_version=major(row.get("browser_version", "")),
        os=system(row.get("os_name", "")),
        os_version=major(row.get("os_version", "")),
        kind=device(row.get("device_type", "")),
    )
    return foreign_request(
        iso_time(row["added_iso"]),
        f"https://{host}{row['path'] or '/'}{f'?{joined}' if joined else ''}",
        name=name[:120],
        referrer=referring if "://" in referring or not referring else f"https://{referring}",
        visitor=session,
        user_agent=user_agent,
        device=None if user_agent and not named.browser else named,
        country=country(row.get("country_code", "")),
        width=min(int(width), 100_000) if width.isdecimal() else 0,
        anonymous=not session,
    )


SIMPLE_ANALYTICS: Final = Format("simple-analytics", "Simple Analytics", _recognises, _read)
