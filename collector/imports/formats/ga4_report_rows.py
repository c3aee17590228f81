"""Rows of Google Analytics 4 reports as daily sums."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping

import msgspec

from collector.enrichment.channels import CHANNELS, AttributionSignals, channel_of
from collector.enrichment.referrer import kind_of, name_of_tag
from collector.enrichment.text_limits import truncated
from collector.imports.formats.country_names import country_named
from collector.imports.formats.format import count_of
from collector.imports.formats.ga4 import AUTOMATIC, NAMES
from collector.imports.formats.ga4_headings import OTHER
from collector.imports.formats.names import browser, device, known, system
from collector.imports.sums import EVENT_NAME, HOSTNAME, MADE, TOTAL, Sum
from collector.imports.target import ImportTarget

Row = Mapping[str, str]
"""Cells by the names of their columns."""


def sums_of(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    """The sums of a row of that day. Raises one of `UNREADABLE`."""
    counts = _counts(row, day)
    if "event" in row:
        name = row["event"]
        events = count_of(row.get("events", ""))
        if name == "page_view":
            yield msgspec.structs.replace(counts, dimension=MADE, pageviews=events)
        elif name not in AUTOMATIC:
            yield Sum(
                day=day,
                dimension=EVENT_NAME,
                value=target.text(NAMES.get(name, name))[:120],
                visitors=counts.visitors,
                visits=counts.visits or counts.visitors,
                custom_events=events,
            )
        return
    found = list(_values(row, target))
    for dimension, value in found:
        # Sessions are of no page; who saw one did so in one at least.
        visits = counts.visits or (counts.visitors if dimension.startswith("event:") else 0)
        yield msgspec.structs.replace(counts, dimension=dimension, value=value, visits=visits)
    if not found:
        yield msgspec.structs.replace(counts, dimension=MADE if OTHER in row else TOTAL)


def _counts(row: Row, day: datetime.date) -> Sum:
    visits = count_of(row.get("sessions", ""))
    bounces = 0
    if "engaged_sessions" in row:
        bounces = max(visits - count_of(row["engaged_sessions"]), 0)
    elif row.get("bounce_rate"):
        bounces = min(round(visits * _share(row["bounce_rate"])), visits)
    seconds = round(_number(row.get("engagement_seconds", ""))) or round(
        visits * _number(row.get("session_seconds", ""))
    )
    return Sum(
        day=day,
        dimension=TOTAL,
        value="",
        visitors=count_of(row.get("users") or row.get("active_users", "")),
        visits=visits,
        pageviews=count_of(row.get("pageviews", "")),
        bounces=bounces,
        seconds=seconds,
    )


def _share(text: str) -> float:
    number = _number(text.replace("%", ""))
    return number / 100 if "%" in text or number > 1 else number


def _number(text: str) -> float:
    """A number with a decimal point or comma; 0 for nothing. Raises `ValueError`."""
    text = re.sub(r"[\s\u00a0\u202f]", "", text)
    if "," in text:
        text = text.replace(",", "") if "." in text else text.replace(",", ".")
    return float(text) if text else 0.0


def _values(row: Row, target: ImportTarget) -> Iterator[tuple[str, str]]:
    """Dimensions that a row is of, with their values."""
    if "page" in row:
        yield "event:page", _path(row["page"], target)
    if "entry_page" in row:
        yield "visit:entry_page", _path(row["entry_page"], target)
    if row.keys() & {"source_medium", "source", "medium", "campaign", "channel"}:
        yield from _origin(row, target)
    if "country" in row:
        yield "visit:country", country_named(known(row["country"]))
    if "device" in row:
        yield "visit:device", device(row["device"])
    if "browser" in row:
        yield "visit:browser", target.text(browser(row["browser"]))
    if "system" in row:
        yield "visit:os", target.text(system(row["system"]))
    if "hostname" in row:
        yield HOSTNAME, target.text(known(row["hostname"]).lower())


def _origin(row: Row, target: ImportTarget) -> Iterator[tuple[str, str]]:
    source, _, medium = row.get("source_medium", "").partition("/")
    source, medium = (_tag(row.get(name) or each, target) for name, each in (("source", source), ("medium", medium)))
    campaign = _tag(row.get("campaign", ""), target)
    name = truncated("source", name_of_tag(source)) if source else ""
    if row.keys() & {"source", "source_medium"}:
        yield "visit:source", name
    told = row.get("channel", "")
    if told in CHANNELS:
        yield "visit:channel", told
    elif row.keys() & {"source", "source_medium"}:
        yield (
            "visit:channel",
            channel_of(AttributionSignals(name.lower(), kind_of(name), medium.lower(), campaign.lower())),
        )
    elif told:
        yield "visit:channel", ""
    # What Google makes of a referrer is no tag.
    if campaign:
        yield "visit:utm_campaign", campaign
    if medium and medium not in ("organic", "referral"):
        yield "visit:utm_medium", medium


def _tag(text: str, target: ImportTarget) -> str:
    text = text.strip()
    return "" if text.startswith("(") else target.text(known(text))


def _path(text: str, target: ImportTarget) -> str:
    text = known(text)
    if not text:
        return ""
    if "://" in text:
        text = text.partition("://")[2]
    if not text.startswith("/") and "." in text.partition("/")[0]:
        text = "/" + text.partition("/")[2]
    return target.page("", text)
