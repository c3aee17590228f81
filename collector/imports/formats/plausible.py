"""Plausible's export: ten tables of daily sums, as CSV files or the zip file that has them.

Columns are found by their names: their order differs by release, and older ones have fewer or other columns
(Plausible's lib/plausible/exports.ex and its migrations). Dates are those of the exporting site's time zone.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from collector.core.errors import ImportRefused
from collector.enrichment.channels import AttributionSignals, channel_of
from collector.enrichment.referrer import kind_of, name_of_tag
from collector.enrichment.text_limits import truncated
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format, day_of, major, whole
from collector.imports.formats.names import browser, country, device, known, system
from collector.imports.sums import TOTAL, Sum
from collector.imports.target import ImportTarget

Row = Mapping[str, str]

DIRECT: Final = frozenset({"direct / none", "direct", "(direct)"})
NO_EVENTS: Final = frozenset({"engagement", "pageleave", "pageview"})
"""Names among custom events that are none."""

_AVERAGES = frozenset({"bounce_rate", "views_per_visit", "conversion_rate"})


def _visits(row: Row, day: datetime.date, dimension: str, value: str, visits: str = "visits") -> Sum:
    return Sum(
        day=day,
        dimension=dimension,
        value=value,
        visitors=whole(row.get("visitors", "")),
        visits=whole(row.get(visits, "")),
        pageviews=whole(row.get("pageviews", "")),
        bounces=whole(row.get("bounces", "")),
        seconds=whole(row.get("visit_duration", "")),
    )


def _totals(row: Row, day: datetime.date, _: ImportTarget) -> Iterator[Sum]:
    yield _visits(row, day, TOTAL, "")


def _sources(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    tags = {name: target.text(known(row.get(name, ""))) for name in _TAGS}
    source = known(row.get("source", ""))
    source = "" if source.lower() in DIRECT else truncated("source", target.text(name_of_tag(source)))
    clues = AttributionSignals(
        source.lower(), kind_of(source), tags["utm_medium"].lower(), tags["utm_campaign"].lower()
    )
    counts = _visits(row, day, "visit:source", source)
    yield counts
    yield msgspec.structs.replace(counts, dimension="visit:channel", value=channel_of(clues))
    referrer = truncated("referrer", target.text(known(row.get("referrer", ""))))
    for name, value in {"referrer": referrer, **tags}.items():
        if name in row:
            yield msgspec.structs.replace(counts, dimension=f"visit:{name}", value=value)


def _pages(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    host, views = known(row.get("hostname", "")), whole(row.get("pageviews", ""))
    seconds = row.get("total_time_on_page") or row.get("time_on_page") or ""
    reads = (
        row.get("total_time_on_page_visits")
        or row.get("total_scroll_depth_visits")
        or row.get("pageleave_visitors")
        or ""
    )
    yield Sum(
        day=day,
        dimension="event:page",
        value=target.page(host, row.get("page", "")),
        visitors=whole(row.get("visitors", "")),
        visits=whole(row.get("visits", "") or row.get("visitors", "")),
        pageviews=views,
        page_reads=whole(reads),
        engagement_ms=1000 * whole(seconds),
        scroll_depth_sum=whole(row.get("total_scroll_depth") or row.get("scroll_depth") or ""),
    )


def _entry_pages(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    yield _visits(row, day, "visit:entry_page", target.page("", row.get("entry_page", "")), "entrances")


def _exit_pages(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    yield _visits(row, day, "visit:exit_page", target.page("", row.get("exit_page", "")), "exits")


def _locations(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    if known(row.get("region", "")) or row.get("city", "").strip("0"):
        target.note("regions_not_kept")
    yield _visits(row, day, "visit:country", country(row.get("country", "")))


def _devices(row: Row, day: datetime.date, _: ImportTarget) -> Iterator[Sum]:
    yield _visits(row, day, "visit:device", device(row.get("device", "")))


def _browsers(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    name, version = browser(row.get("browser", "")), row.get("browser_version")
    yield from _versioned(row, day, target, "visit:browser", name, version)


def _systems(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    name, version = system(row.get("operating_system", "")), row.get("operating_system_version")
    yield from _versioned(row, day, target, "visit:os", name, version)


def _versioned(
    row: Row, day: datetime.date, target: ImportTarget, dimension: str, name: str, version: str | None
) -> Iterator[Sum]:
    counts = _visits(row, day, dimension, target.text(name))
    yield counts
    if version is not None:
        if "." in version:
            target.note("versions_cut")
        yield msgspec.structs.replace(counts, dimension=f"{dimension}_version", value=major(version))


def _custom_events(row: Row, day: datetime.date, target: ImportTarget) -> Iterator[Sum]:
    if known(row.get("link_url", "")) or known(row.get("path", "")):
        target.note("properties_not_kept")
    yield Sum(
        day=day,
        dimension="event:name",
        value=target.text(row.get("name", ""))[:120],
        visitors=whole(row.get("visitors", "")),
        visits=whole(row.get("visitors", "")),
        custom_events=whole(row.get("events", "")),
    )


_TAGS = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
_Table = Callable[[Row, datetime.date, ImportTarget], Iterator[Sum]]

# Tables by the column that only they have; of several the first here.
TABLES: Final[dict[str, tuple[str, _Table]]] = {
    "entry_page": ("entry_pages", _entry_pages),
    "exit_page": ("exit_pages", _exit_pages),
    "page": ("pages", _pages),
    "country": ("locations", _locations),
    "device": ("devices", _devices),
    "browser": ("browsers", _browsers),
    "operating_system": ("operating_systems", _systems),
    "source": ("sources", _sources),
    "name": ("custom_events", _custom_events),
    "visitors": ("visitors", _totals),
}


def _recognises(file: ImportedFile) -> bool:
    header = set(file.header)
    if header & _AVERAGES and "visitors" in header and "bounces" not in header:
        raise ImportRefused(
            "file",
            "{name} is an export of Plausible's dashboard, which has averages and no dates. Use the full "
            "export instead: Site settings, Imports & Exports, Export to CSV",
            name=file.name,
        )
    if "date" not in header or "visitors" not in header:
        return False
    # A table of other products may have a date and visitors as well.
    return bool(header & _SUMS or {"name", "events"} <= header)


_SUMS = frozenset({"visit_duration", "bounces", "visits", "entrances", "exits", "total_scroll_depth", "hostname"})


def _read(file: ImportedFile, target: ImportTarget) -> None:
    if target.exact:
        # The same export has the rollup table itself.
        for line, _ in file.table():
            target.leave_out("same_figures", line)
        return
    source, table = next(TABLES[column] for column in TABLES if column in file.header)
    target.note("zone")
    if source != "visitors":
        target.note("visitors_added")
    for line, row in file.table():
        try:
            day = day_of(row["date"])
            rows = list(table(row, day, target))
        except UNREADABLE:
            target.leave_out("unreadable", line)
            continue
        if source == "custom_events" and row["name"] in NO_EVENTS:
            target.leave_out("automatic", line)
        else:
            target.add_sums(source, day, line, *rows)


PLAUSIBLE: Final = Format("plausible", "Plausible", _recognises, _read)
