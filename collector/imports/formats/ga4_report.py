"""Google Analytics 4: reports and explorations as CSV, whose rows have a date or the number of a day.

A file may have several tables, each below lines that begin with # and name its dates. Headings are in the language of
the account. Totals have no date. Of a table by date alone every figure is a total of the day; of others each column of
texts is a dimension of its own.
"""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile, delimiter_of
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.ga4_headings import METRICS, OTHER, columns, named
from collector.imports.formats.ga4_report_rows import sums_of
from collector.imports.target import ImportTarget

ROWS_AHEAD: Final = 50
"""Rows by which columns are told whose headings are not known."""
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_COMPACT = re.compile(r"(?<!\d)((?:19|20)\d{6})(?!\d)")
_DIMENSIONS: Final = frozenset({
    "page", "entry_page", "source_medium", "source", "medium", "campaign", "channel", "country", "device", "browser",
    "system", "hostname",
})  # fmt: skip


class ReportTable(msgspec.Struct):
    """One table of a report: what its columns are, and the first date of its range."""

    names: list[str]
    start: datetime.date | None

    @property
    def is_by_date(self) -> bool:
        """Whether its rows are of single days."""
        return "date" in self.names or ("nth_day" in self.names and self.start is not None)

    @property
    def counts(self) -> bool:
        """Whether it has any figure that is known."""
        return any(name in METRICS for name in self.names)


def _recognises(file: ImportedFile) -> bool:
    text = file.text.lstrip("\ufeff\r\n ")
    if text.startswith(("# ", "#-", '"# ', "#\n", "#\r")):
        return any(line and not line.lstrip('"').startswith("#") for line in text.splitlines()[:40])
    if not any(named(cell) in METRICS for cell in file.header):
        return False
    lines = text.splitlines()
    ahead = csv.reader(lines[1 : min(len(lines) - 1, ROWS_AHEAD) + 1], delimiter=delimiter_of(lines[0]))
    try:
        found = columns(file.header, list(ahead))
    except csv.Error:
        return False
    return any(name and name not in METRICS and name != OTHER for name in found)


def _read(file: ImportedFile, target: ImportTarget) -> None:
    before, dated, counted = target.report.accepted, False, False
    for table, rows in _tables(file, target):
        dated |= table.is_by_date
        counted |= table.is_by_date and table.counts
        if any(name in _DIMENSIONS for name in table.names):
            target.note("visitors_added")
        if OTHER in table.names:
            target.note("columns_not_kept")
        for line, cells in rows:
            if not table.is_by_date:
                target.leave_out("no_date", line)
            elif not table.counts:
                target.leave_out("not_counted", line)
            else:
                _take(table, cells, line, target)
    if target.report.accepted == before:
        _refuse(file, dated=dated, counted=counted)


def _refuse(file: ImportedFile, *, dated: bool, counted: bool) -> None:
    if not dated:
        raise ImportRefused(
            "file",
            "{name} is a Google Analytics report without dates. Use an exploration (Explore, Free form) with "
            "Date among its rows, or the BigQuery export, as described in docs/migrating.md",
            name=file.name,
        )
    if not counted:
        raise ImportRefused(
            "file",
            "{name} has dates, but no known metric in its column headings. Set the language of Google "
            "Analytics to English, and export again",
            name=file.name,
        )


def _tables(file: ImportedFile, target: ImportTarget) -> Iterator[tuple[ReportTable, Iterator[tuple[int, list[str]]]]]:
    """The tables of a file, each with its rows, which have to be taken before the next table."""
    rows = _Rows(file)
    while header := rows.header():
        target.begin(target.file)
        ahead = rows.ahead(ROWS_AHEAD)
        yield ReportTable(columns(header, ahead), rows.start), rows.of_table()


class _Rows:
    """The rows of a file, read ahead as far as a table goes."""

    def __init__(self, file: ImportedFile) -> None:
        self._rows = file.rows()
        self._waiting: list[tuple[int, list[str]]] = []
        self._in_comment = False
        self.start: datetime.date | None = None

    def header(self) -> list[str]:
        """The headings of the next table; empty after the last."""
        while (row := self._next()) is not None:
            if any(row[1]) and not self._is_comment(row[1]):
                return row[1]
        return []

    def ahead(self, count: int) -> list[list[str]]:
        """The first rows of the table."""
        while len(self._waiting) < count and (row := next(self._rows, None)) is not None:
            self._waiting.append(row)
            if _ends(row[1]):
                break
        return [cells for _, cells in self._waiting if not _ends(cells)]

    def of_table(self) -> Iterator[tuple[int, list[str]]]:
        """The rows of the table, up to an empty line or a comment."""
        while (row := self._next()) is not None:
            if _ends(row[1]):
                self._is_comment(row[1])
                return
            yield row

    def _next(self) -> tuple[int, list[str]] | None:
        return self._waiting.pop(0) if self._waiting else next(self._rows, None)

    def _is_comment(self, cells: Sequence[str]) -> bool:
        comment = _begins_comment(cells)
        if comment and (dates := _COMPACT.findall(" ".join(cells))) and not (self._in_comment and self.start):
            self.start = _date(dates[0])
            self._in_comment = True
        elif not comment and any(cells):
            self._in_comment = False
        return comment


def _begins_comment(cells: Sequence[str]) -> bool:
    return bool(cells) and (cells[0].startswith(("# ", "#-")) or cells[0].strip() == "#")


def _ends(cells: Sequence[str]) -> bool:
    return not any(cells) or _begins_comment(cells)


def _take(table: ReportTable, cells: Sequence[str], line: int, target: ImportTarget) -> None:
    row = {name: cell.strip() for name, cell in zip(table.names, cells, strict=False) if name}
    told = row.get("date", "") or row.get("nth_day", "")
    if not any(letter.isdigit() for letter in told):
        target.leave_out("total", line)
        return
    try:
        day = _date(told) if "date" in row else _nth(table, told)
        rows = list(sums_of(row, day, target))
    except UNREADABLE:
        target.leave_out("unreadable", line)
        return
    if rows:
        target.add_sums("rows", day, line, *rows)
    else:
        target.leave_out("automatic", line)


def _nth(table: ReportTable, told: str) -> datetime.date:
    return (table.start or datetime.date.min) + datetime.timedelta(days=int(told))


def _date(text: str) -> datetime.date:
    """A date such as `20260112`, `2026-01-12`, `2026011208` with an hour, `12.01.2026` or `Jan 12, 2026`. Raises
    `ValueError`."""
    text = text.strip()
    digits = "".join(str(int(each)) for each in text if each.isdecimal())
    if len(digits) == len(text) and len(text) in (8, 10, 12):
        return datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    if found := re.fullmatch(r"(\d{4})\D{1,2}(\d{1,2})\D{1,2}(\d{1,2})\D?(?:[T\s].*)?", text):
        return datetime.date(*map(int, found.groups()))
    if found := re.fullmatch(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})", text):
        return datetime.date(int(found[3]), int(found[2]), int(found[1]))
    words = re.findall(r"[a-z]+|\d+", text.lower())
    month = next((number for number, name in enumerate(_MONTHS, 1) if any(each.startswith(name) for each in words)), 0)
    numbers = [int(each) for each in words if each.isdecimal()]
    if month and len(numbers) == 2 and max(numbers) > 31:
        return datetime.date(max(numbers), month, min(numbers))
    raise ValueError("expected a date")


GA4_REPORT: Final = Format("ga4-report", "Google Analytics 4 (reports by date as CSV)", _recognises, _read)
