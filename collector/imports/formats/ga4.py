"""Google Analytics 4: the tables `events_YYYYMMDD` of its BigQuery export, as lines of JSON.

A visit is a `user_pseudo_id` with a `ga_session_id`; without consent there is no id, and only the page view is counted.
Countries are English names. Times are microseconds, in texts or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from collector.enrichment.user_agent import Device
from collector.imports.file import ImportedFile
from collector.imports.formats.country_names import country_named
from collector.imports.formats.format import UNREADABLE, Format, major
from collector.imports.formats.log_times import moment_of
from collector.imports.formats.names import browser, device, known, system
from collector.imports.target import ImportTarget
from collector.imports.visits import ForeignRequest, foreign_request, key_hash

Fields = Mapping[str, Any]

AUTOMATIC: Final = frozenset({"session_start", "first_visit", "user_engagement", "scroll", "first_open", "app_remove"})
"""Events that Google's tag sends by itself, and nobody did."""
NAMES: Final = {"click": "Outbound Link: Click", "file_download": "File Download", "page_view": "pageview"}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def _recognises(file: ImportedFile) -> bool:
    text = file.text
    return text.lstrip().startswith("{") and '"event_timestamp"' in text and '"event_name"' in text


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for number, line in file.lines():
        if not line:
            continue
        try:
            row = _decode(line)
            name = str(row["event_name"])
            request = _request(row, NAMES.get(name, name), target)
        except (msgspec.MsgspecError, *UNREADABLE):
            target.leave_out("unreadable", number)
            continue
        if name in AUTOMATIC:
            target.leave_out("automatic", number)
        else:
            target.add_request("events", request, number)


def _request(row: Fields, name: str, target: ImportTarget) -> ForeignRequest:
    params = {each["key"]: _value(each.get("value") or {}) for each in row.get("event_params") or ()}
    agent, web = row.get("device") or {}, (row.get("device") or {}).get("web_info") or {}
    visitor = known(str(row.get("user_pseudo_id") or ""))
    url = params.get("page_location") or f"https://{target.site.domain}/"
    return foreign_request(
        moment_of(row["event_timestamp"]),
        _tagged(url, row),
        name=name[:120],
        referrer=params.get("page_referrer", ""),
        visitor=visitor,
        visit=key_hash(params.get("ga_session_id", "")),
        anonymous=not visitor,
        device=Device(
            browser=browser(_text(web.get("browser") or agent.get("browser"))),
            browser_version=major(_text(web.get("browser_version") or agent.get("browser_version"))),
            os=system(_text(agent.get("operating_system"))),
            os_version=major(_text(agent.get("operating_system_version")).rpartition(" ")[2]),
            kind=device(_text(agent.get("category"))),
        ),
        country=country_named(_text((row.get("geo") or {}).get("country"))),
    )


def _tagged(url: str, row: Fields) -> str:
    """The address with the session's campaign, where it was cut off."""
    if "utm_" in url:
        return url
    collected = row.get("collected_traffic_source") or {}
    last = ((row.get("session_traffic_source_last_click") or {}).get("manual_campaign")) or {}
    found = {
        "utm_source": collected.get("manual_source") or last.get("source"),
        "utm_medium": collected.get("manual_medium") or last.get("medium"),
        "utm_campaign": collected.get("manual_campaign_name") or last.get("campaign_name"),
    }
    tags = {name: _text(value) for name, value in found.items()}
    tags = {name: value for name, value in tags.items() if value and not value.startswith("(")}
    # What Google made of a referrer is no campaign.
    if tags.get("utm_medium") in ("referral", "organic") and "utm_campaign" not in tags:
        tags = {}
    query = "&".join(f"{name}={quote(value)}" for name, value in tags.items())
    click = "gclid" if collected.get("gclid") and "gclid" not in url else ""
    joined = "&".join(filter(None, [query, click]))
    return url + (("&" if "?" in url else "?") + joined if joined else "")


def _value(value: Fields) -> str:
    return next((str(each) for each in value.values() if each is not None), "")


def _text(value: object) -> str:
    return known(value) if isinstance(value, str) else ""


GA4: Final = Format("ga4", "Google Analytics 4 (BigQuery as JSON)", _recognises, _read)
