"""The rollup table itself, as `tyst export` writes it: sums of every dimension, which come back as they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.core.csv import unmarked
from collector.enrichment.urls import clean_path
from collector.imports.file import ImportedFile
from collector.imports.formats.format import MOST_COUNT, UNREADABLE, Format, day_of
from collector.imports.sums import COUNTS, TOTAL, Sum
from collector.imports.target import ImportTarget
from collector.rollups.sql import EVENT_DIMENSIONS, EVERY_EVENT, REVENUE, VISIT_DIMENSIONS

PATHS: Final = frozenset({"event:page", "visit:entry_page", "visit:exit_page"})
TEXTS: Final = frozenset({"event:name", "visit:source", "visit:referrer", "visit:utm_source", "visit:utm_medium"})
"""Dimensions whose values are cleaned once more: nobody knows what happened to the file on its way."""

_DIMENSIONS = frozenset({TOTAL, REVENUE, *VISIT_DIMENSIONS, *EVENT_DIMENSIONS})
_HEADER = frozenset({"date", "dimension", "value", "properties", *COUNTS})


def _recognises(file: ImportedFile) -> bool:
    return set(file.header) >= _HEADER


def _read(file: ImportedFile, target: ImportTarget) -> None:
    target.exact = True
    for line, row in file.table():
        try:
            found = _sum(row, target)
            has_properties = row["properties"] == "1"
        except UNREADABLE:
            target.leave_out("unreadable", line)
            continue
        if not has_properties:
            target.without_properties.add(found.day)
        target.add_sums("daily", found.day, line, found)


def _sum(row: Mapping[str, str], target: ImportTarget) -> Sum:
    dimension, value = unmarked(row["dimension"]), unmarked(row["value"])
    if dimension in PATHS:
        value = clean_path(value) if value else ""
    elif dimension in TEXTS or dimension.startswith(EVERY_EVENT):
        value = target.text(value)
    elif dimension not in _DIMENSIONS:
        raise ValueError("expected a dimension")
    counts = {name: int(row[name]) for name in COUNTS}
    if max(abs(count) for name, count in counts.items() if name != "revenue") >= MOST_COUNT:
        raise ValueError("expected counts")
    if abs(counts["revenue"]) >= 1 << 63:
        raise ValueError("expected an amount")
    return Sum(day=day_of(row["date"]), dimension=dimension, value=value, currency=row["currency"], **counts)


TYST: Final = Format("tyst", "Tyst (tyst export)", _recognises, _read)
