"""Matomo's reports by day: totals (`VisitsSummary.get`, `API.get`) and pages (`Actions.getPageUrls`, flat), as JSON by
date or as CSV with a column `date`. `nb_actions` is no number of page views: those come from the pages, or from
`nb_pageviews`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile
from collector.imports.formats.format import UNREADABLE, Format, day_of, whole
from collector.imports.formats.matomo import objects
from collector.imports.sums import TOTAL, Sum
from collector.imports.target import ImportTarget

_TOTALS: Final = frozenset({"nb_visits", "bounce_count"})
_PAGES: Final = frozenset({"label", "nb_hits"})


def _recognises(file: ImportedFile) -> bool:
    header = set(file.header)
    if "nb_visits" in header and "date" not in header and header & {"label", "nb_hits", "bounce_count"}:
        raise ImportRefused(
            "file",
            "{name} is a report of Matomo without dates. Ask for it with period=day and date=FIRST,LAST",
            name=file.name,
        )
    if "date" in header and (header >= _TOTALS or header >= _PAGES):
        return True
    text = file.text.lstrip()
    return text.startswith('{"') and text[2:6].isdecimal() and text[6:7] == "-" and '"nb_visits"' in text


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for line, date, row in _rows(file):
        try:
            day = day_of(date)
            rows = list(_sums(row, target, day))
        except UNREADABLE:
            target.leave_out("unreadable", line)
            continue
        if rows:
            target.add_sums("pages" if "nb_hits" in row else "totals", day, line, *rows)
        else:
            target.leave_out("not_counted", line)


def _rows(file: ImportedFile) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    if "date" in file.header:
        for line, row in file.table():
            yield line, row.get("date", ""), row
        return
    for line, found in objects(file):
        for date, rows in found.items():
            for each in rows if isinstance(rows, list) else [rows]:
                if isinstance(each, dict):
                    yield line, date, each


def _sums(row: Mapping[str, Any], target: ImportTarget, day: Any) -> Iterator[Sum]:
    def count(name: str) -> int:
        return whole(str(row.get(name) or 0))

    if "nb_hits" in row:
        label = str(row.get("url") or row.get("label") or "/")
        path = label.partition("://")[2].partition("/")[2] if "://" in label else label.removeprefix("/")
        page = target.page("", f"/{path.lstrip('/')}")
        yield Sum(
            day=day,
            dimension="event:page",
            value=page,
            visitors=count("nb_uniq_visitors") or count("sum_daily_nb_uniq_visitors"),
            visits=count("nb_visits"),
            pageviews=count("nb_hits"),
            readings=count("nb_visits") if count("sum_time_spent") else 0,
            engaged=1000 * count("sum_time_spent"),
        )
        for dimension, prefix in (("visit:entry_page", "entry"), ("visit:exit_page", "exit")):
            if count(f"{prefix}_nb_visits"):
                yield Sum(
                    day=day,
                    dimension=dimension,
                    value=page,
                    visitors=count(f"{prefix}_nb_uniq_visitors") or count(f"{prefix}_nb_visits"),
                    visits=count(f"{prefix}_nb_visits"),
                    bounces=count(f"{prefix}_bounce_count"),
                    seconds=count(f"{prefix}_sum_visit_length"),
                )
    elif "nb_visits" in row:
        yield Sum(
            day=day,
            dimension=TOTAL,
            value="",
            visitors=count("nb_uniq_visitors"),
            visits=count("nb_visits"),
            pageviews=count("nb_pageviews"),
            bounces=count("bounce_count"),
            seconds=count("sum_visit_length"),
        )


MATOMO_REPORTS: Final = Format("matomo-reports", "Matomo (reports by day)", _recognises, _read)
