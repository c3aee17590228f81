"""Matomo's visits: the answer of `Live.getLastVisitsDetails` as JSON, or as CSV with columns `actionDetails_0_url`.

Times are Unix seconds. Campaign parameters are cut from addresses and stand in the visit's own columns. Texts that
begin with = + - or @ have an apostrophe in front.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from collector.core.errors import ImportRefused
from collector.enrichment.user_agent import Device
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format, major
from collector.imports.formats.json_stream import BY_DATE, by_date, objects
from collector.imports.formats.names import browser, country, device, known, system
from collector.imports.target import ImportTarget
from collector.imports.visits import ForeignRequest, foreign_request, key_hash

Fields = Mapping[str, Any]

EVENTS: Final = {"outlink": "Outbound Link: Click", "download": "File Download"}
_TAGS: Final = {
    "utm_source": "campaignSource",
    "utm_medium": "campaignMedium",
    "utm_campaign": "campaignName",
    "utm_content": "campaignContent",
    "utm_term": "campaignKeyword",
}


_ACTION = re.compile(r"action_?details_(\d{1,6})_(.+)")


def _recognises(file: ImportedFile) -> bool:
    text = file.text.lstrip()
    if text.startswith(("[", "{")):
        return '"actionDetails"' in text and '"idVisit"' in text
    header = set(map(_flat, file.header))
    if "idvisit" in header and not any(map(_ACTION.match, file.header)):
        raise ImportRefused(
            "file",
            "{name} has Matomo visits without their actions. Export Live.getLastVisitsDetails with all "
            "columns, as described in docs/migrating.md",
            name=file.name,
        )
    return "idvisit" in header


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for line, visit in _visits(file):
        actions = visit.get("actionDetails")
        if isinstance(actions, dict):
            # PHP makes objects of arrays with gaps.
            actions = list(actions.values())
        if not isinstance(actions, list):
            target.leave_out("unreadable", line)
            continue
        if not actions:
            target.leave_out("not_counted", line)
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


def _flat(name: str) -> str:
    return name.replace("_", "")


_NAMES: Final = {
    _flat(name).lower(): name
    for name in (
        "type", "url", "timestamp", "eventCategory", "eventAction", "eventName", "goalName", "serverTimePretty",
        "idVisit", "visitorId", "firstActionTimestamp", "referrerType", "referrerName", "referrerUrl",
        "resolution", "browserName", "browserVersion", "operatingSystemName", "operatingSystemVersion", "deviceType",
        "countryCode", *_TAGS.values(),
    )
}  # fmt: skip
"""Names of fields by what they are called in any spelling."""


def _visits(file: ImportedFile) -> Iterator[tuple[int, dict[str, Any]]]:
    if BY_DATE.match(file.text):
        yield from ((line, visit) for line, _, visit in by_date(file))
    elif file.text.lstrip().startswith(("[", "{")):
        yield from objects(file)
    else:
        yield from _rows(file)


def _rows(file: ImportedFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """The visits of a CSV file, each in the shape that it has as JSON."""
    for line, row in file.table():
        visit: dict[str, Any] = {}
        actions: dict[int, dict[str, str]] = {}
        for column, value in row.items():
            found = _ACTION.match(column)
            if found is None:
                visit[_NAMES.get(_flat(column), column)] = value
            elif value:
                name = _flat(found[2])
                actions.setdefault(int(found[1]), {})[_NAMES.get(name, name)] = value
        yield line, visit | {"actionDetails": [actions[number] for number in sorted(actions)]}


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


MATOMO: Final = Format("matomo", "Matomo (visits)", _recognises, _read)
