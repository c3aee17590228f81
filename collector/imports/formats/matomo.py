"""Matomo's visits: the answer of `Live.getLastVisitsDetails` as JSON.

Times are Unix seconds. Campaign parameters are cut from addresses and stand in the visit's own columns. Texts that
begin with = + - or @ have an apostrophe in front.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from collector.core.errors import ImportRefused
from collector.enrichment.user_agent import Device
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format, major
from collector.imports.formats.names import browser, country, device, known, system
from collector.imports.target import ImportTarget
from collector.imports.visits import ForeignRequest, foreign_request, key_hash

Fields = Mapping[str, Any]

LONGEST_VISIT: Final = 1 << 24
"""Characters of one visit with its actions."""
# Texts as a whole, as what is in them marks nothing, and braces.
_MARKS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}]')
EVENTS: Final = {"outlink": "Outbound Link: Click", "download": "File Download"}
_TAGS: Final = {
    "utm_source": "campaignSource",
    "utm_medium": "campaignMedium",
    "utm_campaign": "campaignName",
    "utm_content": "campaignContent",
    "utm_term": "campaignKeyword",
}


def _recognises(file: ImportedFile) -> bool:
    return file.text.lstrip().startswith(("[", "{")) and '"actionDetails"' in file.text and '"idVisit"' in file.text


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for line, visit in objects(file):
        actions = visit.get("actionDetails")
        if not isinstance(actions, list):
            target.leave_out("unreadable", line)
            continue
        for action in actions:
            try:
                kind = str(action["type"])
                name = _event_name(action, kind)
                request = _request(visit, action, name, target) if name else None
            except UNREADABLE:
                target.leave_out("unreadable", line)
                continue
            if request is None:
                target.leave_out("not_counted", line)
            else:
                target.add_request("actions", request, line)


def _event_name(action: Fields, kind: str) -> str:
    if kind in ("action", "search"):
        return "pageview"
    if kind == "event":
        return _plain(action.get("eventCategory")) or "event"
    if kind == "goal":
        return _plain(action.get("goalName"))
    return EVENTS.get(kind, "")


def _request(visit: Fields, action: Fields, name: str, target: ImportTarget) -> ForeignRequest:
    pageview = name == "pageview"
    url = _plain(action.get("url")) if pageview or action.get("type") == "event" else ""
    url = url or f"https://{target.site.domain}/"
    campaign = visit.get("referrerType") == "campaign"
    if campaign and "utm_" not in url:
        given = {tag: _plain(visit.get(name)) for tag, name in _TAGS.items()}
        given["utm_campaign"] = given["utm_campaign"] or _plain(visit.get("referrerName"))
        tags = "&".join(f"{tag}={quote(value)}" for tag, value in given.items() if value)
        url += ("&" if "?" in url else "?") + tags
    referrer = "" if campaign else _plain(visit.get("referrerUrl"))
    named = visit.get("referrerType") in ("search", "social", "website")
    resolution = _plain(visit.get("resolution")).partition("x")[0]
    return foreign_request(
        int(action.get("timestamp") or visit["firstActionTimestamp"]),
        url,
        name=name[:120],
        referrer=referrer,
        source=_plain(visit.get("referrerName")) if named and not referrer else "",
        visitor=_plain(visit.get("visitorId")) or _plain(visit["idVisit"]),
        visit=key_hash(_plain(visit["idVisit"])),
        device=Device(
            browser=browser(_plain(visit.get("browserName"))),
            browser_version=major(_plain(visit.get("browserVersion"))),
            os=system(_plain(visit.get("operatingSystemName"))),
            os_version=major(_plain(visit.get("operatingSystemVersion"))),
            kind=device(_plain(visit.get("deviceType"))),
        ),
        country=country(_plain(visit.get("countryCode"))),
        width=min(int(resolution), 100_000) if resolution.isdecimal() else 0,
    )


def _plain(value: object) -> str:
    text = known(str(value)) if isinstance(value, str | int | float) else ""
    return text[1:] if text[:1] == "'" and text[1:2] in "=+-@" else text


def objects(file: ImportedFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of an array of JSON, one after the other, with the number of the line in which each ends. Raises
    `ImportRefused` for what is no such array.

    Each character is looked at once: where an object ends is told by its braces.
    """
    begun, size, depth = list[str](), 0, 0
    for number, text in file.lines():
        start = 0
        for mark in _MARKS.finditer(text):
            if mark[0] == "{":
                start = start if depth else mark.start()
                depth += 1
            elif mark[0] == "}" and depth:
                depth -= 1
                if not depth:
                    yield number, _decoded("\n".join([*begun, text[start : mark.end()]]), file)
                    begun, size = [], 0
        if depth:
            begun.append(text[start:])
            size += len(text) - start
            if size > LONGEST_VISIT:
                break
    if depth:
        raise _damaged(file)


def _decoded(text: str, file: ImportedFile) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(file) from None
    return found


def _damaged(file: ImportedFile) -> ImportRefused:
    return ImportRefused("file", "the file {name} is incomplete or damaged; nothing was imported", name=file.name)


MATOMO: Final = Format("matomo", "Matomo (visits as JSON)", _recognises, _read)
