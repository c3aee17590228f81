"""GoatCounter's JSON export: a zip file of tables with counts by hour or day, and the names that they refer to.

A count is how many sessions saw a page for the first time. Added up over pages that is neither page views nor visitors;
here they are page views without a visit (GoatCounter's cron/hit_stat.go).
Hours are UTC and sorted into the site's days; what is counted by day stays on that day.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from collector.core.errors import ImportRefused
from collector.enrichment.channels import AttributionSignals, channel_of
from collector.enrichment.referrer import kind_of, name_of_tag
from collector.enrichment.text_limits import truncated
from collector.enrichment.user_agent import size_class
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format, day_of
from collector.imports.formats.log_times import iso_time
from collector.imports.formats.names import browser, country, system
from collector.imports.sums import EVENT_NAME, TOTAL, Sum
from collector.imports.target import ImportTarget
from collector.ingest.payload_fields import MOST_URL

Row = Mapping[str, Any]

_NAMES: Final = {
    "paths": {"id", "path"},
    "refs": {"id", "ref"},
    "browsers": {"id", "name", "version"},
    "systems": {"id", "name", "version"},
    "locations": {"country", "country_name"},
    "languages": {"name"},
}
"""Tables of names, with keys of their rows."""
_COUNTS: Final = {
    "hit_stats": {"hour", "path_id", "count"},
    "browser_stats": {"day", "browser_id", "count"},
    "system_stats": {"day", "system_id", "count"},
    "location_stats": {"day", "location", "count"},
    "size_stats": {"day", "width", "count"},
    "language_stats": {"day", "language", "count"},
    "campaign_stats": {"day", "campaign_id", "count"},
}
"""Tables of counts, with keys of their rows."""
_KEPT: Final = ("name", "version", "ref", "ref_scheme")
"""What is used of rows of names other than paths."""
MOST_BYTES: Final = 1 << 28
"""Of all names of an import, as they are in memory; about a million."""
_BYTES_OF_NAME: Final = 200
"""Beside its texts."""
_INFO: Final = {"export_version", "goatcounter_version"}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class GoatCounterPath(msgspec.Struct, frozen=True):
    """A page, or the name of an event."""

    path: str
    event: bool


@dataclass
class GoatCounterNames:
    """Names that the tables of counts refer to, by their numbers."""

    paths: dict[int, GoatCounterPath] = field(default_factory=dict)
    others: dict[tuple[str, int], Row] = field(default_factory=dict)
    """Rows of other tables, by table and number."""
    bytes: int = 0

    def hold(self, *texts: str) -> None:
        """One more name. Raises `ImportRefused` where they have become too many to be held in memory."""
        self.bytes += _BYTES_OF_NAME + sum(map(sys.getsizeof, texts))
        if self.bytes > MOST_BYTES:
            raise ImportRefused("file", "a file has too many names of pages or referrers; nothing was imported")


def _first_row(file: ImportedFile) -> Row:
    """The first row, without keys where it is no line of JSON."""
    text = file.text.lstrip()
    if not text.startswith("{"):
        return {}
    try:
        return _decode(text.partition("\n")[0])
    except (msgspec.MsgspecError, RecursionError):
        return {}


def _table_of(file: ImportedFile) -> str:
    if set(file.text.split('"')) >= _INFO and file.text.lstrip().startswith("{"):
        return "info"
    keys = set(_first_row(file))
    named = PurePosixPath(file.name).name.partition(".")[0].lower()
    # Rows of browsers and of systems look alike.
    if named in _NAMES and keys >= _NAMES[named]:
        return named
    return next(
        (name for name, needed in _COUNTS.items() if keys >= needed), "paths" if keys >= _NAMES["paths"] else ""
    )


def _recognises(file: ImportedFile) -> bool:
    return bool(_table_of(file))


def _read(file: ImportedFile, target: ImportTarget) -> None:
    table, names = _table_of(file), target.notebook(GoatCounterNames)
    if table == "info":
        # It has the address of who exported it.
        return
    target.note("first_views")
    for line, text in file.lines():
        if not text.strip():
            continue
        try:
            row = _decode(text)
            if table in _NAMES:
                _remember(table, row, names)
                continue
            day, sums = _day(table, row, target), list(_sums(table, row, names, target))
        except (msgspec.MsgspecError, *UNREADABLE):
            target.leave_out("unreadable", line)
            continue
        if sums:
            target.add_sums(table, day, line, *(msgspec.structs.replace(each, day=day) for each in sums))
        else:
            target.leave_out("not_counted", line)
    if table in _COUNTS and table != "hit_stats":
        target.note("utc_days")


def _remember(table: str, row: Row, names: GoatCounterNames) -> None:
    if table == "paths":
        path = str(row["path"])[:MOST_URL]
        names.hold(path)
        names.paths[int(row["id"])] = GoatCounterPath(path, str(row.get("event")).lower() in ("true", "1"))
    elif "id" in row:
        kept = {name: str(row[name])[:MOST_URL] for name in _KEPT if row.get(name) is not None}
        names.hold(*kept.values())
        names.others[table, int(row["id"])] = kept


def _day(table: str, row: Row, target: ImportTarget) -> datetime.date:
    return target.zone.date(iso_time(row["hour"])) if table == "hit_stats" else day_of(row["day"])


def _sums(table: str, row: Row, names: GoatCounterNames, target: ImportTarget) -> Iterator[Sum]:
    count, path = int(row["count"]), names.paths.get(int(row["path_id"]))
    if path is None and not names.paths:
        raise ImportRefused(
            "file",
            "{name} has counts but no page names. Import the whole GoatCounter zip file",
            name=target.file,
        )
    if path is None or count < 0:
        raise ValueError("expected a page that is known, and a count")
    if path.event:
        if table == "hit_stats":
            yield Sum(
                day=datetime.date.min, dimension=EVENT_NAME, value=target.text(path.path)[:120], custom_events=count
            )
        return
    seen = Sum(day=datetime.date.min, dimension=TOTAL, value="", pageviews=count, pageviews_without_visit=count)
    for dimension, value in _values(table, row, names, target):
        without_visit = 0 if dimension.startswith("event:") else count
        yield msgspec.structs.replace(seen, dimension=dimension, value=value, pageviews_without_visit=without_visit)


def _values(table: str, row: Row, names: GoatCounterNames, target: ImportTarget) -> Iterator[tuple[str, str]]:
    """Values of dimensions that a count is of; none where it is of something that is not kept."""
    match table:
        case "hit_stats":
            yield TOTAL, ""
            yield "event:page", target.page("", names.paths[int(row["path_id"])].path)
            yield from _origin(names.others.get(("refs", int(row.get("ref_id") or 0)), {}), target)
        case "browser_stats":
            found = names.others.get(("browsers", int(row["browser_id"])), {})
            yield "visit:browser", target.text(browser(str(found.get("name", ""))))
            yield "visit:browser_version", _major(found)
        case "system_stats":
            found = names.others.get(("systems", int(row["system_id"])), {})
            yield "visit:os", target.text(system(str(found.get("name", ""))))
            yield "visit:os_version", _major(found)
        case "location_stats":
            yield "visit:country", country(str(row["location"]))
        case "size_stats":
            yield "visit:size", size_class(min(int(row["width"]), 100_000))


def _origin(ref: Row, target: ImportTarget) -> Iterator[tuple[str, str]]:
    text, scheme = str(ref.get("ref", "")), ref.get("ref_scheme")
    host = text.partition("/")[0]
    name = name_of_tag(text if scheme in ("g", "c") else host) if text else ""
    source = truncated("source", target.text(name))
    yield "visit:source", source
    yield "visit:channel", channel_of(AttributionSignals(source.lower(), kind_of(source)))
    yield "visit:referrer", truncated("referrer", target.text(text.partition("?")[0])) if scheme == "h" else ""
    yield "visit:utm_source", source if scheme == "c" else ""


def _major(row: Row) -> str:
    version = str(row.get("version") or "").partition(".")[0]
    return version if version.isdecimal() and len(version) <= 5 else ""


GOATCOUNTER_JSON: Final = Format("goatcounter-json", "GoatCounter (JSON)", _recognises, _read)
