"""GoatCounter's export of single page views as CSV, in its two versions.

The version is the number before the first column's name. There are no visitors, only sessions, which end eight hours
after their last page view: the only identity that there is. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from collector.core.errors import ImportRefused
from collector.enrichment.user_agent import Device
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import iso_time
from collector.imports.formats.names import browser, country, split_version, system
from collector.imports.target import ImportTarget
from collector.imports.visits import ForeignRequest, foreign_request

_HEADERS: Final = {"2path", "1path", "path"}
_NEEDED: Final = {"event", "session", "date", "referrer_scheme"}
_MOBILE = 480
"""CSS pixels: up to this a screen is a phone's."""
_MOBILE_SYSTEMS = frozenset({"iOS", "Android", "Windows Phone"})


def _recognises(file: ImportedFile) -> bool:
    header = set(file.header)
    if any(name[1:] == "path" and name[0].isdigit() and name[0] not in "12" for name in header):
        raise ImportRefused(
            "file",
            "{name} is an unsupported version of GoatCounter's export; versions 1 and 2 are supported",
            name=file.name,
        )
    return bool(header & _HEADERS) and header >= _NEEDED


def _read(file: ImportedFile, target: ImportTarget) -> None:
    target.note("session_identity")
    for line, row in file.table():
        cells = {name.lstrip("12") if name.endswith("path") else name: value for name, value in row.items()}
        try:
            if cells["bot"].lower() not in ("", "0", "false"):
                target.leave_out("bot", line)
                continue
            request = _request(cells, target)
        except UNREADABLE:
            target.leave_out("unreadable", line)
            continue
        target.add_request("page views", request, line)


def _request(row: Mapping[str, str], target: ImportTarget) -> ForeignRequest:
    path = row["path"]
    is_event = row["event"].lower() in ("1", "true")
    # Without a session of its own a page view is that of nobody in particular.
    session = row["session"] if row["session"].strip("0-") else ""
    scheme, referrer, query = row.get("referrer_scheme", ""), row["referrer"], ""
    source = ""
    if scheme == "c":
        query, referrer = f"?utm_source={quote(referrer)}", ""
    elif scheme == "g":
        source, referrer = referrer, ""
    elif referrer and "://" not in referrer:
        referrer = f"https://{referrer}"
    url = f"https://{target.site.domain}{'' if is_event else path if path.startswith('/') else f'/{path}'}{query}"
    user_agent = row.get("useragent", "") or ("" if "system" in row else row.get("browser", ""))
    width = _width(row.get("screen_size", ""))
    return foreign_request(
        iso_time(row["date"]),
        url,
        name=path[:120] if is_event else "pageview",
        referrer=referrer,
        source=source,
        visitor=session,
        user_agent=user_agent,
        width=width,
        device=None if user_agent else _device(row, width),
        country=country(row.get("location", "")),
        anonymous=not session,
    )


def _width(screen: str) -> int:
    first = screen.split(",")[0].strip()
    return min(int(float(first)), 100_000) if first.replace(".", "", 1).isdecimal() else 0


def _device(row: Mapping[str, str], width: int) -> Device:
    name, version = split_version(row.get("browser", ""))
    os, os_version = split_version(row.get("system", ""))
    found = system(os)
    if found == "iPadOS" or (found in _MOBILE_SYSTEMS and width > _MOBILE):
        kind = "tablet"
    else:
        kind = "mobile" if found in _MOBILE_SYSTEMS else "desktop" if found else ""
    return Device(browser=browser(name), browser_version=version, os=found, os_version=os_version, kind=kind)


GOATCOUNTER: Final = Format("goatcounter", "GoatCounter (CSV)", _recognises, _read)
